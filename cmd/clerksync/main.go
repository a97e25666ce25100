// The clerksync command is the operator's side of clerksync: it runs the whole
// thing locally, migrates a database, and answers what became of an event.
//
//	clerksync dev                    a local stack: Postgres, webhook endpoint, a Clerk that lives
//	clerksync setup-sync             from keys to a first copy: planned, agreed to, read back
//	clerksync create-webhooks        a webhook endpoint at Clerk, proved; its secret rotated
//	clerksync migrate plan|up|verify the database side
//	clerksync sync-users             make the copy say what Clerk says, whatever webhooks lost
//	clerksync configure-rls          row level security of tables: written, proved, linted; an audit log
//	clerksync test-jwt               what is the matter with a token, in one sentence
//	clerksync status                 what the copy holds, beside what Clerk does
//	clerksync doctor                 what is the matter with the whole set-up, the first cause first
//	clerksync events                 what arrived: listed, shown, followed, replayed, redacted
//	clerksync deletions list|show    what deleted objects held, while it is held back
//	clerksync uninstall              remove what setup-sync and create-webhooks have made
//	clerksync completion             what a shell completes the command line with
//	clerksync manual                 the help of every command in one page
//
// Data goes to stdout and talk to stderr; "clerksync --help" explains the exit codes.
// Secrets come from the environment or from the file that --env-file names, never from
// the command line.
package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/completion"
	"clerksync/cmd/clerksync/internal/configurerls"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/createwebhooks"
	"clerksync/cmd/clerksync/internal/deletions"
	"clerksync/cmd/clerksync/internal/dev"
	"clerksync/cmd/clerksync/internal/doctor"
	"clerksync/cmd/clerksync/internal/events"
	"clerksync/cmd/clerksync/internal/manual"
	"clerksync/cmd/clerksync/internal/migrate"
	"clerksync/cmd/clerksync/internal/setupsync"
	"clerksync/cmd/clerksync/internal/status"
	"clerksync/cmd/clerksync/internal/syncusers"
	"clerksync/cmd/clerksync/internal/testjwt"
	"clerksync/cmd/clerksync/internal/uninstall"
)

// version is set when the program is built for release.
var version = "dev"

type program struct {
	Dev            dev.Command            `cmd:"" help:"Run the local stack: Postgres, the webhook endpoint and a Clerk that lives."`
	SetupSync      setupsync.Command      `cmd:"" name:"setup-sync" help:"Set everything up: keys, project, database, trust and the first rows; shows a plan and asks."`
	CreateWebhooks createwebhooks.Command `cmd:"" name:"create-webhooks" help:"Guide through a webhook endpoint at Clerk and prove that deliveries arrive; rotate its signing secret."`
	Migrate        migrate.Command        `cmd:"" help:"Set up the database side: plan, apply, verify and export migrations."`
	SyncUsers      syncusers.Command      `cmd:"" help:"Read users, organizations and memberships from Clerk and set the copy right."`
	ConfigureRLS   configurerls.Command   `cmd:"" name:"configure-rls" help:"Write, prove and lint row level security; audit tables."`
	TestJWT        testjwt.Command        `cmd:"" name:"test-jwt" help:"Say what is the matter with a token: for Clerk, for Supabase and in the database."`
	Status         status.Command         `cmd:"" help:"Show what the copy and Clerk hold, the last full sync and when a webhook last came."`
	Doctor         doctor.Command         `cmd:"" help:"Look over the whole set-up and name the first cause of what is wrong."`
	Events         events.Command         `cmd:"" help:"List the webhook events that arrived, and replay rejected ones."`
	Deletions      deletions.Command      `cmd:"" help:"List, show and drop what is held back of deleted objects."`
	Uninstall      uninstall.Command      `cmd:"" help:"Remove what setup-sync and create-webhooks have made; shows a plan and asks."`
	Completion     completion.Command     `cmd:"" help:"Print the script with which a shell completes the command line."`
	Manual         manual.Command         `cmd:"" help:"Print the help of every command as one page, for man or as Markdown."`
}

// Help is the text below the first line of "clerksync --help".
func (program) Help() string {
	return `Settings come from the environment and from the file that --env-file names: docs/configuration.md has them all. Secrets never come
from the command line, which others can read. Data goes to stdout, and everything else to stderr.

Examples:
  clerksync dev
  clerksync --env-file .env migrate up
  clerksync --env-file .env sync-users
  clerksync --env-file .env doctor`
}

// Advice is for errors that do not say themselves what to do.
func (program) Advice() string {
	return `"clerksync doctor" looks over the whole set-up and names the first cause`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	defer stop()
	context.AfterFunc(ctx, func() {
		// The shell repeats what a terminal says that is closed.
		signal.Ignore(syscall.SIGHUP)
		// Another signal gets the default treatment: it ends the program at once.
		stop()
	})
	// A write to a reader that has gone away then fails, and the program ends in order; the
	// signal would end it at once. It says nothing by itself: connections raise it, too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	c := console.Process()
	c.Version = version
	os.Exit(run(ctx, os.Args[1:], c))
}

// endings are the signals that end the program in order, but for what the caller had
// ignored, as nohup does.
func endings() []os.Signal {
	return slices.DeleteFunc([]os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}, signal.Ignored)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, c console.Console) int {
	return commandline.Run[program](ctx, args, c, kong.Vars{"version": version})
}
