-- Those of some rows of the copy that a row of the team refers to by a foreign key,
-- whatever that key would do when they go. One look at each table that refers: joined
-- as a set, so that a table without an index on the column is read once and not once
-- for each.
create or replace function clerk_sync.referred_to(object text, ids text[]) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_hashjoin = on set enable_mergejoin = on set enable_seqscan = on set row_security = off as $$
declare
  o      clerk_sync.objects := clerk_sync.object(object);
  refers record;
  those  text[];
  held   text[] := '{}';
begin
  for refers in
    -- A partition's key is that of its table, which is looked at whole.
    select format('%I.%I', n.nspname, c.relname) as relation, f.confrelid::regclass as referred,
           string_agg(format('t.%I = r.%I', mine.attname, theirs.attname), ' and ' order by k.position) as matches
    from pg_constraint as f
    join pg_class as c on c.oid = f.conrelid
    join pg_namespace as n on n.oid = c.relnamespace
    cross join lateral unnest(f.conkey, f.confkey) with ordinality as k (mine, theirs, position)
    join pg_attribute as mine on mine.attrelid = f.conrelid and mine.attnum = k.mine
    join pg_attribute as theirs on theirs.attrelid = f.confrelid and theirs.attnum = k.theirs
    -- What users_public shows of a user goes with it.
    where f.contype = 'f' and f.conparentid = 0
      and (f.confrelid = o.relation or o.object = 'user' and f.confrelid = '{{exposed}}.users_public'::regclass)
      and f.conrelid not in (select known.relation from clerk_sync.objects as known)
    group by f.oid, f.confrelid, n.nspname, c.relname
  loop
    execute format('select array(select r.%1$I from %2$s as r where r.%1$I = any ($1) and exists (select from %3$s as t where %4$s))',
      o.key, refers.referred, refers.relation, refers.matches)
    into those using ids;
    held := held || those;
  end loop;
  return held;
exception when insufficient_privilege then
  -- A table that cannot be read, or not all of it, may refer to any of them.
  return ids;
end
$$;

