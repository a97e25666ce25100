package main

import (
	"go/doc/comment"
	"slices"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/grammar"
)

// examples are the lines below "Examples:" in a command's text, each whole.
func examples(t *testing.T, command *grammar.Command) []string {
	t.Helper()
	content := new(comment.Parser).Parse(command.Text).Content
	for i, block := range content {
		paragraph, ok := block.(*comment.Paragraph)
		if !ok || len(paragraph.Text) != 1 || paragraph.Text[0] != comment.Plain("Examples:") || i+1 == len(content) {
			continue
		}
		if code, ok := content[i+1].(*comment.Code); ok {
			return strings.Split(strings.TrimSuffix(strings.ReplaceAll(code.Text, "\\\n", ""), "\n"), "\n")
		}
	}
	return nil
}

// argumentsOf are the arguments of clerksync in a line that a shell reads.
func argumentsOf(t *testing.T, line string) []string {
	t.Helper()
	words := shellWords(line)
	start := slices.Index(words, "clerksync")
	if start < 0 {
		t.Fatalf("%s: it does not call clerksync", line)
	}
	words = words[start+1:]
	if end := slices.IndexFunc(words, func(w string) bool { return slices.Contains([]string{"|", "<", ">", ">>", "&&"}, w) }); end >= 0 {
		words = words[:end]
	}
	return words
}

// Each command, also one of others, shows how it is called, and what it shows can be typed.
func TestHelp_ShowsExamplesThatParse(t *testing.T) {
	t.Parallel()
	for _, command := range clitest.Grammar[program](t).All() {
		lines := examples(t, command)
		if len(lines) == 0 {
			t.Errorf("%s: its Help has no example; give it lines below \"Examples:\", indented", command)
		}
		before, _, _ := strings.Cut(command.Text, "Examples:")
		if strings.TrimSpace(before) == "" {
			t.Errorf("%s: its Help does not say what it is for before its examples", command)
		}
		own := 0
		for _, line := range lines {
			args := argumentsOf(t, line)
			if err := clitest.Parse[program](t, args...); err != nil {
				t.Errorf("%s: the example %q: %v", command, line, err)
			}
			if calls(command, args) {
				own++
			}
		}
		if own == 0 && len(lines) > 0 {
			t.Errorf("%s: no example of %q is of it", command, lines)
		}
	}
}

// calls reports whether arguments are of a command: the name of a default command may be
// left out.
func calls(command *grammar.Command, args []string) bool {
	rest := args
	for _, name := range command.Path() {
		i := slices.Index(rest, name)
		isDefault := command.Parent != nil && command.Parent.Default == command && name == command.Name
		if i < 0 && !isDefault {
			return false
		}
		rest = rest[i+1:]
	}
	return true
}

func TestHelp_FitsEightyColumns(t *testing.T) {
	t.Parallel()
	for _, command := range clitest.Grammar[program](t).All() {
		got := clerksync(t, nil, append(command.Path(), "--help")...)
		if got.Code != commandline.ExitOK || got.Stderr != "" {
			t.Errorf("%s --help: exit %d\n%s", command, got.Code, got.Stderr)
		}
		for line := range strings.Lines(got.Stdout) {
			if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > 80 || strings.TrimRight(line, " ") != line || strings.Contains(line, "\t") {
				t.Errorf("%s --help: a line of %d columns, or with blanks at its end: %q", command, len([]rune(line)), line)
			}
		}
	}
}
