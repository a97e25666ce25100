package lambdatest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// forgetful are the intervals at which a function reads its secret, and what they
// become.
var forgetful = []struct {
	written *regexp.Regexp
	becomes string
}{
	{regexp.MustCompile(`defaultTTL\s+= 5 \* time\.Minute\n`), "defaultTTL = time.Second\n"},
	{regexp.MustCompile(`minInterval\s+= time\.Minute `), "minInterval = 200 * time.Millisecond "},
}

// BuildForgetful is [Build] of a function that keeps its secret for a second and
// reads it again at most every 200 ms, where others keep it for five minutes and
// wait for one: a rotation then takes seconds. Nothing else is different.
func BuildForgetful(t testing.TB, pkg string) string {
	t.Helper()
	dir := t.TempDir()
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatalf("finding the module: %v", err)
	}
	path := filepath.Join(strings.TrimSpace(string(module)), "shared", "config", "config.go")
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, interval := range forgetful {
		if n := len(interval.written.FindAll(source, -1)); n != 1 {
			t.Fatalf("%s holds %s %d times, want once: change lambdatest with it", path, interval.written, n)
		}
		source = interval.written.ReplaceAll(source, []byte(interval.becomes))
	}
	replaced, overlay := filepath.Join(dir, "config.go"), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: replaced}})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{replaced: source, overlay: list} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return build(t, pkg+", forgetful", pkg, "-overlay", overlay)
}
