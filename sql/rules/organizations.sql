create or replace function clerk_sync.apply_organizations(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with compared as (
    select i.id as clerk_org_id, i.version as sync_version, i.created_at, i.updated_at, r.*,
      clerk_sync.verdict(o.sync_version, o.synced_at, w, i.version, i.kind, (
        o.name, o.slug, o.logo_url, o.metadata, o.created_by, o.max_allowed_memberships, o.admin_delete_enabled,
        o.created_at, o.updated_at
      ) is not distinct from (
        r.name, r.slug, r.image_url, coalesce(r.public_metadata, '{}'), r.created_by,
        trunc(r.max_allowed_memberships)::bigint, r.admin_delete_enabled, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(
      apply_organizations.resources, apply_organizations.stated_ms, apply_organizations.kinds, apply_organizations.class
    ) as i
    cross join lateral jsonb_to_record(i.resource) as r (
      name text, slug text, image_url text, public_metadata jsonb, created_by text,
      max_allowed_memberships numeric, admin_delete_enabled boolean)
    left join {{exposed}}.organizations as o on o.clerk_org_id = i.id
    left join clerk_sync.watermarks as w on w.object = case when apply_organizations.class = '2' then 'organization' end
  ), written as (
    insert into {{exposed}}.organizations as o (
      clerk_org_id, name, slug, logo_url, metadata, created_by, max_allowed_memberships, admin_delete_enabled,
      created_at, updated_at, sync_version)
    select
      c.clerk_org_id, c.name, c.slug, c.image_url, coalesce(c.public_metadata, '{}'), c.created_by,
      trunc(c.max_allowed_memberships)::bigint, c.admin_delete_enabled, c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_org_id
    on conflict (clerk_org_id) do update set
      name                    = excluded.name,
      slug                    = excluded.slug,
      logo_url                = excluded.logo_url,
      metadata                = excluded.metadata,
      created_by              = excluded.created_by,
      max_allowed_memberships = excluded.max_allowed_memberships,
      admin_delete_enabled    = excluded.admin_delete_enabled,
      created_at              = excluded.created_at,
      updated_at              = excluded.updated_at,
      deleted_at              = null,
      synced_at               = now(),
      sync_version            = excluded.sync_version
    where o.sync_version < excluded.sync_version or clerk_sync.revives(o.sync_version, excluded.sync_version)
    returning o.clerk_org_id, o.deleted_at
  )
  select array_agg(c.clerk_org_id),
         array_agg(case when c.result in ('unchanged', 'stale', 'deleted')
                          or c.clerk_org_id in (select w.clerk_org_id from written as w)
                        then c.result else 'stale' end)
  into ids, results
  from compared as c;

  if class = '2' and clerk_sync.keeps_private_metadata() then
    perform clerk_sync.keep_private_metadata('organization', array(
      select w.id from unnest(ids, results) as w (id, result) where w.result in ('created', 'updated')), resources);
  end if;

  return query select w.id, w.result from unnest(ids, results) as w (id, result);
end
$$;

create or replace function clerk_sync.tombstone_organizations(
  ids text[], deleted_at timestamptz, times timestamptz[] default null, inferred boolean default false
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  news  text[];
  ends  timestamptz[];
begin
  perform from {{exposed}}.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;
  perform clerk_sync.hold_back('organization', ids);

  with written as (
    insert into {{exposed}}.organizations as o (clerk_org_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_organizations.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_organizations.deleted_at)) as deleted_at
      from unnest(tombstone_organizations.ids, tombstone_organizations.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_org_id) do update set
      name = null, slug = null, logo_url = null, metadata = '{}', created_by = null,
      max_allowed_memberships = null, admin_delete_enabled = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where o.sync_version < '8'
       or not tombstone_organizations.inferred and (o.sync_version < '9' or o.deleted_at > excluded.deleted_at)
    returning o.clerk_org_id, o.deleted_at
  )
  select array_agg(w.clerk_org_id), array_agg(w.deleted_at) into news, ends from written as w;

  perform from {{exposed}}.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;

  delete from clerk_sync.private_metadata as p
  where p.object = 'organization' and p.object_id = any (tombstone_organizations.ids);
  perform clerk_sync.end_children('organization', news, ends, inferred);

  return query
  select gone, case when gone in (select unnest(news)) then 'deleted' else 'unchanged' end
  from (select distinct unnest(tombstone_organizations.ids)) as asked (gone);
end
$$;

revoke execute on function
  clerk_sync.apply_organizations(jsonb, bigint[], text[], text),
  clerk_sync.tombstone_organizations(text[], timestamptz, timestamptz[], boolean)
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.tombstone_organizations(text[], timestamptz, timestamptz[], boolean) to clerksync_writer;
