-- How many rows of a table fulfil a condition: exactly, up to a bound, and beyond it as
-- the statistics of the partial index on that condition know it. The condition is
-- written as Postgres writes the index's. Statistics that are older than the rows are
-- scaled to what the index has grown to.
create or replace function clerk_sync.count_rows(
  relation regclass, condition text, most bigint default 20000, out rows bigint, out estimated boolean
)
-- A bitmap is made of all before the first is counted.
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  known bigint;
begin
  execute format('select count(*) from (select from %s where %s limit $1) as f', relation, condition)
  into rows using most + 1;
  estimated := rows > most;
  if estimated then
    select max(c.reltuples / c.relpages * (pg_relation_size(c.oid) / current_setting('block_size')::integer)) into known
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    where i.indrelid = relation and c.reltuples > 0 and c.relpages > 0
      and pg_get_expr(i.indpred, i.indrelid) in (condition, format('(%s)', condition));
    rows := greatest(rows, known);
  end if;
end
$$;

-- The rows of one kind of object. Each count is a statement of its own, so that one
-- which takes too long does not take the others with it.
create or replace function clerk_sync.count_objects(object text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  o            clerk_sync.objects := clerk_sync.object(object);
  live         record;
  placeholders record;
  tombstones   record;
begin
  select c.* into live from clerk_sync.count_rows(o.relation, 'deleted_at IS NULL') as c;
  select c.* into tombstones from clerk_sync.count_rows(o.relation, 'deleted_at IS NOT NULL') as c;
  select 0::bigint as rows, false as estimated into placeholders;
  if exists (select from pg_attribute as a
             where a.attrelid = o.relation and a.attname = 'is_placeholder' and not a.attisdropped) then
    select c.* into placeholders from clerk_sync.count_rows(o.relation, 'is_placeholder') as c;
  end if;
  return jsonb_build_object(
    'live', greatest(live.rows - placeholders.rows, 0), 'placeholders', placeholders.rows, 'tombstones', tombstones.rows,
    'estimated', live.estimated or placeholders.estimated or tombstones.estimated,
    'held', coalesce((select p.held_last from clerk_sync.purged_until as p where p.object = count_objects.object), 0));
end
$$;

-- The recorded events by their outcome, as exact as rows are counted: of nearly all,
-- which were applied, the number is what the others leave of the whole.
create or replace function clerk_sync.count_events(out events jsonb, out estimated text[])
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off set enable_bitmapscan = off as $$
declare
  most  constant bigint := 20000;
  total bigint;
  rows  bigint;
  one   text;
begin
  select count(*) into total from (select from clerk_sync.webhook_events limit most + 1) as f;
  if total <= most then
    select coalesce(jsonb_object_agg(e.outcome, e.n), '{}'), '{}' into events, estimated
    from (select w.outcome, count(*) as n from clerk_sync.webhook_events as w group by w.outcome) as e;
    return;
  end if;
  select greatest(total, c.reltuples / nullif(c.relpages, 0) * (pg_relation_size(c.oid) / current_setting('block_size')::integer))
  into total from pg_class as c where c.oid = 'clerk_sync.webhook_events'::regclass;
  events := '{}';
  estimated := '{applied}';
  foreach one in array '{stale,ignored,rejected}'::text[] loop
    execute format('select count(*) from (select from clerk_sync.webhook_events where outcome = %L limit $1) as f', one)
    into rows using most + 1;
    if rows > most then
      estimated := estimated || one;
      rows := greatest(rows, total * (
        select s.most_common_freqs[array_position(s.most_common_vals::text::text[], one)] from pg_stats as s
        where s.schemaname = 'clerk_sync' and s.tablename = 'webhook_events' and s.attname = 'outcome'));
    end if;
    if rows > 0 then
      events := events || jsonb_build_object(one, rows);
    end if;
    total := total - rows;
  end loop;
  events := events || jsonb_build_object('applied', greatest(total, 0));
end
$$;

-- The last run of all and the last complete one.
create or replace function clerk_sync.last_runs() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return jsonb_build_object(
    'last_run', (select to_jsonb(r) from clerk_sync.recent_runs(1) as r),
    'last_complete_run', (select to_jsonb(f) - array['initial', 'resumed_at', 'took', 'windows', 'windows_finished']
                          from clerk_sync.full_syncs as f where f.state = 'complete' order by f.id desc limit 1));
end
$$;

-- Of how many deleted users and organizations memberships are still to be ended.
create or replace function clerk_sync.count_endings() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select count(*) from (select from clerk_sync.endings limit 20001) as f);
end
$$;

