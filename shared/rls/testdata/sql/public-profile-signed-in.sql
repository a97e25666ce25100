-- Row level security for public.profiles, written by clerksync.
--   select  signed-in
--   insert  owner
--   update  owner
--   delete  owner

alter table public.profiles enable row level security;

create policy clerksync_select on public.profiles
  for select to authenticated
  using ((select clerk.user_id() is not null));
comment on policy clerksync_select on public.profiles is 'clerksync: signed-in';

create policy clerksync_insert on public.profiles
  for insert to authenticated
  with check (user_id = (select clerk.user_id()));
comment on policy clerksync_insert on public.profiles is 'clerksync: owner';

create policy clerksync_update on public.profiles
  for update to authenticated
  using (user_id = (select clerk.user_id()))
  with check (user_id = (select clerk.user_id()));
comment on policy clerksync_update on public.profiles is 'clerksync: owner';

create policy clerksync_delete on public.profiles
  for delete to authenticated
  using (user_id = (select clerk.user_id()));
comment on policy clerksync_delete on public.profiles is 'clerksync: owner';

grant select, insert, update, delete on public.profiles to authenticated;

grant select, insert, update, delete on public.profiles to service_role;

alter table public.profiles alter column user_id set default clerk.user_id();
