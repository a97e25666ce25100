-- Row level security for public.posts, written by clerksync.
--   select  published or owner
--   insert  owner
--   update  owner
--   delete  owner

alter table public.posts enable row level security;

create policy clerksync_anon_select on public.posts
  for select to anon
  using (status = 'published');
comment on policy clerksync_anon_select on public.posts is 'clerksync: published';

create policy clerksync_select on public.posts
  for select to authenticated
  using (status = 'published' or author_id = (select clerk.user_id()));
comment on policy clerksync_select on public.posts is 'clerksync: published or owner';

create policy clerksync_insert on public.posts
  for insert to authenticated
  with check (author_id = (select clerk.user_id()));
comment on policy clerksync_insert on public.posts is 'clerksync: owner';

create policy clerksync_update on public.posts
  for update to authenticated
  using (author_id = (select clerk.user_id()))
  with check (author_id = (select clerk.user_id()));
comment on policy clerksync_update on public.posts is 'clerksync: owner';

create policy clerksync_delete on public.posts
  for delete to authenticated
  using (author_id = (select clerk.user_id()));
comment on policy clerksync_delete on public.posts is 'clerksync: owner';

grant select on public.posts to anon;

grant select, insert, update, delete on public.posts to authenticated;

grant select, insert, update, delete on public.posts to service_role;

alter table public.posts alter column author_id set default clerk.user_id();

create index posts_author_id_clerksync_idx on public.posts (author_id);
comment on index public.posts_author_id_clerksync_idx is 'clerksync: for row level security';

create index posts_status_clerksync_idx on public.posts (status);
comment on index public.posts_status_clerksync_idx is 'clerksync: for row level security';
