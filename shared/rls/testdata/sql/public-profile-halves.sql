-- Row level security for public.profiles, written by clerksync.
--   select  owner
--   insert  owner
--   update  owner
--   delete  owner

alter table public.profiles enable row level security;

create policy clerksync_select on public.profiles
  for select to authenticated
  using (user_id = (select clerk.user_id()));
comment on policy clerksync_select on public.profiles is 'clerksync: owner';

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

create table public.profiles_public (
  user_id text,
  handle text,
  motto text,
  primary key (user_id)
);
comment on table public.profiles_public is 'clerksync: projection of public.profiles (user_id, handle, motto) for everyone';

alter table public.profiles_public enable row level security;

revoke all on public.profiles_public from public, anon, authenticated, service_role;

grant select on public.profiles_public to anon, authenticated, service_role;

create policy clerksync_select on public.profiles_public
  for select to anon, authenticated
  using (true);
comment on policy clerksync_select on public.profiles_public is 'clerksync: everyone';

create trigger clerksync_public_insert after insert on public.profiles
  referencing new table as written for each statement
  execute function clerk_sync.project_rows('public', 'profiles_public', '{"user_id"}', '{"user_id","handle","motto"}');

create trigger clerksync_public_update after update on public.profiles
  referencing old table as removed new table as written for each statement
  execute function clerk_sync.project_rows('public', 'profiles_public', '{"user_id"}', '{"user_id","handle","motto"}');

create trigger clerksync_public_delete after delete on public.profiles
  referencing old table as removed for each statement
  execute function clerk_sync.project_rows('public', 'profiles_public', '{"user_id"}', '{"user_id","handle","motto"}');

create trigger clerksync_public_truncate after truncate on public.profiles
  for each statement
  execute function clerk_sync.project_rows('public', 'profiles_public', '{"user_id"}', '{"user_id","handle","motto"}');

insert into public.profiles_public (user_id, handle, motto)
select user_id, handle, motto from public.profiles
on conflict do nothing;
