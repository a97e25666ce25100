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

  if not clerk_sync.is_mirrored(type) or split_part(type, '.', 2) not in ('created', 'updated', 'deleted') then
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

  -- Seconds or milliseconds, as in clerk_sync.incoming; absent in old examples. What is
  -- negative is out of range below, and may be too large to be multiplied.
  if jsonb_typeof(event -> 'timestamp') = 'number' then
    stated := (event ->> 'timestamp')::numeric;
    stated := trunc(stated * case when stated >= 0 and stated < 1e11 then 1000 else 1 end);
  end if;
  if greatest(stated, (data ->> 'created_at')::numeric, (data ->> 'updated_at')::numeric) >= 1e14
     or least(stated, (data ->> 'created_at')::numeric, (data ->> 'updated_at')::numeric) < 0 then
    outcome := 'rejected'; reason := 'timestamp_out_of_range';
    return;
  end if;
  stated_ms := stated::bigint;

  -- A membership is known by its own id: its deletion needs no parents.
  if type like 'organizationMembership.%'
     and not (type = 'organizationMembership.deleted' and not clerk_sync.names_parents(data)) then
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

-- Whether a membership says whose it is and of what.
create or replace function clerk_sync.names_parents(membership jsonb) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce(
    jsonb_typeof(membership -> 'organization' -> 'id') = 'string'
    and length(membership -> 'organization' ->> 'id') between 1 and 255
    and jsonb_typeof(membership -> 'public_user_data' -> 'user_id') = 'string'
    and length(membership -> 'public_user_data' ->> 'user_id') between 1 and 255, false);
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

-- What refused an event: 'SQLSTATE 23514, constraint valid_role of public.profiles, in
-- function public.sync_profile()'. A trigger can put any text where Postgres has names,
-- and a line of the context can quote a statement with its values: a name is told only
-- where the catalogue has it. Our own functions are no news.
create or replace function clerk_sync.refused_by(
  state text, "constraint" text, "schema" text, "table" text, "column" text, context text
) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  target  oid;
  place   text;
  line    text;
  called  text[];
  told    text := 'SQLSTATE ' || state;
begin
  select c.oid, format('%I.%I', n.nspname, c.relname) into target, place
  from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = refused_by."schema" and c.relname = refused_by."table";

  if exists (select from pg_catalog.pg_constraint as c where c.conname = refused_by."constraint")
     or exists (select from pg_catalog.pg_class as c where c.relname = refused_by."constraint" and c.relkind in ('i', 'I')) then
    told := told || format(', constraint %I', "constraint") || coalesce(' of ' || place, '');
  elsif exists (select from pg_catalog.pg_attribute as a where a.attrelid = target and a.attname = refused_by."column") then
    told := told || format(', column %I of %s', "column", place);
  elsif place is not null then
    told := told || ', table ' || place;
  end if;

  foreach line in array string_to_array(context, e'\n') loop
    called := parse_ident((regexp_match(line,
      '^(?:PL/pgSQL|SQL) function "?((?:[a-z_][a-z0-9_$]*|"[^"]+")(?:\.(?:[a-z_][a-z0-9_$]*|"[^"]+"))?)(?:\(.*\) line [0-9]|" (?:statement|during) )'))[1]);
    if called[1] is distinct from 'clerk_sync' and exists (
      select from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
      where p.proname = called[cardinality(called)] and (cardinality(called) = 1 or n.nspname = called[1])) then
      told := told || format(', in function %s()', (select string_agg(format('%I', c), '.') from unnest(called) as c));
      exit;
    end if;
  end loop;
  return left(told, 500);
end
$$;

