package setupsync_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/joho/godotenv"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/moto"
)

// What functions read is in their secret after the first run, and not written again by a second.
func TestSetupSync_StoresWhatAStacksFunctionsRead(t *testing.T) {
	t.Parallel()
	const address = "https://api.example.com/webhooks/clerk/a1b2"
	server := moto.Start(t)
	secret := moto.NewSecret(t, map[string]string{"TEAM_KEY": "theirs"})
	stack := server.NewStack(t, map[string]string{"SecretId": secret.Name(), "WebhookUrl": address})
	a := accounts.New(t)
	env := filepath.Join(t.TempDir(), ".env")
	settings := given(a)
	maps.Copy(settings, server.Environment())
	settings["DATABASE_URL"] = a.Owner
	args := []string{"setup-sync", "--yes", "--into", env, "--stack", stack}
	versions := map[string]bool{}
	want := "create-webhooks --stack " + stack
	for range 2 {
		got := clitest.Run[program](t, settings, args...)
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, want) {
			t.Fatalf("exit %d, want %q\n%s%s", got.Code, want, got.Stdout, got.Stderr)
		}
		if !strings.Contains(got.Stdout, "they receive webhooks at "+address) {
			t.Errorf("it does not show where webhooks go:\n%s", got.Stdout)
		}
		for _, hidden := range []string{a.SecretKey, "postgresql:", accounts.AccessToken} {
			if strings.Contains(got.Stdout+got.Stderr, hidden) {
				t.Errorf("it shows %q", hidden)
			}
		}
		held, version := secret.Held(t)
		versions[version] = true
		file, err := godotenv.Read(env)
		if err != nil {
			t.Fatal(err)
		}
		for key, value := range held {
			if key != "TEAM_KEY" && file[key] != value {
				t.Errorf("the secret's %s is not that of the file", key)
			}
		}
		if held["TEAM_KEY"] != "theirs" || held["CLERK_SECRET_KEY"] == "" || held["DATABASE_URL"] == "" || held["SUPABASE_ACCESS_TOKEN"] != "" {
			t.Errorf("the secret has %v", slices.Sorted(maps.Keys(held)))
		}
	}
	if len(versions) != 1 {
		t.Errorf("the secret was written %d times, want once", len(versions))
	}
}

func TestSetupSync_NamesTheWaysWhereNothingIsDeployed(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	settings := given(a)
	settings["DATABASE_URL"] = a.Owner
	got := clitest.Run[program](t, settings, "setup-sync", "--yes", "--into", filepath.Join(t.TempDir(), ".env"))
	for _, want := range []string{"nothing is deployed", "docs/deploy.md", "Supabase Edge Function", "Next.js route"} {
		if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, want) {
			t.Errorf("exit %d, want %q\n%s", got.Code, want, got.Stderr)
		}
	}
}
