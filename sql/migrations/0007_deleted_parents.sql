-- A deletion must see every membership of what it deletes. Its row is locked "for
-- update" first, which waits for memberships that are being written; but a row
-- that is only made in between, as a placeholder, escapes that lock, and the
-- upsert alone does not wait: it changes no key, and a membership holds its
-- parents "for key share". So the row is locked once more when it is certainly
-- there, and only then are its memberships looked for.

create or replace function clerk_sync.tombstone_users(ids text[], deleted_at timestamptz) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.users as u
  where u.clerk_id = any (tombstone_users.ids)
  order by u.clerk_id for update;

  return query
  with written as (
    insert into {{exposed}}.users as u (clerk_id, deleted_at, sync_version)
    select distinct gone, tombstone_users.deleted_at, '9' from unnest(tombstone_users.ids) as gone order by gone
    on conflict (clerk_id) do update set
      external_id = null, email = null, email_verified = null, phone = null, phone_verified = null,
      username = null, first_name = null, last_name = null, avatar_url = null,
      metadata = '{}', unsafe_metadata = '{}', banned = null, locked = null,
      password_enabled = null, two_factor_enabled = null, last_sign_in_at = null, last_active_at = null,
      created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = '9'
    where u.sync_version < '9' or u.deleted_at > excluded.deleted_at
    returning u.clerk_id
  )
  select gone, case when w.clerk_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_users.ids)) as asked (gone)
  left join written as w on w.clerk_id = gone;

  perform from {{exposed}}.users as u
  where u.clerk_id = any (tombstone_users.ids)
  order by u.clerk_id for update;

  perform clerk_sync.end_memberships(array(
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.clerk_user_id = any (tombstone_users.ids)), tombstone_users.deleted_at);

  -- Personal data leaves everywhere at once.
  update clerk_sync.webhook_events as e set payload = null
  where e.user_id = any (tombstone_users.ids) and e.payload is not null;
  delete from clerk_sync.private_metadata as p
  where p.object = 'user' and p.object_id = any (tombstone_users.ids);
end
$$;

create or replace function clerk_sync.tombstone_organizations(ids text[], deleted_at timestamptz)
returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;

  return query
  with written as (
    insert into {{exposed}}.organizations as o (clerk_org_id, deleted_at, sync_version)
    select distinct gone, tombstone_organizations.deleted_at, '9'
    from unnest(tombstone_organizations.ids) as gone order by gone
    on conflict (clerk_org_id) do update set
      name = null, slug = null, logo_url = null, metadata = '{}', created_by = null,
      max_allowed_memberships = null, admin_delete_enabled = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = '9'
    where o.sync_version < '9' or o.deleted_at > excluded.deleted_at
    returning o.clerk_org_id
  )
  select gone, case when w.clerk_org_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_organizations.ids)) as asked (gone)
  left join written as w on w.clerk_org_id = gone;

  perform from {{exposed}}.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;

  perform clerk_sync.end_memberships(array(
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.clerk_org_id = any (tombstone_organizations.ids)), tombstone_organizations.deleted_at);

  update clerk_sync.webhook_events as e set payload = null
  where e.organization_id = any (tombstone_organizations.ids) and e.payload is not null;
  delete from clerk_sync.private_metadata as p
  where p.object = 'organization' and p.object_id = any (tombstone_organizations.ids);
end
$$;
