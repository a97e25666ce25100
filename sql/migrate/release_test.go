package migrate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/supabasecli"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
	"clerksync/sql/rules"
	"clerksync/sql/schema"
)

// laterRelease has one column and a policy more than this one, one function changed,
// one with another result, one new and one gone.
func laterRelease(t *testing.T) migrate.Release {
	t.Helper()
	schemaFiles, rulesFiles := copied(t, schema.Files), copied(t, rules.Files)
	schemaFiles[further(schemaFiles, "nickname")] = &fstest.MapFile{Data: []byte("alter table {{exposed}}.users add column nickname text;\n")}
	schemaFiles[further(schemaFiles, "nickname_policy")] = &fstest.MapFile{Data: []byte("-- after: rules\n" +
		"create policy users_read_nickname on {{exposed}}.users for select to authenticated using (nickname = (select {{helpers}}.nickname()));\n")}
	rulesFiles["claims.sql"].Data = append(rulesFiles["claims.sql"].Data, []byte(`
create or replace function {{helpers}}.nickname() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$ select u.nickname from {{exposed}}.users as u $$;
revoke execute on function {{helpers}}.nickname() from public;
`)...)
	status := string(rulesFiles["status.sql"].Data)
	changed := strings.Replace(status, "'last_event_at', (select max(w.received_at) from clerk_sync.webhook_events as w)", "'last_event_at', now()", 1)
	changed = strings.Replace(changed, "function clerk_sync.last_event_at() returns timestamptz", "function clerk_sync.last_event_at() returns text", 1)
	changed = strings.Replace(changed, "select max(w.received_at) from", "select max(w.received_at)::text from", 1)
	if changed == status {
		t.Fatal("status.sql does not read as this test expects")
	}
	rulesFiles["status.sql"].Data = []byte(changed)
	projection := rulesFiles["projection.sql"]
	projection.Data = bytes.ReplaceAll(projection.Data, []byte("project_rows"), []byte("project_other_rows"))
	return migrate.Load(schemaFiles, rulesFiles, rules.Revision+1)
}

// further names the schema file that follows some others.
func further(files fstest.MapFS, name string) string {
	return fmt.Sprintf("%04d_%s.sql", len(files)+1, name)
}

func copied(t *testing.T, files fs.FS) fstest.MapFS {
	t.Helper()
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	all := fstest.MapFS{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &fstest.MapFile{Data: text}
	}
	return all
}

// functions are the names of all functions of ours, with their results.
func functions(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	return lines(t, conn, `
		select p.oid::regprocedure || ' ' || pg_get_function_result(p.oid) || ' ' || md5(p.prosrc) || coalesce(p.proacl::text, '')
		from pg_proc p where p.pronamespace in (select oid from pg_namespace where nspname in ('public', 'clerk', 'clerk_sync')) order by 1`)
}

// A database that this release migrated and the later one brought up to date is like
// one that the later one migrated alone.
func TestUp_LeadsFromOneReleaseToTheNext(t *testing.T) {
	t.Parallel()
	later := laterRelease(t)
	_, config, conn := fresh(t)
	if _, err := later.Up(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	want := functions(t, conn)

	_, config, conn = fresh(t)
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
		t.Fatal(err)
	}
	before := functions(t, conn)
	if states, err := later.Plan(t.Context(), config); err != nil || len(pending(states)) != 3 {
		t.Errorf("Plan of the later release = %v, %v, want three steps", pending(states), err)
	}
	if diff := cmp.Diff(before, functions(t, conn)); diff != "" {
		t.Errorf("Plan changed functions:\n%s", diff)
	}
	applied, err := later.Up(t.Context(), config)
	if err != nil || len(applied) != 3 {
		t.Fatalf("Up of the later release = %v, %v, want three steps", applied, err)
	}
	if diff := cmp.Diff(want, functions(t, conn)); diff != "" {
		t.Errorf("functions (-later release alone +brought up to date):\n%s", diff)
	}
	if err := later.Verify(t.Context(), config); err != nil {
		t.Errorf("Verify of the later release: %v", err)
	}
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); !errors.Is(err, migrate.ErrUnknown) {
		t.Errorf("Up of the earlier release: %v, want ErrUnknown", err)
	}
}

func pending(states []migrate.Step) []migrate.Step {
	return slices.DeleteFunc(slices.Clone(states), func(s migrate.Step) bool { return !s.AppliedAt.IsZero() })
}

