-- Removing what is recorded about a person or an object, and looking afterwards whether
-- something was left. All of it is for the owner: no login at run time may.

-- How an id is looked for in a text: as a whole, never as the beginning of another.
create or replace function clerk_sync.ids_pattern(ids text[]) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
  id text;
begin
  foreach id in array ids loop
    if id !~ '^[A-Za-z0-9_-]{3,255}$' then
      raise invalid_parameter_value using message = 'an id has letters, digits, "_" and "-" only, and at least 3 of them';
    end if;
  end loop;
  if coalesce(cardinality(ids), 0) = 0 then
    raise invalid_parameter_value using message = 'no id is given';
  end if;
  return format('(?<![A-Za-z0-9_])(?:%s)(?![A-Za-z0-9_])', array_to_string(ids, '|'));
end
$$;

-- The ids that go with one: its own, and those of a user's memberships. Of an
-- organization's memberships each record names the organization, and that is removed.
create or replace function clerk_sync.ids_of(id text) returns text[]
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
  return array(
    select ids_of.id
    union select m.clerk_membership_id from {{exposed}}.organization_memberships as m where m.clerk_user_id = ids_of.id
    union select h.object_id from clerk_sync.held_back as h where h.user_id = ids_of.id
    union select e.object_id from clerk_sync.webhook_events as e
    where e.user_id = ids_of.id and e.type like 'organizationMembership.%' and e.object_id is not null
    order by 1);
end
$$;

-- What an event leaves when it is redacted: that it came and what became of it, so that a
-- second delivery is still known. ids are removed; without them all of it is.
create or replace function clerk_sync.redacted(e clerk_sync.webhook_events, ids text[]) returns clerk_sync.webhook_events
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  e.payload := null;
  e.raw_body := null;
  e.redacted_at := now();
  if ids is null or e.object_id = any (ids) then
    e.object_id := null;
  end if;
  if ids is null or e.user_id = any (ids) then
    e.user_id := null;
  end if;
  if ids is null or e.organization_id = any (ids) then
    e.organization_id := null;
  end if;
  -- It names fields and constraints; a constraint of the team's could be called anything.
  if ids is null or e.detail ~ clerk_sync.ids_pattern(ids) then
    e.detail := null;
  end if;
  return e;
end
$$;

-- Removes ids, their payloads and what is held back of them, some of it at each call, and
-- counts: {"events": n, "audit_records": n, "held_back": n, "more": true}.
create or replace function clerk_sync.redact(ids text[], most integer default 10000) returns jsonb
language plpgsql security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
  pattern constant text := clerk_sync.ids_pattern(ids);
  events  bigint;
  audited bigint;
  held    bigint := 0;
  id      text;
begin
  with those as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.object_id = any (redact.ids) or e.user_id = any (redact.ids) or e.organization_id = any (redact.ids)
       or e.detail ~ pattern or e.payload::text ~ pattern or encode(e.raw_body, 'escape') ~ pattern
    limit most for update)
  update clerk_sync.webhook_events as e
  set (object_id, user_id, organization_id, detail, payload, raw_body, redacted_at) = (
    select r.object_id, r.user_id, r.organization_id, r.detail, r.payload, r.raw_body, r.redacted_at
    from clerk_sync.redacted(e, redact.ids) as r)
  from those where e.svix_id = those.svix_id;
  get diagnostics events = row_count;

  with those as (
    select l.id from clerk_sync.audit_log as l
    where l.user_id = any (redact.ids) or l.org_id = any (redact.ids) or l.impersonator = any (redact.ids)
       or l.row_id ~ pattern or l.new_row_id ~ pattern
    limit most for update)
  update clerk_sync.audit_log as l set
    user_id = case when l.user_id = any (redact.ids) then 'redacted' else l.user_id end,
    impersonator = case when l.impersonator = any (redact.ids) then 'redacted' else l.impersonator end,
    org_id = case when l.org_id = any (redact.ids) then 'redacted' else l.org_id end,
    row_id = case when l.row_id ~ pattern then 'redacted' else l.row_id end,
    new_row_id = case when l.new_row_id ~ pattern then 'redacted' else l.new_row_id end
  from those where l.id = those.id;
  get diagnostics audited = row_count;

  foreach id in array ids loop
    held := held + coalesce((select sum(d.dropped) from clerk_sync.drop_deletion(id) as d), 0);
  end loop;
  return jsonb_build_object('events', events, 'audit_records', audited, 'held_back', held, 'more', greatest(events, audited) >= most);
