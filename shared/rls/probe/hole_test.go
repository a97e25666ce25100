package probe_test

import (
	"slices"
	"strings"
	"testing"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

// Holes as they are found in the wild: the matrix shows each, and a finding names it.
func TestRun_CatchesPlantedHoles(t *testing.T) {
	t.Parallel()
	sound := policies("public.notes", ownerRule)
	tests := []struct {
		name, sql string
		table     string
		cells     []string
		findings  []string
		because   string // of the owner's select, if it is said
	}{
		{
			name: "using (true)", table: "notes",
			sql:      notes + policies("public.notes", "true"),
			cells:    []string{"other-user select: all", "other-user update-own: ok", "other-user delete-own: ok", "owner forge-owner: ok", "owner give-owner: ok", "anonymous select: deny 42501"},
			findings: []string{"fail rls.probe.forged_owner", "fail rls.probe.given_away", "fail rls.probe.stranger_write", "warn rls.probe.stranger_read"},
		},
		{
			name: "row level security off", table: "notes",
			sql:      notes + sound + `alter table public.notes disable row level security; grant select on public.notes to anon;`,
			cells:    []string{"anonymous select: all", "other-user delete-own: ok"},
			findings: []string{"fail rls.probe.forged_owner", "fail rls.probe.given_away", "fail rls.probe.rls_off", "fail rls.probe.stranger_write", "warn rls.probe.anonymous_read", "warn rls.probe.stranger_read"},
			because:  "row level security is off",
		},
		{
			// The insert policy asks whether somebody is signed in, not who.
			name: "forged owner", table: "notes",
			sql: notes + `
				create policy s on public.notes for select to authenticated using (` + ownerRule + `);
				create policy i on public.notes for insert to authenticated with check ((select clerk.user_id()) is not null);`,
			cells:    []string{"owner forge-owner: ok", "owner insert-returning: ok", "other-user forge-owner: ok", "other-user select: none"},
			findings: []string{"fail rls.probe.forged_owner"},
		},
		{
			// The form "for update using (…) with check (true)".
			name: "given away", table: "notes",
			sql: notes + `
				create policy s on public.notes for select to authenticated using (true);
				create policy u on public.notes for update to authenticated using (` + ownerRule + `) with check (true);`,
			cells:    []string{"owner give-owner: ok", "other-user give-owner: none", "other-user update-own: none"},
			findings: []string{"fail rls.probe.given_away", "warn rls.probe.stranger_read"},
		},
		{
			name: "given away to an organization", table: "papers",
			sql: papers + `
				create policy s on public.papers for select to authenticated using (true);
				create policy u on public.papers for update to authenticated using (` + memberRule + `) with check (true);`,
			cells:    []string{"member give-org: ok", "other-user give-org: none"},
			findings: []string{"fail rls.probe.given_away", "warn rls.probe.stranger_read"},
		},
		{
			name: "policy for public", table: "notes",
			sql: notes + `grant select, insert, update, delete on public.notes to anon;
				create policy everything on public.notes using (owner_id is not null);`,
			cells:    []string{"anonymous select: all", "anonymous delete-own: ok", "no-role update-own: ok"},
			findings: []string{"fail rls.probe.anonymous_write", "fail rls.probe.forged_owner", "fail rls.probe.given_away", "fail rls.probe.stranger_write", "warn rls.probe.anonymous_read", "warn rls.probe.stranger_read"},
		},
		{
			name: "auth.uid()", table: "notes",
			sql:      notes + `create policy s on public.notes for select to authenticated using ((select auth.uid())::text = owner_id);`,
			cells:    []string{"owner select: error 22P02", "supabase-uuid select: none", "anonymous select: deny 42501"},
			findings: []string{"fail rls.probe.clerk_id_cast"},
			because:  `s fails (select using): invalid input syntax for type uuid: "<owner>" (SQLSTATE 22P02); auth.uid() casts the sub claim to uuid, and a Clerk id is none: compare a text column with (select clerk.user_id())`,
		},
		{
			name: "auth.uid() over a uuid column", table: "notes",
			sql: `create table public.notes (id bigint generated always as identity primary key, owner_id uuid not null, title text);
				alter table public.notes enable row level security;
				grant select, insert on public.notes to authenticated, service_role;
				create policy s on public.notes for select to authenticated using (owner_id = (select auth.uid()));
				create policy i on public.notes for insert to authenticated with check (owner_id = (select auth.uid()));`,
			cells:    []string{"owner select: error 22P02", "owner insert: error 22P02", "supabase-uuid select: 1 own", "supabase-uuid insert: ok"},
			findings: []string{"fail rls.probe.clerk_id_cast", "warn rls.probe.column_type"},
		},
		{
			name: "missing grant", table: "notes",
			sql:      notes + sound + `revoke update, delete on public.notes from authenticated;`,
			cells:    []string{"owner update-own: deny 42501", "owner delete-own: deny 42501", "owner select: 1 own"},
			findings: []string{"warn rls.probe.missing_grant"},
		},
		{
			// The claims have no such key; the policy is always null.
			name: "o.id", table: "papers",
			sql:      papers + policies("public.papers", `org_id = ((select auth.jwt()) ->> 'o.id')`),
			cells:    []string{"owner select: none", "admin select: none", "member insert: deny 42501"},
			findings: []string{"warn rls.probe.never_true"},
		},
		{
			name: "organization from unsafe metadata", table: "papers",
			sql:      papers + policies("public.papers", `org_id = coalesce((select clerk.org_id()), (select clerk.claim('{unsafe_metadata,org_id}')))`),
			cells:    []string{"self-made-claims select: 1 own", "self-made-claims delete-own: ok", "other-user select: none"},
			findings: []string{"fail rls.probe.self_made_claims"},
		},
		{
			name: "role from user metadata", table: "papers",
			sql:      papers + policies("public.papers", `((select auth.jwt()) -> 'user_metadata' ->> 'role') = 'admin'`),
			cells:    []string{"self-made-claims select: all", "other-user select: none"},
			findings: []string{"fail rls.probe.self_made_claims"},
		},
		{
			// Whoever may add to one organization may add to all.
			name: "forged organization", table: "papers",
			sql: papers + `
				create policy s on public.papers for select to authenticated using (` + memberRule + `);
				create policy i on public.papers for insert to authenticated with check (exists (select clerk.my_org_ids()));`,
			cells:    []string{"member forge-org: ok", "other-user forge-org: deny 42501", "member insert: ok"},
			findings: []string{"fail rls.probe.forged_org"},
		},
		{
			name: "recursion", table: "papers",
			sql: papers + `create policy s on public.papers for select to authenticated
				using (exists (select from public.papers as p where p.org_id = papers.org_id and p.owner_id = (select clerk.user_id())));`,
			cells:    []string{"owner select: error 42P17", "anonymous select: deny 42501", "service-role select: all"},
			findings: []string{"fail rls.probe.recursion"},
			because:  `s fails (select using): infinite recursion detected in policy for relation "papers" (SQLSTATE 42P17); the policy reads a table whose policies lead back to it: read it in a security definer function, such as clerk.my_org_ids()`,
		},
		{
			// Without a select policy nothing comes back, and supabase-js asks for it.
			name: "no select policy", table: "notes",
			sql:      notes + `create policy i on public.notes for insert to authenticated with check (` + ownerRule + `);`,
			cells:    []string{"owner insert: ok", "owner insert-returning: deny 42501", "owner select: none"},
			findings: nil,
			because:  "no permissive policy for select",
		},
		{
			name: "helper that may not be executed", table: "notes",
			sql: notes + `create schema app; create function app.mine(id text) returns boolean language sql stable as $$ select id = clerk.user_id() $$;
				grant usage on schema app to authenticated; revoke execute on function app.mine(text) from public, authenticated;
				create policy s on public.notes for select to authenticated using (app.mine(owner_id));`,
			cells:    []string{"owner select: deny 42501"},
			findings: []string{"fail rls.probe.policy_error"},
			because:  "s fails (select using): permission denied for function mine (SQLSTATE 42501)",
		},
		{
			// The lookup is under the policies of the other table, which has none.
			name: "lookup in a locked table", table: "papers",
			sql: papers + `create table public.links (org_id text, user_id text); alter table public.links enable row level security;
				grant select on public.links to authenticated;
				create policy s on public.papers for select to authenticated using (org_id in (select l.org_id from public.links as l) or ` + ownerRule + `);`,
			cells:   []string{"owner select: 1 own", "member select: none"},
			because: "let through by s (select using); s not true (select using)",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.sql)
			table := b.run("public." + test.table).Tables[0]
			expect(t, table, test.cells...)
			expect(t, table, "service-role select: all")
			if got := found(table); !slices.Equal(got, test.findings) {
				t.Errorf("findings %v, want %v\n%+v", got, test.findings, table.Findings)
			}
			if test.because != "" {
				if got := because(t, table, probe.Owner, probe.Select); got != test.because {
					t.Errorf("the owner's select: %q, want %q", got, test.because)
				}
			}
		})
	}
}

