// Package supabasecli runs the real Supabase CLI against a test's database.
//
//	for _, advice := range supabasecli.Advisors(t, db.Owner(), "warn") {
//		t.Errorf("%s: %s", advice.Name, advice.Detail)
//	}
//
// A test is skipped where the CLI is not installed, and fails there when CI=true.
// It needs no account, no network and no Docker.
package supabasecli

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"clerksync/shared/testkit/need"
)

// Need skips t where the CLI is not installed, or fails it when CI=true, and returns the
// CLI's path.
func Need(t testing.TB) string {
	t.Helper()
	return need.Program(t, "supabase", `"npm install supabase" brings the Supabase CLI`)
}

// Run runs the CLI in a folder and returns what it prints on its standard output.
func Run(t testing.TB, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), Need(t), args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "SUPABASE_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1", "HOME="+t.TempDir())
	var talk strings.Builder
	command.Stderr = &talk
	out, err := command.Output()
	if err != nil {
		t.Fatalf("supabase %s: %v\n%s%s", strings.Join(args, " "), err, out, talk.String())
	}
	return string(out)
}

// Advice is one finding of Supabase's own linter.
type Advice struct {
	Name   string `json:"name"`
	Level  string `json:"level"`
	Detail string `json:"detail"`
	// CacheKey tells findings apart; some names are in it alone.
	CacheKey string `json:"cacheKey"`
	// Metadata differs from lint to lint.
	Metadata json.RawMessage `json:"metadata"`
}

// Advisors runs the linter on a database and returns what it finds at a level
// ("info", "warn" or "error") and above. It takes public for the exposed schema.
func Advisors(t testing.TB, url, level string) []Advice {
	t.Helper()
	out := Run(t, t.TempDir(), "db", "advisors", "--remote="+url, "--level", level, "--fail-on", "none", "--output-format", "json")
	var answer struct {
		Results []Advice `json:"results"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("reading the linter's answer %q: %v", out, err)
	}
	return answer.Results
}
