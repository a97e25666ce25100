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

grant select, insert, update, delete on public.notes to authenticated;

grant select, insert, update, delete on public.notes to service_role;

alter table public.notes alter column owner_id set default clerk.user_id();

create index notes_owner_id_clerksync_idx on public.notes (owner_id);
comment on index public.notes_owner_id_clerksync_idx is 'clerksync: for row level security';