// In projects that grant everything by default, a table without policies is shut
// and one without row level security is open to the world.
func TestRun_ShowsWhatDefaultGrantsDo(t *testing.T) {
	t.Parallel()
	const sql = `
		create table public.open (id bigint generated always as identity primary key, owner_id text);
		create table public.shut (id bigint generated always as identity primary key, owner_id text);
		alter table public.shut enable row level security;`
	legacy := newBench(t, sql, testdb.WithRegime(postgres.Legacy)).run("open", "shut")
	expect(t, legacy.Tables[0], "anonymous select: all", "anonymous delete-own: ok", "anonymous insert: ok")
	expect(t, legacy.Tables[1], "anonymous select: none", "anonymous insert: deny 42501", "owner select: none", "service-role select: all")
	if got := because(t, legacy.Tables[1], probe.Anonymous, probe.Insert); got != "no permissive policy for insert" {
		t.Errorf("insert without a policy: %q", got)
	}
	if got := found(legacy.Tables[0]); !slices.Contains(got, "fail rls.probe.anonymous_write") || !slices.Contains(got, "fail rls.probe.rls_off") {
		t.Errorf("findings of an open table: %v", got)
	}

	explicit := newBench(t, sql, testdb.WithRegime(postgres.Explicit)).run("open", "shut")
	expect(t, explicit.Tables[0], "anonymous select: deny 42501", "owner insert: deny 42501", "service-role select: deny 42501")
	if got := found(explicit.Tables[0]); !slices.Equal(got, []string{"warn rls.probe.rls_off"}) {
		t.Errorf("findings of a table without grants: %v", got)
	}
}

