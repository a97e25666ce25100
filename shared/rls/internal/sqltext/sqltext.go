// Package sqltext splits SQL into its words: policies as the database writes
// them, and what people wrote into functions and defaults.
//
//	sql := sqltext.Parse(`(owner = clerk.user_id())`)
//	for i, token := range sql.Tokens {
//		if token.Is("(") && sql.At(i-1).IsIdentifier() { … }
//	}
//
// Of grammar it knows parentheses alone, and it refuses nothing: text that is cut off, such as an open
// quote, ends with it. Strings with Unicode escapes (U&'…') are read as a word,
// an operator and a string.
package sqltext

import (
	"slices"
	"strings"
)

// Kind is what a token is.
type Kind int

// The kinds of tokens.
const (
	Mark     Kind = iota // one of ( ) [ ] , . ;
	Word                 // an identifier or keyword without quotes, in lower case
	Quoted               // an identifier in double quotes, without them
	Literal              // a string constant, without its quotes
	Number               // a numeric constant
	Operator             // an operator, "::" among them
)

// Token is one word of SQL. Comments and spaces are no tokens. The zero value is
// nothing that SQL holds.
type Token struct {
	Kind       Kind
	Text       string
	Start, End int // of the token in the source, in bytes
}

// Is reports whether the token is this keyword, mark or operator.
func (t Token) Is(text string) bool { return t.Text == text && t.Kind != Quoted && t.Kind != Literal }

// IsIdentifier reports whether the token can name something.
func (t Token) IsIdentifier() bool { return t.Kind == Word || t.Kind == Quoted }

// SQL is text that was taken apart.
type SQL struct {
	Source string
	Tokens []Token
	// Pair is the other parenthesis of a parenthesis, -1 elsewhere or without one.
	Pair []int
	// Outer is the parenthesis that a token is directly in, -1 at the top. Both
	// parentheses of a pair are in the one around them.
	Outer []int
}

// Parse takes SQL or PL/pgSQL apart.
func Parse(source string) SQL {
	s := SQL{Source: source, Tokens: tokenize(source)}
	s.Pair = make([]int, len(s.Tokens))
	s.Outer = make([]int, len(s.Tokens))
	var open []int
	for i, t := range s.Tokens {
		s.Pair[i], s.Outer[i] = -1, -1
		if len(open) > 0 {
			s.Outer[i] = open[len(open)-1]
		}
		switch {
		case t.Is("("):
			open = append(open, i)
		case t.Is(")") && len(open) > 0:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			s.Pair[i], s.Pair[last] = last, i
			s.Outer[i] = s.Outer[last]
		}
	}
	return s
}

// At is the token at a place, or one that is nothing.
func (s SQL) At(i int) Token {
	if i < 0 || i >= len(s.Tokens) {
		return Token{}
	}
	return s.Tokens[i]
}

// Text is the source from one token up to and with another.
func (s SQL) Text(from, to int) string {
	return s.Source[s.Tokens[from].Start:s.Tokens[to].End]
}

// Subselect reports whether a parenthesis opens a sub-select.
func (s SQL) Subselect(open int) bool {
	return s.At(open).Is("(") && (s.At(open+1).Is("select") || s.At(open+1).Is("with"))
}

// notFunctions stand before parentheses and call nothing.
var notFunctions = []string{
	"all", "and", "any", "array", "as", "by", "case", "check", "distinct", "else", "exists", "filter", "from", "if", "ilike", "in", "into",
	"is", "like", "not", "on", "or", "over", "returning", "row", "select", "some", "then", "using", "values", "when", "where", "while", "with",
}

// Call is the function whose arguments a parenthesis opens: its schema, which is
// empty where the text has none, its name, and the first token of both.
func (s SQL) Call(open int) (schema, name string, start int, ok bool) {
	before := s.At(open - 1)
	switch {
	case !s.At(open).Is("(") || !before.IsIdentifier():
		return "", "", 0, false
	case s.At(open-2).Is(".") && s.At(open-3).IsIdentifier():
		return s.At(open - 3).Text, before.Text, open - 3, true
	default:
		return "", before.Text, open - 1, before.Kind == Quoted || !slices.Contains(notFunctions, before.Text)
	}
}

// TypeEnd is the last token of the type behind a "::".
func (s SQL) TypeEnd(cast int) int {
	i := cast + 1
	for s.At(i + 1).Is(".") {
		i += 2
	}
	switch t := s.At(i); {
	case t.Is("character"), t.Is("bit"), t.Is("double"):
		if s.At(i+1).Is("varying") || s.At(i+1).Is("precision") {
			i++
		}
	case t.Is("timestamp"), t.Is("time"):
		i = s.skip(i)
		if s.At(i+2).Is("time") && s.At(i+3).Is("zone") { // with or without
			i += 3
		}
	}
	i = s.skip(i)
	for s.At(i+1).Is("[") && s.At(i+2).Is("]") {
		i += 2
	}
	return min(i, len(s.Tokens)-1)
}

// skip is the end of the parentheses behind a token, or the token itself.
func (s SQL) skip(i int) int {
	if s.At(i+1).Is("(") && s.Pair[i+1] > 0 {
		return s.Pair[i+1]
	}
	return i
}

func tokenize(source string) []Token {
	var tokens []Token
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
			tokens = append(tokens, Token{Literal, text, start, i})
		case (c == 'e' || c == 'E') && i+1 < len(source) && source[i+1] == '\'':
			var text string
			text, i = quotedText(source, i+1, '\'', true)
			tokens = append(tokens, Token{Literal, text, start, i})
		case c == '"':
			var text string
			text, i = quotedText(source, i, '"', false)
			tokens = append(tokens, Token{Quoted, text, start, i})
		case c == '$':
			i = dollar(source, i)
			if i == start {
				for i++; i < len(source) && digit(source[i]); i++ {
				}
				tokens = append(tokens, Token{Number, source[start:i], start, i})
				continue
			}
			tokens = append(tokens, Token{Literal, dollarText(source[start:i]), start, i})
		case letter(c):
			for i++; i < len(source) && (letter(source[i]) || digit(source[i]) || source[i] == '$'); i++ {
			}
			tokens = append(tokens, Token{Word, Fold(source[start:i]), start, i})
		case digit(c):
			for i++; i < len(source) && (letter(source[i]) || digit(source[i]) || source[i] == '.'); i++ {
			}
			tokens = append(tokens, Token{Number, source[start:i], start, i})
		case strings.IndexByte("()[],.;", c) >= 0:
			i++
			tokens = append(tokens, Token{Mark, source[start:i], start, i})
		case c == ':':
			for i++; i < len(source) && (source[i] == ':' || source[i] == '='); i++ {
			}
			tokens = append(tokens, Token{Operator, source[start:i], start, i})
		default:
			for i++; i < len(source) && strings.IndexByte("+-*/<>=~!@#%^&|`?", source[i]) >= 0; i++ {
				if strings.HasPrefix(source[i:], "--") || strings.HasPrefix(source[i:], "/*") {
					break
				}
			}
			tokens = append(tokens, Token{Operator, source[start:i], start, i})
		}
	}
	return tokens
}

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c > 127 }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// Fold makes letters small as Postgres does for names without quotes: those of
// ASCII only.
func Fold(text string) string {
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

// quotedText reads what the quote at a place encloses.
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

// dollarText is what a dollar-quoted constant encloses.
func dollarText(constant string) string {
	tag := strings.IndexByte(constant[1:], '$') + 2
	return strings.TrimSuffix(constant[tag:], constant[:tag])
}
