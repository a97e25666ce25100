package uninstall_test

import (
	"os"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/accounts"
)

// A person is shown the plan and asked, and the password is typed.
func TestUninstall_AsksBeforeItRemoves(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	env := setUp(t, given(a))
	settings := given(a)
	delete(settings, "DATABASE_URL")
	for _, run := range []struct {
		typed string
		code  int
		want  string
		left  int
	}{{"n", commandline.ExitFailed, "nothing was changed", 1}, {"y", commandline.ExitOK, "database: take the passwords", 0}} {
		prompts := []clitest.Answer{{Asks: "Database password", Typed: accounts.OwnerPassword}, {Asks: "None of them can be taken back", Typed: run.typed}}
		code, plan, shown := clitest.AtTerminal[program](t, settings, nil, prompts, "uninstall", "--into", env)
		if code != run.code || !strings.Contains(shown, run.want) || !strings.Contains(plan, "the copy of 20 users and its login roles stay") || len(a.Supabase.Providers(accounts.Project)) != run.left {
			t.Errorf("%s: exit %d, %d providers\n%s\n%s", run.typed, code, len(a.Supabase.Providers(accounts.Project)), plan, shown)
		}
		if strings.Contains(plan+shown, "p@ss") || strings.Contains(plan+shown, "postgresql:") {
			t.Errorf("the terminal shows a secret:\n%s\n%s", plan, shown)
		}
		if _, err := os.Stat(env); (err == nil) != (run.left == 1) {
			t.Errorf("%s: %v", run.typed, err)
		}
	}
}
