-- Row level security for public.countries, written by clerksync.
--   select  everyone
--   insert  nobody
--   update  nobody
--   delete  nobody

alter table public.countries enable row level security;

create policy clerksync_select on public.countries
  for select to anon, authenticated
  using (true);
comment on policy clerksync_select on public.countries is 'clerksync: everyone';

grant select on public.countries to anon;

grant select on public.countries to authenticated;

grant select, insert, update, delete on public.countries to service_role;
