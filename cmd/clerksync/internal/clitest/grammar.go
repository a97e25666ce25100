package clitest

import (
	"io"
	"testing"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/grammar"
)

// Grammar is what a command line of the commands of C takes.
func Grammar[C any](t *testing.T) *grammar.Command {
	t.Helper()
	return grammar.Of(parser[C](t).Model)
}

// Parse reads a command line and runs nothing.
func Parse[C any](t *testing.T, args ...string) error {
	t.Helper()
	_, err := parser[C](t).Parse(args)
	return err
}

// parser is the one that a command line is read with. Its texts are whole only behind that.
func parser[C any](t *testing.T) *kong.Kong {
	t.Helper()
	var parser *kong.Kong
	c := console.Console{Stdout: io.Discard, Stderr: io.Discard, Lookup: func(string) (string, bool) { return "", false }}
	commandline.Run[C](t.Context(), []string{"--version"}, c, kong.Vars{"version": "dev"}, kong.PostBuild(func(k *kong.Kong) error {
		parser = k
		return nil
	}))
	return parser
}
