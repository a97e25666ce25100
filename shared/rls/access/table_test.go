package access_test

import (
	"fmt"
	"strings"
	"testing"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/access"
	"clerksync/shared/testkit/testdb"
)

// tenanted is a table of organizations with rows, and no policy yet.
const tenanted = `
	create table public.docs (id int primary key, org_id text, owner_id text, owner_uuid uuid, body text, published boolean not null default false);
	alter table public.docs enable row level security;
	grant select on public.docs to authenticated;
	insert into public.docs values (1, 'org_acme', 'user_alice', null, 'secret'), (2, 'org_acme', 'user_carol', null, 'secret'), (3, 'org_other', 'user_carol', null, 'secret');
	analyze public.docs;
	create schema private; grant usage on schema private to authenticated;
`

func TestLook_SaysWhatDecides(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, sql, claims, table string
		status                   finding.Status
		decision                 access.Decision
		visible                  int64
		texts                    []string
	}{
		{
			"an organization's rows", `create policy p on public.docs for select using (org_id = (select clerk.org_id()))`, alice, "docs",
			finding.Pass, access.ByPolicy, 2,
			[]string{"2 of about 3 rows are visible", "Let through by p (2)."},
		},
		{
			"no organization is active", `create policy p on public.docs for select using (org_id = (select clerk.org_id()))`, bob, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"None of about 3 rows is visible", "(select clerk.org_id()) is NULL (no organization is active in the token), so no row can match", "setActive"},
		},
		{
			"the copy has no membership", `create policy p on public.docs for select using (org_id = any (array(select clerk.my_org_ids())))`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"ARRAY(select clerk.my_org_ids()) is empty (the copy knows no such membership of the caller)", "mirror.user"},
		},
		{
			"a list in place of an array", `create policy p on public.docs for select using (org_id in (select clerk.my_org_ids()))`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"(select clerk.my_org_ids()) is empty"},
		},
		{
			"the wrong path of version 2 claims", `create policy p on public.docs for select using (org_id = ((select auth.jwt()) ->> 'o.id'))`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"is NULL (the name is taken as one claim, not as a path)", "-> 'o' ->> 'id'"},
		},
		{
			"claims without a sub-select", `create policy p on public.docs for select using ((auth.jwt() ->> 'org_id') = org_id)`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"(auth.jwt() ->> 'org_id'::text) is NULL (no organization is active in the token)"},
		},
		{
			"a helper without a sub-select", `create policy p on public.docs for select using (owner_id = clerk.user_id())`, bob, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"clerk.user_id() is 'user_bob' for this caller"},
		},
		{
			// An "or" has another way: the null alone decides nothing.
			"one of two ways", `create policy p on public.docs for select using (org_id = (select clerk.org_id()) or owner_id = (select clerk.user_id()))`, bob, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"No row matches the policy p", "is NULL (no organization is active in the token) and (select clerk.user_id()) is 'user_bob' for this caller"},
		},
		{
			"a restrictive policy for the session", `create policy p on public.docs for select using (true);
				create policy factor on public.docs as restrictive for select using ((select clerk.has_second_factor()))`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"The restrictive policy factor holds back every row: (select clerk.has_second_factor()) is false, so no row can match"},
		},
		{
			"a restrictive policy on rows", `create policy p on public.docs for select using (true);
				create policy out on public.docs as restrictive for select using (published)`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{`The restrictive policy "out"`, "published"},
		},
		{
			"no policy at all", ``, alice, "docs",
			finding.Warn, access.ByNoPolicy, 0,
			[]string{"No policy lets authenticated read", "There is no policy at all", "clerksync configure-rls public.docs --pattern owner"},
		},
		{
			"policies for others and for other commands", `create policy a on public.docs for select to anon using (true); create policy w on public.docs for insert with check (true)`, alice, "docs",
			finding.Warn, access.ByNoPolicy, 0,
			[]string{"a (for select to anon); w (for insert to public)"},
		},
		{
			"a restrictive policy alone", `create policy r on public.docs as restrictive using (true)`, alice, "docs",
			finding.Warn, access.ByNoPolicy, 0,
			[]string{"r (restrictive, for all to public)"},
		},
		{
			"row level security off", `alter table public.docs disable row level security; create policy p on public.docs using (false)`, alice, "docs",
			finding.Fail, access.ByRLSOff, 3,
			[]string{"Row level security is off: 3 ", "Its policies have no effect", "alter table public.docs enable row level security;"},
		},
		{
			"no grant", `revoke all on public.docs from authenticated`, alice, "docs",
			finding.Fail, access.ByGrant, 0,
			[]string{"authenticated may not read the table", "grant select on public.docs to authenticated;", "42501"},
		},
		{
			"no use of the schema", `create schema app; create table app.things (id int)`, alice, "app.things",
			finding.Warn, access.ByGrant, 0,
			[]string{"grant usage on schema app to authenticated;\ngrant select on app.things to authenticated;", "does not serve the schema app", "PGRST106"},
		},
		{
			"some columns only", `revoke all on public.docs from authenticated; grant select (id, "body") on public.docs to authenticated;
				create policy p on public.docs using (owner_id = (select clerk.user_id()))`, alice, "docs",
			finding.Pass, access.ByPolicy, 1,
			[]string{"Let through by p (1).", "may select only the columns id, body", "select=*"},
		},
		{
			"a schema that is not exposed", `create schema app; grant usage on schema app to authenticated; create table app.things (id int); grant select on app.things to authenticated`, alice, "app.things",
			finding.Warn, access.ByRLSOff, 0,
			[]string{"does not serve the schema app"},
		},
		{
			"auth.uid() where there are rows", `create policy p on public.docs using (owner_uuid = (select auth.uid()))`, alice, "docs",
			finding.Fail, access.ByError, 0,
			[]string{"A Clerk id is compared as a uuid", `invalid input syntax for type uuid: "user_alice"`, "It comes from the policy p", "(select clerk.user_id())"},
		},
		{
			"auth.uid() and no row", `truncate public.docs; create policy p on public.docs using (owner_uuid = (select auth.uid()))`, alice, "docs",
			finding.Fail, access.ByPolicy, 0,
			[]string{"auth.uid() fails for this user, and it stands in policy p (all)"},
		},
		{
			"auth.uid() in what is written", `create policy r on public.docs for select using (true); create policy w on public.docs for insert with check (auth.uid() is not null);
				alter table public.docs alter column owner_uuid set default auth.uid()`, alice, "docs",
			finding.Fail, access.ByPolicy, 3,
			[]string{"policy w (insert), default of column owner_uuid"},
		},
		{
			// As text it calls nothing.
			"auth.uid() in a constant", `create policy p on public.docs for select using (owner_id <> 'auth.uid()')`, alice, "docs",
			finding.Pass, access.ByPolicy, 3,
			[]string{"Let through by p (3)."},
		},
		{
			"auth.uid() and a user of Supabase", `create policy p on public.docs using (owner_uuid = (select auth.uid()))`, `{"sub":"3b241101-e2bb-4255-8caf-4136c566a962"}`, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"(select auth.uid()) is '3b241101-e2bb-4255-8caf-4136c566a962' for this caller"},
		},
		{
			"a cast of a row's value", `create policy p on public.docs using (owner_id::uuid is not null)`, alice, "docs",
			finding.Fail, access.ByError, 0,
			[]string{`invalid input syntax for type uuid: "user_alice"`, "The policy that applies: p."},
		},
		{
			"a policy that leads back to itself", `create policy p on public.docs using (exists (select from public.docs as d where d.id = docs.id))`, alice, "docs",
			finding.Fail, access.ByError, 0,
			[]string{"lead back to themselves", "42P17", "security definer"},
		},
		{
			"a function that may not be called", `create function private.mine(o text) returns boolean language sql stable as 'select true'; revoke execute on function private.mine from public;
				create policy p on public.docs using (private.mine(owner_id))`, alice, "docs",
			finding.Fail, access.ByError, 0,
			[]string{"permission denied for function mine", "grant execute on the function"},
		},
		{
			"a function that writes", `create function private.note() returns boolean language plpgsql as 'begin create temp table x (); return true; end'; grant execute on function private.note to authenticated;
				create policy p on public.docs using (private.note())`, alice, "docs",
			finding.Fail, access.ByError, 0,
			[]string{"25006", "writes"},
		},
		{
			"a function that raises what it reads", `create function private.loud(b text) returns boolean language plpgsql as 'begin raise exception ''the row says %'', b; end'; grant execute on function private.loud to authenticated;
				create policy p on public.docs using (private.loud(body))`, alice, "docs",
			finding.Fail, access.ByError, 0,
			[]string{"P0001", "a function raised an error"},
		},
		{
			"a policy that is too slow", `create function private.slow(o text) returns boolean language plpgsql volatile as 'begin perform pg_sleep(5); return true; end'; grant execute on function private.slow to authenticated;
				create policy p on public.docs using (private.slow(owner_id))`, alice, "docs",
			finding.Fail, access.ByTimeout, 0,
			[]string{"takes longer than 2s", "clerksync configure-rls lint"},
		},
		{
			"a view as its owner", `create view public.all_docs as select id, body from public.docs; grant select on public.all_docs to authenticated`, alice, "all_docs",
			finding.Warn, access.ByView, 3,
			[]string{"The view reads public.docs as its owner supabase_postgres", "bypasses row level security", "security_invoker = true"},
		},
		{
			"a view as its caller", `create policy p on public.docs using (owner_id = (select clerk.user_id())); create view public.my_docs with (security_invoker = true) as select id from public.docs; grant select on public.my_docs to authenticated`, alice, "my_docs",
			finding.Pass, access.ByView, 1,
			[]string{"The view reads public.docs as its caller"},
		},
		{
			"a view of what the caller may not read", `create table public.inner (id int); create view public.outer with (security_invoker = true) as select * from public.inner; grant select on public.outer to authenticated`, alice, `"outer"`,
			finding.Fail, access.ByError, 0,
			[]string{"permission denied for table inner", "The view reads public.\"inner\"", "select on the table"},
		},
		{
			"a materialized view", `create materialized view public.counted as select count(*) from public.docs; grant select on public.counted to authenticated`, alice, "counted",
			finding.Warn, access.ByRLSOff, 1,
			[]string{"A materialized view has no row level security"},
		},
		{
			"a partitioned table", `create table public.parted (id int, owner_id text) partition by list (id); create table public.parted_1 partition of public.parted for values in (1);
				alter table public.parted enable row level security; grant select on public.parted to authenticated; create policy p on public.parted using (owner_id = (select clerk.user_id()));
				insert into public.parted values (1, 'user_alice'), (1, 'user_x')`, alice, "parted",
			finding.Pass, access.ByPolicy, 1,
			[]string{"Let through by p (1)."},
		},
		{
			"an empty table", `truncate public.docs; create policy p on public.docs using (owner_id = (select clerk.user_id()))`, alice, "docs",
			finding.Pass, access.ByPolicy, 0,
			[]string{"The table is empty"},
		},
		{
			"an empty table that would show nothing", `truncate public.docs; create policy p on public.docs using (org_id = (select clerk.org_id()))`, bob, "docs",
			finding.Pass, access.ByPolicy, 0,
			[]string{"The table is empty", "would hold back any", "no organization is active"},
		},
		{
			"a table that is not there", ``, alice, "Docs2",
			finding.Fail, access.ByNotFound, 0,
			[]string{"no table or view public.docs2", "Did you mean public.docs?"},
		},
		{
			"a condition on the whole row", `create function public.may(d public.docs) returns boolean language sql stable as $$ select d.published $$; grant execute on function public.may to authenticated;
				update public.docs set published = true where id = 1; create policy p on public.docs using (public.may(docs))`, alice, "docs",
			finding.Pass, access.ByPolicy, 1,
			[]string{"Let through by p (1)."},
		},
		{
			"a correlated sub-select", `create table public.shares (doc int, who text); grant select on public.shares to authenticated; insert into public.shares values (3, 'user_alice');
				create policy p on public.docs using (exists (select from public.shares as s where s.doc = docs.id and s.who = (select clerk.user_id())))`, alice, "docs",
			finding.Pass, access.ByPolicy, 1,
			[]string{"Let through by p (1)."},
		},
		{
			"the caller's own row alone decides", `create policy p on public.docs using ((select clerk.org_role()) = 'org:owner')`, alice, "docs",
			finding.Warn, access.ByPolicy, 0,
			[]string{"The policy p lets nothing through", "is false, so no row can match"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := project(t, tenanted+test.sql)
			for login, conn := range map[string]string{"diagnostics": db.Pooled(t, db.Diagnostics()), "owner": db.Owner()} {
				view := look(t, db.Conn(t, conn), test.claims, test.table)
				f := view.Findings[4]
				got := view.Tables[0]
				texts := test.texts
				if login == "owner" {
					// It counts where the others estimate.
					texts = nil
					for _, text := range test.texts {
						texts = append(texts, strings.ReplaceAll(text, "about ", ""))
					}
				}
				wantFinding(t, login, f, test.status, texts...)
				if got.Decision != test.decision || got.Visible != test.visible || got.Detail != f.Detail {
					t.Errorf("%s: %+v, want %d by %s", login, got, test.visible, test.decision)
				}
				if strings.Contains(fmt.Sprintf("%+v", view), "secret") {
					t.Errorf("%s: rows are told: %+v", login, view)
				}
			}
		})
	}
}

