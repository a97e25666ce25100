package main

import (
	"encoding/json"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/testkit/testdb"
)

// clerksync runs one command line with nothing in its environment but the given
// settings.
func clerksync(t *testing.T, settings map[string]string, args ...string) clitest.Result {
	t.Helper()
	return clitest.Run[program](t, settings, args...)
}

func TestCommandLine_ExitCodesAndStreams(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		args           []string
		settings       map[string]string
		code           int
		stdout, stderr string // parts; empty means that nothing may be printed
	}{
		{"help", []string{"--help"}, nil, commandline.ExitOK, "migrate up", ""},
		{"version", []string{"--version"}, nil, commandline.ExitOK, "dev", ""},
		{"no command", nil, nil, commandline.ExitUsage, "", "hint:"},
		{"unknown command", []string{"mirgate"}, nil, commandline.ExitUsage, "", "unexpected argument mirgate"},
		{"unknown flag", []string{"status", "--jsno"}, nil, commandline.ExitUsage, "", "unknown flag --jsno"},
		{"no database", []string{"status"}, nil, commandline.ExitFailed, "", "DATABASE_URL"},
		{"not a database", []string{"migrate", "up"}, map[string]string{"DATABASE_URL": "https://abc.supabase.co"}, commandline.ExitFailed, "", "SUPABASE_URL"},
		// A pooler that cannot hold a session, and where the database itself is cannot be told.
		{"transaction pooler", []string{"migrate", "plan"}, map[string]string{"DATABASE_URL": "postgresql://u:p@pooler.example.com:6543/app"}, commandline.ExitFailed, "", "session"},
		{"replay what", []string{"events", "replay"}, nil, commandline.ExitUsage, "", "--all"},
		{"replay both", []string{"events", "replay", "--all", "msg_1"}, nil, commandline.ExitUsage, "", "--all"},
		{"show what", []string{"deletions", "show"}, nil, commandline.ExitUsage, "", "<id>"},
		{"drop what", []string{"deletions", "drop"}, nil, commandline.ExitUsage, "", "<id>"},
		{"no deletions", []string{"deletions", "list", "--limit", "0"}, nil, commandline.ExitUsage, "", "--limit is 0"},
		{"unknown role", []string{"migrate", "login", "postgres"}, nil, commandline.ExitUsage, "", "writer"},
		{"two steps of a rotation", []string{"migrate", "login", "writer", "--rotate", "--retire"}, nil, commandline.ExitUsage, "", "--retire"},
		{"waiting for nothing", []string{"migrate", "login", "writer", "--rotate", "--wait", "1m"}, nil, commandline.ExitUsage, "", "--wait is for --retire"},
		{"forcing what needs no force", []string{"migrate", "login", "writer", "--rotate", "--force"}, nil, commandline.ExitUsage, "", "nothing to force"},
		{"waiting and not", []string{"migrate", "login", "writer", "--retire", "--force", "--wait", "1m"}, nil, commandline.ExitUsage, "", "does not wait"},
		{"no such file", []string{"--env-file", "/nowhere/.env", "status"}, nil, commandline.ExitUsage, "", "/nowhere/.env"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := clerksync(t, test.settings, test.args...)
			if got.Code != test.code {
				t.Errorf("clerksync %q exits %d, want %d\n%s", test.args, got.Code, test.code, got.Stderr)
			}
			for _, stream := range []struct{ name, got, want string }{{"stdout", got.Stdout, test.stdout}, {"stderr", got.Stderr, test.stderr}} {
				if !strings.Contains(stream.got, stream.want) || (stream.want == "") != (stream.got == "") {
					t.Errorf("clerksync %q prints on %s\n%q\nwant a text with %q", test.args, stream.name, stream.got, stream.want)
				}
			}
		})
	}
}

