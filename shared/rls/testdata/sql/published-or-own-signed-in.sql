-- Row level security for public.articles, written by clerksync.
--   select  published or owner
--   insert  owner
--   update  owner
--   delete  owner

alter table public.articles enable row level security;

create policy clerksync_select on public.articles
  for select to authenticated
  using (published_at <= now() or owner_id = (select clerk.user_id()));
comment on policy clerksync_select on public.articles is 'clerksync: published or owner';

create policy clerksync_insert on public.articles
  for insert to authenticated
  with check (owner_id = (select clerk.user_id()));
comment on policy clerksync_insert on public.articles is 'clerksync: owner';

create policy clerksync_update on public.articles
  for update to authenticated
  using (owner_id = (select clerk.user_id()))
  with check (owner_id = (select clerk.user_id()));
comment on policy clerksync_update on public.articles is 'clerksync: owner';

create policy clerksync_delete on public.articles
  for delete to authenticated
  using (owner_id = (select clerk.user_id()));
comment on policy clerksync_delete on public.articles is 'clerksync: owner';

grant select, insert, update, delete on public.articles to authenticated;

grant select, insert, update, delete on public.articles to service_role;

alter table public.articles alter column owner_id set default clerk.user_id();

create index articles_owner_id_clerksync_idx on public.articles (owner_id);
comment on index public.articles_owner_id_clerksync_idx is 'clerksync: for row level security';

create index articles_published_at_clerksync_idx on public.articles (published_at);
comment on index public.articles_published_at_clerksync_idx is 'clerksync: for row level security';
