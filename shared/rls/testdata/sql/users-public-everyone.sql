-- Row level security for public.users_public, written by clerksync.
--   select  everyone
--   insert  nobody
--   update  nobody
--   delete  nobody

drop policy users_public_read_fellows on public.users_public;

create policy clerksync_select on public.users_public
  for select to anon, authenticated
  using (true);
comment on policy clerksync_select on public.users_public is 'clerksync: everyone';

grant select on public.users_public to anon;
