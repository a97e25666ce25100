package migrations_test

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

	"clerksync/shared/devstack/testdb"
	"clerksync/sql/migrations"
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

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestUp_AppliesEverythingOnceAndVerifyAgrees(t *testing.T) {
	t.Parallel()
	_, config, _ := fresh(t)
	if err := migrations.Verify(t.Context(), config, migrations.Options{}); !errors.Is(err, migrations.ErrPending) {
		t.Errorf("Verify before Up: %v, want ErrPending", err)
	}
	applied, err := migrations.Up(t.Context(), config, migrations.Options{})
	if err != nil || len(applied) != len(migrations.All()) {
		t.Fatalf("Up applied %v, %v, want all %d", applied, err, len(migrations.All()))
	}
	if err := migrations.Verify(t.Context(), config, migrations.Options{}); err != nil {
		t.Errorf("Verify after Up: %v", err)
	}
	applied, err = migrations.Up(t.Context(), config, migrations.Options{})
	if err != nil || len(applied) != 0 {
		t.Errorf("second Up applied %v, %v, want nothing", applied, err)
	}
}

func TestPlan_WritesNothing(t *testing.T) {
	t.Parallel()
	_, config, conn := fresh(t)
	states, err := migrations.Plan(t.Context(), config, migrations.Options{})
	if err != nil || len(states) != len(migrations.All()) || !states[0].AppliedAt.IsZero() {
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
			applied, err := migrations.Up(t.Context(), config, migrations.Options{})
			if err != nil {
				t.Errorf("Up: %v", err)
			}
			lock.Lock()
			defer lock.Unlock()
			total += len(applied)
		})
	}
	all.Wait()
	if total != len(migrations.All()) {
		t.Errorf("%d migrations applied by all together, want %d", total, len(migrations.All()))
	}
}

func TestUp_StopsAtAChangedOrUnknownMigration(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, damage string
		want         error
	}{
		{"edited file", `update clerk_sync.migrations set checksum = 'other' where version = 2`, migrations.ErrChanged},
		{"newer database", `insert into clerk_sync.migrations values (9001, 'future', 'x')`, migrations.ErrUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, config, conn := fresh(t)
			if _, err := migrations.Up(t.Context(), config, migrations.Options{}); err != nil {
				t.Fatal(err)
			}
			exec(t, conn, test.damage)
			for name, call := range map[string]func() error{
				"Up":     func() error { _, err := migrations.Up(t.Context(), config, migrations.Options{}); return err },
				"Plan":   func() error { _, err := migrations.Plan(t.Context(), config, migrations.Options{}); return err },
				"Verify": func() error { return migrations.Verify(t.Context(), config, migrations.Options{}) },
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
	_, err := migrations.Up(t.Context(), config, migrations.Options{})
	if !errors.Is(err, migrations.ErrTaken) || !strings.Contains(err.Error(), "--schema") {
		t.Errorf("Up beside an own public.users: %v, want ErrTaken with the way out", err)
	}
	var there bool
	if err := conn.QueryRow(t.Context(), `select to_regnamespace('clerk_sync') is not null`).Scan(&there); err != nil || there {
		t.Errorf("schema clerk_sync exists after the refusal: %t, %v", there, err)
	}
	applied, err := migrations.Up(t.Context(), config, migrations.Options{Schema: "My Mirror"})
	if err != nil || len(applied) != len(migrations.All()) {
		t.Fatalf("Up into another schema = %v, %v", applied, err)
	}
	exec(t, conn, `select clerk_id from "My Mirror".users`)
	if err := migrations.Verify(t.Context(), config, migrations.Options{}); err != nil {
		t.Errorf("Verify finds the schema by itself: %v", err)
	}
	if err := migrations.Verify(t.Context(), config, migrations.Options{Schema: "public"}); !errors.Is(err, migrations.ErrSchema) {
		t.Errorf("Verify with another schema: %v, want ErrSchema", err)
	}
}

func TestUp_KeepsNothingOfAMigrationThatFails(t *testing.T) {
	t.Parallel()
	_, config, conn := fresh(t)
	// The third migration makes this function.
	exec(t, conn, `create schema clerk; create function clerk.org_role() returns int language sql as 'select 1'`)
	applied, err := migrations.Up(t.Context(), config, migrations.Options{})
	if err == nil || len(applied) != 2 {
		t.Fatalf("Up = %v, %v, want two applied and an error", applied, err)
	}
	for _, part := range []string{"0003_policies", "SQLSTATE 42723", "nothing of this migration was kept"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	var helpers int
	if err := conn.QueryRow(t.Context(), `select count(*) from pg_proc where pronamespace = 'clerk'::regnamespace`).Scan(&helpers); err != nil || helpers != 1 {
		t.Errorf("%d functions in schema clerk, %v, want the one that was there", helpers, err)
	}
	exec(t, conn, `drop function clerk.org_role()`)
	if applied, err = migrations.Up(t.Context(), config, migrations.Options{}); err != nil || len(applied) != len(migrations.All())-2 {
		t.Errorf("Up after mending = %v, %v, want the rest", applied, err)
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
		_, err := migrations.Up(t.Context(), config, migrations.Options{})
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
	if err := migrations.Verify(t.Context(), config, migrations.Options{}); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func TestUp_ExplainsADatabaseThatIsNotSupabase(t *testing.T) {
	t.Parallel()
	// The roles belong to the server, which other tests use: only the text of
	// the check is tried, with roles that do not exist.
	db := testdb.New(t, testdb.WithoutMigrations())
	conn := db.Conn(t, db.Owner())
	first := strings.ReplaceAll(migrations.All()[0].SQL("public"), "'anon', 'authenticated', 'service_role'", "'anon', 'nobody_here'")
	_, err := conn.Exec(t.Context(), first)
	if err == nil || !strings.Contains(err.Error(), "role(s) nobody_here do not exist: this is not a Supabase database") {
		t.Errorf("migrating without the API roles: %v", err)
	}
}

func TestOptions_RefuseSchemasThatAreNotTheUsersOwn(t *testing.T) {
	t.Parallel()
	_, config, _ := fresh(t)
	for _, schema := range []string{"auth", "clerk", "clerk_sync", "pg_temp", "storage", strings.Repeat("x", 64), "a\x00b"} {
		if _, err := migrations.Plan(t.Context(), config, migrations.Options{Schema: schema}); err == nil {
			t.Errorf("Plan(schema %q) is accepted", schema)
		}
	}
	// Quotes and all: a name is only a name.
	if _, err := migrations.Up(t.Context(), config, migrations.Options{Schema: `a"; drop schema clerk_sync; --'`}); err != nil {
		t.Errorf("Up into an awkwardly named schema: %v", err)
	}
}

func TestExport_WritesFilesThatRecordThemselves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	written, err := migrations.Export(dir, migrations.Options{}, now)
	if err != nil || len(written) != len(migrations.All()) {
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
	if err := migrations.Verify(t.Context(), config, migrations.Options{}); err != nil {
		t.Errorf("Verify after the exported files: %v", err)
	}
	again, err := migrations.Export(dir, migrations.Options{}, now.AddDate(1, 0, 0))
	if err != nil || len(again) != 0 {
		t.Errorf("second Export = %v, %v, want no new file", again, err)
	}
	if err := os.WriteFile(written[2], []byte("-- edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Export(dir, migrations.Options{}, now); !errors.Is(err, migrations.ErrChanged) {
		t.Errorf("Export over an edited file: %v, want ErrChanged", err)
	}
}
