package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/console"
)

// version is set when the program is built for release.
var version = "dev"

type program struct {
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
	os.Exit(run(ctx, os.Args[1:], console.Process()))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, c console.Console) int {
	return runLine[program](ctx, args, c, kong.Vars{"version": version}, syncVars())
}
