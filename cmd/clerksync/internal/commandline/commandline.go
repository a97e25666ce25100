// Package commandline reads one command line, runs the command that it names, says
// what went wrong and chooses the exit code. No error repeats what may be a secret.
package commandline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/joho/godotenv"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/grammar"
)

// Exit codes, as exitCodes explains them.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnknown     = 3
	ExitInterrupted = 130
)

// exitCodes is the one place where they are explained: the help and the manual have it.
const exitCodes = `Exit codes:
  0    fine
  1    it failed, or it found what has to be mended
  2    the command line, or a file that it names, cannot be meant
  3    nothing failed, and something that was asked for stayed unknown
  130  it was interrupted, or its reader went away
`

// Run executes one command line and returns the exit code. C is a struct with the
// commands, as kong reads it.
func Run[C any](ctx context.Context, args []string, c console.Console, options ...kong.Option) int {
	stdout, stderr := console.Check(c.Stdout), console.Check(c.Stderr)
	c.Stdout, c.Stderr = stdout, stderr
	// Nothing is worked for that cannot be told.
	told, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-stdout.Failed():
		case <-stderr.Failed():
		case <-told.Done():
		}
		cancel()
	}()
	err := execute[C](told, args, c, options...)
	failed := cmp.Or(stdout.Err(), stderr.Err())
	switch {
	case failed == nil || err == nil && errors.Is(failed, syscall.EPIPE):
		// A reader that goes away has what it wanted.
		return Conclude(ctx, c, err)
	case errors.Is(failed, syscall.EPIPE):
		return ExitInterrupted
	case ctx.Err() == nil && errors.Is(err, context.Canceled):
		err = nil // it was this
	}
	if !errors.Is(err, failed) {
		err = errors.Join(err, fmt.Errorf("writing what was asked for: %w", failed))
	}
	return Conclude(ctx, c, err)
}

func execute[C any](ctx context.Context, args []string, c console.Console, options ...kong.Option) error {
	// The errors of the parser and of what comes after it would repeat it.
	if hasSecret(args) {
		return errSecretInArguments
	}
	var parsed struct {
		JSON     bool             `help:"Write data as JSON." name:"json"`
		EnvFile  console.Path     `help:"Read settings from a file of KEY=VALUE lines; the environment wins." placeholder:"FILE"`
		Version  kong.VersionFlag `help:"Print the version."`
		Commands C                `embed:""`
	}
	// Flags such as --help do their work while the line is parsed and are done
	// then; kong would end the process, and with it a test.
	done := false
	parser, err := kong.New(&parsed, append(options,
		kong.Name("clerksync"),
		kong.Description("A faithful copy of Clerk's users, organizations and memberships in Supabase Postgres."),
		kong.Writers(c.Stdout, c.Stderr),
		kong.Exit(func(int) { done = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, ValueFormatter: grammar.Help}),
	)...)
	if err != nil {
		return err
	}
	if program, ok := any(&parsed.Commands).(kong.HelpProvider); ok {
		parser.Model.Detail = program.Help() + "\n\n" + exitCodes
	}
	g := grammar.Of(parser.Model)
	parsedArgs, err := parser.Parse(args)
	switch unwritten := console.Check(c.Stdout).Err(); {
	case meansToken(err):
		return errSecretInArguments
	case unwritten != nil:
		return unwritten // the parser calls its own help, which could not be written, a wrong argument
	case done:
		return nil
	case err != nil:
		return refused(err, args, g)
	}

	c.JSON = parsed.JSON
	if parsed.EnvFile != "" {
		if c.Lookup, err = withFile(ctx, string(parsed.EnvFile), c.Lookup); err != nil {
			return refused(err, args, g)
		}
	}
	parsedArgs.BindTo(ctx, (*context.Context)(nil))
	parsedArgs.Bind(g)
	return advised(parsedArgs.Run(c), c, parsedArgs, &parsed.Commands)
}

// adviser is a program that knows what to do about an error that does not say it.
type adviser interface{ Advice() string }

// advised is an error that ends with what to do next. Of what was interrupted, or could
// not be written, there is nothing to be said.
func advised(err error, c console.Console, ran *kong.Context, program any) error {
	_, hinted := errors.AsType[*console.HintedError](err)
	unwritten := cmp.Or(console.Check(c.Stdout).Err(), console.Check(c.Stderr).Err())
	if err == nil || hinted || unwritten != nil || errors.Is(err, console.ErrInterrupted) || errors.Is(err, context.Canceled) {
		return err
	}
	if _, usage := errors.AsType[*console.UsageError](err); usage {
		return console.Hint(err, helpOf(ran))
	}
	if program, ok := program.(adviser); ok {
		return console.Hint(err, program.Advice())
	}
	return err
}

// Conclude says what a command failed at and returns the exit code.
func Conclude(ctx context.Context, c console.Console, err error) int {
	if err == nil {
		return ExitOK
	}
	code := ExitFailed
	if errors.Is(err, console.ErrInterrupted) || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		code = ExitInterrupted
		c.Say("clerksync: interrupted")
	} else {
		if _, usage := errors.AsType[*console.UsageError](err); usage {
			code = ExitUsage
		} else if merelyUnknown(err) {
			code = ExitUnknown
		}
		c.Say("clerksync: error: %s", strings.ReplaceAll(err.Error(), "\n", "\n  "))
	}
	if hinted, ok := errors.AsType[*console.HintedError](err); ok {
		c.Say("clerksync: hint: %s", hinted.Hint)
	}
	return code
}

// merelyUnknown reports whether nothing in an error tells of a failure.
func merelyUnknown(err error) bool {
	switch err := err.(type) { //nolint:errorlint // each layer is looked at
	case *console.UnknownError:
		return true
	case interface{ Unwrap() error }:
		return merelyUnknown(err.Unwrap())
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(err.Unwrap(), func(one error) bool { return !merelyUnknown(one) })
	default:
		return false
	}
}

// maxEnvFile is many times what settings take.
const maxEnvFile = 1 << 20

// withFile adds the settings of a file to a lookup. The environment wins, as it
// does in the tools that share such files.
func withFile(ctx context.Context, path string, lookup func(string) (string, bool)) (func(string) (string, bool), error) {
	text, err := console.ReadText(ctx, path, maxEnvFile)
	if err != nil {
		return nil, err
	}
	settings, err := godotenv.Unmarshal(text)
	if err != nil {
		// The parser quotes the line that it cannot read, which may hold a secret.
		return nil, fmt.Errorf("%s is not a file of KEY=VALUE lines", console.ShownPath(path))
	}
	return func(key string) (string, bool) {
		if value, ok := lookup(key); ok {
			return value, true
		}
		value, ok := settings[key]
		return value, ok
	}, nil
}
