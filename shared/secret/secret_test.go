package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"clerksync/shared/secret"
)

const plain = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// holder has the value in every position that printing reaches by another way: exported and unexported fields,
// behind pointers, in slices, maps and interfaces.
type holder struct {
	Exported secret.Value
	hidden   secret.Value
	Pointer  *secret.Value
	List     []secret.Value
	ByName   map[string]secret.Value
	ByValue  map[secret.Value]string
	Any      any
	nested   struct{ deep secret.Value }
}

func newHolder() holder {
	v := secret.New(plain)
	h := holder{
		Exported: v, hidden: v, Pointer: &v, List: []secret.Value{v}, Any: v,
		ByName: map[string]secret.Value{"k": v}, ByValue: map[secret.Value]string{v: "x"},
	}
	h.nested.deep = v
	return h
}

func TestValue_StaysMaskedUnderEveryVerb(t *testing.T) {
	t.Parallel()
	v := secret.New(plain)
	h := newHolder()

	inputs := map[string]any{
		"value": v, "pointer": &v, "struct": h, "pointer to struct": &h, "slice": []secret.Value{v},
		"slice of any": []any{v, &v}, "error": fmt.Errorf("using %v: %w", v, errors.New("x")),
	}
	for name, in := range inputs {
		for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "40", ".3", "40.20"} {
			for verb := rune('A'); verb <= 'z'; verb++ {
				format := "%" + flags + string(verb)
				if got := fmt.Sprintf(format, in); leaks(got) {
					t.Errorf("%s printed with %s shows the secret: %s", name, format, got)
				}
			}
		}
	}
}

func TestValue_PrintsWhetherItIsSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   secret.Value
		want string
	}{
		{secret.New(plain), "[redacted]"},
		{secret.New(""), "[not set]"},
		{secret.Value{}, "[not set]"},
	} {
		text, err := tt.in.MarshalText()
		if err != nil {
			t.Fatalf("MarshalText: %v", err)
		}
		for how, got := range map[string]string{
			"String": tt.in.String(), "GoString": tt.in.GoString(), "%v": fmt.Sprintf("%v", tt.in),
			"%#v": fmt.Sprintf("%#v", tt.in), "%q": fmt.Sprintf("%q", tt.in), "MarshalText": string(text),
			"LogValue": tt.in.LogValue().String(),
		} {
			if got != tt.want {
				t.Errorf("%s = %q, want %q", how, got, tt.want)
			}
		}
	}
}

func TestValue_StaysMaskedInJSON(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(newHolder())
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	if leaks(string(got)) {
		t.Errorf("JSON shows the secret: %s", got)
	}
	if want := `"Exported":"[redacted]"`; !strings.Contains(string(got), want) {
		t.Errorf("JSON = %s, want it to contain %s", got, want)
	}
}

func TestValue_StaysMaskedInLogs(t *testing.T) {
	t.Parallel()
	v := secret.New(plain)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
	} {
		var out bytes.Buffer
		slog.New(handler(&out)).With("bound", v).Info("starting",
			"value", v, "pointer", &v, "holder", newHolder(), slog.Group("in", "group", v))
		if leaks(out.String()) {
			t.Errorf("%s log shows the secret: %s", name, out.String())
		}
	}
}

func TestValue_RevealsAndCompares(t *testing.T) {
	t.Parallel()
	// Built at run time, so that equality cannot come from one shared constant.
	a, b := secret.New(strings.Clone(plain)), secret.New(string([]byte(plain)))
	if got := a.Reveal(); got != plain {
		t.Errorf("Reveal = %q, want what went in", got)
	}
	if a != b {
		t.Error("two values of the same content are not equal")
	}
	if a == secret.New("other") || a.IsZero() {
		t.Error("different contents compare equal")
	}
	if v := secret.New(""); !v.IsZero() || v != (secret.Value{}) || v.Reveal() != "" {
		t.Error(`New("") is not the zero Value`)
	}
}

// leaks reports whether text shows a good part of the secret: in clear, in hexadecimal, or as a list of byte values.
func leaks(text string) bool {
	return strings.Contains(text, plain[:12]) || strings.Contains(text, plain[20:]) ||
		strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", plain[:6])) ||
		strings.Contains(text, strings.Trim(fmt.Sprint([]byte(plain[:6])), "[]"))
}
