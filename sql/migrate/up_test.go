package migrate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
	"clerksync/sql/schema"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// fresh is a project that has never seen a migration of ours, and its owner.
func fresh(t *testing.T) (*testdb.DB, *pgx.ConnConfig, *pgx.Conn) {
	t.Helper()
	db := testdb.New(t, testdb.WithoutMigrations())
	config, err := pgx.ParseConfig(db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	return db, config, db.Conn(t, db.Owner())
}

// exec begins anew where another test made or changed the same login roles meanwhile, as
// a migration does: what is given is one transaction.
func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	for try := 1; ; try++ {
		_, err := conn.Exec(t.Context(), sql)
		if err == nil {
			return
		}
		if try == 20 || !migrate.RolesChanged(err) {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestUp_AppliesEverythingOnceAndVerifyAgrees(t *testing.T) {
	t.Parallel()
	_, config, _ := fresh(t)
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); !errors.Is(err, migrate.ErrPending) {
		t.Errorf("Verify before Up: %v, want ErrPending", err)
	}
	applied, err := migrate.Up(t.Context(), config, migrate.Options{})
	if err != nil || len(applied) != len(migrate.Steps()) {
		t.Fatalf("Up applied %v, %v, want all %d", applied, err, len(migrate.Steps()))
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify after Up: %v", err)
	}
	applied, err = migrate.Up(t.Context(), config, migrate.Options{})
	if err != nil || len(applied) != 0 {
		t.Errorf("second Up applied %v, %v, want nothing", applied, err)
	}
}

func TestPlan_WritesNothing(t *testing.T) {
	t.Parallel()
	_, config, conn := fresh(t)
	states, err := migrate.Plan(t.Context(), config, migrate.Options{})
	if err != nil || len(states) != len(migrate.Steps()) || !states[0].AppliedAt.IsZero() {
		t.Errorf("Plan = %v, %v, want everything pending", states, err)
	}
	var there bool
	if err := conn.QueryRow(t.Context(), `select to_regnamespace('clerk_sync') is not null`).Scan(&there); err != nil || there {
		t.Errorf("schema clerk_sync exists after Plan: %t, %v", there, err)
	}
}

func TestUp_FromSeveralPlacesAtOnceAppliesOnce(t *testing.T) {
	t.Parallel()
	_, config, _ := fresh(t)
	var total int
	var lock sync.Mutex
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			applied, err := migrate.Up(t.Context(), config, migrate.Options{})
			if err != nil {
				t.Errorf("Up: %v", err)
			}
			lock.Lock()
			defer lock.Unlock()
			total += len(applied)
		})
	}
	all.Wait()
	if total != len(migrate.Steps()) {
		t.Errorf("%d migrations applied by all together, want %d", total, len(migrate.Steps()))
	}
}

func TestUp_StopsAtAChangedOrUnknownMigration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, damage string
		want         error
	}{
		{"edited file", `update clerk_sync.migrations set checksum = 'other' where version = 2`, migrate.ErrChanged},
		{"newer database", `insert into clerk_sync.migrations values (9001, 'future', 'x')`, migrate.ErrUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, config, conn := fresh(t)
			if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, test.damage)
			for name, call := range map[string]func() error{
				"Up":     func() error { _, err := migrate.Up(t.Context(), config, migrate.Options{}); return err },
				"Plan":   func() error { _, err := migrate.Plan(t.Context(), config, migrate.Options{}); return err },
				"Verify": func() error { return migrate.Verify(t.Context(), config, migrate.Options{}) },
			} {
				if err := call(); !errors.Is(err, test.want) {
					t.Errorf("%s: %v, want %v", name, err, test.want)
				}
			}
		})
	}
}

func TestUp_RefusesATakenTableBeforeItStarts(t *testing.T) {
	t.Parallel()
	_, config, conn := fresh(t)
	exec(t, conn, `create table public.users (id int)`)
	_, err := migrate.Up(t.Context(), config, migrate.Options{})
	if !errors.Is(err, migrate.ErrTaken) || !strings.Contains(err.Error(), "--schema") {
		t.Errorf("Up beside an own public.users: %v, want ErrTaken with the way out", err)
	}
	var there bool
	if err := conn.QueryRow(t.Context(), `select to_regnamespace('clerk_sync') is not null`).Scan(&there); err != nil || there {
		t.Errorf("schema clerk_sync exists after the refusal: %t, %v", there, err)
	}
	applied, err := migrate.Up(t.Context(), config, migrate.Options{Schema: "My Mirror"})
	if err != nil || len(applied) != len(migrate.Steps()) {
		t.Fatalf("Up into another schema = %v, %v", applied, err)
	}
	exec(t, conn, `select clerk_id from "My Mirror".users`)
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify finds the schema by itself: %v", err)
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{Schema: "public"}); !errors.Is(err, migrate.ErrSchema) {
		t.Errorf("Verify with another schema: %v, want ErrSchema", err)
	}
}

