package setupsync_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/managementdouble"
)

// prompt is a question and what is typed.
type prompt struct{ asks, typed string }

// at runs a command line at a terminal and answers what it asks.
func at(t *testing.T, settings map[string]string, prompts []prompt, args ...string) (code int, stdout, shown string) {
	t.Helper()
	tty, keys := clitest.NewKeyboard(t)
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		c := console.Console{Stdin: tty, Stdout: &out, Stderr: tty, StderrTTY: true}
		got := clitest.On[program](t.Context(), c, settings, args...)
		code = got.Code
		done <- fmt.Errorf("exit code %d", got.Code)
	}()
	for _, p := range prompts {
		keys.Screen.Await(t, p.asks, done, func() bool { return strings.Contains(keys.Screen.Stdout(), p.asks) })
		if _, err := keys.WriteString(p.typed + "\r"); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	if _, err := tty.WriteString("the end"); err != nil {
		t.Fatal(err)
	}
	keys.Screen.Await(t, "the end", nil, func() bool { return strings.Contains(keys.Screen.Stdout(), "the end") })
	return code, out.String(), keys.Screen.Stdout()
}

// A stranger with two empty accounts: one command, and what has to be given.
func TestSetupSync_TakesAStrangerFromTwoEmptyAccountsToRows(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	a.Supabase.Add(managementdouble.Project{Ref: "zyxwvutsrqponmlkjihg", Name: "Another"})
	env := filepath.Join(t.TempDir(), ".env")
	prompts := []prompt{
		{"Clerk secret key", accounts.SecretKey},
		{"Clerk publishable key", accounts.PublishableKey("live")},
		{"Supabase access token", accounts.AccessToken},
		{"Which project?", "1"},
		{"Database password", accounts.OwnerPassword},
		{"7 changes will be made", "y"},
	}
	code, plan, shown := at(t, addresses(a), prompts, "setup-sync", "--into", env)
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
	code, _, shown = at(t, addresses(a), []prompt{{"Supabase access token", accounts.AccessToken}}, "setup-sync", "--into", env)
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
		prompts := []prompt{{"Database password", accounts.OwnerPassword}, {"Go on?", typed}}
		if typed == "\x03" {
			prompts = []prompt{{"Database password", typed}}
		}
		code, _, shown := at(t, settings, prompts, "setup-sync", "--into", filepath.Join(folder, ".env"))
		entries, err := os.ReadDir(folder)
		if code != want || err != nil || len(entries) != 0 || len(a.Supabase.Providers(accounts.Project)) != 0 {
			t.Errorf("%q: exit %d, the folder has %v, %v:\n%s", typed, code, entries, err, shown)
		}
	}
}
