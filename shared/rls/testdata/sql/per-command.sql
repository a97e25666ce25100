-- Row level security for public.articles, written by clerksync.
--   select  published or member
--   insert  member and owner
--   update  owner and member
--   delete  owner or member(org:admin)

alter table public.articles enable row level security;

create policy clerksync_anon_select on public.articles
  for select to anon
  using (published_at <= now());
comment on policy clerksync_anon_select on public.articles is 'clerksync: published';

create policy clerksync_select on public.articles
  for select to authenticated
  using (published_at <= now() or org_id = any (array(select clerk.my_org_ids())));
comment on policy clerksync_select on public.articles is 'clerksync: published or member';

create policy clerksync_insert on public.articles
  for insert to authenticated
  with check (org_id = any (array(select clerk.my_org_ids())) and owner_id = (select clerk.user_id()));
comment on policy clerksync_insert on public.articles is 'clerksync: member and owner';

create policy clerksync_update on public.articles
  for update to authenticated
  using (owner_id = (select clerk.user_id()) and org_id = any (array(select clerk.my_org_ids())))
  with check (owner_id = (select clerk.user_id()) and org_id = any (array(select clerk.my_org_ids())));
comment on policy clerksync_update on public.articles is 'clerksync: owner and member';

create policy clerksync_delete on public.articles
  for delete to authenticated
  using (owner_id = (select clerk.user_id()) or org_id = any (array(select clerk.my_org_ids_with_role(array['org:admin']))));
comment on policy clerksync_delete on public.articles is 'clerksync: owner or member(org:admin)';

grant select on public.articles to anon;

grant select, insert, update, delete on public.articles to authenticated;

grant select, insert, update, delete on public.articles to service_role;

alter table public.articles alter column owner_id set default clerk.user_id();

alter table public.articles alter column org_id set default clerk.org_id();

create index articles_owner_id_clerksync_idx on public.articles (owner_id);
comment on index public.articles_owner_id_clerksync_idx is 'clerksync: for row level security';

create index articles_org_id_clerksync_idx on public.articles (org_id);
comment on index public.articles_org_id_clerksync_idx is 'clerksync: for row level security';

create index articles_published_at_clerksync_idx on public.articles (published_at);
comment on index public.articles_published_at_clerksync_idx is 'clerksync: for row level security';
