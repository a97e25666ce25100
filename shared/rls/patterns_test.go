package rls_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

var update = flag.Bool("update", false, "write the golden files anew; review the difference")

var regimes = map[string]postgres.Regime{"explicit": postgres.Explicit, "legacy": postgres.Legacy}

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// tablesSQL makes one table for each pattern, as an application has them.
const tablesSQL = `
create table public.notes (
  id bigint generated always as identity primary key,
  owner_id text not null references public.users,
  body text
);
create table public.profiles (
  user_id text primary key references public.users,
  handle text not null,
  motto text,
  birthday date
);
create table public.invoices (
  id bigserial primary key,
  org_id text not null references public.organizations,
  created_by text not null references public.users,
  amount numeric(12, 2) not null default 0
);
create table public.posts (
  id uuid primary key default gen_random_uuid(),
  author_id text not null references public.users,
  status text not null default 'draft' check (status in ('draft', 'published')),
  title text not null
);
create table public.articles (
  id bigint generated always as identity primary key,
  owner_id text not null references public.users,
  org_id text not null references public.organizations,
  published_at timestamptz
);
create table public.countries (code text primary key, name text not null);
`

// patternCase is one thing that people ask for.
type patternCase struct {
	name string
	spec rls.Spec
}

func table(name string) catalog.Name { return catalog.Name{Schema: "public", Table: name} }

func rule(text string) rls.Rule {
	r, err := rls.ParseRule(text)
	if err != nil {
		panic(err)
	}
	return r
}

func restriction(text string) rls.Restriction {
	r, err := rls.ParseRestriction(text)
	if err != nil {
		panic(err)
	}
	return r
}

// patternCases are every pattern, and combinations for single commands.
func patternCases() []patternCase {
	return []patternCase{
		{"owner", rls.Spec{Table: table("notes"), Pattern: rls.PatternOwner}},
		{"owner-restricted", rls.Spec{
			Table: table("notes"), Pattern: rls.PatternOwner,
			Require: []rls.Restriction{restriction("active-session"), restriction("second-factor(10):write"), restriction("no-impersonation:write")},
		}},
		{"public-profile", rls.Spec{Table: table("profiles"), Pattern: rls.PatternPublicProfile, Anon: true}},
		{"public-profile-signed-in", rls.Spec{Table: table("profiles"), Pattern: rls.PatternPublicProfile}},
		{"public-profile-halves", rls.Spec{
			Table: table("profiles"), Pattern: rls.PatternPublicProfile, Anon: true, PublicColumns: []string{"handle", "motto"},
		}},
		{"organization", rls.Spec{Table: table("invoices"), Pattern: rls.PatternOrganization}},
		{"organization-active", rls.Spec{Table: table("invoices"), Pattern: rls.PatternOrganization, Organizations: rls.Active}},
		{"organization-both", rls.Spec{Table: table("invoices"), Pattern: rls.PatternOrganization, Organizations: rls.Both}},
		{"role-based", rls.Spec{Table: table("invoices"), Pattern: rls.PatternRoleBased, Roles: []string{"admin"}}},
		{"role-based-active", rls.Spec{
			Table: table("invoices"), Pattern: rls.PatternRoleBased, Organizations: rls.Active, Roles: []string{"org:admin"},
		}},
		{"role-based-both", rls.Spec{
			Table: table("invoices"), Pattern: rls.PatternRoleBased, Organizations: rls.Both, Roles: []string{"admin"}, Permissions: []string{"org:invoices:manage"},
		}},
		{"permission", rls.Spec{Table: table("invoices"), Pattern: rls.PatternRoleBased, Permissions: []string{"org:invoices:manage"}}},
		{"permission-active", rls.Spec{
			Table: table("invoices"), Pattern: rls.PatternRoleBased, Organizations: rls.Active, Permissions: []string{"org:invoices:manage"},
		}},
		{"app-role", rls.Spec{Table: table("countries"), Pattern: rls.PatternRoleBased, AppRoles: []string{"admin"}, Claim: "metadata.role"}},
		{"published-or-own", rls.Spec{Table: table("posts"), Pattern: rls.PatternPublishedOrOwn, Anon: true}},
		{"published-or-own-signed-in", rls.Spec{Table: table("articles"), Pattern: rls.PatternPublishedOrOwn}},
		{"read-only", rls.Spec{Table: table("countries"), Pattern: rls.PatternReadOnly}},
		{"read-only-everyone", rls.Spec{Table: table("countries"), Pattern: rls.PatternReadOnly, Anon: true}},
		// A command each: members read, write in their own name, and only the author or an admin removes.
		{"per-command", rls.Spec{
			Table: table("articles"),
			Rules: map[catalog.Command]rls.Rule{
				catalog.Select: rule("published or member"),
				catalog.Insert: rule("member and owner"),
				catalog.Update: rule("owner and member"),
				catalog.Delete: rule("owner or member(org:admin)"),
			},
			Anon: true,
		}},
		{"append-only", rls.Spec{
			Table: table("notes"),
			Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("owner"), catalog.Insert: rule("owner")},
		}},
		{"users-public-signed-in", rls.Spec{Table: table("users_public"), Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("signed-in")}}},
		{"users-public-everyone", rls.Spec{Table: table("users_public"), Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("everyone")}}},
		{"users-restricted", rls.Spec{Table: table("users"), Require: []rls.Restriction{restriction("active-session")}}},
	}
}

