package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/need"
)

var update = flag.Bool("update", false, "write docs/cli.md and docs/clerksync.1 anew")

// The pages in docs are what the program prints.
func TestManual_IsInTheDocs(t *testing.T) {
	t.Parallel()
	for file, args := range map[string][]string{"cli.md": {"manual", "--markdown"}, "clerksync.1": {"manual"}} {
		got := clerksync(t, nil, args...)
		if got.Code != commandline.ExitOK || got.Stderr != "" {
			t.Fatalf("%q: exit %d\n%s", args, got.Code, got.Stderr)
		}
		path := filepath.Join(root, "docs", file)
		if *update {
			if err := os.WriteFile(path, []byte(got.Stdout), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != got.Stdout {
			t.Errorf("docs/%s is not what the commands say of themselves: run \"make cli-docs\"", file)
		}
	}
}

// Both pages say of every command how it is called, what it takes and all its examples.
func TestManual_LeavesNothingOut(t *testing.T) {
	t.Parallel()
	need.Program(t, "mandoc", "apt install mandoc")
	page := rendered(t, "ascii")
	markdown := clerksync(t, nil, "manual", "--markdown").Stdout
	_, commands, _ := strings.Cut(page, "\nCOMMANDS")
	for _, command := range clitest.Grammar[program](t).All() {
		wanted := append([]string{command.Usage}, examples(t, command)...)
		for _, v := range append(command.Arguments, command.Flags...) {
			wanted = append(wanted, v.Usage)
		}
		_, there, _ := strings.Cut(commands, "\n   "+command.String()+"\n")
		there, _, _ = strings.Cut(there, "\n   clerksync ")
		_, section, _ := strings.Cut(markdown, "\n## "+command.String()+"\n")
		section, _, _ = strings.Cut(section, "\n## clerksync ")
		if command.Parent == nil {
			there, section = page, markdown
		}
		for _, want := range wanted {
			if !strings.Contains(squeezed(there), squeezed(want)) {
				t.Errorf("clerksync.1 does not have of %s: %s", command, want)
			}
			if !strings.Contains(squeezed(strings.ReplaceAll(section, `\|`, "|")), squeezed(want)) {
				t.Errorf("cli.md does not have of %s: %s", command, want)
			}
		}
	}
}

// squeezed is a text without what lines and columns make of it.
func squeezed(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\\\n", " ")), " ")
}

// Both programs that show such pages read it without a complaint, and show it as it was
// meant within 80 columns.
func TestManual_IsAPageForMan(t *testing.T) {
	t.Parallel()
	need.Program(t, "mandoc", "apt install mandoc")
	out, _ := exec.CommandContext(t.Context(), "mandoc", "-T", "lint", "-W", "warning", manualPage(t)).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		// It has none, so that the same program prints the same page.
		if !strings.Contains(line, "missing date") {
			t.Errorf("mandoc: %s", line)
		}
	}
	for line := range strings.Lines(rendered(t, "utf8")) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if groff, err := exec.LookPath("groff"); err == nil {
		out, err := exec.CommandContext(t.Context(), groff, "-man", "-ww", "-z", "-Kutf8", manualPage(t)).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("groff: %v\n%s", err, out)
		}
	}
}

func manualPage(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clerksync.1")
	write(t, path, clerksync(t, nil, "manual").Stdout)
	return path
}

// overstruck is a letter in bold or underlined, as a typewriter makes it.
var overstruck = regexp.MustCompile(`.\x08`)

func rendered(t *testing.T, device string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "mandoc", "-T", device, "-O", "width=80", manualPage(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	return overstruck.ReplaceAllString(string(out), "")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
