// Package jsonkind names the kinds of JSON values for people.
//
//	fmt.Errorf("id is %s: write it as a string", jsonkind.Of(raw))
package jsonkind

import "bytes"

// Of is "a string", "an object", "an array", "a boolean", "null" or "a number" for a
// valid JSON value, with or without white space around it, and "nothing" for none.
func Of(value []byte) string {
	value = bytes.TrimSpace(value)
	if len(value) == 0 {
		return "nothing"
	}
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
