package migrate_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// earlier is a database of an earlier release: its rules are others, as the given SQL
// makes them and as they were recorded.
func earlier(t *testing.T, sql string, recorded ...string) (*pgx.ConnConfig, *pgx.Conn) {
	t.Helper()
	db := testdb.New(t)
	config, err := pgx.ParseConfig(db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	conn := db.Conn(t, db.Owner())
	exec(t, conn, sql)
	if _, err := conn.Exec(t.Context(), `update clerk_sync.rules set checksum = 'earlier', functions = functions || $1::text[]`, recorded); err != nil {
		t.Fatal(err)
	}
	return config, conn
}

func rulesStep(t *testing.T) migrate.Step {
	t.Helper()
	steps := migrate.Steps()
	i := slices.IndexFunc(steps, func(s migrate.Step) bool { return strings.HasPrefix(s.Name, "rules_") })
	if i < 0 {
		t.Fatalf("no rules among %v", steps)
	}
	return steps[i]
}

func wantRefused(t *testing.T, config *pgx.ConnConfig, want error, parts ...string) {
	t.Helper()
	for name, call := range map[string]func() error{
		"Plan": func() error { _, err := migrate.Plan(t.Context(), config, migrate.Options{}); return err },
		"Up":   func() error { _, err := migrate.Up(t.Context(), config, migrate.Options{}); return err },
	} {
		err := call()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
			continue
		}
		for _, part := range parts {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: error %q lacks %q", name, err, part)
			}
		}
	}
}

func wantUp(t *testing.T, config *pgx.ConnConfig) {
	t.Helper()
	applied, err := migrate.Up(t.Context(), config, migrate.Options{})
	if err != nil || len(applied) != 1 || applied[0].Name != rulesStep(t).Name {
		t.Fatalf("Up = %v, %v, want the rules alone", applied, err)
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify after Up: %v", err)
	}
}

func TestRules_AreReplacedWhereTheyStand(t *testing.T) {
	t.Parallel()
	config, conn := earlier(t, `
		create or replace function clerk.user_id() returns text language sql as $$ select 'everyone' $$;
		grant execute on function clerk.user_id() to public`)
	oid := lines(t, conn, `select 'clerk.user_id()'::regprocedure::oid::text`)
	wantUp(t, config)
	if got := lines(t, conn, `select (clerk.user_id() is null and not has_function_privilege('public', 'clerk.user_id()', 'execute'))::text`); !slices.Equal(got, []string{"true"}) {
		t.Errorf("clerk.user_id() is that of the earlier release, or executable by all: %v", got)
	}
	if now := lines(t, conn, `select 'clerk.user_id()'::regprocedure::oid::text`); !slices.Equal(oid, now) {
		t.Error("clerk.user_id() was dropped and made again, though policies use it")
	}
}

func TestRules_DropWhatHasLeftThemAndNothingElse(t *testing.T) {
	t.Parallel()
	config, conn := earlier(t, `
		create function clerk_sync.left_the_rules(n int) returns int language sql as 'select n';
		create function clerk_sync.by_the_team(n int) returns int language sql as 'select n';
		create function clerk.user_id(n int) returns int language sql as 'select n';
		create function public.ensure_user(name text) returns text language sql as 'select name'`,
		"clerk_sync.left_the_rules(integer)")
	wantUp(t, config)
	got := lines(t, conn, `select p.oid::regprocedure::text from pg_proc p
		where p.proname in ('left_the_rules', 'by_the_team') or p.oid in (to_regprocedure('clerk.user_id(int)'), to_regprocedure('public.ensure_user(text)')) order by 1`)
	if diff := cmp.Diff([]string{"clerk.user_id(integer)", "clerk_sync.by_the_team(integer)", "ensure_user(text)"}, got); diff != "" {
		t.Errorf("functions that are left (-want +got):\n%s", diff)
	}
	recorded := lines(t, conn, `select unnest(functions) from clerk_sync.rules`)
	present := lines(t, conn, `select p.oid::regprocedure::text from pg_proc p, set_config('search_path', 'pg_catalog', false)
		where p.pronamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace)`)
	for _, own := range []string{"clerk_sync.by_the_team(integer)", "clerk.user_id(integer)", "public.ensure_user(text)"} {
		if slices.Contains(recorded, own) {
			t.Errorf("%s is recorded as made by the rules", own)
		}
	}
	if len(recorded) != len(present)-3 {
		t.Errorf("%d functions are recorded, and %d are there with three of the team's", len(recorded), len(present))
	}
}

