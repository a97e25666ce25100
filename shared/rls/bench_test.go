package rls_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
)

// benchSQL is an application with 5,000 users of a hundred rows each, in 5,000
// organizations, each user in three of them. Its columns have no index: that is
// the policies' business.
const benchSQL = `
insert into public.users (clerk_id) select 'user_' || n from generate_series(1, 5000) n;
insert into public.organizations (clerk_org_id) select 'org_' || n from generate_series(1, 5000) n;
insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, permissions)
select 'm' || n || '_' || k, 'org_' || (n + k * 7) % 5000 + 1, 'user_' || n, case k when 0 then 'org:admin' else 'org:member' end,
  case k when 0 then '{org:bench:manage}'::text[] else '{}' end
from generate_series(1, 5000) n, generate_series(0, 2) k;
insert into clerk.organization_permissions (clerk_permission_id, key) values ('p1', 'org:bench:manage');
insert into clerk.organization_roles (clerk_role_id, key, permission_ids) values ('r1', 'org:admin', '{p1}'), ('r2', 'org:member', '{}');
create table public.bench (
  id bigint generated always as identity primary key,
  owner_id text not null,
  org_id text not null,
  status text not null,
  body text not null
);
insert into public.bench (owner_id, org_id, status, body)
select 'user_' || n % 5000 + 1, 'org_' || n % 5000 + 1, case n % 100 when 0 then 'published' else 'draft' end, 'row ' || n
from generate_series(1, 500000) n;
create function public.is_member(org text, wanted text default null) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (select from public.organization_memberships m
                 where m.clerk_org_id = org and m.clerk_user_id = auth.jwt() ->> 'sub' and (wanted is null or m.role = wanted)) $$;
grant execute on function public.is_member(text, text) to authenticated;
vacuum analyze;`

const benchClaims = `{"sub":"user_42","role":"authenticated","v":2,"sts":"active","fva":[1,1],"fea":"o:bench",` +
	`"o":{"id":"org_43","rol":"admin","per":"manage","fpm":"1"},"metadata":{"role":"staff"}}`

// form is a policy for reading as somebody teaches it.
type form struct {
	name, using string
	// index makes the index that the generator would make.
	index string
}

// benchCases are the generator's patterns beside the forms of the guides: those of
// Clerk (an expression around auth.jwt(), no index), of Supabase (the same in a
// sub-select, and the advice to index), and what applications write for
// organizations: a sub-select of memberships, or a function a row.
var benchCases = []struct {
	name   string
	spec   rls.Spec
	taught []form
}{
	{"owner", rls.Spec{Pattern: rls.PatternOwner}, []form{
		{"unwrapped", `auth.jwt() ->> 'sub' = owner_id`, ""},
		{"unwrapped+index", `auth.jwt() ->> 'sub' = owner_id`, "owner_id"},
		{"wrapped", `(select auth.jwt() ->> 'sub') = owner_id`, ""},
		{"wrapped+index", `(select auth.jwt() ->> 'sub') = owner_id`, "owner_id"},
	}},
	{"organization-active", rls.Spec{Pattern: rls.PatternOrganization, Organizations: rls.Active}, []form{
		{"unwrapped", `org_id = coalesce(auth.jwt() ->> 'org_id', auth.jwt() -> 'o' ->> 'id')`, ""},
		{"wrapped", `org_id = (select coalesce(auth.jwt() ->> 'org_id', auth.jwt() -> 'o' ->> 'id'))`, ""},
	}},
	{"organization-mirrored", rls.Spec{Pattern: rls.PatternOrganization}, []form{
		{"exists", `exists (select 1 from public.organization_memberships m where m.clerk_org_id = org_id and m.clerk_user_id = (select auth.jwt() ->> 'sub'))`, "org_id"},
		{"in-subselect", `org_id in (select m.clerk_org_id from public.organization_memberships m where m.clerk_user_id = (select auth.jwt() ->> 'sub'))`, "org_id"},
		{"function-a-row", `public.is_member(org_id)`, "org_id"},
	}},
	{"organization-both", rls.Spec{Pattern: rls.PatternOrganization, Organizations: rls.Both}, []form{
		{"function-a-row", `org_id = (select auth.jwt() -> 'o' ->> 'id') and public.is_member(org_id)`, ""},
	}},
	{"role-based", rls.Spec{Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("member(org:admin)")}}, []form{
		{"exists", `exists (select 1 from public.organization_memberships m where m.clerk_org_id = org_id and m.clerk_user_id = (select auth.jwt() ->> 'sub') and m.role = 'org:admin')`, "org_id"},
		{"function-a-row", `public.is_member(org_id, 'org:admin')`, "org_id"},
	}},
	{"permission", rls.Spec{Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("permission(org:bench:manage)")}}, []form{
		{"exists", `exists (select 1 from public.organization_memberships m where m.clerk_org_id = org_id and m.clerk_user_id = (select auth.jwt() ->> 'sub') and 'org:bench:manage' = any (m.permissions))`, "org_id"},
	}},
	{"app-role", rls.Spec{Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("app-role(staff)")}, Claim: "metadata.role"}, []form{
		{"unwrapped", `auth.jwt() -> 'metadata' ->> 'role' = 'staff'`, ""},
	}},
	{"published-or-own", rls.Spec{Pattern: rls.PatternPublishedOrOwn}, []form{
		{"unwrapped", `status = 'published' or auth.jwt() ->> 'sub' = owner_id`, ""},
		{"two-policies", `status = 'published'; auth.jwt() ->> 'sub' = owner_id`, ""},
	}},
	{"owner-or-member", rls.Spec{Rules: map[catalog.Command]rls.Rule{catalog.Select: rule("owner or member")}}, []form{
		{"two-policies", `auth.jwt() ->> 'sub' = owner_id; exists (select 1 from public.organization_memberships m where m.clerk_org_id = org_id and m.clerk_user_id = (select auth.jwt() ->> 'sub'))`, "org_id"},
	}},
	{"read-only", rls.Spec{Pattern: rls.PatternReadOnly}, []form{{"true", `true`, ""}}},
	{"owner-restricted", rls.Spec{Pattern: rls.PatternOwner, Require: []rls.Restriction{restriction("active-session"), restriction("second-factor")}}, []form{
		{"unwrapped", `auth.jwt() ->> 'sub' = owner_id and coalesce(auth.jwt() ->> 'sts', 'active') = 'active' and auth.jwt() -> 'fva' ->> 1 <> '-1'`, ""},
	}},
}

