package request_test

import (
	"strings"
	"testing"
	"time"

	"clerksync/shared/rls/internal/request"
)

func TestSet_QuotesWhatItSets(t *testing.T) {
	t.Parallel()
	got := request.Set("request.jwt.claims", `{"name":"O'Neill\n"}`, "role", "anon")
	if want := `select set_config('request.jwt.claims', '{"name":"O''Neill\n"}', true), set_config('role', 'anon', true)`; got != want {
		t.Errorf("Set = %s, want %s", got, want)
	}
}

// Claims of an older setting would be believed before those of the request.
func TestSettings_EmptyTheOlderClaims(t *testing.T) {
	t.Parallel()
	settings := map[string]string{}
	list := request.Settings("POST", `{"sub":"user_1"}`)
	for i := 0; i < len(list); i += 2 {
		settings[list[i]] = list[i+1]
	}
	for name, want := range map[string]string{
		"request.jwt.claims": `{"sub":"user_1"}`, "request.method": "POST", "request.headers": "{}",
		"request.jwt.claim": "", "request.jwt.claim.sub": "", "request.jwt.claim.role": "", "request.jwt.claim.email": "",
	} {
		if got, set := settings[name]; !set || got != want {
			t.Errorf("%s = %q, set %t, want %q", name, got, set, want)
		}
	}
}

func TestSearchPath_NamesEverySchemaOnce(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		"public":     `"public", "extensions"`,
		"extensions": `"extensions", "public"`,
		`Odd"one`:    `"Odd""one", "public", "extensions"`,
	} {
		if got := request.SearchPath(schema); got != want {
			t.Errorf("SearchPath(%s) = %s, want %s", schema, got, want)
		}
	}
}

func TestMilliseconds_AreNeverZero(t *testing.T) {
	t.Parallel()
	var got []string
	for _, d := range []time.Duration{0, time.Microsecond, -time.Second, 1999 * time.Microsecond, 2 * time.Second} {
		got = append(got, request.Milliseconds(d))
	}
	if want := "1 1 1 1 2000"; strings.Join(got, " ") != want {
		t.Errorf("Milliseconds = %s, want %s", got, want)
	}
}
