package jsonkind_test

import (
	"testing"

	"clerksync/shared/jsonkind"
)

func TestOf(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"a"`: "a string", ` {"a":1}`: "an object", "\n[]": "an array", "true": "a boolean", "false": "a boolean",
		"null": "null", "-1": "a number", "0.5": "a number", "": "nothing", " \t": "nothing",
	} {
		if got := jsonkind.Of([]byte(value)); got != want {
			t.Errorf("Of(%q) = %s, want %s", value, got, want)
		}
	}
}
