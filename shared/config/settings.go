package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"clerksync/shared/jsonkind"
	"clerksync/shared/secret"
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
	*Key
	need   Need
	value  string // trimmed; empty: not set
	origin string
}

// get returns what is set, and where.
func (s settings) get(name string) (value, origin string) {
	if value = clean(s.secret[name]); value != "" {
		return value, fmt.Sprintf("secret %q", s.secretID)
	}
	value, _ = s.lookup(name)
	return clean(value), "environment"
}

// values are the settings that a reader needs, checked: those of the diagnostics, and those of others.
type values struct {
	Diagnostics

	secretKey        secret.Value
	signingSecrets   []secret.Value
	apiURL, queueURL string
	rateShare        float64
	instanceOrigin   string
}

// read checks everything that a reader needs and reports every problem at once.
func (s settings) read(r Reader) (values, error) {
	var v values
	var problems []error
	for i := range keys {
		one := setting{Key: &keys[i], need: keys[i].Needs[r]}
		if one.need == Unused {
			continue
		}
		if one.value, one.origin = s.get(one.Name); one.value == "" {
			problems = append(problems, one.missing())
			continue
		}
		if one.need == OptionalWithDatabase {
			if named, _ := s.get(diagnosticsURL); named == "" {
				continue
			}
		}
		problems = append(problems, one.read(&v, one))
	}
	// In depth, with as much of the other settings as can be used.
	if !v.Database.URL.IsZero() {
		v.Database.ProjectRef = v.ProjectRef
		if s.check != nil {
			problems = append(problems, s.check(v.Database))
		}
	}
	if err := invalid(problems...); err != nil {
		return values{}, err
	}
	return v, nil
}

// invalid joins the problems there are into one error, or returns nil.
func invalid(problems ...error) error {
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w:\n%w", ErrInvalid, err)
	}
	return nil
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

// missing describes a setting that has to be there.
func (s setting) missing() error {
	if s.need != Required {
		return nil
	}
	return fmt.Errorf("%s is not set: %s", s.Name, s.Find)
}

// errorf describes what is wrong with a setting, never quoting its value.
func (s setting) errorf(format string, args ...any) error {
	return fmt.Errorf("%s (%s): %s", s.Name, s.origin, fmt.Sprintf(format, args...))
}

// problem is errorf with the fix behind it, unless the text has one of its own behind a colon.
func (s setting) problem(format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	if s.Find != "" && !strings.Contains(text, ": ") {
		text += ": " + s.Find
	}
	return s.errorf("%s", text)
}

// A name without digits: keys and tokens that were pasted in a name's place have some.
var keyShape = regexp.MustCompile(`^[A-Za-z][A-Za-z_.-]*$`)

const maxKey = 64

// nameKey writes an unknown key for an error text, unless it looks as if a value was pasted in its place.
func nameKey(name string) string {
	if len(name) <= maxKey && keyShape.MatchString(name) && mistaken(name, "") == "" {
		return fmt.Sprintf("key %q", name)
	}
	return fmt.Sprintf("a key of %d characters that is not shown", len(name))
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
			if kind := mistaken(strings.TrimSpace(text), ""); kind != "" {
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
			if kind := jsonkind.Of(raw); kind != "a string" || json.Unmarshal(raw, &value) != nil {
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
