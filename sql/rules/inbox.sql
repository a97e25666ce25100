-- Reading the inbox: what arrived, as it arrives, and one event of it. No value of a
-- payload is shown but to the owner.

-- Whether an event is one of those asked for; null asks for any. A type is that of the
-- event, or the part of it before the dot; an object is what the event is about, or the
-- user or the organization of a membership; a part is one of any of these ids.
create or replace function clerk_sync.is_asked_for(e clerk_sync.webhook_events, of_type text, of_object text, part text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (of_type is null or e.type = of_type or starts_with(e.type, of_type || '.'))
    and (of_object is null or of_object in (e.object_id, e.user_id, e.organization_id))
    and (part is null or strpos(concat_ws(' ', e.svix_id, e.object_id, e.user_id, e.organization_id), part) > 0);
end
$$;

-- Latest first. behind goes on within the moment of before.
create or replace function clerk_sync.recent_events(only_outcome text default null, before timestamptz default null, most integer default 50,
  behind text default null, since timestamptz default null, of_type text default null, of_object text default null, part text default null)
returns table (
  svix_id text, type text, outcome text, reason text, detail text, object_id text,
  stated_at timestamptz, received_at timestamptz, replayed_at timestamptz, replayable boolean)
language plpgsql stable security definer
-- Planned for what is asked: one plan for all outcomes could use no partial index.
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
  return query
  select e.svix_id, e.type, e.outcome, e.reason, e.detail, e.object_id,
         e.stated_at, e.received_at, e.replayed_at, e.outcome = 'rejected' and e.payload is not null
  from clerk_sync.webhook_events as e
  where (recent_events.only_outcome is null or e.outcome = recent_events.only_outcome)
    and (recent_events.since is null or e.received_at >= recent_events.since)
    and (recent_events.before is null or e.received_at <= recent_events.before)
    and (recent_events.before is null or e.received_at < recent_events.before or e.svix_id > recent_events.behind)
    and (coalesce(recent_events.of_type, recent_events.of_object, recent_events.part) is null
         or clerk_sync.is_asked_for(e, recent_events.of_type, recent_events.of_object, recent_events.part))
  order by e.received_at desc, e.svix_id
  limit least(greatest(recent_events.most, 1), 1000);
end
$$;

-- What was recorded since a look, in the order of the transactions, and the look of now as
-- the place to go on from: {"place": {…}, "events": […]}. Without a place it answers
-- where to begin: behind everything that can be seen, or with what came since then.
--
-- A look is a snapshot. What it could not see, also of a transaction that was under way
-- for an hour, is told once by the looks behind it; no look waits for a transaction. Where
-- a look finds more than it tells, its place says where the next goes on, in the same
-- snapshot: "in" and "id" are of the last event that was told.
create or replace function clerk_sync.events_since(place jsonb, most integer default 500, only_outcome text default null,
  since timestamptz default null, of_type text default null, of_object text default null, part text default null)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
  look constant pg_snapshot := coalesce(place ->> 'look', pg_current_snapshot()::text)::pg_snapshot;
  seen constant pg_snapshot := (place ->> 'seen')::pg_snapshot;
  last_in constant xid8 := (place ->> 'in')::xid8;
  last_id constant text := place ->> 'id';
  -- At the beginning there is nothing to tell unless a time is given.
  start constant timestamptz := case when seen is null then coalesce(since, 'infinity') else '-infinity' end;
  told jsonb;
  n    integer;
begin
  if start < 'infinity' then
    select jsonb_agg(to_jsonb(t) order by t.recorded_in, t.svix_id), count(*) into told, n
    from (
      select e.svix_id, e.type, e.outcome, e.reason, e.detail, e.object_id, e.stated_at, e.received_at, e.replayed_at,
             e.outcome = 'rejected' and e.payload is not null as replayable, e.recorded_in
      from clerk_sync.webhook_events as e
      where (seen is null or e.recorded_in >= pg_snapshot_xmin(seen))
        and (last_in is null or (e.recorded_in, e.svix_id) > (last_in, last_id))
        and (seen is null or not pg_visible_in_snapshot(e.recorded_in, seen))
        and pg_visible_in_snapshot(e.recorded_in, look)
        and (start = '-infinity' or e.received_at >= start)
        and (events_since.only_outcome is null or e.outcome = events_since.only_outcome)
        and (coalesce(events_since.of_type, events_since.of_object, events_since.part) is null
             or clerk_sync.is_asked_for(e, events_since.of_type, events_since.of_object, events_since.part))
      order by e.recorded_in, e.svix_id
      limit least(greatest(events_since.most, 1), 1000)
    ) as t;
  end if;
  return jsonb_build_object('events', coalesce(told, '[]'), 'place', case
    when n >= least(greatest(most, 1), 1000) then
      jsonb_build_object('look', look, 'seen', seen, 'in', told -> -1 ->> 'recorded_in', 'id', told -> -1 ->> 'svix_id')
    else jsonb_build_object('seen', look) end);
end
$$;

-- The shape of a value: names, kinds, ids, times and roles, and of all else that it is
-- there. What a member called metadata holds is the team's own, its names too.
create or replace function clerk_sync.masked(value jsonb, name text default '', depth integer default 0) returns jsonb
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  said constant text := value #>> '{}';
begin
  case
  when value is null or jsonb_typeof(value) in ('boolean', 'null') then
    return value;
  when name ~ 'metadata' or depth > 16 then
    return to_jsonb(format('(%s)', jsonb_typeof(value)));
  when jsonb_typeof(value) = 'object' then
    return (
      select coalesce(jsonb_object_agg(
        case when m.key ~ '^[a-z][a-z0-9_]{0,40}$' then m.key else format('(name %s)', m.position) end,
        clerk_sync.masked(m.value, m.key, depth + 1)), '{}')
      from jsonb_each(value) with ordinality as m (key, value, position));
  when jsonb_typeof(value) = 'array' then
    return (
      select coalesce(jsonb_agg(clerk_sync.masked(e.value, name, depth + 1) order by e.position), '[]')
      from jsonb_array_elements(value) with ordinality as e (value, position) where e.position <= 100);
  when jsonb_typeof(value) = 'number' then
    return case when name ~ '(^timestamp|_at)$' then value else to_jsonb('(number)'::text) end;
  when (name ~ '(^|_)id$' and name <> 'external_id' or name = 'created_by') and said ~ '^[a-z]{2,12}_[A-Za-z0-9]{1,64}$'
    or name in ('type', 'object', 'role', 'permissions') and said ~ '^[a-z][A-Za-z0-9_:.-]{0,100}$' then
    return value;
  else
    return to_jsonb(format('(text of %s characters)', length(said)));
  end case;
end
$$;

-- One event, its payload masked; null where none is recorded by this id.
create or replace function clerk_sync.event(svix_id text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select to_jsonb(e) - '{payload,raw_body,recorded_in}'::text[] || jsonb_build_object(
      'replayable', e.outcome = 'rejected' and e.payload is not null,
      'payload', clerk_sync.masked(e.payload), 'raw_body_bytes', length(e.raw_body))
    from clerk_sync.webhook_events as e where e.svix_id = event.svix_id);
end
$$;

-- How often each signing secret has verified a delivery of messages received since then,
-- and when last; of a repeated delivery the last time counts. A null stands for callers
-- that do not say which it was.
create or replace function clerk_sync.signatures(since timestamptz)
returns table (signed_with text, messages bigint, first_at timestamptz, last_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select d.by, count(distinct d.svix_id), min(d.at), max(d.at)
  from (
    select e.signed_with as by, e.svix_id, e.received_at as at
    from clerk_sync.webhook_events as e where e.received_at >= signatures.since
    union all
    select r.key, e.svix_id, to_timestamp(r.value::bigint / 1000.0)
    from clerk_sync.webhook_events as e cross join lateral jsonb_each_text(e.repeated) as r
    where e.received_at >= signatures.since and e.repeated is not null) as d
  group by d.by order by max(d.at) desc, d.by;
end
$$;

-- The event types that were received since then, with how many of each.
create or replace function clerk_sync.event_types(since timestamptz) returns table (type text, messages bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select e.type, count(*) from clerk_sync.webhook_events as e
  where e.received_at >= event_types.since group by e.type order by e.type;
end
$$;

-- What is kept of an event as it came: for the owner only.
create or replace function clerk_sync.event_payload(svix_id text, out payload jsonb, out raw_body bytea)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
begin
  select e.payload, e.raw_body into payload, raw_body from clerk_sync.webhook_events as e where e.svix_id = event_payload.svix_id;
end
$$;

revoke execute on function
  clerk_sync.is_asked_for(clerk_sync.webhook_events, text, text, text),
  clerk_sync.recent_events(text, timestamptz, integer, text, timestamptz, text, text, text),
  clerk_sync.events_since(jsonb, integer, text, timestamptz, text, text, text),
  clerk_sync.masked(jsonb, text, integer), clerk_sync.event(text), clerk_sync.event_payload(text),
  clerk_sync.signatures(timestamptz), clerk_sync.event_types(timestamptz)
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.recent_events(text, timestamptz, integer, text, timestamptz, text, text, text),
  clerk_sync.events_since(jsonb, integer, text, timestamptz, text, text, text), clerk_sync.event(text),
  clerk_sync.signatures(timestamptz), clerk_sync.event_types(timestamptz)
to clerksync_writer;
