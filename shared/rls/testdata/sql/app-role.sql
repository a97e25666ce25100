-- Row level security for public.countries, written by clerksync.
--   select  app-role(admin)
--   insert  app-role(admin)
--   update  app-role(admin)
--   delete  app-role(admin)

alter table public.countries enable row level security;

create policy clerksync_select on public.countries
  for select to authenticated
  using ((select clerk.claim_values(array['metadata', 'role']) && array['admin']));
comment on policy clerksync_select on public.countries is 'clerksync: app-role(admin)';

create policy clerksync_insert on public.countries
  for insert to authenticated
  with check ((select clerk.claim_values(array['metadata', 'role']) && array['admin']));
comment on policy clerksync_insert on public.countries is 'clerksync: app-role(admin)';

create policy clerksync_update on public.countries
  for update to authenticated
  using ((select clerk.claim_values(array['metadata', 'role']) && array['admin']))
  with check ((select clerk.claim_values(array['metadata', 'role']) && array['admin']));
comment on policy clerksync_update on public.countries is 'clerksync: app-role(admin)';

create policy clerksync_delete on public.countries
  for delete to authenticated
  using ((select clerk.claim_values(array['metadata', 'role']) && array['admin']));
comment on policy clerksync_delete on public.countries is 'clerksync: app-role(admin)';

grant select, insert, update, delete on public.countries to authenticated;

grant select, insert, update, delete on public.countries to service_role;
