-- One verified webhook message in, one outcome out.

-- A field that is not of its kind: 'first_name is object'. Names and kinds only,
-- never values. Null and absent are fine. A loop is cheaper here than a query.
create or replace function clerk_sync.misshapen(resource jsonb, texts text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  field text;
begin
  foreach field in array texts loop
    if jsonb_typeof(resource -> field) not in ('string', 'null') then
      return field || ' is ' || jsonb_typeof(resource -> field);
    end if;
  end loop;
  foreach field in array array['created_at', 'updated_at', 'last_sign_in_at', 'last_active_at'] loop
    if jsonb_typeof(resource -> field) not in ('number', 'null') then
      return field || ' is ' || jsonb_typeof(resource -> field);
    end if;
  end loop;
  foreach field in array array['email_addresses', 'phone_numbers'] loop
    if jsonb_typeof(resource -> field) not in ('array', 'null') then
      return field || ' is ' || jsonb_typeof(resource -> field);
    end if;
  end loop;
  return null;
end
$$;

-- Many verified webhook messages in, one outcome each out: what a queue hands over
-- after an import. The rules are those of one event; what changes is how often the
-- database is asked.

-- What can be told about an event without looking at the copy. An outcome is final;
-- without one the event is to be applied, as stated at stated_ms (null if it does
-- not say when). Moved out of dispatch_event, so that one event and many are judged
-- by the same words.
create or replace function clerk_sync.check_event(
  event jsonb, expected_instance text, out outcome text, out reason text, out detail text, out stated_ms bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  data      jsonb := event -> 'data';
  type      text;
  pinned    text;
  object_id text;
  stated    numeric;
  broken    text;
begin
  if jsonb_typeof(data) is distinct from 'object' or jsonb_typeof(event -> 'type') is distinct from 'string'
     or length(event ->> 'type') not between 1 and 200 then
    outcome := 'rejected'; reason := 'not_an_event';
    return;
  end if;
  type := event ->> 'type';

  select s.instance_id into pinned from clerk_sync.settings as s;
  if event ->> 'instance_id' <> pinned or event ->> 'instance_id' <> expected_instance then
    outcome := 'rejected'; reason := 'wrong_instance';
    return;
  end if;

  if type not in (
    'user.created', 'user.updated', 'user.deleted',
    'organization.created', 'organization.updated', 'organization.deleted',
    'organizationMembership.created', 'organizationMembership.updated', 'organizationMembership.deleted',
    'role.created', 'role.updated', 'role.deleted',
    'permission.created', 'permission.updated', 'permission.deleted')
  then
    outcome := 'ignored';
    return;
  end if;

  object_id := case when jsonb_typeof(data -> 'id') = 'string' then data ->> 'id' end;
  if coalesce(length(object_id), 0) not between 1 and 255 then
    outcome := 'rejected'; reason := case when data ? 'id' then 'malformed_id' else 'missing_id' end;
    return;
  end if;

  broken := clerk_sync.misshapen(data, array[
    'external_id', 'username', 'first_name', 'last_name', 'image_url', 'primary_email_address_id',
    'primary_phone_number_id', 'name', 'slug', 'created_by', 'role', 'key', 'description', 'type']);
  if broken is not null then
    outcome := 'rejected'; reason := 'malformed_field'; detail := 'data.' || broken;
    return;
  end if;

  -- Seconds or milliseconds, as in clerk_sync.incoming; absent in old examples.
  if jsonb_typeof(event -> 'timestamp') = 'number' then
    stated := trunc((event ->> 'timestamp')::numeric
      * case when (event ->> 'timestamp')::numeric < 1e11 then 1000 else 1 end);
  end if;
  if greatest(stated, (data ->> 'created_at')::numeric, (data ->> 'updated_at')::numeric) >= 1e14
     or least(stated, (data ->> 'created_at')::numeric, (data ->> 'updated_at')::numeric) < 0 then
    outcome := 'rejected'; reason := 'timestamp_out_of_range';
    return;
  end if;
  stated_ms := stated::bigint;

  if type like 'organizationMembership.%' then
    broken := case
      when coalesce(jsonb_typeof(data -> 'organization' -> 'id'), '') <> 'string'
        or length(data -> 'organization' ->> 'id') not between 1 and 255 then 'organization.id'
      when coalesce(jsonb_typeof(data -> 'public_user_data' -> 'user_id'), '') <> 'string'
        or length(data -> 'public_user_data' ->> 'user_id') not between 1 and 255 then 'public_user_data.user_id'
    end;
    if broken is not null then
      outcome := 'rejected'; reason := 'missing_parent'; detail := 'data.' || broken || ' is no id';
      return;
    end if;
    broken := coalesce(
      'organization.' || clerk_sync.misshapen(data -> 'organization',
        array['name', 'slug', 'image_url', 'created_by']),
      'public_user_data.' || clerk_sync.misshapen(data -> 'public_user_data',
        array['first_name', 'last_name', 'image_url', 'username']));
    if broken is not null then
      outcome := 'rejected'; reason := 'malformed_field'; detail := 'data.' || broken;
      return;
    end if;
  end if;

  if stated_ms is null and data ->> 'updated_at' is null and type in (
    'user.created', 'user.updated', 'organization.created', 'organization.updated',
    'organizationMembership.created', 'organizationMembership.updated')
  then
    outcome := 'rejected'; reason := 'missing_updated_at';
  end if;
end
$$;

-- Which of two statements of one millisecond wins: 1 for created, 2 for anything
-- later, as in sync_version.
create or replace function clerk_sync.event_kind(type text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return case split_part(type, '.', 2) when 'created' then '1' else '2' end;
end
$$;

-- Applies one event that check_event has passed.
create or replace function clerk_sync.apply_checked_event(
  event jsonb, stated_ms bigint, out outcome text, out reason text, out detail text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  data       constant jsonb := event -> 'data';
  kind       constant text := clerk_sync.event_kind(event ->> 'type');
  deleted_at constant timestamptz := coalesce(to_timestamp(stated_ms / 1000.0), now());
  result     text;
begin
  case event ->> 'type'
    when 'user.created', 'user.updated' then
      select a.result into result from clerk_sync.apply_users(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'organization.created', 'organization.updated' then
      select a.result into result from clerk_sync.apply_organizations(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'organizationMembership.created', 'organizationMembership.updated' then
      select a.result into result from clerk_sync.apply_memberships(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'role.created', 'role.updated' then
      select a.result into result from clerk_sync.apply_roles(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'permission.created', 'permission.updated' then
      select a.result into result from clerk_sync.apply_permissions(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'user.deleted' then
      perform clerk_sync.tombstone_users(array[data ->> 'id'], deleted_at);
    when 'organization.deleted' then
      perform clerk_sync.tombstone_organizations(array[data ->> 'id'], deleted_at);
    when 'organizationMembership.deleted' then
      perform clerk_sync.tombstone_memberships(jsonb_build_array(data), array[stated_ms], array[kind], deleted_at);
    when 'role.deleted' then
      perform clerk_sync.tombstone_roles(array[data ->> 'id'], deleted_at);
    when 'permission.deleted' then
      perform clerk_sync.tombstone_permissions(array[data ->> 'id'], deleted_at);
  end case;
  outcome := case when result in ('stale', 'deleted') then 'stale' else 'applied' end;
exception
  -- The event's own fault, or that of a constraint or trigger which somebody
  -- put on the copy: trying again cannot help. The message may quote the
  -- event, so only the code is kept.
  when data_exception or integrity_constraint_violation or raise_exception or program_limit_exceeded then
    outcome := 'rejected'; reason := 'not_applicable'; detail := 'SQLSTATE ' || sqlstate;
end
$$;

-- Applies one event and says what became of it; records nothing. What can never
-- be applied comes back as 'rejected'; what may pass (a lock, a timeout, a lost
-- connection, a table that is being migrated) is raised.
create or replace function clerk_sync.dispatch_event(
  event jsonb, expected_instance text, out outcome text, out reason text, out detail text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  stated_ms bigint;
begin
  select c.outcome, c.reason, c.detail, c.stated_ms into outcome, reason, detail, stated_ms
  from clerk_sync.check_event(event, expected_instance) as c;
  if outcome is null then
    select a.outcome, a.reason, a.detail into outcome, reason, detail
    from clerk_sync.apply_checked_event(event, stated_ms) as a;
  end if;
end
$$;

-- What may be kept of a message. Types that can carry one-time codes or live
-- tickets, and all that we do not know, never have their payload stored; nor has
-- anything about somebody who is deleted.
create or replace function clerk_sync.keepable_payload(event jsonb, user_id text, organization_id text) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (
  select case when s.store_private_metadata then k.event
              else k.event #- '{data,private_metadata}' #- '{data,organization,private_metadata}' end
  from clerk_sync.settings as s
  -- The browser and address that caused the change are of no use here.
  cross join lateral (select keepable_payload.event - 'event_attributes') as k (event)
  where k.event ->> 'type' ~ '^(user|organization|organizationMembership|role|permission)\.[a-z]+$'
    and not exists (
      select from {{exposed}}.users as u where u.clerk_id = keepable_payload.user_id and u.sync_version = '9')
    and not exists (
      select from {{exposed}}.organizations as o
      where o.clerk_org_id = keepable_payload.organization_id and o.sync_version = '9'));
end
$$;

-- What the inbox remembers of a message.
create or replace function clerk_sync.event_record(svix_id text, event jsonb, outcome text, reason text, detail text)
returns clerk_sync.webhook_events
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  data   constant jsonb := case when jsonb_typeof(event -> 'data') = 'object' then event -> 'data' end;
  stated constant numeric := case when jsonb_typeof(event -> 'timestamp') = 'number' then (event ->> 'timestamp')::numeric end;
  r      clerk_sync.webhook_events;
begin
  r.svix_id := svix_id;
  r.type := case when reason is distinct from 'not_an_event' then event ->> 'type' else '' end;
  r.outcome := outcome;
  r.reason := reason;
  r.detail := detail;
  r.object_id := left(data ->> 'id', 255);
  r.user_id := left(case split_part(event ->> 'type', '.', 1)
    when 'user' then data ->> 'id'
    when 'organizationMembership' then data -> 'public_user_data' ->> 'user_id' end, 255);
  r.organization_id := left(case split_part(event ->> 'type', '.', 1)
    when 'organization' then data ->> 'id'
    when 'organizationMembership' then data -> 'organization' ->> 'id' end, 255);
  r.instance_id := left(event ->> 'instance_id', 255);
  r.stated_at := case when stated between 0 and 1e14
    then to_timestamp((stated / case when stated < 1e11 then 1 else 1000 end)::double precision) end;
  r.received_at := now();
  if outcome = 'rejected'
     or outcome <> 'ignored' and (select s.keep_applied_payloads from clerk_sync.settings as s) then
    r.payload := clerk_sync.keepable_payload(event, r.user_id, r.organization_id);
  end if;
  return r;
end
$$;

create or replace function clerk_sync.apply_event(
  svix_id text, event jsonb, expected_instance text default null, out outcome text, out reason text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  detail      text;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if exists (select from clerk_sync.webhook_events as e where e.svix_id = apply_event.svix_id) then
    outcome := 'duplicate';
    return;
  end if;

  perform set_config('clerk_sync.cause', svix_id, true);
  select d.outcome, d.reason, d.detail into outcome, reason, detail
  from clerk_sync.dispatch_event(event, expected_instance) as d;
  perform set_config('clerk_sync.cause', outer_cause, true);

  -- Recorded in the same transaction as the change. Two deliveries at one time
  -- may both come this far: the second waits here for the first, and what it did
  -- above changed nothing, since it stated what the first had just written.
  insert into clerk_sync.webhook_events
  select r.* from clerk_sync.event_record(svix_id, event, outcome, reason, detail) as r
  on conflict on constraint webhook_events_pkey do nothing;

  if not found then
    outcome := 'duplicate'; reason := null;
  end if;
  perform clerk_sync.end_some_memberships();
end
$$;

comment on function clerk_sync.apply_event(text, jsonb, text) is
  'Applies one verified Clerk webhook: applied, duplicate, stale, ignored or rejected (with a reason). Safe to repeat.';

-- Applies many events and answers for each, in their order. It comes to the same,
-- rows and outcomes, as applying them one by one in this order: round by round, and
-- within a round users, organizations, memberships, and then the rest. Since rows
-- do not depend on the order of events, any order is right.
--
-- svix_ids and expected_instances (null: no pin for any) go with the events by their
-- position.
create or replace function clerk_sync.apply_events(svix_ids text[], events jsonb, expected_instances text[] default null)
returns table (outcome text, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  batch       clerk_sync.batched_event[];
  one         clerk_sync.batched_event;
  decided     record;
  outcomes    text[];
  reasons     text[];
  details     text[];
  recorded    jsonb;
  rounds      integer;
  this_object text;
  results     jsonb;
  resources   jsonb;
  stated_ms   bigint[];
  kinds       text[];
  causes      jsonb;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if jsonb_typeof(apply_events.events) is distinct from 'array'
     or jsonb_array_length(apply_events.events) <> cardinality(apply_events.svix_ids)
     or cardinality(apply_events.expected_instances) <> cardinality(apply_events.svix_ids) then
    raise invalid_parameter_value using message = 'apply_events takes one svix-id, and one instance if any, for each event';
  end if;

  -- A batch writes to the same tables several times over, and so cannot take its
  -- locks in the one order that keeps single events from waiting for each other.
  -- Batches therefore go one at a time. Nothing is lost by it: the lock is held while
  -- this statement works, not while its sender does. Should a batch and a single
  -- event wait for each other, Postgres ends one of the two, and its sender comes
  -- again.
  perform pg_advisory_xact_lock(hashtextextended('clerk_sync.apply_events', 0));

  select array_agg(row(
      n."position", n.svix_id, n.event, n.event ->> 'type', n.object, n.object_id, n.stated_ms,
      case when n.outcome is null then n.round end, n.outcome, n.reason, n.detail)::clerk_sync.batched_event
      order by n."position"),
    array_agg(n.outcome order by n."position"),
    array_agg(n.reason order by n."position"),
    array_agg(n.detail order by n."position"),
    max(n.round) filter (where n.outcome is null)
  into batch, outcomes, reasons, details, rounds
  from (
    select d."position"::integer, d.svix_id, d.event, d.object, d.object_id, c.stated_ms,
           row_number() over (partition by d.object, d.object_id, j.outcome is null order by d."position")::integer as round,
           j.outcome, c.reason, c.detail
    from (
      select i.*, split_part(i.event ->> 'type', '.', 1) as object, i.event -> 'data' ->> 'id' as object_id,
             e.svix_id is not null or row_number() over (partition by i.svix_id order by i."position") > 1 as known
      from rows from (
             unnest(apply_events.svix_ids), jsonb_array_elements(apply_events.events), unnest(apply_events.expected_instances)
           ) with ordinality as i (svix_id, event, expected_instance, "position")
      -- Joined, since "exists" would be answered from a hash of the whole table.
      left join clerk_sync.webhook_events as e on e.svix_id = i.svix_id
      offset 0
    ) as d
    left join lateral clerk_sync.check_event(d.event, nullif(d.expected_instance, '')) as c on not d.known
    cross join lateral (select case when d.known then 'duplicate' else c.outcome end as outcome) as j
  ) as n;

  for this_round in 1 .. coalesce(rounds, 0) loop
    foreach this_object in array array['user', 'organization', 'organizationMembership'] loop
      -- Without a time of its own an event would take over that of another.
      select jsonb_agg(b.event -> 'data' order by b."position"), array_agg(b.stated_ms order by b."position"),
             array_agg(clerk_sync.event_kind(b.type) order by b."position"),
             jsonb_object_agg(b.object_id, b.svix_id)
      into resources, stated_ms, kinds, causes
      from unnest(batch) as b
      where b.round = this_round and b.object = this_object and b.type not like '%.deleted' and b.stated_ms is not null;

      if resources is null then
        continue;
      end if;

      if this_object = 'organizationMembership' then
        -- What its parents' placeholders are made of came with the membership.
        causes := causes || (
          select jsonb_object_agg(p.id, b.svix_id)
          from unnest(batch) as b
          cross join lateral unnest(array[
            b.event -> 'data' -> 'organization' ->> 'id', b.event -> 'data' -> 'public_user_data' ->> 'user_id']) as p (id)
          where b.round = this_round and b.object = this_object and b.type not like '%.deleted' and b.stated_ms is not null);
      end if;

      begin
        perform set_config('clerk_sync.causes', causes::text, true);
        results := case this_object
          when 'user' then (select jsonb_object_agg(a.id, a.result) from clerk_sync.apply_users(resources, stated_ms, kinds) as a)
          when 'organization' then (select jsonb_object_agg(a.id, a.result) from clerk_sync.apply_organizations(resources, stated_ms, kinds) as a)
          else (select jsonb_object_agg(a.id, a.result) from clerk_sync.apply_memberships(resources, stated_ms, kinds) as a)
        end;
        perform set_config('clerk_sync.causes', '', true);
      exception
        -- One of them cannot be applied, which is no reason to refuse the others:
        -- they are all tried by themselves below.
        when data_exception or integrity_constraint_violation or raise_exception or program_limit_exceeded then
          continue;
      end;

      foreach one in array batch loop
        if one.round = this_round and one.object = this_object and one.type not like '%.deleted' and one.stated_ms is not null then
          outcomes[one."position"] := case when results ->> one.object_id in ('stale', 'deleted') then 'stale' else 'applied' end;
        end if;
      end loop;
    end loop;

    foreach one in array batch loop
      if one.round = this_round and outcomes[one."position"] is null then
        perform set_config('clerk_sync.cause', one.svix_id, true);
        select a.outcome, a.reason, a.detail into decided
        from clerk_sync.apply_checked_event(one.event, one.stated_ms) as a;
        outcomes[one."position"] := decided.outcome;
        reasons[one."position"] := decided.reason;
        details[one."position"] := decided.detail;
        perform set_config('clerk_sync.cause', outer_cause, true);
      end if;
    end loop;
  end loop;

  with told as (
    insert into clerk_sync.webhook_events as e
    select r.*
    from unnest(batch) as b
    cross join lateral clerk_sync.event_record(
      b.svix_id, b.event, outcomes[b."position"], reasons[b."position"], details[b."position"]) as r
    where b.outcome is distinct from 'duplicate'
    order by b.svix_id
    on conflict on constraint webhook_events_pkey do nothing
    returning e.svix_id
  )
  select coalesce(jsonb_object_agg(t.svix_id, true), '{}') into recorded from told as t;

  perform clerk_sync.end_some_memberships();

  -- Recorded by somebody else meanwhile, as in apply_event.
  return query
  select case when recorded ? b.svix_id then outcomes[b."position"] else 'duplicate' end,
         case when recorded ? b.svix_id then reasons[b."position"] end
  from unnest(batch) as b
  order by b."position";
end
$$;

comment on function clerk_sync.apply_events(text[], jsonb, text[]) is
  'Applies verified Clerk webhooks, one outcome each in their order. Safe to repeat.';

-- A verified message whose body is no event that Postgres could hold.
create or replace function clerk_sync.reject_event(svix_id text, body bytea, why text, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  if why !~ '^[a-z0-9_]{1,64}$' then
    raise invalid_parameter_value using message = 'the reason of a rejected event is a code of small letters, digits and underscores';
  end if;
  insert into clerk_sync.webhook_events as e (svix_id, type, outcome, reason, raw_body)
  values (
    svix_id, '', 'rejected', why,
    -- Its type cannot be read, so whatever looks like a message with a code or a
    -- ticket in it is not kept.
    case when encode(body, 'escape') !~* '(email|sms)\.created|invitation|waitlist|ticket' then body end)
  on conflict on constraint webhook_events_pkey do nothing;
  outcome := case when found then 'rejected' else 'duplicate' end;
  reason := case when found then why end;
end
$$;

-- Tries a rejected event again, after whatever refused it was mended. Replaying
-- an old event is harmless: it is ordered by what it states, not by when it comes.
create or replace function clerk_sync.replay_event(svix_id text, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  stored      clerk_sync.webhook_events;
  detail      text;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  select * into stored from clerk_sync.webhook_events as e
  where e.svix_id = replay_event.svix_id for update;
  if not found then
    raise no_data_found using message = format('no event %s is recorded', svix_id),
      hint = 'Events are forgotten after settings.event_retention; Clerk''s dashboard can send it again.';
  end if;
  if stored.outcome <> 'rejected' then
    outcome := stored.outcome;
    return;
  end if;
  if stored.payload is null then
    outcome := 'rejected'; reason := stored.reason;
    return;
  end if;

  perform set_config('clerk_sync.cause', svix_id, true);
  select d.outcome, d.reason, d.detail into outcome, reason, detail
  from clerk_sync.dispatch_event(stored.payload, null) as d;
  perform set_config('clerk_sync.cause', outer_cause, true);

  update clerk_sync.webhook_events as e set
    outcome = replay_event.outcome, reason = replay_event.reason, detail = detail, replayed_at = now(),
    payload = case when replay_event.outcome = 'rejected'
                     or (select s.keep_applied_payloads from clerk_sync.settings as s) then e.payload end
  where e.svix_id = replay_event.svix_id;
end
$$;

create or replace function clerk_sync.recent_events(only_outcome text default null, before timestamptz default null, most integer default 50)
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
    and (recent_events.before is null or e.received_at < recent_events.before)
  order by e.received_at desc, e.svix_id
  limit least(greatest(recent_events.most, 1), 1000);
end
$$;

revoke execute on function
  clerk_sync.misshapen(jsonb, text[]), clerk_sync.check_event(jsonb, text), clerk_sync.event_kind(text),
  clerk_sync.apply_checked_event(jsonb, bigint), clerk_sync.dispatch_event(jsonb, text),
  clerk_sync.keepable_payload(jsonb, text, text), clerk_sync.event_record(text, jsonb, text, text, text),
  clerk_sync.apply_event(text, jsonb, text), clerk_sync.apply_events(text[], jsonb, text[]),
  clerk_sync.reject_event(text, bytea, text), clerk_sync.replay_event(text),
  clerk_sync.recent_events(text, timestamptz, integer)
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.apply_event(text, jsonb, text), clerk_sync.apply_events(text[], jsonb, text[]),
  clerk_sync.reject_event(text, bytea, text), clerk_sync.replay_event(text),
  clerk_sync.recent_events(text, timestamptz, integer)
to clerksync_writer;
grant execute on function clerk_sync.apply_event(text, jsonb, text) to service_role;