// Rules of a later release can be tried without the tables that come with it, as long
// as no signature needs them; what cannot be tried is not called refused.
func TestPlan_DoesNotCallRefusedWhatItCannotTry(t *testing.T) {
	t.Parallel()
	_, config, _ := fresh(t)
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
		t.Fatal(err)
	}
	schemaFiles, rulesFiles := copied(t, schema.Files), copied(t, rules.Files)
	schemaFiles[further(schemaFiles, "teams")] = &fstest.MapFile{Data: []byte("create table clerk_sync.teams (id text primary key);\n")}
	rulesFiles["teams.sql"] = &fstest.MapFile{Data: []byte("create or replace function clerk_sync.team() returns clerk_sync.teams language sql as 'select null::clerk_sync.teams';\n")}
	later := migrate.Load(schemaFiles, rulesFiles, rules.Revision+1)
	if states, err := later.Plan(t.Context(), config); err != nil || len(pending(states)) != 2 {
		t.Errorf("Plan = %v, %v, want two steps pending", states, err)
	}
	if applied, err := later.Up(t.Context(), config); err != nil || len(applied) != 2 {
		t.Errorf("Up = %v, %v, want two steps", applied, err)
	}
}

// A later release adds files and edits none; "supabase db push" applies both halves,
// and a project that begins with all of the files ends the same.
func TestExport_AddsFilesAndEditsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "supabase", "migrations")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, err := migrate.Export(folder, migrate.Options{}, now); err != nil {
		t.Fatal(err)
	}
	before := files(t, folder)
	later := laterRelease(t)
	written, err := later.Export(folder, now.AddDate(0, 1, 0))
	if err != nil || len(written) != 3 {
		t.Fatalf("Export of the later release = %v, %v, want three files", written, err)
	}
	for i, want := range []string{"_nickname.sql", "_clerksync_rules_", "_nickname_policy.sql"} {
		if !strings.Contains(written[i], want) {
			t.Errorf("file %d is %s, want …%s…", i, written[i], want)
		}
	}
	after := files(t, folder)
	for name, text := range before {
		if after[name] != text {
			t.Errorf("%s was edited", name)
		}
	}

	for name, push := range map[string]func(t *testing.T, url string){
		"pushed one after the other": func(t *testing.T, url string) {
			t.Helper()
			first := t.TempDir()
			if _, err := migrate.Export(filepath.Join(first, "supabase", "migrations"), migrate.Options{}, now); err != nil {
				t.Fatal(err)
			}
			supabasecli.Run(t, first, "db", "push", "--remote="+url, "--yes")
			supabasecli.Run(t, dir, "db", "push", "--remote="+url, "--yes")
		},
		"pushed together": func(t *testing.T, url string) {
			t.Helper()
			supabasecli.Run(t, dir, "db", "push", "--remote="+url, "--yes")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithoutMigrations())
			config, err := pgx.ParseConfig(db.Owner())
			if err != nil {
				t.Fatal(err)
			}
			push(t, db.Owner())
			if err := later.Verify(t.Context(), config); err != nil {
				t.Errorf("Verify after supabase db push: %v", err)
			}
			_, alone, other := fresh(t)
			if _, err := later.Up(t.Context(), alone); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(functions(t, other), functions(t, db.Conn(t, db.Owner()))); diff != "" {
				t.Errorf("functions (-migrated +pushed):\n%s", diff)
			}
		})
	}
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[entry.Name()] = string(text)
	}
	return all
}

func TestExport_KeepsTheSchemasOfTheFirstTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, err := migrate.Export(dir, migrate.Options{Schema: "app", Helpers: "claims"}, now); err != nil {
		t.Fatal(err)
	}
	if again, err := migrate.Export(dir, migrate.Options{}, now); err != nil || len(again) != 0 {
		t.Errorf("second Export without options = %v, %v, want no new file", again, err)
	}
	for _, opts := range []migrate.Options{{Schema: "public"}, {Helpers: "clerk"}} {
		if _, err := migrate.Export(dir, opts, now); !errors.Is(err, migrate.ErrSchema) {
			t.Errorf("Export(%+v): %v, want ErrSchema", opts, err)
		}
	}
	for name, text := range files(t, dir) {
		if strings.Contains(text, "clerk.user_id") || strings.Contains(text, "{{") {
			t.Errorf("%s speaks of the schema clerk, or holds a placeholder", name)
		}
	}
}

// A folder that cannot be written to keeps no half of a file.
func TestExport_LeavesNoHalfOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all [4]error
	done := make(chan int)
	for i := range all {
		go func() {
			_, all[i] = migrate.Export(dir, migrate.Options{}, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
			done <- i
		}()
	}
	for range all {
		i := <-done
		if all[i] != nil {
			t.Errorf("Export beside others: %v", all[i])
		}
	}
	for name, text := range files(t, dir) {
		if text == "" || !strings.HasSuffix(name, ".sql") {
			t.Errorf("%s with %d bytes is left", name, len(text))
		}
	}
}