-- All of it in one statement.
create or replace function clerk_sync.status() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  told record;
begin
  select * into told from clerk_sync.count_events();
  return jsonb_build_object(
    'users', clerk_sync.count_objects('user'),
    'organizations', clerk_sync.count_objects('organization'),
    'organization_memberships', clerk_sync.count_objects('organization_membership'),
    'events', told.events, 'events_estimated', told.estimated, 'ending', clerk_sync.count_endings(),
    'held_back', clerk_sync.count_held_back(), 'last_event_at', clerk_sync.last_event_at()) || clerk_sync.last_runs();
end
$$;

-- When the last verified webhook arrived, for a run's report.
create or replace function clerk_sync.last_event_at() returns timestamptz
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select max(w.received_at) from clerk_sync.webhook_events as w
$$;

-- The schemas that were chosen when migrating, for logins that may not read the settings.
create or replace function clerk_sync.schemas(out exposed text, out helpers text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.exposed_schema, s.helpers_schema from clerk_sync.settings as s
$$;

-- Which migrations the database has, for logins that may not read their history: a
-- program compares it with its own.
create or replace function clerk_sync.migrated() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'history', coalesce((
      select jsonb_agg(jsonb_build_object('version', m.version, 'name', m.name, 'checksum', m.checksum, 'applied_at', m.applied_at))
      from clerk_sync.migrations as m), '[]'),
    'rules', (select jsonb_build_object('checksum', r.checksum, 'revision', r.revision, 'applied_at', r.applied_at) from clerk_sync.rules as r))
$$;

-- What the diagnostics may learn beyond what a user sees by itself: whether the
-- copy knows a user, its active organization and its membership there, and when
-- the copy last heard from Clerk. States, the role's key and a time; no columns
-- that hold personal data.
create or replace function clerk_sync.copy_state(user_id text, org_id text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'user', coalesce((
      select case when u.deleted_at is not null then 'deleted' when u.is_placeholder then 'placeholder' else 'live' end
      from {{exposed}}.users as u
      where u.clerk_id = copy_state.user_id), 'absent'),
    'organization', case when copy_state.org_id is not null then coalesce((
      select case when o.deleted_at is not null then 'deleted' when o.is_placeholder then 'placeholder' else 'live' end
      from {{exposed}}.organizations as o
      where o.clerk_org_id = copy_state.org_id), 'absent') end,
    'membership', case when copy_state.org_id is not null then coalesce(m.state, 'absent') end,
    'role', m.role,
    'last_event_at', (select max(e.received_at) from clerk_sync.webhook_events as e))
  from (values (1)) as always (one)
  -- Who left and joined again has two: the live one counts, then the newest.
  left join lateral (
    select case when m.deleted_at is null then 'live' else 'deleted' end as state,
           case when m.deleted_at is null then m.role end as role
    from {{exposed}}.organization_memberships as m
    where m.clerk_user_id = copy_state.user_id and m.clerk_org_id = copy_state.org_id
    order by m.deleted_at desc nulls first, m.sync_version desc
    limit 1
  ) as m on true
$$;

comment on function clerk_sync.copy_state(text, text) is
  'What the copy knows of a user and its organization: live, placeholder, deleted or absent. For clerksync_diagnostics.';

revoke execute on function
  clerk_sync.count_rows(regclass, text, bigint), clerk_sync.count_objects(text), clerk_sync.count_events(),
  clerk_sync.last_runs(), clerk_sync.count_endings(),
  clerk_sync.status(), clerk_sync.last_event_at(), clerk_sync.schemas(), clerk_sync.migrated(), clerk_sync.copy_state(text, text)
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.count_objects(text), clerk_sync.count_events(), clerk_sync.last_runs(), clerk_sync.count_endings(),
  clerk_sync.status(), clerk_sync.last_event_at(), clerk_sync.schemas(), clerk_sync.migrated()
to clerksync_writer;
grant execute on function clerk_sync.schemas(), clerk_sync.copy_state(text, text) to clerksync_diagnostics;
