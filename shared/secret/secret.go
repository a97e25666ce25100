// Package secret holds values that must not be printed: signing secrets, database passwords, API keys.
//
// Wrap a value with [New] where it enters the program and call [Value.Reveal] at the one place that hands it to the
// driver or library that needs it. Everywhere in between, printing it with any verb of package fmt, with log/slog or
// as JSON shows a mark instead, also when it sits in an unexported field of another struct.
//
// The mask guards against accidents, not against code: whoever calls Reveal, or walks memory by reflection and
// pointers, reads the value.
package secret

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// What is printed in place of a value.
const (
	redacted = "[redacted]"
	notSet   = "[not set]"
)

// Value is a string that masks itself. The zero Value is the empty string. Two Values compare equal with == when
// their contents do, so configuration that holds them can be compared for change.
type Value struct {
	// A handle and not a string: package fmt reads unexported fields by reflection, without asking any method, and
	// of a handle it finds an address only.
	h unique.Handle[string]
}

// New wraps s. New("") is the zero Value.
func New(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{h: unique.Make(s)}
}

// Reveal returns the value in clear.
func (v Value) Reveal() string {
	if v.IsZero() {
		return ""
	}
	return v.h.Value()
}

// IsZero reports whether the value is the empty string.
func (v Value) IsZero() bool {
	return v == Value{}
}

// String returns "[redacted]", or "[not set]" for the zero Value.
func (v Value) String() string {
	if v.IsZero() {
		return notSet
	}
	return redacted
}

// GoString is String, for %#v.
func (v Value) GoString() string {
	return v.String()
}

// Format writes String for every verb and flag, so that %x, %q or %d show no more than %v.
func (v Value) Format(f fmt.State, _ rune) {
	io.WriteString(f, v.String())
}

// MarshalText returns String.
func (v Value) MarshalText() ([]byte, error) {
	return []byte(v.String()), nil
}

// MarshalJSON returns String as a JSON string.
func (v Value) MarshalJSON() ([]byte, error) {
	return json.Marshal(v.String()) // a constant string always encodes
}

// LogValue returns String as a slog value.
func (v Value) LogValue() slog.Value {
	return slog.StringValue(v.String())
}
