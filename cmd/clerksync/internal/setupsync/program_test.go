package setupsync_test

import (
	"os"
	"testing"

	"clerksync/cmd/clerksync/internal/setupsync"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// program has the command that is tested here.
type program struct {
	SetupSync setupsync.Command `cmd:"" name:"setup-sync"`
}

// addresses are where the doubles are. Nobody has to give them on the real ones.
func addresses(a *accounts.Accounts) map[string]string {
	return map[string]string{"CLERK_API_URL": a.Clerk + "/v1", "CLERK_ISSUER": a.Clerk, "SUPABASE_API_URL": a.API, "NO_COLOR": "1"}
}
