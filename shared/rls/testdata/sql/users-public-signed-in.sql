-- Row level security for public.users_public, written by clerksync.
--   select  signed-in
--   insert  nobody
--   update  nobody
--   delete  nobody

drop policy users_public_read_fellows on public.users_public;

create policy clerksync_select on public.users_public
  for select to authenticated
  using ((select clerk.user_id() is not null));
comment on policy clerksync_select on public.users_public is 'clerksync: signed-in';