func exec(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func preview(t testing.TB, conn rls.Beginner, spec rls.Spec) rls.Plan {
	t.Helper()
	plan, err := rls.Preview(t.Context(), conn, spec, nil)
	if err != nil {
		t.Fatalf("Preview(%s): %v", spec.Table, err)
	}
	return plan
}

// apply makes what the spec asks for, and returns the plan.
func apply(t testing.TB, conn rls.Beginner, spec rls.Spec) rls.Plan {
	t.Helper()
	plan := preview(t, conn, spec)
	if plan.Blocked() {
		t.Fatalf("the plan for %s is blocked: %+v", spec.Table, plan.Findings)
	}
	if err := rls.Apply(t.Context(), conn, spec, nil, plan); err != nil {
		t.Fatalf("Apply(%s): %v", spec.Table, err)
	}
	return plan
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update and review what it writes", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// state is everything that a plan can change, as text.
func state(t testing.TB, conn *pgx.Conn) string {
	t.Helper()
	var b strings.Builder
	rows, err := conn.Query(t.Context(), `
		select format('policy %s.%s %s %s %s %s using %s check %s', tablename, policyname, permissive, roles, cmd, obj_description(p.oid, 'pg_policy'), qual, with_check)
		from pg_policies join pg_policy p on polname = policyname and polrelid = format('%I.%I', schemaname, tablename)::regclass
		union all
		select format('table %s rls %s acl %s', oid::regclass, relrowsecurity,
		  (select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a))
		from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
		union all
		select format('sequence %s %s', oid::regclass, (select string_agg(a::text, ' ' order by a::text) from unnest(relacl) a))
		from pg_class where relnamespace = 'public'::regnamespace and relkind = 'S'
		union all
		select format('column %s.%s %s', attrelid::regclass, attname, pg_get_expr(adbin, adrelid))
		from pg_attrdef d join pg_attribute a on adrelid = attrelid and adnum = attnum join pg_class c on c.oid = adrelid
		where relnamespace = 'public'::regnamespace
		union all
		select indexdef from pg_indexes where schemaname = 'public'
		union all
		select pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = tgrelid where relnamespace = 'public'::regnamespace and not tgisinternal
		order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// The SQL of every pattern, for people to review; and what is applied is what is
// shown, once: nothing is left to do, and the same again changes nothing. In projects
// that grant everything by default as in those that grant nothing, the same access
// comes out.
func TestPatterns_AreWrittenAndAppliedOnce(t *testing.T) {
	t.Parallel()
	for _, test := range patternCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ended := map[string][]string{}
			for name, regime := range regimes {
				db := testdb.New(t, testdb.WithRegime(regime))
				conn := db.Conn(t, db.Owner())
				exec(t, conn, tablesSQL)
				before := state(t, conn)

				plan := preview(t, conn, test.spec)
				if plan.Blocked() {
					t.Fatalf("%s grants: blocked: %+v", name, plan.Findings)
				}
				if diff := cmp.Diff(before, state(t, conn)); diff != "" {
					t.Errorf("%s grants: planning changed the database (-before +after):\n%s", name, diff)
				}
				if regime == postgres.Explicit {
					golden(t, filepath.Join("sql", test.name+".sql"), plan.SQL())
				}
				apply(t, conn, test.spec)
				after := state(t, conn)
				ended[name] = privileges(t, conn)
				if again := preview(t, conn, test.spec); len(again.Statements) != 0 || again.Blocked() {
					t.Errorf("%s grants: applied, it still wants\n%s%+v", name, again.SQL(), again.Findings)
				}

				// The printed script does the same as Apply, by any tool.
				other := testdb.New(t, testdb.WithRegime(regime))
				script := other.Conn(t, other.Owner())
				exec(t, script, tablesSQL)
				exec(t, script, plan.SQL())
				if diff := cmp.Diff(after, state(t, script)); diff != "" {
					t.Errorf("%s grants: the script differs from Apply (-apply +script):\n%s", name, diff)
				}
			}
			if diff := cmp.Diff(ended["explicit"], ended["legacy"]); diff != "" {
				t.Errorf("privileges (-explicit +legacy):\n%s", diff)
			}
		})
	}
}

// privileges are what the Data API's callers may do with tables that have policies.
func privileges(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		select r.rolname || ' ' || p.privilege || ' ' || c.oid::regclass
		from pg_class c
		cross join (values ('anon'), ('authenticated')) r (rolname)
		cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) p (privilege)
		where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and c.relrowsecurity
		  and has_table_privilege(r.rolname, c.oid, p.privilege)
		order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Any pattern can follow any other, and --drop takes all of it away.
func TestPatterns_ReplaceEachOtherAndAreRemoved(t *testing.T) {
	t.Parallel()
	cases := patternCases()
	// What each leaves that follows no other, found out once for all that it follows.
	alone := make([]struct {
		once  sync.Once
		state string
	}, len(cases))
	for i, first := range cases {
		t.Run(first.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			conn := db.Conn(t, db.Owner())
			exec(t, conn, tablesSQL)
			// What is as it was once everything is gone again: all but the closed door.
			policies := func() string {
				var kept []string
				for line := range strings.Lines(state(t, conn)) {
					if !strings.HasPrefix(line, "table ") && !strings.HasPrefix(line, "sequence ") {
						kept = append(kept, line)
					}
				}
				return strings.Join(kept, "")
			}
			before := policies()
			apply(t, conn, first.spec)
			for j := i + 1; j < len(cases); j++ {
				second := cases[j]
				if second.spec.Table != first.spec.Table || len(second.spec.Rules) == 0 && second.spec.Pattern == "" {
					continue
				}
				apply(t, conn, second.spec)
				alone[j].once.Do(func() {
					direct := testdb.New(t)
					other := direct.Conn(t, direct.Owner())
					exec(t, other, tablesSQL)
					apply(t, other, second.spec)
					alone[j].state = state(t, other)
				})
				if diff := cmp.Diff(alone[j].state, state(t, conn)); diff != "" {
					// Defaults and indexes of the first may stay: both still hold.
					for line := range strings.Lines(diff) {
						if strings.HasPrefix(line, "+") && strings.Contains(line, "policy ") || strings.HasPrefix(line, "-") {
							t.Errorf("%s after %s differs from %s alone (-alone +after):\n%s", second.name, first.name, second.name, diff)
							break
						}
					}
				}
			}
			apply(t, conn, rls.Spec{Table: first.spec.Table, Drop: true})
			if diff := cmp.Diff(before, policies()); diff != "" {
				t.Errorf("dropped, it left (-before +after):\n%s", diff)
			}
		})
	}
}
