package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/cmd/clerksync/internal/clitest"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/testkit/testdb"
)

// mendingSQL is an application's schema in which every check of policies finds
// something to say about the helpers.
const mendingSQL = clitest.NotesSQL + `
	create table public.invoices (id bigint generated always as identity primary key, org_id text not null, amount int);
	create table public.kept (id int primary key, owner_id text not null default auth.uid()::text);
	create table public.open (id int primary key, owner_id text not null);
	create table public.each_row (id int primary key, org_id text not null, owner_id text not null);
	create table public.cast_id (id int primary key, owner_id uuid);
	create table public.dotted (id int primary key, org_id text);
	create table public.circle (id int primary key, org_id text);
	create table public.trusting (id int primary key, owner_id text);
	create table public.roles (id int primary key, org_id text);
	insert into public.each_row select n, 'org_' || n, 'user_' || n from generate_series(1, 2000) as n;
	create policy p on public.open for all to authenticated using (owner_id is not null);
	create policy p on public.each_row for select to authenticated using (owner_id = clerk.user_id() or exists (select from public.organization_memberships as m where m.clerk_org_id = each_row.org_id));
	create policy p on public.cast_id for all to authenticated using (owner_id = (select auth.uid()));
	create policy p on public.dotted for select to authenticated using (org_id = ((select auth.jwt()) ->> 'o.id'));
	create policy old on public.dotted for update to authenticated using (org_id = (select current_setting('request.jwt.claim.org_id', true)));
	create policy p on public.circle for select to authenticated using (org_id in (select c.org_id from public.circle as c));
	create policy p on public.trusting for all to authenticated using (owner_id = coalesce((select clerk.claim('{unsafe_metadata,id}')), (select clerk.claim('{user_metadata,id}')), (select clerk.user_id())));
	create policy aal on public.trusting as restrictive for all to authenticated using (((select auth.jwt()) ->> 'aal') = 'aal2' or ((select auth.jwt()) ->> 'session_id') is not null);
	create policy p on public.roles for select to authenticated using ((select clerk.org_role()) = 'admin' or ((select auth.jwt()) -> 'o' ->> 'rol') = 'org:admin');
	grant select, insert, update, delete on public.open, public.each_row, public.cast_id, public.dotted, public.circle, public.trusting, public.roles to authenticated;
	alter table public.open enable row level security; alter table public.each_row enable row level security;
	alter table public.cast_id enable row level security; alter table public.dotted enable row level security;
	alter table public.circle enable row level security; alter table public.trusting enable row level security;
	alter table public.roles enable row level security;
	analyze public.each_row`

// What the program prints about a database whose helpers are in another schema is
// what it prints about any other, with that schema's name.
func TestCommands_SayTheSameWhereverTheHelpersAre(t *testing.T) {
	t.Parallel()
	usual, elsewhere := testdb.New(t), testdb.New(t, testdb.Elsewhere())
	clitest.Execute(t, usual.Conn(t, usual.Owner()), mendingSQL)
	clitest.Execute(t, elsewhere.Conn(t, elsewhere.Owner()), testdb.Moved(mendingSQL))
	// Where the copy is is not what is compared.
	exposed := []string{"--exposed", "public"}
	var commands [][]string
	for _, args := range []string{
		"public.notes --pattern owner --require active-session --require second-factor(10):write --require no-impersonation",
		"public.notes --pattern published-or-own", "public.invoices --pattern organization", "public.kept --pattern owner", "public.kept --pattern owner --no-default",
		"public.invoices --pattern role-based --roles nobody_has_this --permissions org:invoices:manage", "public.cast_id --pattern owner", "clerk.organization_roles --pattern owner",
		"test public.open", "test public.each_row --explain", "test public.cast_id", "test public.dotted", "test public.circle", "test public.trusting", "test public.roles", "lint",
	} {
		commands = append(commands, append(append([]string{"configure-rls"}, strings.Fields(args)...), exposed...))
	}
	said := 0
	compare := func(name string, want, got clitest.Result) {
		if diff := cmp.Diff(testdb.Moved(want.Stdout), got.Stdout); diff != "" {
			t.Errorf("%s: stdout (-clerk +claims):\n%s", name, diff)
		}
		if diff := cmp.Diff(testdb.Moved(want.Stderr), got.Stderr); diff != "" {
			t.Errorf("%s: stderr (-clerk +claims):\n%s", name, diff)
		}
		if want.Code != got.Code || testdb.NamesUsualHelpers(got.Stdout+got.Stderr) {
			t.Errorf("%s: exit %d and %d; it prints\n%s\n%s", name, want.Code, got.Code, got.Stdout, got.Stderr)
		}
		if strings.Contains(got.Stdout+got.Stderr, "claims.") {
			said++
		}
	}
	for _, args := range commands {
		moved := strings.Fields(testdb.Moved(strings.Join(args, " ")))
		compare(strings.Join(args, " "), clerksync(t, map[string]string{"DATABASE_URL": usual.Owner()}, args...),
			clerksync(t, map[string]string{"DATABASE_URL": elsewhere.Owner()}, moved...))
	}

	claims := jwttest.Claims()
	tables := []string{"--all"}
	for _, table := range []string{"open", "each_row", "cast_id", "dotted", "circle", "trusting", "roles"} {
		tables = append(tables, "--table", "public."+table)
	}
	for symptom, token := range map[string]string{
		"22P02":                             jwttest.Sign(jwttest.Header(), claims),
		"42883 uuid":                        jwttest.Sign(jwttest.Header(), claims.With("sts", `"pending"`)),
		"42501 violates row-level security": jwttest.Sign(jwttest.Header(), claims.Without("o")),
		"42P17":                             jwttest.Sign(jwttest.Header(), claims.With("fea", `"u:export,o:dashboard,o:teams"`)),
		"57014":                             jwttest.SignOther(jwttest.Header(), claims.Without("o")),
		"[]":                                jwttest.Sign(jwttest.Header(), claims.Without("role")),
	} {
		args := append([]string{"--symptom", symptom}, tables...)
		with := func(db *testdb.DB) clitest.Result {
			return clitest.AboutToken[program](t.Context(), map[string]string{"DIAGNOSTICS_DATABASE_URL": db.Diagnostics()}, strings.NewReader(token), args...)
		}
		compare("test-jwt for "+symptom, with(usual), with(elsewhere))
	}
	if said < len(commands) {
		t.Errorf("%d outputs name a helper, too few to show anything", said)
	}
}
