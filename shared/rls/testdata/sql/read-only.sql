-- Row level security for public.countries, written by clerksync.
--   select  signed-in
--   insert  nobody
--   update  nobody
--   delete  nobody

alter table public.countries enable row level security;

create policy clerksync_select on public.countries
  for select to authenticated
  using ((select clerk.user_id() is not null));
comment on policy clerksync_select on public.countries is 'clerksync: signed-in';

grant select on public.countries to authenticated;

grant select, insert, update, delete on public.countries to service_role;
