package uninstall_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/moto"
)

// setUp sets up what is removed afterwards, into a folder.
func setUp(t *testing.T, settings map[string]string, flags ...string) (env string) {
	t.Helper()
	env = filepath.Join(t.TempDir(), ".env")
	got := clitest.Run[program](t, settings, append([]string{"setup-sync", "--yes", "--into", env}, flags...)...)
	if got.Code != commandline.ExitOK {
		t.Fatalf("exit %d\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	return env
}

// Everything is removed once, what is shown holds no secret, and a second run finds nothing.
func TestUninstall_RemovesWhatSetupSyncHasMade(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	secret := moto.NewSecret(t, map[string]string{"TEAM_KEY": "theirs"})
	a := accounts.New(t)
	settings := given(a)
	maps.Copy(settings, server.Environment())
	env := setUp(t, settings, "--secret-id", secret.Name())
	written, err := os.ReadFile(env)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args       []string
		code, left int
		want       string
	}{
		{[]string{"--plan"}, commandline.ExitOK, 1, "nothing was removed"},
		{nil, commandline.ExitUsage, 1, "give --yes"},
		{[]string{"--yes", "--only", "provider"}, commandline.ExitOK, 0, "removed"},
		{[]string{"--yes", "--drop-data"}, commandline.ExitOK, 0, "sam delete"},
		{[]string{"--yes", "--drop-data"}, commandline.ExitOK, 0, "nothing to remove"},
	} {
		got := clitest.Run[program](t, settings, append([]string{"--json", "uninstall", "--into", env}, step.args...)...)
		var plan struct{ Steps setup.Plan }
		if err := json.Unmarshal([]byte(got.Stdout), &plan); err != nil || got.Code != step.code || !strings.Contains(got.Stderr, step.want) || len(a.Supabase.Providers(accounts.Project)) != step.left {
			t.Errorf("%v: exit %d, %v, %d providers, want %d and %q\n%s%s", step.args, got.Code, err, len(a.Supabase.Providers(accounts.Project)), step.code, step.want, got.Stdout, got.Stderr)
		}
		for _, hidden := range []string{a.SecretKey, "postgresql:", accounts.AccessToken} {
			if strings.Contains(got.Stdout+got.Stderr, hidden) {
				t.Errorf("%v: it shows %q", step.args, hidden)
			}
		}
		if after, err := os.ReadFile(env); step.left == 1 && (err != nil || !bytes.Equal(after, written)) {
			t.Errorf("%v: the file was changed, %v", step.args, err)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(env)); err != nil || len(entries) != 0 {
		t.Errorf("the folder has %v, %v, want nothing", entries, err)
	}
	if held, _ := secret.Held(t); !maps.Equal(held, map[string]string{"TEAM_KEY": "theirs"}) {
		t.Errorf("the secret has %v, want the team's key", slices.Sorted(maps.Keys(held)))
	}
}

func TestUninstall_TakesNothingOfTheTeamsAlong(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	env := setUp(t, given(a))
	conn, err := pgx.Connect(t.Context(), a.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	clitest.Execute(t, conn, "create table public.notes (id bigint primary key, owner_id text references public.users)")
	got := clitest.Run[program](t, given(a), "uninstall", "--yes", "--drop-data", "--into", env)
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "on table public.notes") || len(a.Supabase.Providers(accounts.Project)) != 1 {
		t.Errorf("exit %d, want a refusal that names the table\n%s", got.Code, got.Stderr)
	}
	if _, err := os.Stat(env); err != nil {
		t.Error(err)
	}
}

func TestUninstall_SaysWhatItCannotLookAt(t *testing.T) {
	t.Parallel()
	a := accounts.New(t)
	env := setUp(t, given(a))
	settings := given(a)
	delete(settings, "DATABASE_URL")
	got := clitest.Run[program](t, settings, "uninstall", "--plan", "--into", env)
	if got.Code != commandline.ExitUnknown || !strings.Contains(got.Stdout, "that needs the database password") {
		t.Errorf("exit %d, want what is unknown\n%s%s", got.Code, got.Stdout, got.Stderr)
	}
	if got := clitest.Run[program](t, settings, "uninstall", "--yes", "--into", env); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "--database-password-file") {
		t.Errorf("exit %d, want that the password is asked for\n%s", got.Code, got.Stderr)
	}
	delete(settings, "SUPABASE_ACCESS_TOKEN")
	if got := clitest.Run[program](t, settings, "uninstall", "--yes", "--into", env); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "SUPABASE_ACCESS_TOKEN is not set") {
		t.Errorf("exit %d, want that the token is asked for\n%s", got.Code, got.Stderr)
	}
	// Where nothing was set up nothing is asked for.
	if got := clitest.Run[program](t, nil, "uninstall", "--into", filepath.Join(t.TempDir(), ".env")); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "nothing to remove") {
		t.Errorf("exit %d\n%s", got.Code, got.Stderr)
	}
	for _, args := range [][]string{{"--only", "record"}, {"--only", "provider", "--drop-data"}} {
		if got := clitest.Run[program](t, nil, append([]string{"uninstall"}, args...)...); got.Code != commandline.ExitUsage {
			t.Errorf("%v: exit %d, want it refused\n%s", args, got.Code, got.Stderr)
		}
	}
}

// The process is killed while Supabase removes the provider, before or after it did.
func TestUninstall_GoesOnAfterItsProcessWasKilled(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{false, true} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			a := accounts.New(t)
			settings := given(a)
			env := setUp(t, settings)
			args := []string{"uninstall", "--yes", "--into", env}
			command := exec.CommandContext(t.Context(), os.Args[0], args...)
			command.Env = append(command.Environ(), playVariable+"=1")
			for key, value := range settings {
				command.Env = append(command.Env, key+"="+value)
			}
			started := make(chan *os.Process, 1)
			kill := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method != http.MethodDelete {
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
				t.Fatalf("it was not killed: %v", err)
			}
			a.Intercept.Store(nil)
			for _, want := range []string{"removed; ", "nothing to remove"} {
				if got := clitest.Run[program](t, settings, args...); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, want) {
					t.Errorf("exit %d, want %q\n%s", got.Code, want, got.Stderr)
				}
			}
			if _, err := os.Stat(env); !errors.Is(err, fs.ErrNotExist) || len(a.Supabase.Providers(accounts.Project)) != 0 {
				t.Errorf("%v, %d providers, want no file and none", err, len(a.Supabase.Providers(accounts.Project)))
			}
		})
	}
}
