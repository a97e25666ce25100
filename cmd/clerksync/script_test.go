package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/tools/txtar"

	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/testkit/testdb"
)

// scripts are what the documentation shows of the command line, as testscript runs it.
// Each has a database that is not migrated, a Clerk instance, a file .env that names both,
// and token.txt, a session token without a role.
func scripts(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d scripts: %v", len(files), err)
	}
	return files
}

func TestScripts(t *testing.T) {
	t.Parallel()
	for _, file := range scripts(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithoutMigrations())
			mint, user, clerk := newReadersClerk(t)
			token, err := mint.SessionToken(tokens.Options{UserID: user, WithoutRole: true, Lifetime: 10 * time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			settings := clerk + "DATABASE_URL=" + db.Owner() + "\n"
			testscript.Run(t, testscript.Params{
				Files: []string{file},
				Setup: func(env *testscript.Env) error {
					env.Setenv("NO_COLOR", "1")
					if err := os.WriteFile(env.Getenv("WORK")+"/token.txt", []byte(token), 0o600); err != nil {
						return err
					}
					return os.WriteFile(env.Getenv("WORK")+"/.env", []byte(settings), 0o600)
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){"shows": shows},
			})
		})
	}
}

// shows checks that a file, such as stdout, has the lines of another, one behind the
// other: whatever else there is, and with … for what differs from run to run.
func shows(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: shows file want")
	}
	rest := ts.ReadFile(args[0])
	for line := range strings.Lines(ts.ReadFile(args[1])) {
		line = strings.TrimSpace(line)
		pattern := regexp.MustCompile(`(?m)^\s*` + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".+") + `\s*$`)
		at := pattern.FindStringIndex(rest)
		if at == nil {
			ts.Fatalf("%s does not show, behind the lines before it: %s\n%s", args[0], line, ts.ReadFile(args[0]))
		}
		rest = rest[at[1]:]
	}
}

// transcript is a fenced block that begins with a prompt.
var transcript = regexp.MustCompile("(?s)```\n\\$ bin/(clerksync [^\n]*)\n(.*?)```")

// What the documentation shows of a session is what a script runs and sees.
func TestDocs_ShowTranscriptsOfScripts(t *testing.T) {
	t.Parallel()
	shown := map[string]string{} // what is typed, what it shows
	for _, file := range scripts(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var typed string
		for line := range strings.Lines(string(archive.Comment)) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "! ")
			if command, ok := strings.CutPrefix(line, "exec "); ok {
				typed = command
			}
			if want, ok := strings.CutPrefix(line, "shows stdout "); ok {
				i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == want })
				if i < 0 {
					t.Fatalf("%s has no file %s", file, want)
				}
				shown[typed] = string(archive.Files[i].Data)
			}
		}
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	transcripts := 0
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range transcript.FindAllStringSubmatch(string(text), -1) {
			transcripts++
			if shown[block[1]] != block[2] {
				t.Errorf("%s: no script shows this of %q:\n%s", filepath.Base(page), block[1], block[2])
			}
		}
	}
	if transcripts < 3 {
		t.Errorf("%d transcripts in the documentation; nothing is shown", transcripts)
	}
}
