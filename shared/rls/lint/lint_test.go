package lint_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

var regimes = map[string]postgres.Regime{"explicit grants": postgres.Explicit, "legacy grants": postgres.Legacy}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
}

func run(t *testing.T, db lint.Beginner, o lint.Options) []finding.Finding {
	t.Helper()
	findings, err := lint.Run(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

// about are the findings of one id, as "status object".
func about(findings []finding.Finding, id string) []string {
	lines := []string{}
	for _, f := range findings {
		if f.ID == id {
			lines = append(lines, string(f.Status)+" "+f.Object)
		}
	}
	slices.Sort(lines)
	return lines
}

// What clerksync itself makes has nothing to mend.
func TestRun_FindsNothingInWhatIsShipped(t *testing.T) {
	t.Parallel()
	for name, regime := range regimes {
		for schemas, where := range map[string]testdb.Option{
			"public": testdb.WithSchema("public"), "Clerk Copy": testdb.WithSchema("Clerk Copy"), "app and claims": testdb.Elsewhere(),
		} {
			t.Run(name+", "+schemas, func(t *testing.T) {
				t.Parallel()
				db := testdb.New(t, testdb.WithRegime(regime), where)
				findings := run(t, db.Conn(t, db.Owner()), lint.Options{})
				for _, f := range findings {
					if f.Status != finding.Pass {
						t.Errorf("%+v", f)
					}
				}
				// It did look: two tables of clerk are closed on purpose.
				if got := about(findings, "lint.rls_enabled_no_policy"); len(got) < 2 {
					t.Errorf("closed tables: %q, want those of clerk", got)
				}
			})
		}
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if findings, err := lint.Run(ctx, conn, lint.Options{}); err == nil {
		t.Errorf("Run under a cancelled context: %v, want an error", findings)
	}
}

func statuses(findings []finding.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		b.WriteString(string(f.Status) + " " + f.ID + " " + f.Object + ": " + f.Detail + " → " + f.Remedy + "\n")
	}
	return b.String()
}

func TestRun_GoesThroughATransactionPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	exec(t, db.Conn(t, db.Owner()), `create table public.careless (id int primary key); grant select on public.careless to anon`)
	direct := run(t, db.Conn(t, db.Owner()), lint.Options{})
	pooled := run(t, db.Conn(t, db.Pooled(t, db.Owner())), lint.Options{})
	if diff := cmp.Diff(statuses(direct), statuses(pooled)); diff != "" {
		t.Errorf("findings directly and through the pooler (-direct +pooled):\n%s", diff)
	}
	if got := about(direct, "lint.rls_disabled_in_public"); len(got) != 1 {
		t.Errorf("careless: %q", got)
	}
}

// Whether a sub-select runs for each row is the planner's to say.
func TestRun_AsksThePlannerAboutSubSelects(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, `create table public.members (org text, usr text);
		create table public.hashed (id int primary key, o text); create table public.asked (id int primary key, o text);
		insert into public.members select i, i from generate_series(1, 1000) as i;
		insert into public.hashed select i, i from generate_series(1, 10000) as i; insert into public.asked select i, i from generate_series(1, 10000) as i;
		alter table public.hashed enable row level security; alter table public.asked enable row level security;
		grant select on public.members, public.hashed, public.asked to authenticated;
		create policy p on public.hashed for select to authenticated using (exists (select from public.members as m where m.org = hashed.o));
		create policy p on public.asked for select to authenticated using (exists (select from public.members as m where m.org < asked.o));
		analyze public.members, public.hashed, public.asked`)
	got := map[string]string{}
	for _, f := range run(t, db.Conn(t, db.Owner()), lint.Options{}) {
		if f.ID == "lint.policy_per_row" {
			got[f.Object], _, _ = strings.Cut(f.Detail, ",")
		}
	}
	want := map[string]string{
		"policy p on public.hashed": "As things are",
		"policy p on public.asked":  "For each row that a statement looks at it evaluates a sub-select that depends on the row.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}
