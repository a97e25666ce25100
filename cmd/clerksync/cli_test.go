package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/shared/testkit/testdb"
)

// result is what a command line leaves.
type result struct {
	code           int
	stdout, stderr string
}

// clerksync runs one command line with nothing in its environment but the given
// settings.
func clerksync(t *testing.T, settings map[string]string, args ...string) result {
	t.Helper()
	return clerksyncReading(t, settings, "", args...)
}

// clerksyncReading does so with something on stdin.
func clerksyncReading(t *testing.T, settings map[string]string, input string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, console{
		Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr,
		Lookup: func(key string) (string, bool) { value, ok := settings[key]; return value, ok },
	})
	return result{code, stdout.String(), stderr.String()}
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
		{"help", []string{"--help"}, nil, exitOK, "migrate up", ""},
		{"version", []string{"--version"}, nil, exitOK, "dev", ""},
		{"no command", nil, nil, exitUsage, "", "hint:"},
		{"unknown command", []string{"mirgate"}, nil, exitUsage, "", "unexpected argument mirgate"},
		{"unknown flag", []string{"status", "--jsno"}, nil, exitUsage, "", "unknown flag --jsno"},
		{"no database", []string{"status"}, nil, exitFailed, "", "DATABASE_URL"},
		{"not a database", []string{"migrate", "up"}, map[string]string{"DATABASE_URL": "https://abc.supabase.co"}, exitFailed, "", "SUPABASE_URL"},
		// A pooler that cannot hold a session, and where the database itself is cannot be told.
		{"transaction pooler", []string{"migrate", "plan"}, map[string]string{"DATABASE_URL": "postgresql://u:p@pooler.example.com:6543/app"}, exitFailed, "", "session"},
		{"replay what", []string{"events", "replay"}, nil, exitUsage, "", "--all"},
		{"replay both", []string{"events", "replay", "--all", "msg_1"}, nil, exitUsage, "", "--all"},
		{"show what", []string{"deletions", "show"}, nil, exitUsage, "", "<id>"},
		{"drop what", []string{"deletions", "drop"}, nil, exitUsage, "", "<id>"},
		{"no deletions", []string{"deletions", "list", "--limit", "0"}, nil, exitUsage, "", "--limit is 0"},
		{"unknown role", []string{"migrate", "login", "postgres"}, nil, exitUsage, "", "writer"},
		{"two steps of a rotation", []string{"migrate", "login", "writer", "--rotate", "--retire"}, nil, exitUsage, "", "--retire"},
		{"waiting for nothing", []string{"migrate", "login", "writer", "--rotate", "--wait", "1m"}, nil, exitUsage, "", "--wait is for --retire"},
		{"forcing what needs no force", []string{"migrate", "login", "writer", "--rotate", "--force"}, nil, exitUsage, "", "nothing to force"},
		{"waiting and not", []string{"migrate", "login", "writer", "--retire", "--force", "--wait", "1m"}, nil, exitUsage, "", "does not wait"},
		{"no such file", []string{"--env-file", "/nowhere/.env", "status"}, nil, exitUsage, "", "/nowhere/.env"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := clerksync(t, test.settings, test.args...)
			if got.code != test.code {
				t.Errorf("clerksync %q exits %d, want %d\n%s", test.args, got.code, test.code, got.stderr)
			}
			for _, stream := range []struct{ name, got, want string }{{"stdout", got.stdout, test.stdout}, {"stderr", got.stderr, test.stderr}} {
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
				if got.code != exitUsage || got.stderr == "" {
					t.Errorf("clerksync %q exits %d and says %q, want %d and a reason", args(value), got.code, got.stderr, exitUsage)
				}
				if all := got.stdout + got.stderr; strings.Contains(all, body) || strings.Contains(all, body[1:]) {
					t.Errorf("clerksync %q repeats the secret:\n%s", args(value), all)
				}
			})
		}
	}
}