// What could be a secret is in none of the errors about it, wherever it was put by mistake.
func TestCommandLine_RepeatsNoSecret(t *testing.T) {
	t.Parallel()
	const body = "Zk3Vq9Xw2Lr7TbN5"
	secrets := map[string]string{
		"secret key":            "sk_live_" + body,
		"signing secret":        "whsec_" + body + "+/aA==",
		"connection string":     "postgres://user:" + body + "@db.example.com:5432/postgres",
		"any connection string": "postgresql+ssl://:" + body + "@db.example.com",
		"keywords":              "host=db.example.com password=" + body,
		"token":                 "eyJhbGciOiJSUzI1NiJ9." + body + ".x",
		"access token":          "sbp_" + body,
		"service key":           "sb_secret_" + body,
		"of no known kind":      body,
		"in capitals":           strings.ToUpper("qkxw") + "-" + body,
		"a password":            `p"` + body + "!",
	}
	places := map[string]func(string) []string{
		"a command":             func(s string) []string { return []string{s} },
		"an argument":           func(s string) []string { return []string{"status", s} },
		"an argument after it":  func(s string) []string { return []string{"migrate", "up", "--json", s} },
		"a subcommand":          func(s string) []string { return []string{"migrate", s} },
		"a flag":                func(s string) []string { return []string{"status", "--" + s} },
		"a short flag":          func(s string) []string { return []string{"status", "-" + s} },
		"an unknown flag's":     func(s string) []string { return []string{"status", "--database-url=" + s} },
		"an unknown flag's own": func(s string) []string { return []string{"status", "--database-url", s} },
		"a switch's":            func(s string) []string { return []string{"status", "--json=" + s} },
		"a number":              func(s string) []string { return []string{"dev", "--users", s} },
		"a duration":            func(s string) []string { return []string{"dev", "--duration", s} },
		"a share":               func(s string) []string { return []string{"dev", "--late=" + s} },
		"one of several":        func(s string) []string { return []string{"dev", "--postgres", s} },
		"a file":                func(s string) []string { return []string{"--env-file", s, "status"} },
		"a pattern":             func(s string) []string { return []string{"configure-rls", "notes", "--pattern", s} },
		"a rule":                func(s string) []string { return []string{"configure-rls", "notes", "--select", s + " and owner"} },
		"a table":               func(s string) []string { return []string{"configure-rls", "lint", "x", s} },
		"given twice":           func(s string) []string { return []string{"sync-users", "--user", s, "--user", s} },
		"a role":                func(s string) []string { return []string{"migrate", "login", s} },
	}
	for what, value := range secrets {
		for where, args := range places {
			t.Run(what+" as "+where, func(t *testing.T) {
				t.Parallel()
				got := clerksync(t, nil, args(value)...)
				if got.Code != commandline.ExitUsage || got.Stderr == "" {
					t.Errorf("clerksync %q exits %d and says %q, want %d and a reason", args(value), got.Code, got.Stderr, commandline.ExitUsage)
				}
				if all := got.Stdout + got.Stderr; strings.Contains(all, body) || strings.Contains(all, body[1:]) {
					t.Errorf("clerksync %q repeats the secret:\n%s", args(value), all)
				}
			})
		}
	}
}

// fullDisk takes nothing, as /dev/full.
type fullDisk struct{}

func (fullDisk) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return 0, &os.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
}

func TestCommandLine_AWriteThatFailsIsAnError(t *testing.T) {
	t.Parallel()
	p := clitest.NewPair[program](t, 40, backendapi.Options{})
	settings := maps.Clone(p.Settings)
	settings["DATABASE_URL"] = p.DB.Owner()
	clitest.Execute(t, p.DB.Conn(t, p.DB.Owner()), clitest.NotesSQL)
	for _, line := range []string{
		"--help", "status --help", "--version", "status", "--json status", "migrate plan", "--json migrate up", "--json events list", "--json events replay --all",
		"--json deletions list", "sync-users --dry-run", "--json sync-users --dry-run", "sync-users --user " + p.Users()[0], "--json sync-users --user " + p.Users()[0],
		"--json configure-rls lint", "--json configure-rls audit", "configure-rls audit", "configure-rls audit log", "configure-rls notes --pattern owner", "--json configure-rls notes --pattern owner",
		"configure-rls test notes", "--json configure-rls test notes", "completion bash", "--json completion fish", "test-jwt --symptom 22P02", "--json test-jwt --symptom 22P02", "migrate export --dir " + t.TempDir(),
		"dev --addr 127.0.0.1:0 --duration 1s", "--json dev --addr 127.0.0.1:0 --duration 1s",
	} {
		own := settings
		if strings.Contains(line, "dev ") {
			own = nil
		}
		got := clitest.On[program](t.Context(), console.Console{Stdout: fullDisk{}}, own, strings.Fields(line)...)
		if got.Code != commandline.ExitFailed || strings.Count(got.Stderr, "no space left on device") != 1 {
			t.Errorf("%s on a full disk: exit %d\n%s\nwant 1, and once why", line, got.Code, got.Stderr)
		}
	}
}

