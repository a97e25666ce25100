package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/config"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
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
	mint, user, clerk := newReadersClerk(t)
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
			project := newReadersProject(t, lines)
			dir := t.TempDir()
			settings := clerk + "DATABASE_URL=" + project.owner + "\nDIAGNOSTICS_DATABASE_URL=" + project.diagnostics + "\n"
			write := func(name, text string) {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write(".env", settings)
			owner, err := pgx.Connect(t.Context(), project.owner)
			if err != nil {
				t.Fatal(err)
			}
			defer owner.Close(context.Background())
			for _, line := range lines {
				if sql, ok := strings.CutPrefix(line, "sql "); ok {
					if _, err := owner.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
						t.Errorf("%s: %v", sql, err)
					}
					continue
				}
				// Of a life longer than the line takes; the page may take longer.
				token, err := mint.SessionToken(tokens.Options{UserID: user, Lifetime: 10 * time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				write("token.txt", token)
				typed(t, dir, line)
			}
		})
	}
}

// newReadersClerk is the instance of a page's reader: its tokens, one of its users, and
// what a file of settings says of it.
func newReadersClerk(t *testing.T) (mint *tokens.Mint, user, settings string) {
	t.Helper()
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	if err := instance.Seed(clerkinstance.SeedOptions{Users: 50, Organizations: 3, Memberships: 30, To: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	api := httptest.NewServer(mux)
	t.Cleanup(api.Close)
	mint = tokens.New(instance, api.URL)
	mux.Handle("/", backendapi.New(instance, backendapi.Options{SecretKeys: []string{clitest.ClerkKey}, Tokens: mint}))
	mux.Handle("/.well-known/", mint.FrontendAPI())
	for user = range instance.Snapshot().Users {
		break
	}
	return mint, user, "CLERK_SECRET_KEY=" + clitest.ClerkKey + "\nCLERK_API_URL=" + api.URL + "/v1\nCLERK_ISSUER=" + api.URL + "\n"
}

// readersProject is the database of a page's reader, by its connection strings.
type readersProject struct{ owner, diagnostics string }

// newReadersProject makes what the commands of a page need: a migrated database, or a
// fresh one for a page that migrates; and where it gives roles their passwords, a
// server of its own, since roles belong to the whole server.
func newReadersProject(t *testing.T, lines []string) readersProject {
	t.Helper()
	has := func(command string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "clerksync --env-file .env "+command) })
	}
	if !has("migrate login") {
		var options []testdb.Option
		if has("migrate up") {
			options = append(options, testdb.WithoutMigrations())
		}
		db := testdb.New(t, options...)
		return readersProject{owner: db.Owner(), diagnostics: db.Diagnostics()}
	}
	server := testdb.StartServer(t, postgres.Options{InMemory: true})
	super, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	if err := postgres.Stubs(t.Context(), super, postgres.Explicit); err != nil {
		t.Fatal(err)
	}
	made := readersProject{
		owner:       server.URL(testdb.ServerDatabase, postgres.Owner, ""),
		diagnostics: server.URL(testdb.ServerDatabase, migrate.DiagnosticsRole, ""),
	}
	if !has("migrate up") {
		if got := clerksync(t, map[string]string{"DATABASE_URL": made.owner}, "migrate", "up"); got.Code != commandline.ExitOK {
			t.Fatalf("migrate up: exit %d\n%s", got.Code, got.Stderr)
		}
	}
	return made
}

