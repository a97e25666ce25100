package console

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestNames_AreCutAtCommas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		given []string
		want  []string // nil: refused
	}{
		{[]string{"a"}, []string{"a"}},
		{[]string{"a,b", "c"}, []string{"a", "b", "c"}},
		{[]string{`a\,b,c`}, []string{"a,b", "c"}},
		{[]string{`odd " name`}, []string{`odd " name`}},
		{[]string{""}, nil},
		{[]string{"a,"}, nil},
		{[]string{",a"}, nil},
		{[]string{"a", ""}, nil},
	} {
		var got Names
		var err error
		for _, text := range test.given {
			err = errors.Join(err, got.UnmarshalText([]byte(text)))
		}
		if (err != nil) != (test.want == nil) || err == nil && !slices.Equal(got, test.want) {
			t.Errorf("%q = %q, %v, want %q", test.given, got, err, test.want)
		}
	}
}

func TestPath_IsAbsoluteAndGivenOnce(t *testing.T) {
	t.Parallel()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"a": filepath.Join(here, "a"), "/a/../b": "/b", "~/a": filepath.Join(home, "a"), "~a": filepath.Join(here, "~a"), "": "",
	} {
		var p Path
		if err := p.UnmarshalText([]byte(given)); (err != nil) != (want == "") || string(p) != want {
			t.Errorf("%q = %q, %v, want %q", given, p, err, want)
		}
		if err := p.UnmarshalText([]byte("again")); want != "" && err == nil {
			t.Errorf("%q is replaced by another", given)
		}
	}
}
