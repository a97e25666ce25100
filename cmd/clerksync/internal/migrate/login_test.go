package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/testdb"
)

// passwordServer is a server that asks for passwords, and the settings of the
// owner of a project on it: no superuser, as on Supabase.
func passwordServer(t *testing.T) (*postgres.Server, map[string]string) {
	t.Helper()
	server, owner := testdb.NewPasswordServer(t, map[string]string{"log_statement": "all"})
	return server, map[string]string{"DATABASE_URL": owner}
}

func logIn(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// No password need be carried by hand.
func TestMigrateLogin_WritesItsStringIntoAFile(t *testing.T) {
	t.Parallel()
	_, settings := passwordServer(t)
	if got := clerksync(t, settings, "migrate", "up"); got.Code != commandline.ExitOK {
		t.Fatalf("up: %+v", got)
	}
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte("# mine\nOTHER=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	record := setup.NewStateFile(filepath.Dir(path))
	for i, args := range [][]string{{"writer"}, {"writer", "--rotate"}, {"diagnostics"}} {
		if i == 1 {
			if there, err := record.Exists(); err != nil || there {
				t.Errorf("there is a record of a set-up, %v, where there was none", err)
			}
			// As setup-sync leaves it.
			if err := record.SetRotation(nil); err != nil {
				t.Fatal(err)
			}
		}
		got := clerksync(t, settings, append(append([]string{"migrate", "login"}, args...), "--into", path)...)
		if got.Code != commandline.ExitOK || strings.Contains(got.Stdout+got.Stderr, "postgresql:") {
			t.Errorf("%v: %+v, want no string shown", args, got)
		}
	}
	values, err := setup.NewEnvFile(path).Read()
	if err != nil || values["OTHER"] != "1" {
		t.Errorf("the file has %d settings, %v, want those before too", len(values), err)
	}
	state, err := record.Read()
	if err != nil || len(state.Settings) != 2 {
		t.Errorf("the record has %+v, %v, want both settings", state.Settings, err)
	}
	for _, key := range []string{"DATABASE_URL", "DIAGNOSTICS_DATABASE_URL"} {
		logIn(t, values[key])
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v, want 0600", info.Mode(), err)
	}
	if got := clerksync(t, settings, "migrate", "login", "--retire", "--into", path); got.Code != commandline.ExitUsage {
		t.Errorf("--retire --into: %+v", got)
	}
}

// The printed string logs in, on a server that asks for passwords; the earlier
// one does not any more, and the server never saw either.
func TestMigrateLogin_PrintsAStringThatLogsIn(t *testing.T) {
	t.Parallel()
	server, settings := passwordServer(t)
	if got := clerksync(t, settings, "migrate", "login"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "migrate up") {
		t.Errorf("login before the migrations: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "up"); got.Code != commandline.ExitOK {
		t.Fatalf("up: %+v", got)
	}
	var urls []string
	for range 2 {
		got := clerksync(t, settings, "migrate", "login", "writer")
		if got.Code != commandline.ExitOK {
			t.Fatalf("login: %+v", got)
		}
		urls = append(urls, strings.TrimSpace(got.Stdout))
	}
	if got := clerksync(t, map[string]string{"DATABASE_URL": urls[1]}, "status"); got.Code != commandline.ExitOK {
		t.Errorf("status with the new string: %+v", got)
	}
	got := clerksync(t, map[string]string{"DATABASE_URL": urls[0]}, "status")
	if got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "password") {
		t.Errorf("status with the earlier string: %+v, want the password refused", got)
	}
	got = clerksync(t, settings, "migrate", "login", "diagnostics")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "as DIAGNOSTICS_DATABASE_URL") {
		t.Errorf("login diagnostics: %+v", got)
	}
	urls = append(urls, strings.TrimSpace(got.Stdout))
	got = clitest.AboutToken[program](t.Context(), map[string]string{"DIAGNOSTICS_DATABASE_URL": urls[2]}, strings.NewReader(jwttest.Sign(jwttest.Header(), jwttest.Claims())), "--all")
	if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, "clerksync_diagnostics became authenticated") {
		t.Errorf("test-jwt with the new string: %+v", got)
	}
	for _, url := range urls {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(server.Log(), config.Password) {
			t.Error("the server's log holds a password")
		}
	}
}

// loginStep is one command of a rotation.
func loginStep(t *testing.T, settings map[string]string, code int, stderr []string, args ...string) (url string) {
	t.Helper()
	args = append([]string{"--json", "migrate", "login"}, args...)
	got := clerksync(t, settings, args...)
	if got.Code != code {
		t.Fatalf("%q exits %d, want %d:\n%s", args, got.Code, code, got.Stderr)
	}
	for _, part := range stderr {
		if !strings.Contains(got.Stderr, part) {
			t.Errorf("%q says\n%s\nwithout %q", args, got.Stderr, part)
		}
	}
	var printed struct {
		URL string `json:"database_url"`
	}
	if got.Stdout != "" {
		if err := json.Unmarshal([]byte(got.Stdout), &printed); err != nil {
			t.Fatalf("%q prints %s: %v", args, got.Stdout, err)
		}
	}
	return printed.URL
}

