package commandline

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/grammar"
)

// hasSecret reports whether there is one on a command line.
func hasSecret(args []string) bool { return slices.ContainsFunc(args, console.SecretShape.MatchString) }

// unsaid stands in an error where an argument is not repeated.
const unsaid = "…"

// withoutArguments is an error of the parser without those arguments, and parts of
// them, that may be a secret: it has not understood them, so that all may have been
// given by mistake. What reads as plain words stays, since that is a slip of the keyboard.
func withoutArguments(text string, args []string) string {
	var hide []string
	add := func(part string) {
		if !isPlain(part) {
			hide = append(hide, part, strings.Trim(strconv.Quote(part), `"`))
		}
	}
	for _, arg := range args {
		// --flag=value is two, and the parser speaks of a flag without its dashes.
		for part := range strings.SplitSeq(arg, "=") {
			add(strings.TrimLeft(part, "-"))
		}
		for _, part := range strings.FieldsFunc(arg, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			add(part)
		}
	}
	// The longest first, or a part of one would hide it from the search.
	slices.SortFunc(hide, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, part := range hide {
		text = strings.ReplaceAll(text, part, unsaid)
	}
	return text
}

var (
	plainWord = regexp.MustCompile(`^(?:[A-Za-z]?[a-z]{0,19}|[A-Za-z]{1,4}|[A-Z]{1,20}|[0-9]{1,9}(?:ms|s|m|h)?)$`)
	pathStart = regexp.MustCompile(`^(?:~|\.{1,2})?/`)
)

// isPlain reports whether a text is a few words or numbers, as nothing is that a
// machine has made to be secret. A path may have more of them.
func isPlain(text string) bool {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune("-_./: ", r) })
	return (len(words) <= 3 || pathStart.MatchString(text)) && !slices.ContainsFunc(words, func(w string) bool { return !plainWord.MatchString(w) })
}

// guess is what the parser adds to what it does not know: it guesses flags and commands
// of one place alone.
var guess = regexp.MustCompile(`(?s), did you mean (?:one of )?"[^"]*"(?:, "[^"]*")*\?$`)

// refused is what the parser found wrong, for the person.
func refused(err error, args []string, g *grammar.Command) error {
	text := guess.ReplaceAllString(err.Error(), "")
	without := withoutArguments(text, args)
	var hints []string
	if near := g.Nearest(args); near != "" {
		hints = append(hints, fmt.Sprintf("did you mean %q?", near))
	}
	if without != text {
		hints = append(hints, "what is not repeated may be a secret;")
	}
	return console.Hint(console.Usage(errors.New(without)), strings.Join(append(hints, where(err)), " "))
}

// where is the help that has what would have been right.
func where(err error) string {
	if parsing, ok := errors.AsType[*kong.ParseError](err); ok {
		return helpOf(parsing.Context)
	}
	return helpOf(nil)
}

func helpOf(line *kong.Context) string {
	if line != nil && line.Selected() != nil {
		return fmt.Sprintf("%q has its examples and flags", line.Selected().FullPath()+" --help")
	}
	return `"clerksync --help" lists the commands, "clerksync <command> --help" its flags`
}

// meansToken reports whether the parser has found an argument where test-jwt
// takes none: whatever it is, it was given for a token.
func meansToken(err error) bool {
	parsing, ok := errors.AsType[*kong.ParseError](err)
	if !ok || !strings.HasPrefix(err.Error(), "unexpected argument ") {
		return false
	}
	command := parsing.Context.Selected()
	return command != nil && command.Name == "test-jwt"
}

var errSecretInArguments = console.Hint(
	console.Usage(errors.New("secrets do not belong on the command line, where others can read them")),
	"it is in the shell's history now: remove it there, and end the session or replace the key or password if it is still valid; "+
		`give settings in the environment or with --env-file, and a token on stdin, as in "pbpaste | clerksync test-jwt", or with --file`,
)
