package jwtdiag

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// object is a JSON object whose members are kept as they stand there: of a name
// that is repeated, some readers take the first value and others the last.
type object struct {
	// raw is the text that was read.
	raw json.RawMessage
	// names are in the order of their first appearance.
	names       []string
	first, last map[string]json.RawMessage
	// repeated are paths of names that stand twice, at any depth.
	repeated []string
	depth    int
}

// maxDepth is how deep Go's decoder goes.
const maxDepth = 10_000

var errNoObject = errors.New("it is JSON, but no object")

// readObject reads the text of a part. The error says what is wrong in the words
// of a finding, and quotes nothing.
func readObject(text []byte) (*object, error) {
	depth := nesting(text)
	if depth > maxDepth {
		return nil, fmt.Errorf("it is nested %d deep, more than is read here", depth)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	opening, err := decoder.Token()
	if err != nil {
		return nil, errors.New("it is no JSON")
	}
	if opening != json.Delim('{') {
		if json.Valid(text) {
			return nil, errNoObject
		}
		return nil, errors.New("it is no JSON")
	}
	o := &object{raw: text, first: map[string]json.RawMessage{}, last: map[string]json.RawMessage{}, depth: depth}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, notJSON(decoder)
		}
		key, _ := name.(string)
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, notJSON(decoder)
		}
		if _, seen := o.first[key]; seen {
			o.repeat([]string{key})
		} else {
			o.names = append(o.names, key)
			o.first[key] = value
			if value[0] == '{' || value[0] == '[' {
				firstValues(value, []string{key}, o.repeat)
			}
		}
		o.last[key] = value
	}
	if _, err := decoder.Token(); err != nil {
		return nil, notJSON(decoder)
	}
	if len(bytes.TrimLeft(text[decoder.InputOffset():], " \t\r\n")) > 0 {
		return nil, fmt.Errorf("it goes on after the object, at byte %d", decoder.InputOffset())
	}
	return o, nil
}

// repeat notes a name that stands twice.
func (o *object) repeat(path []string) {
	if len(o.repeated) < maxRepeated {
		o.repeated = append(o.repeated, strings.Join(path, "."))
	}
}

func notJSON(decoder *json.Decoder) error {
	return fmt.Errorf("it is no JSON after byte %d", decoder.InputOffset())
}

// nesting is how many brackets are open at once, at the most.
func nesting(text []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// value is a member as most tools read it: of a repeated name the last.
func (o *object) value(name string) (json.RawMessage, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.last[name]
	return v, ok
}

// text is a member that is a string.
func (o *object) text(name string) (string, bool) {
	v, ok := o.value(name)
	if !ok {
		return "", false
	}
	return asText(v)
}

// has reports whether a member is there at all.
func (o *object) has(name string) bool {
	_, ok := o.value(name)
	return ok
}

// object is a member that is an object.
func (o *object) object(name string) *object {
	v, ok := o.value(name)
	if !ok {
		return nil
	}
	inner, err := readObject(v)
	if err != nil {
		return nil
	}
	return inner
}

// asFirst is the object as PostgREST reads it and hands it to Postgres: of a
// repeated name the first value (aeson 2.2), at every depth.
func (o *object) asFirst() json.RawMessage {
	if len(o.repeated) == 0 {
		return o.raw
	}
	return firstValues(o.raw, nil, func([]string) {})
}

const (
	// maxPath is how deep repeated names are looked for. Nothing that anybody reads
	// is deeper, and such claims are told of anyway.
	maxPath = 64
	// maxRepeated is how many of them are told.
	maxRepeated = 100
)

// firstValues leaves out every value of a name but the first, and tells of each
// name that is repeated by its path, as in o.id. The text is valid JSON.
func firstValues(text json.RawMessage, path []string, repeated func(path []string)) json.RawMessage {
	text = bytes.TrimSpace(text)
	if len(path) == maxPath || len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return text
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	// It is a bracket: the text is valid.
	_, _ = decoder.Token()
	var out bytes.Buffer
	out.WriteByte(text[0])
	seen := map[string]bool{}
	for decoder.More() {
		inner := append(path, "[]")
		if text[0] == '{' {
			token, _ := decoder.Token()
			name, _ := token.(string)
			inner[len(path)] = name
			if seen[name] {
				repeated(inner)
				var skipped json.RawMessage
				_ = decoder.Decode(&skipped)
				continue
			}
			seen[name] = true
			key, _ := json.Marshal(name)
			if out.Len() > 1 {
				out.WriteByte(',')
			}
			out.Write(key)
			out.WriteByte(':')
		} else if out.Len() > 1 {
			out.WriteByte(',')
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return text // not reached: the text is valid
		}
		out.Write(firstValues(value, inner, repeated))
	}
	out.WriteByte(text[0] + 2) // } is two behind {, and ] behind [
	return out.Bytes()
}

// asText reads a JSON string.
func asText(v json.RawMessage) (string, bool) {
	var s string
	if len(v) == 0 || v[0] != '"' || json.Unmarshal(v, &s) != nil {
		return "", false
	}
	return s, true
}

// asTexts reads a JSON array of strings.
func asTexts(v json.RawMessage) ([]string, bool) {
	var list []json.RawMessage
	if len(v) == 0 || v[0] != '[' || json.Unmarshal(v, &list) != nil {
		return nil, false
	}
	texts := make([]string, len(list))
	for i, item := range list {
		text, ok := asText(item)
		if !ok {
			return nil, false
		}
		texts[i] = text
	}
	return texts, true
}

// show writes text from a token for people: short, in quotes, without control
// and format characters.
func show(text string) string {
	return strings.ReplaceAll(fmt.Sprintf("%+q", cut(text)), `\u2026`, "…")
}

// cut keeps of a text what fits into a sentence.
func cut(text string) string {
	const most = 80
	text = strings.ToValidUTF8(text, "\ufffd")
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "…"
	}
	return text
}
