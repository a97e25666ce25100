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
	var parser *kong.Kong
	c := console.Console{Stdout: io.Discard, Stderr: io.Discard, Lookup: func(string) (string, bool) { return "", false }}
	commandline.Run[C](t.Context(), []string{"--version"}, c, kong.Vars{"version": "dev"}, kong.PostBuild(func(k *kong.Kong) error {
		parser = k
		return nil
	}))
	// Its texts are whole only behind that.
	return grammar.Of(parser.Model)
}
