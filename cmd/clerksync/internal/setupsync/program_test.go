package setupsync_test

import (
	"context"
	"os"
	"testing"

	"github.com/alecthomas/kong"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/setupsync"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// playVariable has this binary be the program, for tests that kill it.
const playVariable = "CLERKSYNC_TEST_PLAY_SETUP_SYNC"

func TestMain(m *testing.M) {
	if os.Getenv(playVariable) != "" {
		os.Exit(commandline.Run[program](context.Background(), os.Args[1:], console.Process(), kong.Vars{"version": "dev"}))
	}
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

// program has the command that is tested here.
type program struct {
	SetupSync setupsync.Command `cmd:"" name:"setup-sync"`
}

// addresses are where the doubles are. They need not be given for the real ones.
func addresses(a *accounts.Accounts) map[string]string {
	return map[string]string{"CLERK_API_URL": a.Clerk + "/v1", "CLERK_ISSUER": a.Clerk, "SUPABASE_API_URL": a.API, "NO_COLOR": "1"}
}

// given are the settings of a person who is asked about the role alone.
func given(a *accounts.Accounts) map[string]string {
	settings := addresses(a)
	settings["CLERK_SECRET_KEY"], settings["CLERK_PUBLISHABLE_KEY"] = a.SecretKey, a.PublishableKey
	settings["SUPABASE_ACCESS_TOKEN"], settings["SUPABASE_PROJECT_REF"] = accounts.AccessToken, accounts.Project
	return settings
}
