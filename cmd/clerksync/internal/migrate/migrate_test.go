package migrate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/testkit/testdb"
)

func TestMigrate_PlansAppliesAndVerifies(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	if got := clerksync(t, settings, "migrate", "verify"); got.Code != commandline.ExitFailed || !strings.Contains(got.Stderr, "pending") {
		t.Errorf("verify before: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "plan"); got.Code != commandline.ExitOK || strings.Count(got.Stdout, "pending") == 0 {
		t.Errorf("plan before: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "up"); got.Code != commandline.ExitOK || !strings.Contains(strings.Join(strings.Fields(got.Stdout), " "), "0001_schemas_and_roles applied") {
		t.Errorf("up: %+v", got)
	}
	if got := clerksync(t, settings, "migrate", "verify"); got != (clitest.Result{}) {
		t.Errorf("verify after: %+v, want silence and 0", got)
	}
	got := clerksync(t, settings, "--json", "migrate", "plan")
	var planned []plannedMigration
	if err := json.Unmarshal([]byte(got.Stdout), &planned); err != nil || planned[0].AppliedAt == nil {
		t.Errorf("plan --json: %+v, %v", got, err)
	}
}

// wantRun checks the exit code, and that the streams hold texts; "" wants an empty stream.
func wantRun(t *testing.T, what string, got clitest.Result, code int, stdout string, stderr ...string) {
	t.Helper()
	if got.Code != code || !strings.Contains(got.Stdout, stdout) || (stdout == "") != (got.Stdout == "") || (len(stderr) == 0) != (got.Stderr == "") {
		t.Errorf("%s: exit %d\n%s\n%s\nwant exit %d and %q", what, got.Code, got.Stdout, got.Stderr, code, stdout)
	}
	for _, part := range stderr {
		if !strings.Contains(got.Stderr, part) {
			t.Errorf("%s: stderr is\n%s\nwant %q in it", what, got.Stderr, part)
		}
	}
}

// Field case b11: a schema clerk of the team's is noticed before anything is made, and
// another one is chosen.
func TestMigrate_ASchemaClerkThatIsTaken(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	conn := db.Conn(t, db.Owner())
	clitest.Execute(t, conn, `create schema clerk; create function clerk.user_id() returns text language sql stable as $$ select 'mine' $$`)
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	for _, command := range []string{"plan", "up"} {
		wantRun(t, command, clerksync(t, settings, "migrate", command), commandline.ExitFailed, "", "clerk.user_id()", "choose another schema with --helpers-schema, or rename yours")
	}
	wantRun(t, "a name that is ours", clerksync(t, settings, "migrate", "plan", "--helpers-schema", "clerk_sync"), commandline.ExitFailed, "", `such as "clerk_claims"`)
	wantRun(t, "plan with a name", clerksync(t, settings, "migrate", "plan", "--helpers-schema", "clerk_claims"), commandline.ExitOK, "pending")
	wantRun(t, "up with a name", clerksync(t, settings, "migrate", "up", "--helpers-schema", "clerk_claims"), commandline.ExitOK, "applied")
	wantRun(t, "verify without it", clerksync(t, settings, "migrate", "verify"), commandline.ExitOK, "")
	wantRun(t, "up again", clerksync(t, settings, "migrate", "up"), commandline.ExitOK, "", "up to date")
	wantRun(t, "another name", clerksync(t, settings, "migrate", "up", "--helpers-schema", "clerk"), commandline.ExitFailed, "", `"clerk_claims", not "clerk"`)
	var mine, ours string
	if err := conn.QueryRow(t.Context(), `select clerk.user_id(), coalesce(clerk_claims.user_id(), 'nobody')`).Scan(&mine, &ours); err != nil || mine != "mine" || ours != "nobody" {
		t.Errorf("the team's function says %q and ours %q, %v", mine, ours, err)
	}
}

func TestMigrate_ASuperuserHasToBeMeant(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	settings := map[string]string{"DATABASE_URL": db.Superuser()}
	for _, command := range []string{"plan", "up"} {
		wantRun(t, command, clerksync(t, settings, "migrate", command), commandline.ExitFailed, "", "connect as the role that owns the project", "--as-superuser if this is meant")
		wantRun(t, command+" that is meant", clerksync(t, settings, "migrate", command, "--as-superuser"), commandline.ExitOK, "0001_schemas_and_roles")
	}
	wantRun(t, "verify", clerksync(t, settings, "migrate", "verify"), commandline.ExitOK, "")
	wantRun(t, "plan with nothing to do", clerksync(t, settings, "migrate", "plan"), commandline.ExitOK, "applied")
}

// exported are the contents of the files in a folder, whichever their names.
func exported(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.sql"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

func TestMigrateExport_TakesTheSchemasOfTheDatabase(t *testing.T) {
	t.Parallel()
	export := func(dir string, settings map[string]string, flags ...string) clitest.Result {
		return clerksync(t, settings, append([]string{"migrate", "export", "--dir", dir}, flags...)...)
	}
	db := testdb.New(t, testdb.Elsewhere())
	const elsewhere = `-- schemas: "app" "claims"`
	for name, login := range map[string]string{"owner": db.Owner(), "writer": db.Writer(), "through the pooler": db.Pooled(t, db.Owner())} {
		dir := t.TempDir()
		wantRun(t, name, export(dir, map[string]string{"DATABASE_URL": login}), commandline.ExitOK, "0001", `for the schemas "app" and "claims", with which the database was migrated`)
		if text := exported(t, dir); strings.Count(text, elsewhere) == 0 || testdb.NamesUsualHelpers(text) {
			t.Errorf("%s: the files are not for app and claims", name)
		}
		// Now the files say it, and nobody is asked.
		wantRun(t, name+", again", export(dir, map[string]string{"DATABASE_URL": "postgresql://u:p@127.0.0.1:1/x"}), commandline.ExitOK, "", "nothing to do")
	}
	settings := map[string]string{"DATABASE_URL": db.Owner()}
	dir := t.TempDir()
	wantRun(t, "flags that agree", export(dir, settings, "--helpers-schema", "claims"), commandline.ExitOK, "0001", `"app" and "claims"`)
	for _, flags := range [][]string{{"--schema", "public"}, {"--helpers-schema", "clerk"}, {"--schema", "public", "--helpers-schema", "clerk"}} {
		dir := t.TempDir()
		wantRun(t, strings.Join(flags, " "), export(dir, settings, flags...), commandline.ExitFailed, "", "another schema is in use", `"app" (--schema) and "claims" (--helpers-schema)`)
		if exported(t, dir) != "" {
			t.Errorf("%v: something was written", flags)
		}
	}

	plain := testdb.New(t, testdb.WithoutMigrations())
	dir = t.TempDir()
	wantRun(t, "a database that was not migrated", export(dir, map[string]string{"DATABASE_URL": plain.Owner()}, "--schema", "app"), commandline.ExitOK, "0001")
	if !strings.Contains(exported(t, dir), `-- schemas: "app" "clerk"`) {
		t.Error("not migrated: the files are not for the flags' schemas")
	}
	dir = t.TempDir()
	wantRun(t, "no database", export(dir, nil), commandline.ExitOK, "0001")
	if !strings.Contains(exported(t, dir), `-- schemas: "public" "clerk"`) {
		t.Error("without a database: the files are not for the usual schemas")
	}

	away := map[string]string{"DATABASE_URL": "postgresql://u:topsecret@127.0.0.1:1/x"}
	dir = t.TempDir()
	for _, flags := range [][]string{nil, {"--schema", "app"}, {"--helpers-schema", "claims"}} {
		got := export(dir, away, flags...)
		wantRun(t, "a database that is away", got, commandline.ExitFailed, "", "unset DATABASE_URL", "--schema and --helpers-schema")
		if strings.Contains(got.Stderr, "topsecret") || exported(t, dir) != "" {
			t.Errorf("a database that is away: %s, and files %q", got.Stderr, exported(t, dir))
		}
	}
	wantRun(t, "away, with both flags", export(dir, away, "--schema", "app", "--helpers-schema", "claims"), commandline.ExitOK, "0001", "warning")
	if !strings.Contains(exported(t, dir), elsewhere) {
		t.Error("away, with both flags: the files are not for them")
	}
}
