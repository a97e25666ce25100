package setupsync_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/managementdouble"
)

func TestSetupSync_SaysWhatToPassWhereThereIsNoTerminal(t *testing.T) {
	t.Parallel()
	a := accounts.NewDevelopment(t)
	a.Supabase.Add(managementdouble.Project{Ref: "zyxwvutsrqponmlkjihg"})
	folder := t.TempDir()
	settings := addresses(a)
	args := []string{"setup-sync", "--into", filepath.Join(folder, ".env")}
	for _, step := range []struct {
		want string
		then func()
	}{
		{"CLERK_SECRET_KEY is not set", func() { settings["CLERK_SECRET_KEY"] = a.SecretKey }},
		{"CLERK_PUBLISHABLE_KEY is not set", func() { settings["CLERK_PUBLISHABLE_KEY"] = a.PublishableKey }},
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
	// Whose token to look at is not asked for: that stays unknown, and is said.
	if got := clitest.Run[program](t, settings, args...); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "role: unknown") || !strings.Contains(got.Stderr, "it is not known about the claim role") {
		t.Fatalf("exit %d\n%s", got.Code, got.Stderr)
	}
	if got := clitest.Run[program](t, settings, append(slices.Clip(args), "--role-user", a.User)...); got.Code != commandline.ExitOK || !strings.Contains(got.Stderr, "role: done") || a.Sessions() != 0 {
		t.Fatalf("exit %d, %d sessions\n%s", got.Code, a.Sessions(), got.Stderr)
	}

	// What a machine reads of a set-up that is whole.
	got := clitest.Run[program](t, settings, append([]string{"--json"}, append(args[:3:3], "--plan", "--project", accounts.Project)...)...)
	var plan struct{ Steps setup.Plan }
	if err := json.Unmarshal([]byte(got.Stdout), &plan); err != nil || got.Code != commandline.ExitOK || len(plan.Steps) != 6 || !plan.Steps.Done() {
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

func TestSetupSync_TakesATokenFromAFileOrStdin(t *testing.T) {
	t.Parallel()
	a := accounts.NewAPIs(t, accounts.SecretKey)
	user, err := a.Instance.SignUp(clerkinstance.Person{Username: "ines"})
	if err != nil {
		t.Fatal(err)
	}
	settings := addresses(a)
	settings["CLERK_SECRET_KEY"], settings["CLERK_PUBLISHABLE_KEY"] = a.SecretKey, a.PublishableKey
	settings["SUPABASE_ACCESS_TOKEN"], settings["SUPABASE_PROJECT_REF"] = accounts.AccessToken, accounts.Project
	folder := t.TempDir()
	file := filepath.Join(folder, "token.txt")
	args := []string{"setup-sync", "--only", "role", "--into", filepath.Join(folder, ".env")}
	for _, step := range []struct {
		options tokens.Options
		text    string
		flags   []string
		code    int
		want    string
	}{
		{text: "hunter2", flags: []string{"--plan", "--token-file", file}, code: commandline.ExitUsage, want: "it is no token"},
		{text: " ", flags: []string{"--plan", "--token-file", file}, code: commandline.ExitUsage, want: "is empty"},
		{flags: []string{"--plan", "--token-file", file}, want: "nothing was written"},
		{flags: []string{"--plan", "--role-user", user.ID}, code: commandline.ExitUsage, want: "give it with --token-file"},
		{flags: []string{"--role-user", user.ID, "--token-file", file}, code: commandline.ExitUsage, want: "--role-user"},
		{options: tokens.Options{WithoutRole: true}, flags: []string{"--yes", "--token-file", file}, code: commandline.ExitFailed, want: "dashboard.clerk.com/setup/supabase"},
		{flags: []string{"--yes", "--token-file", "-"}, want: "role: done"},
		{text: "not read", flags: nil, want: "nothing to do"},
	} {
		if step.text == "" {
			step.options.UserID = user.ID
			if step.text, err = a.Mint.SessionToken(step.options); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(file, []byte(step.text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c := console.Console{Stdin: strings.NewReader(step.text)}
		got := clitest.On[program](t.Context(), c, settings, append(slices.Clip(args), step.flags...)...)
		if got.Code != step.code || !strings.Contains(got.Stderr, step.want) || strings.Contains(got.Stdout+got.Stderr, "eyJ") || strings.Contains(got.Stdout+got.Stderr, "hunter2") {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", step.flags, got.Code, step.code, step.want, got.Stdout, got.Stderr)
		}
	}
	if n := a.Sessions(); n != 1 {
		t.Errorf("%d sessions are open, want the user's own", n)
	}
}

// killing answers nothing, and kills the process that asks, before or after what it asks for was done.
func killing(wanted func(*http.Request) bool, done bool, started <-chan *os.Process) *func(http.ResponseWriter, *http.Request, http.Handler) {
	kill := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !wanted(r) {
			next.ServeHTTP(w, r)
			return
		}
		if done {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		_ = (<-started).Kill()
	}
	return &kill
}

// The process is killed while Supabase registers the provider, or while Clerk opens a session, makes its token or ends it,
// before or after they did.
func TestSetupSync_GoesOnAfterItsProcessWasKilled(t *testing.T) {
	t.Parallel()
	asks := func(suffix string) func(*http.Request) bool {
		return func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, suffix)
		}
	}
	for _, tt := range []struct {
		name   string
		wanted func(*http.Request) bool
		clerk  bool
	}{
		{"provider", asks(""), false}, {"session", asks("/v1/sessions"), true}, {"token", asks("/tokens"), true}, {"revoke", asks("/revoke"), true},
	} {
		for _, done := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, %t", tt.name, done), func(t *testing.T) {
				t.Parallel()
				folder := t.TempDir()
				args := []string{"setup-sync", "--yes", "--into", filepath.Join(folder, ".env")}
				// The look at a token needs no database; shared/setup kills the whole of it anywhere, in its own process.
				var a *accounts.Accounts
				if tt.clerk {
					a = accounts.NewAPIs(t, accounts.TestKey)
					args = append(args, "--only", "role", "--project", accounts.Project)
				} else {
					a = accounts.NewDevelopment(t)
				}
				settings := addresses(a)
				settings["CLERK_SECRET_KEY"], settings["SUPABASE_ACCESS_TOKEN"] = a.SecretKey, accounts.AccessToken
				settings["CLERK_PUBLISHABLE_KEY"], settings["DATABASE_URL"] = a.PublishableKey, a.Owner
				// Nothing but what the doubles have kept remembers it.
				command := exec.CommandContext(t.Context(), os.Args[0], append(args, "--role-user", a.User)...)
				command.Env = append(command.Environ(), playVariable+"=1")
				for key, value := range settings {
					command.Env = append(command.Env, key+"="+value)
				}
				var said bytes.Buffer
				command.Stdout, command.Stderr = &said, &said
				started := make(chan *os.Process, 1)
				held := &a.Intercept
				if tt.clerk {
					held = &a.InterceptClerk
				}
				held.Store(killing(tt.wanted, done, started))
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
				started <- command.Process
				if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != -1 {
					t.Fatalf("it was not killed: %v\n%s", err, said.String())
				}
				held.Store(nil)
				if _, err := setup.NewStateFile(folder).Read(); err != nil {
					t.Error(err)
				}
				// The next run is not told of the user: it ends the session all the same.
				for _, run := range []struct {
					flags []string
					want  string
				}{{nil, "the set-up is done"}, {[]string{"--role-user", a.User}, "the set-up is done; next"}, {nil, "nothing to do"}} {
					got := clitest.Run[program](t, settings, append(args, run.flags...)...)
					// With --only role it is not known, unless the first run has got as far as to note it.
					unknown := tt.clerk && run.flags == nil && got.Code == commandline.ExitUnknown && strings.Contains(got.Stderr, "role: unknown")
					right := got.Code == commandline.ExitOK && (tt.clerk || strings.Contains(got.Stderr, run.want))
					if !unknown && !right || a.Sessions() != 0 {
						t.Errorf("exit %d, %d sessions, want %q and none\n%s", got.Code, a.Sessions(), run.want, got.Stderr)
					}
				}
				if n := len(a.Supabase.Providers(accounts.Project)); !tt.clerk && n != 1 {
					t.Errorf("%d providers, want one", n)
				}
			})
		}
	}
}

