package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/config"
	"clerksync/shared/devstack/clerkdouble"
	"clerksync/shared/devstack/testdb"
)

const root = "../.."

// typedBlocks are the fenced blocks that a reader is meant to type: commands, and
// SQL for the project's SQL editor.
var typedBlocks = regexp.MustCompile("(?s)```(sh|sql)\n(.*?)```")

// commands are the command lines of a page and its blocks of SQL, which begin
// with "sql ", in order.
func commands(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, block := range typedBlocks.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "sql" {
			lines = append(lines, "sql "+block[2])
			continue
		}
		for line := range strings.Lines(block[2]) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// Every command of the README and the docs runs as it stands, one page on one
// fresh database and a Clerk instance.
func TestDocs_EveryCommandRuns(t *testing.T) {
	t.Parallel()
	instance := clerkdouble.New(clerkdouble.Options{Seed: 1})
	if err := instance.Seed(clerkdouble.SeedOptions{Users: 50, Organizations: 3, Memberships: 30, To: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	api := httptest.NewServer(mux)
	t.Cleanup(api.Close)
	mux.Handle("/", instance.API(clerkdouble.APIOptions{SecretKeys: []string{clerkKey}}))
	mux.Handle("/.well-known/", instance.FrontendAPI(clerkdouble.FrontendOptions{Issuer: api.URL}))
	var user string
	for user = range instance.Snapshot().Users {
		break
	}
	// Longer than the pages take.
	token, err := instance.SessionToken(clerkdouble.TokenOptions{UserID: user, Issuer: api.URL, Lifetime: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		lines := commands(t, page)
		if len(lines) == 0 {
			continue
		}
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			var options []testdb.Option
			// A page that migrates begins with a fresh project.
			if slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "clerksync --env-file .env migrate up") }) {
				options = append(options, testdb.WithoutMigrations())
			}
			db := testdb.New(t, options...)
			dir := t.TempDir()
			settings := "DATABASE_URL=" + db.Owner() + "\nCLERK_SECRET_KEY=" + clerkKey + "\nCLERK_API_URL=" + api.URL + "/v1\n" +
				"CLERK_ISSUER=" + api.URL + "\nDIAGNOSTICS_DATABASE_URL=" + db.Diagnostics() + "\n"
			for name, text := range map[string]string{".env": settings, "token.txt": token} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			owner := db.Conn(t, db.Owner())
			for _, line := range lines {
				if sql, ok := strings.CutPrefix(line, "sql "); ok {
					if _, err := owner.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Errorf("%s: %v", sql, err)
					}
					continue
				}
				typed(t, dir, line)
			}
		})
	}
}

// typed does what a reader does with one line, in dir.
func typed(t *testing.T, dir, line string) {
	t.Helper()
	words := shellWords(line)
	switch words[0] {
	case "bin/clerksync":
		args := words[1:]
		for i, arg := range args {
			if arg == ".env" || arg == "token.txt" || strings.HasPrefix(arg, "supabase/") {
				args[i] = filepath.Join(dir, arg)
			}
		}
		if got := clerksync(t, nil, args...); got.code != exitOK {
			t.Errorf("%s: exit %d\n%s%s", line, got.code, got.stdout, got.stderr)
		}
	case "make":
		if words[1] == "run" {
			typedRun(t, line)
			return
		}
		// These run this very test, or take minutes; CI runs each. Here: the target
		// exists and make can read its recipe.
		command := exec.CommandContext(t.Context(), "make", append([]string{"-n"}, words[1:]...)...)
		command.Dir = root
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	case "sam":
		// functions/webhook-ingest builds the template with sam; a deployment needs an account.
		if line != "sam build" && line != "sam deploy --guided" {
			t.Errorf("%s: no test knows this command", line)
		}
	default:
		t.Errorf("%s: no test knows this command", line)
	}
}

// shellWords cuts a line as a shell does, as far as the docs go: blanks, and
// single quotes around a word.
func shellWords(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
		} else {
			words = append(words, strings.Fields(part)...)
		}
	}
	return words
}

var (
	runArgs  = regexp.MustCompile(`ARGS='([^']*)'`)
	duration = regexp.MustCompile(`--duration \S+`)
)

// typedRun is "make run" in this process, on any free port and for a second.
func typedRun(t *testing.T, line string) {
	t.Helper()
	args := ""
	if found := runArgs.FindStringSubmatch(line); found != nil {
		args = duration.ReplaceAllString(found[1], "")
	} else if line != "make run" {
		t.Errorf("%s: no test knows this command", line)
	}
	all := append([]string{"dev", "--addr", "127.0.0.1:0", "--duration", "1s"}, strings.Fields(args)...)
	if got := clerksync(t, nil, all...); got.code != exitOK {
		t.Errorf("%s: exit %d\n%s", line, got.code, got.stderr)
	}
}

func TestDocs_NameEverySetting(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range config.Keys() {
		row := regexp.MustCompile("(?m)^\\| `" + key.Name + "` \\| (yes)? ?\\|").FindStringSubmatch(string(text))
		if row == nil {
			t.Errorf("docs/configuration.md has no row for %s", key.Name)
			continue
		}
		if (row[1] == "yes") != key.Secret {
			t.Errorf("docs/configuration.md calls %s secret: %q, want %t", key.Name, row[1], key.Secret)
		}
	}
}

// links of a page to files beside it.
var links = regexp.MustCompile(`\]\(([^)#:]+)\)`)

func TestDocs_LinkToWhatExists(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, link[1])
			}
		}
	}
}