end
$$;

-- Empties all events of a time: ids and payloads. Their records in the audit log stay, which
-- hold no values.
create or replace function clerk_sync.redact_range(since timestamptz, before timestamptz, most integer default 10000) returns jsonb
language plpgsql security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
  events bigint;
begin
  with those as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at >= redact_range.since and e.received_at < redact_range.before
      and num_nonnulls(e.object_id, e.user_id, e.organization_id, e.detail, e.payload, e.raw_body) > 0
    limit most for update)
  update clerk_sync.webhook_events as e
  set (object_id, user_id, organization_id, detail, payload, raw_body, redacted_at) = (
    select r.object_id, r.user_id, r.organization_id, r.detail, r.payload, r.raw_body, r.redacted_at
    from clerk_sync.redacted(e, null) as r)
  from those where e.svix_id = those.svix_id;
  get diagnostics events = row_count;
  return jsonb_build_object('events', events, 'audit_records', 0, 'held_back', 0, 'more', events >= most);
end
$$;

-- How many events of a time still hold anything but that they came, when, of which type and
-- instance, what became of them, and which secrets verified them: seen in the whole row, and
-- not as redact_range() looks for them.
create or replace function clerk_sync.range_left(since timestamptz, before timestamptz) returns bigint
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
  return (
    select count(*) from clerk_sync.webhook_events as e
    where e.received_at >= range_left.since and e.received_at < range_left.before
      and jsonb_strip_nulls(to_jsonb(e) - '{svix_id,type,outcome,reason,instance_id,stated_at,received_at,recorded_in,replayed_at,redacted_at,signed_with,repeated}'::text[]) <> '{}');
end
$$;

-- Where ids still are, whatever the column: in every table of this schema and of the copy,
-- as rows of each table and how many of them stand for a deletion, and so hold nothing else.
-- Made by looking at every row as text, and so knows nothing of how redact() finds them.
create or replace function clerk_sync.traces(ids text[])
returns table (relation text, matched bigint, tombstones bigint)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
  pattern constant text := clerk_sync.ids_pattern(ids);
  looked  record;
begin
  for looked in
    select format('%I.%I', n.nspname, c.relname) as name,
           string_agg(case when a.atttypid = 'bytea'::regtype then format('encode(t.%I, ''escape'')', a.attname)
                           else format('t.%I::text', a.attname) end, ', ' order by a.attnum) as columns,
           coalesce(max(case when c.relname = 'ended_memberships' then 'true'
                             when c.relname = 'users_public' then 'num_nonnulls(t.username, t.first_name, t.last_name, t.avatar_url) = 0'
                             when a.attname = 'sync_version' then 't.sync_version >= ''8''' end), 'false') as tombstone
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relkind = 'r'
      and (n.nspname = 'clerk_sync' or n.nspname = {{helpers_literal}}
           or n.nspname = {{exposed_literal}} and c.relname in ('users', 'users_public', 'organizations', 'organization_memberships'))
    group by n.nspname, c.relname
    order by n.nspname, c.relname
  loop
    relation := looked.name;
    execute format('select count(*), count(*) filter (where %s) from %s as t where concat_ws(e''\n'', %s) ~ $1', looked.tombstone, looked.name, looked.columns)
    into matched, tombstones using pattern;
    if matched > 0 then
      return next;
    end if;
  end loop;
end
$$;

revoke execute on function
  clerk_sync.ids_pattern(text[]), clerk_sync.ids_of(text), clerk_sync.redacted(clerk_sync.webhook_events, text[]),
  clerk_sync.redact(text[], integer), clerk_sync.redact_range(timestamptz, timestamptz, integer), clerk_sync.range_left(timestamptz, timestamptz),
  clerk_sync.traces(text[])
from public, anon, authenticated, service_role;
