package clerk

import (
	"bytes"
	"unicode/utf16"
)

// escapeLen is the length of a \uXXXX escape.
const escapeLen = 6

// storable returns valid JSON with every escape that jsonb refuses, \u0000 and
// surrogates without a partner, replaced by \ufffd. It returns its argument
// when there is none, and otherwise one changed copy of the same length.
//
// A backslash occurs in valid JSON only inside a string and always begins an
// escape, so jumping from one to the next never mistakes the second half of
// `\\` for a beginning: `\\u0000` is text and stays.
func storable(body []byte) []byte {
	out, copied := body, false
	for i := 0; ; {
		next := bytes.IndexByte(body[i:], '\\')
		if next < 0 {
			return out
		}
		i += next
		if body[i+1] != 'u' {
			i += len(`\n`)
			continue
		}
		unit := codeUnit(body[i:])
		if utf16.IsSurrogate(unit) && utf16.DecodeRune(unit, codeUnit(body[i+escapeLen:])) != '\uFFFD' {
			i += 2 * escapeLen
			continue
		}
		if unit == 0 || utf16.IsSurrogate(unit) {
			if !copied {
				out, copied = bytes.Clone(body), true
			}
			copy(out[i:], `\ufffd`)
		}
		i += escapeLen
	}
}

// codeUnit returns the UTF-16 code unit that s begins with as a \uXXXX escape,
// or -1 if s begins with something else. Four hex digits are certain after \u
// in valid JSON.
func codeUnit(s []byte) rune {
	if len(s) < escapeLen || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var unit rune
	for _, c := range s[2:escapeLen] {
		unit <<= 4
		switch {
		case c >= 'a':
			unit |= rune(c-'a') + 10
		case c >= 'A':
			unit |= rune(c-'A') + 10
		default:
			unit |= rune(c - '0')
		}
	}
	return unit
}
