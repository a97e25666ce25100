package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

type ownCase struct {
	id      string
	exposed []string
	sql     string
	want    []string
}

// run lints a database with what the case makes, where its schemas are.
func (c ownCase) run(t *testing.T, moved func(string) string, options ...testdb.Option) []finding.Finding {
	t.Helper()
	db := testdb.New(t, options...)
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, services)
	exec(t, admin, moved(c.sql))
	var exposed []string
	for _, schema := range c.exposed {
		exposed = append(exposed, strings.TrimPrefix(moved("schema "+schema), "schema "))
	}
	return run(t, db.Conn(t, db.Owner()), lint.Options{Exposed: exposed})
}

// Each case makes what a check is to find, and beside it what looks alike and is
// in order; want is everything that the check reports.
var ownCases = []ownCase{
	{
		id: "auth_uid",
		sql: `create table public.bad (id int primary key, u uuid not null default auth.uid(), t text);
			create table public.good (id int primary key, t text default clerk.user_id());
			alter table public.bad enable row level security; alter table public.good enable row level security;
			create policy p on public.bad for select to authenticated using (u = (select auth.uid()));
			create policy q on public.good for select to authenticated using (t = (select clerk.user_id()));
			create policy said on public.good for insert to authenticated with check (t <> 'auth.uid()');
			create function public.body() returns uuid language plpgsql as $$ begin return "auth" . UID (); end $$;
			-- Nobody can call this one.
			create function public.unreached() returns uuid language sql set search_path = '' as 'select auth.uid()';
			revoke execute on function public.unreached() from public, anon, authenticated;
			grant execute on function public.body() to authenticated;
			create function public.comment() returns text language sql as $$ select 'auth.uid()' /* auth.uid() /* nested */ */ -- auth.uid()
			$$;
			create function public.other() returns text language plpgsql as $f$ begin execute $$ select auth.uid() $$; return 1; end $f$;
			create table public.fired (u uuid);
			create trigger condition before insert on public.fired for each row when (new.u = auth.uid()) execute function clerk_sync.project_users();
			create trigger fine before insert on public.good for each row when (new.t = clerk.user_id()) execute function clerk_sync.project_users();
			create function public.native(text) returns int language internal as 'textlen';
			create view public.v with (security_invoker = true) as select auth.uid() as me;`,
		want: []string{
			"fail column u of public.bad", "fail policy p on public.bad", "fail public.body()", "fail public.v", "fail trigger condition on public.fired", "warn public.unreached()",
		},
	},
	{
		id: "auth_email",
		sql: `create table public.t (id int primary key, e text);
			create policy bad on public.t for select to authenticated using (e = (select auth.email()));
			create policy good on public.t for update to authenticated using (e = (select clerk.claim('{email}')));`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "auth_role",
		sql: `create table public.t (id int primary key, e text);
			create policy bad on public.t for select using (auth.role() = 'authenticated');
			create policy good on public.t for update to authenticated using (e = (select clerk.user_id()));`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "fkey_to_auth_users",
		sql: `create table public.bad (id uuid primary key references auth.users (id));
			create table public.good (id text primary key references public.users (clerk_id));`,
		want: []string{"fail constraint bad_id_fkey on public.bad"},
	},
	{
		id: "trigger_on_auth_users",
		sql: `create function public.handle_new_user() returns trigger language plpgsql set search_path = '' as 'begin return new; end';
			create trigger on_auth_user_created after insert on auth.users for each row execute function public.handle_new_user();
			create trigger off before insert on auth.users for each row execute function public.handle_new_user();
			alter table auth.users disable trigger off;
			create trigger on_copy after insert on public.users for each row execute function public.handle_new_user();`,
		want: []string{"warn trigger on_auth_user_created on auth.users"},
	},
	{
		id: "user_id_as_uuid",
		sql: `create table public.t (id int primary key, u uuid default (clerk.user_id())::uuid, t text);
			create policy bad on public.t for select to authenticated using (u = ((select auth.jwt()) ->> 'sub')::uuid);
			create policy worse on public.t for delete to authenticated using (u = (select nullif(clerk.user_id(), ''))::uuid);
			-- Another claim may well be a uuid.
			create policy good on public.t for update to authenticated using (u = ((select auth.jwt()) ->> 'legacy_id')::uuid and t = (select clerk.user_id()));
			create function public.checks() returns uuid language sql set search_path = '' as
			  $$ select case when auth.jwt() ->> 'sub' ~ '^[0-9a-f]{8}-' then (auth.jwt() ->> 'sub')::uuid end $$;`,
		want: []string{"fail column u of public.t", "fail policy bad on public.t", "fail policy worse on public.t"},
	},
	{
		id: "user_id_uuid_column",
		sql: `create table public.profiles (id uuid primary key, clerk_id text not null);
			create table public.compared (id int primary key, owner uuid);
			create table public.named (id int primary key, user_id uuid);
			create table public.translated (id int primary key, user_id uuid references public.profiles (id));
			create table public.mapped (id int primary key, user_id uuid);
			create table public.fine (id uuid primary key, user_id text);
			create function public.me() returns uuid language sql stable set search_path = '' as 'select null::uuid';
			create policy p on public.compared for select to authenticated using (owner::text = (select clerk.user_id()));
			create policy p on public.mapped for select to authenticated using (user_id = (select public.me()));
			create policy p on public.fine for select to authenticated using (id::text = 'x' and user_id = (select clerk.user_id()));`,
		want: []string{"fail policy p on public.compared", "warn column user_id of public.named"},
	},
	{
		id: "claim_path_dotted",
		sql: `create table public.t (id int primary key, o text, data jsonb);
			create policy bad on public.t for select to authenticated using (o = ((select auth.jwt()) ->> 'o.id'));
			create policy good on public.t for update to authenticated using (o = ((select auth.jwt()) -> 'o' ->> 'id'));
			-- A column's own keys, and a claim with a dot in its name, are what they are.
			create policy key on public.t for delete to authenticated using ((data ->> 'o.id') = (select clerk.org_id()));
			create policy named on public.t for insert to authenticated with check (o = ((select auth.jwt()) ->> 'https://example.com/o.id'));
			create function public.f() returns text language sql as $$ select current_setting('request.jwt.claims', true)::json->>'o.id' $$;`,
		want: []string{"fail policy bad on public.t", "fail public.f()"},
	},
	{
		id: "claim_version_one",
		sql: `create table public.t (id int primary key, o text);
			create policy bad on public.t for select to authenticated using (o = ((select auth.jwt()) ->> 'org_id'));
			create policy good on public.t for update to authenticated
			  using (o = (select coalesce((select auth.jwt()) -> 'o' ->> 'id', (select auth.jwt()) ->> 'org_id')));`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "claim_absent",
		sql: `create table public.t (id int primary key, o text);
			create policy bad on public.t for select to authenticated using (o = ((select auth.jwt()) -> 'app_metadata' ->> 'team'));
			create policy aal on public.t as restrictive to authenticated using (((select auth.jwt()) ->> 'aal') = 'aal2');
			create policy good on public.t for update to authenticated using (o = ((select auth.jwt()) -> 'metadata' ->> 'team'));`,
		want: []string{"warn policy aal on public.t", "warn policy bad on public.t"},
	},
	{
		id: "claim_setting",
		sql: `create table public.t (id int primary key, o text);
			create policy bad on public.t for select to authenticated using (o = (select current_setting('request.jwt.claim.sub', true)));
			create policy good on public.t for update to authenticated using (o = (select coalesce(
			  nullif(current_setting('request.jwt.claim.sub', true), ''), nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')));
			create policy other on public.t for delete to authenticated using (o = (select current_setting('app.tenant', true)));`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "org_role_prefix",
		sql: `create table public.t (id int primary key, o text);
			create policy bad on public.t for select to authenticated using (o = (select clerk.org_id()) and (select clerk.org_role()) = 'admin');
			create policy worse on public.t for delete to authenticated using (((select auth.jwt()) -> 'o' ->> 'rol') in ('org:admin', 'org:owner'));
			create policy good on public.t for update to authenticated using ((select clerk.org_role()) = any (array['org:admin', 'org:owner']));
			create policy either on public.t for insert to authenticated with check (((select auth.jwt()) -> 'o' ->> 'rol') in ('org:admin', 'admin'));`,
		want: []string{"fail policy bad on public.t", "fail policy worse on public.t"},
	},
	{
		id: "unsafe_metadata",
		sql: `create table public.t (id int primary key, o text, kind text);
			create function public.is_admin() returns boolean language sql stable security definer set search_path = '' as
			  $$ select u.unsafe_metadata ->> 'role' = 'admin' from public.users u where u.clerk_id = clerk.user_id() $$;
			create policy bad on public.t for select to authenticated using (((select auth.jwt()) -> 'unsafe_metadata' ->> 'role') = 'admin');
			create policy through on public.t for update to authenticated using ((select public.is_admin()));
			create policy word on public.t for delete to authenticated using (kind = 'unsafe_metadata' and o = (select clerk.user_id()));
			create policy good on public.t for insert to authenticated with check (((select auth.jwt()) -> 'metadata' ->> 'role') = 'admin');`,
		want: []string{"fail policy bad on public.t", "fail policy through on public.t"},
	},
	{
		id: "policy_null_passes",
		sql: `create table public.t (id int primary key, o text, published boolean);
			create policy a on public.t for select to authenticated using (((select auth.jwt()) ->> 'plan') is distinct from 'free');
			create policy b on public.t for select to authenticated using ((select clerk.user_id()) is null or o = (select clerk.user_id()));
			create policy c on public.t for select to authenticated using (coalesce((select auth.jwt()) ->> 'plan', '') <> 'free');
			create policy d on public.t for select to authenticated using (not ((select auth.jwt()) ? 'banned'));
			-- Null does not pass these.
			create policy e on public.t for select to authenticated using (((select auth.jwt()) ->> 'plan') <> 'free');
			create policy f on public.t for select to authenticated using (not ((select clerk.org_role()) = 'org:guest'));
			-- Somebody has to own the row, or it is public by itself.
			create policy g on public.t for select to authenticated using (o = (select clerk.user_id()) and ((select auth.jwt()) ->> 'plan') is distinct from 'free');
			create policy h on public.t for select to anon using ((select clerk.user_id()) is null and published);
			-- Absent is the ordinary case; and a restriction grants nothing.
			create policy i on public.t for select to authenticated using (((select auth.jwt()) ->> 'sts') is distinct from 'pending');
			create policy j on public.t as restrictive for select to authenticated using (((select auth.jwt()) ->> 'plan') is distinct from 'free');`,
		want: []string{"warn policy a on public.t", "warn policy b on public.t", "warn policy c on public.t", "warn policy d on public.t"},
	},
	{
		id: "policy_to_public",
		sql: `create table public.open (id int primary key, o text);
			create table public.closed (id int primary key, o text);
			create table public.named (id int primary key, o text);
			alter table public.open enable row level security;
			grant select on public.open, public.named to anon;
			grant select on public.closed to authenticated;
			create policy p on public.open for select using (o = (select clerk.user_id()));
			create policy q on public.open for delete using (o = (select clerk.user_id()));
			create policy p on public.closed for select using (o = (select clerk.user_id()));
			create policy p on public.named for select to anon, authenticated using (o = (select clerk.user_id()));`,
		want: []string{"warn public.open"},
	},
	{
		id: "policy_for_bypassing_role",
		sql: `create table public.t (id int primary key, o text);
			create policy bad on public.t to service_role using (true);
			create policy good on public.t to service_role, authenticated using (o = 'x');
			create policy also on public.t to authenticator using (o = 'x');`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "policy_without_grant",
		sql: `create table public.t (id int primary key, o text);
			create table public.part (id int primary key, o text);
			grant insert (o) on public.part to authenticated;
			create policy bad on public.t for select to authenticated using (true);
			create policy good on public.part for insert to authenticated with check (true);
			create policy all_of_it on public.part to authenticated using (true);
			-- What the user's own roles may do is not known from here.
			create policy own on public.t for select to authenticator using (true);`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "grant_without_policy",
		sql: `create table public.t (id int primary key, o text);
			create table public.used (id int primary key, o text);
			alter table public.t enable row level security; alter table public.used enable row level security;
			grant select, delete on public.t, public.used to authenticated;
			create policy p on public.t for select to authenticated using (true);
			create policy p on public.used to authenticated using (true);`,
		want: []string{"pass public.t"},
	},
	{
		id: "policies_only_restrictive",
		sql: `create table public.t (id int primary key, o text); create table public.good (id int primary key, o text);
			alter table public.t enable row level security; alter table public.good enable row level security;
			create policy p on public.t as restrictive to authenticated using (o = 'x');
			create policy p on public.good as restrictive to authenticated using (o = 'x');
			create policy q on public.good for select to authenticated using (o = 'x');`,
		want: []string{"warn public.t"},
	},
	{
		id: "write_without_select",
		sql: `create table public.t (id int primary key, o text);
			create table public.good (id int primary key, o text);
			create table public.logs (id int primary key, o text);
			alter table public.t enable row level security; alter table public.good enable row level security; alter table public.logs enable row level security;
			grant select, insert, update on public.t, public.good to authenticated;
			grant insert on public.logs to authenticated;
			create policy p on public.t for update to authenticated using (true);
			create policy p on public.good to authenticated using (true);
			create policy p on public.logs for insert to authenticated with check (true);`,
		want: []string{"warn public.t"},
	},
	{
		id: "insert_without_select",
		sql: `create table public.logs (id int primary key, o text);
			create table public.good (id int primary key, o text);
			alter table public.good enable row level security; alter table public.logs enable row level security;
			grant insert on public.logs to authenticated; grant select, insert on public.good to authenticated;
			create policy p on public.logs for insert to authenticated with check (true);
			create policy p on public.good for insert to authenticated with check (true);
			create policy s on public.good for select to authenticated using (true);`,
		want: []string{"pass public.logs"},
	},
	{
		id: "policy_column_unindexed",
		sql: `create table public.bad (id int primary key, o text);
			create table public.partial (id int primary key, o text, done boolean);
			create table public.good (id int primary key, o text, team text);
			create table public.either (id int primary key, o text, team text);
			create table public.published (id int primary key, o text, published boolean);
			create table public.cast_ (id int primary key, o varchar(40) unique);
			create index on public.partial (o) where done; create index on public.good (o); create index on public.either (team);
			alter table public.bad enable row level security; alter table public.partial enable row level security; alter table public.good enable row level security;
			alter table public.either enable row level security; alter table public.published enable row level security; alter table public.cast_ enable row level security;
			create policy p on public.bad for select to authenticated using (o = (select clerk.user_id()));
			create policy p on public.partial for select to authenticated using (o = (select clerk.user_id()));
			create policy p on public.good for select to authenticated using (o = (select clerk.user_id()) and team = (select clerk.org_id()));
			create policy p on public.either for select to authenticated using (o = (select clerk.user_id()) or team = any (array(select clerk.my_org_ids())));
			-- An index could not help: most rows may be published.
			create policy p on public.published for select to authenticated using (published or o = (select clerk.user_id()));
			create policy i on public.published for insert to authenticated with check (o = (select clerk.user_id()));
			create policy p on public.cast_ for select to authenticated using ((select clerk.user_id()) = o);`,
		want: []string{"warn column o of public.bad", "warn column o of public.either", "warn column o of public.partial"},
	},
	{
		id: "policy_in_subselect",
		sql: `create table public.t (id int primary key, o text); create index on public.t (o);
			alter table public.t enable row level security;
			create policy bad on public.t for select to authenticated using (o in (select clerk.my_org_ids()));
			create policy good on public.t for update to authenticated using (o = any (array(select clerk.my_org_ids())));
			create policy words on public.t for delete to authenticated using (o in ('a', 'b'));`,
		want: []string{"warn policy bad on public.t"},
	},
	{
		id: "policy_in_subselect",
		sql: `create table public."Odd ""T""; --" (id int primary key, "Own'er" text unique, "select" text unique);
			alter table public."Odd ""T""; --" enable row level security;
			create policy "a) or (true" on public."Odd ""T""; --" for select to authenticated
			  using ("Own'er" in (select clerk.my_org_ids()) or "select" in (select 'x) --' where clerk.user_id() is not null));
			create policy "b ""q"" $$" on public."Odd ""T""; --" for update to authenticated using ("select" = (select clerk.user_id()) and "Own'er" in (select clerk.my_org_ids()));`,
		want: []string{`warn policy "a) or (true" on public."Odd ""T""; --"`, `warn policy "a) or (true" on public."Odd ""T""; --"`},
	},
	{
		id: "policy_per_row",
		sql: `create schema "Pri.vate";
			create function "Pri.vate"."Is (Member"(o text) returns boolean language plpgsql stable as 'begin return true; end';
			create table public."Odd ""T""; --" (id int primary key, "Own'er" text unique);
			alter table public."Odd ""T""; --" enable row level security;
			create policy "called ""q""" on public."Odd ""T""; --" for select to authenticated using ("Pri.vate"."Is (Member"('x'));
			create policy "self" on public."Odd ""T""; --" for update to authenticated
			  using (exists (select from public."Odd ""T""; --" as other where other."Own'er" = 'Odd "T"; --.Own''er'));`,
		want: []string{`warn policy "called ""q""" on public."Odd ""T""; --"`},
	},
	{
		id: "policy_per_row",
		sql: `create table public.members (org text, usr text, primary key (org, usr));
			create table public.t (id int primary key, o text);
			alter table public.t enable row level security;
			create schema private;
			create function private.is_member(org text) returns boolean language sql stable security definer set search_path = '' as
			  $$ select exists (select from public.members m where m.org = $1) $$;
			create function private.plain(a text) returns boolean language sql stable as $$ select a = 'x' $$;
			create function private.fixed(a text) returns boolean language plpgsql immutable as $$ begin return a = 'x'; end $$;
			create policy correlated on public.t for select to authenticated
			  using (exists (select 1 from public.members where members.org = t.o and members.usr = (select clerk.user_id())));
			create policy call on public.t for select to authenticated using (private.is_member(o));
			create policy bare on public.t for select to authenticated using (o = clerk.user_id());
			create policy good on public.t for select to authenticated using (o = (select clerk.user_id()) and private.plain(o) and private.fixed(o));
			create policy looked_up on public.t for select to authenticated
			  using (o = any (array(select m.org from public.members m where m.usr = (select clerk.user_id()))));
			-- One row at a time is written anyway.
			create policy written on public.t for insert to authenticated with check (private.is_member(o));`,
		want: []string{"warn policy bare on public.t", "warn policy call on public.t", "warn policy correlated on public.t"},
	},
	{
		id: "policy_recursive",
		sql: `create table public.members (org text, usr text);
			create table public.a (id int primary key, o text); create table public.b (id int primary key, o text);
			create table public.reader (id int primary key, o text); create table public.fine (id int primary key, o text);
			create table public.written (id int primary key, o text);
			alter table public.members enable row level security; alter table public.a enable row level security;
			alter table public.b enable row level security; alter table public.reader enable row level security; alter table public.fine enable row level security;
			alter table public.written enable row level security;
			create policy p on public.members for select to authenticated using (org in (select m.org from public.members m where m.usr = (select clerk.user_id())));
			create policy p on public.a for select to authenticated using (exists (select from public.b where b.o = a.o));
			create policy p on public.b for select to authenticated using (exists (select from public.a where a.o = b.o));
			create policy p on public.reader for select to authenticated using (o in (select m.org from public.members m));
			create policy p on public.fine for select to authenticated using (o in (select u.clerk_id from public.users u));
			create table public.visited (id int primary key, o text); alter table public.visited enable row level security;
			create policy p on public.visited for select to anon using (o in (select v.o from public.visited v));
			create policy q on public.visited for select to authenticated using (o = 'x');
			create policy s on public.written for select to authenticated using (o = 'x');
			create policy i on public.written for insert to authenticated with check (o not in (select w.o from public.written w));`,
		want: []string{"fail public.a", "fail public.b", "fail public.members", "fail public.reader", "fail public.visited"},
	},
	{
		id: "policy_calls_itself",
		sql: `create table public.t (id int primary key, o text); alter table public.t enable row level security;
			create function public.mine() returns setof int language sql stable set search_path = '' as $$ select t.id from public.t where t.o = clerk.user_id() $$;
			create function public.definer() returns setof int language sql stable security definer set search_path = '' as $$ select t.id from public.t where t.o = clerk.user_id() $$;
			create function public.short() returns setof int language sql stable as $$ select id from t where o = clerk.user_id() $$;
			create function public.elsewhere() returns setof int language plpgsql stable set search_path = 'pg_temp' as $$ begin return query select 1 from t; end $$;
			create policy elsewhere on public.t for select to authenticated using (id = any (array(select public.elsewhere())));
			create policy bad on public.t for select to authenticated using (id = any (array(select public.mine())));
			create policy short on public.t for select to authenticated using (id = any (array(select public.short())));
			create policy good on public.t for select to authenticated using (id = any (array(select public.definer())));
			-- It reads by the policies for select.
			create policy writes on public.t for update to authenticated using (id = any (array(select public.mine())));`,
		want: []string{"fail policy bad on public.t", "fail policy short on public.t"},
	},
	{
		id: "privileges_around_policies",
		sql: `create table public.t (id int primary key); create table public.good (id int primary key);
			grant truncate, references on public.t to anon; grant select, insert, update, delete on public.good to anon;
			create schema hidden; create table hidden.t (id int primary key); grant truncate on hidden.t to anon;`,
		want: []string{"warn schema public"},
	},
	{
		id: "sequence_without_usage",
		sql: `create table public.bad (id serial primary key); create table public.good (id serial primary key); create table public.ident (id int generated by default as identity primary key);
			create table public.read_only (id serial primary key);
			grant insert on public.bad, public.good, public.ident to authenticated; grant usage on sequence public.good_id_seq to authenticated;
			grant select on public.read_only to authenticated;`,
		want: []string{"fail column id of public.bad"},
	},
	{
		id: "partition_around_policies",
		sql: `create table public.events (id int, o text) partition by list (o);
			create table public.events_a partition of public.events for values in ('a');
			create table public.events_b partition of public.events for values in ('b');
			create table public.events_c partition of public.events for values in ('c');
			create table public.open_parent (id int); create table public.open_child () inherits (public.open_parent);
			alter table public.events enable row level security; alter table public.events_b enable row level security;
			grant select on public.events, public.events_b, public.open_child to authenticated; grant update on public.events_a to authenticated;`,
		want: []string{"fail public.events_a"},
	},
	{
		id: "internal_schema_exposed", exposed: []string{"public", "clerk", "clerk_sync"},
		sql:  `select`,
		want: []string{"fail schema clerk", "fail schema clerk_sync"},
	},
	{
		id: "exposed_schema_missing", exposed: []string{"public", "Api"},
		sql:  `create schema api`,
		want: []string{`warn schema "Api"`},
	},
	{
		id: "schema_without_usage", exposed: []string{"public", "api", "members"},
		sql:  `create schema api; create schema members; grant usage on schema members to authenticated`,
		want: []string{"fail schema api"},
	},
	{
		id: "rls_disabled_reachable",
		sql: `create table public.written (id int primary key, o text); create table public.partly (id int primary key, o text); create table public.closed (id int primary key, o text);
			grant insert on public.written to anon; grant select (id) on public.partly to authenticated; grant select on public.closed to service_role;`,
		want: []string{"fail public.partly", "fail public.written"},
	},
	{
		id: "view_over_definer_view",
		sql: `create schema private; create table public.t (id int primary key); alter table public.t enable row level security;
			create view private.inner_view as select * from public.t; grant select on private.inner_view to authenticated;
			create view private.invoker with (security_invoker = on) as select * from public.t; grant select on private.invoker to authenticated;
			create view public.bad with (security_invoker = on) as select * from private.inner_view;
			create view public.good with (security_invoker = on) as select * from private.invoker;
			grant select on public.bad, public.good to authenticated;`,
		want: []string{"fail public.bad"},
	},
	{
		id: "definer_temporary_schema",
		sql: `create schema private;
			create function public.bad(a text) returns jsonb language sql security definer set search_path = '' as 'select a::jsonb';
			create function private.bad() returns int language sql security definer set search_path = public, extensions as 'select 1';
			create function public.good() returns int language sql security definer set search_path = pg_catalog, pg_temp as 'select 1';
			create function public.invoker() returns int language sql set search_path = '' as 'select 1';`,
		want: []string{"warn "},
	},
	{
		id: "anon_security_definer_function_executable",
		sql: `create schema private; grant usage on schema private to anon;
			create function public.bad("A" int) returns int language sql security definer set search_path = '' as 'select 1';
			create function public.fires() returns trigger language plpgsql security definer set search_path = '' as 'begin return new; end';
			create function public.good() returns int language sql security definer set search_path = '' as 'select 1';
			create function public.invoker() returns int language sql set search_path = '' as 'select 1';
			create function private.hidden() returns int language sql security definer set search_path = '' as 'select 1';
			revoke execute on function public.good() from public, anon; grant execute on function public.good() to authenticated;`,
		want: []string{`pass public.fires()`, `warn public.bad("A" integer)`},
	},
	{
		id: "authenticated_security_definer_function_executable",
		sql: `create function public.bad() returns int language sql security definer set search_path = '' as 'select 1';
			create function public.good() returns int language sql security definer set search_path = '' as 'select 1';
			revoke execute on function public.good(), public.bad() from public; grant execute on function public.bad() to authenticated; grant execute on function public.good() to service_role;`,
		want: []string{"warn public.bad()"},
	},
	{
		id: "public_bucket_allows_listing",
		sql: `insert into storage.buckets (id, name, public) values ('open', 'open', true), ('it''s', 'named', true), ('closed', 'closed', false), ('guarded', 'guarded', true);
			create policy one on storage.objects for select to anon using (bucket_id = 'open');
			create policy quoted on storage.objects for select using (bucket_id = 'it''s');
			create policy shut on storage.objects for select to anon using (bucket_id = 'closed');
			create policy own on storage.objects for select to authenticated using (bucket_id = 'guarded' and owner_id = (select clerk.user_id()));`,
		want: []string{"warn bucket it's", "warn bucket open"},
	},
	{
		id: "storage_owner",
		sql: `create policy bad on storage.objects for select to authenticated using (owner::text = (select clerk.user_id()));
			create policy good on storage.objects for update to authenticated using (owner_id = (select clerk.user_id()) and bucket_id = 'owner');`,
		want: []string{"fail policy bad on storage.objects"},
	},
}

