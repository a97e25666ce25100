-- Row level security for public.users, written by clerksync.

create policy clerksync_require_active_session on public.users
  as restrictive
  for all to authenticated
  using ((select clerk.session_is_active()))
  with check ((select clerk.session_is_active()));
comment on policy clerksync_require_active_session on public.users is 'clerksync: active-session';
