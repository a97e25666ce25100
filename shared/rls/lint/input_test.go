package lint_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

// What cannot be looked at is said, not passed over.
func TestRun_SaysWhatItCouldNotLookAt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql string
		options   lint.Options
		login     func(*testdb.DB) string
		want      string
	}{
		{
			name: "a role that may not become authenticated",
			sql: `create table public.t (id int primary key, o text); alter table public.t enable row level security;
				create policy p on public.t for select to authenticated using (o in (select x.o from public.t as x));`,
			login: (*testdb.DB).Writer, want: "skip lint.policy_recursive ",
		},
		{
			name: "buckets of others", sql: `create policy p on storage.objects for select to anon using (true);`,
			login: (*testdb.DB).Writer, want: "skip lint.public_bucket_allows_listing storage.buckets",
		},
		{
			name: "buckets behind row level security", sql: `create policy p on storage.objects for select to anon using (true); grant usage on schema storage to clerksync_writer; grant select on storage.buckets to clerksync_writer;`,
			login: (*testdb.DB).Writer, want: "skip lint.public_bucket_allows_listing storage.buckets",
		},
		{
			name: "a catalogue that was closed", sql: `revoke select on pg_catalog.pg_policy from public`,
			login: (*testdb.DB).Writer, want: "skip lint.catalogue ",
		},
		{
			name: "a schema that there is not", sql: `select`, options: lint.Options{Schemas: []string{"Public"}},
			login: (*testdb.DB).Owner, want: `skip lint.schema schema "Public"`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			admin := db.Conn(t, db.Superuser())
			exec(t, admin, services)
			exec(t, admin, c.sql+`; grant usage on schema clerk, clerk_sync to clerksync_writer`)
			var skipped []string
			for _, f := range run(t, db.Conn(t, c.login(db)), c.options) {
				if f.Status == finding.Skip {
					skipped = append(skipped, "skip "+f.ID+" "+f.Object)
					if f.Remedy == "" {
						t.Errorf("no remedy: %+v", f)
					}
				}
			}
			if diff := cmp.Diff([]string{c.want}, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRun_KeepsToTheLimitOfAStatement(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	// The planner calls a stable function to estimate how many rows it finds.
	exec(t, admin, `create function public.slow() returns text language sql stable as $$ select pg_sleep(60)::text $$;
		create table public.t (id int primary key, o text); alter table public.t enable row level security; grant select on public.t to authenticated;
		grant execute on function public.slow() to authenticated; insert into public.t select i, i from generate_series(1, 1000) as i; analyze public.t;
		create policy p on public.t for select to authenticated using (o = public.slow() and o in (select x.o from public.t as x))`)
	findings, err := lint.RunWithin(t.Context(), db.Conn(t, db.Owner()), lint.Options{}, 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := about(findings, "lint.policy_recursive"); len(got) != 1 {
		t.Errorf("%q:\n%s", got, statuses(findings))
	}
	if _, err := lint.RunWithin(t.Context(), db.Conn(t, db.Owner()), lint.Options{}, time.Millisecond); err == nil || !strings.Contains(err.Error(), "1ms") {
		t.Errorf("within a millisecond: %v, want an error that names the limit", err)
	}
}

func TestRun_RecognisesAPlainPostgres(t *testing.T) {
	t.Parallel()
	// Roles belong to the server, so it takes one of its own.
	server := testdb.StartServer(t, postgres.Options{InMemory: true})
	conn, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	findings := run(t, conn, lint.Options{})
	if got := statuses(findings); len(findings) != 1 || !strings.HasPrefix(got, "skip lint.roles") || !strings.Contains(got, "anon, authenticated") {
		t.Errorf("a database without Supabase's roles:\n%s", got)
	}
}

func TestRun_LimitsWhatItReportsToSchemas(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, `create schema app; grant usage on schema app to anon;
		create table app.t (id int primary key); create table public.t (id int primary key); grant select on app.t, public.t to anon`)
	for _, c := range []struct {
		options lint.Options
		want    []string
	}{
		{lint.Options{}, []string{"fail public.t"}},
		{lint.Options{Exposed: []string{"app", "public"}}, []string{"fail app.t", "fail public.t"}},
		{lint.Options{Exposed: []string{"app", "public"}, Schemas: []string{"app"}}, []string{"fail app.t"}},
	} {
		if diff := cmp.Diff(c.want, about(run(t, owner, c.options), "lint.rls_disabled_in_public")); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.options, diff)
		}
	}
}

// A project before clerksync's migrations, with all that a tutorial leaves behind.
func TestRun_LooksAtAProjectBeforeItsMigrations(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations(), testdb.WithRegime(postgres.Legacy))
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, services)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, `create table public.todos (id int primary key, user_id uuid not null default auth.uid() references auth.users (id), title text);
		alter table public.todos enable row level security;
		create policy "Own todos" on public.todos using (auth.uid() = user_id)`)
	findings := run(t, owner, lint.Options{})
	for id, want := range map[string][]string{
		"lint.auth_uid":           {`fail column user_id of public.todos`, `fail policy "Own todos" on public.todos`},
		"lint.auth_rls_initplan":  {`warn policy "Own todos" on public.todos`},
		"lint.fkey_to_auth_users": {`fail constraint todos_user_id_fkey on public.todos`},
		"lint.policy_to_public":   {`warn public.todos`},
	} {
		if diff := cmp.Diff(want, about(findings, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nall:\n%s", id, diff, statuses(findings))
		}
	}
}

// Roles of the user's own, renamed since, are nothing to stumble over.
func TestRun_ReadsPoliciesOfOtherRoles(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, `create role "lint before"; alter role "lint before" rename to "Lint, ""after""";
		create table public.t (id int primary key, o text); alter table public.t enable row level security;
		create policy p on public.t to "Lint, ""after""" using (o = 'x');
		create policy q on public.t for select to "Lint, ""after""", authenticated using (o = 'y');
		grant select on public.t to authenticated`)
	findings := run(t, admin, lint.Options{})
	exec(t, admin, `drop table public.t; drop role "Lint, ""after"""`)
	if diff := cmp.Diff([]string{"warn public.t"}, about(findings, "lint.multiple_permissive_policies")); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, statuses(findings))
	}
	if !strings.Contains(statuses(findings), `for Lint, "after"`) {
		t.Errorf("the role is not named:\n%s", statuses(findings))
	}
}