func TestUp_KeepsNothingOfAMigrationThatFails(t *testing.T) {
	t.Parallel()
	db, config, _ := fresh(t)
	// A table that policies and triggers are made on disappears behind the rules: what
	// an event trigger of the superuser's does.
	super := db.Conn(t, db.Superuser())
	exec(t, super, `
		create function public.meddle() returns event_trigger language plpgsql as $$
		begin
			if exists (select from pg_proc where proname = 'apply_clerk_event') then drop table if exists public.users_public; end if;
		end $$;
		create event trigger meddle on ddl_command_end when tag in ('GRANT') execute function public.meddle()`)
	applied, err := migrate.Up(t.Context(), config, migrate.Options{})
	if err == nil || len(applied) != 0 {
		t.Fatalf("Up = %v, %v, want nothing applied and an error", applied, err)
	}
	for _, part := range []string{"0006_policies_and_triggers", "SQLSTATE 42P01", "nothing was kept"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if ours := lines(t, super, `select nspname::text from pg_namespace where nspname in ('clerk', 'clerk_sync')`); len(ours) != 0 {
		t.Errorf("schemas %v are left", ours)
	}
	exec(t, super, `drop event trigger meddle`)
	if applied, err = migrate.Up(t.Context(), config, migrate.Options{}); err != nil || len(applied) != len(migrate.Steps()) {
		t.Errorf("Up after mending = %v, %v, want everything", applied, err)
	}
}

func TestUp_SurvivesBeingKilledAnywhere(t *testing.T) {
	t.Parallel()
	db, config, _ := fresh(t)
	super := db.Conn(t, db.Superuser())
	// Ends the migrator's connection after a while, a little later each time,
	// until it gets through.
	for delay := time.Duration(0); ; delay += 3 * time.Millisecond {
		ctx, cancel := context.WithCancel(t.Context())
		killed := make(chan error, 1)
		go func() {
			select {
			case <-time.After(delay):
			case <-ctx.Done():
			}
			_, err := super.Exec(t.Context(), `
				select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() and usename = 'supabase_postgres'`)
			killed <- err
		}()
		_, err := migrate.Up(t.Context(), config, migrate.Options{})
		cancel()
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		if err == nil {
			break
		}
		if delay > 5*time.Second {
			t.Fatalf("Up never got through: %v", err)
		}
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func TestUp_ExplainsADatabaseThatIsNotSupabase(t *testing.T) {
	t.Parallel()
	// The roles belong to the server, which other tests use: only the text of
	// the check is tried, with roles that do not exist.
	db := testdb.New(t, testdb.WithoutMigrations())
	conn := db.Conn(t, db.Owner())
	first := strings.ReplaceAll(firstFile(t), "'anon', 'authenticated', 'service_role'", "'anon', 'nobody_here'")
	_, err := conn.Exec(t.Context(), first)
	if err == nil || !strings.Contains(err.Error(), "role(s) nobody_here do not exist: this is not a Supabase database") {
		t.Errorf("migrating without the API roles: %v", err)
	}
}

// firstFile is the first schema file as it is released.
func firstFile(t *testing.T) string {
	t.Helper()
	text, err := schema.Files.ReadFile("0001_schemas_and_roles.sql")
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("{{exposed}}", "public", "{{helpers}}", "clerk").Replace(string(text))
}

func TestOptions_RefuseSchemasThatAreNotTheUsersOwn(t *testing.T) {
	t.Parallel()
	_, config, _ := fresh(t)
	for _, schema := range []string{"auth", "clerk", "clerk_sync", "pg_temp", "storage", strings.Repeat("x", 64), "a\x00b"} {
		if _, err := migrate.Plan(t.Context(), config, migrate.Options{Schema: schema}); err == nil {
			t.Errorf("Plan(schema %q) is accepted", schema)
		}
	}
	// Quotes and all: a name is only a name.
	if _, err := migrate.Up(t.Context(), config, migrate.Options{Schema: `a"; drop schema clerk_sync; --'`}); err != nil {
		t.Errorf("Up into an awkwardly named schema: %v", err)
	}
}

func TestExport_WritesFilesThatRecordThemselves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	written, err := migrate.Export(dir, migrate.Options{}, now)
	if err != nil || len(written) != len(migrate.Steps()) {
		t.Fatalf("Export = %v, %v", written, err)
	}
	if got, want := filepath.Base(written[1]), "20260102030406_clerksync_0002_copy.sql"; got != want {
		t.Errorf("second file is %s, want %s", got, want)
	}
	_, config, conn := fresh(t)
	for _, path := range written {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, conn, string(text))
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify after the exported files: %v", err)
	}
	again, err := migrate.Export(dir, migrate.Options{}, now.AddDate(1, 0, 0))
	if err != nil || len(again) != 0 {
		t.Errorf("second Export = %v, %v, want no new file", again, err)
	}
	if err := os.WriteFile(written[2], []byte("-- edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.Export(dir, migrate.Options{}, now); !errors.Is(err, migrate.ErrChanged) {
		t.Errorf("Export over an edited file: %v, want ErrChanged", err)
	}
}

func lines(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}
