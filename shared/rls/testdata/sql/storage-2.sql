-- Row level security for storage.objects, written by clerksync.
--   select  member
--   insert  member
--   update  member
--   delete  member

create policy "clerksync_it's_select" on storage.objects
  for select to authenticated
  using (bucket_id = 'it''s' and (storage.foldername(name))[1] = any (array(select clerk.my_org_ids())));
comment on policy "clerksync_it's_select" on storage.objects is 'clerksync: member';

create policy "clerksync_it's_insert" on storage.objects
  for insert to authenticated
  with check (bucket_id = 'it''s' and (storage.foldername(name))[1] = any (array(select clerk.my_org_ids())));
comment on policy "clerksync_it's_insert" on storage.objects is 'clerksync: member';

create policy "clerksync_it's_update" on storage.objects
  for update to authenticated
  using (bucket_id = 'it''s' and (storage.foldername(name))[1] = any (array(select clerk.my_org_ids())))
  with check (bucket_id = 'it''s' and (storage.foldername(name))[1] = any (array(select clerk.my_org_ids())));
comment on policy "clerksync_it's_update" on storage.objects is 'clerksync: member';

create policy "clerksync_it's_delete" on storage.objects
  for delete to authenticated
  using (bucket_id = 'it''s' and (storage.foldername(name))[1] = any (array(select clerk.my_org_ids())));
comment on policy "clerksync_it's_delete" on storage.objects is 'clerksync: member';
