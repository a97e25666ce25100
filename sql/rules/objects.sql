-- Private metadata is kept only where the settings ask, beside the copy.
create or replace function clerk_sync.keeps_private_metadata() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (select s.store_private_metadata from clerk_sync.settings as s);
end
$$;

create or replace function clerk_sync.keep_private_metadata(object text, ids text[], resources jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into clerk_sync.private_metadata as p (object, object_id, metadata)
  select distinct on (r ->> 'id') keep_private_metadata.object, r ->> 'id',
         coalesce(nullif(r -> 'private_metadata', 'null'), '{}')
  from jsonb_array_elements(keep_private_metadata.resources) as r
  where r ->> 'id' = any (keep_private_metadata.ids)
  order by r ->> 'id', (r ->> 'updated_at')::numeric desc nulls last
  on conflict on constraint private_metadata_pkey do update set metadata = excluded.metadata
    where p.metadata is distinct from excluded.metadata;
end
$$;

-- One page of what Clerk lists, through the rules.
create or replace function clerk_sync.apply_objects(object text, resources jsonb, stated_ms bigint)
returns table (id text, result text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  case object
  when 'user' then
    return query select * from clerk_sync.apply_users(resources, array[stated_ms]);
  when 'organization' then
    return query select * from clerk_sync.apply_organizations(resources, array[stated_ms]);
  when 'organization_membership' then
    return query select * from clerk_sync.apply_memberships(resources, array[stated_ms]);
  when 'role' then
    return query select * from clerk_sync.apply_roles(resources, array[stated_ms]);
  when 'permission' then
    return query select * from clerk_sync.apply_permissions(resources, array[stated_ms]);
  else
    raise invalid_parameter_value using message = format('the copy holds no objects of the kind %L', object);
  end case;
end
$$;

-- The versions of some rows, in the order of their ids; null where there is none.
create or replace function clerk_sync.versions(object text, ids text[]) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  case object
  when 'user' then
    return array(select r.sync_version from unnest(ids) as i (id)
                 left join {{exposed}}.users as r on r.clerk_id = i.id order by i.id);
  when 'organization' then
    return array(select r.sync_version from unnest(ids) as i (id)
                 left join {{exposed}}.organizations as r on r.clerk_org_id = i.id order by i.id);
  when 'organization_membership' then
    return array(select r.sync_version from unnest(ids) as i (id)
                 left join {{exposed}}.organization_memberships as r on r.clerk_membership_id = i.id order by i.id);
  when 'role' then
    return array(select r.sync_version from unnest(ids) as i (id)
                 left join {{helpers}}.organization_roles as r on r.clerk_role_id = i.id order by i.id);
  when 'permission' then
    return array(select r.sync_version from unnest(ids) as i (id)
                 left join {{helpers}}.organization_permissions as r on r.clerk_permission_id = i.id order by i.id);
  end case;
end
$$;

create or replace function clerk_sync.is_live(object text, id text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (clerk_sync.versions(object, array[id]))[1] < '9';
end
$$;

-- What the copy says about some objects, without what is its own.
create or replace function clerk_sync.stated_rows(object text, ids text[]) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  own constant text[] := '{synced_at,sync_version,is_placeholder}';
begin
  case object
  when 'user' then
    return (select jsonb_object_agg(r.clerk_id, to_jsonb(r) - own) from {{exposed}}.users as r
            where r.clerk_id = any (ids));
  when 'organization' then
    return (select jsonb_object_agg(r.clerk_org_id, to_jsonb(r) - own) from {{exposed}}.organizations as r
            where r.clerk_org_id = any (ids));
  when 'organization_membership' then
    return (select jsonb_object_agg(r.clerk_membership_id, to_jsonb(r) - own)
            from {{exposed}}.organization_memberships as r where r.clerk_membership_id = any (ids));
  when 'role' then
    return (select jsonb_object_agg(r.clerk_role_id, to_jsonb(r) - own) from {{helpers}}.organization_roles as r
            where r.clerk_role_id = any (ids));
  when 'permission' then
    return (select jsonb_object_agg(r.clerk_permission_id, to_jsonb(r) - own) from {{helpers}}.organization_permissions as r
            where r.clerk_permission_id = any (ids));
  end case;
end
$$;

revoke execute on function
  clerk_sync.keeps_private_metadata(), clerk_sync.keep_private_metadata(text, text[], jsonb),
  clerk_sync.apply_objects(text, jsonb, bigint), clerk_sync.versions(text, text[]), clerk_sync.is_live(text, text),
  clerk_sync.stated_rows(text, text[])
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.is_live(text, text) to clerksync_writer;
