package rls_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/finding"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

// What cannot be, or should not be, is a finding that says what to do, and
// nothing is touched.
func TestBuild_RefusesWithAFindingAndARemedy(t *testing.T) {
	t.Parallel()
	owner := func(name string) rls.Spec { return rls.Spec{Table: table(name), Pattern: rls.PatternOwner} }
	tests := []struct {
		name, setup string
		spec        rls.Spec
		id          string
		status      finding.Status
		// detail and remedy are parts of the texts.
		detail, remedy string
	}{
		{"missing table", ``, owner("nothing"), "rls.table.missing", finding.Fail, "public.nothing", "case"},
		{"misspelt table", ``, owner("note"), "rls.table.missing", finding.Fail, "did you mean public.notes?", ""},
		{"another case", `create table public."Memo" (owner_id text)`, owner("memo"), "rls.table.missing", finding.Fail, `did you mean public."Memo"?`, ""},
		{"view", `create view public.v as select * from public.notes`, owner("v"), "rls.table.view", finding.Fail, "its owner", "security_invoker = true"},
		{"materialized view", `create materialized view public.v as select * from public.notes`, owner("v"), "rls.table.materialized_view", finding.Fail, "", "revoke all"},
		{"sequence", ``, owner("invoices_id_seq"), "rls.table.kind", finding.Fail, "sequence", ""},
		{"partition", `create table public.p (owner_id text) partition by list (owner_id); create table public.p1 partition of public.p default`, owner("p1"), "rls.table.partition", finding.Fail, "public.p", "configure-rls on public.p"},
		{"platform's table", ``, rls.Spec{Table: catalog.Name{Schema: "pg_catalog", Table: "pg_class"}, Pattern: rls.PatternOwner}, "rls.table.platform", finding.Fail, "", ""},
		{"private table", ``, rls.Spec{Table: catalog.Name{Schema: "clerk_sync", Table: "webhook_events"}, Pattern: rls.PatternOwner}, "rls.table.private", finding.Fail, "", ""},
		{"table of the copy", ``, owner("users"), "rls.copy", finding.Fail, "clerksync only", "--require"},
		{"projection of the copy, written", ``, rls.Spec{Table: table("users_public"), Rules: map[catalog.Command]rls.Rule{catalog.Update: rule("owner")}}, "rls.copy", finding.Fail, "", "--select fellow"},
		{"projection of the copy, odd reader", ``, rls.Spec{Table: table("users_public"), Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("app-role(x)")}, Claim: "roles"}, "rls.copy", finding.Fail, "", ""},

		{"uuid owner", `create table public.t (user_id uuid not null default auth.uid())`, owner("t"), "rls.column.type", finding.Fail, "22P02", "alter table public.t alter column user_id drop default;\nalter table public.t alter column user_id type text using user_id::text;"},
		{"uuid owner with a key", `create table public.x (id uuid primary key); create table public.t (user_id uuid references public.x)`, owner("t"), "rls.column.type", finding.Fail, "22P02", "drop constraint t_user_id_fkey;"},
		{"integer owner", `create table public.t (user_id int)`, owner("t"), "rls.column.type", finding.Fail, "text such as user_2abc", "type text"},
		{"owner of fixed length", `create table public.t (user_id char(40))`, owner("t"), "rls.column.type", finding.Fail, "padded", ""},
		{"owner under a domain of uuid", `create domain public.who as uuid; create table public.t (user_id public.who)`, owner("t"), "rls.column.type", finding.Fail, "22P02", ""},
		{"uuid organization", `create table public.t (org_id uuid)`, rls.Spec{Table: table("t"), Pattern: rls.PatternOrganization}, "rls.column.type", finding.Fail, "org_2abc", "type text"},
		{"no owner column", ``, owner("countries"), "rls.column.owner", finding.Fail, "It has code text, name text", "add column owner_id text not null"},
		{"two owner columns", `create table public.t (a text references public.users, b text references public.users)`, owner("t"), "rls.column.owner", finding.Fail, "a, b", "--owner-column"},
		{"owner column that is not there", ``, rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner, OwnerColumn: "who\"; drop table x; --"}, "rls.column.owner", finding.Fail, `"who""; drop table x; --"`, "--owner-column"},
		{"owner that may be null", `create table public.t (owner_id text)`, owner("t"), "rls.column.null", finding.Warn, "hidden", "set not null"},
		{"no published column", ``, rls.Spec{Table: table("notes"), Pattern: rls.PatternPublishedOrOwn}, "rls.column.published", finding.Fail, "", "--published"},
		{"published without a value", ``, rls.Spec{Table: table("posts"), Pattern: rls.PatternPublishedOrOwn, Published: "title"}, "rls.column.published", finding.Fail, "which of its values", "--published title=value"},
		{"published with a value of no enum", `create type public.s as enum ('a', 'b'); create table public.t (owner_id text, status public.s)`, rls.Spec{Table: table("t"), Pattern: rls.PatternPublishedOrOwn}, "rls.column.published", finding.Fail, "knows a, b", "--published status=value"},
		{"published with a value of no number", ``, rls.Spec{Table: table("notes"), Pattern: rls.PatternPublishedOrOwn, Published: "id=many"}, "rls.policy.invalid", finding.Fail, "22P02", "--published"},

		{"somebody else's policy", `create policy "Public read" on public.notes using (true)`, owner("notes"), "rls.policy.others", finding.Fail, "using true", `--replace, or yourself: drop policy "Public read" on public.notes;`},
		{"our name on somebody else's policy", `create policy clerksync_select on public.notes for select to authenticated using (owner_id = 'x')`, owner("notes"), "rls.policy.collision", finding.Fail, "not touched", "rename to own_clerksync_select;"},
		{"restriction on an open table", ``, rls.Spec{Table: table("notes"), Require: []rls.Restriction{restriction("active-session")}}, "rls.disabled", finding.Fail, "closed to everybody", "--pattern"},
		{"broken index", `create index notes_owner_id_clerksync_idx on public.notes (body)`, owner("notes"), "rls.index.broken", finding.Fail, "", "drop index public.notes_owner_id_clerksync_idx;"},
		{"default that fails", `create table public.t (owner_id text not null default auth.uid())`, rls.Spec{Table: table("t"), Pattern: rls.PatternOwner, WithoutDefault: true}, "rls.column.default", finding.Fail, "22P02", "set default clerk.user_id();"},
		{"another column's default that fails", `alter table public.notes add column made_by uuid default auth.uid()`, owner("notes"), "rls.column.default", finding.Warn, "22P02", "alter column made_by drop default;"},
		{"writing without reading", ``, rls.Spec{Table: table("notes"), Rules: map[catalog.Command]rls.Rule{catalog.Insert: rule("owner")}}, "rls.rules.blind", finding.Warn, "42501", "--select"},
		{"columns only", `grant select (id) on public.notes to authenticated`, owner("notes"), "rls.grants.columns", finding.Warn, "select", "grant select on public.notes to authenticated;"},
		{"unknown role", `insert into clerk.organization_roles (clerk_role_id, key) values ('r', 'org:admin')`, rls.Spec{Table: table("invoices"), Pattern: rls.PatternRoleBased, Roles: []string{"admn"}}, "rls.role.unknown", finding.Warn, "Known are org:admin.", "spelling"},
		{"unknown permission", `insert into clerk.organization_permissions (clerk_permission_id, key) values ('p', 'org:a:b')`, rls.Spec{Table: table("invoices"), Pattern: rls.PatternRoleBased, Permissions: []string{"org:a:c"}}, "rls.permission.unknown", finding.Warn, "org:a:b", ""},
		{"author that nobody checks", ``, rls.Spec{Table: table("invoices"), Pattern: rls.PatternOrganization}, "rls.rules.author", finding.Warn, "created_by says whose row it is", "--insert 'member and owner'"},
		{"schema that is not exposed", `create schema app; create table app.t (owner_id text not null)`, rls.Spec{Table: catalog.Name{Schema: "app", Table: "t"}, Pattern: rls.PatternOwner}, "rls.schema.exposed", finding.Warn, "Exposed are public.", "--exposed"},
		{"projection without a key", `create table public.t (owner_id text, name text)`, rls.Spec{Table: table("t"), Pattern: rls.PatternPublicProfile, PublicColumns: []string{"name"}}, "rls.projection.key", finding.Fail, "", "add primary key"},
		{"projection of partitions", `create table public.t (id int primary key, owner_id text not null, name text) partition by range (id)`, rls.Spec{Table: table("t"), Pattern: rls.PatternPublicProfile, PublicColumns: []string{"name"}}, "rls.projection.partitioned", finding.Warn, "partition", "Write to public.t only."},
		{"projection of no column", ``, rls.Spec{Table: table("profiles"), Pattern: rls.PatternPublicProfile, PublicColumns: []string{"nick"}}, "rls.projection.column", finding.Fail, "nick", "--public-columns"},
		{"projection whose name is taken", `create table public.profiles_public (id int)`, rls.Spec{Table: table("profiles"), Pattern: rls.PatternPublicProfile, PublicColumns: []string{"handle"}}, "rls.projection.taken", finding.Fail, "", "rename to profiles_public_own;"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			conn := db.Conn(t, db.Owner())
			exec(t, conn, tablesSQL)
			if test.setup != "" {
				exec(t, conn, test.setup)
			}
			before := state(t, conn)
			plan := preview(t, conn, test.spec)
			i := slices.IndexFunc(plan.Findings, func(f finding.Finding) bool { return f.ID == test.id })
			if i < 0 {
				t.Fatalf("findings %+v, want one %s", plan.Findings, test.id)
			}
			f := plan.Findings[i]
			if f.Status != test.status || !strings.Contains(f.Detail, test.detail) || !strings.Contains(f.Remedy, test.remedy) {
				t.Errorf("finding %+v, want %s with %q in the detail and %q in the remedy", f, test.status, test.detail, test.remedy)
			}
			if blocked := test.status == finding.Fail; plan.Blocked() != blocked || blocked == (len(plan.Statements) > 0) {
				t.Errorf("blocked %t with %d statements, want blocked %t", plan.Blocked(), len(plan.Statements), blocked)
			}
			if err := rls.Apply(t.Context(), conn, test.spec, nil, plan); (err != nil) != plan.Blocked() {
				t.Errorf("Apply: %v, of a plan that is blocked: %t", err, plan.Blocked())
			}
			if plan.Blocked() {
				if diff := cmp.Diff(before, state(t, conn)); diff != "" {
					t.Errorf("refused, it changed the database (-before +after):\n%s", diff)
				}
			}
		})
	}
}

