-- Row level security for storage.objects, written by clerksync.
--   select  owner
--   insert  owner
--   update  owner
--   delete  owner

create policy clerksync_avatars_select on storage.objects
  for select to authenticated
  using (bucket_id = 'avatars' and owner_id = (select clerk.user_id()));
comment on policy clerksync_avatars_select on storage.objects is 'clerksync: owner';

create policy clerksync_avatars_insert on storage.objects
  for insert to authenticated
  with check (bucket_id = 'avatars' and owner_id = (select clerk.user_id()));
comment on policy clerksync_avatars_insert on storage.objects is 'clerksync: owner';

create policy clerksync_avatars_update on storage.objects
  for update to authenticated
  using (bucket_id = 'avatars' and owner_id = (select clerk.user_id()))
  with check (bucket_id = 'avatars' and owner_id = (select clerk.user_id()));
comment on policy clerksync_avatars_update on storage.objects is 'clerksync: owner';

create policy clerksync_avatars_delete on storage.objects
  for delete to authenticated
  using (bucket_id = 'avatars' and owner_id = (select clerk.user_id()));
comment on policy clerksync_avatars_delete on storage.objects is 'clerksync: owner';

create policy clerksync_avatars_require_second_factor_insert on storage.objects
  as restrictive
  for insert to authenticated
  with check (bucket_id <> 'avatars' or (select clerk.has_second_factor()));
comment on policy clerksync_avatars_require_second_factor_insert on storage.objects is 'clerksync: second-factor:write';

create policy clerksync_avatars_require_second_factor_update on storage.objects
  as restrictive
  for update to authenticated
  using (bucket_id <> 'avatars' or (select clerk.has_second_factor()))
  with check (bucket_id <> 'avatars' or (select clerk.has_second_factor()));
comment on policy clerksync_avatars_require_second_factor_update on storage.objects is 'clerksync: second-factor:write';

create policy clerksync_avatars_require_second_factor_delete on storage.objects
  as restrictive
  for delete to authenticated
  using (bucket_id <> 'avatars' or (select clerk.has_second_factor()));
comment on policy clerksync_avatars_require_second_factor_delete on storage.objects is 'clerksync: second-factor:write';
