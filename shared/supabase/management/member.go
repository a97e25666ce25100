package management

import (
	"encoding/json"
	"errors"
	"time"
)

// object is a JSON object of the API. A member of another type than is published counts as absent: one that is not
// understood should not hide the rest.
type object map[string]json.RawMessage

// readObject reads any object, and nothing else.
func readObject(text []byte) (object, error) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil || o == nil {
		return nil, errors.New("this is no JSON object")
	}
	return o, nil
}

func (o object) text(name string) string { return member[string](o, name) }

func (o object) raw(name string) json.RawMessage {
	if string(o[name]) == "null" {
		return nil
	}
	return o[name]
}

// time takes times with and without a zone; those without are in UTC. One that has no form in JSON counts as absent.
func (o object) time(name string) time.Time {
	text := o.text(name)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil && t.UTC().Year() > 0 && t.UTC().Year() <= 9999 {
			return t.UTC()
		}
	}
	return time.Time{}
}

func member[T any](o object, name string) T {
	var value, none T
	if json.Unmarshal(o[name], &value) != nil {
		return none
	}
	return value
}
