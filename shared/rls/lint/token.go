package lint

import "strings"

// kind is what a token is.
type kind int

const (
	word     kind = iota // an identifier or keyword without quotes, in lower case
	quoted               // an identifier in double quotes, without them
	literal              // a string constant, without its quotes
	number               // a numeric constant
	operator             // an operator, "::" among them
	mark                 // one of ( ) [ ] , . ;
)

// token is one word of SQL. Comments and spaces are no tokens.
type token struct {
	kind       kind
	text       string
	start, end int // of the token in the source, in bytes
}

func (t token) is(text string) bool { return t.text == text && t.kind != quoted && t.kind != literal }

// identifier reports whether the token can name something.
func (t token) identifier() bool { return t.kind == word || t.kind == quoted }

// tokenize splits SQL or PL/pgSQL. Text that is cut off, such as an open quote,
// ends with it; it is the database's own text, and nothing is refused.
func tokenize(source string) []token {
	var tokens []token
	for i := 0; i < len(source); {
		start := i
		switch c := source[i]; {
		case c <= ' ':
			i++
			continue
		case strings.HasPrefix(source[i:], "--"):
			i = after(source, i, "\n")
			continue
		case strings.HasPrefix(source[i:], "/*"):
			i = comment(source, i)
			continue
		case c == '\'':
			var text string
			text, i = quotedText(source, i, '\'', false)
			tokens = append(tokens, token{literal, text, start, i})
		case (c == 'e' || c == 'E') && i+1 < len(source) && source[i+1] == '\'':
			var text string
			text, i = quotedText(source, i+1, '\'', true)
			tokens = append(tokens, token{literal, text, start, i})
		case c == '"':
			var text string
			text, i = quotedText(source, i, '"', false)
			tokens = append(tokens, token{quoted, text, start, i})
		case c == '$':
			i = dollar(source, i)
			if i == start {
				for i++; i < len(source) && digit(source[i]); i++ {
				}
				tokens = append(tokens, token{number, source[start:i], start, i})
				continue
			}
			tokens = append(tokens, token{literal, dollarText(source[start:i]), start, i})
		case letter(c):
			for i++; i < len(source) && (letter(source[i]) || digit(source[i]) || source[i] == '$'); i++ {
			}
			tokens = append(tokens, token{word, lower(source[start:i]), start, i})
		case digit(c):
			for i++; i < len(source) && (letter(source[i]) || digit(source[i]) || source[i] == '.'); i++ {
			}
			tokens = append(tokens, token{number, source[start:i], start, i})
		case strings.IndexByte("()[],.;", c) >= 0:
			i++
			tokens = append(tokens, token{mark, source[start:i], start, i})
		case c == ':':
			for i++; i < len(source) && (source[i] == ':' || source[i] == '='); i++ {
			}
			tokens = append(tokens, token{operator, source[start:i], start, i})
		default:
			for i++; i < len(source) && strings.IndexByte("+-*/<>=~!@#%^&|`?", source[i]) >= 0; i++ {
				if strings.HasPrefix(source[i:], "--") || strings.HasPrefix(source[i:], "/*") {
					break
				}
			}
			tokens = append(tokens, token{operator, source[start:i], start, i})
		}
	}
	return tokens
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c > 127 }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// lower folds as Postgres does: ASCII letters only.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// after is the position behind the next end, or the end of the source.
func after(source string, from int, end string) int {
	if i := strings.Index(source[from:], end); i >= 0 {
		return from + i + len(end)
	}
	return len(source)
}

// comment is the position behind a block comment; they nest.
func comment(source string, from int) int {
	depth := 0
	for i := from; i < len(source); i++ {
		switch {
		case strings.HasPrefix(source[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(source[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(source)
}

func quotedText(source string, from int, quote byte, escapes bool) (text string, end int) {
	var b strings.Builder
	for i := from + 1; i < len(source); i++ {
		switch {
		case escapes && source[i] == '\\' && i+1 < len(source):
			i++
			b.WriteByte(source[i])
		case source[i] != quote:
			b.WriteByte(source[i])
		case i+1 < len(source) && source[i+1] == quote:
			i++
			b.WriteByte(quote)
		default:
			return b.String(), i + 1
		}
	}
	return b.String(), len(source)
}

// dollar is the position behind a dollar-quoted constant, or from itself where
// there is none.
func dollar(source string, from int) int {
	for i := from + 1; i < len(source); i++ {
		switch c := source[i]; {
		case c == '$':
			return after(source, i+1, source[from:i+1])
		case !letter(c) && (i == from+1 || !digit(c)):
			return from
		}
	}
	return from
}

func dollarText(constant string) string {
	tag := strings.IndexByte(constant[1:], '$') + 2
	return strings.TrimSuffix(constant[tag:], constant[:tag])
}