// Policies do not reach a foreign table: by itself it is refused, as a partition it
// is closed to those who would read it past its parent.
func TestBuild_LeavesNoForeignTableOpen(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	super := db.Conn(t, db.Superuser())
	exec(t, super, `create foreign data wrapper nothing; create server nowhere foreign data wrapper nothing; grant usage on foreign server nowhere to supabase_postgres`)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, `
		create foreign table public.far (owner_id text) server nowhere;
		create table public.parts (owner_id text not null) partition by list (owner_id);
		create table public.near_part partition of public.parts for values in ('user_a');
		create foreign table public.far_part partition of public.parts default server nowhere;
		grant select on public.far_part, public.near_part to authenticated`)
	far := preview(t, conn, rls.Spec{Table: table("far"), Pattern: rls.PatternOwner})
	if !far.Blocked() || far.Findings[0].ID != "rls.table.foreign" || !strings.Contains(far.Findings[0].Remedy, "revoke all on table public.far") {
		t.Errorf("a foreign table: %+v, want rls.table.foreign", far.Findings)
	}
	spec := rls.Spec{Table: table("parts"), Pattern: rls.PatternOwner}
	apply(t, conn, spec)
	if again := preview(t, conn, spec); len(again.Statements) > 0 {
		t.Errorf("applied, it still wants %s", again.SQL())
	}
	// Asked of the catalogue: a wrapper that does nothing fails before privileges are looked at.
	for _, part := range []string{"near_part", "far_part"} {
		var readable bool
		if err := conn.QueryRow(t.Context(), `select has_table_privilege('authenticated', 'public.`+part+`', 'select')`).Scan(&readable); err != nil || readable {
			t.Errorf("signed-in users may read %s past the policies: %t, %v", part, readable, err)
		}
	}
}