func TestRun_MarksServiceRoleAsAnAlarm(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+policies("public.notes", ownerRule))
	report := b.run("notes")
	i := slices.IndexFunc(report.Personas, func(p probe.Persona) bool { return p.ID == probe.ServiceRole })
	if i < 0 || !report.Personas[i].Alarm || report.Personas[i].Role != "service_role" {
		t.Errorf("service-role is not marked: %+v", report.Personas)
	}
	if text := report.Text(); !strings.Contains(text, "\n! service-role ") || strings.Contains(text, "! owner") {
		t.Errorf("the matrix does not mark service-role alone:\n%s", text)
	}
}

// Missing privileges are named as GRANT writes them.
func TestRun_NamesMissingPrivileges(t *testing.T) {
	t.Parallel()
	b := newBench(t, `
		create schema app;
		create table app.hidden (id int primary key, owner_id text);
		alter table app.hidden enable row level security;
		grant select on app.hidden to authenticated;
		create table public.serials (id serial primary key, owner_id text, secret text);
		alter table public.serials enable row level security;
		revoke all on public.serials from anon, authenticated;
		revoke all on sequence public.serials_id_seq from authenticated;
		grant select (id, owner_id), insert (owner_id), update (secret) on public.serials to authenticated;
		`+policies("public.serials", ownerRule))
	report := b.runWith(probe.Options{Exposed: []string{"public", "app"}}, "app.hidden", "serials")
	for _, test := range []struct {
		table   int
		persona probe.PersonaID
		command probe.CommandID
		text    string
		want    string
	}{
		{0, probe.Owner, probe.Select, "deny 42501", "missing grant: usage on schema app"},
		{0, probe.Owner, probe.Insert, "deny 42501", "missing grant: usage on schema app, insert on app.hidden"},
		// Only what was granted is read, as a client would.
		{1, probe.Owner, probe.Select, "1 own", "let through by clerksync_select (select using); clerksync_select not true (select using)"},
		{1, probe.Owner, probe.Insert, "deny 42501", "missing grant: usage on the sequence of id"},
		{1, probe.Owner, probe.GiveOwner, "deny 42501", "missing grant: update (owner_id) on public.serials"},
		{1, probe.Owner, probe.UpdateOwn, "ok", "let through by clerksync_update (update using); let through by clerksync_update (update with check)"},
		{1, probe.Owner, probe.DeleteOwn, "deny 42501", "missing grant: delete on public.serials"},
	} {
		table := report.Tables[test.table]
		cell, _ := table.Cell(test.persona, test.command)
		if got := because(t, table, test.persona, test.command); cell.Text != test.text || got != test.want {
			t.Errorf("%s: %s as %s = %s: %s; want %s: %s", table.Name, test.command, test.persona, cell.Text, got, test.text, test.want)
		}
	}
}
