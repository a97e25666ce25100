package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// Count writes a number and what it counts, in the plural unless it is 1.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// List writes names with commas between them.
func List[T ~string](names []T) string {
	var b strings.Builder
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(name))
	}
	return b.String()
}

// Ago says in words how long something is past.
func Ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute ago"
	case d < 2*time.Hour:
		return Count(int(d.Minutes()), "minute", "minutes") + " ago"
	case d < 48*time.Hour:
		return Count(int(d.Hours()), "hour", "hours") + " ago"
	default:
		return Count(int(d.Hours()/24), "day", "days") + " ago"
	}
}

// Took writes a duration as exactly as its length deserves.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// Harmless is text from elsewhere without what a terminal would obey, but with
// its lines.
func Harmless(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r) || r == '\n':
			return r
		case r == '\t':
			return ' '
		default:
			return '?'
		}
	}, text)
}

// JSONText is a value as JSON in one line, in which nothing is left that a terminal
// would obey.
func JSONText(value any) (string, error) { return jsonText(value, "") }

func jsonText(value any, indent string) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", indent)
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("writing JSON: %w", err)
	}
	return strings.TrimSuffix(Escaped(b.String()), "\n"), nil
}

// Escaped is JSON that says the same and has nothing that a terminal would obey:
// what cannot be printed stands in strings only, and is escaped there.
func Escaped(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// Indent puts a margin before each line of a text.
func Indent(margin, text string) string {
	var b strings.Builder
	for line := range strings.Lines(Harmless(text)) {
		b.WriteString(strings.TrimRight(margin+line, " \n") + "\n")
	}
	return b.String()
}

// Known writes a number, or a dash where there is none.
func Known(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

// Printable is text from elsewhere without what a terminal would obey.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// AgoOrNever says how long a moment is past, of which there may be none.
func AgoOrNever(at *time.Time, now time.Time) string {
	if at == nil {
		return "never"
	}
	return Ago(now.Sub(*at))
}
