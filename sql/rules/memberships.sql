-- A membership carries its whole organization and part of its user: enough for a
-- placeholder where Clerk has not told us about the parent itself.
create or replace function clerk_sync.offer_parents(resources jsonb, stated_ms bigint[], kinds text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  parents jsonb;
  stated bigint[];
  told text[];
begin
  select jsonb_agg(p || jsonb_build_object('id', p -> 'user_id', 'updated_at', m.resource -> 'updated_at')),
         array_agg(coalesce(offer_parents.stated_ms[m.position], offer_parents.stated_ms[1])),
         array_agg(coalesce(offer_parents.kinds[m.position], offer_parents.kinds[1]))
  into parents, stated, told
  from jsonb_array_elements(offer_parents.resources) with ordinality as m (resource, position)
  cross join lateral (select m.resource -> 'public_user_data') as parent (p)
  where not exists (
    select from {{exposed}}.users as u where u.clerk_id = p ->> 'user_id' and u.sync_version >= '2');

  if parents is not null then
    perform clerk_sync.apply_users(parents, stated, told, '1');
  end if;

  select jsonb_agg(m.resource -> 'organization'),
         array_agg(coalesce(offer_parents.stated_ms[m.position], offer_parents.stated_ms[1])),
         array_agg(coalesce(offer_parents.kinds[m.position], offer_parents.kinds[1]))
  into parents, stated, told
  from jsonb_array_elements(offer_parents.resources) with ordinality as m (resource, position)
  where not exists (
    select from {{exposed}}.organizations as o
    where o.clerk_org_id = m.resource -> 'organization' ->> 'id' and o.sync_version >= '2');

  if parents is not null then
    perform clerk_sync.apply_organizations(parents, stated, told, '1');
  end if;
end
$$;

-- A membership that was deleted before it was stated (ended_memberships) becomes a
-- tombstone at once, without ever having been a live row.
create or replace function clerk_sync.apply_memberships(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}'
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  compared clerk_sync.stated_membership[];
begin
  -- Also for a membership that turns out to be stale: what it says about its
  -- parents must not depend on which event came first.
  perform clerk_sync.offer_parents(resources, stated_ms, kinds);

  select array_agg(row(
      i.id, t.organization_id, t.user_id, t.role, t.permissions, t.metadata, i.created_at, i.updated_at, i.version,
      clerk_sync.verdict(m.sync_version, i.version, i.kind, (
        m.role, m.permissions, m.metadata, m.created_at, m.updated_at
      ) is not distinct from (
        t.role, t.permissions, t.metadata, i.created_at, i.updated_at
      )))::clerk_sync.stated_membership)
  into compared
  from clerk_sync.incoming(
    apply_memberships.resources, apply_memberships.stated_ms, apply_memberships.kinds, '2') as i
  cross join lateral (
    select i.resource -> 'organization' ->> 'id' as organization_id,
           i.resource -> 'public_user_data' ->> 'user_id' as user_id,
           i.resource ->> 'role' as role,
           array(select jsonb_array_elements_text(nullif(i.resource -> 'permissions', 'null'))) as permissions,
           coalesce(nullif(i.resource -> 'public_metadata', 'null'), '{}') as metadata
  ) as t
  left join {{exposed}}.organization_memberships as m on m.clerk_membership_id = i.id;

  -- Only of those that will be written: an unchanged page locks nothing.
  perform from {{exposed}}.users as u
  where u.clerk_id in (select c.user_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by u.clerk_id for key share;

  perform from {{exposed}}.organizations as o
  where o.clerk_org_id in (select c.organization_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by o.clerk_org_id for key share;

  return query
  with settled as (
    -- Under the locks: whether a parent is gone cannot change any more.
    select c.*, least(u.deleted_at, o.deleted_at, e.deleted_at) as ended_at
    from unnest(compared) as c
    left join {{exposed}}.users as u on u.clerk_id = c.user_id
    left join {{exposed}}.organizations as o on o.clerk_org_id = c.organization_id
    left join clerk_sync.ended_memberships as e on e.clerk_membership_id = c.id
  ), written as (
    insert into {{exposed}}.organization_memberships as m (
      clerk_membership_id, clerk_org_id, clerk_user_id, role, permissions, metadata,
      created_at, updated_at, deleted_at, sync_version)
    select c.id, c.organization_id, c.user_id,
           case when c.ended_at is null then c.role end,
           case when c.ended_at is null then c.permissions else '{}' end,
           case when c.ended_at is null then c.metadata else '{}' end,
           case when c.ended_at is null then c.created_at end,
           case when c.ended_at is null then c.updated_at end,
           c.ended_at,
           case when c.ended_at is null then c.sync_version else '9' end
    from settled as c
    where c.result in ('created', 'updated')
    order by c.id
    on conflict (clerk_membership_id) do update set
      role         = excluded.role,
      permissions  = excluded.permissions,
      metadata     = excluded.metadata,
      created_at   = excluded.created_at,
      updated_at   = excluded.updated_at,
      deleted_at   = excluded.deleted_at,
      synced_at    = now(),
      sync_version = excluded.sync_version
    where m.sync_version < excluded.sync_version
    returning m.clerk_membership_id, m.deleted_at
  ), kept as materialized (
    select clerk_sync.keep_private_metadata('organization_membership', array(
      select w.clerk_membership_id from written as w where w.deleted_at is null), resources)
    where clerk_sync.keeps_private_metadata()
  )
  select c.id, case
    when c.result in ('unchanged', 'stale', 'deleted') then c.result
    when c.id in (select w.clerk_membership_id from written as w where w.deleted_at is not null) then 'deleted'
    when c.id in (select w.clerk_membership_id from written as w) then c.result
    else 'stale' end
  from settled as c
  left join kept on true;
end
$$;

-- By the membership's own id: who has left and joined again is not touched by a
-- late delete of the old membership. times, when given, go with the ids by position.
create or replace function clerk_sync.end_memberships(
  ids text[], deleted_at timestamptz, times timestamptz[] default null
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.organization_memberships as m
  where m.clerk_membership_id = any (end_memberships.ids)
  order by m.clerk_membership_id for update;

  return query
  with written as (
    update {{exposed}}.organization_memberships as m set
      role = null, permissions = '{}', metadata = '{}', created_at = null, updated_at = null,
      deleted_at = gone.deleted_at, synced_at = now(), sync_version = '9'
    from (
      select g.id, min(coalesce(g.deleted_at, end_memberships.deleted_at)) as deleted_at
      from unnest(end_memberships.ids, end_memberships.times) as g (id, deleted_at) group by g.id
    ) as gone
    where m.clerk_membership_id = gone.id
      and (m.sync_version < '9' or m.deleted_at > gone.deleted_at)
    returning m.clerk_membership_id
  )
  select known.clerk_membership_id, case when w.clerk_membership_id is null then 'unchanged' else 'deleted' end
  from {{exposed}}.organization_memberships as known
  left join written as w using (clerk_membership_id)
  where known.clerk_membership_id = any (end_memberships.ids);

  delete from clerk_sync.private_metadata as p
  where p.object = 'organization_membership' and p.object_id = any (end_memberships.ids);
end
$$;

-- A deleted membership is mostly stated in full, and then leaves its tombstone and its
-- parents' placeholders also where it was never seen. Told by its id alone, what is not
-- known is only noted, until it is stated. deleted_at goes with the resources by position.
create or replace function clerk_sync.tombstone_memberships(
  resources jsonb, stated_ms bigint[], kinds text[], deleted_at timestamptz[]
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  ids           constant text[] := array(
    select r.resource ->> 'id' from jsonb_array_elements(tombstone_memberships.resources) with ordinality as r (resource, position)
    order by r.position);
  absent        text[] := clerk_sync.unknown_memberships(ids);
  unseen        jsonb;
  unseen_stated bigint[];
  unseen_kinds  text[];
  known         jsonb;
  known_stated  bigint[];
  known_kinds   text[];
begin
  -- One of which only the id is known may just be made by another transaction, and there
  -- is no row that both would meet. So this waits for all that write or lock memberships,
  -- before it holds anything that they could wait for.
  if exists (
    select from jsonb_array_elements(tombstone_memberships.resources) as r
    where r ->> 'id' = any (absent) and not clerk_sync.names_parents(r)) then
    lock table {{exposed}}.organization_memberships in exclusive mode;
    absent := clerk_sync.unknown_memberships(ids);
  end if;

  insert into clerk_sync.ended_memberships as e (clerk_membership_id, deleted_at)
  select g.id, min(g.deleted_at)
  from unnest(ids, tombstone_memberships.deleted_at) as g (id, deleted_at)
  where g.id = any (absent)
  group by g.id
  order by g.id
  on conflict (clerk_membership_id) do update set deleted_at = excluded.deleted_at
    where e.deleted_at > excluded.deleted_at;

  select jsonb_agg(r.resource order by r.position) filter (where r.resource ->> 'id' = any (absent)),
         array_agg(s.ms order by r.position) filter (where r.resource ->> 'id' = any (absent)),
         array_agg(s.kind order by r.position) filter (where r.resource ->> 'id' = any (absent)),
         jsonb_agg(r.resource order by r.position) filter (where r.resource ->> 'id' <> all (absent)),
         array_agg(s.ms order by r.position) filter (where r.resource ->> 'id' <> all (absent)),
         array_agg(s.kind order by r.position) filter (where r.resource ->> 'id' <> all (absent))
  into unseen, unseen_stated, unseen_kinds, known, known_stated, known_kinds
  from jsonb_array_elements(tombstone_memberships.resources) with ordinality as r (resource, position)
  cross join lateral (select tombstone_memberships.stated_ms[r.position], tombstone_memberships.kinds[r.position]) as s (ms, kind)
  where clerk_sync.names_parents(r.resource);

  if unseen is not null then
    return query select a.id, a.result from clerk_sync.apply_memberships(unseen, unseen_stated, unseen_kinds) as a;
    -- Its tombstone says it from now on.
    delete from clerk_sync.ended_memberships as e
    where e.clerk_membership_id = any (absent)
      and exists (select from {{exposed}}.organization_memberships as m where m.clerk_membership_id = e.clerk_membership_id);
  end if;

  -- What is said about the parents counts also where the membership was known.
  if known is not null then
    perform clerk_sync.offer_parents(known, known_stated, known_kinds);
  end if;

  return query
  select e.id, e.result from clerk_sync.end_memberships(ids, null, tombstone_memberships.deleted_at) as e;
end
$$;

create or replace function clerk_sync.unknown_memberships(ids text[]) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return array(
    select distinct i.id from unnest(ids) as i (id)
    where not exists (select from {{exposed}}.organization_memberships as m where m.clerk_membership_id = i.id));
end
$$;

-- The live memberships of one user or one organization.
create or replace function clerk_sync.memberships_of(object text, id text) returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if object = 'user' then
    return array(select m.clerk_membership_id from {{exposed}}.organization_memberships as m
                 where m.clerk_user_id = memberships_of.id and m.deleted_at is null);
  end if;
  return array(select m.clerk_membership_id from {{exposed}}.organization_memberships as m
               where m.clerk_org_id = memberships_of.id and m.deleted_at is null);
end
$$;

revoke execute on function
  clerk_sync.offer_parents(jsonb, bigint[], text[]), clerk_sync.apply_memberships(jsonb, bigint[], text[]),
  clerk_sync.end_memberships(text[], timestamptz, timestamptz[]),
  clerk_sync.tombstone_memberships(jsonb, bigint[], text[], timestamptz[]), clerk_sync.unknown_memberships(text[]),
  clerk_sync.memberships_of(text, text)
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.end_memberships(text[], timestamptz, timestamptz[]), clerk_sync.memberships_of(text, text)
to clerksync_writer;
