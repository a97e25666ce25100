package setupsync_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/managementdouble"
)

func TestSetupSync_SaysWhatToPassWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	a.Supabase.Add(managementdouble.Project{Ref: "zyxwvutsrqponmlkjihg"})
	folder := t.TempDir()
	settings := addresses(a)
	args := []string{"setup-sync", "--into", filepath.Join(folder, ".env")}
	for _, step := range []struct {
		want string
		then func()
	}{
		{"CLERK_SECRET_KEY is not set", func() { settings["CLERK_SECRET_KEY"] = accounts.SecretKey }},
		{"CLERK_PUBLISHABLE_KEY is not set", func() { settings["CLERK_PUBLISHABLE_KEY"] = accounts.PublishableKey("live") }},
		{"SUPABASE_ACCESS_TOKEN is not set", func() { settings["SUPABASE_ACCESS_TOKEN"] = accounts.AccessToken }},
		{"name one with --project", func() { args = append(args, "--project", accounts.Project) }},
		{"--database-password-file", func() {
			path := filepath.Join(folder, "password.txt")
			if err := os.WriteFile(path, []byte(accounts.OwnerPassword+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, "--database-password-file", path)
		}},
		{"give --yes", func() { args = append(args, "--yes") }},
	} {
		got := clitest.Run[program](t, settings, args...)
		if got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, step.want) {
			t.Errorf("exit %d, %s, want exit 2 and %q", got.Code, got.Stderr, step.want)
		}
		step.then()
	}
	if _, err := os.Stat(filepath.Join(folder, ".env")); err == nil {
		t.Error("something was written before it was asked for")
	}
	if got := clitest.Run[program](t, settings, args...); got.Code != commandline.ExitOK {
		t.Fatalf("exit %d\n%s", got.Code, got.Stderr)
	}

	// What a machine reads of a set-up that is whole.
	got := clitest.Run[program](t, settings, append([]string{"--json"}, append(args[:3:3], "--plan", "--project", accounts.Project)...)...)
	var plan struct{ Steps setup.Plan }
	if err := json.Unmarshal([]byte(got.Stdout), &plan); err != nil || got.Code != commandline.ExitOK || len(plan.Steps) != 5 || !plan.Steps.Done() {
		t.Errorf("exit %d, %v, %s%s", got.Code, err, got.Stdout, got.Stderr)
	}
	if strings.Contains(got.Stdout+got.Stderr, "sk_") || strings.Contains(got.Stdout+got.Stderr, "postgresql:") {
		t.Errorf("it shows a secret:\n%s%s", got.Stdout, got.Stderr)
	}
}

func TestSetupSync_ShowsAPlanAndWritesNothing(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	folder := t.TempDir()
	settings := addresses(a)
	settings["SUPABASE_ACCESS_TOKEN"] = accounts.AccessToken
	// What the Supabase CLI and a framework have left.
	if err := os.MkdirAll(filepath.Join(folder, "supabase", ".temp"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"supabase/.temp/project-ref": accounts.Project + "\n",
		".env.local":                 "NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=" + accounts.PublishableKey("live") + "\nCLERK_SECRET_KEY=" + accounts.SecretKey + "\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := clitest.Run[program](t, settings, "--json", "setup-sync", "--plan", "--into", filepath.Join(folder, ".env"))
	var plan struct{ Steps setup.Plan }
	if err := json.Unmarshal([]byte(got.Stdout), &plan); err != nil || got.Code != commandline.ExitOK || plan.Steps.Writes() != 7 {
		t.Errorf("exit %d, %v, %s%s", got.Code, err, got.Stdout, got.Stderr)
	}
	if len(a.Supabase.Providers(accounts.Project)) != 0 {
		t.Error("a provider was registered")
	}
	if _, err := os.Stat(filepath.Join(folder, ".env")); err == nil {
		t.Error("a file was written")
	}

	// One step alone.
	got = clitest.Run[program](t, settings, "setup-sync", "--yes", "--only", "provider", "--into", filepath.Join(folder, ".env"))
	if got.Code != commandline.ExitOK || len(a.Supabase.Providers(accounts.Project)) != 1 {
		t.Errorf("exit %d, %d providers\n%s", got.Code, len(a.Supabase.Providers(accounts.Project)), got.Stderr)
	}
	if got := clitest.Run[program](t, settings, "setup-sync", "--only", "everything"); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "there are keys") {
		t.Errorf("exit %d, %s", got.Code, got.Stderr)
	}
}

func TestSetupSync_ShowsWhatIsKnownOfWhatIsBlocked(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	a.Supabase.SetStatus(accounts.Project, "INACTIVE")
	settings := addresses(a)
	settings["CLERK_SECRET_KEY"], settings["SUPABASE_ACCESS_TOKEN"] = accounts.SecretKey, accounts.AccessToken
	settings["CLERK_PUBLISHABLE_KEY"] = accounts.PublishableKey("live")
	got := clitest.Run[program](t, settings, "--json", "setup-sync", "--plan", "--into", filepath.Join(t.TempDir(), ".env"))
	var plan struct{ Steps setup.Plan }
	if err := json.Unmarshal([]byte(got.Stdout), &plan); err != nil || got.Code != commandline.ExitFailed || len(plan.Steps) != 2 ||
		plan.Steps[1].Status != setup.Blocked || !strings.Contains(plan.Steps[1].Detail, "paused") {
		t.Errorf("exit %d, %v, %s%s", got.Code, err, got.Stdout, got.Stderr)
	}
}

// The process is killed while Supabase registers the provider, before or after it did.
func TestSetupSync_GoesOnAfterItsProcessWasKilled(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			a := accounts.New(t)
			folder := t.TempDir()
			settings := addresses(a)
			settings["CLERK_SECRET_KEY"], settings["SUPABASE_ACCESS_TOKEN"] = accounts.SecretKey, accounts.AccessToken
			settings["CLERK_PUBLISHABLE_KEY"], settings["DATABASE_URL"] = accounts.PublishableKey("live"), a.Owner
			args := []string{"setup-sync", "--yes", "--into", filepath.Join(folder, ".env")}
			// Nothing but what the double has kept remembers it.
			command := exec.CommandContext(t.Context(), os.Args[0], args...)
			command.Env = append(command.Environ(), playVariable+"=1")
			for key, value := range settings {
				command.Env = append(command.Env, key+"="+value)
			}
			var said bytes.Buffer
			command.Stdout, command.Stderr = &said, &said
			started := make(chan *os.Process, 1)
			kill := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method != http.MethodPost {
					next.ServeHTTP(w, r)
					return
				}
				if done {
					next.ServeHTTP(httptest.NewRecorder(), r)
				}
				_ = (<-started).Kill()
			}
			a.Intercept.Store(&kill)
			if err := command.Start(); err != nil {
				t.Fatal(err)
			}
			started <- command.Process
			if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != -1 {
				t.Fatalf("it was not killed: %v\n%s", err, said.String())
			}
			a.Intercept.Store(nil)
			if _, err := setup.NewStateFile(folder).Read(); err != nil {
				t.Error(err)
			}
			for _, want := range []string{"the set-up is done", "nothing to do"} {
				got := clitest.Run[program](t, settings, args...)
				if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, want) {
					t.Errorf("exit %d, want %q\n%s", got.Code, want, got.Stderr)
				}
			}
			if n := len(a.Supabase.Providers(accounts.Project)); n != 1 {
				t.Errorf("%d providers, want one", n)
			}
		})
	}
}
