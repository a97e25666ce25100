package setupsync_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/managementdouble"
)

// A stranger with two empty accounts: one command, and what has to be given.
func TestSetupSync_TakesAStrangerFromTwoEmptyAccountsToRows(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"live", "test"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			a, token := accounts.New(t), ""
			if kind == "test" {
				a = accounts.NewDevelopment(t)
			} else {
				token = sessionToken(t, a, tokens.Options{})
			}
			open := a.Sessions()
			a.Supabase.Add(managementdouble.Project{Ref: "zyxwvutsrqponmlkjihg", Name: "Another"})
			env := filepath.Join(t.TempDir(), ".env")
			owner, err := pgx.Connect(t.Context(), a.Owner)
			if err != nil {
				t.Fatal(err)
			}
			defer owner.Close(context.Background())
			clitest.Execute(t, owner, "create table public.notes (id bigint primary key, owner_id text not null)")
			prompts := []clitest.Answer{
				{Asks: "Clerk secret key", Typed: a.SecretKey},
				{Asks: "Clerk publishable key", Typed: a.PublishableKey},
				{Asks: "Supabase access token", Typed: accounts.AccessToken},
				{Asks: "Which project?", Typed: "1"},
				{Asks: "Database password", Typed: accounts.OwnerPassword},
				map[string]clitest.Answer{"live": {Asks: "Session token", Typed: token}, "test": {Asks: "User, an id", Typed: a.User}}[kind],
				{Asks: "8 changes will be made", Typed: "y"},
			}
			code, plan, shown := clitest.AtTerminal[program](t, addresses(a), nil, prompts, "setup-sync", "--into", env)
			if code != 0 {
				t.Fatalf("exit %d\n%s\n%s", code, plan, shown)
			}
			for _, want := range []string{"provider: register " + a.Clerk, "role: done", "it would create ", "rows: done: Clerk has", "the set-up is done; next", "public.notes waits for policies", "configure-rls public.notes --pattern owner"} {
				if !strings.Contains(shown, want) {
					t.Errorf("the terminal does not show %q:\n%s", want, shown)
				}
			}
			if got := a.Sessions(); got != open {
				t.Errorf("%d sessions are open, want %d", got, open)
			}
			text, err := os.ReadFile(env)
			if err != nil {
				t.Fatal(err)
			}
			secrets := []string{a.SecretKey, accounts.AccessToken, "p@ss", "p%40ss", "eyJ"}
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
		})
	}
}

// sessionToken is one of a user who signs up.
func sessionToken(t *testing.T, a *accounts.Accounts, o tokens.Options) string {
	t.Helper()
	user, err := a.Instance.SignUp(clerkinstance.Person{Username: "ines"})
	if err != nil {
		t.Fatal(err)
	}
	o.UserID = user.ID
	token, err := a.Mint.SessionToken(o)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestSetupSync_AsksForATokenUntilItHasTheRoleOrThereIsNone(t *testing.T) {
	t.Parallel()
	const clicks = "dashboard.clerk.com/setup/supabase"
	a := accounts.NewAPIs(t, accounts.SecretKey)
	without := sessionToken(t, a, tokens.Options{WithoutRole: true})
	folder := t.TempDir()
	args := []string{"setup-sync", "--only", "role", "--into", filepath.Join(folder, ".env")}
	for name, tt := range map[string]struct {
		prompts []clitest.Answer
		code    int
		want    []string
	}{
		"skipped": {[]clitest.Answer{{Asks: "Session token", Typed: ""}}, commandline.ExitUnknown, []string{"role: unknown", "--token-file", clicks, "it is not known"}},
		"not a token, and one without the claim": {
			[]clitest.Answer{{Asks: "Session token", Typed: "hunter2"}, {Asks: "Another session token", Typed: without}, {Asks: clicks, Typed: ""}},
			commandline.ExitFailed,
			[]string{"left to you", "looks again"},
		},
	} {
		code, plan, shown := clitest.AtTerminal[program](t, given(a), nil, tt.prompts, args...)
		for _, want := range tt.want {
			if code != tt.code || !strings.Contains(shown, want) {
				t.Errorf("%s: exit %d, want %d and %q:\n%s", name, code, tt.code, want, shown)
			}
		}
		if strings.Contains(plan+shown, "eyJ") || strings.Contains(plan+shown, "hunter2") {
			t.Errorf("%s: the terminal shows what was pasted:\n%s", name, shown)
		}
	}

	// In development Enter looks again, and skip does not.
	b := accounts.NewAPIs(t, accounts.TestKey)
	b.WithoutRole.Store(true)
	code, _, shown := clitest.AtTerminal[program](t, given(b), nil, []clitest.Answer{{Asks: "User, an id", Typed: b.User}, {Asks: "1 change will be made", Typed: "y"}, {Asks: "Press Enter", Typed: "skip"}}, args...)
	if code != commandline.ExitFailed || !strings.Contains(shown, clicks) || !strings.Contains(shown, "left to you") || b.Sessions() != 0 {
		t.Errorf("skip: exit %d with %d sessions\n%s", code, b.Sessions(), shown)
	}
	tokens := 0
	asked := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/tokens") {
			tokens++
			b.WithoutRole.Store(tokens < 2)
		}
		next.ServeHTTP(w, r)
	}
	b.InterceptClerk.Store(&asked)
	code, _, shown = clitest.AtTerminal[program](t, given(b), nil, []clitest.Answer{{Asks: "User, an id", Typed: b.User}, {Asks: "1 change will be made", Typed: "y"}, {Asks: "Press Enter", Typed: ""}}, args...)
	if code != commandline.ExitOK || !strings.Contains(shown, "role: done") || tokens != 2 || b.Sessions() != 0 {
		t.Errorf("Enter: exit %d after %d tokens with %d sessions\n%s", code, tokens, b.Sessions(), shown)
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
		prompts := []clitest.Answer{{Asks: "Database password", Typed: accounts.OwnerPassword}, {Asks: "Session token", Typed: ""}, {Asks: "Go on?", Typed: typed}}
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