func TestLook_AnonIsHeldBackAsUsual(t *testing.T) {
	t.Parallel()
	for regime, want := range map[postgres.Regime]struct {
		decision access.Decision
		texts    []string
	}{
		postgres.Explicit: {access.ByGrant, []string{"anon may not read the table", "role claim is authenticated"}},
		// Granted by default, and no policy is for it.
		postgres.Legacy: {access.ByNoPolicy, []string{"No policy lets anon read the table", "notes_own (for select to authenticated)"}},
	} {
		db := project(t, notes, testdb.WithRegime(regime))
		view, err := access.Look(t.Context(), db.Conn(t, db.Diagnostics()), access.Options{Tables: names(t, "notes")})
		if err != nil {
			t.Fatal(err)
		}
		wantFinding(t, "role", found(t, view, "database.role"), finding.Pass, "Requests run as anon", "not signed in")
		wantFinding(t, "claims", found(t, view, "database.claims"), finding.Warn, "The claims name no user")
		wantFinding(t, "uid", found(t, view, "database.uid"), finding.Pass, "auth.uid() is NULL")
		wantFinding(t, "mirror", found(t, view, "mirror.user"), finding.Skip, "name no user")
		wantFinding(t, "notes", found(t, view, "rls.public.notes"), finding.Warn, want.texts...)
		if got := table(t, view, "public.notes"); got.Decision != want.decision {
			t.Errorf("decision %s, want %s", got.Decision, want.decision)
		}
	}
}