// "create or replace" refuses another result, and other names of arguments.
func TestRules_AreMadeAnewWhereTheyCannotBeReplaced(t *testing.T) {
	t.Parallel()
	config, conn := earlier(t, `
		drop function clerk_sync.last_event_at(), clerk_sync.recent_events;
		create function clerk_sync.last_event_at() returns text language sql as $$ select 'never' $$;
		create function clerk_sync.recent_events(a text, b timestamptz, c integer, d text) returns integer language sql as $$ select 1 $$`)
	wantUp(t, config)
	got := lines(t, conn, `
		select pg_get_function_result('clerk_sync.last_event_at()'::regprocedure) || ' '
		  || has_function_privilege('clerksync_writer', 'clerk_sync.last_event_at()', 'execute') || ' '
		  || has_function_privilege('public', 'clerk_sync.last_event_at()', 'execute')`)
	if diff := cmp.Diff([]string{"timestamp with time zone true false"}, got); diff != "" {
		t.Errorf("last_event_at with its grants (-want +got):\n%s", diff)
	}
}

func TestRules_AreNotForcedOnWhatUsesThem(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]string{
		"a view":    `create view public.heard as select clerk_sync.last_event_at() as at`,
		"a default": `create table public.notes (id int, at text default clerk_sync.last_event_at())`,
		"a policy":  `create table public.notes (at text); create policy p on public.notes using (at = clerk_sync.last_event_at())`,
		"a function": `create function public.f() returns text language sql begin atomic
			select clerk_sync.last_event_at(); end`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, conn := earlier(t, `
				drop function clerk_sync.last_event_at();
				create function clerk_sync.last_event_at() returns text language sql as $$ select 'never' $$;
				`+use)
			wantRefused(t, config, migrate.ErrUsed, "clerk_sync.last_event_at()", map[string]string{
				"a view": "heard", "a default": "default value for column at of table public.notes", "a policy": "policy p on table public.notes", "a function": "public.f()",
			}[name])
			if got := lines(t, conn, `select clerk_sync.last_event_at()::text`); !slices.Equal(got, []string{"never"}) {
				t.Errorf("the function was changed: %v", got)
			}
		})
	}
	t.Run("left the rules", func(t *testing.T) {
		t.Parallel()
		config, _ := earlier(t, `
			create function clerk.gone() returns text language sql as $$ select 'x' $$;
			create view public.heard as select clerk.gone() as at`, "clerk.gone()")
		wantRefused(t, config, migrate.ErrUsed, "clerk.gone()", "has left the rules", "heard")
	})
}

// Field case b11: a function of the team's stands where one of ours would.
func TestRules_NeverReplaceAFunctionOfTheTeams(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"the same signature":     `create function clerk.user_id() returns text language sql stable as $$ select 'mine' $$`,
		"another result":         `create function clerk.user_id() returns uuid language sql stable as $$ select null::uuid $$`,
		"other arguments' names": `create function clerk.has_org_permission(org text) returns boolean language sql as $$ select true $$`,
		"a relation":             `create table clerk.organization_roles (id int)`,
		"a view":                 `create view clerk.role_permissions as select 1 as one`,
		"a view of policies":     `create view clerk.fellows as select 1 as one`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, config, conn := fresh(t)
			exec(t, conn, `create schema clerk; `+sql)
			before := lines(t, conn, `select prosrc from pg_proc where pronamespace = 'clerk'::regnamespace`)
			wantRefused(t, config, migrate.ErrTaken, "choose another schema with --helpers-schema")
			if after := lines(t, conn, `select prosrc from pg_proc where pronamespace = 'clerk'::regnamespace`); !slices.Equal(before, after) {
				t.Errorf("the team's function became %q", after)
			}
			if there := lines(t, conn, `select nspname::text from pg_namespace where nspname = 'clerk_sync'`); len(there) != 0 {
				t.Error("schema clerk_sync is left after the refusal")
			}
			if _, err := migrate.Up(t.Context(), config, migrate.Options{Helpers: "clerk_claims"}); err != nil {
				t.Fatalf("Up with another schema for the helpers: %v", err)
			}
			if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
				t.Errorf("Verify finds the schema by itself: %v", err)
			}
			if err := migrate.Verify(t.Context(), config, migrate.Options{Helpers: "clerk"}); !errors.Is(err, migrate.ErrSchema) {
				t.Errorf("Verify with another schema: %v, want ErrSchema", err)
			}
			exec(t, conn, `select clerk_claims.user_id()`)
		})
	}
}

