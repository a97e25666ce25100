package lint_test

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

// What a finding says will happen, happens to a Clerk user.
func TestFindings_AreTrue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id, sql, request string
		code             string // the SQLSTATE of the request
		rows             int64  // or how many rows it touches
	}{
		{
			id: "auth_uid", code: "22P02", request: `select from public.t`,
			sql: `create table public.t (u uuid); insert into public.t values (gen_random_uuid()); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (u = (select auth.uid()))`,
		},
		{
			id: "user_id_as_uuid", code: "22P02", request: `insert into public.t default values`,
			sql: `create table public.t (u uuid default (clerk.user_id())::uuid); grant insert on public.t to authenticated`,
		},
		{
			id: "user_id_uuid_column", rows: 0, request: `select from public.t`,
			sql: `create table public.t (u uuid); insert into public.t values (gen_random_uuid()); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (u::text = (select clerk.user_id()))`,
		},
		{
			id: "claim_path_dotted", rows: 0, request: `select from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('org_1'); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (o = ((select auth.jwt()) ->> 'o.id'))`,
		},
		{
			id: "claim_version_one", rows: 0, request: `select from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('org_1'); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (o = ((select auth.jwt()) ->> 'org_id'))`,
		},
		{
			id: "org_role_prefix", rows: 0, request: `select from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('org_1'); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using ((select clerk.org_role()) = 'admin')`,
		},
		{
			id: "policy_null_passes", rows: 1, request: `select from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('secret'); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (not ((select auth.jwt()) ? 'guest'))`,
		},
		{
			id: "policy_recursive", code: "42P17", request: `select from public.t`,
			sql: `create table public.t (o text); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (o in (select x.o from public.t as x))`,
		},
		{
			id: "policy_calls_itself", code: "54001", request: `select from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('x'); grant select on public.t to authenticated;
				create function public.mine() returns setof text language sql stable set search_path = '' as 'select t.o from public.t';
				grant execute on function public.mine() to authenticated;
				alter table public.t enable row level security; create policy p on public.t for select to authenticated using (o = any (array(select public.mine())))`,
		},
		{
			id: "policies_only_restrictive", rows: 0, request: `select from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('x'); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t as restrictive for select to authenticated using (true)`,
		},
		{
			id: "policy_without_grant", code: "42501", request: `delete from public.t`,
			sql: `create table public.t (o text); grant select on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for delete to authenticated using (true)`,
		},
		{
			id: "write_without_select", rows: 0, request: `update public.t set o = 'y' where o = 'x'`,
			sql: `create table public.t (o text); insert into public.t values ('x'); grant select, update on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for update to authenticated using (true)`,
		},
		{
			id: "insert_without_select", code: "42501", request: `insert into public.t values ('x') returning o`,
			sql: `create table public.t (o text); grant insert on public.t to authenticated;
				alter table public.t enable row level security; create policy p on public.t for insert to authenticated with check (true)`,
		},
		{
			id: "sequence_without_usage", code: "42501", request: `insert into public.t default values`,
			sql: `create table public.t (id serial); grant insert on public.t to authenticated`,
		},
		{
			id: "partition_around_policies", rows: 1, request: `select from public.part`,
			sql: `create table public.t (o text) partition by list (o); create table public.part partition of public.t default; insert into public.t values ('x');
				alter table public.t enable row level security; grant select on public.t, public.part to authenticated`,
		},
		{
			id: "view_over_definer_view", rows: 1, request: `select from public.v`,
			sql: `create schema private; grant usage on schema private to authenticated; create table public.t (o text); insert into public.t values ('x');
				alter table public.t enable row level security; create view private.w as select * from public.t;
				create view public.v with (security_invoker = on) as select * from private.w; grant select on private.w, public.v to authenticated`,
		},
		{
			id: "rls_disabled_reachable", rows: 1, request: `delete from public.t`,
			sql: `create table public.t (o text); insert into public.t values ('x'); grant delete on public.t to authenticated`,
		},
	} {
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			exec(t, db.Conn(t, db.Owner()), c.sql)
			findings := run(t, db.Conn(t, db.Owner()), lint.Options{})
			if len(about(findings, "lint."+c.id)) == 0 {
				t.Fatalf("not found:\n%s", statuses(findings))
			}
			conn := db.Conn(t, db.As("authenticated"))
			err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), `select set_config('request.jwt.claims', '{"sub": "user_1", "role": "authenticated", "v": 2, "o": {"id": "org_1", "rol": "admin"}}', true)`)
				if err != nil {
					return err
				}
				tag, err := tx.Exec(t.Context(), c.request)
				if err == nil && tag.RowsAffected() != c.rows {
					t.Errorf("%s: %d rows, want %d", c.request, tag.RowsAffected(), c.rows)
				}
				return err
			})
			var code string
			if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
				code = e.Code
			} else if err != nil {
				t.Fatal(err)
			}
			if code != c.code {
				t.Errorf("%s: %v, want SQLSTATE %q", c.request, err, c.code)
			}
		})
	}
}
