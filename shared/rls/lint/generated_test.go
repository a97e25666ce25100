package lint_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

// applications are tables as applications have them, one for each way to guard one.
const applications = `
create table public.notes (id bigserial primary key, owner_id text not null references public.users, body text);
create table public.profiles (user_id text primary key references public.users, handle text not null, birthday date);
create table public.invoices (id bigint generated always as identity primary key, org_id text not null references public.organizations, amount numeric);
create table public.posts (id uuid primary key default gen_random_uuid(), author_id text not null, status text not null default 'draft');
create table public.articles (id bigint generated always as identity primary key, owner_id text not null, org_id text not null, published_at timestamptz);
create table public.countries (code text primary key, name text not null);
create table public."Odd ""Table""; --" (id serial primary key, "user_id" text not null);`

func rule(t *testing.T, text string) rls.Rule {
	t.Helper()
	r, err := rls.ParseRule(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What the generator writes has nothing to mend, whatever the project grants by itself.
func TestRun_FindsNothingInGeneratedPolicies(t *testing.T) {
	t.Parallel()
	session := rls.Restriction{Name: "active-session"}
	factor := rls.Restriction{Name: "second-factor", Minutes: 10, WritesOnly: true}
	staff := rls.Restriction{Name: "no-impersonation"}
	named := func(table string) catalog.Name { return catalog.Name{Schema: "public", Table: table} }
	specs := []rls.Spec{
		{Table: named("notes"), Pattern: rls.PatternOwner, Require: []rls.Restriction{session, factor, staff}},
		{Table: named("profiles"), Pattern: rls.PatternPublicProfile, Anon: true},
		{Table: named("invoices"), Pattern: rls.PatternOrganization},
		{Table: named("invoices"), Pattern: rls.PatternOrganization, Organizations: rls.Active},
		{Table: named("invoices"), Pattern: rls.PatternOrganization, Organizations: rls.Both},
		{Table: named("invoices"), Pattern: rls.PatternRoleBased, Roles: []string{"admin"}},
		{Table: named("invoices"), Pattern: rls.PatternRoleBased, Organizations: rls.Active, Roles: []string{"admin"}, Permissions: []string{"org:invoices:manage"}},
		{Table: named("invoices"), Pattern: rls.PatternRoleBased, Organizations: rls.Both, Permissions: []string{"org:invoices:manage"}},
		{Table: named("posts"), Pattern: rls.PatternPublishedOrOwn, Published: "status=published", Anon: true},
		{Table: named("articles"), Pattern: rls.PatternPublishedOrOwn},
		{Table: named("articles"), Anon: true, Rules: map[catalog.Command]rls.Rule{
			catalog.Select: rule(t, "published or member"), catalog.Insert: rule(t, "member and owner"),
			catalog.Update: rule(t, "owner and member"), catalog.Delete: rule(t, "owner or member(org:admin)"),
		}},
		{Table: named("countries"), Pattern: rls.PatternReadOnly, Anon: true},
		{Table: named("countries"), Pattern: rls.PatternRoleBased, AppRoles: []string{"staff"}, Claim: "metadata.role"},
		{Table: named(`Odd "Table"; --`), Pattern: rls.PatternOwner},
		{Table: named("users_public"), Rules: map[catalog.Command]rls.Rule{catalog.Select: rule(t, "signed-in")}},
		{Table: named("users"), Require: []rls.Restriction{session}},
	}
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			conn := db.Conn(t, db.Owner())
			exec(t, conn, applications)
			for _, spec := range specs {
				generate(t, conn, spec)
				for _, f := range run(t, conn, lint.Options{}) {
					if f.Status != finding.Pass && strings.Contains(f.Object, spec.Table.String()) {
						t.Errorf("%+v:\n%s", spec, statuses([]finding.Finding{f}))
					}
				}
			}
			// All tables are guarded now: nothing is left over anywhere.
			for _, f := range run(t, conn, lint.Options{}) {
				if f.Status != finding.Pass {
					t.Errorf("at the end: %s", statuses([]finding.Finding{f}))
				}
			}
		})
	}
}

func generate(t *testing.T, conn *pgx.Conn, spec rls.Spec) {
	t.Helper()
	plan, err := rls.Preview(t.Context(), conn, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Blocked() {
		t.Fatalf("%s: %+v", spec.Table, plan.Findings)
	}
	if err := rls.Apply(t.Context(), conn, spec, nil, plan); err != nil {
		t.Fatal(err)
	}
}
