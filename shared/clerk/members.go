package clerk

import (
	"bytes"
	"encoding/json"
)

// members calls visit for every member of a JSON object, in order, with its name
// and its value as they stand there. It returns false, having called nothing, if
// value is no object. value must be valid JSON, or nothing.
//
// An event is scanned for five members of two hundred; decoding all of it into
// maps takes longer than everything else that is done with it here.
func members(value []byte, visit func(name []byte, value json.RawMessage)) bool {
	i := skipSpace(value, 0)
	if i == len(value) || value[i] != '{' {
		return false
	}
	for i = skipSpace(value, i+1); value[i] != '}'; {
		end := skipString(value, i)
		name := memberName(value[i:end])
		i = skipSpace(value, skipSpace(value, end)+1) // behind the colon
		end = skipValue(value, i)
		visit(name, json.RawMessage(value[i:end:end]))
		if i = skipSpace(value, end); value[i] == ',' {
			i = skipSpace(value, i+1)
		}
	}
	return true
}

// memberName reads a JSON string.
func memberName(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	return []byte(text(quoted))
}

func skipSpace(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// skipString returns where the string that begins at i ends.
func skipString(s []byte, i int) int {
	for {
		i += 1 + bytes.IndexByte(s[i+1:], '"')
		escapes := 0
		for s[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// skipValue returns where the value that begins at i ends.
func skipValue(s []byte, i int) int {
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			i = skipString(s, i) - 1
		case '{', '[':
			depth++
			continue
		case '}', ']':
			if depth == 0 {
				return i // of what the value stands in
			}
			depth--
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue // within a number, a literal or a container
		}
		if depth == 0 {
			return i + 1
		}
	}
	return i
}