// What a policy reads from tables and functions stays in the database, unless it
// is the caller's own.
func TestLook_WithholdsWhatIsNotTheCallers(t *testing.T) {
	t.Parallel()
	db := project(t, tenanted+`
		create table private.keys (who text, key text); insert into private.keys values ('user_alice', 'top secret');
		create function private.key() returns text language sql stable security definer set search_path = '' as $$ select key from private.keys where who = clerk.user_id() $$;
		create function private.me() returns text language sql stable set search_path = '' as $$ select clerk.user_id() $$;
		create function private.friends() returns setof text language sql stable security definer set search_path = '' as $$ values ('user_alice'), ('user_hidden') $$;
		create function private.only_me() returns setof text language sql stable security definer set search_path = '' as $$ values ('user_alice') $$;
		grant execute on all functions in schema private to authenticated;
		create policy p on public.docs using (body = (select private.key()) and owner_id = (select private.me())
			and owner_id = any (array(select private.friends())) and owner_id = any (array(select private.only_me())))`)
	got := table(t, look(t, db.Conn(t, db.Diagnostics()), alice, "docs"), "public.docs")
	want := []struct {
		value    string
		withheld bool
	}{{"a value that is no claim of the token", true}, {"user_alice", false}, {"2 values, not all of them claims of the token", true}, {"{user_alice}", false}}
	values := got.Policies[0].Values
	if len(values) != len(want) {
		t.Fatalf("values = %+v, want %d", values, len(want))
	}
	for i, w := range want {
		if values[i].Value == nil || *values[i].Value != w.value || values[i].Withheld != w.withheld {
			t.Errorf("value of %s = %v, withheld %t, want %q, %t", values[i].Expression, values[i].Value, values[i].Withheld, w.value, w.withheld)
		}
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "top secret") || strings.Contains(text, "hidden") {
		t.Errorf("told: %s", text)
	}
}

