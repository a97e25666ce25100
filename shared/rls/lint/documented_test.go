package lint_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

// Forms that Clerk's and Supabase's guides teach, and that do what they are meant
// to: there is nothing to say but what is a Pass, and that the empty path which the
// guides give functions leaves them open to temporary schemas.
func TestRun_LeavesWorkingFormsAlone(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, services+`
		create table public.tasks (id bigint generated always as identity primary key, name text, user_id text not null default auth.jwt() ->> 'sub', organization_id text, uid uuid unique);
		create index on public.tasks (user_id); create index on public.tasks (organization_id);
		alter table public.tasks enable row level security;
		grant select, insert, update, delete on public.tasks to authenticated;
		create schema private; grant usage on schema private to authenticated;
		create table private.user_map (clerk_id text primary key, legacy_id uuid not null unique);
		create function private.current_user_uuid() returns uuid language plpgsql stable security definer set search_path = '' as $$
		declare j jsonb := auth.jwt(); s text := coalesce(j ->> 'userId', j ->> 'sub');
		begin
		  if s ~ '^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$' then return s::uuid; end if;
		  return (select m.legacy_id from private.user_map m where m.clerk_id = j ->> 'sub');
		end $$;
		create function private.may_edit(team text) returns boolean language sql stable security definer set search_path = '' as $$ select team = clerk.org_id() $$;
		create policy "View own" on public.tasks for select to authenticated using (((select auth.jwt() ->> 'sub') = (user_id)::text));
		create policy "Insert own" on public.tasks for insert to authenticated with check (((select auth.jwt() ->> 'sub') = (user_id)::text));
		create policy "Organization" on public.tasks for update to authenticated
		  using ((select coalesce(auth.jwt() ->> 'org_id', auth.jwt() -> 'o' ->> 'id')) = organization_id)
		  with check (private.may_edit(organization_id));
		create policy "Admins remove" on public.tasks for delete to authenticated using (
		  organization_id = (select clerk.org_id()) and (((select auth.jwt() ->> 'org_role') = 'org:admin') or ((select auth.jwt() -> 'o' ->> 'rol') = 'admin')));
		create policy "Second factor" on public.tasks as restrictive to authenticated using ((select auth.jwt() -> 'fva' ->> 1) != '-1');
		create policy "Session" on public.tasks as restrictive to authenticated using (coalesce((select auth.jwt() ->> 'sts'), 'active') = 'active');
		create policy "No impersonation" on public.tasks as restrictive for delete to authenticated using ((select auth.jwt() -> 'act') is null);

		create table public.legacy (id bigint generated always as identity primary key, user_id uuid not null);
		create index on public.legacy (user_id);
		alter table public.legacy enable row level security; grant select on public.legacy to authenticated;
		create policy "By map" on public.legacy for select to authenticated using (user_id = (select private.current_user_uuid()));

		create policy "Own folder" on storage.objects for insert to authenticated with check (bucket_id = 'avatars' and name like (select auth.jwt() ->> 'sub') || '/%');
		create policy "Own files" on storage.objects for select to authenticated using (owner_id = (select auth.jwt() ->> 'sub'));
		revoke truncate, references, trigger on all tables in schema storage from anon, authenticated;

		create function public.whoami() returns jsonb language sql stable set search_path = '' as $$ select jsonb_build_object('role', current_user, 'claims', auth.jwt()) $$;
		create view public.names with (security_invoker = true) as select name from public.tasks; grant select on public.names to authenticated;`)
	got := []string{}
	for _, f := range run(t, db.Conn(t, db.Owner()), lint.Options{}) {
		if f.ID != "lint.rls_enabled_no_policy" || f.Status != "pass" {
			got = append(got, string(f.Status)+" "+f.ID+" "+f.Object)
		}
	}
	want := []string{
		`pass lint.auth_rls_initplan policy "Admins remove" on public.tasks`,
		`pass lint.auth_rls_initplan policy "Insert own" on public.tasks`,
		`pass lint.auth_rls_initplan policy "No impersonation" on public.tasks`,
		`pass lint.auth_rls_initplan policy "Organization" on public.tasks`,
		`pass lint.auth_rls_initplan policy "Second factor" on public.tasks`,
		`pass lint.auth_rls_initplan policy "Session" on public.tasks`,
		`pass lint.auth_rls_initplan policy "View own" on public.tasks`,
		`warn lint.definer_temporary_schema `,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, statuses(run(t, db.Conn(t, db.Owner()), lint.Options{})))
	}
}
