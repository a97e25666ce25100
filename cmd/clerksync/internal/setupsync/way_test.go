package setupsync_test

import (
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/accounts"
)

// Without the password the ways are offered with what they cost, and each leads to rows.
func TestSetupSync_OffersWaysWithoutTheDatabasePassword(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"login", "sql"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			a := accounts.New(t)
			args := []string{"setup-sync", "--yes", "--into", filepath.Join(t.TempDir(), ".env")}
			got := clitest.Run[program](t, given(a), args...)
			for _, want := range []string{"the database password is needed", "--database-by " + way + ": ", "database_write", "tried against a double only"} {
				if got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, want) {
					t.Errorf("exit %d, want %q\n%s", got.Code, want, got.Stderr)
				}
			}
			got = clitest.Run[program](t, given(a), append(args, "--database-by", way)...)
			if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "rows: done: Clerk has 20 users, the copy 20") {
				t.Errorf("exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
			}
			if strings.Contains(got.Stdout+got.Stderr, "SCRAM") || strings.Contains(got.Stdout+got.Stderr, "postgresql:") {
				t.Errorf("it shows a secret:\n%s%s", got.Stdout, got.Stderr)
			}
		})
	}
	if got := clitest.Run[program](t, nil, "setup-sync", "--database-by", "sql", "--database-password-file", "x"); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "is for --database-by password") {
		t.Errorf("exit %d\n%s", got.Code, got.Stderr)
	}
}