-- Applies one event that check_event has passed.
create or replace function clerk_sync.apply_checked_event(
  event jsonb, stated_ms bigint, out outcome text, out reason text, out detail text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  data          constant jsonb := event -> 'data';
  kind          constant text := clerk_sync.event_kind(event ->> 'type');
  deleted_at    constant timestamptz := coalesce(to_timestamp(stated_ms / 1000.0), now());
  object        clerk_sync.objects;
  result        text;
  in_constraint text;
  in_schema     text;
  in_table      text;
  in_column     text;
  context       text;
begin
  case event ->> 'type'
    when 'user.created', 'user.updated' then
      select a.result into result from clerk_sync.apply_users(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'organization.created', 'organization.updated' then
      select a.result into result from clerk_sync.apply_organizations(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'organizationMembership.created', 'organizationMembership.updated' then
      select a.result into result from clerk_sync.apply_memberships(jsonb_build_array(data), array[stated_ms], array[kind]) as a;
    when 'user.deleted' then
      perform clerk_sync.tombstone_users(array[data ->> 'id'], deleted_at);
    when 'organization.deleted' then
      perform clerk_sync.tombstone_organizations(array[data ->> 'id'], deleted_at);
    when 'organizationMembership.deleted' then
      perform clerk_sync.tombstone_memberships(jsonb_build_array(data), array[stated_ms], array[kind], array[deleted_at]);
    else
      -- Kinds of which there are few, and few events.
      select * into strict object from clerk_sync.objects as o where o.event = split_part(apply_checked_event.event ->> 'type', '.', 1);
      if event ->> 'type' like '%.deleted' then
        perform clerk_sync.delete_objects(object.object, array[data ->> 'id'], deleted_at);
      else
        execute format('select a.result from clerk_sync.%I(jsonb_build_array($1), array[$2], array[$3]) as a', object.applies)
        into result using data, stated_ms, kind;
      end if;
  end case;
  outcome := case when result in ('stale', 'deleted') then 'stale' else 'applied' end;
exception
  -- The event's own fault, or that of a constraint or trigger that the team
  -- put on the copy: trying again cannot help. The message may quote the
  -- event, so only the code is kept, and the names of what refused it.
  when data_exception or integrity_constraint_violation or raise_exception or program_limit_exceeded then
    get stacked diagnostics in_constraint = constraint_name, in_schema = schema_name, in_table = table_name,
      in_column = column_name, context = pg_exception_context;
    outcome := 'rejected'; reason := 'not_applicable';
    detail := clerk_sync.refused_by(sqlstate, in_constraint, in_schema, in_table, in_column, context);
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

-- JSON without what its members called private_metadata hold, however deep they lie. A
-- text that holds such a member as JSON of its own becomes null, and so does what lies
-- deeper than anything of Clerk's.
create or replace function clerk_sync.without_private_metadata(value json, depth integer default 0) returns json
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  -- The name could be spelled in escapes.
  if value::text !~ 'private_metadata|\\u00' then
    return value;
  end if;
  case json_typeof(value)
  when 'object' then
    return case when depth < 32 then (
      select coalesce(json_object_agg(m.key, clerk_sync.without_private_metadata(m.value, depth + 1) order by m.position), '{}')
      from json_each(value) with ordinality as m (key, value, position)
      where m.key <> 'private_metadata') end;
  when 'array' then
    return case when depth < 32 then (
      select coalesce(json_agg(clerk_sync.without_private_metadata(e.value, depth + 1) order by e.position), '[]')
      from json_array_elements(value) with ordinality as e (value, position)) end;
  else
    return case when value::text !~ 'private_metadata\\' then value end;
  end case;
end
$$;

-- Whom a text is about: the one user and the one organization that it shows by their
-- ids. Where it shows several, or not which member of an organization, no deletion would
-- empty it, and it is kept for a day only (see purge).
create or replace function clerk_sync.ids_shown(body text, out user_id text, out organization_id text)
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  users         constant text[] := array(
    select distinct m[1] from regexp_matches(body, '"(?:id|user_id)\\*"\s*:\s*\\*"(user_[A-Za-z0-9_-]{1,250})\\*"', 'g') as m);
  organizations constant text[] := array(
    select distinct m[1] from regexp_matches(body, '"id\\*"\s*:\s*\\*"(org_[A-Za-z0-9_-]{1,251})\\*"', 'g') as m);
begin
  if cardinality(users) = 1 then
    user_id := users[1];
  end if;
  if cardinality(organizations) = 1
     and (cardinality(users) = 1 or cardinality(users) = 0 and body ~ '"type"\s*:\s*"organization\.') then
    organization_id := organizations[1];
  end if;
end
$$;

-- Whether a user or an organization is deleted, so that nothing may be kept about it.
create or replace function clerk_sync.is_gone(user_id text, organization_id text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return exists (
    select from {{exposed}}.users as u where u.clerk_id = is_gone.user_id and u.sync_version >= '8'
    union all
    select from {{exposed}}.organizations as o where o.clerk_org_id = is_gone.organization_id and o.sync_version >= '8');
end
$$;

-- Whether the copy holds what events of a type are about.
create or replace function clerk_sync.is_mirrored(type text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return type ~ '^[A-Za-z]+[.][a-z]+$'
     and exists (select from clerk_sync.objects as o where o.event = split_part(is_mirrored.type, '.', 1));
end
$$;

-- What may be kept of a message. Types that can carry one-time codes or live
-- tickets, and all that we do not know, never have their payload stored; nor has
-- anything about a user who is deleted.
create or replace function clerk_sync.keepable_payload(event jsonb, user_id text, organization_id text) returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  kept jsonb;
begin
  if jsonb_typeof(event) = 'object'
     and clerk_sync.is_mirrored(event ->> 'type')
     and not clerk_sync.is_gone(user_id, organization_id) then
    -- The browser and address that caused the change are of no use here.
    kept := event - 'event_attributes';
    if not clerk_sync.keeps_private_metadata() then
      kept := clerk_sync.without_private_metadata(kept::json);
    end if;
  end if;
  return kept;
end
$$;

-- An id, where there is one: never another value that stands in its place.
create or replace function clerk_sync.id_of(value jsonb) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return case when jsonb_typeof(value) = 'string' then left(value #>> '{}', 255) end;
end
$$;

-- What the inbox remembers of a message.
create or replace function clerk_sync.event_record(svix_id text, event jsonb, outcome text, reason text, detail text, signed_with text)
returns clerk_sync.webhook_events
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  data   constant jsonb := event -> 'data';
  stated constant numeric := case when jsonb_typeof(event -> 'timestamp') = 'number' then (event ->> 'timestamp')::numeric end;
  r      clerk_sync.webhook_events;
begin
  r.svix_id := svix_id;
  r.signed_with := signed_with;
  r.type := case when reason is distinct from 'not_an_event' then event ->> 'type' else '' end;
  r.outcome := outcome;
  r.reason := reason;
  r.detail := detail;
  r.object_id := clerk_sync.id_of(data -> 'id');
  r.user_id := clerk_sync.id_of(case split_part(event ->> 'type', '.', 1)
    when 'user' then data -> 'id'
    when 'organizationMembership' then data -> 'public_user_data' -> 'user_id' end);
  r.organization_id := clerk_sync.id_of(case split_part(event ->> 'type', '.', 1)
    when 'organization' then data -> 'id'
    when 'organizationMembership' then data -> 'organization' -> 'id' end);
  r.instance_id := clerk_sync.id_of(event -> 'instance_id');
  r.stated_at := case when stated between 0 and 1e14
    then to_timestamp((stated / case when stated < 1e11 then 1 else 1000 end)::double precision) end;
  r.received_at := now();
  r.recorded_in := pg_current_xact_id();
  if outcome = 'rejected'
     or outcome <> 'ignored' and (select s.keep_applied_payloads from clerk_sync.settings as s) then
    r.payload := clerk_sync.keepable_payload(event, r.user_id, r.organization_id);
    if r.payload is not null and r.user_id is null and r.organization_id is null then
      select i.user_id, i.organization_id into r.user_id, r.organization_id from clerk_sync.ids_shown(event::text) as i;
      if clerk_sync.is_gone(r.user_id, r.organization_id) then
        r.payload := null;
      end if;
    end if;
  end if;
  return r;
end
$$;

-- That messages came again, and which secret verified that. A secret that is taken away
-- must have been silent, also where another delivery of the same messages was first.
create or replace function clerk_sync.note_repeated(svix_ids text[], signed_with text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  now_ms constant bigint := extract(epoch from now()) * 1000;
begin
  if array_remove(signed_with, null) = '{}' then
    return;
  end if;
  update clerk_sync.webhook_events as e set repeated = coalesce(e.repeated, '{}') || r.at
  from (
    select i.svix_id, jsonb_object_agg(i.signed_with, now_ms) as at
    from unnest(note_repeated.svix_ids, note_repeated.signed_with) as i (svix_id, signed_with)
    where i.signed_with ~ '^[0-9a-f]{8}$' group by i.svix_id order by i.svix_id) as r
  where e.svix_id = r.svix_id;
end
$$;

create or replace function clerk_sync.apply_event(
  svix_id text, event jsonb, expected_instance text default null, signed_with text default null, out outcome text, out reason text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  detail      text;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if exists (select from clerk_sync.webhook_events as e where e.svix_id = apply_event.svix_id) then
    outcome := 'duplicate';
    perform clerk_sync.note_repeated(array[svix_id], array[signed_with]);
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
  select r.* from clerk_sync.event_record(svix_id, event, outcome, reason, detail, signed_with) as r
  on conflict on constraint webhook_events_pkey do nothing;

  if not found then
    outcome := 'duplicate'; reason := null;
    perform clerk_sync.note_repeated(array[svix_id], array[signed_with]);
  end if;
  perform clerk_sync.end_some_memberships();
end
$$;

comment on function clerk_sync.apply_event(text, jsonb, text, text) is
  'Applies one verified Clerk webhook: applied, duplicate, stale, ignored or rejected (with a reason). Safe to repeat.';

-- Whether nothing in a resource can fail when it is read: what may fail is tried by itself.
create or replace function clerk_sync.is_plain(resource jsonb) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  field text;
begin
  foreach field in array array['banned', 'locked', 'password_enabled', 'two_factor_enabled', 'admin_delete_enabled'] loop
    if jsonb_typeof(resource -> field) not in ('boolean', 'null') then
      return false;
    end if;
  end loop;
  foreach field in array array['created_at', 'updated_at', 'last_sign_in_at', 'last_active_at', 'max_allowed_memberships'] loop
    if jsonb_typeof(resource -> field) not in ('number', 'null')
       or (resource ->> field)::numeric not between 0 and 1e14 - 1 then
      return false;
    end if;
  end loop;
  return coalesce(jsonb_typeof(resource -> 'permissions') in ('array', 'null'), true);
end
$$;

-- With which others an event is applied, once check_event has passed it. An event
-- without a time of its own would take over that of another.
create or replace function clerk_sync.event_step(event jsonb, stated_ms bigint) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  data   constant jsonb := event -> 'data';
  object constant text := split_part(event ->> 'type', '.', 1);
begin
  case
  when object not in ('user', 'organization', 'organizationMembership') then
    return 'alone';
  when event ->> 'type' in ('user.deleted', 'organization.deleted') then
    return event ->> 'type';
  when stated_ms is null or not (
    clerk_sync.is_plain(data) and (object <> 'organizationMembership' or
      clerk_sync.is_plain(data -> 'organization') and clerk_sync.is_plain(data -> 'public_user_data'))) then
    return 'alone';
  when event ->> 'type' = 'organizationMembership.deleted' then
    return event ->> 'type';
  else
    return object;
  end case;
end
$$;

-- Applies the events of one step (see event_step) as one: deletions, of which the
-- earliest of each object counts, or statements, of which the newest does; the others
-- are stale then. Outcomes in their order. Null, and nothing is done, where one of them
-- cannot be applied or they take so much along that each should go by itself.
create or replace function clerk_sync.apply_together(step text, events jsonb[], stated_ms bigint[], svix_ids text[])
returns text[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  much       constant integer := 1000;
  deletion   constant boolean := step like '%.deleted';
  ids        text[];
  newest     boolean[];
  resources  jsonb;
  stated     bigint[];
  kinds      text[];
  times      timestamptz[];
  superseded jsonb;
  causes     jsonb;
  members    jsonb;
  too_many   boolean;
  results    jsonb;
begin
  with told as (
    select e.position, e.svix_id, e.stated_ms, e.event -> 'data' as resource, e.event -> 'data' ->> 'id' as id,
           clerk_sync.event_kind(e.event ->> 'type') as kind,
           count(*) over (partition by e.event -> 'data' ->> 'id') > 1 as several,
           -- It writes no row.
           step = 'organizationMembership.deleted' and not clerk_sync.names_parents(e.event -> 'data') and not exists (
             select from {{exposed}}.organization_memberships as m
             where m.clerk_membership_id = e.event -> 'data' ->> 'id') as noted
    from unnest(apply_together.events, apply_together.stated_ms, apply_together.svix_ids)
         with ordinality as e (event, stated_ms, svix_id, position)
  ), versioned as (
    select t.*, case when t.several and not deletion then (
             select i.version from clerk_sync.incoming(jsonb_build_array(t.resource), array[t.stated_ms], array[t.kind], '2') as i
           ) end collate "C" as version
    from told as t
  ), ranked as (
    select v.*,
           rank() over (partition by v.id order by v.version desc) = 1 as newest,
           row_number() over (partition by v.id order by v.noted, v.version desc, v.stated_ms, v.position) = 1 as counts
    from versioned as v
  )
  select array_agg(r.id order by r.position), array_agg(r.newest order by r.position),
         jsonb_agg(r.resource order by r.position) filter (where r.counts or deletion),
         array_agg(r.stated_ms order by r.position) filter (where r.counts or deletion),
         array_agg(r.kind order by r.position) filter (where r.counts or deletion),
         array_agg(coalesce(to_timestamp(r.stated_ms / 1000.0), now()) order by r.position),
         jsonb_agg(jsonb_build_array(r.resource, r.stated_ms, r.kind) order by r.position) filter (where not r.counts),
         jsonb_object_agg(r.id, r.svix_id) filter (where r.counts)
  into ids, newest, resources, stated, kinds, times, superseded, causes
  from ranked as r;

  -- What goes along was caused by the same event: memberships of what is deleted, and
  -- the placeholders for a membership's parents.
  if step in ('user.deleted', 'organization.deleted') then
    select jsonb_object_agg(m.id, causes ->> m.parent), count(*) > much into members, too_many
    from (
      select m.clerk_membership_id as id, m.clerk_user_id as parent from {{exposed}}.organization_memberships as m
      where step = 'user.deleted' and m.clerk_user_id = any (ids)
      union all
      select m.clerk_membership_id, m.clerk_org_id from {{exposed}}.organization_memberships as m
      where step = 'organization.deleted' and m.clerk_org_id = any (ids)
      limit much + 1
    ) as m;
    if too_many then
      return null;
    end if;
  elsif step like 'organizationMembership%' then
    select jsonb_object_agg(p.id, e.svix_id) into members
    from unnest(apply_together.events, apply_together.svix_ids) as e (event, svix_id)
    cross join lateral unnest(array[
      e.event -> 'data' -> 'organization' ->> 'id', e.event -> 'data' -> 'public_user_data' ->> 'user_id']) as p (id)
    where p.id is not null;
  end if;
  perform set_config('clerk_sync.causes', (coalesce(members, '{}') || causes)::text, true);

  -- What a membership says of its parents counts also where it is superseded itself.
  if superseded is not null and step = 'organizationMembership' then
    perform clerk_sync.offer_parents(jsonb_agg(s -> 0), array_agg((s ->> 1)::bigint), array_agg(s ->> 2))
    from jsonb_array_elements(superseded) as s;
  end if;

  case step
  when 'user' then
    results := (select jsonb_object_agg(a.id, a.result) from clerk_sync.apply_users(resources, stated, kinds) as a);
  when 'organization' then
    results := (select jsonb_object_agg(a.id, a.result) from clerk_sync.apply_organizations(resources, stated, kinds) as a);
  when 'organizationMembership' then
    results := (select jsonb_object_agg(a.id, a.result) from clerk_sync.apply_memberships(resources, stated, kinds) as a);
  when 'user.deleted' then
    perform clerk_sync.tombstone_users(ids, now(), times);
  when 'organization.deleted' then
    perform clerk_sync.tombstone_organizations(ids, now(), times);
  when 'organizationMembership.deleted' then
    perform clerk_sync.tombstone_memberships(resources, stated, kinds, times);
  end case;
  perform set_config('clerk_sync.causes', '', true);

  return array(
    select case when not deletion and (not e.newest or results ->> e.id in ('stale', 'deleted')) then 'stale' else 'applied' end
    from unnest(ids, newest) with ordinality as e (id, newest, position)
    order by e.position);
exception
  when data_exception or integrity_constraint_violation or raise_exception or program_limit_exceeded then
    return null;
end
$$;

-- Applies many events and answers for each, in their order. It comes to the same,
-- rows, outcomes and causes, as applying them one by one in another order: deletions,
-- then users, organizations, memberships, of each object the newest statement first,
-- and then what is applied alone. Since rows do not depend on the order of events, any
-- order is right; this one writes each row once.
--
-- svix_ids, expected_instances (null: no pin for any) and signed_with (null: of none it is
-- known) go with the events by their position.
create or replace function clerk_sync.apply_events(svix_ids text[], events jsonb, expected_instances text[] default null, signed_with text[] default null)
returns table (outcome text, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
#variable_conflict use_column
declare
  bodies      constant jsonb[] := array(select e from jsonb_array_elements(
                case when jsonb_typeof(apply_events.events) = 'array' then apply_events.events else '[]' end) as e);
  known       boolean[];
  stated_ms   bigint[];
  steps       text[];
  outcomes    text[];
  reasons     text[];
  details     text[];
  this_step   text;
  places      integer[];
  place       integer;
  members     jsonb[];
  times       bigint[];
  ids         text[];
  fingerprints text[];
  together    text[];
  decided     record;
  recorded    jsonb;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if jsonb_typeof(apply_events.events) is distinct from 'array'
     or cardinality(bodies) <> cardinality(apply_events.svix_ids)
     or cardinality(apply_events.expected_instances) <> cardinality(apply_events.svix_ids)
     or cardinality(apply_events.signed_with) <> cardinality(apply_events.svix_ids) then
    raise invalid_parameter_value using message = 'apply_events takes one svix-id, and one instance and fingerprint if any, for each event';
  end if;

  -- A batch writes to the same tables several times over, and so cannot take its
  -- locks in the one order that keeps single events from waiting for each other.
  -- Batches therefore go one at a time. Nothing is lost by it: the lock is held while
  -- this statement works, not while its sender does. It is a row, which no other login
  -- can lock. Should a batch and a single event wait for each other, Postgres ends one
  -- of the two, and its sender comes again.
  perform from clerk_sync.batch_lock for no key update;

  select array_agg(d.known order by d."position"), array_agg(c.stated_ms order by d."position"),
         array_agg(case when not d.known and c.outcome is null then clerk_sync.event_step(d.event, c.stated_ms) end
                   order by d."position"),
         array_agg(c.outcome order by d."position"), array_agg(c.reason order by d."position"),
         array_agg(c.detail order by d."position")
  into known, stated_ms, steps, outcomes, reasons, details
  from (
    select i.*, e.svix_id is not null or row_number() over (partition by i.svix_id order by i."position") > 1 as known
    from unnest(apply_events.svix_ids, bodies, apply_events.expected_instances)
         with ordinality as i (svix_id, event, expected_instance, "position")
    -- Joined, since "exists" would be answered from a hash of the whole table.
    left join clerk_sync.webhook_events as e on e.svix_id = i.svix_id
    offset 0
  ) as d
  left join lateral clerk_sync.check_event(d.event, nullif(d.expected_instance, '')) as c on not d.known;

  -- The first may lock a table, and must hold nothing else then.
  foreach this_step in array array['organizationMembership.deleted', 'user.deleted', 'organization.deleted',
                                   'user', 'organization', 'organizationMembership', 'alone'] loop
    select array_agg(i."position"::integer order by i."position"), array_agg(i.event order by i."position"),
           array_agg(i.stated_ms order by i."position"), array_agg(i.svix_id order by i."position")
    into places, members, times, ids
    from unnest(steps, bodies, stated_ms, apply_events.svix_ids)
         with ordinality as i (step, event, stated_ms, svix_id, "position")
    where i.step = this_step;

    if places is null then
      continue;
    end if;
    together := case when this_step <> 'alone' then clerk_sync.apply_together(this_step, members, times, ids) end;
    for n in 1 .. cardinality(places) loop
      place := places[n];
      if together is not null then
        outcomes[place] := together[n];
      else
        perform set_config('clerk_sync.cause', ids[n], true);
        select a.outcome, a.reason, a.detail into decided
        from clerk_sync.apply_checked_event(members[n], times[n]) as a;
        perform set_config('clerk_sync.cause', outer_cause, true);
        outcomes[place] := decided.outcome;
        reasons[place] := decided.reason;
        details[place] := decided.detail;
      end if;
    end loop;
  end loop;

  with told as (
    insert into clerk_sync.webhook_events as e
    select r.*
    from unnest(apply_events.svix_ids, bodies, known, outcomes, reasons, details, apply_events.signed_with)
         as b (svix_id, event, known, outcome, reason, detail, signed_with)
    cross join lateral clerk_sync.event_record(b.svix_id, b.event, b.outcome, b.reason, b.detail, b.signed_with) as r
    where not b.known
    order by b.svix_id
    on conflict on constraint webhook_events_pkey do nothing
    returning e.svix_id
  )
  select coalesce(jsonb_object_agg(t.svix_id, true), '{}') into recorded from told as t;

  perform clerk_sync.end_some_memberships();
  select array_agg(b.svix_id), array_agg(b.signed_with) into ids, fingerprints
  from unnest(apply_events.svix_ids, known, apply_events.signed_with) as b (svix_id, known, signed_with)
  where b.known or not recorded ? b.svix_id;
  if ids is not null then
    perform clerk_sync.note_repeated(ids, fingerprints);
  end if;

  -- Recorded by another call meanwhile, as in apply_event.
  return query
  select case when not b.known and recorded ? b.svix_id then b.outcome else 'duplicate' end,
         case when not b.known and recorded ? b.svix_id then b.reason end
  from unnest(apply_events.svix_ids, known, outcomes, reasons) with ordinality as b (svix_id, known, outcome, reason, "position")
  order by b."position";
end
$$;

comment on function clerk_sync.apply_events(text[], jsonb, text[], text[]) is
  'Applies verified Clerk webhooks, one outcome each in their order. Safe to repeat.';

-- A verified message whose body is no event that Postgres could hold.
create or replace function clerk_sync.reject_event(svix_id text, body bytea, why text, signed_with text default null, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  shown constant text := encode(body, 'escape');
  about record;
  kept  bytea;
begin
  if why !~ '^[a-z0-9_]{1,64}$' then
    raise invalid_parameter_value using message = 'the reason of a rejected event is a code of small letters, digits and underscores';
  end if;
  select i.user_id, i.organization_id into about from clerk_sync.ids_shown(shown) as i;
  -- Its type cannot be read, so whatever looks like a message with a code or a
  -- ticket in it is not kept.
  if shown !~* '(email|sms)\.created|invitation|waitlist|ticket'
     and not clerk_sync.is_gone(about.user_id, about.organization_id) then
    kept := body;
  end if;
  -- Where private metadata cannot be cut out, nothing is kept. Its name may be spelled
  -- in escapes.
  if shown ~* 'private_metadata|\\u00[567]' and not clerk_sync.keeps_private_metadata() then
    begin
      kept := convert_to(clerk_sync.without_private_metadata(convert_from(kept, 'UTF8')::json)::text, 'UTF8');
    exception when data_exception or program_limit_exceeded then
      kept := null;
    end;
  end if;
  insert into clerk_sync.webhook_events as e (svix_id, type, outcome, reason, user_id, organization_id, raw_body, signed_with)
  values (svix_id, '', 'rejected', why, about.user_id, about.organization_id, kept, signed_with)
  on conflict on constraint webhook_events_pkey do nothing;
  outcome := case when found then 'rejected' else 'duplicate' end;
  reason := case when found then why end;
  if outcome = 'duplicate' then
    perform clerk_sync.note_repeated(array[svix_id], array[signed_with]);
  end if;
end
$$;

-- JSON with every escape that jsonb refuses, \u0000 and surrogates without a partner,
-- replaced by \ufffd. A backslash always begins an escape; an empty part is a second one.
create or replace function clerk_sync.storable(body text) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  parts text[] := string_to_array(body, '\');
  i     integer := 2;
begin
  while i <= cardinality(parts) loop
    if parts[i] = '' or parts[i] ~* '^ud[89ab][0-9a-f]{2}$' and parts[i + 1] ~* '^ud[c-f][0-9a-f]{2}' then
      i := i + 1;
    elsif parts[i] ~* '^u(0000|d[89a-f][0-9a-f]{2})' then
      parts[i] := 'ufffd' || substr(parts[i], 6);
    end if;
    i := i + 1;
  end loop;
  return array_to_string(parts, '\');
end
$$;

-- Applies one event whose body was not parsed before, so that nothing of it is rounded.
create or replace function clerk_sync.apply_event_text(svix_id text, body text, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  event jsonb;
  why   text;
begin
  begin
    event := body::jsonb;
  exception when data_exception or program_limit_exceeded then
    -- json takes what is JSON; jsonb also has to hold it.
    begin
      perform body::json;
      why := 'not_storable';
      event := clerk_sync.storable(body)::jsonb;
    exception
      when invalid_text_representation then
        why := coalesce(why, 'not_json');
      when data_exception or program_limit_exceeded then
        why := 'not_storable';
    end;
  end;
  if event is null then
    select r.outcome, r.reason into outcome, reason
    from clerk_sync.reject_event(svix_id, convert_to(coalesce(body, ''), 'UTF8'), coalesce(why, 'not_json')) as r;
  else
    select a.outcome, a.reason into outcome, reason from clerk_sync.apply_event(svix_id, event) as a;
  end if;
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

-- What replay_event would come to now, the team's triggers included. Nothing of it stays.
create or replace function clerk_sync.try_event(svix_id text, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  begin
    select r.outcome, r.reason into outcome, reason from clerk_sync.replay_event(svix_id) as r;
    raise exception using errcode = 'CS002';
  exception when sqlstate 'CS002' then
    -- What was done is taken back; what was found out is kept.
    null;
  end;
end
$$;

revoke execute on function
  clerk_sync.misshapen(jsonb, text[]), clerk_sync.check_event(jsonb, text), clerk_sync.names_parents(jsonb),
  clerk_sync.event_kind(text), clerk_sync.is_mirrored(text), clerk_sync.refused_by(text, text, text, text, text, text),
  clerk_sync.apply_checked_event(jsonb, bigint), clerk_sync.dispatch_event(jsonb, text),
  clerk_sync.without_private_metadata(json, integer), clerk_sync.ids_shown(text), clerk_sync.is_gone(text, text),
  clerk_sync.keepable_payload(jsonb, text, text), clerk_sync.id_of(jsonb),
  clerk_sync.event_record(text, jsonb, text, text, text, text), clerk_sync.note_repeated(text[], text[]),
  clerk_sync.apply_event(text, jsonb, text, text), clerk_sync.is_plain(jsonb), clerk_sync.event_step(jsonb, bigint),
  clerk_sync.apply_together(text, jsonb[], bigint[], text[]), clerk_sync.apply_events(text[], jsonb, text[], text[]),
  clerk_sync.reject_event(text, bytea, text, text), clerk_sync.storable(text), clerk_sync.apply_event_text(text, text),
  clerk_sync.replay_event(text), clerk_sync.try_event(text)
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.apply_event(text, jsonb, text, text), clerk_sync.apply_events(text[], jsonb, text[], text[]),
  clerk_sync.reject_event(text, bytea, text, text), clerk_sync.replay_event(text), clerk_sync.try_event(text)
to clerksync_writer;
grant execute on function clerk_sync.apply_event(text, jsonb, text, text), clerk_sync.apply_event_text(text, text) to service_role;
