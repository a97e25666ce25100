-- Row level security for public.notes, written by clerksync.
--   select  owner
--   insert  owner
--   update  owner
--   delete  owner

alter table public.notes enable row level security;

create policy clerksync_select on public.notes
  for select to authenticated
  using (owner_id = (select clerk.user_id()));
comment on policy clerksync_select on public.notes is 'clerksync: owner';

create policy clerksync_insert on public.notes
  for insert to authenticated
  with check (owner_id = (select clerk.user_id()));
comment on policy clerksync_insert on public.notes is 'clerksync: owner';

create policy clerksync_update on public.notes
  for update to authenticated
  using (owner_id = (select clerk.user_id()))
  with check (owner_id = (select clerk.user_id()));
comment on policy clerksync_update on public.notes is 'clerksync: owner';

create policy clerksync_delete on public.notes
  for delete to authenticated
  using (owner_id = (select clerk.user_id()));
comment on policy clerksync_delete on public.notes is 'clerksync: owner';

create policy clerksync_require_active_session on public.notes
  as restrictive
  for all to authenticated
  using ((select clerk.session_is_active()))
  with check ((select clerk.session_is_active()));
comment on policy clerksync_require_active_session on public.notes is 'clerksync: active-session';

create policy clerksync_require_second_factor_insert on public.notes
  as restrictive
  for insert to authenticated
  with check ((select clerk.has_second_factor(10)));
comment on policy clerksync_require_second_factor_insert on public.notes is 'clerksync: second-factor(10):write';

create policy clerksync_require_second_factor_update on public.notes
  as restrictive
  for update to authenticated
  using ((select clerk.has_second_factor(10)))
  with check ((select clerk.has_second_factor(10)));
comment on policy clerksync_require_second_factor_update on public.notes is 'clerksync: second-factor(10):write';

create policy clerksync_require_second_factor_delete on public.notes
  as restrictive
  for delete to authenticated
  using ((select clerk.has_second_factor(10)));
comment on policy clerksync_require_second_factor_delete on public.notes is 'clerksync: second-factor(10):write';

create policy clerksync_forbid_impersonation_insert on public.notes
  as restrictive
  for insert to authenticated
  with check (not (select clerk.is_impersonated()));
comment on policy clerksync_forbid_impersonation_insert on public.notes is 'clerksync: no-impersonation:write';

create policy clerksync_forbid_impersonation_update on public.notes
  as restrictive
  for update to authenticated
  using (not (select clerk.is_impersonated()))
  with check (not (select clerk.is_impersonated()));
comment on policy clerksync_forbid_impersonation_update on public.notes is 'clerksync: no-impersonation:write';

create policy clerksync_forbid_impersonation_delete on public.notes
  as restrictive
  for delete to authenticated
  using (not (select clerk.is_impersonated()));
comment on policy clerksync_forbid_impersonation_delete on public.notes is 'clerksync: no-impersonation:write';

grant select, insert, update, delete on public.notes to authenticated;

grant select, insert, update, delete on public.notes to service_role;

alter table public.notes alter column owner_id set default clerk.user_id();

create index notes_owner_id_clerksync_idx on public.notes (owner_id);
comment on index public.notes_owner_id_clerksync_idx is 'clerksync: for row level security';