// An error that one row raises quotes the row: only the caller's own words are shown.
func TestLook_QuotesNoRowsInErrors(t *testing.T) {
	t.Parallel()
	db := project(t, `
		create table public.codes (id int, code text, owner_id text); alter table public.codes enable row level security; grant select on public.codes to authenticated;
		insert into public.codes values (1, 'se"cret', 'user_x'); create policy p on public.codes using (code::int = 1)`)
	view := look(t, db.Conn(t, db.Diagnostics()), alice, "codes")
	got := table(t, view, "public.codes")
	if got.Code != "22P02" || got.Message != `invalid input syntax for type integer: "…"` {
		t.Errorf("codes = %s %s, want 22P02 without the value", got.Code, got.Message)
	}
}

func TestLook_ALockedTableHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	db := project(t, notes+`create table public.busy (id int); grant select on public.busy to authenticated`)
	holder, err := db.Conn(t, db.Owner()).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(t.Context()) }()
	if _, err := holder.Exec(t.Context(), "lock table public.busy in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	view := look(t, db.Conn(t, db.Diagnostics()), alice, "busy", "notes")
	wantFinding(t, "busy", found(t, view, "rls.public.busy"), finding.Skip, "lock timeout", "pg_stat_activity")
	wantFinding(t, "notes", found(t, view, "rls.public.notes"), finding.Pass, "2 of about 3 rows")
}

