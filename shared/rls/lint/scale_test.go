package lint_test

import (
	"testing"
	"time"

	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

// A thousand tables with four policies each, half of which read another table.
const manyTables = `
create schema private;
create function private.mine() returns setof text language sql stable security definer set search_path = '' as $$ select clerk.user_id() $$;
do $$
begin
  for i in 1 .. 1000 loop
    execute format('create table public.t%1$s (id bigint generated always as identity primary key, owner_id text not null, org_id text, note text)', i);
    execute format('create index on public.t%1$s (owner_id)', i);
    execute format('alter table public.t%1$s enable row level security', i);
    execute format('grant select, insert, update, delete on public.t%1$s to authenticated', i);
    execute format('create policy s on public.t%1$s for select to authenticated using (owner_id = (select clerk.user_id()))', i);
    execute format('create policy i on public.t%1$s for insert to authenticated with check (owner_id = (select clerk.user_id()))', i);
    execute format('create policy u on public.t%1$s for update to authenticated using (owner_id = (select clerk.user_id()))', i);
    execute format('create policy d on public.t%1$s for delete to authenticated using (owner_id in (select u.clerk_id from public.users as u) or org_id = any (array(select private.mine())))', i);
  end loop;
end
$$`

func TestRun_ReadsAThousandTablesAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	exec(t, db.Conn(t, db.Superuser()), manyTables)
	conn := db.Conn(t, db.Owner())
	start := time.Now()
	findings := run(t, conn, lint.Options{})
	t.Logf("1,000 tables with 4 policies each: %s, %d findings", time.Since(start).Round(time.Millisecond), len(findings))
	if got := about(findings, "lint.policy_in_subselect"); len(got) != 1000 {
		t.Errorf("policies found: %d, want one a table", len(got))
	}
	if got := about(findings, "lint.policy_recursive"); len(got) != 0 {
		t.Errorf("recursive: %q", got)
	}
}
