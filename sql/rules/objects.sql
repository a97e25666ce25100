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

-- What is known of a kind of object.
create or replace function clerk_sync.object(name text) returns clerk_sync.objects
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  found_object clerk_sync.objects;
begin
  select * into found_object from clerk_sync.objects as o where o.object = object.name;
  if not found then
    raise invalid_parameter_value using message = format('the copy holds no objects of the kind %L', name);
  end if;
  return found_object;
end
$$;

-- One page of what Clerk lists, through the rules.
create or replace function clerk_sync.apply_objects(object text, resources jsonb, stated_ms bigint)
returns table (id text, result text)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  return query execute format('select * from clerk_sync.%I($1, array[$2])', (clerk_sync.object(object)).applies)
  using resources, stated_ms;
end
$$;

-- Makes tombstones, and counts those that are news.
create or replace function clerk_sync.delete_objects(
  object text, ids text[], deleted_at timestamptz, times timestamptz[] default null, inferred boolean default false
) returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  deleted bigint;
begin
  execute format($q$ select count(*) from clerk_sync.%I($1, $2, $3, $4) as t where t.result = 'deleted' $q$, (clerk_sync.object(object)).deletes)
  into deleted using ids, deleted_at, times, inferred;
  return deleted;
end
$$;

-- The versions of some rows, in the order of their ids; null where there is none.
create or replace function clerk_sync.versions(object text, ids text[]) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  o clerk_sync.objects := clerk_sync.object(object);
  versions text[];
begin
  execute format('select array(select r.sync_version from unnest($1) as i (id) left join %s as r on r.%I = i.id order by i.id)', o.relation, o.key)
  into versions using ids;
  return versions;
end
$$;

create or replace function clerk_sync.is_live(object text, id text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (clerk_sync.versions(object, array[id]))[1] < '8';
end
$$;

-- What the copy says about some objects, without what is its own.
create or replace function clerk_sync.stated_rows(object text, ids text[]) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  o clerk_sync.objects := clerk_sync.object(object);
  stated jsonb;
begin
  execute format($q$
    select jsonb_object_agg(r.%I, to_jsonb(r) - '{synced_at,sync_version,is_placeholder}'::text[])
    from %s as r where r.%1$I = any ($1) $q$, o.key, o.relation)
  into stated using ids;
  return stated;
end
$$;

revoke execute on function
  clerk_sync.keeps_private_metadata(), clerk_sync.keep_private_metadata(text, text[], jsonb),
  clerk_sync.object(text), clerk_sync.apply_objects(text, jsonb, bigint),
  clerk_sync.delete_objects(text, text[], timestamptz, timestamptz[], boolean), clerk_sync.versions(text, text[]), clerk_sync.is_live(text, text),
  clerk_sync.stated_rows(text, text[])
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.is_live(text, text) to clerksync_writer;