// The remedy for a column of the wrong type runs as it stands, and then there is
// nothing to refuse.
func TestBuild_RemedyForAColumnMendsIt(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]string{
		"uuid with everything": `
			create table auth.users (id uuid primary key);
			create table public.t (id int primary key, user_id uuid not null default auth.uid() references auth.users);
			alter table public.t enable row level security;
			create policy "own; rows" on public.t using (auth.uid() = user_id) with check (auth.uid() = user_id);
			create index on public.t (user_id)`,
		"mixed case":   `create table public.t ("Owner ID" uuid not null default gen_random_uuid()); create policy p on public.t using ("Owner ID" is not null)`,
		"fixed length": `create table public.t (user_id char(40) not null)`,
		"integer":      `create table public.t (user_id bigint not null)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			exec(t, db.Conn(t, db.Superuser()), `grant usage, create on schema auth to supabase_postgres`)
			conn := db.Conn(t, db.Owner())
			exec(t, conn, setup)
			spec := rls.Spec{Table: table("t"), Pattern: rls.PatternOwner}
			if name == "mixed case" {
				spec.OwnerColumn = "Owner ID"
			}
			plan := preview(t, conn, spec)
			i := slices.IndexFunc(plan.Findings, func(f finding.Finding) bool { return f.ID == "rls.column.type" })
			if i < 0 {
				t.Fatalf("findings %+v, want rls.column.type", plan.Findings)
			}
			exec(t, conn, plan.Findings[i].Remedy)
			apply(t, conn, spec)
		})
	}
}

func TestBuild_SaysEverythingThatIsWrongWithARequest(t *testing.T) {
	t.Parallel()
	everyone := map[catalog.Command]rls.Rule{catalog.Insert: rule("everyone"), catalog.Delete: rule("owner or everyone")}
	tests := []struct {
		spec rls.Spec
		want []string
	}{
		{rls.Spec{Table: table("t")}, []string{"nothing is asked for"}},
		{rls.Spec{Table: table("t"), Pattern: "owned"}, []string{`no pattern "owned"`, "public-profile"}},
		{rls.Spec{Table: table("t"), Pattern: "owner", Drop: true}, []string{"cannot be combined"}},
		{rls.Spec{Table: table("t"), Rules: everyone}, []string{"insert: everyone would write", "delete: everyone would write"}},
		{rls.Spec{Table: table("t"), Pattern: "role-based"}, []string{"needs roles"}},
		{rls.Spec{Table: table("t"), Pattern: "role-based", Roles: []string{"o'x"}, Permissions: []string{"x"}}, []string{"cannot be part of a name", "org:<feature>"}},
		{rls.Spec{Table: table("t"), Pattern: "owner", Roles: []string{"admin"}, PublicColumns: []string{"a"}}, []string{"belong to the pattern role-based", "belong to the pattern public-profile"}},
		{rls.Spec{Table: table("t"), Pattern: "role-based", AppRoles: []string{"x"}}, []string{"app-role needs the claim"}},
		{rls.Spec{Table: table("t"), Pattern: "role-based", AppRoles: []string{"x"}, Claim: "unsafe_metadata.role"}, []string{"users write unsafe_metadata themselves"}},
		{rls.Spec{Table: table("t"), Pattern: "role-based", AppRoles: []string{"x"}, Claim: "role"}, []string{"another meaning"}},
		{rls.Spec{Table: table("t"), Pattern: "role-based", AppRoles: []string{"x"}, Claim: "a..b"}, []string{"joined by dots"}},
		{rls.Spec{Table: table("t"), Pattern: "owner", Bucket: "avatars"}, []string{"belongs to no other table"}},
		{rls.Spec{Table: catalog.Name{Schema: "storage", Table: "objects"}, Pattern: "owner"}, []string{"are for one bucket"}},
		{rls.Spec{Table: table("t"), Require: []rls.Restriction{restriction("second-factor"), restriction("second-factor(5)")}}, []string{"given twice"}},
	}
	for _, test := range tests {
		_, err := rls.Build(t.Context(), nil, test.spec, nil) // refused before the database is asked
		for _, want := range test.want {
			if !errors.Is(err, rls.ErrSpec) || !strings.Contains(err.Error(), want) {
				t.Errorf("Build(%+v): %v, want %q", test.spec, err, want)
			}
		}
	}
}

func TestBuild_NeedsTheMigrationsAndTheOwner(t *testing.T) {
	t.Parallel()
	t.Run("not migrated", func(t *testing.T) {
		t.Parallel()
		db := testdb.New(t, testdb.WithoutMigrations())
		conn := db.Conn(t, db.Owner())
		exec(t, conn, `create table public.notes (owner_id text)`)
		plan := preview(t, conn, rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner})
		if !plan.Blocked() || plan.Findings[0].ID != "rls.helpers" || !strings.Contains(plan.Findings[0].Remedy, "migrate up") {
			t.Errorf("findings %+v, want rls.helpers", plan.Findings)
		}
	})
	t.Run("another role", func(t *testing.T) {
		t.Parallel()
		db := testdb.New(t)
		exec(t, db.Conn(t, db.Superuser()), `create table public.notes (owner_id text)`)
		plan := preview(t, db.Conn(t, db.Owner()), rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner})
		if !plan.Blocked() || plan.Findings[0].ID != "rls.table.owner" || !strings.Contains(plan.Findings[0].Remedy, "Connect as postgres") {
			t.Errorf("findings %+v, want rls.table.owner", plan.Findings)
		}
	})
}

// Names are data, however they look.
func TestApply_TakesAnyName(t *testing.T) {
	t.Parallel()
	names := []string{"Notes", "select", `a"b`, "a'b", "x; drop table users; --", "new\nline", "$1", "ümlaut", "%s %d", strings.Repeat("n", 63), `back\slash`, "{a,b}"}
	for _, schema := range []string{"public", `My "Schema"`} {
		for _, name := range names {
			t.Run(fmt.Sprintf("%.20q in %q", name, schema), func(t *testing.T) {
				t.Parallel()
				db := testdb.New(t)
				conn := db.Conn(t, db.Owner())
				quoted := catalog.Name{Schema: schema, Table: name}
				column := catalog.Name{Schema: "x", Table: name}.SQL()[4:]
				exec(t, conn, `create schema if not exists `+catalog.QuoteIdentifier(schema))
				exec(t, conn, `create table `+quoted.SQL()+` (id int primary key, `+column+` text not null, org_id varchar(64) not null)`)
				parsed, err := catalog.ParseName(quoted.SQL())
				if err != nil || parsed != quoted {
					t.Fatalf("ParseName(%s) = %+v, %v", quoted.SQL(), parsed, err)
				}
				spec := rls.Spec{
					Table: quoted, OwnerColumn: name, Pattern: rls.PatternPublicProfile, PublicColumns: []string{name},
					Rules: map[catalog.Command]rls.Rule{catalog.Delete: rule("owner or member(admin)")},
				}
				plan := apply(t, conn, spec)
				if again := preview(t, conn, spec); len(again.Statements) > 0 {
					t.Errorf("applied, it still wants %s", again.SQL())
				}
				if len(name) < 60 { // with more the projection's name is shortened
					other := testdb.New(t)
					script := other.Conn(t, other.Owner())
					exec(t, script, `create schema if not exists `+catalog.QuoteIdentifier(schema))
					exec(t, script, `create table `+quoted.SQL()+` (id int primary key, `+column+` text not null, org_id varchar(64) not null)`)
					exec(t, script, plan.SQL())
				}
				apply(t, conn, rls.Spec{Table: quoted, Drop: true})
			})
		}
	}
}