// With --json a failure leaves on stdout what the command has to tell, or nothing, and
// never half a document.
func TestCommandLine_AFailureAsJSONLeavesADocumentOrNothing(t *testing.T) {
	t.Parallel()
	away := map[string]string{"DATABASE_URL": "postgres://u:p@127.0.0.1:1/x"}
	for _, line := range []string{
		"status", "migrate plan", "migrate up", "migrate verify", "migrate login", "migrate login --rotate", "migrate login --retire", "events list", "events replay --all",
		"events replay msg_1", "events show msg_1", "events follow", "events redact user_1 --yes", "deletions list", "deletions show user_1", "deletions drop user_1",
		"configure-rls notes --pattern owner", "configure-rls test notes", "configure-rls lint", "configure-rls audit", "configure-rls audit notes", "configure-rls audit log",
		"migrate export --dir " + t.TempDir(), "dev --addr 127.0.0.1:0",
	} {
		got := clerksync(t, away, append([]string{"--json"}, strings.Fields(line)...)...)
		if got.Code != commandline.ExitFailed || got.Stdout != "" || !strings.Contains(got.Stderr, "clerksync: error: ") {
			t.Errorf("--json %s: exit %d, stdout %q\n%s\nwant 1, nothing and why", line, got.Code, got.Stdout, got.Stderr)
		}
	}
	db := testdb.New(t)
	for line, want := range map[string]string{
		"deletions drop user_1":            "",
		"deletions show user_1":            "",
		"events replay msg_1":              "msg_1",
		"configure-rls nowhere":            "",
		"configure-rls test nowhere":       "",
		"migrate login --retire":           "",
		"migrate up --helpers-schema auth": "",
	} {
		got := clerksync(t, map[string]string{"DATABASE_URL": db.Owner()}, append([]string{"--json"}, strings.Fields(line)...)...)
		if got.Code == commandline.ExitOK || !strings.Contains(got.Stdout, want) || (got.Stdout == "") != (want == "") || want != "" && !json.Valid([]byte(got.Stdout)) {
			t.Errorf("--json %s: exit %d, stdout %q\n%s\nwant a failure, and %q on stdout", line, got.Code, got.Stdout, got.Stderr, want)
		}
	}
}

// As from a shell's variable that is not set: it must not mean everything, the usual
// schema or this folder. What cannot be obeyed is refused, too.
func TestCommandLine_RefusesWhatIsEmptyOrCannotBeObeyed(t *testing.T) {
	t.Parallel()
	for _, line := range [][]string{
		{"events", "list", "--outcome", ""},
		{"events", "replay", ""},
		{"events", "replay", "msg_1", ""},
		{"deletions", "list", "--of", ""},
		{"deletions", "show", ""},
		{"deletions", "drop", ""},
		{"migrate", "plan", "--schema", ""},
		{"migrate", "up", "--helpers-schema", ""},
		{"migrate", "export", "--dir", ""},
		{"migrate", "login", ""},
		{"sync-users", "--user", ""},
		{"configure-rls", ""},
		{"configure-rls", "notes", "--pattern", "owner", "--exposed", ""},
		{"configure-rls", "notes", "--pattern", "owner", "--organizations", ""},
		{"configure-rls", "notes", "--pattern", "role-based", "--roles", "org:admin,", "--permissions", "x"},
		{"configure-rls", "notes", "--pattern", "owner", "--migration", "--dir", ""},
		{"configure-rls", "test", "notes", "--expect", ""},
		{"configure-rls", "test", "notes", "--write", ""},
		{"configure-rls", "lint", "--schema", ""},
		{"configure-rls", "lint", "--schema", "public", "--schema", ""},
		{"configure-rls", "audit", "notes", "--ignore", ""},
		{"test-jwt", "--file", ""},
		{"test-jwt", "--symptom", "x", "--symptom", "y"},
		{"--env-file", "", "status"},
		{"--env-file", "a", "--env-file", "b", "status"},
		{"dev", "--data", ""},
		{"dev", "--addr", ""},
		{"dev", "--addr", "localhost"},
		{"dev", "--rate", "Inf"},
		{"dev", "--rate", "NaN"},
		{"dev", "--users", "99999999999"},
		{"deletions", "list", "--limit", "99999999999"},
		{"sync-users", "--rate-share", "0"},
		{"configure-rls", "audit", "log", "--before", "0"},
		{"status", "--runs=-1"},
	} {
		got := clerksync(t, map[string]string{"DATABASE_URL": "postgres://u:p@127.0.0.1:1/x", "CLERK_SECRET_KEY": clitest.ClerkKey}, line...)
		if got.Code != commandline.ExitUsage || got.Stdout != "" || !strings.Contains(got.Stderr, "clerksync: error: ") {
			t.Errorf("clerksync %q: %+v, want wrong usage", line, got)
		}
	}
}
