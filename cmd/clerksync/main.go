// The clerksync command is the operator's side of clerksync: it runs the whole
// thing locally, migrates a database, and answers what became of an event.
//
//	clerksync dev                    a local stack: Postgres, webhook endpoint, a Clerk that lives
//	clerksync migrate plan|up|verify the database side
//	clerksync sync-users             make the copy say what Clerk says, whatever webhooks lost
//	clerksync configure-rls          row level security of tables: written, proved, linted; an audit log
//	clerksync test-jwt               what is the matter with a token, in one sentence
//	clerksync status                 what the copy holds, beside what Clerk does
//	clerksync events list|replay     what arrived, and what to do about it
//	clerksync deletions list|show    what deleted objects held, while it is held back
//
// Data goes to stdout and talk to stderr. Exit codes: 0 fine, 1 failed, 2 wrong
// usage, 130 interrupted. Secrets come from the environment or from the file
// that --env-file names, never from the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/joho/godotenv"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// version is set when the program is built for release.
var version = "dev"

type arguments struct {
	JSON    bool             `help:"Write data as JSON." name:"json"`
	EnvFile string           `help:"Read settings from a file of KEY=VALUE lines; the environment wins." type:"existingfile" placeholder:"FILE"`
	Version kong.VersionFlag `help:"Print the version."`

	Dev          devCommand       `cmd:"" help:"Run the local stack: Postgres, the webhook endpoint and a Clerk that lives."`
	Migrate      migrateCommand   `cmd:"" help:"Set up the database side: plan, apply, verify and export migrations."`
	SyncUsers    syncUsersCommand `cmd:"" help:"Read users, organizations and memberships from Clerk and set the copy right."`
	ConfigureRLS rlsCommand       `cmd:"" name:"configure-rls" help:"Write, prove and lint row level security; audit tables."`
	TestJWT      testJWTCommand   `cmd:"" name:"test-jwt" help:"Say what is the matter with a token: for Clerk, for Supabase and in the database."`
	Status       statusCommand    `cmd:"" help:"Show what the copy and Clerk hold, the last full sync and when a webhook last came."`
	Events       eventsCommand    `cmd:"" help:"List the webhook events that arrived, and replay rejected ones."`
	Deletions    deletionsCommand `cmd:"" help:"List, show and drop what is held back of deleted objects."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second signal gets the default treatment: it ends the program at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], processConsole()))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, c console) int {
	// The errors of the parser and of what comes after it would repeat it.
	if hasSecret(args) {
		return conclude(ctx, c, errSecretInArguments())
	}
	var parsed arguments
	// Flags such as --help do their work while the line is parsed and are done
	// then; kong would end the process, and with it a test.
	done := -1
	parser, err := kong.New(&parsed,
		kong.Name("clerksync"),
		kong.Description("A faithful copy of Clerk's users, organizations and memberships in Supabase Postgres."),
		kong.Vars{"version": version},
		kong.Vars(syncVars()),
		kong.Writers(c.Stdout, c.Stderr),
		kong.Exit(func(code int) { done = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		c.say("clerksync: error: %v", err)
		return exitFailed
	}
	parsedArgs, err := parser.Parse(args)
	if done >= 0 {
		return done
	}
	if meansToken(err) {
		return conclude(ctx, c, errSecretInArguments())
	}
	if err != nil {
		refused(c, err, args)
		return exitUsage
	}

	c.JSON = parsed.JSON
	if parsed.EnvFile != "" {
		if c.Lookup, err = withFile(ctx, parsed.EnvFile, c.Lookup); err != nil {
			c.say("clerksync: error: %v", err)
			return exitUsage
		}
	}
	parsedArgs.BindTo(ctx, (*context.Context)(nil))
	return conclude(ctx, c, parsedArgs.Run(c))
}

// conclude says what a command failed at and returns the exit code.
func conclude(ctx context.Context, c console, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitFailed
	if errors.Is(err, errInterrupted) || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		code = exitInterrupted
		c.say("clerksync: interrupted")
	} else {
		if _, usage := errors.AsType[*usageError](err); usage {
			code = exitUsage
		}
		c.say("clerksync: error: %v", err)
	}
	if hinted, ok := errors.AsType[*hintedError](err); ok {
		c.say("clerksync: hint: %s", hinted.hint)
	}
	return code
}

// maxEnvFile is many times what settings take.
const maxEnvFile = 1 << 20

// withFile adds the settings of a file to a lookup. The environment wins, as it
// does in the tools that share such files.
func withFile(ctx context.Context, path string, lookup func(string) (string, bool)) (func(string) (string, bool), error) {
	text, err := readFile(ctx, path, maxEnvFile)
	if err != nil {
		return nil, err
	}
	settings, err := godotenv.Unmarshal(text)
	if err != nil {
		// The parser quotes the line that it cannot read, which may hold a secret.
		return nil, fmt.Errorf("%s is not a file of KEY=VALUE lines", shownPath(path))
	}
	return func(key string) (string, bool) {
		if value, ok := lookup(key); ok {
			return value, true
		}
		value, ok := settings[key]
		return value, ok
	}, nil
}