// services are the tables of Supabase's own services, as far as a check can notice.
const services = `
create table auth.users (id uuid primary key, email text unique);
alter table auth.users enable row level security;
grant references, trigger, select on auth.users to supabase_postgres with grant option;
create schema storage;
grant usage on schema storage to anon, authenticated, service_role, supabase_postgres;
create table storage.buckets (id text primary key, name text not null, owner uuid, public boolean default false, owner_id text);
create table storage.objects (id uuid primary key, bucket_id text references storage.buckets (id), name text, owner uuid, owner_id text);
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on storage.buckets, storage.objects to anon, authenticated, service_role, supabase_postgres;`

func TestRun_FindsWhatIsWrongAndNothingBesideIt(t *testing.T) {
	t.Parallel()
	for _, c := range ownCases {
		for _, regime := range []postgres.Regime{postgres.Explicit, postgres.Legacy} {
			t.Run(c.id+"/"+regime.String(), func(t *testing.T) {
				t.Parallel()
				findings := c.run(t, func(text string) string { return text }, testdb.WithRegime(regime))
				if diff := cmp.Diff(c.want, about(findings, "lint."+c.id)); diff != "" {
					t.Errorf("%s (-want +got):\n%s\nall of them:\n%s", c.id, diff, statuses(findings))
				}
			})
		}
	}
}

// Where policies call helpers of another schema the same is found, said and proposed
// about that one.
func TestRun_FindsTheSameWhereverTheHelpersAre(t *testing.T) {
	t.Parallel()
	for _, c := range ownCases {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			usual := func(text string) string { return text }
			lines := func(findings []finding.Finding, moved func(string) string) []string {
				var lines []string
				for line := range strings.Lines(statuses(findings)) {
					lines = append(lines, moved(line))
				}
				slices.Sort(lines)
				return lines
			}
			// The copy and the exposed schemas are part of the difference.
			if len(c.exposed) == 0 {
				c.exposed = []string{"public", "app"}
			}
			want := lines(c.run(t, testdb.MovedCopy, testdb.WithSchema("app")), testdb.Moved)
			got := lines(c.run(t, testdb.Moved, testdb.Elsewhere()), usual)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("findings (-clerk +claims):\n%s", diff)
			}
			for _, line := range got {
				if testdb.NamesUsualHelpers(line) {
					t.Errorf("it names the schema clerk: %s", line)
				}
			}
		})
	}
}
