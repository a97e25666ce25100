package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// settings are the values in force: those of the secret over those of the environment.
type settings struct {
	lookup   Lookup
	secretID string
	secret   map[string]string
	check    func(Database) error // nil: none
}

// setting is a value and where it came from.
type setting struct {
	key    string
	value  string // trimmed; empty: not set
	origin string
}

func (s settings) get(key string) setting {
	if v := clean(s.secret[key]); v != "" {
		return setting{key, v, fmt.Sprintf("secret %q", s.secretID)}
	}
	v, _ := s.lookup(key)
	return setting{key, clean(v), "environment"}
}

// clean drops surrounding white space, which pasting and files add, and turns placeholders into the empty string: a
// template has to put something where a value will be.
func clean(value string) string {
	value = strings.TrimSpace(value)
	switch strings.ToUpper(value) {
	case "REPLACE_ME", "CHANGE_ME", "CHANGEME":
		return ""
	}
	if strings.HasPrefix(value, "<") && strings.HasSuffix(value, ">") {
		return ""
	}
	return value
}

// problem describes what is wrong with a setting, never quoting its value.
func (s setting) problem(format string, args ...any) error {
	return fmt.Errorf("%s (%s): %s", s.key, s.origin, fmt.Sprintf(format, args...))
}

// missing describes a setting that has to be there.
func (s setting) missing(fix string) error {
	return fmt.Errorf("%s is not set: %s", s.key, fix)
}

// quoted reports a value that arrived with the quotation marks of a shell or a .env file around it.
func (s setting) quoted() error {
	for _, q := range []string{`""`, "''", "``", "“”", "‘’"} {
		marks := []rune(q)
		if len(s.value) > 1 && strings.HasPrefix(s.value, string(marks[0])) && strings.HasSuffix(s.value, string(marks[1])) {
			return s.problem("has quotation marks around it: remove them")
		}
	}
	return nil
}

// decodeSecret reads the JSON object in a secret. Every problem is reported, and none quotes a value.
func decodeSecret(id, text string) (map[string]string, error) {
	var problems []error
	add := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("secret %q: %s", id, fmt.Sprintf(format, args...)))
	}
	values := map[string]string{}
	read := func() {
		text = strings.TrimPrefix(text, "\ufeff")
		if strings.TrimSpace(text) == "" {
			add(`is empty: store a JSON object such as {"DATABASE_URL": "…"}`)
			return
		}
		dec := json.NewDecoder(strings.NewReader(text))
		if open, err := dec.Token(); err != nil {
			if kind := secretKind(strings.TrimSpace(text)); kind != "" {
				add(`holds a bare %s: store it in a JSON object, {"NAME": "value"}`, kind)
				return
			}
			add("is not JSON: store a JSON object of strings")
			return
		} else if open != json.Delim('{') {
			add("is JSON but not an object: store a JSON object of strings")
			return
		}
		for dec.More() {
			name, err := dec.Token()
			var raw json.RawMessage
			if err == nil {
				err = dec.Decode(&raw)
			}
			if err != nil {
				add("is not JSON after byte %d: check commas, quotation marks and line breaks there", dec.InputOffset())
				return
			}
			key, _ := name.(string)
			if !isKnown(key) {
				if near := nearestKey(key); near != "" {
					add("%s is unknown: did you mean %s?", nameKey(key), near)
				} else {
					add("%s is unknown: the keys are those of clerksync's environment variables", nameKey(key))
				}
				continue
			}
			var value string
			if kind := jsonKind(raw); kind != "a string" || json.Unmarshal(raw, &value) != nil {
				add("%s is %s: write it as a string", key, kind)
				continue
			}
			if _, twice := values[key]; twice {
				add("%s is there twice: keep one", key)
			}
			values[key] = value
		}
		if _, err := dec.Token(); err != nil {
			add("is not JSON after byte %d: the closing brace is missing", dec.InputOffset())
			return
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			add("goes on after the JSON object: remove what follows byte %d", dec.InputOffset())
		}
	}
	read()
	if err := invalid(problems...); err != nil {
		return nil, err
	}
	return values, nil
}

// jsonKind names the kind of a valid JSON value.
func jsonKind(raw json.RawMessage) string {
	switch raw[0] {
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
