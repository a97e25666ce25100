package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/config"
)

var update = flag.Bool("update", false, "write what is made from the table of settings anew")

// checkGenerated compares a file with what the table makes of it, or writes that.
func checkGenerated(t *testing.T, path string, generate func(old string) string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := generate(string(text))
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("%s is old; run \"make settings\" and review the difference (-committed +now):\n%s", path, diff)
	}
}

// documented are the readers that documentation has a column for.
var documented = []config.Reader{config.ReaderIngest, config.ReaderConsumer, config.ReaderSync, config.ReaderDiagnostics}

var words = map[config.Need]string{config.Optional: "optional", config.OptionalWithDatabase: "optional", config.Recommended: "recommended", config.Required: "required"}

func TestKeys_AreDocumented(t *testing.T) {
	t.Parallel()
	checkGenerated(t, "../../docs/configuration.md", func(old string) string {
		table := "| key | secret | webhook | consumer | full sync | diagnostics | |\n|---|---|---|---|---|---|---|\n"
		for _, key := range config.Keys() {
			cells := []string{"`" + key.Name + "`", map[bool]string{true: "yes"}[key.Secret]}
			for _, r := range documented {
				cells = append(cells, words[key.Needs[r]])
			}
			table += "|"
			for _, cell := range append(cells, key.Description) {
				table += strings.TrimRight(" "+cell, " ") + " |"
			}
			table += "\n"
		}
		place := regexp.MustCompile(`(?m)^\| key \|.*\n(\|.*\n)+`)
		if n := len(place.FindAllString(old, -1)); n != 1 {
			t.Fatalf("docs/configuration.md has %d tables of settings, want one", n)
		}
		return place.ReplaceAllLiteralString(old, table)
	})
}

func TestKeys_LayOutTheSecret(t *testing.T) {
	t.Parallel()
	checkGenerated(t, "../../infra/secret.json", func(string) string {
		var lines []string
		for _, key := range config.Keys() {
			if key.Stack {
				continue
			}
			need := config.Unused
			for _, r := range documented {
				need = max(need, key.Needs[r])
			}
			prefix := words[need] + ": "
			if need == config.Required {
				prefix = ""
			}
			// As it is written by hand: json.Marshal would escape the brackets.
			var value bytes.Buffer
			encoder := json.NewEncoder(&value)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode("<" + prefix + key.Example + ">"); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("  %q: %s", key.Name, strings.TrimSpace(value.String())))
		}
		return "{\n" + strings.Join(lines, ",\n") + "\n}\n"
	})
}

// A row that lacked its check would leave a value unread.
func TestKeys_SayEverything(t *testing.T) {
	t.Parallel()
	for _, key := range config.Keys() {
		if key.Example == "" || strings.ContainsAny(key.Example, "<>") {
			t.Errorf("%s: example %q, want one without brackets", key.Name, key.Example)
		}
		for _, r := range documented {
			if key.Needs[r] == config.Required && key.Find == "" {
				t.Errorf("%s is required, and nothing says where to find it", key.Name)
			}
		}
	}
}
