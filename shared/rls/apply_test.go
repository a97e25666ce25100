package rls_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/finding"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

// as runs a statement the way the Data API does for a token with these claims,
// keeps what it did, and answers the first column of what it returned, or the
// SQLSTATE.
func as(t testing.TB, conn *pgx.Conn, role, claims, sql string) string {
	t.Helper()
	var got []string
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)`, claims, role); err != nil {
			return err
		}
		rows, err := tx.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return err
		}
		got, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			values, err := row.Values()
			return fmt.Sprint(values[0]), err
		})
		return err
	})
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.Join(got, " ")
}

const (
	alice = `{"sub":"user_alice","role":"authenticated"}`
	bob   = `{"sub":"user_bob","role":"authenticated"}`
)

// An application's first insert names neither owner nor organization.
func TestPattern_FillsInWhoseRowItIs(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	exec(t, conn, `insert into public.organizations (clerk_org_id) values ('org_1'); insert into public.users (clerk_id) values ('user_alice');
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id) values ('m1', 'org_1', 'user_alice')`)
	apply(t, conn, rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner})
	apply(t, conn, rls.Spec{Table: table("articles"), Rules: map[catalog.Command]rls.Rule{
		catalog.Select: rule("member"), catalog.Insert: rule("member and owner"),
	}})
	if got := as(t, conn, "authenticated", bob, `select public.ensure_user()`); got != "user_bob" {
		t.Errorf("ensure_user = %s", got)
	}
	if got := as(t, conn, "authenticated", bob, `insert into public.notes (body) values ('mine') returning owner_id`); got != "user_bob" {
		t.Errorf("a note without owner is %s, want user_bob's", got)
	}
	active := `{"sub":"user_alice","role":"authenticated","o":{"id":"org_1","rol":"member"}}`
	if got := as(t, conn, "authenticated", active, `insert into public.articles (published_at) values (now()) returning owner_id || ' ' || org_id`); got != "user_alice org_1" {
		t.Errorf("an article without owner and organization is of %s, want user_alice org_1", got)
	}
}

// Given alone, a restriction is added: nothing else is loosened by asking for more.
func TestRestrictions_AddUp(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	apply(t, conn, rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner})
	exec(t, conn, `insert into public.users (clerk_id) values ('user_alice'); insert into public.notes (owner_id, body) values ('user_alice', 'x')`)
	token := func(sts string, minutes int) string {
		return fmt.Sprintf(`{"sub":"user_alice","role":"authenticated","sts":%q,"fva":[0,%d]}`, sts, minutes)
	}
	steps := []struct {
		require string
		// who sees the note: pending, active without a second factor, with one of 20 and of 3 minutes ago
		want string
	}{
		{"active-session", "0 1 1 1"},
		{"second-factor", "0 0 1 1"},
		{"second-factor(5)", "0 0 0 1"},
		{"second-factor(5):write", "0 1 1 1"},
	}
	for _, step := range steps {
		apply(t, conn, rls.Spec{Table: table("notes"), Require: []rls.Restriction{restriction(step.require)}})
		var got []string
		for _, claims := range []string{token("pending", 3), token("active", -1), token("active", 20), token("active", 3)} {
			got = append(got, as(t, conn, "authenticated", claims, `select count(*) from public.notes`))
		}
		if strings.Join(got, " ") != step.want {
			t.Errorf("after --require %s seen %v, want %s", step.require, got, step.want)
		}
	}
	if got := as(t, conn, "authenticated", token("active", 20), `update public.notes set body = 'y' returning body`); got != "" {
		t.Errorf("with a second factor of 20 minutes ago an update changed %q", got)
	}
	// The whole of what is asked for replaces the whole of what was.
	apply(t, conn, rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner})
	if got := as(t, conn, "authenticated", token("pending", -1), `select count(*) from public.notes`); got != "1" {
		t.Errorf("without restrictions seen %s, want 1", got)
	}
}

func TestProjection_FollowsEveryWrite(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	exec(t, conn, `alter table public.profiles drop constraint profiles_user_id_fkey;
		insert into public.profiles (user_id, handle, birthday) values ('user_old', 'old', '1970-01-01')`)
	apply(t, conn, rls.Spec{Table: table("profiles"), Pattern: rls.PatternPublicProfile, Anon: true, PublicColumns: []string{"motto", "handle"}})

	const everything = `select coalesce(string_agg(user_id || '=' || handle, ' ' order by user_id), '-') from public.profiles_public`
	steps := []struct{ role, claims, sql, want string }{
		{"anon", `{"role":"anon"}`, `select 1`, "user_old=old"}, // what was there before
		{"authenticated", alice, `insert into public.profiles (handle) values ('al')`, "user_alice=al user_old=old"},
		{"authenticated", alice, `update public.profiles set handle = 'ali', motto = 'x'`, "user_alice=ali user_old=old"},
		{"authenticated", alice, `insert into public.profiles (user_id, handle) values ('user_alice', 'z') on conflict (user_id) do update set handle = 'alice'`, "user_alice=alice user_old=old"},
		{"authenticated", bob, `update public.profiles set handle = 'stolen'`, "user_alice=alice user_old=old"},
		{"service_role", ``, `update public.profiles set user_id = user_id || '2'`, "user_alice2=alice user_old2=old"},
		{"service_role", ``, `insert into public.profiles select 'user_' || n, 'h' || n from generate_series(1, 3) n`, "user_1=h1 user_2=h2 user_3=h3 user_alice2=alice user_old2=old"},
		// Two keys swapped in one statement.
		{"service_role", ``, `update public.profiles set user_id = case user_id when 'user_1' then 'user_9' else 'user_1' end where user_id in ('user_1')`, "user_2=h2 user_3=h3 user_9=h1 user_alice2=alice user_old2=old"},
		{"service_role", ``, `delete from public.profiles where user_id <> 'user_2'`, "user_2=h2"},
	}
	for _, step := range steps {
		as(t, conn, step.role, step.claims, step.sql)
		if got := as(t, conn, "anon", `{"role":"anon"}`, everything); got != step.want {
			t.Errorf("after %s as %s the public half is %s, want %s", step.sql, step.role, got, step.want)
		}
	}
	exec(t, conn, `truncate public.profiles`)
	if got := as(t, conn, "anon", `{"role":"anon"}`, everything); got != "-" {
		t.Errorf("after truncate the public half is %s", got)
	}
	for _, sql := range []string{
		`insert into public.profiles_public (user_id) values ('user_alice')`, `update public.profiles_public set handle = 'x'`,
		`delete from public.profiles_public where true`, `select clerk_sync.project_rows()`,
	} {
		if got := as(t, conn, "authenticated", alice, sql); got != "42501" {
			t.Errorf("%s: %s, want 42501", sql, got)
		}
	}
}

// Several writers at once leave both halves equal.
func TestProjection_AgreesUnderConcurrency(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	exec(t, conn, `alter table public.profiles drop constraint profiles_user_id_fkey`)
	apply(t, conn, rls.Spec{Table: table("profiles"), Pattern: rls.PatternPublicProfile, PublicColumns: []string{"handle"}})
	var running sync.WaitGroup
	for worker := range 6 {
		writer := db.Conn(t, db.Owner())
		running.Go(func() {
			for i := range 40 {
				key := fmt.Sprintf("user_%d", (i*7+worker)%10)
				sql := fmt.Sprintf(`insert into public.profiles (user_id, handle) values ('%s', '%d-%d') on conflict (user_id) do update set handle = excluded.handle`, key, worker, i)
				if i%5 == 4 {
					sql = fmt.Sprintf(`delete from public.profiles where user_id = '%s'`, key)
				}
				if _, err := writer.Exec(context.WithoutCancel(t.Context()), sql); err != nil {
					t.Errorf("%s: %v", sql, err)
				}
			}
		})
	}
	running.Wait()
	var private, public string
	for half, into := range map[string]*string{"profiles": &private, "profiles_public": &public} {
		if err := conn.QueryRow(t.Context(), `select coalesce(string_agg(user_id || '=' || handle, ' ' order by user_id), '') from public.`+half).Scan(into); err != nil {
			t.Fatal(err)
		}
	}
	if private != public || private == "" {
		t.Errorf("private half %s, public half %s", private, public)
	}
}

// Whatever fails, and wherever: all of it or nothing.
func TestApply_KeepsAllOrNothing(t *testing.T) {
	t.Parallel()
	spec := rls.Spec{Table: table("invoices"), Pattern: rls.PatternOrganization, Require: []rls.Restriction{restriction("active-session")}}
	counting := testdb.New(t)
	conn := counting.Conn(t, counting.Owner())
	exec(t, conn, tablesSQL)
	for n := range preview(t, conn, spec).Statements {
		t.Run(fmt.Sprintf("statement %d", n), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			conn := db.Conn(t, db.Owner())
			exec(t, conn, tablesSQL)
			before := state(t, conn)
			plan := preview(t, conn, spec)
			err := rls.Apply(t.Context(), failing{conn, plan.Statements[n].SQL}, spec, nil, plan)
			if !errors.Is(err, errCut) || !strings.Contains(err.Error(), "nothing was changed") {
				t.Errorf("Apply: %v, want the cut at %s", err, plan.Statements[n].SQL)
			}
			if diff := cmp.Diff(before, state(t, conn)); diff != "" {
				t.Errorf("cut at %s it left (-before +after):\n%s", plan.Statements[n].SQL, diff)
			}
		})
	}
}

var errCut = errors.New("cut")

// failing fails at one statement.
type failing struct {
	*pgx.Conn
	at string
}

type failingTx struct {
	pgx.Tx
	at string
}

func (f failing) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := f.Conn.Begin(ctx)
	return failingTx{tx, f.at}, err
}

func (f failingTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if sql == f.at {
		return pgconn.CommandTag{}, errCut
	}
	return f.Tx.Exec(ctx, sql, args...)
}

func TestApply_RefusesWhatWasNotShown(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	spec := rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner}
	plan := preview(t, conn, spec)
	exec(t, conn, `grant truncate on public.notes to anon`)
	before := state(t, conn)
	if err := rls.Apply(t.Context(), conn, spec, nil, plan); !errors.Is(err, rls.ErrChanged) {
		t.Errorf("Apply: %v, want ErrChanged", err)
	}
	if diff := cmp.Diff(before, state(t, conn)); diff != "" {
		t.Errorf("it changed the database (-before +after):\n%s", diff)
	}
}

func TestApply_OnlyOneOfTwoAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	spec := rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner}
	plan := preview(t, conn, spec)
	var running sync.WaitGroup
	outcomes := make([]error, 4)
	for i := range outcomes {
		other := db.Conn(t, db.Owner())
		running.Go(func() { outcomes[i] = rls.Apply(context.WithoutCancel(t.Context()), other, spec, nil, plan) })
	}
	running.Wait()
	applied := 0
	for _, err := range outcomes {
		if err == nil {
			applied++
		} else if !errors.Is(err, rls.ErrChanged) {
			t.Errorf("Apply: %v, want ErrChanged", err)
		}
	}
	if left := preview(t, conn, spec); applied != 1 || len(left.Statements) > 0 {
		t.Errorf("%d of %d applied, left to do: %s", applied, len(outcomes), left.SQL())
	}
}

// A long transaction on the table does not make everybody queue behind us.
func TestApply_GivesUpOnALockAndSaysSo(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, tablesSQL)
	spec := rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner}
	plan := preview(t, conn, spec)
	reader := db.Conn(t, db.Owner())
	exec(t, reader, `begin; select * from public.notes`)
	err := rls.Apply(t.Context(), conn, spec, nil, plan)
	if err == nil || !strings.Contains(err.Error(), "5s are allowed") {
		t.Errorf("Apply beside a reader: %v, want the limit named", err)
	}
}

// Through a transaction pooler, where nothing of a session is one's own.
func TestApply_ThroughThePooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	exec(t, db.Conn(t, db.Owner()), tablesSQL)
	conn := db.Conn(t, db.Pooled(t, db.Owner()))
	for _, test := range patternCases() {
		apply(t, conn, test.spec)
		if again := preview(t, conn, test.spec); len(again.Statements) > 0 {
			t.Errorf("%s: applied, it still wants %s", test.name, again.SQL())
		}
	}
}

// What is read through a partitioned table is under its policies; its partitions
// are not there to be read past them.
func TestPattern_ClosesPartitions(t *testing.T) {
	t.Parallel()
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			conn := db.Conn(t, db.Owner())
			exec(t, conn, `
				create table public.events (id int, owner_id text not null, at date not null) partition by range (at);
				create table public.events_1 partition of public.events for values from ('2026-01-01') to ('2026-06-01');
				create table public.events_2 partition of public.events for values from ('2026-06-01') to ('2027-01-01') partition by list (owner_id);
				create table public."events 2 rest" partition of public.events_2 default;
				create table public.base (owner_id text not null);
				create table public.heir (extra int) inherits (public.base);
				insert into public.events values (1, 'user_alice', '2026-02-01'), (2, 'user_bob', '2026-07-01')`)
			for _, parent := range []string{"events", "base"} {
				spec := rls.Spec{Table: table(parent), Pattern: rls.PatternOwner}
				apply(t, conn, spec)
				if again := preview(t, conn, spec); len(again.Statements) > 0 {
					t.Errorf("applied, it still wants %s", again.SQL())
				}
			}
			if got := as(t, conn, "authenticated", bob, `select string_agg(id::text, ' ') from public.events`); got != "2" {
				t.Errorf("bob sees events %s, want 2", got)
			}
			for _, child := range []string{`events_1`, `events_2`, `"events 2 rest"`, `heir`} {
				if got := as(t, conn, "authenticated", bob, `select count(*) from public.`+child); got != "42501" {
					t.Errorf("bob reads %s past the policies: %s", child, got)
				}
			}
		})
	}
}

const storageSQL = `
	create schema storage authorization supabase_postgres;
	create table storage.objects (id uuid primary key default gen_random_uuid(), bucket_id text, name text, owner uuid, owner_id text);
	create function storage.foldername(name text) returns text[] language sql immutable as $$
		select (string_to_array(name, '/'))[1:array_length(string_to_array(name, '/'), 1) - 1] $$;
	alter table storage.objects owner to supabase_postgres;
	alter table storage.objects enable row level security;
	grant usage on schema storage to anon, authenticated, service_role;
	grant all on storage.objects to anon, authenticated, service_role;`

// Files of one bucket by their owner, of another by organization, beside somebody
// else's policies for a third.
func TestStorage_HasPoliciesForEachBucket(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	exec(t, db.Conn(t, db.Superuser()), storageSQL)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, `
		insert into public.users (clerk_id) values ('user_alice'), ('user_bob'); insert into public.organizations (clerk_org_id) values ('org_1');
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id) values ('m1', 'org_1', 'user_alice');
		create policy legacy on storage.objects for select to authenticated using (bucket_id = 'legacy');
		insert into storage.objects (bucket_id, name, owner_id) values
			('avatars', 'a.png', 'user_alice'), ('avatars', 'b.png', 'user_bob'), ('it''s', 'org_1/x', 'user_x'), ('it''s', 'org_2/x', 'user_x'), ('legacy', 'l', 'user_x')`)
	objects := catalog.Name{Schema: "storage", Table: "objects"}
	specs := []rls.Spec{
		{Table: objects, Bucket: "avatars", Pattern: rls.PatternOwner, Require: []rls.Restriction{restriction("second-factor:write")}},
		{Table: objects, Bucket: "it's", Pattern: rls.PatternOrganization},
	}
	for i, spec := range specs {
		plan := apply(t, conn, spec)
		golden(t, fmt.Sprintf("sql/storage-%d.sql", i+1), plan.SQL())
		for _, all := range specs[:i+1] {
			if again := preview(t, conn, all); len(again.Statements) > 0 {
				t.Errorf("after bucket %s, bucket %s still wants %s", spec.Bucket, all.Bucket, again.SQL())
			}
		}
	}
	const names = `select string_agg(name, ' ' order by name) from storage.objects`
	strong := `{"sub":"user_alice","role":"authenticated","fva":[1,1]}`
	tests := []struct{ claims, sql, want string }{
		{alice, names, "a.png l org_1/x"},
		{bob, names, "b.png l"},
		{alice, `insert into storage.objects (bucket_id, name, owner_id) values ('avatars', 'c.png', 'user_alice')`, "42501"},
		{strong, `insert into storage.objects (bucket_id, name, owner_id) values ('avatars', 'c.png', 'user_alice')`, ""},
		{strong, `insert into storage.objects (bucket_id, name, owner_id) values ('avatars', 'd.png', 'user_bob')`, "42501"},
		// The other bucket asks for no second factor.
		{alice, `insert into storage.objects (bucket_id, name, owner_id) values ('it''s', 'org_1/y', 'user_alice')`, ""},
		{alice, `insert into storage.objects (bucket_id, name, owner_id) values ('it''s', 'org_2/y', 'user_alice')`, "42501"},
		{alice, `insert into storage.objects (bucket_id, name, owner_id) values ('it''s', 'y', 'user_alice')`, "42501"},
		{alice, `update storage.objects set bucket_id = 'legacy' where name = 'org_1/x'`, "42501"},
	}
	for _, test := range tests {
		if got := as(t, conn, "authenticated", test.claims, test.sql); got != test.want {
			t.Errorf("%s: %s = %s, want %s", test.claims, test.sql, got, test.want)
		}
	}
	apply(t, conn, rls.Spec{Table: objects, Bucket: "avatars", Drop: true})
	if got := as(t, conn, "authenticated", alice, names); got != "l org_1/x org_1/y" {
		t.Errorf("after dropping one bucket's policies alice sees %s", got)
	}

	exec(t, conn, `create policy broad on storage.objects for select to public using (true)`)
	plan := preview(t, conn, specs[0])
	if !slices.ContainsFunc(plan.Findings, func(f finding.Finding) bool {
		return f.ID == "rls.policy.others" && f.Object == "broad" && f.Status == finding.Warn
	}) {
		t.Errorf("findings %+v, want a warning of the policy for all buckets", plan.Findings)
	}
}
