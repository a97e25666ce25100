package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
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

func TestEnvFile_IsOfReadableSize(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ".env")
	fits := "DATABASE_URL=\"https://from-the-file.supabase.co\"\n#"
	fits += strings.Repeat("x", 1<<20-len(fits))
	if err := os.WriteFile(path, []byte(fits), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := clerksync(t, nil, "--env-file", path, "status"); !strings.Contains(got.Stderr, "API URL") {
		t.Errorf("a file of 1 MiB is not used: %+v", got)
	}
	if err := os.WriteFile(path, []byte(fits+"x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, "/dev/zero"} {
		if got := clerksync(t, nil, "--env-file", name, "status"); got.Code != commandline.ExitUsage || !strings.Contains(got.Stderr, "more than 1024 KiB") {
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
	if got := clerksync(t, nil, "--env-file", path, "status"); !strings.Contains(got.Stderr, "API URL") {
		t.Errorf("the file's setting is not used: %+v", got)
	}
	if got := clerksync(t, map[string]string{"DATABASE_URL": "sk_live_x"}, "--env-file", path, "status"); strings.Contains(got.Stderr, "API URL") {
		t.Errorf("the file's setting wins over the environment: %+v", got)
	}
	if err := os.WriteFile(path, []byte("DATABASE_URL=\"postgresql://u:topsecret@h/db\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := clerksync(t, nil, "--env-file", path, "status"); got.Code != commandline.ExitUsage || strings.Contains(got.Stderr, "topsecret") {
		t.Errorf("a broken file: %+v, want usage error without its content", got)
	}
}
