package access_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/testkit/testdb"
)

// guarded has a table for each thing that is said of helpers: policies that match and
// that do not, that fail, that lead back to themselves; and a copy that lags.
const guarded = `
	insert into public.users (clerk_id) values ('user_alice');
	insert into public.organizations (clerk_org_id) values ('org_acme');
	create table public.mine (id int, owner text default clerk.user_id());
	create table public.ours (id int, org text);
	create table public.active (id int, org text);
	create table public.granted (id int, org text);
	create table public.cast_id (id int, owner uuid);
	create table public.dotted (id int, org text);
	create table public.circle (id int, org text);
	create table public.shape (id int, org text);
	create table public.claimed (id int, team text);
	create table public.closed (id int, mine_id text default clerk.user_id());
	insert into public.mine values (1, 'user_alice'); insert into public.ours values (1, 'org_acme'); insert into public.active values (1, 'org_acme');
	insert into public.granted values (1, 'org_acme'); insert into public.cast_id values (1, gen_random_uuid()); insert into public.dotted values (1, 'org_acme');
	insert into public.shape values (1, 'x'); insert into public.claimed values (1, 'x'); insert into public.closed values (1);
	create policy p on public.mine for select to authenticated using (owner = (select clerk.user_id()));
	create policy p on public.ours for select to authenticated using (org = any (array(select clerk.my_org_ids())));
	create policy p on public.active for select to authenticated using (org = (select clerk.org_id()) and (select clerk.org_role() = any (array['org:owner'])));
	create policy p on public.granted for select to authenticated using (org = (select clerk.org_id()) and (select clerk.has_org_permission('org:invoices:manage')));
	create policy p on public.cast_id for select to authenticated using (owner = (select auth.uid()));
	create policy p on public.dotted for select to authenticated using (org = ((select auth.jwt()) ->> 'o.id'));
	create policy p on public.circle for select to authenticated using (org in (select c.org from public.circle as c));
	create policy p on public.shape for select to authenticated using ((((select auth.jwt()) ->> 'sub')::int) = id);
	create policy p on public.claimed for select to authenticated using (team = (select clerk.claim('{metadata,team}')));
	do $$
	declare t text;
	begin
		foreach t in array array['mine', 'ours', 'active', 'granted', 'cast_id', 'dotted', 'circle', 'shape', 'claimed', 'closed'] loop
			execute format('alter table public.%I enable row level security; grant select on public.%1$I to anon, authenticated', t);
		end loop;
	end $$;
	-- How many rows there are is known otherwise a second later, or when the session ends.
	select pg_stat_force_next_flush()`

// Where the helpers are in another schema the same is seen and said, of that one.
func TestLook_SaysTheSameWhereverTheHelpersAre(t *testing.T) {
	t.Parallel()
	usual, elsewhere := project(t, guarded), project(t, testdb.Moved(guarded), testdb.Elsewhere())
	tables := []string{"mine", "ours", "active", "granted", "cast_id", "dotted", "circle", "shape", "claimed", "closed"}
	views := func(db *testdb.DB, login string, more ...string) string {
		conn := db.Conn(t, login)
		var all bytes.Buffer
		for _, claims := range []string{alice, bob, `{"v":2}`, `{"sub":7}`} {
			encoder := json.NewEncoder(&all)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", " ")
			view := look(t, conn, claims, append(more, tables...)...)
			view.Helpers = ""
			if err := encoder.Encode(view); err != nil {
				t.Fatal(err)
			}
		}
		return all.String()
	}
	for name, logins := range map[string][2]string{
		"diagnostics": {usual.Diagnostics(), elsewhere.Diagnostics()}, "owner": {usual.Owner(), elsewhere.Owner()},
	} {
		want := testdb.Moved(views(usual, logins[0], "clerk.organization_roles"))
		got := views(elsewhere, logins[1], "claims.organization_roles")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("as %s (-clerk +claims):\n%s", name, diff)
		}
		if testdb.NamesUsualHelpers(got) {
			t.Errorf("as %s it names the schema clerk", name)
		}
	}
}

// A role that may not call them is granted those that there are.
func TestLook_NamesTheSchemaWhoseGrantsAreMissing(t *testing.T) {
	t.Parallel()
	db := project(t, "revoke usage on schema claims from authenticated", testdb.Elsewhere())
	view := look(t, db.Conn(t, db.Diagnostics()), alice)
	f := found(t, view, "database.claims")
	if f.Remedy != "grant usage on schema claims to authenticated;\ngrant execute on all functions in schema claims to authenticated;" {
		t.Errorf("%+v", f)
	}
}

// Another schema's function of the same name is not ours: what it answers may be
// anybody's and stays in the database.
func TestLook_TrustsTheHelpersAlone(t *testing.T) {
	t.Parallel()
	db := project(t, `
		create schema clerk;
		create function clerk.user_id() returns text language sql as $$ select 'somebody''s secret' $$;
		grant usage on schema clerk to authenticated; grant execute on function clerk.user_id() to authenticated;
		create table public.notes (id int, owner text);
		insert into public.notes values (1, 'x');
		alter table public.notes enable row level security;
		grant select on public.notes to authenticated;
		create policy p on public.notes for select to authenticated using (owner = (select clerk.user_id()))`, testdb.Elsewhere())
	view := look(t, db.Conn(t, db.Diagnostics()), alice, "notes")
	value := table(t, view, "public.notes").Policies[0].Values[0]
	if !value.Withheld {
		t.Errorf("%+v, want it withheld", value)
	}
}