-- Removes tombstones of one kind that are old enough, the oldest first, and counts
-- those that stay, from the beginning of this look at all of them. A tombstone that any row of the team refers to stays: it holds no
-- personal data, and removing it is for the owner of that row, whom "on delete cascade"
-- and "set null" would not ask.
--
-- Where it stopped is remembered, so that those which stay never take the place of the
-- others. It begins again at the end, which "more" tells.
create or replace function clerk_sync.purge_tombstones(
  object text, before timestamptz, most integer, out purged bigint, out held bigint, out more boolean
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  begun     constant timestamptz := clock_timestamp();
  o         clerk_sync.objects := clerk_sync.object(object);
  parent    constant text := clerk_sync.parent_column(object);
  drop_part constant text := format('delete from %s as r where r.%I = any ($1)', o.relation, o.key);
  last      clerk_sync.purged_until;
  ids       text[];
  times     timestamptz[];
  free      text[];
  shown     text[];
  kept      text[];
  part      text[];
  one       text;
  n         bigint;
  done      integer := 0;
  size      integer := 10;
begin
  purged := 0; held := 0; more := false;
  -- Another purge is at this kind.
  select * into last from clerk_sync.purged_until as p where p.object = purge_tombstones.object for update skip locked;
  if not found then
    return;
  end if;

  execute format($q$
    select array_agg(t.id), array_agg(t.deleted_at) from (
      select r.%1$I as id, r.deleted_at from %2$s as r
      where r.deleted_at is not null and r.deleted_at < $1 and (r.deleted_at, r.%1$I) > ($2, $3)
      order by r.deleted_at, r.%1$I limit $4) as t $q$, o.key, o.relation)
  into ids, times using before, last.deleted_at, last.object_id, most;

  -- Held against a row that would refer to them only now. One that another transaction
  -- holds is left to the next time, and so is one whose memberships are still there.
  execute format('select array(select r.%1$I from %2$s as r where r.%1$I = any ($1) %3$s order by r.%1$I for update skip locked)',
    o.key, o.relation, case when parent is not null then format(
      'and not exists (select from {{exposed}}.organization_memberships as m where m.%I = r.%I)', parent, o.key) end)
  into free using ids;
  -- What users_public shows goes with a user, and may be referred to by itself.
  if object = 'user' then
    shown := array(select p.clerk_id from {{exposed}}.users_public as p where p.clerk_id = any (free) order by p.clerk_id for update skip locked);
    free := array(
      select unnest(shown) union all
      select i from unnest(free) as i where not exists (select from {{exposed}}.users_public as p where p.clerk_id = i));
  end if;
  kept := clerk_sync.referred_to(object, free);
  free := array(select unnest(free) except select unnest(kept));

  -- In growing parts, until it has taken long enough: each row that goes is looked for
  -- in every table that could refer to it, and that may have no index for it.
  while done < coalesce(cardinality(ids), 0) and clock_timestamp() < begun + interval '2 seconds' loop
    part := ids[done + 1:done + size];
    held := held + (select count(*) from unnest(part) as i where i in (select unnest(kept)));
    done := done + cardinality(part);
    -- One list, made here: of two, an index is asked for every pair.
    part := array(select i from unnest(part) as i where i in (select unnest(free)));
    begin
      execute drop_part using part;
      get diagnostics n = row_count;
      purged := purged + n;
    exception when others then
      -- A trigger of the team, or a constraint of another kind: one by one.
      foreach one in array part loop
        begin
          execute drop_part using array[one];
          get diagnostics n = row_count;
          purged := purged + n;
        exception when others then
          held := held + 1;
        end;
      end loop;
    end;
    size := least(2 * size, 1000);
  end loop;

  more := done < coalesce(cardinality(ids), 0) or done = most;
  held := held + last.held;
  update clerk_sync.purged_until as p set
    deleted_at = case when more then times[done] else '-infinity' end,
    object_id = case when more then ids[done] else '' end,
    held = case when more then purge_tombstones.held else 0 end,
    held_last = case when more then last.held_last else purge_tombstones.held end
  where p.object = purge_tombstones.object;
  if more then
    held := greatest(held, last.held_last);
  end if;
end
$$;

-- Forgets what has been kept long enough. Call it now and then; each call does a
-- bounded amount of work and says how much, and whether more is left.
create or replace function clerk_sync.purge(most integer default 10000) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  -- Each takes tables that refer to it along: fewer at a time.
  most_parents constant integer := least(most, 1000);
  s            clerk_sync.settings;
  payloads     bigint;
  unowned      bigint;
  events       bigint;
  metadata     bigint := 0;
  held_back    bigint;
  also         bigint;
  members      record;
  users        record;
  orgs         record;
  audited      bigint;
  outer_cause  text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  perform clerk_sync.end_some_memberships();
  select * into s from clerk_sync.settings;
  perform set_config('clerk_sync.cause', 'purge', true);

  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - s.payload_retention and (e.payload is not null or e.raw_body is not null)
    order by e.received_at, e.svix_id limit purge.most for update skip locked)
  update clerk_sync.webhook_events as e set payload = null, raw_body = null
  from old where e.svix_id = old.svix_id;
  get diagnostics payloads = row_count;

  -- No deletion would empty these.
  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - interval '24 hours' and (e.payload is not null or e.raw_body is not null)
      and e.user_id is null and e.organization_id is null and split_part(e.type, '.', 1) not in (
        select o.event from clerk_sync.objects as o where o.user_key is null and o.organization_key is null)
    order by e.received_at, e.svix_id limit purge.most for update skip locked)
  update clerk_sync.webhook_events as e set payload = null, raw_body = null
  from old where e.svix_id = old.svix_id;
  get diagnostics unowned = row_count;
  payloads := payloads + unowned;

  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - s.event_retention
    order by e.received_at limit purge.most for update skip locked)
  delete from clerk_sync.webhook_events as e using old where e.svix_id = old.svix_id;
  get diagnostics events = row_count;

  if not s.store_private_metadata then
    with old as (select p.object, p.object_id from clerk_sync.private_metadata as p limit purge.most for update skip locked)
    delete from clerk_sync.private_metadata as p using old where p.object = old.object and p.object_id = old.object_id;
    get diagnostics metadata = row_count;

    with old as (
      select h.object, h.object_id from clerk_sync.held_back as h
      where h.private_metadata is not null limit purge.most for update skip locked)
    update clerk_sync.held_back as h set private_metadata = null
    from old where h.object = old.object and h.object_id = old.object_id;
    get diagnostics also = row_count;
    metadata := greatest(metadata, also);
  end if;

  with old as (
    select h.object, h.object_id from clerk_sync.held_back as h
    where h.held_at <= now() - s.deletion_grace
    order by h.held_at limit purge.most for update skip locked)
  delete from clerk_sync.held_back as h using old where h.object = old.object and h.object_id = old.object_id;
  get diagnostics held_back = row_count;

  select * into members from clerk_sync.purge_tombstones('organization_membership', now() - s.tombstone_retention, most);
  select * into users from clerk_sync.purge_tombstones('user', now() - s.tombstone_retention, most_parents);
  select * into orgs from clerk_sync.purge_tombstones('organization', now() - s.tombstone_retention, most_parents);

  with old as (
    select e.clerk_membership_id from clerk_sync.ended_memberships as e
    where e.deleted_at < now() - s.tombstone_retention
    order by e.deleted_at limit purge.most for update skip locked)
  delete from clerk_sync.ended_memberships as e using old where e.clerk_membership_id = old.clerk_membership_id;

  with old as (
    select l.id from clerk_sync.audit_log as l
    where l.at < now() - s.audit_retention
    order by l.at limit purge.most for update skip locked)
  delete from clerk_sync.audit_log as l using old where l.id = old.id;
  get diagnostics audited = row_count;

  perform set_config('clerk_sync.cause', outer_cause, true);
  return jsonb_build_object(
    'payloads', payloads, 'events', events, 'organization_memberships', members.purged,
    'users', users.purged, 'organizations', orgs.purged, 'held', members.held + users.held + orgs.held,
    'audit_records', audited, 'held_back', held_back,
    'more', greatest(payloads, events, metadata, held_back, audited) >= most or members.more or users.more or orgs.more);
end
$$;

revoke execute on function
  clerk_sync.purge(integer), clerk_sync.referred_to(text, text[]),
  clerk_sync.purge_tombstones(text, timestamptz, integer)
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.purge(integer) to clerksync_writer;