// What to do names the schema that is taken.
func TestUp_SaysWhichSchemaIsTaken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  string
		opts migrate.Options
		want []string
	}{
		"a function of the exposed schema": {
			`create function public.ensure_user() returns text language sql as $$ select 'mine' $$`,
			migrate.Options{},
			[]string{"public.ensure_user()", "choose another schema with --schema, or"},
		},
		"functions of both": {
			`create schema clerk; create function clerk.user_id() returns text language sql as $$ select 'mine' $$;
			 create schema "My App"; create function "My App".ensure_user() returns text language sql as $$ select 'mine' $$`,
			migrate.Options{Schema: "My App"},
			[]string{`"My App".ensure_user()`, "clerk.user_id()", "choose another schema with --schema and --helpers-schema, or"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, config, conn := fresh(t)
			exec(t, conn, test.sql)
			_, err := migrate.Plan(t.Context(), config, test.opts)
			for _, part := range test.want {
				if !errors.Is(err, migrate.ErrTaken) || !strings.Contains(err.Error(), part) {
					t.Errorf("Plan: %v, want ErrTaken with %q", err, part)
				}
			}
		})
	}
	t.Run("another role's schema", func(t *testing.T) {
		t.Parallel()
		db, config, _ := fresh(t)
		exec(t, db.Conn(t, db.Superuser()), `create schema clerk`)
		if _, err := migrate.Plan(t.Context(), config, migrate.Options{}); err == nil || !strings.Contains(err.Error(), "must be owner of schema clerk") || !strings.Contains(err.Error(), "--helpers-schema") {
			t.Errorf("Plan: %v, want what to do about the schema", err)
		}
	})
	t.Run("when schemas were chosen", func(t *testing.T) {
		t.Parallel()
		config, conn := earlier(t, `select 1`)
		exec(t, conn, `update clerk_sync.rules set functions = array_remove(functions, 'clerk.user_id()')`)
		if _, err := migrate.Plan(t.Context(), config, migrate.Options{}); !errors.Is(err, migrate.ErrTaken) || !strings.Contains(err.Error(), "; rename yours") {
			t.Errorf("Plan: %v, want ErrTaken and no choice of a schema", err)
		}
	})
}

func TestRules_OfALaterReleaseAreNotPutBack(t *testing.T) {
	t.Parallel()
	config, conn := earlier(t, `select 1`)
	exec(t, conn, `update clerk_sync.rules set revision = 9001`)
	wantRefused(t, config, migrate.ErrUnknown, "9001")
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); !errors.Is(err, migrate.ErrUnknown) {
		t.Errorf("Verify: %v, want ErrUnknown", err)
	}
}

func TestVerify_MissesADroppedFunction(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	config, err := pgx.ParseConfig(db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db.Conn(t, db.Owner()), `drop function clerk_sync.last_event_at()`)
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); !errors.Is(err, migrate.ErrChanged) || !strings.Contains(err.Error(), "clerk_sync.last_event_at()") {
		t.Errorf("Verify: %v, want ErrChanged with the function", err)
	}
}

// What was migrated while files had other names has no way to here.
func TestUp_RefusesADatabaseFromBeforeTheFirstRelease(t *testing.T) {
	t.Parallel()
	_, config, conn := fresh(t)
	exec(t, conn, `create schema clerk_sync; create table clerk_sync.migrations (version bigint primary key, name text, checksum text, applied_at timestamptz);
		insert into clerk_sync.migrations values (1, 'schemas_and_roles', 'x', now())`)
	wantRefused(t, config, migrate.ErrUnreleased, "drop the schemas")
}

