package rls_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// benchCopySQL is a copy of so many users: two thirds of them in one organization, a
// thirtieth at either end of the table in two others, most of them in small ones of ten,
// one in a hundred of these.
// The tables bare_… are the same without row level security.
const benchCopySQL = `
set session_replication_role = replica;
insert into public.users (clerk_id, sync_version) select 'user_' || md5(n::text), '2.000000000000000.000000000000000.3.' from generate_series(1, %[1]d) as n;
insert into public.users_public select clerk_id, 'name', 'First', 'Last', 'https://img.clerk.com/' || clerk_id from public.users;
insert into public.organizations (clerk_org_id, sync_version)
select 'org_' || o, '2.000000000000000.000000000000000.3.' from generate_series(0, %[1]d / 10) as o union all select 'org_' || name, '2.000000000000000.000000000000000.3.' from unnest('{large,first,last}'::text[]) as name;
insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role)
select kind || n, org, 'user_' || md5(n::text), 'org:member' from (
  select 'small', n, 'org_' || n / 10 from generate_series(10, %[1]d) as n
  union all select 'large', n, 'org_large' from generate_series(%[1]d / 30 + 10, %[1]d * 7 / 10) as n
  union all select 'first', n, 'org_first' from generate_series(10, 9 + %[1]d / 30) as n
  union all select 'last', n, 'org_last' from generate_series(%[1]d * 29 / 30 + 1, %[1]d) as n
  union all values ('large', 3, 'org_large')
) as m (kind, n, org);
insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role)
select 'many' || o, 'org_' || o, 'user_' || md5('4'), 'org:member' from generate_series(601, 700) as o;
create table public.bare_organization_memberships (like public.organization_memberships including indexes);
insert into public.bare_organization_memberships select * from public.organization_memberships;
create table public.bare_users_public (like public.users_public including indexes);
insert into public.bare_users_public select * from public.users_public;
grant select on public.bare_users_public, public.bare_organization_memberships to authenticated;
set session_replication_role = origin;`

// BenchmarkFellows reads users_public and organization_memberships as members of
// organizations of several sizes. "x-bare" is the time divided by that of the same
// statement over a table without row level security, in the same run.
func BenchmarkFellows(b *testing.B) {
	for _, users := range []int{30000, 300000} {
		db := testdb.New(b)
		conn := db.Conn(b, db.Superuser())
		// A scan begins where another one has come to, and hides where the rows lie.
		exec(b, conn, `set synchronize_seqscans = off`)
		exec(b, conn, fmt.Sprintf(benchCopySQL, users))
		// As autovacuum keeps a database that is in use, the catalogue included.
		exec(b, conn, `vacuum analyze`)
		var hundred, one string
		if err := conn.QueryRow(b.Context(), `select 'user_' || md5('5009'), string_agg(quote_literal('user_' || md5(n::text)), ', ') from generate_series(5000, 5099) as n`).Scan(&one, &hundred); err != nil {
			b.Fatal(err)
		}
		statements := []struct{ name, table, rest string }{
			{"one", "users_public", "where clerk_id = '" + one + "'"},
			{"limit-1", "users_public", "limit 1"},
			{"page", "users_public", "limit 100"},
			{"page-by-id", "users_public", "order by clerk_id limit 100"},
			{"in-100", "users_public", "where clerk_id in (" + hundred + ")"},
			{"count", "users_public", ""},
			{"memberships-limit-1", "organization_memberships", "limit 1"},
			{"memberships-page", "organization_memberships", "limit 100"},
			{"memberships-one", "organization_memberships", "where clerk_membership_id = 'small5009'"},
		}
		callers := []struct {
			name string
			n    int
		}{
			{"10", users*4/5 + 7},
			{fmt.Sprint(users/30, "-first"), 11},
			{fmt.Sprint(users/30, "-last"), users - 1},
			{fmt.Sprint(users * 2 / 3), 3},
			{"100x10", 4},
		}
		for _, s := range statements {
			for _, caller := range callers {
				b.Run(fmt.Sprintf("%s/users=%d/org=%s", s.name, users, caller.name), func(b *testing.B) {
					what := "*"
					if s.name == "count" {
						what = "count(*)"
					}
					read := func(table string) time.Duration {
						var took time.Duration
						benchAs(b, conn, func(tx pgx.Tx) error {
							if _, err := tx.Exec(b.Context(), `select set_config('request.jwt.claims', json_build_object('sub', 'user_' || md5($1::int::text))::text, true)`, caller.n); err != nil {
								return err
							}
							begun := time.Now()
							_, err := tx.Exec(b.Context(), "select "+what+" from public."+table+" "+s.rest)
							took = time.Since(begun)
							return err
						})
						return took
					}
					var ours, bare []time.Duration
					for b.Loop() {
						ours = append(ours, read(s.table))
						bare = append(bare, read("bare_"+s.table))
					}
					slices.Sort(ours)
					slices.Sort(bare)
					b.ReportMetric(float64(ours[len(ours)/2].Microseconds())/1000, "ms")
					b.ReportMetric(float64(ours[len(ours)/2])/float64(bare[len(bare)/2]), "x-bare")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
