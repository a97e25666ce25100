package migrations_test

import (
	"encoding/json"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/testdb"
	"clerksync/sql/migrations"
)

// supabase runs the real Supabase CLI against a database and returns what it
// prints on its standard output.
func supabase(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path, err := osexec.LookPath("supabase")
	if err != nil {
		const missing = `the Supabase CLI is not on PATH; "npm install supabase" brings it`
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	command := osexec.CommandContext(t.Context(), path, args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "SUPABASE_TELEMETRY_DISABLED=1", "DO_NOT_TRACK=1", "HOME="+t.TempDir())
	var talk strings.Builder
	command.Stderr = &talk
	out, err := command.Output()
	if err != nil {
		t.Fatalf("supabase %s: %v\n%s%s", strings.Join(args, " "), err, out, talk.String())
	}
	return string(out)
}

// Supabase's own linter finds nothing of level WARN or ERROR in what we ship.
func TestMigrations_PassSupabasesOwnLinter(t *testing.T) {
	t.Parallel()
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			findings := advisors(t, db)
			if len(findings) != 0 {
				t.Errorf("findings of level WARN or ERROR: %+v", findings)
			}

			// The linter does see this database: a table without RLS is found.
			owner := db.Conn(t, db.Owner())
			exec(t, owner, `create table public.careless (id int primary key); grant select on public.careless to anon`)
			if findings = advisors(t, db); len(findings) == 0 {
				t.Error("the linter finds nothing even in a table that anybody may read")
			}
		})
	}
}

type finding struct {
	Name   string `json:"name"`
	Level  string `json:"level"`
	Detail string `json:"detail"`
}

func advisors(t *testing.T, db *testdb.DB) []finding {
	t.Helper()
	out := supabase(t, t.TempDir(), "db", "advisors", "--remote="+db.Owner(), "--level", "warn", "--fail-on", "none", "--output-format", "json")
	var answer struct {
		Results []finding `json:"results"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		t.Fatalf("reading the linter's answer %q: %v", out, err)
	}
	return answer.Results
}

// "supabase db push" applies the exported files, and both tools agree about it.
func TestExport_ServesSupabaseDBPush(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	dir := t.TempDir()
	if _, err := migrations.Export(filepath.Join(dir, "supabase", "migrations"), migrations.Options{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	supabase(t, dir, "db", "push", "--remote="+db.Owner(), "--yes")
	config, err := pgx.ParseConfig(db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	if err := migrations.Verify(t.Context(), config, migrations.Options{}); err != nil {
		t.Errorf("Verify after supabase db push: %v", err)
	}
}
