package uninstall_test

import (
	"context"
	"os"
	"testing"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/setupsync"
	"clerksync/cmd/clerksync/internal/uninstall"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// playVariable has this binary be the program, for tests that kill it.
const playVariable = "CLERKSYNC_TEST_PLAY_UNINSTALL"

func TestMain(m *testing.M) {
	if os.Getenv(playVariable) != "" {
		os.Exit(commandline.Run[program](context.Background(), os.Args[1:], console.Process(), kong.Vars{"version": "dev"}))
	}
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

// program has the command that is tested here, and the one that makes what it removes.
type program struct {
	SetupSync setupsync.Command `cmd:"" name:"setup-sync"`
	Uninstall uninstall.Command `cmd:""`
}

// given are a person's settings.
func given(a *accounts.Accounts) map[string]string {
	return map[string]string{
		"CLERK_API_URL": a.Clerk + "/v1", "CLERK_ISSUER": a.Clerk, "SUPABASE_API_URL": a.API, "NO_COLOR": "1",
		"CLERK_SECRET_KEY": a.SecretKey, "CLERK_PUBLISHABLE_KEY": a.PublishableKey,
		"SUPABASE_ACCESS_TOKEN": accounts.AccessToken, "SUPABASE_PROJECT_REF": accounts.Project, "DATABASE_URL": a.Owner,
	}
}