// age makes the password of a role as old as said.
func age(t *testing.T, owner *pgx.Conn, role string, by time.Duration) {
	t.Helper()
	text := time.Now().Add(-by).UTC().Format(time.RFC3339)
	if _, err := owner.Exec(t.Context(), fmt.Sprintf(`comment on role %s is 'clerksync: password set %s'`, role, text)); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateLogin_ReplacesAPasswordWithoutAGap(t *testing.T) {
	t.Parallel()
	for _, login := range []struct{ name, first, second string }{
		{"writer", "clerksync_writer", "clerksync_writer_b"},
		{"diagnostics", "clerksync_diagnostics", "clerksync_diagnostics_b"},
	} {
		t.Run(login.name, func(t *testing.T) {
			t.Parallel()
			server, settings := passwordServer(t)
			if got := clerksync(t, settings, "migrate", "up"); got.Code != commandline.ExitOK {
				t.Fatalf("up: %+v", got)
			}
			owner := logIn(t, settings["DATABASE_URL"])
			step := func(code int, stderr []string, args ...string) string {
				t.Helper()
				return loginStep(t, settings, code, stderr, append([]string{login.name}, args...)...)
			}

			// Nothing to replace and nothing to retire yet.
			step(commandline.ExitFailed, []string{login.first + " is the only one with a password"}, "--retire")
			first := step(commandline.ExitOK, []string{login.first + " has a new password"})
			logIn(t, first)
			step(commandline.ExitFailed, []string{"in use", "connected as " + login.first + ": 1 as", "--rotate"})

			second := step(commandline.ExitOK, []string{login.second + " has a password", login.first + " works on", "--retire --wait"}, "--rotate")
			if !strings.Contains(second, "//"+login.second+":") {
				t.Fatalf("--rotate prints a string of another role than %s", login.second)
			}
			// Both log in, which is the point, and neither is changed by a second thought.
			logIn(t, first)
			step(commandline.ExitFailed, []string{"a rotation is under way", login.second, "--retire"}, "--rotate")
			lost := second
			second = step(commandline.ExitOK, nil)
			if _, err := pgx.Connect(t.Context(), lost); err == nil {
				t.Error("the string that was printed before still logs in")
			}

			refusal := []string{
				"cannot be retired yet", "connected as " + login.first + ": ", "nobody is connected as " + login.second,
				login.second + " got its password at ", "--wait",
			}
			step(commandline.ExitFailed, refusal, "--retire")
			logIn(t, second)
			age(t, owner, login.first, 2*time.Hour)
			age(t, owner, login.second, time.Hour)
			step(commandline.ExitFailed, []string{"connected as " + login.first}, "--retire", "--wait", "1ms")
			super := logIn(t, server.URL("postgres", postgres.Superuser, ""))
			var said strings.Builder
			ended := clitest.On[program](t.Context(), console.Console{
				// The connections end once the command is waiting for them.
				Stderr: writerFunc(func(text []byte) (int, error) {
					if strings.Contains(string(text), "waiting: ") {
						if _, err := super.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where usename = $1`, login.first); err != nil {
							t.Error(err)
						}
					}
					return said.Write(text)
				}),
			}, settings, "migrate", "login", login.name, "--retire", "--wait", "1m")
			if want := login.first + " has no password any more; " + login.second + " is in use"; ended.Code != commandline.ExitOK || !strings.Contains(said.String(), "waiting: ") || !strings.Contains(said.String(), want) {
				t.Fatalf("--retire --wait exits %d and says\n%s\nwant %q", ended.Code, said.String(), want)
			}

			if _, err := pgx.Connect(t.Context(), first); err == nil {
				t.Errorf("%s still logs in", login.first)
			}
			logIn(t, second)
			step(commandline.ExitFailed, []string{login.second + " is the only one with a password"}, "--retire")

			if login.name == "diagnostics" {
				got := clitest.AboutToken[program](t.Context(), map[string]string{"DIAGNOSTICS_DATABASE_URL": second}, strings.NewReader(jwttest.Sign(jwttest.Header(), jwttest.Claims())), "--all")
				if got.Code != commandline.ExitOK || !strings.Contains(got.Stdout, login.second+" became authenticated") {
					t.Errorf("test-jwt with the second role: %+v", got)
				}
			}

			// The next time it is the first one's turn again.
			third := step(commandline.ExitOK, []string{login.first + " has a password", login.second + " works on"}, "--rotate")
			logIn(t, third)
			step(commandline.ExitOK, []string{login.second + " has no password any more; " + login.first + " is in use"}, "--retire", "--force")
			if _, err := pgx.Connect(t.Context(), second); err == nil {
				t.Errorf("%s still logs in", login.second)
			}
			for _, url := range []string{first, lost, second, third} {
				config, err := pgx.ParseConfig(url)
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(server.Log(), config.Password) {
					t.Error("the server's log holds a password")
				}
			}
		})
	}
}

// writerFunc is an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(text []byte) (int, error) { return f(text) }

func TestMigrateLogin_NeedsTheSecondRoleAndTheOwner(t *testing.T) {
	t.Parallel()
	_, settings := passwordServer(t)
	if got := clerksync(t, settings, "migrate", "up"); got.Code != commandline.ExitOK {
		t.Fatalf("up: %+v", got)
	}
	writer := map[string]string{"DATABASE_URL": loginStep(t, settings, commandline.ExitOK, nil, "writer")}
	loginStep(t, writer, commandline.ExitFailed, []string{"connect as the role that ran the migrations"}, "diagnostics")
	// As a database is that was migrated by an earlier version.
	if _, err := logIn(t, settings["DATABASE_URL"]).Exec(t.Context(), `drop role clerksync_diagnostics_b`); err != nil {
		t.Fatal(err)
	}
	loginStep(t, settings, commandline.ExitFailed, []string{"there is no role clerksync_diagnostics_b", "migrate up"}, "diagnostics", "--rotate")
}
