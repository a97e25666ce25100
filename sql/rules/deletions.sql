-- The hold-back: what a deleted user, organization or membership held is moved out of
-- every reader's sight, and kept for settings.deletion_grace, for teams that fear the
-- mis-click. See purge for its end. The tombstone is that of any deletion.

create or replace function clerk_sync.holds_back() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (select s.deletion_grace > '0' from clerk_sync.settings as s);
end
$$;

-- What rows hold that are about to become tombstones. The caller has locked them. A row
-- that another transaction makes only between that lock and the tombstone was never
-- seen, and leaves nothing.
create or replace function clerk_sync.hold_back(object text, ids text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  o clerk_sync.objects;
begin
  if not clerk_sync.holds_back() then
    return;
  end if;
  o := clerk_sync.object(object);
  execute format($q$
    insert into clerk_sync.held_back (object, object_id, user_id, organization_id, held, private_metadata)
    select $1, r.%1$I, t.told ->> $3, t.told ->> $4,
           t.told - '{deleted_at,synced_at,sync_version,is_placeholder}'::text[], p.metadata
    from %2$s as r
    cross join lateral (select to_jsonb(r) as told) as t
    left join clerk_sync.private_metadata as p on p.object = $1 and p.object_id = r.%1$I and clerk_sync.keeps_private_metadata()
    where r.%1$I = any ($2) and r.deleted_at is null and r.sync_version <> '0'
      and (r.sync_version >= '2' or not exists (
        select from clerk_sync.held_back as h where h.object = $1 and h.object_id = r.%1$I))
    order by r.%1$I
    on conflict (object, object_id) do update set
      held_at = excluded.held_at, held = excluded.held, private_metadata = excluded.private_metadata $q$,
    o.key, o.relation)
  using o.object, ids, o.user_key, o.organization_key;
end
$$;

-- What a full sync had only inferred to be gone is back, as Clerk states it: what is held
-- of it has no use any more. A placeholder, of which a child has told, says next to nothing
-- of what was there; so that stays, until its grace ends or the object itself is stated.
create or replace function clerk_sync.release_held() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from clerk_sync.held_back as h
  where h.object_id = to_jsonb(new) ->> (clerk_sync.object(tg_argv[0])).key and h.object = tg_argv[0];
  return null;
end
$$;

-- What is held, the latest first, without what it is: all, or what is of one user,
-- organization or membership. With the first two come their memberships.
create or replace function clerk_sync.deletions(of text default null, most integer default 50)
returns table (object text, object_id text, user_id text, organization_id text, held_at timestamptz, held_until timestamptz)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
  return query
  select h.object, h.object_id, h.user_id, h.organization_id, h.held_at, h.held_at + s.deletion_grace
  from clerk_sync.held_back as h cross join clerk_sync.settings as s
  where deletions.of is null or h.object_id = deletions.of or h.user_id = deletions.of or h.organization_id = deletions.of
  order by h.held_at desc, h.object_id, h.object
  limit deletions.most;
end
$$;

-- What one of them held.
create or replace function clerk_sync.deletion(id text)
returns table (object text, held_at timestamptz, held_until timestamptz, held jsonb, private_metadata jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select h.object, h.held_at, h.held_at + s.deletion_grace, h.held, h.private_metadata
  from clerk_sync.held_back as h cross join clerk_sync.settings as s
  where h.object_id = deletion.id
  order by h.object;
end
$$;

-- Empties it now, with the memberships of a user or an organization, and counts by kind.
create or replace function clerk_sync.drop_deletion(id text) returns table (object text, dropped bigint)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with gone as (
    delete from clerk_sync.held_back as h
    where h.object_id = drop_deletion.id or h.user_id = drop_deletion.id or h.organization_id = drop_deletion.id
    returning h.object)
  select g.object, count(*) from gone as g group by g.object order by g.object;
end
$$;

-- For the status: how many are held.
create or replace function clerk_sync.count_held_back() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select count(*) from (select from clerk_sync.held_back limit 20001) as f);
end
$$;

revoke execute on function
  clerk_sync.holds_back(), clerk_sync.hold_back(text, text[]), clerk_sync.release_held(), clerk_sync.deletions(text, integer),
  clerk_sync.deletion(text), clerk_sync.drop_deletion(text), clerk_sync.count_held_back()
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.count_held_back() to clerksync_writer;