func TestSetupSync_TakesKeysFromClerksOwnCLI(t *testing.T) {
	t.Parallel()
	a := accounts.NewAPIs(t, accounts.TestKey)
	for name, tt := range map[string]struct {
		script, publishable, want string
	}{
		"linked": {
			`[ "$1 $2 $3" = "env pull --file" ] && [ "$CLERK_TELEMETRY_DISABLED" = 1 ] || exit 9
printf 'NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY=%s\nCLERK_SECRET_KEY=%s\n' "` + a.PublishableKey + `" "` + a.SecretKey + `" > "$4"
echo "$4" > "${0%/*}/where"`, "",
			"Clerk's keys come from Clerk's own CLI",
		},
		"not logged in":            {`echo "sk_` + `live_hidden"; exit 1`, "", "is it logged in"},
		"no file":                  {`exit 0`, "", "no file of keys"},
		"not lines":                {`printf 'sk_` + `live_hidden "' > "$4"`, "", "none of KEY=VALUE lines"},
		"of two instances":         {`printf 'CLERK_SECRET_KEY=%s\n' "` + a.SecretKey + `" > "$4"`, accounts.PublishableKey("live"), "two instances"},
		"asks what no one answers": {`read answer || exit 1`, "", "is it logged in"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin, folder := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(bin, "clerk"), []byte("#!/bin/sh\n"+tt.script), 0o700); err != nil {
				t.Fatal(err)
			}
			settings := addresses(a)
			settings["PATH"], settings["SUPABASE_ACCESS_TOKEN"], settings["CLERK_PUBLISHABLE_KEY"] = bin, accounts.AccessToken, tt.publishable
			got := clitest.Run[program](t, settings, "setup-sync", "--only", "role", "--yes", "--project", accounts.Project, "--into", filepath.Join(folder, ".env"))
			if !strings.Contains(got.Stderr, tt.want) || strings.Contains(got.Stdout+got.Stderr, "hidden") || strings.Contains(got.Stdout+got.Stderr, a.SecretKey) {
				t.Errorf("%+v, want %q and no key", got, tt.want)
			}
			if name == "linked" && got.Code != commandline.ExitUnknown {
				t.Errorf("%+v, want it to get as far as what is unknown", got)
			}
			if name == "linked" {
				where, err := os.ReadFile(filepath.Join(bin, "where"))
				if _, gone := os.Stat(strings.TrimSpace(string(where))); err != nil || !errors.Is(gone, fs.ErrNotExist) {
					t.Errorf("the keys are left in %s, %v, %v", where, err, gone)
				}
			}
		})
	}
}
