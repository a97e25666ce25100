package setupsync_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/managementdouble"
)

// A stranger with two empty accounts: one command, and what has to be given.
func TestSetupSync_TakesAStrangerFromTwoEmptyAccountsToRows(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	a.Supabase.Add(managementdouble.Project{Ref: "zyxwvutsrqponmlkjihg", Name: "Another"})
	env := filepath.Join(t.TempDir(), ".env")
	prompts := []clitest.Answer{
		{Asks: "Clerk secret key", Typed: accounts.SecretKey},
		{Asks: "Clerk publishable key", Typed: accounts.PublishableKey("live")},
		{Asks: "Supabase access token", Typed: accounts.AccessToken},
		{Asks: "Which project?", Typed: "1"},
		{Asks: "Database password", Typed: accounts.OwnerPassword},
		{Asks: "7 changes will be made", Typed: "y"},
	}
	code, plan, shown := clitest.AtTerminal[program](t, addresses(a), nil, prompts, "setup-sync", "--into", env)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, plan, shown)
	}
	for _, want := range []string{"provider: register " + a.Clerk, "rows: done: Clerk has 20 users, the copy 20", "the set-up is done"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the terminal does not show %q:\n%s", want, shown)
		}
	}
	text, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{accounts.SecretKey, accounts.AccessToken, "p@ss", "p%40ss"}
	for line := range strings.Lines(string(text)) {
		if _, after, ok := strings.Cut(line, "postgresql://"); ok {
			secrets = append(secrets, strings.TrimSpace(after))
		}
	}
	for _, hidden := range secrets {
		if strings.Contains(shown+plan, hidden) {
			t.Errorf("the terminal shows %q", hidden)
		}
	}

	// The second time it is told the token alone, and has nothing to do.
	code, _, shown = clitest.AtTerminal[program](t, addresses(a), nil, []clitest.Answer{{Asks: "Supabase access token", Typed: accounts.AccessToken}}, "setup-sync", "--into", env)
	again, err := os.ReadFile(env)
	if code != 0 || !strings.Contains(shown, "nothing to do") || err != nil || string(again) != string(text) {
		t.Errorf("the second time: exit %d, %v\n%s", code, err, shown)
	}
}

func TestSetupSync_ChangesNothingThatIsNotAgreedTo(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	settings := addresses(a)
	settings["CLERK_SECRET_KEY"], settings["SUPABASE_ACCESS_TOKEN"] = accounts.SecretKey, accounts.AccessToken
	settings["NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY"] = accounts.PublishableKey("live")
	for typed, want := range map[string]int{"n": 1, "\x03": 130} {
		folder := t.TempDir()
		prompts := []clitest.Answer{{Asks: "Database password", Typed: accounts.OwnerPassword}, {Asks: "Go on?", Typed: typed}}
		if typed == "\x03" {
			prompts = []clitest.Answer{{Asks: "Database password", Typed: typed}}
		}
		code, _, shown := clitest.AtTerminal[program](t, settings, nil, prompts, "setup-sync", "--into", filepath.Join(folder, ".env"))
		entries, err := os.ReadDir(folder)
		if code != want || err != nil || len(entries) != 0 || len(a.Supabase.Providers(accounts.Project)) != 0 {
			t.Errorf("%q: exit %d, the folder has %v, %v:\n%s", typed, code, entries, err, shown)
		}
	}
}
