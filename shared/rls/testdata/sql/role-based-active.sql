-- Row level security for public.invoices, written by clerksync.
--   select  active-org
--   insert  active-org(org:admin)
--   update  active-org(org:admin)
--   delete  active-org(org:admin)

alter table public.invoices enable row level security;

create policy clerksync_select on public.invoices
  for select to authenticated
  using (org_id = (select clerk.org_id()));
comment on policy clerksync_select on public.invoices is 'clerksync: active-org';

create policy clerksync_insert on public.invoices
  for insert to authenticated
  with check (org_id = (select clerk.org_id()) and (select clerk.org_role() = any (array['org:admin'])));
comment on policy clerksync_insert on public.invoices is 'clerksync: active-org(org:admin)';

create policy clerksync_update on public.invoices
  for update to authenticated
  using (org_id = (select clerk.org_id()) and (select clerk.org_role() = any (array['org:admin'])))
  with check (org_id = (select clerk.org_id()) and (select clerk.org_role() = any (array['org:admin'])));
comment on policy clerksync_update on public.invoices is 'clerksync: active-org(org:admin)';

create policy clerksync_delete on public.invoices
  for delete to authenticated
  using (org_id = (select clerk.org_id()) and (select clerk.org_role() = any (array['org:admin'])));
comment on policy clerksync_delete on public.invoices is 'clerksync: active-org(org:admin)';

grant select, insert, update, delete on public.invoices to authenticated;

grant select, insert, update, delete on public.invoices to service_role;

grant usage on sequence public.invoices_id_seq to authenticated, service_role;

alter table public.invoices alter column org_id set default clerk.org_id();

create index invoices_org_id_clerksync_idx on public.invoices (org_id);
comment on index public.invoices_org_id_clerksync_idx is 'clerksync: for row level security';