// typed does what a reader does with one line, in dir.
func typed(t *testing.T, dir, line string) {
	t.Helper()
	words := shellWords(line)
	switch words[0] {
	case "bin/clerksync":
		args := words[1:]
		if args[0] == "setup-sync" {
			typedSetUp(t, dir, args)
			return
		}
		if args[0] == "create-webhooks" {
			typedWebhooks(t, args)
			return
		}
		for i, arg := range args {
			if arg == ".env" || arg == "token.txt" || strings.HasPrefix(arg, "supabase/") {
				args[i] = filepath.Join(dir, arg)
			}
		}
		got := clerksync(t, nil, args...)
		// The reader of the tests has no access token of Supabase and no account of AWS, so
		// that whether the project trusts a token, and what the account allows, stay unknown.
		unknown := got.Code == commandline.ExitUnknown && (slices.Contains(args, "test-jwt") || slices.Contains(args, "--aws"))
		if got.Code != commandline.ExitOK && !unknown {
			t.Errorf("%s: exit %d\n%s%s", line, got.Code, got.Stdout, got.Stderr)
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
		// The tests of infra and of the functions build the template with sam; a deployment needs an account.
		if !slices.Contains([]string{"sam build", "sam deploy", "sam deploy --guided"}, line) {
			t.Errorf("%s: no test knows this command", line)
		}
	case "aws":
		typedAWS(t, dir, words[1:])
	default:
		t.Errorf("%s: no test knows this command", line)
	}
}

// typedSetUp runs setup-sync on accounts of its own. What it would ask at a terminal is
// in the environment, and agreed to; the command's own tests answer at one.
func typedSetUp(t *testing.T, dir string, args []string) {
	t.Helper()
	a := accounts.New(t)
	password := filepath.Join(dir, "password.txt")
	if err := os.WriteFile(password, []byte(accounts.OwnerPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		if arg == "password.txt" {
			args[i] = password
		}
	}
	if len(args) == 1 {
		args = append(args, "--yes", "--database-password-file", password)
	}
	settings := map[string]string{
		"CLERK_SECRET_KEY": accounts.SecretKey, "CLERK_PUBLISHABLE_KEY": accounts.PublishableKey("live"), "CLERK_API_URL": a.Clerk + "/v1",
		"CLERK_ISSUER": a.Clerk, "SUPABASE_ACCESS_TOKEN": accounts.AccessToken, "SUPABASE_API_URL": a.API,
	}
	if got := clerksync(t, settings, append(args, "--into", filepath.Join(t.TempDir(), ".env"))...); got.Code != commandline.ExitOK {
		t.Errorf("%s: exit %d\n%s%s", strings.Join(args, " "), got.Code, got.Stdout, got.Stderr)
	}
}

// typedWebhooks runs create-webhooks without a person: of an endpoint at which nothing has
// arrived yet. The command's own tests have deliveries.
func typedWebhooks(t *testing.T, args []string) {
	t.Helper()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":{"code":"missing_header"}}`))
	}))
	t.Cleanup(endpoint.Close)
	dir := t.TempDir()
	file, given := filepath.Join(dir, ".env"), filepath.Join(dir, "secret.txt")
	if err := os.WriteFile(given, []byte("whsec_"+strings.Repeat("A", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	want := commandline.ExitUnknown
	if slices.Contains(args, "--rotate") {
		want = commandline.ExitOK
		if err := os.WriteFile(file, []byte("CLERK_WEBHOOK_SIGNING_SECRET=whsec_"+strings.Repeat("B", 32)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if i := slices.Index(args, "--stack"); i >= 0 {
		args = append(slices.Delete(args, i, i+2), "--url", endpoint.URL)
	}
	args = append(args, "--into", file, "--secret-file", given, "--yes", "--wait", "0s")
	if got := clerksync(t, map[string]string{"DATABASE_URL": testdb.New(t).Writer()}, args...); got.Code != want {
		t.Errorf("%s: exit %d\n%s%s", strings.Join(args, " "), got.Code, got.Stdout, got.Stderr)
	}
}

// typedAWS runs AWS's own command line against moto, with what a deployment has
// made: a stack of the name in the docs, its secret and its log groups. Where
// either is missing the other lines of the page are still typed.
func typedAWS(t *testing.T, dir string, args []string) {
	t.Helper()
	t.Run("aws", func(t *testing.T) {
		need.Program(t, "aws", "pip install awscli, in an environment of its own")
		server := moto.Start(t)
		run := func(args ...string) (string, error) {
			command := exec.CommandContext(t.Context(), "aws", append([]string{"--endpoint-url", server.URL}, args...)...)
			command.Dir = dir
			// What the first version of the command line reads, and the second reads too.
			command.Env = append(os.Environ(), "AWS_DEFAULT_REGION="+moto.Region)
			for key, value := range server.Environment() {
				command.Env = append(command.Env, key+"="+value)
			}
			out, err := command.CombinedOutput()
			return string(out), err
		}
		deployed.Do(func() {
			for _, line := range [][]string{
				{
					"cloudformation", "create-stack", "--stack-name", "clerksync", "--template-body",
					`{"Resources":{"Queue":{"Type":"AWS::SQS::Queue"}},"Outputs":{"QueueUrl":{"Value":{"Ref":"Queue"}}}}`,
				},
				{"secretsmanager", "create-secret", "--name", "clerksync", "--secret-string", "{}"},
				{"logs", "create-log-group", "--log-group-name", "/aws/lambda/clerksync-webhook-ingest"},
			} {
				if out, err := run(line...); err != nil {
					t.Errorf("aws %s: %v\n%s", strings.Join(line, " "), err, out)
				}
			}
		})
		if out, err := run(args...); err != nil {
			t.Errorf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	})
}

// deployed is done once: the server serves all tests.
var deployed sync.Once

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
	if got := clerksync(t, nil, all...); got.Code != commandline.ExitOK {
		t.Errorf("%s: exit %d\n%s", line, got.Code, got.Stderr)
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