// The owner sees which of several policies holds back the rows that are there;
// everybody else is told what the policies ask.
func TestLook_AsksPoliciesAboutRowsThatTheCallerDoesNotSee(t *testing.T) {
	t.Parallel()
	db := project(t, tenanted+`
		alter table public.docs add column at timestamptz default now(), add column tags text[] default '{"a,b","c\"d"}', add column size numeric generated always as (id * 2) stored;
		create policy open on public.docs using (owner_id = 'user_carol' or owner_id = (select clerk.user_id()));
		create policy org on public.docs using (org_id = (select clerk.org_id()));
		create policy published on public.docs as restrictive using (published)`)
	for name, conn := range connections(t, db) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			view := look(t, conn, bob, "docs")
			got, f := table(t, view, "public.docs"), found(t, view, "rls.public.docs")
			if !strings.HasPrefix(name, "owner") {
				wantFinding(t, name, f, finding.Warn, "None of about 3 rows is visible", "The restrictive policy published may hold back rows: published.")
				if got.Sampled != 0 || got.Policies[0].Alone != nil {
					t.Errorf("docs = %+v, want no sample", got)
				}
				return
			}
			wantFinding(t, name, f, finding.Warn, "None of 3 rows is visible", "The restrictive policy published holds back every row: published (by itself it lets 0 of 3 rows through).")
			var alone []int64
			for _, p := range got.Policies {
				alone = append(alone, *p.Alone)
			}
			if got.Sampled != 3 || fmt.Sprint(alone) != "[2 0 0]" {
				t.Errorf("alone = %v of %d, want open with 2, org and published with 0 of 3", alone, got.Sampled)
			}
			if text := fmt.Sprintf("%+v", view); strings.Contains(text, "secret") {
				t.Errorf("rows are told: %s", text)
			}
		})
	}
}

func TestLook_BoundsWhatItAsksAndTells(t *testing.T) {
	t.Parallel()
	db := project(t, tenanted+`
		do $$ begin for i in 10..39 loop
			execute format('create policy p%s on public.docs using (owner_id = (select clerk.claim(''{c%1$s}'')) and body <> %L)', i, repeat('x', 5000));
			execute format('create policy a%s on public.docs using (org_id = (select clerk.claim(''{c%1$s}'')))', i);
		end loop; end $$`)
	got := table(t, look(t, db.Conn(t, db.Diagnostics()), alice, "docs"), "public.docs")
	if len(got.Policies) != 60 {
		t.Fatalf("%d policies, want all sixty", len(got.Policies))
	}
	values := map[string]bool{}
	for _, p := range got.Policies {
		if len(p.Using) > 4100 {
			t.Errorf("policy %s: %d bytes of its expression", p.Name, len(p.Using))
		}
		for _, v := range p.Values {
			values[v.Expression] = true
		}
	}
	if len(values) == 0 || len(values) > 12 || len(got.Detail) > 4000 {
		t.Errorf("%d values, %d bytes of detail, want some and few", len(values), len(got.Detail))
	}
}
