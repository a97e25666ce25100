// Package completion is the command completion: a script with which bash, zsh or fish
// completes the command line. It is made of the grammar and holds all of it: nothing is
// run while somebody types, so that no argument is handed on.
package completion

import (
	"fmt"
	"io"
	"slices"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/grammar"
)

// Command is completion, as kong reads it.
type Command struct {
	Shell shell `arg:"" help:"The shell that completes: bash, zsh or fish."`
}

// Help is the text below the flags' list in "clerksync completion --help".
func (Command) Help() string {
	return `The script completes commands, flags, the words that a flag takes, files and folders. It is of this release: print it anew after
an update.

Examples:
  clerksync completion bash > ~/.clerksync.bash
  clerksync completion zsh > "${fpath[1]}/_clerksync"
  clerksync completion fish > ~/.config/fish/completions/clerksync.fish

For bash, ~/.bashrc has to read the file: ". ~/.clerksync.bash". For zsh the folder has to be in fpath before compinit is called.`
}

// shell is one that can complete.
type shell string

var scripts = map[shell]func(*grammar.Command) string{"bash": bash, "zsh": zsh, "fish": fish}

// Choices are the shells there are.
func (shell) Choices() []string { return []string{"bash", "zsh", "fish"} }

// UnmarshalText is called while the command line is parsed.
func (s *shell) UnmarshalText(text []byte) error {
	if !slices.Contains(s.Choices(), string(text)) {
		return fmt.Errorf("there is no completion for %q; there is one for %s", text, console.List(s.Choices()))
	}
	*s = shell(text)
	return nil
}

// Run is the command.
func (cmd Command) Run(c console.Console, g *grammar.Command) error {
	script := scripts[cmd.Shell](g)
	if c.JSON {
		return c.Encode(map[string]string{"shell": string(cmd.Shell), "script": script})
	}
	_, err := io.WriteString(c.Stdout, script)
	return err
}