func TestUp_RefusesASuperuserUnlessItIsMeant(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	config, err := pgx.ParseConfig(db.Superuser())
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, config, migrate.ErrSuperuser, "--as-superuser")
	if _, err := migrate.Up(t.Context(), config, migrate.Options{AsSuperuser: true}); err != nil {
		t.Errorf("Up that is meant: %v", err)
	}
	// Then it makes nothing any more.
	if _, err := migrate.Plan(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Plan with nothing pending: %v", err)
	}
}

// Roles belong to the whole cluster: this test has one of its own.
func TestUp_RefusesLoginRolesWithOtherRights(t *testing.T) {
	t.Parallel()
	server, owner := testdb.NewPasswordServer(t, nil)
	config, err := pgx.ParseConfig(owner)
	if err != nil {
		t.Fatal(err)
	}
	super, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, "superuser's own"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(t.Context())
	for _, test := range []struct{ make, role, problem, remedy string }{
		{`create role clerksync_writer login superuser bypassrls`, "clerksync_writer", "superuser, bypassrls", "alter role clerksync_writer nosuperuser nobypassrls"},
		{`create role clerksync_diagnostics login createrole`, "clerksync_diagnostics", "createrole", "alter role clerksync_diagnostics nocreaterole"},
		{`create role clerksync_diagnostics_b login; grant service_role to clerksync_diagnostics_b`, "clerksync_diagnostics_b", "a member of service_role", "revoke service_role from clerksync_diagnostics_b"},
	} {
		exec(t, super, test.make)
		wantRefused(t, config, migrate.ErrRole, test.role, test.problem, test.remedy)
		exec(t, super, test.remedy)
	}
	// Since 16 who did not make a role may not grant it.
	if server.Major() >= 16 {
		for _, role := range []string{"clerksync_writer", "clerksync_diagnostics", "clerksync_diagnostics_b"} {
			remedy := "grant " + role + " to " + postgres.Owner + " with admin option"
			wantRefused(t, config, migrate.ErrRole, role+" is of another role's making", remedy)
			exec(t, super, remedy)
		}
	}
	if _, err := migrate.Up(t.Context(), config, migrate.Options{}); err != nil {
		t.Fatalf("Up after the remedies: %v", err)
	}
	exec(t, super, `alter role clerksync_writer_b createdb; grant pg_read_all_data to clerksync_writer`)
	wantRefused(t, config, migrate.ErrRole, "clerksync_writer_b", "clerksync_writer")
	err = migrate.Verify(t.Context(), config, migrate.Options{})
	for _, part := range []string{"clerksync_writer_b has createdb", "revoke pg_read_all_data from clerksync_writer"} {
		if !errors.Is(err, migrate.ErrRole) || !strings.Contains(err.Error(), part) {
			t.Errorf("Verify: %v, want ErrRole with %q", err, part)
		}
	}
}

// A function that the team makes while the rules are being applied stays the team's.
func TestRules_RecordNothingThatOthersMakeMeanwhile(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	config, err := pgx.ParseConfig(db.Owner())
	if err != nil {
		t.Fatal(err)
	}
	owner, holder, team := db.Conn(t, db.Superuser()), db.Conn(t, db.Owner()), db.Conn(t, db.Owner())
	exec(t, owner, `update clerk_sync.rules set checksum = 'earlier'`)
	exec(t, holder, `begin; alter function clerk_sync.last_event_at() volatile`)
	done := make(chan error, 1)
	go func() {
		_, err := migrate.Up(t.Context(), config, migrate.Options{})
		done <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waits := false; !waits; {
		select {
		case err := <-done:
			t.Fatalf("Up did not wait: %v", err)
		case <-tick.C:
			waits = lines(t, owner, fmt.Sprintf(`select (count(*) > 0)::text from pg_stat_activity where %d = any (pg_blocking_pids(pid))`, holder.PgConn().PID()))[0] == "true"
		}
	}
	exec(t, team, `create function public.of_the_team() returns int language sql as 'select 1'`)
	exec(t, holder, "rollback")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if recorded := lines(t, owner, `select f from clerk_sync.rules as r cross join unnest(r.functions) as f where f like '%of_the_team%' or f like '%last_event_at%'`); !slices.Equal(recorded, []string{"clerk_sync.last_event_at()"}) {
		t.Errorf("recorded are %v, want clerk_sync.last_event_at() and nothing of the team's", recorded)
	}
}