func TestEnvFile_IsOfReadableSize(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	fits := "DATABASE_URL=\"https://from-the-file.supabase.co\"\n#"
	fits += strings.Repeat("x", 1<<20-len(fits))
	if err := os.WriteFile(path, []byte(fits), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := clerksync(t, nil, "--env-file", path, "status"); !strings.Contains(got.stderr, "API URL") {
		t.Errorf("a file of 1 MiB is not used: %+v", got)
	}
	if err := os.WriteFile(path, []byte(fits+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "/dev/zero"} {
		if got := clerksync(t, nil, "--env-file", name, "status"); got.code != exitUsage || !strings.Contains(got.stderr, "more than 1024 KiB") {
			t.Errorf("--env-file %s: %+v, want a usage error with the limit", name, got)
		}
	}
}

func TestEnvFile_GivesWhatTheEnvironmentDoesNot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte("DATABASE_URL=\"https://from-the-file.supabase.co\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := clerksync(t, nil, "--env-file", path, "status"); !strings.Contains(got.stderr, "API URL") {
		t.Errorf("the file's setting is not used: %+v", got)
	}
	if got := clerksync(t, map[string]string{"DATABASE_URL": "sk_live_x"}, "--env-file", path, "status"); strings.Contains(got.stderr, "API URL") {
		t.Errorf("the file's setting wins over the environment: %+v", got)
	}
	if err := os.WriteFile(path, []byte("DATABASE_URL=\"postgresql://u:topsecret@h/db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := clerksync(t, nil, "--env-file", path, "status"); got.code != exitUsage || strings.Contains(got.stderr, "topsecret") {
		t.Errorf("a broken file: %+v, want usage error without its content", got)
	}
}

func TestMigrate_PlansAppliesAndVerifies(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	if got := clerksync(t, settings, "migrate", "verify"); got.code != exitFailed || !strings.Contains(got.stderr, "pending") {
		t.Errorf("verify before: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "plan"); got.code != exitOK || strings.Count(got.stdout, "pending") == 0 {
		t.Errorf("plan before: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "up"); got.code != exitOK || !strings.Contains(strings.Join(strings.Fields(got.stdout), " "), "0001_schemas_and_roles applied") {
		t.Errorf("up: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "verify"); got != (result{}) {
		t.Errorf("verify after: %+v, want silence and 0", got)
	}
	got := clerksync(t, settings, "--json", "migrate", "plan")
	var planned []plannedMigration
	if err := json.Unmarshal([]byte(got.stdout), &planned); err != nil || planned[0].AppliedAt == nil {
		t.Errorf("plan --json: %+v, %v", got, err)
	}
}

func TestEvents_AreListedAndReplayed(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	for _, sql := range []string{
		`update clerk_sync.settings set instance_id = 'ins_ours'`,
		`select clerk_sync.apply_event('msg_1', '{"type":"user.created","instance_id":"ins_theirs","data":{"id":"user_1","updated_at":1716883200000}}')`,
		`select clerk_sync.apply_event('msg_2', '{"type":"user.created","instance_id":"ins_ours","data":{"id":7,"updated_at":1716883200000}}')`,
	} {
		if _, err := owner.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	settings := map[string]string{"DATABASE_URL": db.Writer()}
	got := clerksync(t, settings, "events", "list", "--outcome", "rejected")
	for _, part := range []string{"msg_1", "rejected (wrong_instance)", "msg_2", "rejected (malformed_id)"} {
		if got.code != exitOK || !strings.Contains(got.stdout, part) {
			t.Errorf("events list: %+v, want %q in it", got, part)
		}
	}
	if _, err := owner.Exec(t.Context(), `update clerk_sync.settings set instance_id = null`); err != nil {
		t.Fatal(err)
	}
	got = clerksync(t, settings, "--json", "events", "replay", "--all")
	var results []replayed
	if err := json.Unmarshal([]byte(got.stdout), &results); err != nil {
		t.Fatalf("events replay --json: %+v, %v", got, err)
	}
	if got.code != exitFailed || !strings.Contains(got.stderr, "1 of 2 events are still rejected") ||
		len(results) != 2 || results[0] != (replayed{SvixID: "msg_1", Outcome: "applied"}) {
		t.Errorf("events replay --all: %+v, want msg_1 applied, msg_2 still rejected", got)
	}
	if got = clerksync(t, settings, "events", "replay", "msg_nowhere"); got.code != exitFailed || !strings.Contains(got.stderr, "msg_nowhere") {
		t.Errorf("replay of an unknown event: %+v", got)
	}
	if got = clerksync(t, settings, "status"); got.code != exitOK || !strings.Contains(got.stdout, "users") {
		t.Errorf("status: %+v", got)
	}
}
