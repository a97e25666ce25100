package migrate_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/supabasecli"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

var regimes = map[string]postgres.Regime{"explicit grants": postgres.Explicit, "legacy grants": postgres.Legacy}

// Supabase's own linter finds nothing of level WARN or ERROR in what we ship.
func TestMigrations_PassSupabasesOwnLinter(t *testing.T) {
	t.Parallel()
	supabasecli.Need(t)
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			findings := supabasecli.Advisors(t, db.Owner(), "warn")
			if len(findings) != 0 {
				t.Errorf("findings of level WARN or ERROR: %+v", findings)
			}

			// The linter does see this database: a table without RLS is found.
			owner := db.Conn(t, db.Owner())
			exec(t, owner, `create table public.careless (id int primary key); grant select on public.careless to anon`)
			if findings = supabasecli.Advisors(t, db.Owner(), "warn"); len(findings) == 0 {
				t.Error("the linter finds nothing even in a table that anybody may read")
			}
		})
	}
}

// "supabase db push" applies the exported files, and both tools agree about it.
func TestExport_ServesSupabaseDBPush(t *testing.T) {
	t.Parallel()
	supabasecli.Need(t)
	db := testdb.New(t, testdb.WithoutMigrations())
	dir := t.TempDir()
	if _, err := migrate.Export(filepath.Join(dir, "supabase", "migrations"), migrate.Options{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	supabasecli.Run(t, dir, "db", "push", "--remote="+db.Owner(), "--yes")
	config, err := pgx.ParseConfig(db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify after supabase db push: %v", err)
	}
}
