package jwtdiag

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestReadObject_FindsRepeatedNamesAtEveryDepth(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		repeated []string
		first    string
	}{
		`{"a":1,"b":2}`:                         {nil, `{"a":1,"b":2}`},
		`{"a":1,"b":2,"a":3}`:                   {[]string{"a"}, `{"a":1,"b":2}`},
		`{"a":1,"a":2,"a":3}`:                   {[]string{"a", "a"}, `{"a":1}`},
		`{"o":{"id":"x","rol":1,"id":"y"}}`:     {[]string{"o.id"}, `{"o":{"id":"x","rol":1}}`},
		`{"l":[{"k":1,"k":2},[{"k":1,"k":2}]]}`: {[]string{"l.[].k", "l.[].[].k"}, `{"l":[{"k":1},[{"k":1}]]}`},
		// Of what is left out nothing counts.
		`{"o":1,"o":{"a":1,"a":2}}`: {[]string{"o"}, `{"o":1}`},
		// The same name, written in two ways.
		`{"a":1,"\u0061":2}`:          {[]string{"a"}, `{"a":1}`},
		` { "a" : [ ] , "a" : { } } `: {[]string{"a"}, `{"a":[]}`},
		`{"":1,"":2}`:                 {[]string{""}, `{"":1}`},
		`{"n":1.50e2,"n":0}`:          {[]string{"n"}, `{"n":1.50e2}`},
	} {
		o, err := readObject([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want.repeated, o.repeated, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: repeated (-want +got):\n%s", text, diff)
		}
		if got := string(o.asFirst()); got != want.first {
			t.Errorf("%s as PostgREST reads it: %s, want %s", text, got, want.first)
		}
	}
	deep := strings.Repeat(`{"a":`, 5000) + `{"b":1,"b":2}` + strings.Repeat("}", 5000)
	if o, err := readObject([]byte(deep)); err != nil || len(o.repeated) != 0 {
		t.Errorf("names beyond any reader's depth: %v", err)
	}
}

// The first values are an object without repeated names, and the same one where
// there were none.
func FuzzFirstValues(f *testing.F) {
	for _, seed := range []string{`{"a":1,"a":2}`, `{"o":{"id":1,"id":2},"l":[{"x":1,"x":1}]}`, `{"\u0061":"\ud800"}`, `{}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := readObject([]byte(text))
		if err != nil {
			return
		}
		first := o.asFirst()
		again, err := readObject(first)
		if err != nil {
			t.Fatalf("%q: first values %q: %v", text, first, err)
		}
		if len(again.repeated) > 0 {
			t.Errorf("%q: first values %q still repeat %q", text, first, again.repeated)
		}
		if len(o.repeated) == 0 {
			var a, b any
			if json.Unmarshal([]byte(text), &a) != nil || json.Unmarshal(first, &b) != nil || !cmp.Equal(a, b) {
				t.Errorf("%q became %q", text, first)
			}
		}
	})
}
