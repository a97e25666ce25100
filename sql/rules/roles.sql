create or replace function clerk_sync.apply_roles(resources jsonb, stated_ms bigint[], kinds text[] default '{3}')
returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  permissions jsonb;
  stated bigint[];
  told text[];
begin
  -- A role spells out its permissions; those not told by themselves become placeholders.
  select jsonb_agg(p), array_agg(coalesce(apply_roles.stated_ms[r.position], apply_roles.stated_ms[1])),
         array_agg(coalesce(apply_roles.kinds[r.position], apply_roles.kinds[1]))
  into permissions, stated, told
  from jsonb_array_elements(apply_roles.resources) with ordinality as r (resource, position)
  cross join lateral jsonb_array_elements(nullif(r.resource -> 'permissions', 'null')) as p;

  if permissions is not null then
    perform clerk_sync.apply_permissions(permissions, stated, told, '1');
  end if;

  return query
  with compared as (
    select i.id as clerk_role_id, i.version as sync_version, i.created_at, i.updated_at,
      r.key, r.name, r.description, r.is_creator_eligible, t.permission_ids,
      clerk_sync.verdict(o.sync_version, o.synced_at, w, i.version, i.kind, (
        o.key, o.name, o.description, o.is_creator_eligible, o.permission_ids, o.created_at, o.updated_at
      ) is not distinct from (
        r.key, r.name, r.description, r.is_creator_eligible, t.permission_ids, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(apply_roles.resources, apply_roles.stated_ms, apply_roles.kinds, '2') as i
    cross join lateral jsonb_to_record(i.resource) as r (
      key text, name text, description text, is_creator_eligible boolean, permissions jsonb)
    cross join lateral (
      select array(select distinct p ->> 'id' from jsonb_array_elements(r.permissions) as p
                   where p ->> 'id' is not null order by 1) as permission_ids
    ) as t
    left join {{helpers}}.organization_roles as o on o.clerk_role_id = i.id
    left join clerk_sync.watermarks as w on w.object = 'role'
  ), written as (
    insert into {{helpers}}.organization_roles as o (
      clerk_role_id, key, name, description, is_creator_eligible, permission_ids, created_at, updated_at, sync_version)
    select c.clerk_role_id, c.key, c.name, c.description, c.is_creator_eligible, c.permission_ids,
           c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_role_id
    on conflict (clerk_role_id) do update set
      key                 = excluded.key,
      name                = excluded.name,
      description         = excluded.description,
      is_creator_eligible = excluded.is_creator_eligible,
      permission_ids      = excluded.permission_ids,
      created_at          = excluded.created_at,
      updated_at          = excluded.updated_at,
      deleted_at          = null,
      synced_at           = now(),
      sync_version        = excluded.sync_version
    where o.sync_version < excluded.sync_version or clerk_sync.revives(o.sync_version, excluded.sync_version)
    returning o.clerk_role_id
  )
  select c.clerk_role_id,
         case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_role_id in (select w.clerk_role_id from written as w)
              then c.result else 'stale' end
  from compared as c;
end
$$;

create or replace function clerk_sync.tombstone_roles(
  ids text[], deleted_at timestamptz, times timestamptz[] default null, inferred boolean default false
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with written as (
    insert into {{helpers}}.organization_roles as o (clerk_role_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_roles.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_roles.deleted_at)) as deleted_at
      from unnest(tombstone_roles.ids, tombstone_roles.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_role_id) do update set
      key = null, name = null, description = null, is_creator_eligible = null, permission_ids = '{}',
      created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where o.sync_version < '8'
       or not tombstone_roles.inferred and (o.sync_version < '9' or o.deleted_at > excluded.deleted_at)
    returning o.clerk_role_id
  )
  select gone, case when w.clerk_role_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_roles.ids)) as asked (gone)
  left join written as w on w.clerk_role_id = gone;
end
$$;

create or replace function clerk_sync.apply_permissions(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with compared as (
    select i.id as clerk_permission_id, i.version as sync_version, i.created_at, i.updated_at, r.*,
      clerk_sync.verdict(o.sync_version, o.synced_at, w, i.version, i.kind, (
        o.key, o.name, o.description, o.type, o.created_at, o.updated_at
      ) is not distinct from (
        r.key, r.name, r.description, r.type, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(
      apply_permissions.resources, apply_permissions.stated_ms, apply_permissions.kinds, apply_permissions.class) as i
    cross join lateral jsonb_to_record(i.resource) as r (key text, name text, description text, type text)
    left join {{helpers}}.organization_permissions as o on o.clerk_permission_id = i.id
    left join clerk_sync.watermarks as w on w.object = case when apply_permissions.class = '2' then 'permission' end
    where i.id is not null
  ), written as (
    insert into {{helpers}}.organization_permissions as o (
      clerk_permission_id, key, name, description, type, created_at, updated_at, sync_version)
    select c.clerk_permission_id, c.key, c.name, c.description, c.type, c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_permission_id
    on conflict (clerk_permission_id) do update set
      key          = excluded.key,
      name         = excluded.name,
      description  = excluded.description,
      type         = excluded.type,
      created_at   = excluded.created_at,
      updated_at   = excluded.updated_at,
      deleted_at   = null,
      synced_at    = now(),
      sync_version = excluded.sync_version
    where o.sync_version < excluded.sync_version or clerk_sync.revives(o.sync_version, excluded.sync_version)
    returning o.clerk_permission_id
  )
  select c.clerk_permission_id,
         case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_permission_id in (select w.clerk_permission_id from written as w)
              then c.result else 'stale' end
  from compared as c;
end
$$;

create or replace function clerk_sync.tombstone_permissions(
  ids text[], deleted_at timestamptz, times timestamptz[] default null, inferred boolean default false
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with written as (
    insert into {{helpers}}.organization_permissions as o (clerk_permission_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_permissions.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_permissions.deleted_at)) as deleted_at
      from unnest(tombstone_permissions.ids, tombstone_permissions.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_permission_id) do update set
      key = null, name = null, description = null, type = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where o.sync_version < '8'
       or not tombstone_permissions.inferred and (o.sync_version < '9' or o.deleted_at > excluded.deleted_at)
    returning o.clerk_permission_id
  )
  select gone, case when w.clerk_permission_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_permissions.ids)) as asked (gone)
  left join written as w on w.clerk_permission_id = gone;
end
$$;

revoke execute on function
  clerk_sync.apply_roles(jsonb, bigint[], text[]), clerk_sync.tombstone_roles(text[], timestamptz, timestamptz[], boolean),
  clerk_sync.apply_permissions(jsonb, bigint[], text[], text), clerk_sync.tombstone_permissions(text[], timestamptz, timestamptz[], boolean)
from public, anon, authenticated, service_role;
