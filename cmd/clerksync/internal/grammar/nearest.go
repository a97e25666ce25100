package grammar

import (
	"slices"
	"strings"
)

// Nearest is what a command line was probably meant to say at the first place where it
// says what is not known: a command as it is called, a flag, or a flag with its value.
// Empty where nothing is near. It is made of the grammar's own words alone, never of those
// that were given, which may be a secret.
func (c *Command) Nearest(args []string) string {
	at, arguments, besides := c, 0, ""
	for i := 0; i < len(args); i++ {
		word := args[i]
		if word == "--" {
			return ""
		}
		if name, long := strings.CutPrefix(word, "--"); long {
			name, given, joined := strings.Cut(name, "=")
			f := at.flag(name)
			if f == nil {
				return at.nearestFlag(name)
			}
			if f.Switch {
				continue
			}
			if !joined {
				if i++; i == len(args) {
					return ""
				}
				given = args[i]
			}
			if near := f.nearestChoice(given); near != "" {
				return "--" + f.Name + " " + near
			}
			continue
		}
		if strings.HasPrefix(word, "-") && word != "-" {
			continue
		}
		if below := at.command(word); below != nil && arguments == 0 {
			at = below
			continue
		}
		if len(at.Commands) > 0 {
			near := at.nearestCommand(word)
			if at.Default == nil {
				return near
			}
			// It may be what the default command is about: a table can have any name.
			at, besides = at.Default, near
		}
		if near := at.nearestArgument(arguments, word); near != "" {
			return near
		}
		arguments++
	}
	return besides
}

// nearestCommand is one of c's, or else one further down whose own name it is.
func (c *Command) nearestCommand(word string) string {
	var names []string
	for _, below := range c.Commands {
		names = append(names, below.Name)
	}
	if near := nearest(word, names); near != "" {
		return c.command(near).String()
	}
	for _, below := range c.All() {
		if below != c && below.Name == strings.ToLower(word) {
			return below.String()
		}
	}
	return ""
}

func (c *Command) nearestFlag(name string) string {
	var names []string
	for _, f := range c.Called() {
		names = append(names, f.Name)
	}
	if near := nearest(name, names); near != "" {
		return "--" + near
	}
	return ""
}

// nearestArgument is for an argument that takes one of a few words.
func (c *Command) nearestArgument(n int, word string) string {
	if len(c.Arguments) == 0 {
		return ""
	}
	a := c.Arguments[min(n, len(c.Arguments)-1)]
	if near := a.nearestChoice(word); near != "" {
		return c.String() + " " + near
	}
	return ""
}

// nearestChoice is empty also for what is one already, and for a value that may be anything.
func (v Value) nearestChoice(given string) string {
	for part := range strings.SplitSeq(given, ",") {
		if !slices.Contains(v.Choices, part) {
			return nearest(part, v.Choices)
		}
	}
	return ""
}

// nearest is the candidate that differs least, if that is little, or the only one that
// begins as was typed.
func nearest(typed string, candidates []string) string {
	const longest = 40 // nothing of ours is as long
	if len(typed) > longest {
		return ""
	}
	typed = strings.ToLower(typed)
	best, least := "", min(len(typed)/3, 3)+1 // a letter of three may be wrong
	for _, candidate := range candidates {
		if d := distance(typed, candidate); d < least {
			best, least = candidate, d
		}
	}
	if best != "" || len(typed) < 3 {
		return best
	}
	for _, candidate := range candidates {
		if strings.HasPrefix(candidate, typed) {
			if best != "" {
				return ""
			}
			best = candidate
		}
	}
	return best
}

// distance is how many letters are missing, superfluous, wrong or swapped with the next.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			wrong := 1
			if x[i-1] == y[j-1] {
				wrong = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+wrong)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
