-- A membership carries its whole organization and part of its user: enough for a
-- placeholder where Clerk has not told us about the parent itself, or where a full sync
-- has only inferred that it is gone. The end of a membership brings no parent back.
create or replace function clerk_sync.offer_parents(
  resources jsonb, stated_ms bigint[], kinds text[], ended boolean default false
) returns void
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
    select from {{exposed}}.users as u
    where u.clerk_id = p ->> 'user_id' and u.sync_version >= '2'
      and (left(u.sync_version, 1) <> '8' or offer_parents.ended or clerk_sync.has_ended(m.resource ->> 'id')));

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
    where o.clerk_org_id = m.resource -> 'organization' ->> 'id' and o.sync_version >= '2'
      and (left(o.sync_version, 1) <> '8' or offer_parents.ended or clerk_sync.has_ended(m.resource ->> 'id')));

  if parents is not null then
    perform clerk_sync.apply_organizations(parents, stated, told, '1');
  end if;
end
$$;

-- Whether Clerk has stated the end of a membership.
create or replace function clerk_sync.has_ended(membership text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return exists (select from clerk_sync.ended_memberships as e where e.clerk_membership_id = membership)
      or exists (select from {{exposed}}.organization_memberships as m where m.clerk_membership_id = membership and m.sync_version = '9');
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
      clerk_sync.verdict(m.sync_version, m.synced_at, w, i.version, i.kind, (
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
  left join {{exposed}}.organization_memberships as m on m.clerk_membership_id = i.id
  left join clerk_sync.watermarks as w on w.object = 'organization_membership';

  -- Only of those that will be written: an unchanged page locks nothing.
  perform from {{exposed}}.users as u
  where u.clerk_id in (select c.user_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by u.clerk_id for key share;

  perform from {{exposed}}.organizations as o
  where o.clerk_org_id in (select c.organization_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by o.clerk_org_id for key share;

  -- A live one whose parent is gone, and which no step has ended yet, ends here.
  if clerk_sync.holds_back() then
    perform clerk_sync.hold_back('organization_membership', array(
      select c.id from unnest(compared) as c where c.result = 'updated' and clerk_sync.is_gone(c.user_id, c.organization_id)));
  end if;

  return query
  with settled as (
    -- Under the locks: whether a parent is gone cannot change any more.
    -- It ends as certainly as what it goes with.
    select c.*, ended.version as ended,
           least(e.deleted_at,
             case when u.sync_version = ended.version then u.deleted_at end,
             case when o.sync_version = ended.version then o.deleted_at end) as ended_at
    from unnest(compared) as c
    left join {{exposed}}.users as u on u.clerk_id = c.user_id
    left join {{exposed}}.organizations as o on o.clerk_org_id = c.organization_id
    left join clerk_sync.ended_memberships as e on e.clerk_membership_id = c.id
    cross join lateral (select greatest(
      case when u.deleted_at is not null then u.sync_version end,
      case when o.deleted_at is not null then o.sync_version end,
      case when e.deleted_at is not null then '9' end) as version) as ended
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
           coalesce(c.ended, c.sync_version)
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
    where m.sync_version < excluded.sync_version or clerk_sync.revives(m.sync_version, excluded.sync_version)
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
  ids text[], deleted_at timestamptz, times timestamptz[] default null, inferred boolean default false
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.organization_memberships as m
  where m.clerk_membership_id = any (end_memberships.ids)
  order by m.clerk_membership_id for update;
  perform clerk_sync.hold_back('organization_membership', ids);

  return query
  with written as (
    update {{exposed}}.organization_memberships as m set
      role = null, permissions = '{}', metadata = '{}', created_at = null, updated_at = null,
      deleted_at = gone.deleted_at, synced_at = now(),
      sync_version = clerk_sync.tombstone_version(gone.deleted_at, end_memberships.inferred)
    from (
      select g.id, min(coalesce(g.deleted_at, end_memberships.deleted_at)) as deleted_at
      from unnest(end_memberships.ids, end_memberships.times) as g (id, deleted_at) group by g.id
    ) as gone
    where m.clerk_membership_id = gone.id
      and (m.sync_version < '8'
           or not end_memberships.inferred and (m.sync_version < '9' or m.deleted_at > gone.deleted_at))
    returning m.clerk_membership_id
  )
  -- Not joined: the writer's settings would make a nested loop of it.
  select known.clerk_membership_id,
         case when known.clerk_membership_id in (select w.clerk_membership_id from written as w) then 'deleted' else 'unchanged' end
  from {{exposed}}.organization_memberships as known
  where known.clerk_membership_id = any (end_memberships.ids);

  delete from clerk_sync.private_metadata as p
  where p.object = 'organization_membership' and p.object_id = any (end_memberships.ids);
end
$$;

-- The column of a membership that names its user, or its organization.
create or replace function clerk_sync.parent_column(parent text) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select case parent_column.parent when 'user' then o.user_key when 'organization' then o.organization_key end
    from clerk_sync.objects as o where o.object = 'organization_membership');
end
$$;

-- What goes with users, or organizations, whose tombstones were just made: their
-- memberships and the payloads about them. As much as one transaction may take, which
-- nearly always is all; what is left is noted, and end_some_memberships goes on.
-- Meanwhile the tombstone says it already: to every policy, and to every membership
-- that comes later and is born dead.
create or replace function clerk_sync.end_children(object text, ids text[], times timestamptz[], inferred boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  most    constant integer := (select s.memberships_at_once from clerk_sync.settings as s);
  doomed  text[];
  ends    timestamptz[];
  emptied integer;
begin
  if ids is null then
    return;
  end if;
  if object = 'user' then
    select array_agg(d.id), array_agg(d.deleted_at) into doomed, ends
    from (
      select m.clerk_membership_id as id, g.deleted_at
      from unnest(ids, times) as g (id, deleted_at)
      join {{exposed}}.organization_memberships as m on m.clerk_user_id = g.id
      where m.sync_version < '8' or not end_children.inferred and (m.sync_version < '9' or m.deleted_at > g.deleted_at)
      limit most + 1) as d;
  else
    select array_agg(d.id), array_agg(d.deleted_at) into doomed, ends
    from (
      select m.clerk_membership_id as id, g.deleted_at
      from unnest(ids, times) as g (id, deleted_at)
      join {{exposed}}.organization_memberships as m on m.clerk_org_id = g.id
      where m.sync_version < '8' or not end_children.inferred and (m.sync_version < '9' or m.deleted_at > g.deleted_at)
      limit most + 1) as d;
  end if;
  if doomed is not null then
    perform clerk_sync.end_memberships(doomed[1:most], null, ends[1:most], inferred);
  end if;
  emptied := clerk_sync.empty_payloads(object, ids, most);

  if cardinality(doomed) > most or emptied = most then
    insert into clerk_sync.endings as e (object, object_id, deleted_at, inferred, cause)
    select end_children.object, g.id, g.deleted_at, end_children.inferred,
           coalesce(nullif(current_setting('clerk_sync.causes', true), '')::jsonb ->> g.id, nullif(current_setting('clerk_sync.cause', true), ''))
    from unnest(ids, times) as g (id, deleted_at) order by g.id
    on conflict on constraint endings_pkey do update set
      deleted_at = excluded.deleted_at, inferred = excluded.inferred, cause = excluded.cause, done_until = '', missed = false
    -- Only of a live parent is it inferred, and so all that had ended may be back.
    where e.inferred or not excluded.inferred and e.deleted_at > excluded.deleted_at;
  end if;
end
$$;

-- Empties some of the payloads that are kept about users, or organizations.
create or replace function clerk_sync.empty_payloads(object text, ids text[], most integer) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  events  text[];
  emptied integer;
begin
  if object = 'user' then
    events := array(
      select e.svix_id from clerk_sync.webhook_events as e
      where e.user_id = any (ids) and (e.payload is not null or e.raw_body is not null) limit most);
  else
    events := array(
      select e.svix_id from clerk_sync.webhook_events as e
      where e.organization_id = any (ids) and (e.payload is not null or e.raw_body is not null) limit most);
  end if;
  update clerk_sync.webhook_events as e set payload = null, raw_body = null where e.svix_id = any (events);
  get diagnostics emptied = row_count;
  return emptied;
end
$$;

-- Goes on with what end_children has left, a bounded amount a call, and answers how
-- much it dealt with: 0 when there is nothing that it can do. most is a fifth of
-- settings.memberships_at_once unless it is given, since every event calls this.
--
-- So an event never waits here: what another transaction holds is left to the next
-- call, and what a constraint or trigger of the team refuses is left for a minute and
-- does not fail the event. A patient call waits, and fails.
create or replace function clerk_sync.end_some_memberships(most integer default null, patient boolean default false) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  dealt        integer := 0;
  one          clerk_sync.endings;
  outer_cause  text;
  outer_causes text;
begin
  if not exists (select from clerk_sync.endings) then
    return 0;
  end if;
  most := coalesce(most, (select greatest(1, s.memberships_at_once / 5) from clerk_sync.settings as s));
  outer_cause := coalesce(current_setting('clerk_sync.cause', true), '');
  outer_causes := coalesce(current_setting('clerk_sync.causes', true), '');
  perform set_config('clerk_sync.causes', '', true);

  while dealt < most loop
    if patient then
      select * into one from clerk_sync.endings as e order by e.object, e.object_id limit 1 for update;
    else
      -- What waits for another transaction comes last.
      select * into one from clerk_sync.endings as e
      where e.refused_at is null or e.refused_at < now() - interval '1 minute'
      order by e.missed, e.object, e.object_id limit 1 for update skip locked;
    end if;
    exit when not found;
    perform set_config('clerk_sync.cause', coalesce(one.cause, ''), true);
    if patient then
      dealt := dealt + clerk_sync.end_slice(one, most - dealt, true);
    else
      begin
        dealt := dealt + clerk_sync.end_slice(one, most - dealt, false);
      exception
        -- Of any class: the event that called has nothing to do with it.
        when others then
          update clerk_sync.endings as e set refused_at = now()
          where e.object = one.object and e.object_id = one.object_id;
      end;
    end if;
  end loop;

  perform set_config('clerk_sync.cause', outer_cause, true);
  perform set_config('clerk_sync.causes', outer_causes, true);
  return dealt;
end
$$;

-- One slice of one user's or organization's memberships, in the order of the index on
-- that column; behind the last of them some of its payloads. The caller holds the row
-- of clerk_sync.endings, which is gone when nothing is left.
create or replace function clerk_sync.end_slice(one clerk_sync.endings, most integer, patient boolean) returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  parent constant text := clerk_sync.parent_column(one.object);
  other  constant text := clerk_sync.parent_column(case one.object when 'user' then 'organization' else 'user' end);
  upto   text;
  ids    text[];
  doomed text[];
  passed boolean;
  dealt  integer;
begin
  -- It was there after all, and is back with what Clerk lists.
  if one.inferred and clerk_sync.is_live(one.object, one.object_id) then
    delete from clerk_sync.endings as e where e.object = one.object and e.object_id = one.object_id;
    return 1;
  end if;

  -- Who has left and joined again may stand there several times: never half of them.
  execute format($q$
    select max(s.other) from (
      select m.%2$I as other from {{exposed}}.organization_memberships as m
      where m.%1$I = $1 and m.%2$I > $2 order by m.%2$I limit $3) as s $q$, parent, other)
  into upto using one.object_id, one.done_until, most;
  execute format($q$
    select coalesce(array_agg(m.clerk_membership_id), '{}') from {{exposed}}.organization_memberships as m
    where m.%1$I = $1 and m.%2$I > $2 and m.%2$I <= $3 $q$, parent, other)
  into ids using one.object_id, one.done_until, upto;

  doomed := array(
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.clerk_membership_id = any (ids) and (m.sync_version < '8' or not one.inferred and (m.sync_version < '9' or m.deleted_at > one.deleted_at)));
  if not patient then
    doomed := array(
      select m.clerk_membership_id from {{exposed}}.organization_memberships as m
      where m.clerk_membership_id = any (doomed) order by m.clerk_membership_id for update skip locked);
  end if;
  perform clerk_sync.end_memberships(doomed, one.deleted_at, null, one.inferred);
  passed := one.missed or exists (
    select from {{exposed}}.organization_memberships as m
    where m.clerk_membership_id = any (ids) and (m.sync_version < '8' or not one.inferred and (m.sync_version < '9' or m.deleted_at > one.deleted_at)));
  -- Also of those that an event has ended since: it was told of the parent's deletion only.
  delete from clerk_sync.private_metadata as p
  where p.object = 'organization_membership' and p.object_id = any (ids);

  dealt := greatest(cardinality(ids), 1);
  if upto is not null then
    update clerk_sync.endings as e set done_until = upto, missed = passed, refused_at = null
    where e.object = one.object and e.object_id = one.object_id;
  elsif passed then
    update clerk_sync.endings as e set done_until = '', missed = false, refused_at = null
    where e.object = one.object and e.object_id = one.object_id;
    -- Once more from the beginning, but not in this call: the others are at work.
    dealt := most;
  else
    dealt := clerk_sync.empty_payloads(one.object, array[one.object_id], most);
    if dealt < most then
      delete from clerk_sync.endings as e where e.object = one.object and e.object_id = one.object_id;
      dealt := greatest(dealt, 1);
    end if;
  end if;
  return dealt;
end
$$;

-- Whether end_some_memberships has something to do.
create or replace function clerk_sync.memberships_left() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  return exists (select from clerk_sync.endings);
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
  -- before it holds anything that they could wait for; and one that writes a note takes
  -- the lock of a writer first, so that the two meet there and not at the note.
  if exists (
    select from jsonb_array_elements(tombstone_memberships.resources) as r
    where r ->> 'id' = any (absent) and not clerk_sync.names_parents(r)) then
    lock table {{exposed}}.organization_memberships in exclusive mode;
    absent := clerk_sync.unknown_memberships(ids);
  elsif absent <> '{}' then
    lock table {{exposed}}.organization_memberships in row exclusive mode;
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
    perform clerk_sync.offer_parents(known, known_stated, known_kinds, true);
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

-- How many will end with a user or an organization, of objects of another kind none.
-- Those of a parent that is deleted already end with that one, unless that is back.
create or replace function clerk_sync.live_memberships(object text, id text) returns bigint
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if object = 'user' then
    return (select count(*) from {{exposed}}.organization_memberships as m
            where m.clerk_user_id = live_memberships.id and m.deleted_at is null
              and not exists (select from clerk_sync.endings as e where e.object = 'organization' and e.object_id = m.clerk_org_id
                              and not (e.inferred and clerk_sync.is_live(e.object, e.object_id))));
  elsif object = 'organization' then
    return (select count(*) from {{exposed}}.organization_memberships as m
            where m.clerk_org_id = live_memberships.id and m.deleted_at is null
              and not exists (select from clerk_sync.endings as e where e.object = 'user' and e.object_id = m.clerk_user_id
                              and not (e.inferred and clerk_sync.is_live(e.object, e.object_id))));
  end if;
  return 0;
end
$$;

revoke execute on function
  clerk_sync.offer_parents(jsonb, bigint[], text[], boolean), clerk_sync.has_ended(text), clerk_sync.apply_memberships(jsonb, bigint[], text[]),
  clerk_sync.end_memberships(text[], timestamptz, timestamptz[], boolean), clerk_sync.parent_column(text),
  clerk_sync.end_children(text, text[], timestamptz[], boolean), clerk_sync.empty_payloads(text, text[], integer),
  clerk_sync.end_some_memberships(integer, boolean), clerk_sync.end_slice(clerk_sync.endings, integer, boolean),
  clerk_sync.memberships_left(), clerk_sync.live_memberships(text, text),
  clerk_sync.tombstone_memberships(jsonb, bigint[], text[], timestamptz[]), clerk_sync.unknown_memberships(text[])
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.end_memberships(text[], timestamptz, timestamptz[], boolean), clerk_sync.end_some_memberships(integer, boolean),
  clerk_sync.memberships_left()
to clerksync_writer;