// BenchmarkPolicies counts a caller's rows among 500,000 under each pattern, and
// under the forms that guides teach. "x-ours" is their time divided by ours in
// the same run; "index" is 1 where the plan, which is logged, reads by an index.
func BenchmarkPolicies(b *testing.B) {
	db := testdb.New(b)
	conn := db.Conn(b, db.Owner())
	for statement := range strings.SplitSeq(benchSQL, ";\n") {
		exec(b, conn, statement)
	}
	for _, c := range benchCases {
		var ours time.Duration
		var rows int64
		measure := func(b *testing.B) {
			exec(b, conn, `analyze public.bench`)
			plan := benchPlan(b, conn)
			var times []time.Duration
			for b.Loop() {
				begun := time.Now()
				got := benchCount(b, conn)
				times = append(times, time.Since(begun))
				if ours == 0 {
					rows = got
				}
				if got != rows {
					b.Fatalf("%d rows, the generator's form shows %d", got, rows)
				}
			}
			slices.Sort(times)
			median := times[len(times)/2]
			if ours == 0 {
				ours = median
			}
			b.ReportMetric(float64(median.Microseconds())/1000, "ms")
			b.ReportMetric(float64(median)/float64(ours), "x-ours")
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(plan, "index")
			b.ReportMetric(0, "ns/op")
		}
		c.spec.Table = table("bench")
		b.Run(c.name+"/clerksync", func(b *testing.B) {
			benchReset(b, conn)
			apply(b, conn, c.spec)
			measure(b)
		})
		for _, f := range c.taught {
			b.Run(c.name+"/"+f.name, func(b *testing.B) {
				benchReset(b, conn)
				exec(b, conn, `alter table public.bench enable row level security; grant select on public.bench to authenticated`)
				for i, using := range strings.Split(f.using, "; ") {
					exec(b, conn, fmt.Sprintf(`create policy taught_%d on public.bench for select to authenticated using (%s)`, i, using))
				}
				if f.index != "" {
					exec(b, conn, `create index bench_taught on public.bench (`+f.index+`)`)
				}
				measure(b)
			})
		}
	}
}

// benchReset takes policies and indexes away.
func benchReset(b *testing.B, conn *pgx.Conn) {
	b.Helper()
	exec(b, conn, `do $$
		declare it record;
		begin
			for it in select polname from pg_policy where polrelid = 'public.bench'::regclass loop
				execute format('drop policy %I on public.bench', it.polname);
			end loop;
			for it in select indexrelid::regclass as name from pg_index where indrelid = 'public.bench'::regclass and not indisprimary loop
				execute format('drop index %s', it.name);
			end loop;
			alter table public.bench alter column owner_id drop default, alter column org_id drop default;
		end $$`)
}

func benchCount(b *testing.B, conn *pgx.Conn) (n int64) {
	b.Helper()
	benchAs(b, conn, func(tx pgx.Tx) error { return tx.QueryRow(b.Context(), `select count(*) from public.bench`).Scan(&n) })
	return n
}

// benchPlan answers 1 if the rows are found by an index, else 0.
func benchPlan(b *testing.B, conn *pgx.Conn) float64 {
	b.Helper()
	var plan []struct{ Plan benchNode }
	benchAs(b, conn, func(tx pgx.Tx) error {
		return tx.QueryRow(b.Context(), `explain (format json) select count(*) from public.bench`).Scan(&plan)
	})
	b.Log(plan[0].Plan)
	if plan[0].Plan.byIndex() {
		return 1
	}
	return 0
}

// benchNode is a node of a plan.
type benchNode struct {
	Type   string      `json:"Node Type"`
	Part   string      `json:"Subplan Name"`
	Table  string      `json:"Relation Name"`
	Cond   string      `json:"Index Cond"`
	Filter string      `json:"Filter"`
	Plans  []benchNode `json:"Plans"`
}

// String is the plan on one line: InitPlans run once, SubPlans mostly once a row.
func (n benchNode) String() string {
	text := strings.TrimSpace(n.Part + " " + n.Type)
	if n.Table != "" {
		text += " on " + n.Table
	}
	if n.Cond != "" {
		text += " [" + n.Cond + "]"
	}
	if n.Filter != "" {
		text += " filter " + n.Filter
	}
	var below []string
	for _, p := range n.Plans {
		below = append(below, p.String())
	}
	if len(below) > 0 {
		text += " { " + strings.Join(below, "; ") + " }"
	}
	return text
}

func (n benchNode) byIndex() bool {
	return n.Table == "bench" && (n.Cond != "" || n.Type == "Bitmap Heap Scan") || slices.ContainsFunc(n.Plans, benchNode.byIndex)
}

func benchAs(b *testing.B, conn *pgx.Conn, f func(pgx.Tx) error) {
	b.Helper()
	err := pgx.BeginFunc(b.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.Context(), `select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true), set_config('statement_timeout', '0', true)`, benchClaims); err != nil {
			return err
		}
		return f(tx)
	})
	if err != nil {
		b.Fatal(err)
	}
}
