-- One verified webhook message in, one outcome out.

-- A field that is not of its kind: 'first_name is object'. Names and kinds only,
-- never values. Null and absent are fine. A loop is cheaper here than a query.
create function clerk_sync.misshapen(resource jsonb, texts text[]) returns text
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

-- Applies one event and says what became of it; records nothing. What can never
-- be applied comes back as 'rejected'; what may pass (a lock, a timeout, a lost
-- connection, a table that is being migrated) is raised.
create function clerk_sync.dispatch_event(
  event jsonb, expected_instance text, out outcome text, out reason text, out detail text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  data       jsonb := event -> 'data';
  kind       text := case split_part(event ->> 'type', '.', 2) when 'created' then '1' else '2' end;
  pinned     text;
  object_id  text;
  stated_ms  bigint;
  deleted_at timestamptz;
  result     text;
  broken     text;
begin
  select s.instance_id into pinned from clerk_sync.settings as s;
  if event ->> 'instance_id' <> pinned or event ->> 'instance_id' <> expected_instance then
    outcome := 'rejected'; reason := 'wrong_instance';
    return;
  end if;

  if event ->> 'type' not in (
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

  begin
    -- Seconds or milliseconds, as in clerk_sync.incoming; absent in old examples.
    if jsonb_typeof(event -> 'timestamp') = 'number' then
      stated_ms := trunc((event ->> 'timestamp')::numeric
        * case when (event ->> 'timestamp')::numeric < 1e11 then 1000 else 1 end)::bigint;
    end if;
    if greatest(stated_ms, (data ->> 'created_at')::numeric, (data ->> 'updated_at')::numeric) >= 1e14
       or least(stated_ms, (data ->> 'created_at')::numeric, (data ->> 'updated_at')::numeric) < 0 then
      outcome := 'rejected'; reason := 'timestamp_out_of_range';
      return;
    end if;
    deleted_at := coalesce(to_timestamp(stated_ms / 1000.0), now());

    case event ->> 'type'
      when 'user.created', 'user.updated' then
        if stated_ms is null and data ->> 'updated_at' is null then
          outcome := 'rejected'; reason := 'missing_updated_at';
          return;
        end if;
        select a.result into result from clerk_sync.apply_users(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
      when 'organization.created', 'organization.updated' then
        if stated_ms is null and data ->> 'updated_at' is null then
          outcome := 'rejected'; reason := 'missing_updated_at';
          return;
        end if;
        select a.result into result from clerk_sync.apply_organizations(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
      when 'organizationMembership.created', 'organizationMembership.updated', 'organizationMembership.deleted' then
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
        if event ->> 'type' = 'organizationMembership.deleted' then
          perform clerk_sync.tombstone_memberships(jsonb_build_array(data), array[stated_ms], array[kind], deleted_at);
        else
          if stated_ms is null and data ->> 'updated_at' is null then
            outcome := 'rejected'; reason := 'missing_updated_at';
            return;
          end if;
          select a.result into result from clerk_sync.apply_memberships(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
        end if;
      when 'role.created', 'role.updated' then
        select a.result into result from clerk_sync.apply_roles(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
      when 'permission.created', 'permission.updated' then
        select a.result into result from clerk_sync.apply_permissions(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
      when 'user.deleted' then
        perform clerk_sync.tombstone_users(array[object_id], deleted_at);
      when 'organization.deleted' then
        perform clerk_sync.tombstone_organizations(array[object_id], deleted_at);
      when 'role.deleted' then
        perform clerk_sync.tombstone_roles(array[object_id], deleted_at);
      when 'permission.deleted' then
        perform clerk_sync.tombstone_permissions(array[object_id], deleted_at);
    end case;
  exception
    -- The event's own fault, or that of a constraint or trigger which somebody
    -- put on the copy: trying again cannot help. The message may quote the
    -- event, so only the code is kept.
    when data_exception or integrity_constraint_violation or raise_exception or program_limit_exceeded then
      outcome := 'rejected'; reason := 'not_applicable'; detail := 'SQLSTATE ' || sqlstate;
      return;
  end;

  outcome := case when result in ('stale', 'deleted') then 'stale' else 'applied' end;
end
$$;

-- What may be kept of a message. Types that can carry one-time codes or live
-- tickets, and all that we do not know, never have their payload stored; nor has
-- anything about somebody who is deleted.
create function clerk_sync.keepable_payload(event jsonb, user_id text, organization_id text) returns jsonb
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

create function clerk_sync.apply_event(
  svix_id text, event jsonb, expected_instance text default null, out outcome text, out reason text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  data            jsonb;
  user_id         text;
  organization_id text;
  detail          text;
begin
  if exists (select from clerk_sync.webhook_events as e where e.svix_id = apply_event.svix_id) then
    outcome := 'duplicate';
    return;
  end if;

  data := case when jsonb_typeof(event -> 'data') = 'object' then event -> 'data' end;
  if data is null or jsonb_typeof(event -> 'type') is distinct from 'string'
     or length(event ->> 'type') not between 1 and 200 then
    outcome := 'rejected'; reason := 'not_an_event';
  else
    select d.outcome, d.reason, d.detail into outcome, reason, detail
    from clerk_sync.dispatch_event(event, expected_instance) as d;
  end if;

  user_id := left(case split_part(event ->> 'type', '.', 1)
    when 'user' then data ->> 'id'
    when 'organizationMembership' then data -> 'public_user_data' ->> 'user_id' end, 255);
  organization_id := left(case split_part(event ->> 'type', '.', 1)
    when 'organization' then data ->> 'id'
    when 'organizationMembership' then data -> 'organization' ->> 'id' end, 255);

  -- Recorded in the same transaction as the change. Two deliveries at one time
  -- may both come this far: the second waits here for the first, and what it did
  -- above changed nothing, since it stated what the first had just written.
  insert into clerk_sync.webhook_events as e (
    svix_id, type, outcome, reason, detail, object_id, user_id, organization_id, instance_id, stated_at, payload)
  values (
    svix_id, case when reason is distinct from 'not_an_event' then event ->> 'type' else '' end,
    outcome, reason, detail, left(data ->> 'id', 255), user_id, organization_id,
    left(event ->> 'instance_id', 255),
    case when jsonb_typeof(event -> 'timestamp') = 'number' and (event ->> 'timestamp')::numeric between 0 and 1e14
      then to_timestamp(((event ->> 'timestamp')::numeric
        / case when (event ->> 'timestamp')::numeric < 1e11 then 1 else 1000 end)::double precision) end,
    case when outcome = 'rejected'
           or outcome <> 'ignored' and (select s.keep_applied_payloads from clerk_sync.settings as s)
      then clerk_sync.keepable_payload(event, user_id, organization_id) end)
  on conflict on constraint webhook_events_pkey do nothing;

  if not found then
    outcome := 'duplicate'; reason := null;
  end if;
end
$$;

comment on function clerk_sync.apply_event(text, jsonb, text) is
  'Applies one verified Clerk webhook: applied, duplicate, stale, ignored or rejected (with a reason). Safe to repeat.';

-- A verified message whose body is no event that Postgres could hold.
create function clerk_sync.reject_event(svix_id text, body bytea, why text, out outcome text, out reason text)
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
create function clerk_sync.replay_event(svix_id text, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  stored clerk_sync.webhook_events;
  detail text;
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

  select d.outcome, d.reason, d.detail into outcome, reason, detail
  from clerk_sync.dispatch_event(stored.payload, null) as d;

  update clerk_sync.webhook_events as e set
    outcome = replay_event.outcome, reason = replay_event.reason, detail = detail, replayed_at = now(),
    payload = case when replay_event.outcome = 'rejected'
                     or (select s.keep_applied_payloads from clerk_sync.settings as s) then e.payload end
  where e.svix_id = replay_event.svix_id;
end
$$;

create function clerk_sync.recent_events(only_outcome text default null, before timestamptz default null, most integer default 50)
returns table (
  svix_id text, type text, outcome text, reason text, detail text, object_id text,
  stated_at timestamptz, received_at timestamptz, replayed_at timestamptz, replayable boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select e.svix_id, e.type, e.outcome, e.reason, e.detail, e.object_id,
         e.stated_at, e.received_at, e.replayed_at, e.outcome = 'rejected' and e.payload is not null
  from clerk_sync.webhook_events as e
  where (recent_events.only_outcome is null or e.outcome = recent_events.only_outcome)
    and (recent_events.before is null or e.received_at < recent_events.before)
  order by e.received_at desc, e.svix_id
  limit least(greatest(recent_events.most, 1), 1000)
$$;

create function clerk_sync.status() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'users', (select jsonb_build_object(
        'live', count(*) filter (where u.deleted_at is null and not u.is_placeholder),
        'placeholders', count(*) filter (where u.is_placeholder),
        'tombstones', count(*) filter (where u.deleted_at is not null)) from {{exposed}}.users as u),
    'organizations', (select jsonb_build_object(
        'live', count(*) filter (where o.deleted_at is null and not o.is_placeholder),
        'placeholders', count(*) filter (where o.is_placeholder),
        'tombstones', count(*) filter (where o.deleted_at is not null)) from {{exposed}}.organizations as o),
    'organization_memberships', (select jsonb_build_object(
        'live', count(*) filter (where m.deleted_at is null),
        'placeholders', 0,
        'tombstones', count(*) filter (where m.deleted_at is not null)) from {{exposed}}.organization_memberships as m),
    'events', (select coalesce(jsonb_object_agg(e.outcome, e.n), '{}')
               from (select w.outcome, count(*) as n from clerk_sync.webhook_events as w group by w.outcome) as e),
    'last_event_at', (select max(w.received_at) from clerk_sync.webhook_events as w))
$$;

-- Forgets what has been kept long enough. Call it now and then; each call does a
-- bounded amount of work and says how much, so that it can be called again.
create function clerk_sync.purge(most integer default 10000) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  s        clerk_sync.settings;
  payloads bigint;
  events   bigint;
  members  bigint;
  users    bigint := 0;
  orgs     bigint := 0;
  held     bigint := 0;
  gone     text;
begin
  select * into s from clerk_sync.settings;

  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - s.payload_retention and (e.payload is not null or e.raw_body is not null)
    order by e.received_at limit purge.most for update skip locked)
  update clerk_sync.webhook_events as e set payload = null, raw_body = null
  from old where e.svix_id = old.svix_id;
  get diagnostics payloads = row_count;

  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - s.event_retention
    order by e.received_at limit purge.most for update skip locked)
  delete from clerk_sync.webhook_events as e using old where e.svix_id = old.svix_id;
  get diagnostics events = row_count;

  if not s.store_private_metadata then
    delete from clerk_sync.private_metadata;
  end if;

  with old as (
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.deleted_at < now() - s.tombstone_retention
    order by m.clerk_membership_id limit purge.most for update skip locked)
  delete from {{exposed}}.organization_memberships as m using old where m.clerk_membership_id = old.clerk_membership_id;
  get diagnostics members = row_count;

  -- A tombstone that an application's own table still refers to stays: it holds
  -- no personal data, and removing it is for whoever owns that reference.
  for gone in
    select u.clerk_id from {{exposed}}.users as u
    where u.deleted_at < now() - s.tombstone_retention
    order by u.clerk_id limit purge.most for update skip locked
  loop
    begin
      delete from {{exposed}}.users as u where u.clerk_id = gone;
      users := users + 1;
    exception when foreign_key_violation then
      held := held + 1;
    end;
  end loop;

  for gone in
    select o.clerk_org_id from {{exposed}}.organizations as o
    where o.deleted_at < now() - s.tombstone_retention
    order by o.clerk_org_id limit purge.most for update skip locked
  loop
    begin
      delete from {{exposed}}.organizations as o where o.clerk_org_id = gone;
      orgs := orgs + 1;
    exception when foreign_key_violation then
      held := held + 1;
    end;
  end loop;

  return jsonb_build_object('payloads', payloads, 'events', events, 'organization_memberships', members,
                            'users', users, 'organizations', orgs, 'held', held);
end
$$;

-- For callers that come through the Data API: rpc('apply_clerk_event', …) with the
-- service key, from an Edge Function or a route that has verified the signature.
create function {{exposed}}.apply_clerk_event(svix_id text, event jsonb, out outcome text, out reason text)
language sql security invoker set search_path = pg_catalog, pg_temp as $$
  select a.outcome, a.reason from clerk_sync.apply_event(apply_clerk_event.svix_id, apply_clerk_event.event) as a
$$;

comment on function {{exposed}}.apply_clerk_event(text, jsonb) is
  'Applies one Clerk webhook whose signature the caller has verified. Only service_role may call it.';

-- Functions are executable by everybody unless told otherwise.
revoke execute on all functions in schema clerk_sync from public, anon, authenticated, service_role;
revoke execute on function {{exposed}}.apply_clerk_event(text, jsonb) from public, anon, authenticated;

grant execute on function
  clerk_sync.apply_event(text, jsonb, text),
  clerk_sync.reject_event(text, bytea, text),
  clerk_sync.replay_event(text),
  clerk_sync.recent_events(text, timestamptz, integer),
  clerk_sync.status(),
  clerk_sync.purge(integer),
  clerk_sync.apply_users(jsonb, bigint[], text[], text),
  clerk_sync.apply_organizations(jsonb, bigint[], text[], text),
  clerk_sync.apply_memberships(jsonb, bigint[], text[], timestamptz),
  clerk_sync.apply_roles(jsonb, bigint[], text[]),
  clerk_sync.apply_permissions(jsonb, bigint[], text[], text),
  clerk_sync.tombstone_users(text[], timestamptz),
  clerk_sync.tombstone_organizations(text[], timestamptz),
  clerk_sync.tombstone_memberships(jsonb, bigint[], text[], timestamptz),
  clerk_sync.end_memberships(text[], timestamptz),
  clerk_sync.tombstone_roles(text[], timestamptz),
  clerk_sync.tombstone_permissions(text[], timestamptz)
to clerksync_writer;

grant execute on function clerk_sync.apply_event(text, jsonb, text) to service_role;
grant execute on function {{exposed}}.apply_clerk_event(text, jsonb) to service_role;
