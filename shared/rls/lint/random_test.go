package lint_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/supabasecli"
	"clerksync/shared/testkit/testdb"
)

// randomSchema makes tables, views and functions in which everything that the
// lints look at is chosen by chance. Partitioned tables are left out, and views
// over views: the two linters differ about those on purpose.
func randomSchema(random *rand.Rand, tables int) string {
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	conditions := []string{
		"true", "(1 = 1)", "false", "a = 'x'", "a is not null", "u = auth.uid()", "u = (select auth.uid())", "(select auth.uid()) = u or auth.uid() = u",
		"a = auth.jwt() ->> 'sub'", "a = (select auth.jwt() ->> 'sub')", "a = ((select auth.jwt()) ->> 'sub')", "auth.role() = a", "a = (select auth.email())",
		"a = current_setting('app.x', true)", "a = (select current_setting('app.x', true))", "a = (select nullif(current_setting('app.x', true), ''))",
		"a = ((select auth.jwt()) -> 'user_metadata' ->> 'x')", "a = (current_setting('request.jwt.claims', true)::jsonb -> 'user_metadata' ->> 'x')",
		"exists (select from auth.users as s where s.id = auth.uid())", "a in (select auth.jwt() ->> 'sub' from public.r0)", "a = 'auth.uid()'", "a = 'user_metadata'",
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+";\n", args...) }
	for i := range tables {
		name := fmt.Sprintf("public.r%d", i)
		extra := pick("", "", "token text", `"SSN" text, "api-key" text`, "tokens text, passwords text")
		if extra != "" {
			extra = ", " + extra
		}
		line("create table %s (id int primary key, a text, b text, u uuid %s)", name, extra)
		if random.IntN(3) > 0 {
			line("alter table %s enable row level security", name)
		}
		for _, role := range []string{"anon", "authenticated"} {
			line(pick("grant select on %s to %s", "grant insert on %s to %s", "revoke all on %s from %s", "grant all on %s to %s", "grant select (id) on %s to %s"), name, role)
		}
		for p := range random.IntN(4) {
			command := pick("all", "select", "insert", "update", "delete")
			clause := "using (" + pick(conditions...) + ")"
			switch {
			case command == "insert":
				clause = "with check (" + pick(conditions...) + ")"
			case (command == "all" || command == "update") && random.IntN(2) == 0:
				clause += " with check (" + pick(conditions...) + ")"
			}
			line(`create policy "p %d" on %s as %s for %s to %s %s`, p, name, pick("permissive", "permissive", "restrictive"), command,
				pick("public", "anon", "authenticated", "anon, authenticated", "service_role", "authenticated, service_role", "authenticator", "supabase_postgres"), clause)
		}
		for x := range random.IntN(4) {
			line("create index r%d_i%d on %s %s", i, x, name, pick("(a)", "(b)", "(a, b)", "(b, a)", "(a) where a > 'x'", "(lower(a))", "using hash (a)", "(a) include (b)"))
		}
		if i > 0 && random.IntN(2) == 0 {
			line("alter table %s add column f int constraint fk%d references public.r%d", name, i, random.IntN(i))
			line(pick("create index on %s (f)", "create index on %s (id, f)", "create index on %s (f, id)", "analyze %s"), name)
		}
		view := fmt.Sprintf("public.v%d", i)
		line("create %s as select * from %s", pick("view "+view, "view "+view+" with (security_invoker)", "view "+view+" with (security_invoker = off)", "view "+view+" with (security_barrier)"),
			pick(name, "auth.users"))
		line(pick("grant select on %s to anon", "revoke all on %s from anon, authenticated", "grant select on %s to service_role", "grant insert on %s to authenticated"), view)
		line("create function public.f%d(%s) returns int language %s %s as 'select 1'", i, pick("", "a int", "a text, b int default 1"), "sql",
			pick("", "set search_path = ''", "set search_path = public", "set work_mem = '4MB'", "security definer", "security definer set search_path to 'public', 'pg_temp'"))
	}
	return b.String()
}

func TestRun_AgreesAboutRandomSchemas(t *testing.T) {
	t.Parallel()
	supabasecli.Need(t)
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Any other number will do as well.
			seed := uint64(regime)
			db := testdb.New(t, testdb.WithRegime(regime))
			exec(t, db.Conn(t, db.Superuser()), services)
			owner := db.Conn(t, db.Owner())
			exec(t, owner, randomSchema(rand.New(rand.NewPCG(seed, 0)), 60))
			theirs := supabaseFindings(t, db)
			ours := inTheirTerms(run(t, owner, lint.Options{Exposed: []string{"public"}}))
			lints := map[string]int{}
			for _, f := range theirs {
				name, _, _ := strings.Cut(f, " ")
				lints[name]++
			}
			t.Logf("seed %d: %v", seed, lints)
			if len(lints) < 8 {
				t.Errorf("the schema is too tame: Supabase's linter finds %v", lints)
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("seed %d: Supabase's linter and ours (-theirs +ours):\n%s", seed, diff)
			}
		})
	}
}
