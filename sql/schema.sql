-- Written by `make schema`; do not edit. What sql/schema and sql/rules lead to.
--
-- PostgreSQL database dump
--

\restrict clerksync


SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: clerk; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA clerk;


--
-- Name: SCHEMA clerk; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA clerk IS 'clerksync: helpers that row level security policies call. Never expose it.';


--
-- Name: clerk_sync; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA clerk_sync;


--
-- Name: SCHEMA clerk_sync; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA clerk_sync IS 'clerksync: inbox, settings and sync rules. Never expose it.';


--
-- Name: public; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA public;


--
-- Name: SCHEMA public; Type: COMMENT; Schema: -; Owner: -
--

COMMENT ON SCHEMA public IS 'standard public schema';


--
-- Name: stated_membership; Type: TYPE; Schema: clerk_sync; Owner: -
--

CREATE TYPE clerk_sync.stated_membership AS (
	id text,
	organization_id text,
	user_id text,
	role text,
	permissions text[],
	metadata jsonb,
	created_at timestamp with time zone,
	updated_at timestamp with time zone,
	sync_version text,
	result text
);


--
-- Name: by_key(text); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.by_key(id text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE COST 10000 PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return id;
end
$$;


--
-- Name: FUNCTION by_key(id text); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.by_key(id text) IS 'The id itself, so dear that the planner compares with it by an index.';


--
-- Name: claim(text[]); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.claim(path text[]) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select nullif(clerk.claims() #>> path, '')
$$;


--
-- Name: FUNCTION claim(path text[]); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.claim(path text[]) IS 'Any claim, as text. Trust only what a user cannot edit.';


--
-- Name: claim_values(text[]); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.claim_values(path text[]) RETURNS text[]
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select array(
    select v
    from jsonb_array_elements_text(case jsonb_typeof(c.claim)
      when 'array' then c.claim
      when 'string' then jsonb_build_array(c.claim)
      else '[]'
    end) as v
    where v <> '')
  from (select clerk.claims() #> path as claim) as c
$$;


--
-- Name: FUNCTION claim_values(path text[]); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.claim_values(path text[]) IS 'Any claim as a list: of one text, or of the texts of an array.';


--
-- Name: claims(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.claims() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- A setting made local to an earlier transaction reads back as '', not null.
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;


--
-- Name: crowd_from(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.crowd_from() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
begin
  return (
    select ''
    from public.organization_memberships as m
    -- Organizations that are deleted may count: more is looked at then, not shown.
    where m.clerk_org_id = any (array(
        select mine.clerk_org_id
        from public.organization_memberships as mine
        where mine.clerk_user_id = clerk.user_id()
          and mine.deleted_at is null))
      and m.deleted_at is null
    offset 1500 limit 1);
end
$$;


--
-- Name: FUNCTION crowd_from(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.crowd_from() IS 'Below all ids if the caller has many fellows, who are looked for row by row; otherwise null, which is nowhere.';


--
-- Name: crowd_to(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.crowd_to() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (select max(p.clerk_id) from public.users_public as p);
end
$$;


--
-- Name: FUNCTION crowd_to(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.crowd_to() IS 'Where looking for fellows row by row ends: at the last id.';


--
-- Name: fellows_by(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.fellows_by() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- Counting them would cost as much as hashing them. What the last analyze saw is good
  -- enough to choose by; an organization that it did not see among the largest is none.
  return case when exists (
      select
      from pg_stats as s
      cross join lateral unnest(s.most_common_vals::text::text[], s.most_common_freqs) as large (clerk_org_id, share)
      where s.schemaname = 'public' and s.tablename = 'organization_memberships' and s.attname = 'clerk_org_id'
        and large.share * (select c.reltuples from pg_class as c where c.oid = 'public.organization_memberships'::regclass)
          > (select c.reltuples / 30 from pg_class as c where c.oid = 'public.users_public'::regclass)
        and exists (
          select
          from public.organization_memberships as m
          where m.clerk_user_id = clerk.user_id()
            and m.deleted_at is null
            and m.clerk_org_id = large.clerk_org_id))
    then 'row' else 'hash' end;
end
$$;


--
-- Name: FUNCTION fellows_by(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.fellows_by() IS 'How the policy of users_public finds many fellows: by a hash of all of them, or by a look at each row.';


--
-- Name: first_fellow(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.first_fellow() RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
begin
  return (
    select least(clerk.user_id(), min(first.clerk_user_id))
    from public.organization_memberships as mine
    cross join lateral (
      select m.clerk_user_id
      from public.organization_memberships as m
      where m.clerk_org_id = mine.clerk_org_id
        and m.deleted_at is null
      -- As the index has it.
      order by m.deleted_at, m.clerk_user_id
      limit 1) as first
    where mine.clerk_user_id = clerk.user_id()
      and mine.deleted_at is null);
end
$$;


--
-- Name: FUNCTION first_fellow(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.first_fellow() IS 'The least id among the caller and all fellows; one of a deleted organization may be less.';


--
-- Name: has_org_permission(text); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.has_org_permission(permission text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select exists (select from clerk.org_permissions() as p where p = permission)
$$;


--
-- Name: FUNCTION has_org_permission(permission text); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.has_org_permission(permission text) IS 'The token grants this in its active organization.';


--
-- Name: has_second_factor(integer); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.has_second_factor(within_minutes integer DEFAULT NULL::integer) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  -- fva holds the minutes since the first and the second factor; -1 is never.
  select case
    when jsonb_typeof(f.fva) = 'array' and f.fva ->> 1 ~ '^[0-9]{1,9}$'
    then within_minutes is null or (f.fva ->> 1)::integer <= within_minutes
    else false
  end
  from (select clerk.claims() -> 'fva' as fva) as f
$_$;


--
-- Name: FUNCTION has_second_factor(within_minutes integer); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.has_second_factor(within_minutes integer) IS 'The session passed a second factor, at most so many minutes before the token was made.';


--
-- Name: is_impersonated(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.is_impersonated() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select coalesce(jsonb_typeof(clerk.claims() -> 'act') <> 'null', false)
$$;


--
-- Name: FUNCTION is_impersonated(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.is_impersonated() IS 'Another person acts as the caller.';


--
-- Name: leaving_fellow_ids(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.leaving_fellow_ids() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if exists (select from clerk_sync.endings as e where e.object = 'user') then
    return query
    select e.object_id
    from clerk_sync.endings as e
    where e.object = 'user'
      -- One who was only inferred to be gone may be back before all have ended.
      and not exists (select from public.users as u where u.clerk_id = e.object_id and u.deleted_at is null)
      and exists (
        select from public.organization_memberships as m
        where m.clerk_user_id = e.object_id
          and m.clerk_org_id = any (array(select clerk.my_org_ids()))
          and m.deleted_at is null);
  end if;
end
$$;


--
-- Name: FUNCTION leaving_fellow_ids(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.leaving_fellow_ids() IS 'Deleted users whose memberships in the caller''s organizations are still being ended.';


--
-- Name: my_fellow_ids(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.my_fellow_ids() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select clerk.user_id()
  union
  select m.clerk_user_id
  from public.organization_memberships as m
  where m.clerk_org_id = any (array(select clerk.my_org_ids()))
    and m.deleted_at is null
$$;


--
-- Name: FUNCTION my_fellow_ids(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.my_fellow_ids() IS 'The caller and everybody who shares an organization with the caller. Lists them all, whatever is asked for: fit for some thousands.';


--
-- Name: my_org_ids(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.my_org_ids() RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select m.clerk_org_id
  from public.organization_memberships as m
  join public.organizations as o using (clerk_org_id)
  join public.users as u on u.clerk_id = m.clerk_user_id
  where m.clerk_user_id = clerk.user_id()
    and m.deleted_at is null
    and o.deleted_at is null
    and u.deleted_at is null;
end
$$;


--
-- Name: FUNCTION my_org_ids(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.my_org_ids() IS 'Every organization the caller belongs to, from the copy: a removed member loses access at once.';


--
-- Name: my_org_ids_with_permission(text); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.my_org_ids_with_permission(permission text) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select m.clerk_org_id
  from public.organization_memberships as m
  join public.organizations as o using (clerk_org_id)
  join public.users as u on u.clerk_id = m.clerk_user_id
  -- The index on the key is of use for both forms.
  cross join lateral (
    select array[regexp_replace(m.role, '^org:', ''), regexp_replace(m.role, '^(org:)?', 'org:')] as keys) as role
  where m.clerk_user_id = clerk.user_id()
    and m.deleted_at is null
    and o.deleted_at is null
    and u.deleted_at is null
    -- What the role grants now, not what it granted when the membership last
    -- changed; that is all there is while the role itself is not known.
    and case
      when exists (select from clerk.organization_roles as r where r.key = any (role.keys) and r.deleted_at is null)
      then exists (select from clerk.role_permissions as g
                   where g.role = any (role.keys) and g.permission = my_org_ids_with_permission.permission)
      else my_org_ids_with_permission.permission = any (m.permissions)
    end;
end
$$;


--
-- Name: FUNCTION my_org_ids_with_permission(permission text); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.my_org_ids_with_permission(permission text) IS 'The organizations where the caller''s role grants this now, from the copy.';


--
-- Name: my_org_ids_with_role(text[]); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.my_org_ids_with_role(roles text[]) RETURNS SETOF text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select m.clerk_org_id
  from public.organization_memberships as m
  join public.organizations as o using (clerk_org_id)
  join public.users as u on u.clerk_id = m.clerk_user_id
  where m.clerk_user_id = clerk.user_id()
    and m.deleted_at is null
    and o.deleted_at is null
    and u.deleted_at is null
    and regexp_replace(m.role, '^(org:)?', 'org:') = any (
      array(select regexp_replace(r, '^(org:)?', 'org:') from unnest(my_org_ids_with_role.roles) as r where r <> ''));
end
$$;


--
-- Name: FUNCTION my_org_ids_with_role(roles text[]); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.my_org_ids_with_role(roles text[]) IS 'The organizations where the caller has one of these roles now, from the copy; with or without "org:".';


--
-- Name: near_fellow_ids(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.near_fellow_ids() RETURNS text[]
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    AS $$
declare
  ids constant text[] := array(
    select m.clerk_user_id
    from public.organization_memberships as m
    where m.clerk_org_id = any (array(select clerk.my_org_ids()))
      and m.deleted_at is null
    limit 1501);
begin
  return clerk.user_id() || case when cardinality(ids) <= 1500 then ids else '{}' end;
end
$$;


--
-- Name: FUNCTION near_fellow_ids(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.near_fellow_ids() IS 'The caller, and all fellows of the caller while these are few.';


--
-- Name: org_id(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.org_id() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select nullif(coalesce(c.claims -> 'o' ->> 'id', c.claims ->> 'org_id'), '')
  from (select clerk.claims() as claims) as c
$$;


--
-- Name: FUNCTION org_id(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.org_id() IS 'The organization that is active in the caller''s token; null if there is none.';


--
-- Name: org_permissions(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.org_permissions() RETURNS SETOF text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
  with token as materialized (
    select clerk.claims() as claims
  ),
  features as (
    select f.feature, f.entry, row_number() over (order by f.entry) as entry_of_org
    from token
    cross join string_to_table(claims ->> 'fea', ',') with ordinality as listed (name, entry)
    cross join lateral (select split_part(name, ':', 1) as scope, split_part(name, ':', 2) as feature, listed.entry) as f
    where f.scope like '%o%' and f.feature <> ''
  ),
  masks as (
    select listed.entry, case when listed.mask ~ '^[0-9]+$' and length(listed.mask) <= 300 then listed.mask::numeric end as mask
    from token
    cross join string_to_table(claims -> 'o' ->> 'fpm', ',') with ordinality as listed (mask, entry)
  ),
  names as (
    select p.name, p.position - 1 as bit, count(*) over () as bits
    from token
    cross join string_to_table(claims -> 'o' ->> 'per', ',') with ordinality as p (name, position)
  )
  select 'org:' || f.feature || ':' || n.name
  from features as f
  join masks as go on go.entry = f.entry
  join masks as js on js.entry = f.entry_of_org
  cross join names as n
  where n.name <> ''
    and go.mask < 2::numeric ^ n.bits
    and mod(div(go.mask, 2::numeric ^ n.bit), 2) = 1
    and mod(div(js.mask, 2::numeric ^ n.bit), 2) = 1
  union
  -- Version 1 tokens list them as they are.
  select v
  from token
  cross join jsonb_array_elements_text(
    case when jsonb_typeof(claims -> 'org_permissions') = 'array' and claims -> 'o' is null
         then claims -> 'org_permissions' else '[]' end) as v
$_$;


--
-- Name: FUNCTION org_permissions(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.org_permissions() IS 'What the token grants in its active organization, such as "org:invoices:manage".';


--
-- Name: org_role(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.org_role() RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- Version 2 tokens leave the prefix out; the mirrored memberships keep it.
  select case when r.role = '' then null
              when r.role like 'org:%' then r.role
              else 'org:' || r.role end
  from (select coalesce(c.claims -> 'o' ->> 'rol', c.claims ->> 'org_role') as role
        from (select clerk.claims() as claims) as c) as r
$$;


--
-- Name: FUNCTION org_role(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.org_role() IS 'The caller''s role in the active organization, always with its "org:" prefix.';


--
-- Name: session_is_active(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.session_is_active() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  -- A pending session (an organization still to be chosen, say) has a valid
  -- token all the same. Tokens without the claim are older than pending sessions.
  select clerk.user_id() is not null
     and coalesce(clerk.claims() ->> 'sts', 'active') = 'active'
$$;


--
-- Name: FUNCTION session_is_active(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.session_is_active() IS 'The caller is a user and has no session task left to do.';


--
-- Name: user_id(); Type: FUNCTION; Schema: clerk; Owner: -
--

CREATE FUNCTION clerk.user_id() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '');
end
$$;


--
-- Name: FUNCTION user_id(); Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON FUNCTION clerk.user_id() IS 'Clerk id of the caller, from the verified token; null if there is none.';


--
-- Name: apply_checked_event(jsonb, bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_checked_event(event jsonb, stated_ms bigint, OUT outcome text, OUT reason text, OUT detail text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: apply_event(text, jsonb, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_event(svix_id text, event jsonb, expected_instance text DEFAULT NULL::text, signed_with text DEFAULT NULL::text, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: FUNCTION apply_event(svix_id text, event jsonb, expected_instance text, signed_with text, OUT outcome text, OUT reason text); Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON FUNCTION clerk_sync.apply_event(svix_id text, event jsonb, expected_instance text, signed_with text, OUT outcome text, OUT reason text) IS 'Applies one verified Clerk webhook: applied, duplicate, stale, ignored or rejected (with a reason). Safe to repeat.';


--
-- Name: apply_event_text(text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_event_text(svix_id text, body text, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: apply_events(text[], jsonb, text[], text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_events(svix_ids text[], events jsonb, expected_instances text[] DEFAULT NULL::text[], signed_with text[] DEFAULT NULL::text[]) RETURNS TABLE(outcome text, reason text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET lock_timeout TO '5s'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: FUNCTION apply_events(svix_ids text[], events jsonb, expected_instances text[], signed_with text[]); Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON FUNCTION clerk_sync.apply_events(svix_ids text[], events jsonb, expected_instances text[], signed_with text[]) IS 'Applies verified Clerk webhooks, one outcome each in their order. Safe to repeat.';


--
-- Name: apply_memberships(jsonb, bigint[], text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_memberships(resources jsonb, stated_ms bigint[], kinds text[] DEFAULT '{3}'::text[]) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
  left join public.organization_memberships as m on m.clerk_membership_id = i.id
  left join clerk_sync.watermarks as w on w.object = 'organization_membership';

  -- Only of those that will be written: an unchanged page locks nothing.
  perform from public.users as u
  where u.clerk_id in (select c.user_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by u.clerk_id for key share;

  perform from public.organizations as o
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
    left join public.users as u on u.clerk_id = c.user_id
    left join public.organizations as o on o.clerk_org_id = c.organization_id
    left join clerk_sync.ended_memberships as e on e.clerk_membership_id = c.id
    cross join lateral (select greatest(
      case when u.deleted_at is not null then u.sync_version end,
      case when o.deleted_at is not null then o.sync_version end,
      case when e.deleted_at is not null then '9' end) as version) as ended
  ), written as (
    insert into public.organization_memberships as m (
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


--
-- Name: apply_objects(text, jsonb, bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_objects(object text, resources jsonb, stated_ms bigint) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  return query execute format('select * from clerk_sync.%I($1, array[$2])', (clerk_sync.object(object)).applies)
  using resources, stated_ms;
end
$_$;


--
-- Name: apply_organizations(jsonb, bigint[], text[], text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_organizations(resources jsonb, stated_ms bigint[], kinds text[] DEFAULT '{3}'::text[], class text DEFAULT '2'::text) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with compared as (
    select i.id as clerk_org_id, i.version as sync_version, i.created_at, i.updated_at, r.*,
      clerk_sync.verdict(o.sync_version, o.synced_at, w, i.version, i.kind, (
        o.name, o.slug, o.logo_url, o.metadata, o.created_by, o.max_allowed_memberships, o.admin_delete_enabled,
        o.created_at, o.updated_at
      ) is not distinct from (
        r.name, r.slug, r.image_url, coalesce(r.public_metadata, '{}'), r.created_by,
        trunc(r.max_allowed_memberships)::bigint, r.admin_delete_enabled, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(
      apply_organizations.resources, apply_organizations.stated_ms, apply_organizations.kinds, apply_organizations.class
    ) as i
    cross join lateral jsonb_to_record(i.resource) as r (
      name text, slug text, image_url text, public_metadata jsonb, created_by text,
      max_allowed_memberships numeric, admin_delete_enabled boolean)
    left join public.organizations as o on o.clerk_org_id = i.id
    left join clerk_sync.watermarks as w on w.object = case when apply_organizations.class = '2' then 'organization' end
  ), written as (
    insert into public.organizations as o (
      clerk_org_id, name, slug, logo_url, metadata, created_by, max_allowed_memberships, admin_delete_enabled,
      created_at, updated_at, sync_version)
    select
      c.clerk_org_id, c.name, c.slug, c.image_url, coalesce(c.public_metadata, '{}'), c.created_by,
      trunc(c.max_allowed_memberships)::bigint, c.admin_delete_enabled, c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_org_id
    on conflict (clerk_org_id) do update set
      name                    = excluded.name,
      slug                    = excluded.slug,
      logo_url                = excluded.logo_url,
      metadata                = excluded.metadata,
      created_by              = excluded.created_by,
      max_allowed_memberships = excluded.max_allowed_memberships,
      admin_delete_enabled    = excluded.admin_delete_enabled,
      created_at              = excluded.created_at,
      updated_at              = excluded.updated_at,
      deleted_at              = null,
      synced_at               = now(),
      sync_version            = excluded.sync_version
    where o.sync_version < excluded.sync_version or clerk_sync.revives(o.sync_version, excluded.sync_version)
    returning o.clerk_org_id, o.deleted_at
  )
  select array_agg(c.clerk_org_id),
         array_agg(case when c.result in ('unchanged', 'stale', 'deleted')
                          or c.clerk_org_id in (select w.clerk_org_id from written as w)
                        then c.result else 'stale' end)
  into ids, results
  from compared as c;

  if class = '2' and clerk_sync.keeps_private_metadata() then
    perform clerk_sync.keep_private_metadata('organization', array(
      select w.id from unnest(ids, results) as w (id, result) where w.result in ('created', 'updated')), resources);
  end if;

  return query select w.id, w.result from unnest(ids, results) as w (id, result);
end
$$;


--
-- Name: apply_page(bigint, text, text, integer, integer, text, jsonb, bigint, text[], bigint[], bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_page(run bigint, holder text, phase text, pass integer, "position" integer, object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint, OUT created bigint, OUT updated bigint, OUT unchanged bigint, OUT stale bigint, OUT drift bigint, OUT deleted_here bigint) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
declare
  before      text[];
  said        bigint[];
  results     text[];
  deleted     bigint;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if run is not null then
    perform clerk_sync.require_lock(run, holder);
    -- A page is sent again when its answer was lost, and the first may still be at
    -- work then: what that one writes is counted there, and unchanged here. The
    -- window's row is the lock, since any login can take an advisory one.
    insert into clerk_sync.run_windows as w (run_id, object, phase, pass, position, requested_ms)
    values (run, apply_page.object, apply_page.phase, apply_page.pass, apply_page."position", stated_ms)
    on conflict on constraint run_windows_pkey do update set requested_ms = least(w.requested_ms, excluded.requested_ms);
    -- What Clerk lists later than it was found absent is there, though its row may be
    -- right and stay as it is.
    delete from clerk_sync.sync_absences as a where a.ctid = any (array(
      select (select s.ctid from clerk_sync.sync_absences as s
              where s.run_id = run and s.object = apply_page.object and s.object_id = i.id
                and date_trunc('milliseconds', s.confirmed_at) <= to_timestamp(stated_ms / 1000.0))
      from unnest(ids) as i (id)));
    perform set_config('clerk_sync.cause', 'run_' || run, true);
  end if;

  before := clerk_sync.versions(object, ids);
  said := array(select u.ms from unnest(ids, updated_ms) as u (id, ms) order by u.id);
  results := array(select a.result from clerk_sync.apply_objects(object, resources, stated_ms) as a order by a.id);
  perform set_config('clerk_sync.cause', outer_cause, true);

  select count(*) filter (where r.result = 'created'),
         count(*) filter (where r.result = 'updated'),
         count(*) filter (where r.result = 'deleted'),
         count(*) filter (where r.result = 'unchanged'),
         count(*) filter (where r.result in ('stale', 'deleted')),
         count(*) filter (where r.result in ('created', 'updated')
                            and clerk_sync.is_drift(r.result, r.before, r.said, settled_ms))
  into created, updated, deleted, unchanged, stale, drift
  from unnest(results, before, said) as r (result, before, said);

  -- A listed object whose tombstone we hold was deleted after the page was
  -- requested, or Clerk's list was behind: the copy is right. That is no news of
  -- an earlier tombstone, which the window counts when it is finished.
  deleted_here := 0;
  if deleted > 0 then
    deleted_here := (
      select count(*) from jsonb_each(clerk_sync.stated_rows(object, array(
        select r.id from unnest(results, array(select i from unnest(ids) as i order by i)) as r (result, id)
        where r.result = 'deleted'))) as t
      where clerk_sync.is_deleted_here(t.value, settled_ms));
  end if;

  -- A list that is behind of what was stated before it was asked for does not confirm that.
  if run is not null and stale > 0 then
    update clerk_sync.run_windows as w set requested_ms = least(w.requested_ms, (
      select min(substr(r.before, 19, 15)::bigint) from unnest(results, before) as r (result, before)
      where r.result = 'stale' and r.before >= '2' and r.before < '8'))
    where w.run_id = run and w.object = apply_page.object
      and w.phase = apply_page.phase and w.pass = apply_page.pass and w.position = apply_page."position";
  end if;

  if run is not null and created + updated > 0 then
    perform clerk_sync.count_window(run, object, phase, pass, "position",
      jsonb_build_object('created', created, 'updated', updated, 'drift', drift));
  end if;
  drift := drift + deleted_here;
end
$$;


--
-- Name: apply_permissions(jsonb, bigint[], text[], text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_permissions(resources jsonb, stated_ms bigint[], kinds text[] DEFAULT '{3}'::text[], class text DEFAULT '2'::text) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
  return query
  with compared as (
    select i.id as clerk_permission_id, i.version as sync_version, i.created_at, i.updated_at, r.*,
      clerk_sync.verdict(o.sync_version, o.synced_at, w, i.version, i.kind, (
        o.key, o.name, o.description, o.type, o.created_at, o.updated_at
      ) is not distinct from (
        r.key, r.name, r.description, r.type, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(
      apply_permissions.resources, apply_permissions.stated_ms, apply_permissions.kinds, apply_permissions.class) as i
    cross join lateral jsonb_to_record(i.resource) as r (key text, name text, description text, type text)
    left join clerk.organization_permissions as o on o.clerk_permission_id = i.id
    left join clerk_sync.watermarks as w on w.object = case when apply_permissions.class = '2' then 'permission' end
    where i.id is not null
  ), written as (
    insert into clerk.organization_permissions as o (
      clerk_permission_id, key, name, description, type, created_at, updated_at, sync_version)
    select c.clerk_permission_id, c.key, c.name, c.description, c.type, c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_permission_id
    on conflict (clerk_permission_id) do update set
      key          = excluded.key,
      name         = excluded.name,
      description  = excluded.description,
      type         = excluded.type,
      created_at   = excluded.created_at,
      updated_at   = excluded.updated_at,
      deleted_at   = null,
      synced_at    = now(),
      sync_version = excluded.sync_version
    where o.sync_version < excluded.sync_version or clerk_sync.revives(o.sync_version, excluded.sync_version)
    returning o.clerk_permission_id
  )
  select c.clerk_permission_id,
         case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_permission_id in (select w.clerk_permission_id from written as w)
              then c.result else 'stale' end
  from compared as c;
end
$$;


--
-- Name: apply_roles(jsonb, bigint[], text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_roles(resources jsonb, stated_ms bigint[], kinds text[] DEFAULT '{3}'::text[]) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
declare
  permissions jsonb;
  stated bigint[];
  told text[];
begin
  -- A role spells out its permissions; those not told by themselves become placeholders.
  select jsonb_agg(p), array_agg(coalesce(apply_roles.stated_ms[r.position], apply_roles.stated_ms[1])),
         array_agg(coalesce(apply_roles.kinds[r.position], apply_roles.kinds[1]))
  into permissions, stated, told
  from jsonb_array_elements(apply_roles.resources) with ordinality as r (resource, position)
  cross join lateral jsonb_array_elements(nullif(r.resource -> 'permissions', 'null')) as p;

  if permissions is not null then
    perform clerk_sync.apply_permissions(permissions, stated, told, '1');
  end if;

  return query
  with compared as (
    select i.id as clerk_role_id, i.version as sync_version, i.created_at, i.updated_at,
      r.key, r.name, r.description, r.is_creator_eligible, t.permission_ids,
      clerk_sync.verdict(o.sync_version, o.synced_at, w, i.version, i.kind, (
        o.key, o.name, o.description, o.is_creator_eligible, o.permission_ids, o.created_at, o.updated_at
      ) is not distinct from (
        r.key, r.name, r.description, r.is_creator_eligible, t.permission_ids, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(apply_roles.resources, apply_roles.stated_ms, apply_roles.kinds, '2') as i
    cross join lateral jsonb_to_record(i.resource) as r (
      key text, name text, description text, is_creator_eligible boolean, permissions jsonb)
    cross join lateral (
      select array(select distinct p ->> 'id' from jsonb_array_elements(r.permissions) as p
                   where p ->> 'id' is not null order by 1) as permission_ids
    ) as t
    left join clerk.organization_roles as o on o.clerk_role_id = i.id
    left join clerk_sync.watermarks as w on w.object = 'role'
  ), written as (
    insert into clerk.organization_roles as o (
      clerk_role_id, key, name, description, is_creator_eligible, permission_ids, created_at, updated_at, sync_version)
    select c.clerk_role_id, c.key, c.name, c.description, c.is_creator_eligible, c.permission_ids,
           c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_role_id
    on conflict (clerk_role_id) do update set
      key                 = excluded.key,
      name                = excluded.name,
      description         = excluded.description,
      is_creator_eligible = excluded.is_creator_eligible,
      permission_ids      = excluded.permission_ids,
      created_at          = excluded.created_at,
      updated_at          = excluded.updated_at,
      deleted_at          = null,
      synced_at           = now(),
      sync_version        = excluded.sync_version
    where o.sync_version < excluded.sync_version or clerk_sync.revives(o.sync_version, excluded.sync_version)
    returning o.clerk_role_id
  )
  select c.clerk_role_id,
         case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_role_id in (select w.clerk_role_id from written as w)
              then c.result else 'stale' end
  from compared as c;
end
$$;


--
-- Name: apply_together(text, jsonb[], bigint[], text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_together(step text, events jsonb[], stated_ms bigint[], svix_ids text[]) RETURNS text[]
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
             select from public.organization_memberships as m
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
      select m.clerk_membership_id as id, m.clerk_user_id as parent from public.organization_memberships as m
      where step = 'user.deleted' and m.clerk_user_id = any (ids)
      union all
      select m.clerk_membership_id, m.clerk_org_id from public.organization_memberships as m
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


--
-- Name: apply_users(jsonb, bigint[], text[], text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.apply_users(resources jsonb, stated_ms bigint[], kinds text[] DEFAULT '{3}'::text[], class text DEFAULT '2'::text) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with compared as (
    select i.id as clerk_id, i.version as sync_version, i.created_at, i.updated_at, r.*, t.*,
      clerk_sync.verdict(u.sync_version, u.synced_at, w, i.version, i.kind, (
        u.external_id, u.email, u.email_verified, u.phone, u.phone_verified, u.username, u.first_name, u.last_name,
        u.avatar_url, u.metadata, u.unsafe_metadata, u.banned, u.locked, u.password_enabled, u.two_factor_enabled,
        u.last_sign_in_at, u.last_active_at, u.created_at, u.updated_at
      ) is not distinct from (
        r.external_id, t.email, t.email_verified, t.phone, t.phone_verified, r.username, r.first_name, r.last_name,
        r.image_url, t.metadata, t.unsafe, r.banned, r.locked, r.password_enabled, r.two_factor_enabled,
        t.signed_in_at, t.active_at, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(apply_users.resources, apply_users.stated_ms, apply_users.kinds, apply_users.class) as i
    cross join lateral jsonb_to_record(i.resource) as r (
      external_id text, username text, first_name text, last_name text, image_url text,
      public_metadata jsonb, unsafe_metadata jsonb, primary_email_address_id text, primary_phone_number_id text,
      banned boolean, locked boolean, password_enabled boolean, two_factor_enabled boolean,
      last_sign_in_at numeric, last_active_at numeric)
    -- The primary one by its id, wherever it stands in the list; none if there is none.
    cross join lateral (
      select jsonb_path_query_first(i.resource, '$.email_addresses[*] ? (@.id == $primary)',
               jsonb_build_object('primary', r.primary_email_address_id)) as email,
             jsonb_path_query_first(i.resource, '$.phone_numbers[*] ? (@.id == $primary)',
               jsonb_build_object('primary', r.primary_phone_number_id)) as phone
    ) as main
    cross join lateral (
      select main.email ->> 'email_address' as email,
             case when main.email is not null
                  then coalesce(main.email -> 'verification' ->> 'status' = 'verified', false) end as email_verified,
             main.phone ->> 'phone_number' as phone,
             case when main.phone is not null
                  then coalesce(main.phone -> 'verification' ->> 'status' = 'verified', false) end as phone_verified,
             coalesce(r.public_metadata, '{}') as metadata, coalesce(r.unsafe_metadata, '{}') as unsafe,
             to_timestamp((case when r.last_sign_in_at < 1e11 then r.last_sign_in_at * 1000 else r.last_sign_in_at end
               / 1000)::double precision) as signed_in_at,
             to_timestamp((case when r.last_active_at < 1e11 then r.last_active_at * 1000 else r.last_active_at end
               / 1000)::double precision) as active_at
    ) as t
    left join public.users as u on u.clerk_id = i.id
    -- A placeholder is no user that a run has read.
    left join clerk_sync.watermarks as w on w.object = case when apply_users.class = '2' then 'user' end
  ), written as (
    insert into public.users as u (
      clerk_id, external_id, email, email_verified, phone, phone_verified, username, first_name, last_name,
      avatar_url, metadata, unsafe_metadata, banned, locked, password_enabled, two_factor_enabled,
      last_sign_in_at, last_active_at, created_at, updated_at, sync_version)
    select
      c.clerk_id, c.external_id, c.email, c.email_verified, c.phone, c.phone_verified, c.username, c.first_name,
      c.last_name, c.image_url, c.metadata, c.unsafe, c.banned, c.locked, c.password_enabled,
      c.two_factor_enabled, c.signed_in_at, c.active_at, c.created_at, c.updated_at, c.sync_version
    from compared as c
    where c.result in ('created', 'updated')
    order by c.clerk_id
    on conflict (clerk_id) do update set
      external_id        = excluded.external_id,
      email              = excluded.email,
      email_verified     = excluded.email_verified,
      phone              = excluded.phone,
      phone_verified     = excluded.phone_verified,
      username           = excluded.username,
      first_name         = excluded.first_name,
      last_name          = excluded.last_name,
      avatar_url         = excluded.avatar_url,
      metadata           = excluded.metadata,
      unsafe_metadata    = excluded.unsafe_metadata,
      banned             = excluded.banned,
      locked             = excluded.locked,
      password_enabled   = excluded.password_enabled,
      two_factor_enabled = excluded.two_factor_enabled,
      last_sign_in_at    = excluded.last_sign_in_at,
      last_active_at     = excluded.last_active_at,
      created_at         = excluded.created_at,
      updated_at         = excluded.updated_at,
      deleted_at         = null,
      synced_at          = now(),
      sync_version       = excluded.sync_version
    -- Another call may have written the row since it was compared.
    where u.sync_version < excluded.sync_version or clerk_sync.revives(u.sync_version, excluded.sync_version)
    returning u.clerk_id, u.deleted_at
  )
  select array_agg(c.clerk_id),
         array_agg(case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_id in (select w.clerk_id from written as w)
                        then c.result else 'stale' end)
  into ids, results
  from compared as c;

  if class = '2' and clerk_sync.keeps_private_metadata() then
    perform clerk_sync.keep_private_metadata('user', array(
      select w.id from unnest(ids, results) as w (id, result) where w.result in ('created', 'updated')), resources);
  end if;

  return query select w.id, w.result from unnest(ids, results) as w (id, result);
end
$_$;


--
-- Name: audit_rows(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.audit_rows() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET enable_hashjoin TO 'on'
    AS $$
declare
  few          constant integer := 8;
  small        constant integer := 32768;
  rows         bigint;
  replaced     bigint;
  bytes        bigint;
  actor_kind   text := 'database';
  user_id      text;
  impersonator text;
  org_id       text;
  login        text;
  role         text;
  cause        text;
  causes       jsonb;
  table_schema text;
  table_name   text;
  action       text;
  ignored      text[];
  key          smallint[];
  keys         text[];
  simple       boolean := false;
  claims       jsonb;
begin
  -- An upsert fires for inserts and for updates, and mostly one of them is empty:
  -- that is found out before anything else is asked.
  if tg_op <> 'TRUNCATE' then
    if tg_op = 'UPDATE' then
      if not exists (select from told) and not exists (select from before) then
        return null;
      end if;
      select (select count(*) from told), (select count(*) from before),
             (select sum(pg_column_size(t.*)) from (select * from told limit few) as t)
               + (select sum(pg_column_size(b.*)) from (select * from before limit few) as b)
      into rows, replaced, bytes;
    else
      if not exists (select from told) then
        return null;
      end if;
      select count(*), count(*), (select sum(pg_column_size(t.*)) from (select * from told limit few) as t)
      into rows, replaced, bytes from told;
    end if;
  end if;
  login := session_user;
  role := nullif(current_setting('role'), 'none');
  cause := nullif(left(current_setting('clerk_sync.cause', true), 256), '');
  table_schema := tg_table_schema;
  table_name := tg_table_name;
  action := lower(tg_op collate "C");

  if login in ('clerksync_writer', 'clerksync_writer_b') then
    actor_kind := 'sync';
    -- A batch of events has many causes, by row.
    causes := nullif(current_setting('clerk_sync.causes', true), '')::jsonb;
  elsif login = 'authenticator' and role is not null then
    claims := clerk_sync.request_claims();
    user_id := left(nullif(claims ->> 'sub', ''), 255);
    impersonator := left(nullif(claims -> 'act' ->> 'sub', ''), 255);
    org_id := left(nullif(coalesce(claims -> 'o' ->> 'id', claims ->> 'org_id'), ''), 255);
    actor_kind := case when role = 'service_role' then 'service' when user_id is null then 'anonymous' else 'user' end;
  end if;

  if tg_op = 'TRUNCATE' then
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action)
    values (actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action);
    return null;
  end if;

  -- A row's history stays together, by any of its partitions.
  if pg_partition_root(tg_relid) <> tg_relid then
    select n.nspname, c.relname into table_schema, table_name
    from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.oid = pg_partition_root(tg_relid);
  end if;

  ignored := coalesce(tg_argv[0], '{}');
  if rows <= few and rows = replaced and bytes <= small then
    key := (select c.conkey from pg_catalog.pg_constraint as c where c.conrelid = tg_relid and c.contype = 'p');
    select array_agg(a.attname::text order by array_position(key, a.attnum)) filter (where a.attnum = any (key)),
           bool_and(a.atttypid = 'jsonb'::regtype and a.attnotnull or a.atttypid = any (
             '{boolean,smallint,integer,bigint,numeric,text,varchar,bpchar,uuid,date,timestamp,timestamptz,text[]}'::regtype[]))
    into keys, simple
    from pg_catalog.pg_attribute as a
    where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped;
  end if;

  if not simple then
    execute clerk_sync.audit_statement(tg_relid, action, ignored, rows = replaced)
    using actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, causes;
  elsif tg_op = 'UPDATE' then
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name,
      action, row_id, new_row_id, changed)
    select actor_kind, user_id, impersonator, org_id, login, role, coalesce(causes ->> i.row_id, cause),
           table_schema, table_name, action, i.row_id,
           case when d.changed && keys and cardinality(keys) = 1 then n.told ->> keys[1]
                when d.changed && keys then (select json_agg(n.told -> k)::text from unnest(keys) as k) end,
           d.changed
    from (select row_number() over () as position, row_to_json(b.*) as told from before as b) as o
    join (select row_number() over () as position, row_to_json(t.*) as told from told as t) as n using (position)
    cross join lateral (
      select case when cardinality(keys) = 1 then o.told ->> keys[1]
                  else (select json_agg(o.told -> k)::text from unnest(keys) as k) end as row_id
    ) as i
    cross join lateral (
      select array_agg(f.name order by f.name collate "C") as changed
      from rows from (json_each(o.told), json_each(n.told)) as f (name, old, same_name, new)
      where f.old::text <> f.new::text and f.name <> all (ignored)
    ) as d
    where d.changed is not null;
  else
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, row_id)
    select actor_kind, user_id, impersonator, org_id, login, role, coalesce(causes ->> i.row_id, cause),
           table_schema, table_name, action, i.row_id
    from (select row_to_json(t.*) as told from told as t) as t
    cross join lateral (
      select case when cardinality(keys) = 1 then t.told ->> keys[1]
                  else (select json_agg(t.told -> k)::text from unnest(keys) as k) end as row_id
    ) as i;
  end if;
  return null;
end
$$;


--
-- Name: audit_statement(oid, text, text[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.audit_statement(target oid, action text, ignored text[], paired boolean) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  keys   text[];
  row_id text;
  fields text;
  marker text;
begin
  -- Only what is built in is shown as JSON shows it: a cast to JSON that a team
  -- made for a type of his own would run with the rights of the log.
  select array_agg(case when a.atttypid < 16384 then format('t.%I', a.attname) else format('concat(t.%I)', a.attname) end
                   order by k.position)
  into keys
  from pg_catalog.pg_constraint as c
  cross join lateral unnest(c.conkey) with ordinality as k (attnum, position)
  join pg_catalog.pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
  where c.conrelid = audit_statement.target and c.contype = 'p';
  row_id := case cardinality(keys)
    when 1 then format('to_json(%s) #>> ''{}''', keys[1])
    else coalesce(format('json_build_array(%s)::text', array_to_string(keys, ', ')), 'null::text') end;

  if action <> 'update' then
    return 'insert into clerk_sync.audit_log (
        actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, row_id)
      select $1, $2, $3, $4, $5, $6, coalesce($11 ->> (' || row_id || '), $7), $8, $9, $10, ' || row_id || ' from told as t';
  end if;

  -- Compared as they are stored, which every type can be; where equal means the
  -- same bytes, the type's own operator is quicker.
  select string_agg(format('case when ' || case
           when a.atttypid = any ('{boolean,smallint,integer,bigint,uuid,date,timestamp,timestamptz}'::regtype[])
             then 'o.%1$I is distinct from n.%1$I'
           when a.atttypid = any ('{text,varchar}'::regtype[])
             then 'o.%1$I collate "C" is distinct from n.%1$I collate "C"'
           else 'record_image_ne(row(o.%1$I), row(n.%1$I))' end
           || ' then %1$L end', a.attname), ', ' order by a.attname collate "C")
  into fields
  from pg_catalog.pg_attribute as a
  where a.attrelid = audit_statement.target and a.attnum > 0 and not a.attisdropped
    and a.attname <> all (audit_statement.ignored);

  -- What numbers and ids are called must not be the name of a column.
  marker := 'audited';
  while exists (select from pg_catalog.pg_attribute as a
                where a.attrelid = audit_statement.target and a.attname in (marker || '_at', marker || '_id')) loop
    marker := marker || 'x';
  end loop;

  -- "offset 0" keeps the comparison in one place, so that it is made once a row.
  return format('
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name,
      action, row_id, new_row_id, changed)
    select $1, $2, $3, $4, $5, $6, coalesce($11 ->> d.row_id, $7), $8, $9, d.action, d.row_id,
           case when d.action = ''update'' and d.new_row_id <> d.row_id then d.new_row_id end,
           case when d.action = ''update'' then d.changed end
    from (
      select case when n.%1$s_at is null then ''delete'' when o.%1$s_at is null then ''insert'' else ''update'' end as action,
             coalesce(o.%1$s_id, n.%1$s_id) as row_id, n.%1$s_id as new_row_id,
             array_remove(array[%2$s]::text[], null) as changed
      from (select row_number() over () as %1$s_at, %3$s as %1$s_id, t.* from before as t) as o
      full join (select row_number() over () as %1$s_at, %3$s as %1$s_id, t.* from told as t) as n on o.%1$s_%4$s = n.%1$s_%4$s
      offset 0
    ) as d
    where d.action <> ''update'' or d.changed <> ''{}''',
    marker, fields, row_id, case when paired then 'at' else 'id' end);
end
$_$;


--
-- Name: audit_table(regclass, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.audit_table(target regclass, ignore text[] DEFAULT '{}'::text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  known  pg_catalog.pg_class;
  broken text;
  part   regclass;
begin
  select * into known from pg_catalog.pg_class as c where c.oid = target;
  if not found then
    raise undefined_table using message = 'there is no such table to audit',
      hint = 'Write the name as in SQL, with its schema: ''public.invoices'', or ''public."Invoices"'' if it has capitals.';
  elsif known.oid = 'clerk_sync.audit_log'::regclass then
    raise invalid_parameter_value using message = 'the audit log cannot audit itself',
      hint = 'It refuses every update and delete anyway.';
  elsif known.relkind not in ('r', 'p') then
    raise wrong_object_type using
      message = format('%s is no table but a %s', target, case known.relkind
        when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' when 'S' then 'sequence'
        when 'i' then 'index' when 'I' then 'index' else 'thing of another kind' end),
      hint = case known.relkind
        when 'v' then 'Audit the tables below the view: what is written through it is recorded there.'
        when 'f' then 'Audit it in the database where it lives.'
        else 'Only tables can be audited.' end;
  elsif known.relpersistence = 't' then
    raise wrong_object_type using message = format('%s is temporary', target),
      hint = 'It is gone with its session; audit the table that its rows end up in.';
  elsif known.relnamespace::regnamespace::text ~ '^(pg_|information_schema$)' then
    raise insufficient_privilege using message = format('%s belongs to PostgreSQL itself', target),
      hint = 'Only tables of your own can be audited.';
  elsif not pg_has_role(current_user, known.relowner, 'usage') then
    raise insufficient_privilege using
      message = format('%s belongs to %I, not to %I', target, known.relowner::regrole::text, current_user),
      hint = 'Supabase''s own tables (auth, storage, …) cannot be audited this way; of any other, become the owner first.';
  elsif not exists (select from pg_catalog.pg_constraint as c where c.conrelid = target and c.contype = 'p') then
    raise object_not_in_prerequisite_state using message = format('%s has no primary key', target),
      hint = 'A record says which row it is about. Add one: '
        || format('alter table %s add column id bigint generated always as identity primary key.', target);
  end if;

  select string_agg(quote_literal(i), ', ' order by i) into broken
  from unnest(ignore) as i
  where not exists (select from pg_catalog.pg_attribute as a
                    where a.attrelid = target and a.attname = i and a.attnum > 0 and not a.attisdropped);
  if broken is not null then
    raise undefined_column using message = format('%s has no column %s', target, broken),
      hint = 'Name the columns to ignore as they are stored, without quotes.';
  end if;

  with recursive below (relid) as (
    select target::oid
    union
    select i.inhrelid from pg_catalog.pg_inherits as i join below on i.inhparent = below.relid
  )
  select string_agg(format('%s', c.oid::regclass), ', ' order by c.relname) into broken
  from below join pg_catalog.pg_class as c on c.oid = below.relid
  where c.relkind = 'f';
  if broken is not null then
    raise wrong_object_type using message = format('%s has parts that are foreign tables: %s', target, broken),
      hint = 'A trigger is shown no rows of those, and PostgreSQL may refuse the write for that. Audit the other parts one by one.';
  end if;

  -- What is written to a partition by its own name fires the partition's triggers
  -- only, and what is written through the parent fires only the parent's.
  foreach part in array array(select target union select t.relid from pg_catalog.pg_partition_tree(target) as t)
  loop
    execute format('create or replace trigger clerksync_audit_delete after delete on %s
      referencing old table as told for each statement execute function clerk_sync.audit_rows()', part);
    execute format('create or replace trigger clerksync_audit_insert after insert on %s
      referencing new table as told for each statement execute function clerk_sync.audit_rows()', part);
    execute format('create or replace trigger clerksync_audit_truncate after truncate on %s
      for each statement execute function clerk_sync.audit_rows()', part);
    execute format('create or replace trigger clerksync_audit_update after update on %s
      referencing old table as before new table as told for each statement execute function clerk_sync.audit_rows(%L)',
      part, coalesce(ignore, '{}'));
  end loop;
end
$_$;


--
-- Name: audited_tables(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.audited_tables() RETURNS TABLE(table_schema text, table_name text, ignored text[], complete boolean)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  with installed as (
    select t.tgrelid,
           max(case when t.tgname = 'clerksync_audit_update' and t.tgnargs = 1
                    then convert_from(substr(t.tgargs, 1, length(t.tgargs) - 1), getdatabaseencoding()) end)::text[] as ignored,
           count(*) filter (where t.tgenabled in ('O', 'A')) = 4 as complete
    from pg_catalog.pg_trigger as t
    where t.tgfoid = 'clerk_sync.audit_rows()'::regprocedure
    group by t.tgrelid
  )
  select n.nspname, c.relname, coalesce(i.ignored, '{}'),
         i.complete and not exists (
           select from pg_catalog.pg_partition_tree(i.tgrelid) as p
           left join installed as part on part.tgrelid = p.relid
           where part.complete is distinct from true)
  from installed as i
  join pg_catalog.pg_class as c on c.oid = i.tgrelid
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  -- A partition is told with its parent.
  where not exists (
    select from installed as parent
    where parent.tgrelid <> i.tgrelid
      and i.tgrelid in (select p.relid from pg_catalog.pg_partition_tree(parent.tgrelid) as p))
  order by 1, 2
$$;


--
-- Name: begin_run(text, interval, text, text, boolean, boolean, interval); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.begin_run(holder text, lease interval, instance text, trigger text, fresh boolean, accept_instance boolean, resume_within interval DEFAULT '1 day'::interval) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
declare
  lock     clerk_sync.sync_lock;
  run      clerk_sync.sync_runs;
  expected text;
  outcome  text := 'begun';
begin
  perform clerk_sync.check_lease(lease);
  select * into lock from clerk_sync.sync_lock for update;
  select * into run from clerk_sync.sync_runs as r order by r.id desc limit 1;

  if lock.holder = holder and lock.expires_at > now() and run.id = lock.run_id and run.state = 'running' then
    outcome := case when run.resumed_at is null then 'begun' else 'resumed' end;
  else
    if lock.expires_at > now() then
      return jsonb_build_object('outcome', 'busy', 'run_id', lock.run_id, 'expires_at', lock.expires_at);
    end if;

    expected := clerk_sync.expected_instance(accept_instance);
    if instance <> expected then
      return jsonb_build_object('outcome', 'wrong_instance', 'expected', expected);
    end if;

    if not fresh and run.state in ('running', 'partial') and run.instance_id = instance
       and run.started_at > now() - resume_within then
      outcome := 'resumed';
      update clerk_sync.sync_runs as r set state = 'running', reason = null, resumed_at = now(), ended_at = null
      where r.id = run.id returning * into run;
    else
      update clerk_sync.sync_runs as r set state = 'partial', reason = 'killed', ended_at = coalesce(r.ended_at, now())
      where r.state = 'running';
      -- Only the last run can be resumed; of the others the outcome is enough.
      delete from clerk_sync.run_windows;
      delete from clerk_sync.sync_absences;
      insert into clerk_sync.sync_runs (trigger, instance_id, initial)
      values (trigger, instance, not exists (select from clerk_sync.sync_runs as r where r.state = 'complete'))
      returning * into run;
    end if;
  end if;

  update clerk_sync.sync_lock as l set run_id = run.id, holder = begin_run.holder, expires_at = now() + lease;

  return jsonb_build_object(
    'outcome', outcome, 'run_id', run.id, 'initial', run.initial, 'started_at', run.started_at,
    'windows', clerk_sync.run_windows(run.id), 'cuts', run.cuts);
end
$$;


--
-- Name: check_event(jsonb, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.check_event(event jsonb, expected_instance text, OUT outcome text, OUT reason text, OUT detail text, OUT stated_ms bigint) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: check_lease(interval); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.check_lease(lease interval) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if lease is null or lease not between interval '1 second' and interval '15 minutes' then
    raise invalid_parameter_value using message = 'the lease of a full sync is between a second and 15 minutes';
  end if;
end
$$;


--
-- Name: children_of(text[], text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.children_of(users text[], organizations text[]) RETURNS TABLE(id text, organization_id text, user_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
begin
  return query
  select m.clerk_membership_id, m.clerk_org_id, m.clerk_user_id
  from unnest(users) as u (id)
  join public.organization_memberships as m on m.clerk_user_id = u.id and m.sync_version < '8'
  union
  select m.clerk_membership_id, m.clerk_org_id, m.clerk_user_id
  from unnest(organizations) as g (id)
  join public.organization_memberships as m on m.clerk_org_id = g.id and m.sync_version < '8';
end
$$;


--
-- Name: compare_page(text, jsonb, bigint, text[], bigint[], bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.compare_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint) RETURNS TABLE(id text, result text, drift boolean, fields jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  before   jsonb;
  after    jsonb;
  results  jsonb;
  versions text[];
  said     jsonb;
begin
  before := clerk_sync.stated_rows(object, ids);
  versions := clerk_sync.versions(object, ids);
  said := (select jsonb_object_agg(u.id, jsonb_build_array(u.ms, versions[u.position]))
           from (select i.id, i.ms, row_number() over (order by i.id) as position
                 from unnest(compare_page.ids, updated_ms) as i (id, ms)) as u);
  begin
    results := (select jsonb_object_agg(a.id, a.result)
                from clerk_sync.apply_objects(compare_page.object, resources, stated_ms) as a);
    after := clerk_sync.stated_rows(object, ids);
    raise exception using errcode = 'CS000';
  exception when sqlstate 'CS000' then null; -- taken back
  end;

  return query
  select r.key, r.value,
         case when r.value = 'deleted' then clerk_sync.is_deleted_here(after -> r.key, settled_ms)
              else clerk_sync.is_drift(r.value, said -> r.key ->> 1, (said -> r.key ->> 0)::bigint, settled_ms) end, d.fields
  from jsonb_each_text(results) as r
  cross join lateral (
    select coalesce(jsonb_agg(jsonb_build_object('name', f.key, 'here', before -> r.key -> f.key, 'clerk', f.value)
                              order by f.key), '[]') as fields
    from jsonb_each(coalesce(after -> r.key, '{}')) as f
    where r.value in ('created', 'updated') and f.value is distinct from coalesce(before -> r.key -> f.key, 'null')
  ) as d;
end
$$;


--
-- Name: copy_state(text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.copy_state(user_id text, org_id text) RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select jsonb_build_object(
    'user', coalesce((
      select case when u.deleted_at is not null then 'deleted' when u.is_placeholder then 'placeholder' else 'live' end
      from public.users as u
      where u.clerk_id = copy_state.user_id), 'absent'),
    'organization', case when copy_state.org_id is not null then coalesce((
      select case when o.deleted_at is not null then 'deleted' when o.is_placeholder then 'placeholder' else 'live' end
      from public.organizations as o
      where o.clerk_org_id = copy_state.org_id), 'absent') end,
    'membership', case when copy_state.org_id is not null then coalesce(m.state, 'absent') end,
    'role', m.role,
    'last_event_at', (select max(e.received_at) from clerk_sync.webhook_events as e))
  from (values (1)) as always (one)
  -- Who left and joined again has two: the live one counts, then the newest.
  left join lateral (
    select case when m.deleted_at is null then 'live' else 'deleted' end as state,
           case when m.deleted_at is null then m.role end as role
    from public.organization_memberships as m
    where m.clerk_user_id = copy_state.user_id and m.clerk_org_id = copy_state.org_id
    order by m.deleted_at desc nulls first, m.sync_version desc
    limit 1
  ) as m on true
$$;


--
-- Name: FUNCTION copy_state(user_id text, org_id text); Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON FUNCTION clerk_sync.copy_state(user_id text, org_id text) IS 'What the copy knows of a user and its organization: live, placeholder, deleted or absent. For clerksync_diagnostics.';


--
-- Name: count_endings(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.count_endings() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (select count(*) from (select from clerk_sync.endings limit 20001) as f);
end
$$;


--
-- Name: count_events(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.count_events(OUT events jsonb, OUT estimated text[]) RETURNS record
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $_$
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
$_$;


--
-- Name: count_held_back(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.count_held_back() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (select count(*) from (select from clerk_sync.held_back limit 20001) as f);
end
$$;


--
-- Name: count_objects(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.count_objects(object text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: count_rows(regclass, text, bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.count_rows(relation regclass, condition text, most bigint DEFAULT 20000, OUT rows bigint, OUT estimated boolean) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $_$
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
$_$;


--
-- Name: count_window(bigint, text, text, integer, integer, jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.count_window(run bigint, object text, phase text, pass integer, "position" integer, more jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
  insert into clerk_sync.run_windows as w (run_id, object, phase, pass, position, tally)
  values (count_window.run, count_window.object, count_window.phase, count_window.pass, count_window."position", count_window.more)
  on conflict on constraint run_windows_pkey do update set tally = coalesce(w.tally, '{}') || (
    select jsonb_object_agg(m.key, coalesce((w.tally ->> m.key)::bigint, 0) + m.value::bigint)
    from jsonb_each_text(excluded.tally) as m);
end
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: objects; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.objects (
    object text NOT NULL,
    event text NOT NULL,
    relation regclass NOT NULL,
    key text NOT NULL,
    organization_key text,
    user_key text,
    applies text NOT NULL,
    deletes text NOT NULL,
    dated boolean NOT NULL,
    "position" integer NOT NULL
);


--
-- Name: COLUMN objects.object; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.objects.object IS 'As the Backend API and the full sync call it.';


--
-- Name: COLUMN objects.event; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.objects.event IS 'What its event types begin with.';


--
-- Name: COLUMN objects.organization_key; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.objects.organization_key IS 'The column that names its organization; likewise user_key.';


--
-- Name: COLUMN objects.applies; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.objects.applies IS 'The function that applies statements about it; deletes makes tombstones, by ids.';


--
-- Name: COLUMN objects.dated; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.objects.dated IS 'False where rows without a creation time are looked for in every list of it.';


--
-- Name: creation(clerk_sync.objects); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.creation(o clerk_sync.objects) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  return case when o.dated then 'r.created_at' else $q$coalesce(r.created_at, 'epoch')$q$ end;
end
$_$;


--
-- Name: delete_absent(bigint, text, text, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.delete_absent(run bigint, holder text, object text, most integer, OUT taken bigint) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_variable
declare
  most_ended  constant integer := (select s.memberships_at_once from clerk_sync.settings as s);
  candidates  text[];
  versions    text[];
  confirmed   timestamptz[];
  ids         text[] := '{}';
  times       timestamptz[] := '{}';
  at          timestamptz;
  deleted     bigint;
  ended       bigint := 0;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  perform clerk_sync.require_lock(run, holder);

  select array_agg(b.object_id order by b.object_id), array_agg(b.confirmed_at order by b.object_id) into candidates, confirmed
  from (select a.object_id, a.confirmed_at from clerk_sync.sync_absences as a
        where a.run_id = run and a.object = delete_absent.object order by a.object_id limit most) as b;
  versions := clerk_sync.versions(object, candidates);

  -- Until their memberships fill a transaction: those are what takes the time. All of
  -- them end, if not in this one, and so are counted here.
  taken := 0;
  foreach at in array coalesce(confirmed, '{}') loop
    taken := taken + 1;
    if versions[taken] < '1' or versions[taken] < '8' and substr(versions[taken], 19, 15)::bigint <= extract(epoch from at) * 1000 then
      ids := ids || candidates[taken];
      times := times || at;
      ended := ended + clerk_sync.live_memberships(object, candidates[taken]);
      exit when ended >= most_ended;
    end if;
  end loop;
  if taken = 0 then
    return;
  end if;
  delete from clerk_sync.sync_absences as a
  where a.run_id = run and a.object = delete_absent.object and a.object_id <= candidates[taken];

  perform set_config('clerk_sync.cause', 'run_' || run, true);
  deleted := clerk_sync.delete_objects(object, ids, null, times, true);
  perform set_config('clerk_sync.cause', outer_cause, true);

  -- Counted in the same transaction, so that a lost answer loses no count.
  perform clerk_sync.count_window(delete_absent.run, d.object, 'deleted', 0, 0, jsonb_build_object('deleted', d.n, 'drift', d.n))
  from (values (delete_absent.object, deleted), ('organization_membership', ended)) as d (object, n)
  where d.n > 0;
end
$$;


--
-- Name: delete_objects(text, text[], timestamp with time zone, timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.delete_objects(object text, ids text[], deleted_at timestamp with time zone, times timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], inferred boolean DEFAULT false) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  deleted bigint;
begin
  execute format($q$ select count(*) from clerk_sync.%I($1, $2, $3, $4) as t where t.result = 'deleted' $q$, (clerk_sync.object(object)).deletes)
  into deleted using ids, deleted_at, times, inferred;
  return deleted;
end
$_$;


--
-- Name: deletion(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.deletion(id text) RETURNS TABLE(object text, held_at timestamp with time zone, held_until timestamp with time zone, held jsonb, private_metadata jsonb)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select h.object, h.held_at, h.held_at + s.deletion_grace, h.held, h.private_metadata
  from clerk_sync.held_back as h cross join clerk_sync.settings as s
  where h.object_id = deletion.id
  order by h.object;
end
$$;


--
-- Name: deletions(text, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.deletions(of text DEFAULT NULL::text, most integer DEFAULT 50) RETURNS TABLE(object text, object_id text, user_id text, organization_id text, held_at timestamp with time zone, held_until timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return query
  select h.object, h.object_id, h.user_id, h.organization_id, h.held_at, h.held_at + s.deletion_grace
  from clerk_sync.held_back as h cross join clerk_sync.settings as s
  where deletions.of is null or h.object_id = deletions.of or h.user_id = deletions.of or h.organization_id = deletions.of
  order by h.held_at desc, h.object_id, h.object
  limit deletions.most;
end
$$;


--
-- Name: dispatch_event(jsonb, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.dispatch_event(event jsonb, expected_instance text, OUT outcome text, OUT reason text, OUT detail text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: drop_deletion(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.drop_deletion(id text) RETURNS TABLE(object text, dropped bigint)
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: empty_payloads(text, text[], integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.empty_payloads(object text, ids text[], most integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: end_children(text, text[], timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.end_children(object text, ids text[], times timestamp with time zone[], inferred boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
      join public.organization_memberships as m on m.clerk_user_id = g.id
      where m.sync_version < '8' or not end_children.inferred and (m.sync_version < '9' or m.deleted_at > g.deleted_at)
      limit most + 1) as d;
  else
    select array_agg(d.id), array_agg(d.deleted_at) into doomed, ends
    from (
      select m.clerk_membership_id as id, g.deleted_at
      from unnest(ids, times) as g (id, deleted_at)
      join public.organization_memberships as m on m.clerk_org_id = g.id
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


--
-- Name: end_memberships(text[], timestamp with time zone, timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.end_memberships(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], inferred boolean DEFAULT false) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  perform from public.organization_memberships as m
  where m.clerk_membership_id = any (end_memberships.ids)
  order by m.clerk_membership_id for update;
  perform clerk_sync.hold_back('organization_membership', ids);

  return query
  with written as (
    update public.organization_memberships as m set
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
  from public.organization_memberships as known
  where known.clerk_membership_id = any (end_memberships.ids);

  delete from clerk_sync.private_metadata as p
  where p.object = 'organization_membership' and p.object_id = any (end_memberships.ids);
end
$$;


--
-- Name: end_run(bigint, text, text, text, bigint, jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.end_run(run bigint, holder text, state text, reason text, drift bigint, report jsonb) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_variable
begin
  update clerk_sync.sync_lock as l set expires_at = '-infinity', holder = null
  where l.run_id = run and l.holder = end_run.holder;
  if not found then
    -- Asked again after a lost answer, it has happened already.
    return exists (select from clerk_sync.sync_runs as r where r.id = run and r.state = end_run.state and r.state <> 'running');
  end if;
  update clerk_sync.sync_runs as r set
    state = end_run.state, reason = end_run.reason, ended_at = now(), drift = end_run.drift, report = end_run.report
  where r.id = run and r.state = 'running';
  -- Never what is still to come: a clock that is ahead must not make later lists stale.
  if found and end_run.state = 'complete' then
    insert into clerk_sync.watermarks as m (object, stated_ms, seen_until)
    select w.object, least(min(w.requested_ms), (extract(epoch from now()) * 1000)::bigint), min(w.begun_at)
    from clerk_sync.run_windows as w
    where w.run_id = run
    group by w.object
    having min(w.requested_ms) is not null
    on conflict on constraint watermarks_pkey do update set stated_ms = excluded.stated_ms, seen_until = excluded.seen_until;
  end if;
  -- History is kept as long as the events are; the last complete run says which
  -- instance the copy is of.
  delete from clerk_sync.sync_runs as r
  where r.started_at < now() - (select s.event_retention from clerk_sync.settings as s)
    and r.id < run
    and r.id <> coalesce((select max(c.id) from clerk_sync.sync_runs as c where c.state = 'complete'), 0);
  return true;
end
$$;


--
-- Name: endings; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.endings (
    object text NOT NULL,
    object_id text NOT NULL,
    deleted_at timestamp with time zone NOT NULL,
    inferred boolean DEFAULT false NOT NULL,
    cause text,
    done_until text DEFAULT ''::text NOT NULL,
    missed boolean DEFAULT false NOT NULL,
    refused_at timestamp with time zone
);


--
-- Name: COLUMN endings.cause; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.endings.cause IS 'For the audit log: what deleted the object.';


--
-- Name: COLUMN endings.refused_at; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.endings.refused_at IS 'When a constraint or trigger of your own last refused to let its memberships end.';


--
-- Name: end_slice(clerk_sync.endings, integer, boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.end_slice(one clerk_sync.endings, most integer, patient boolean) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
      select m.%2$I as other from public.organization_memberships as m
      where m.%1$I = $1 and m.%2$I > $2 order by m.%2$I limit $3) as s $q$, parent, other)
  into upto using one.object_id, one.done_until, most;
  execute format($q$
    select coalesce(array_agg(m.clerk_membership_id), '{}') from public.organization_memberships as m
    where m.%1$I = $1 and m.%2$I > $2 and m.%2$I <= $3 $q$, parent, other)
  into ids using one.object_id, one.done_until, upto;

  doomed := array(
    select m.clerk_membership_id from public.organization_memberships as m
    where m.clerk_membership_id = any (ids) and (m.sync_version < '8' or not one.inferred and (m.sync_version < '9' or m.deleted_at > one.deleted_at)));
  if not patient then
    doomed := array(
      select m.clerk_membership_id from public.organization_memberships as m
      where m.clerk_membership_id = any (doomed) order by m.clerk_membership_id for update skip locked);
  end if;
  perform clerk_sync.end_memberships(doomed, one.deleted_at, null, one.inferred);
  passed := one.missed or exists (
    select from public.organization_memberships as m
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
$_$;


--
-- Name: end_some_memberships(integer, boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.end_some_memberships(most integer DEFAULT NULL::integer, patient boolean DEFAULT false) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: event(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.event(svix_id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (
    select to_jsonb(e) - '{payload,raw_body,recorded_in}'::text[] || jsonb_build_object(
      'replayable', e.outcome = 'rejected' and e.payload is not null,
      'payload', clerk_sync.masked(e.payload), 'raw_body_bytes', length(e.raw_body))
    from clerk_sync.webhook_events as e where e.svix_id = event.svix_id);
end
$$;


--
-- Name: event_kind(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.event_kind(type text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return case split_part(type, '.', 2) when 'created' then '1' else '2' end;
end
$$;


--
-- Name: event_payload(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.event_payload(svix_id text, OUT payload jsonb, OUT raw_body bytea) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  select e.payload, e.raw_body into payload, raw_body from clerk_sync.webhook_events as e where e.svix_id = event_payload.svix_id;
end
$$;


--
-- Name: webhook_events; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.webhook_events (
    svix_id text NOT NULL,
    type text NOT NULL,
    outcome text NOT NULL,
    reason text,
    detail text,
    object_id text,
    user_id text,
    organization_id text,
    instance_id text,
    stated_at timestamp with time zone,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    recorded_in xid8 DEFAULT pg_current_xact_id() NOT NULL,
    replayed_at timestamp with time zone,
    redacted_at timestamp with time zone,
    signed_with text,
    repeated jsonb,
    payload jsonb,
    raw_body bytea,
    CONSTRAINT webhook_events_outcome CHECK ((outcome = ANY (ARRAY['applied'::text, 'stale'::text, 'ignored'::text, 'rejected'::text]))),
    CONSTRAINT webhook_events_reason CHECK (((outcome = 'rejected'::text) = (reason IS NOT NULL))),
    CONSTRAINT webhook_events_signed_with CHECK ((signed_with ~ '^[0-9a-f]{8}$'::text)),
    CONSTRAINT webhook_events_svix_id_length CHECK (((length(svix_id) >= 1) AND (length(svix_id) <= 256)))
);


--
-- Name: TABLE webhook_events; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON TABLE clerk_sync.webhook_events IS 'One row a webhook message, by svix-id: the memory that makes a second delivery a duplicate.';


--
-- Name: COLUMN webhook_events.reason; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.reason IS 'Why it was rejected: a stable code, never data of the event.';


--
-- Name: COLUMN webhook_events.stated_at; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.stated_at IS 'The webhook''s own timestamp; null if it had none.';


--
-- Name: COLUMN webhook_events.recorded_in; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.recorded_in IS 'The transaction that recorded it, by which clerk_sync.events_since() tells what is new: transactions end in another order than they begin.';


--
-- Name: COLUMN webhook_events.redacted_at; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.redacted_at IS 'When what it told about a person or an object was removed: ids and payload.';


--
-- Name: COLUMN webhook_events.signed_with; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.signed_with IS 'A fingerprint of the signing secret that verified the first delivery; null where the caller did not say.';


--
-- Name: COLUMN webhook_events.repeated; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.repeated IS 'When a further delivery came, in milliseconds, by the fingerprint of the secret that verified it; null if none came.';


--
-- Name: COLUMN webhook_events.raw_body; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.webhook_events.raw_body IS 'The body of a verified message that is no event or that Postgres cannot hold as jsonb, without private metadata.';


--
-- Name: event_record(text, jsonb, text, text, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.event_record(svix_id text, event jsonb, outcome text, reason text, detail text, signed_with text) RETURNS clerk_sync.webhook_events
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: event_step(jsonb, bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.event_step(event jsonb, stated_ms bigint) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: event_types(timestamp with time zone); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.event_types(since timestamp with time zone) RETURNS TABLE(type text, messages bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select e.type, count(*) from clerk_sync.webhook_events as e
  where e.received_at >= event_types.since group by e.type order by e.type;
end
$$;


--
-- Name: events_since(jsonb, integer, text, timestamp with time zone, text, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.events_since(place jsonb, most integer DEFAULT 500, only_outcome text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, of_type text DEFAULT NULL::text, of_object text DEFAULT NULL::text, part text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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


--
-- Name: expected_instance(boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.expected_instance(accept_instance boolean DEFAULT false) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return coalesce(
    (select s.instance_id from clerk_sync.settings as s),
    (select r.instance_id from clerk_sync.sync_runs as r
     where r.state = 'complete' and not accept_instance order by r.id desc limit 1));
end
$$;


--
-- Name: finish_window(bigint, text, jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.finish_window(run bigint, holder text, done jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_variable
declare
  d clerk_sync.run_windows := jsonb_populate_record(null::clerk_sync.run_windows, done);
begin
  perform clerk_sync.require_lock(run, holder);
  -- One in which nothing was listed is not there yet.
  insert into clerk_sync.run_windows (run_id, object, phase, pass, position)
  values (run, d.object, d.phase, d.pass, d.position)
  on conflict on constraint run_windows_pkey do nothing;
  update clerk_sync.run_windows as w set
    from_ms = d.from_ms, to_ms = d.to_ms, next_offset = d.next_offset, listed = d.listed, finished_at = now(),
    requested_ms = least(w.requested_ms, (done ->> 'unseen_ms')::bigint),
    tally = coalesce(w.tally, '{}') || jsonb_build_object(
      'stale', s.stale, 'deleted_here', s.deleted_here,
      'drift', coalesce((w.tally ->> 'drift')::bigint, 0) - coalesce((w.tally ->> 'deleted_here')::bigint, 0) + s.deleted_here,
      'unchanged', least(s.unchanged, greatest(0, d.listed - s.stale
        - coalesce((w.tally ->> 'created')::bigint, 0) - coalesce((w.tally ->> 'updated')::bigint, 0))))
  from jsonb_to_record(d.tally) as s (unchanged bigint, stale bigint, deleted_here bigint)
  where w.run_id = run and w.object = d.object and w.phase = d.phase and w.pass = d.pass and w.position = d.position;
  if done ? 'rest' then
    insert into clerk_sync.run_windows (run_id, object, phase, pass, position, from_ms, to_ms, after_id)
    select run, r.object, r.phase, r.pass, r.position, r.from_ms, r.to_ms, r.after_id
    from jsonb_populate_record(null::clerk_sync.run_windows, done -> 'rest') as r
    on conflict on constraint run_windows_pkey do nothing;
  end if;
end
$$;


--
-- Name: has_ended(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.has_ended(membership text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return exists (select from clerk_sync.ended_memberships as e where e.clerk_membership_id = membership)
      or exists (select from public.organization_memberships as m where m.clerk_membership_id = membership and m.sync_version = '9');
end
$$;


--
-- Name: hold_back(text, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.hold_back(object text, ids text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: holds_back(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.holds_back() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (select s.deletion_grace > '0' from clerk_sync.settings as s);
end
$$;


--
-- Name: id_of(jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.id_of(value jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return case when jsonb_typeof(value) = 'string' then left(value #>> '{}', 255) end;
end
$$;


--
-- Name: ids_of(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.ids_of(id text) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return array(
    select ids_of.id
    union select m.clerk_membership_id from public.organization_memberships as m where m.clerk_user_id = ids_of.id
    union select h.object_id from clerk_sync.held_back as h where h.user_id = ids_of.id
    union select e.object_id from clerk_sync.webhook_events as e
    where e.user_id = ids_of.id and e.type like 'organizationMembership.%' and e.object_id is not null
    order by 1);
end
$$;


--
-- Name: ids_pattern(text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.ids_pattern(ids text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: ids_shown(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.ids_shown(body text, OUT user_id text, OUT organization_id text) RETURNS record
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: incoming(jsonb, bigint[], text[], text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.incoming(resources jsonb, stated_ms bigint[], kinds text[], class text) RETURNS TABLE(id text, resource jsonb, kind text, created_at timestamp with time zone, updated_at timestamp with time zone, version text)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
  if incoming.class not in ('1', '2') or not incoming.kinds <@ '{1,2,3}' or array_position(incoming.kinds, null) > 0 then
    raise invalid_parameter_value using message = 'a statement is of class 1 or 2 and of kind 1, 2 or 3';
  end if;
  if exists (select from unnest(incoming.stated_ms) as s (ms) where s.ms not between 0 and 99999999999999) then
    raise invalid_parameter_value using message = 'stated_ms holds a time before 1970 or after 5138';
  end if;

  return query
  select distinct on (1)
    r.resource ->> 'id',
    r.resource,
    t.kind,
    to_timestamp((t.created / 1000)::double precision),
    to_timestamp((t.updated / 1000)::double precision),
    (incoming.class
      || '.' || lpad(coalesce(t.updated, t.stated, 0)::bigint::text, 15, '0')
      || '.' || lpad(coalesce(t.stated, t.updated, 0)::bigint::text, 15, '0')
      || '.' || t.kind || '.'
      || case when t.kind = '3' then ''
              else md5((r.resource - array['private_metadata', 'organization', 'public_user_data'])::text) end
    ) collate "C" as version
  from jsonb_array_elements(incoming.resources) with ordinality as r (resource, position)
  cross join lateral (
    select (r.resource ->> 'created_at')::numeric as created,
           (r.resource ->> 'updated_at')::numeric as updated,
           coalesce(incoming.stated_ms[r.position], incoming.stated_ms[1])::numeric as stated
  ) as said
  cross join lateral (
    select trunc(case when said.created < 1e11 then said.created * 1000 else said.created end) as created,
           trunc(case when said.updated < 1e11 then said.updated * 1000 else said.updated end) as updated,
           trunc(case when said.stated < 1e11 then said.stated * 1000 else said.stated end) as stated,
           coalesce(incoming.kinds[r.position], incoming.kinds[1]) as kind
  ) as t
  order by 1, version desc;
end
$$;


--
-- Name: is_asked_for(clerk_sync.webhook_events, text, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_asked_for(e clerk_sync.webhook_events, of_type text, of_object text, part text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (of_type is null or e.type = of_type or starts_with(e.type, of_type || '.'))
    and (of_object is null or of_object in (e.object_id, e.user_id, e.organization_id))
    and (part is null or strpos(concat_ws(' ', e.svix_id, e.object_id, e.user_id, e.organization_id), part) > 0);
end
$$;


--
-- Name: is_deleted_here(jsonb, bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_deleted_here(stated jsonb, settled_ms bigint) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return coalesce((stated ->> 'deleted_at')::timestamptz <= to_timestamp(settled_ms / 1000.0), false);
end
$$;


--
-- Name: is_drift(text, text, bigint, bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_drift(result text, before text, updated_ms bigint, settled_ms bigint) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return result = 'updated' and before >= '8' or updated_ms <= settled_ms and (
    result = 'created'
    or result = 'updated' and (before < '2' or substr(before, 3, 15)::bigint < updated_ms));
end
$$;


--
-- Name: is_gone(text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_gone(user_id text, organization_id text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return exists (
    select from public.users as u where u.clerk_id = is_gone.user_id and u.sync_version >= '8'
    union all
    select from public.organizations as o where o.clerk_org_id = is_gone.organization_id and o.sync_version >= '8');
end
$$;


--
-- Name: is_live(text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_live(object text, id text) RETURNS boolean
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (clerk_sync.versions(object, array[id]))[1] < '8';
end
$$;


--
-- Name: is_mirrored(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_mirrored(type text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
begin
  return type ~ '^[A-Za-z]+[.][a-z]+$'
     and exists (select from clerk_sync.objects as o where o.event = split_part(is_mirrored.type, '.', 1));
end
$_$;


--
-- Name: is_plain(jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.is_plain(resource jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: keep_audit_log(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.keep_audit_log() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  kept_since timestamptz := now() - (select s.audit_retention from clerk_sync.settings as s);
begin
  if tg_op = 'DELETE' then
    if not exists (select from removed as r where r.at >= kept_since) then
      return null;
    end if;
  elsif tg_op = 'UPDATE' then
    if clerk_sync.redacts(old, new) then
      return new;
    end if;
  end if;
  raise insufficient_privilege using message = format('the audit log is append-only: %s is refused', lower(tg_op collate "C")),
    hint = format('Records older than %s (settings.audit_retention) are removed by clerk_sync.purge().', kept_since::date);
end
$$;


--
-- Name: keep_cuts(bigint, text, jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.keep_cuts(run bigint, holder text, cuts jsonb) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform clerk_sync.require_lock(run, holder);
  update clerk_sync.sync_runs as r set cuts = keep_cuts.cuts where r.id = keep_cuts.run;
end
$$;


--
-- Name: keep_private_metadata(text, text[], jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.keep_private_metadata(object text, ids text[], resources jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into clerk_sync.private_metadata as p (object, object_id, metadata)
  select distinct on (r ->> 'id') keep_private_metadata.object, r ->> 'id',
         coalesce(nullif(r -> 'private_metadata', 'null'), '{}')
  from jsonb_array_elements(keep_private_metadata.resources) as r
  where r ->> 'id' = any (keep_private_metadata.ids)
  order by r ->> 'id', (r ->> 'updated_at')::numeric desc nulls last
  on conflict on constraint private_metadata_pkey do update set metadata = excluded.metadata
    where p.metadata is distinct from excluded.metadata;
end
$$;


--
-- Name: keepable_payload(jsonb, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.keepable_payload(event jsonb, user_id text, organization_id text) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: keeps_private_metadata(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.keeps_private_metadata() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (select s.store_private_metadata from clerk_sync.settings as s);
end
$$;


--
-- Name: known_gone(bigint, text, text, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.known_gone(run bigint, object text, id text, organization_id text, user_id text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  -- No joins: planned while these tables are nearly empty, one would read them whole.
  return exists (
      select from (values (known_gone.object, known_gone.id), ('user', known_gone.user_id), ('organization', known_gone.organization_id)) as g (object, id)
      where (select true from clerk_sync.sync_absences as s
             where s.run_id = known_gone.run and s.object = g.object and s.object_id = g.id))
    or exists (
      select from (values ('user', known_gone.user_id), ('organization', known_gone.organization_id)) as g (object, id)
      where (select not (e.inferred and clerk_sync.is_live(e.object, e.object_id)) from clerk_sync.endings as e
             where e.object = g.object and e.object_id = g.id));
end
$$;


--
-- Name: last_event_at(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.last_event_at() RETURNS timestamp with time zone
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select max(w.received_at) from clerk_sync.webhook_events as w
$$;


--
-- Name: last_runs(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.last_runs() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return jsonb_build_object(
    'last_run', (select to_jsonb(r) from clerk_sync.recent_runs(1) as r),
    'last_complete_run', (select to_jsonb(f) - array['initial', 'resumed_at', 'took', 'windows', 'windows_finished']
                          from clerk_sync.full_syncs as f where f.state = 'complete' order by f.id desc limit 1));
end
$$;


--
-- Name: live_memberships(text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.live_memberships(object text, id text) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  if object = 'user' then
    return (select count(*) from public.organization_memberships as m
            where m.clerk_user_id = live_memberships.id and m.deleted_at is null
              and not exists (select from clerk_sync.endings as e where e.object = 'organization' and e.object_id = m.clerk_org_id
                              and not (e.inferred and clerk_sync.is_live(e.object, e.object_id))));
  elsif object = 'organization' then
    return (select count(*) from public.organization_memberships as m
            where m.clerk_org_id = live_memberships.id and m.deleted_at is null
              and not exists (select from clerk_sync.endings as e where e.object = 'user' and e.object_id = m.clerk_user_id
                              and not (e.inferred and clerk_sync.is_live(e.object, e.object_id))));
  end if;
  return 0;
end
$$;


--
-- Name: masked(jsonb, text, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.masked(value jsonb, name text DEFAULT ''::text, depth integer DEFAULT 0) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: memberships_left(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.memberships_left() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return exists (select from clerk_sync.endings);
end
$$;


--
-- Name: migrated(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.migrated() RETURNS jsonb
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select jsonb_build_object(
    'history', coalesce((
      select jsonb_agg(jsonb_build_object('version', m.version, 'name', m.name, 'checksum', m.checksum, 'applied_at', m.applied_at))
      from clerk_sync.migrations as m), '[]'),
    'rules', (select jsonb_build_object('checksum', r.checksum, 'revision', r.revision, 'applied_at', r.applied_at) from clerk_sync.rules as r))
$$;


--
-- Name: misshapen(jsonb, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.misshapen(resource jsonb, texts text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: names_parents(jsonb); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.names_parents(membership jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return coalesce(
    jsonb_typeof(membership -> 'organization' -> 'id') = 'string'
    and length(membership -> 'organization' ->> 'id') between 1 and 255
    and jsonb_typeof(membership -> 'public_user_data' -> 'user_id') = 'string'
    and length(membership -> 'public_user_data' ->> 'user_id') between 1 and 255, false);
end
$$;


--
-- Name: note_absences(bigint, text, text, text[], timestamp with time zone); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.note_absences(run bigint, holder text, object text, ids text[], confirmed_at timestamp with time zone) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform clerk_sync.require_lock(run, holder);
  insert into clerk_sync.sync_absences (run_id, object, object_id, confirmed_at)
  select distinct note_absences.run, note_absences.object, gone, note_absences.confirmed_at
  from unnest(note_absences.ids) as gone
  order by gone
  on conflict on constraint sync_absences_pkey do nothing;
end
$$;


--
-- Name: note_repeated(text[], text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.note_repeated(svix_ids text[], signed_with text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: object(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.object(name text) RETURNS clerk_sync.objects
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  found_object clerk_sync.objects;
begin
  select * into found_object from clerk_sync.objects as o where o.object = object.name;
  if not found then
    raise invalid_parameter_value using message = format('the copy holds no objects of the kind %L', name);
  end if;
  return found_object;
end
$$;


--
-- Name: offer_parents(jsonb, bigint[], text[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.offer_parents(resources jsonb, stated_ms bigint[], kinds text[], ended boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
    select from public.users as u
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
    select from public.organizations as o
    where o.clerk_org_id = m.resource -> 'organization' ->> 'id' and o.sync_version >= '2'
      and (left(o.sync_version, 1) <> '8' or offer_parents.ended or clerk_sync.has_ended(m.resource ->> 'id')));

  if parents is not null then
    perform clerk_sync.apply_organizations(parents, stated, told, '1');
  end if;
end
$$;


--
-- Name: parent_column(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.parent_column(parent text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (
    select case parent_column.parent when 'user' then o.user_key when 'organization' then o.organization_key end
    from clerk_sync.objects as o where o.object = 'organization_membership');
end
$$;


--
-- Name: pending_deletions(bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.pending_deletions(run bigint) RETURNS TABLE(object text, pending bigint, live bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
begin
  return query
  select o.object, a.pending, c.rows
  from clerk_sync.objects as o
  cross join lateral (select count(*) as pending from clerk_sync.pending_objects(pending_deletions.run, o.object)) as a
  cross join lateral clerk_sync.count_rows(o.relation, 'deleted_at IS NULL', greatest(20000, 20 * a.pending)) as c
  where a.pending > 0
  order by o.position;
end
$$;


--
-- Name: pending_objects(bigint, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.pending_objects(run bigint, object text) RETURNS TABLE(id text, organization_id text, user_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
#variable_conflict use_variable
declare
  o clerk_sync.objects := clerk_sync.object(object);
begin
  return query execute format($q$
    select s.object_id, %s from clerk_sync.sync_absences as s
    left join %s as r on r.%I = s.object_id
    where s.run_id = $1 and s.object = $2 $q$, clerk_sync.whose(o), o.relation, o.key)
  using run, object;
  if object = 'organization_membership' then
    return query
    select c.* from clerk_sync.children_of(
      array(select s.object_id from clerk_sync.sync_absences as s where s.run_id = run and s.object = 'user'),
      array(select s.object_id from clerk_sync.sync_absences as s where s.run_id = run and s.object = 'organization')) as c
    where not exists (
      select from clerk_sync.sync_absences as s where s.run_id = run and s.object = 'organization_membership' and s.object_id = c.id);
  end if;
end
$_$;


--
-- Name: plan_windows(bigint, text, jsonb, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.plan_windows(run bigint, holder text, spans jsonb, object text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform clerk_sync.require_lock(run, holder);
  insert into clerk_sync.run_windows (run_id, object, phase, pass, position, from_ms, to_ms)
  select plan_windows.run, plan_windows.object, 'span', 0, s.position, (s.span ->> 'from_ms')::bigint, (s.span ->> 'to_ms')::bigint
  from jsonb_array_elements(plan_windows.spans) with ordinality as s (span, position)
  on conflict on constraint run_windows_pkey do nothing;
  update clerk_sync.sync_runs as r set cuts = null where r.id = plan_windows.run and r.cuts is not null;
end
$$;


--
-- Name: preview_page(text, jsonb, bigint, text[], bigint[], bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.preview_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint) RETURNS TABLE(id text, result text, drift boolean, fields jsonb)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return query
  select c.id, c.result, c.drift,
         (select coalesce(jsonb_agg(jsonb_build_object('name', f -> 'name')), '[]') from jsonb_array_elements(c.fields) as f)
  from clerk_sync.compare_page(object, resources, stated_ms, ids, updated_ms, settled_ms) as c;
end
$$;


--
-- Name: project_rows(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.project_rows() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  target  constant text := format('%I.%I', tg_argv[0], tg_argv[1]);
  keys    constant text[] := tg_argv[2];
  columns constant text[] := tg_argv[3];
  -- The same list of columns in the forms that the statements need.
  key_list    constant text := (select string_agg(quote_ident(k), ', ') from unnest(keys) as k);
  column_list constant text := (select string_agg(quote_ident(c), ', ') from unnest(columns) as c);
  excluded    constant text := (select string_agg('excluded.' || quote_ident(c), ', ') from unnest(columns) as c);
  present     constant text := (select string_agg('p.' || quote_ident(c), ', ') from unnest(columns) as c);
  assignments constant text := (select string_agg(format('%1$I = excluded.%1$I', c), ', ') from unnest(columns) as c);
  gone        constant text := (select string_agg(format('p.%1$I = r.%1$I', k), ' and ') from unnest(keys) as k);
begin
  if tg_op = 'TRUNCATE' then
    execute format('truncate %s', target);
    return null;
  end if;
  -- A key that an update changed leaves its old row behind.
  if tg_op = 'UPDATE' then
    execute format('delete from %s as p using (select %2$s from removed except select %2$s from written) as r where %3$s', target, key_list, gone);
  elsif tg_op = 'DELETE' then
    execute format('delete from %s as p using removed as r where %s', target, gone);
    return null;
  end if;
  execute format(
    'insert into %s as p (%2$s) select %2$s from written order by %3$s '
    'on conflict (%3$s) do update set %4$s where (%5$s) is distinct from (%6$s)',
    target, column_list, key_list, assignments, present, excluded);
  return null;
end
$_$;


--
-- Name: project_users(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.project_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  insert into public.users_public as p (clerk_id, username, first_name, last_name, avatar_url)
  select n.clerk_id, n.username, n.first_name, n.last_name, n.avatar_url
  from written as n
  left join public.users_public as known on known.clerk_id = n.clerk_id
  where known.clerk_id is null
     or (known.username, known.first_name, known.last_name, known.avatar_url)
        is distinct from (n.username, n.first_name, n.last_name, n.avatar_url)
  order by n.clerk_id
  on conflict (clerk_id) do update set
    username   = excluded.username,
    first_name = excluded.first_name,
    last_name  = excluded.last_name,
    avatar_url = excluded.avatar_url;
  return null;
end
$$;


--
-- Name: purge(integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.purge(most integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: purge_tombstones(text, timestamp with time zone, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.purge_tombstones(object text, before timestamp with time zone, most integer, OUT purged bigint, OUT held bigint, OUT more boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
      'and not exists (select from public.organization_memberships as m where m.%I = r.%I)', parent, o.key) end)
  into free using ids;
  -- What users_public shows goes with a user, and may be referred to by itself.
  if object = 'user' then
    shown := array(select p.clerk_id from public.users_public as p where p.clerk_id = any (free) order by p.clerk_id for update skip locked);
    free := array(
      select unnest(shown) union all
      select i from unnest(free) as i where not exists (select from public.users_public as p where p.clerk_id = i));
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
$_$;


--
-- Name: range_left(timestamp with time zone, timestamp with time zone); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.range_left(since timestamp with time zone, before timestamp with time zone) RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return (
    select count(*) from clerk_sync.webhook_events as e
    where e.received_at >= range_left.since and e.received_at < range_left.before
      and jsonb_strip_nulls(to_jsonb(e) - '{svix_id,type,outcome,reason,instance_id,stated_at,received_at,recorded_in,replayed_at,redacted_at,signed_with,repeated}'::text[]) <> '{}');
end
$$;


--
-- Name: audit_log; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.audit_log (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    actor_kind text NOT NULL,
    user_id text,
    impersonator text,
    org_id text,
    login text NOT NULL,
    role text,
    cause text,
    table_schema text NOT NULL,
    table_name text NOT NULL,
    action text NOT NULL,
    row_id text,
    new_row_id text,
    changed text[],
    CONSTRAINT audit_log_action CHECK ((action = ANY (ARRAY['insert'::text, 'update'::text, 'delete'::text, 'truncate'::text]))),
    CONSTRAINT audit_log_actor_kind CHECK ((actor_kind = ANY (ARRAY['user'::text, 'anonymous'::text, 'service'::text, 'sync'::text, 'database'::text]))),
    CONSTRAINT audit_log_changed CHECK (((action = 'update'::text) = (changed IS NOT NULL)))
);


--
-- Name: TABLE audit_log; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON TABLE clerk_sync.audit_log IS 'Who changed which fields of which row. Append-only: records go when settings.audit_retention is over, through clerk_sync.purge().';


--
-- Name: COLUMN audit_log.at; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.at IS 'When the transaction began.';


--
-- Name: COLUMN audit_log.actor_kind; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.actor_kind IS 'user and anonymous: a request to the Data API, with a user''s token or without; service: a request with the service key; sync: clerksync; database: any other login.';


--
-- Name: COLUMN audit_log.user_id; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.user_id IS 'Clerk id, from the verified claims of a request.';


--
-- Name: COLUMN audit_log.impersonator; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.impersonator IS 'Who acted as the user: act.sub of the claims.';


--
-- Name: COLUMN audit_log.org_id; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.org_id IS 'The organization that was active in the token.';


--
-- Name: COLUMN audit_log.login; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.login IS 'session_user: the role that the connection logged in as.';


--
-- Name: COLUMN audit_log.role; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.role IS 'The role that was set after the login; null if none was.';


--
-- Name: COLUMN audit_log.cause; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.cause IS 'svix-id of the event, run_<id> of the full sync, or "purge"; other transactions may set clerk_sync.cause to whatever explains them.';


--
-- Name: COLUMN audit_log.row_id; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.row_id IS 'The primary key; a JSON array if it has several columns; null for truncate and tables without one.';


--
-- Name: COLUMN audit_log.new_row_id; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.new_row_id IS 'The primary key after an update that changed it.';


--
-- Name: COLUMN audit_log.changed; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.audit_log.changed IS 'Names of the fields that an update changed.';


--
-- Name: recent_audit(text, text, text, text, bigint, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.recent_audit(table_schema text DEFAULT NULL::text, table_name text DEFAULT NULL::text, row_id text DEFAULT NULL::text, user_id text DEFAULT NULL::text, before bigint DEFAULT NULL::bigint, most integer DEFAULT 50) RETURNS SETOF clerk_sync.audit_log
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  return query
  select l.* from clerk_sync.audit_log as l
  where (recent_audit.table_schema is null or l.table_schema = recent_audit.table_schema)
    and (recent_audit.table_name is null or l.table_name = recent_audit.table_name)
    and (recent_audit.row_id is null or l.row_id = recent_audit.row_id or l.new_row_id = recent_audit.row_id)
    and (recent_audit.user_id is null or l.user_id = recent_audit.user_id)
    and (recent_audit.before is null or l.id < recent_audit.before)
  order by l.id desc
  limit least(greatest(recent_audit.most, 1), 1000);
end
$$;


--
-- Name: recent_events(text, timestamp with time zone, integer, text, timestamp with time zone, text, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.recent_events(only_outcome text DEFAULT NULL::text, before timestamp with time zone DEFAULT NULL::timestamp with time zone, most integer DEFAULT 50, behind text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, of_type text DEFAULT NULL::text, of_object text DEFAULT NULL::text, part text DEFAULT NULL::text) RETURNS TABLE(svix_id text, type text, outcome text, reason text, detail text, object_id text, stated_at timestamp with time zone, received_at timestamp with time zone, replayed_at timestamp with time zone, replayable boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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


--
-- Name: recent_runs(integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.recent_runs(most integer DEFAULT 20) RETURNS TABLE(id bigint, state text, reason text, trigger text, instance_id text, started_at timestamp with time zone, ended_at timestamp with time zone, drift bigint, report jsonb)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select f.id, f.state, f.reason, f.trigger, f.instance_id, f.started_at, f.ended_at, f.drift, f.report
  from clerk_sync.full_syncs as f
  order by f.id desc
  limit least(greatest(recent_runs.most, 1), 1000)
$$;


--
-- Name: redact(text[], integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.redact(ids text[], most integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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


--
-- Name: redact_range(timestamp with time zone, timestamp with time zone, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.redact_range(since timestamp with time zone, before timestamp with time zone, most integer DEFAULT 10000) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
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


--
-- Name: redacted(clerk_sync.webhook_events, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.redacted(e clerk_sync.webhook_events, ids text[]) RETURNS clerk_sync.webhook_events
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: redacts(clerk_sync.audit_log, clerk_sync.audit_log); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.redacts(was clerk_sync.audit_log, becomes clerk_sync.audit_log) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  ids   constant text[] := '{user_id,impersonator,org_id,row_id,new_row_id}';
  field text;
begin
  foreach field in array ids loop
    if to_jsonb(becomes) ->> field is distinct from to_jsonb(was) ->> field and to_jsonb(becomes) ->> field is distinct from 'redacted' then
      return false;
    end if;
  end loop;
  return to_jsonb(becomes) - ids = to_jsonb(was) - ids;
end
$$;


--
-- Name: referred_to(text, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.referred_to(object text, ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_hashjoin TO 'on'
    SET enable_mergejoin TO 'on'
    SET enable_seqscan TO 'on'
    SET row_security TO 'off'
    AS $_$
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
      and (f.confrelid = o.relation or o.object = 'user' and f.confrelid = 'public.users_public'::regclass)
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
$_$;


--
-- Name: refused_by(text, text, text, text, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.refused_by(state text, "constraint" text, schema text, "table" text, "column" text, context text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: reject_event(text, bytea, text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.reject_event(svix_id text, body bytea, why text, signed_with text DEFAULT NULL::text, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: release_held(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.release_held() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  delete from clerk_sync.held_back as h
  where h.object_id = to_jsonb(new) ->> (clerk_sync.object(tg_argv[0])).key and h.object = tg_argv[0];
  return null;
end
$$;


--
-- Name: renew_run(bigint, text, interval); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.renew_run(run bigint, holder text, lease interval) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform clerk_sync.check_lease(lease);
  update clerk_sync.sync_lock as l set expires_at = now() + renew_run.lease
  where l.run_id = renew_run.run and l.holder = renew_run.holder and l.expires_at > now();
  return found;
end
$$;


--
-- Name: replay_event(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.replay_event(svix_id text, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
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


--
-- Name: request_claims(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.request_claims() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
exception when others then
  return null;
end
$$;


--
-- Name: require_lock(bigint, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.require_lock(run bigint, holder text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  perform from clerk_sync.sync_lock as l
  where l.run_id = require_lock.run and l.holder = require_lock.holder and l.expires_at > now()
  for share;
  if not found then
    raise exception using errcode = 'CS001', message = 'the lock of the full sync was lost';
  end if;
end
$$;


--
-- Name: revives(text, text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.revives(stored text, stated text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return left(stored, 2) = '8.' and substr(stated, 19, 15) collate "C" > substr(stored, 3);
end
$$;


--
-- Name: run_windows(bigint); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.run_windows(run bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(w) || jsonb_build_object('finished', w.finished_at is not null)
                              order by w.object, w.pass, w.phase, w.position), '[]')
    from clerk_sync.run_windows as w where w.run_id = run_windows.run);
end
$$;


--
-- Name: schemas(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.schemas(OUT exposed text, OUT helpers text) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select s.exposed_schema, s.helpers_schema from clerk_sync.settings as s
$$;


--
-- Name: signatures(timestamp with time zone); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.signatures(since timestamp with time zone) RETURNS TABLE(signed_with text, messages bigint, first_at timestamp with time zone, last_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: stated_rows(text, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.stated_rows(object text, ids text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  o clerk_sync.objects := clerk_sync.object(object);
  stated jsonb;
begin
  execute format($q$
    select jsonb_object_agg(r.%I, to_jsonb(r) - '{synced_at,sync_version,is_placeholder}'::text[])
    from %s as r where r.%1$I = any ($1) $q$, o.key, o.relation)
  into stated using ids;
  return stated;
end
$_$;


--
-- Name: status(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.status() RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: storable(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.storable(body text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
$_$;


--
-- Name: suspects(bigint, text, bigint, bigint, text[], integer, text, text, timestamp with time zone); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.suspects(run bigint, object text, from_ms bigint, to_ms bigint, ids text[], most integer, after text DEFAULT ''::text, through text DEFAULT ''::text, behind_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS TABLE(id text, organization_id text, user_id text, created_at timestamp with time zone, gone boolean)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET enable_sort TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $_$
declare
  o clerk_sync.objects := clerk_sync.object(object);
begin
  -- The ids are hashed: a join with them would have to sort what is in order already.
  return query execute format($q$
    select u.*, clerk_sync.known_gone($7, $8, u.id, u.organization_id, u.user_id)
    from (
      select r.%1$I as id, %4$s, %3$s as created_at
      from %2$s as r
      where r.deleted_at is null
        and (%3$s, r.%1$I collate "C") > ($1, $2)
        and %3$s < $3 and ($4 = '' or (%3$s, r.%1$I collate "C") <= ($3 - interval '1 millisecond', $4))
        and r.%1$I not in (select i from unnest($5) as i)
      order by %3$s, r.%1$I collate "C"
      limit $6) as u
    order by u.created_at, u.id collate "C" $q$,
    o.key, o.relation, clerk_sync.creation(o), clerk_sync.whose(o))
  using coalesce(behind_at, to_timestamp(from_ms / 1000.0), '-infinity'), after,
        coalesce(to_timestamp(to_ms / 1000.0), 'infinity'), through, ids, most, run, object;
end
$_$;


--
-- Name: tombstone_memberships(jsonb, bigint[], text[], timestamp with time zone[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.tombstone_memberships(resources jsonb, stated_ms bigint[], kinds text[], deleted_at timestamp with time zone[]) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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
    lock table public.organization_memberships in exclusive mode;
    absent := clerk_sync.unknown_memberships(ids);
  elsif absent <> '{}' then
    lock table public.organization_memberships in row exclusive mode;
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
      and exists (select from public.organization_memberships as m where m.clerk_membership_id = e.clerk_membership_id);
  end if;

  -- What is said about the parents counts also where the membership was known.
  if known is not null then
    perform clerk_sync.offer_parents(known, known_stated, known_kinds, true);
  end if;

  return query
  select e.id, e.result from clerk_sync.end_memberships(ids, null, tombstone_memberships.deleted_at) as e;
end
$$;


--
-- Name: tombstone_organizations(text[], timestamp with time zone, timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.tombstone_organizations(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], inferred boolean DEFAULT false) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  news  text[];
  ends  timestamptz[];
begin
  perform from public.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;
  perform clerk_sync.hold_back('organization', ids);

  with written as (
    insert into public.organizations as o (clerk_org_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_organizations.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_organizations.deleted_at)) as deleted_at
      from unnest(tombstone_organizations.ids, tombstone_organizations.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_org_id) do update set
      name = null, slug = null, logo_url = null, metadata = '{}', created_by = null,
      max_allowed_memberships = null, admin_delete_enabled = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where o.sync_version < '8'
       or not tombstone_organizations.inferred and (o.sync_version < '9' or o.deleted_at > excluded.deleted_at)
    returning o.clerk_org_id, o.deleted_at
  )
  select array_agg(w.clerk_org_id), array_agg(w.deleted_at) into news, ends from written as w;

  perform from public.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;

  delete from clerk_sync.private_metadata as p
  where p.object = 'organization' and p.object_id = any (tombstone_organizations.ids);
  perform clerk_sync.end_children('organization', news, ends, inferred);

  return query
  select gone, case when gone in (select unnest(news)) then 'deleted' else 'unchanged' end
  from (select distinct unnest(tombstone_organizations.ids)) as asked (gone);
end
$$;


--
-- Name: tombstone_permissions(text[], timestamp with time zone, timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.tombstone_permissions(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], inferred boolean DEFAULT false) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
  return query
  with written as (
    insert into clerk.organization_permissions as o (clerk_permission_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_permissions.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_permissions.deleted_at)) as deleted_at
      from unnest(tombstone_permissions.ids, tombstone_permissions.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_permission_id) do update set
      key = null, name = null, description = null, type = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where o.sync_version < '8'
       or not tombstone_permissions.inferred and (o.sync_version < '9' or o.deleted_at > excluded.deleted_at)
    returning o.clerk_permission_id
  )
  select gone, case when w.clerk_permission_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_permissions.ids)) as asked (gone)
  left join written as w on w.clerk_permission_id = gone;
end
$$;


--
-- Name: tombstone_roles(text[], timestamp with time zone, timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.tombstone_roles(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], inferred boolean DEFAULT false) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
#variable_conflict use_column
begin
  return query
  with written as (
    insert into clerk.organization_roles as o (clerk_role_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_roles.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_roles.deleted_at)) as deleted_at
      from unnest(tombstone_roles.ids, tombstone_roles.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_role_id) do update set
      key = null, name = null, description = null, is_creator_eligible = null, permission_ids = '{}',
      created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where o.sync_version < '8'
       or not tombstone_roles.inferred and (o.sync_version < '9' or o.deleted_at > excluded.deleted_at)
    returning o.clerk_role_id
  )
  select gone, case when w.clerk_role_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_roles.ids)) as asked (gone)
  left join written as w on w.clerk_role_id = gone;
end
$$;


--
-- Name: tombstone_users(text[], timestamp with time zone, timestamp with time zone[], boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.tombstone_users(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], inferred boolean DEFAULT false) RETURNS TABLE(id text, result text)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
declare
  news  text[];
  ends  timestamptz[];
begin
  perform from public.users as u
  where u.clerk_id = any (tombstone_users.ids)
  order by u.clerk_id for update;
  perform clerk_sync.hold_back('user', ids);

  with written as (
    insert into public.users as u (clerk_id, deleted_at, sync_version)
    select g.id, g.deleted_at, clerk_sync.tombstone_version(g.deleted_at, tombstone_users.inferred)
    from (
      select t.id, min(coalesce(t.deleted_at, tombstone_users.deleted_at)) as deleted_at
      from unnest(tombstone_users.ids, tombstone_users.times) as t (id, deleted_at) group by t.id
    ) as g
    order by g.id
    on conflict (clerk_id) do update set
      external_id = null, email = null, email_verified = null, phone = null, phone_verified = null,
      username = null, first_name = null, last_name = null, avatar_url = null,
      metadata = '{}', unsafe_metadata = '{}', banned = null, locked = null,
      password_enabled = null, two_factor_enabled = null, last_sign_in_at = null, last_active_at = null,
      created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = excluded.sync_version
    where u.sync_version < '8'
       or not tombstone_users.inferred and (u.sync_version < '9' or u.deleted_at > excluded.deleted_at)
    returning u.clerk_id, u.deleted_at
  )
  select array_agg(w.clerk_id), array_agg(w.deleted_at) into news, ends from written as w;

  perform from public.users as u
  where u.clerk_id = any (tombstone_users.ids)
  order by u.clerk_id for update;

  -- Personal data leaves everywhere at once, but for what hold_back took.
  delete from clerk_sync.private_metadata as p
  where p.object = 'user' and p.object_id = any (tombstone_users.ids);
  perform clerk_sync.end_children('user', news, ends, inferred);

  return query
  select gone, case when gone in (select unnest(news)) then 'deleted' else 'unchanged' end
  from (select distinct unnest(tombstone_users.ids)) as asked (gone);
end
$$;


--
-- Name: tombstone_version(timestamp with time zone, boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.tombstone_version(at timestamp with time zone, inferred boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return case when inferred then '8.' || lpad(trunc(greatest(extract(epoch from at), 0) * 1000)::bigint::text, 15, '0') else '9' end;
end
$$;


--
-- Name: traces(text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.traces(ids text[]) RETURNS TABLE(relation text, matched bigint, tombstones bigint)
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
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
      and (n.nspname = 'clerk_sync' or n.nspname = 'clerk'
           or n.nspname = 'public' and c.relname in ('users', 'users_public', 'organizations', 'organization_memberships'))
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
$_$;


--
-- Name: try_event(text); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.try_event(svix_id text, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: unaudit_table(regclass); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.unaudit_table(target regclass) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  installed record;
  found_any boolean := false;
begin
  for installed in
    select t.tgrelid::regclass as part, t.tgname as name
    from pg_catalog.pg_trigger as t
    where t.tgfoid = 'clerk_sync.audit_rows()'::regprocedure
      and (t.tgrelid = target or t.tgrelid in (select p.relid from pg_catalog.pg_partition_tree(target) as p))
  loop
    execute format('drop trigger %I on %s', installed.name, installed.part);
    found_any := true;
  end loop;
  return found_any;
end
$$;


--
-- Name: undated(text, timestamp with time zone, text, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.undated(object text, settled timestamp with time zone, after text, most integer) RETURNS TABLE(id text, organization_id text, user_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    AS $_$
declare
  o clerk_sync.objects := clerk_sync.object(object);
begin
  return query execute format($q$
    select r.%1$I, %3$s from %2$s as r
    where r.deleted_at is null and r.created_at is null and r.synced_at <= $1 and r.%1$I > $2
    order by 1 limit $3 $q$, o.key, o.relation, clerk_sync.whose(o))
  using settled, after, most;
end
$_$;


--
-- Name: unknown_memberships(text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.unknown_memberships(ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return array(
    select distinct i.id from unnest(ids) as i (id)
    where not exists (select from public.organization_memberships as m where m.clerk_membership_id = i.id));
end
$$;


--
-- Name: unproject_users(); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.unproject_users() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  delete from public.users_public as p using removed as r where p.clerk_id = r.clerk_id;
  return null;
end
$$;


--
-- Name: watermarks; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.watermarks (
    object text NOT NULL,
    stated_ms bigint NOT NULL,
    seen_until timestamp with time zone NOT NULL
);


--
-- Name: verdict(text, timestamp with time zone, clerk_sync.watermarks, text, text, boolean); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.verdict(stored text, written_at timestamp with time zone, mark clerk_sync.watermarks, stated text, kind text, same boolean) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return case
    when stored is null then 'created'
    when stored collate "C" >= '8' then case when clerk_sync.revives(stored, stated) then 'updated' else 'deleted' end
    when stored = stated then 'unchanged'
    when stored collate "C" > stated then 'stale'
    when stored >= '2' and written_at < mark.seen_until
         and (left(stored, 18) || lpad(mark.stated_ms::text, 15, '0') || '.3.') collate "C" > stated then 'stale'
    when kind = '3' and same and left(stored, 1) = left(stated, 1) then 'unchanged'
    else 'updated'
  end;
end
$$;


--
-- Name: versions(text, text[]); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.versions(object text, ids text[]) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $_$
declare
  o clerk_sync.objects := clerk_sync.object(object);
  versions text[];
begin
  execute format('select array(select r.sync_version from unnest($1) as i (id) left join %s as r on r.%I = i.id order by i.id)', o.relation, o.key)
  into versions using ids;
  return versions;
end
$_$;


--
-- Name: whose(clerk_sync.objects); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.whose(o clerk_sync.objects) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
begin
  return format('%s as organization_id, %s as user_id',
    coalesce('r.' || quote_ident(o.organization_key), 'null::text'), coalesce('r.' || quote_ident(o.user_key), 'null::text'));
end
$$;


--
-- Name: without_private_metadata(json, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.without_private_metadata(value json, depth integer DEFAULT 0) RETURNS json
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


--
-- Name: witnesses(bigint, text, text[], bigint, bigint, integer); Type: FUNCTION; Schema: clerk_sync; Owner: -
--

CREATE FUNCTION clerk_sync.witnesses(run bigint, object text, listed text[], from_ms bigint, to_ms bigint, most integer) RETURNS TABLE(id text, organization_id text, user_id text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET plan_cache_mode TO 'force_generic_plan'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET jit TO 'off'
    SET enable_sort TO 'off'
    SET enable_bitmapscan TO 'off'
    AS $_$
declare
  o     clerk_sync.objects := clerk_sync.object(object);
  known text := format('select r.%I as id, %s from %s as r where r.deleted_at is null', o.key, clerk_sync.whose(o), o.relation);
begin
  return query execute format('%s and r.%I = any ($1) limit $2', known, o.key) using listed, most;
  if not found then
    return query execute format($q$
      select n.* from (
        (%1$s and %3$s >= $1 order by %3$s, r.%2$I collate "C" limit 10001)
        union all
        (%1$s and %3$s < $2 order by %3$s desc, r.%2$I collate "C" desc limit 10001)) as n
      where not clerk_sync.known_gone($3, $4, n.id, n.organization_id, n.user_id)
      limit $5 $q$, known, o.key, clerk_sync.creation(o))
    using coalesce(to_timestamp(to_ms / 1000.0), 'infinity'), coalesce(to_timestamp(from_ms / 1000.0), '-infinity'), run, object, most;
  end if;
end
$_$;


--
-- Name: apply_clerk_event(text, jsonb); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.apply_clerk_event(svix_id text, event jsonb, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select a.outcome, a.reason from clerk_sync.apply_event(apply_clerk_event.svix_id, apply_clerk_event.event) as a
$$;


--
-- Name: FUNCTION apply_clerk_event(svix_id text, event jsonb, OUT outcome text, OUT reason text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.apply_clerk_event(svix_id text, event jsonb, OUT outcome text, OUT reason text) IS 'Applies one Clerk webhook whose signature the caller has verified. Only service_role may call it.';


--
-- Name: apply_clerk_event_text(text, text); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.apply_clerk_event_text(svix_id text, body text, OUT outcome text, OUT reason text) RETURNS record
    LANGUAGE sql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
  select a.outcome, a.reason
  from clerk_sync.apply_event_text(apply_clerk_event_text.svix_id, apply_clerk_event_text.body) as a
$$;


--
-- Name: FUNCTION apply_clerk_event_text(svix_id text, body text, OUT outcome text, OUT reason text); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.apply_clerk_event_text(svix_id text, body text, OUT outcome text, OUT reason text) IS 'Applies one Clerk webhook, given as its body was received, whose signature the caller has verified. Only service_role may call it.';


--
-- Name: ensure_user(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.ensure_user() RETURNS text
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
declare
  id constant text := clerk.user_id();
begin
  -- The Data API answers PT401 and PT403 with these statuses.
  if id is null then
    raise sqlstate 'PT401' using message = 'ensure_user needs a signed-in user',
      hint = 'The request had no token of a Clerk user.';
  elsif not starts_with(id, 'user_') then
    raise sqlstate 'PT403' using message = 'ensure_user is for users of Clerk',
      hint = 'The token''s sub is no Clerk user id; it starts with "user_".';
  end if;

  -- A tombstone stays one: deleted is final.
  insert into public.users (clerk_id) values (id) on conflict (clerk_id) do nothing;
  return id;
end
$$;


--
-- Name: FUNCTION ensure_user(); Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON FUNCTION public.ensure_user() IS 'Makes sure that the signed-in user has a row in users, and returns its Clerk id. Call it before a first insert that refers to users.';


--
-- Name: organization_memberships; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.organization_memberships (
    clerk_membership_id text NOT NULL,
    clerk_org_id text NOT NULL,
    clerk_user_id text NOT NULL,
    role text,
    permissions text[] DEFAULT '{}'::text[] NOT NULL,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    synced_at timestamp with time zone DEFAULT now() NOT NULL,
    sync_version text DEFAULT '0'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT organization_memberships_version CHECK (((sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'::text) AND ((sync_version >= '8'::text) = (deleted_at IS NOT NULL))))
);


--
-- Name: TABLE organization_memberships; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.organization_memberships IS 'Clerk organization memberships, written only by clerksync.';


--
-- Name: COLUMN organization_memberships.role; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.organization_memberships.role IS 'Clerk''s own key, as Clerk says it: with its "org:" prefix, but for roles of the old kind.';


--
-- Name: COLUMN organization_memberships.permissions; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.organization_memberships.permissions IS 'As Clerk stated them when the membership last changed; clerk.role_permissions knows what the role grants now.';


--
-- Name: fellows; Type: VIEW; Schema: clerk; Owner: -
--

CREATE VIEW clerk.fellows WITH (security_barrier='true') AS
 SELECT m.clerk_user_id
   FROM public.organization_memberships m
  WHERE ((m.clerk_org_id = ANY (ARRAY( SELECT clerk.my_org_ids() AS my_org_ids))) AND (m.deleted_at IS NULL));


--
-- Name: VIEW fellows; Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON VIEW clerk.fellows IS 'Who shares an organization with the caller, once for each that is shared.';


--
-- Name: fellows_by_user; Type: VIEW; Schema: clerk; Owner: -
--

CREATE VIEW clerk.fellows_by_user WITH (security_barrier='true') AS
 SELECT m.clerk_user_id
   FROM public.organization_memberships m
  WHERE (((m.clerk_org_id = ANY (ARRAY( SELECT clerk.my_org_ids() AS my_org_ids))) IS TRUE) AND (m.deleted_at IS NULL));


--
-- Name: VIEW fellows_by_user; Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON VIEW clerk.fellows_by_user IS 'The same as fellows, for a look at one user.';


--
-- Name: organization_permissions; Type: TABLE; Schema: clerk; Owner: -
--

CREATE TABLE clerk.organization_permissions (
    clerk_permission_id text NOT NULL,
    key text,
    name text,
    description text,
    type text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    synced_at timestamp with time zone DEFAULT now() NOT NULL,
    sync_version text DEFAULT '0'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT organization_permissions_version CHECK (((sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'::text) AND ((sync_version >= '8'::text) = (deleted_at IS NOT NULL))))
);


--
-- Name: organization_roles; Type: TABLE; Schema: clerk; Owner: -
--

CREATE TABLE clerk.organization_roles (
    clerk_role_id text NOT NULL,
    key text,
    name text,
    description text,
    is_creator_eligible boolean,
    permission_ids text[] DEFAULT '{}'::text[] NOT NULL,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    synced_at timestamp with time zone DEFAULT now() NOT NULL,
    sync_version text DEFAULT '0'::text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT organization_roles_version CHECK (((sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'::text) AND ((sync_version >= '8'::text) = (deleted_at IS NOT NULL))))
);


--
-- Name: role_permissions; Type: VIEW; Schema: clerk; Owner: -
--

CREATE VIEW clerk.role_permissions WITH (security_invoker='true') AS
 SELECT r.key AS role,
    p.key AS permission
   FROM ((clerk.organization_roles r
     CROSS JOIN LATERAL unnest(r.permission_ids) granted(clerk_permission_id))
     JOIN clerk.organization_permissions p USING (clerk_permission_id))
  WHERE ((r.deleted_at IS NULL) AND (p.deleted_at IS NULL));


--
-- Name: VIEW role_permissions; Type: COMMENT; Schema: clerk; Owner: -
--

COMMENT ON VIEW clerk.role_permissions IS 'What each role grants now: join organization_memberships.role with role, either of which may lack its "org:" prefix.';


--
-- Name: audit_log_id_seq; Type: SEQUENCE; Schema: clerk_sync; Owner: -
--

ALTER TABLE clerk_sync.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME clerk_sync.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: batch_lock; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.batch_lock (
    only_row boolean DEFAULT true NOT NULL,
    CONSTRAINT batch_lock_only_row_check CHECK (only_row)
);


--
-- Name: ended_memberships; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.ended_memberships (
    clerk_membership_id text NOT NULL,
    deleted_at timestamp with time zone NOT NULL
);


--
-- Name: run_windows; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.run_windows (
    run_id bigint NOT NULL,
    object text NOT NULL,
    phase text NOT NULL,
    pass integer NOT NULL,
    "position" integer NOT NULL,
    from_ms bigint,
    to_ms bigint,
    after_id text,
    next_offset bigint,
    listed bigint DEFAULT 0 NOT NULL,
    tally jsonb,
    begun_at timestamp with time zone DEFAULT now() NOT NULL,
    requested_ms bigint,
    finished_at timestamp with time zone,
    CONSTRAINT run_windows_phase_check CHECK ((phase = ANY (ARRAY['span'::text, 'list'::text, 'undated'::text, 'deleted'::text])))
);


--
-- Name: sync_lock; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.sync_lock (
    only_row boolean DEFAULT true NOT NULL,
    run_id bigint,
    holder text,
    expires_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT sync_lock_only_row_check CHECK (only_row)
);


--
-- Name: sync_runs; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.sync_runs (
    id bigint NOT NULL,
    state text DEFAULT 'running'::text NOT NULL,
    reason text,
    trigger text NOT NULL,
    instance_id text NOT NULL,
    initial boolean NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    resumed_at timestamp with time zone,
    ended_at timestamp with time zone,
    drift bigint,
    report jsonb,
    cuts jsonb,
    CONSTRAINT sync_runs_state CHECK ((state = ANY (ARRAY['running'::text, 'partial'::text, 'complete'::text, 'stopped'::text])))
);


--
-- Name: full_syncs; Type: VIEW; Schema: clerk_sync; Owner: -
--

CREATE VIEW clerk_sync.full_syncs WITH (security_invoker='true') AS
 SELECT r.id,
        CASE
            WHEN ((r.state = 'running'::text) AND (NOT w.working)) THEN 'partial'::text
            ELSE r.state
        END AS state,
        CASE
            WHEN ((r.state = 'running'::text) AND (NOT w.working)) THEN 'killed'::text
            ELSE r.reason
        END AS reason,
    r.trigger,
    r.instance_id,
    r.initial,
    r.started_at,
    r.resumed_at,
    r.ended_at,
    (r.ended_at - r.started_at) AS took,
    r.drift,
    ( SELECT count(*) AS count
           FROM clerk_sync.run_windows s
          WHERE (s.run_id = r.id)) AS windows,
    ( SELECT count(*) AS count
           FROM clerk_sync.run_windows s
          WHERE ((s.run_id = r.id) AND (s.finished_at IS NOT NULL))) AS windows_finished,
    r.report
   FROM (clerk_sync.sync_runs r
     CROSS JOIN LATERAL ( SELECT (EXISTS ( SELECT
                   FROM clerk_sync.sync_lock l
                  WHERE ((l.run_id = r.id) AND (l.expires_at > now())))) AS working) w);


--
-- Name: VIEW full_syncs; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON VIEW clerk_sync.full_syncs IS 'The history of full syncs. A partial one is resumed by the next, a stopped one waits for a decision.';


--
-- Name: held_back; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.held_back (
    object text NOT NULL,
    object_id text NOT NULL,
    user_id text,
    organization_id text,
    held_at timestamp with time zone DEFAULT now() NOT NULL,
    held jsonb NOT NULL,
    private_metadata jsonb
);


--
-- Name: COLUMN held_back.user_id; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.held_back.user_id IS 'Whose it is, so that a user''s memberships go with it; likewise organization_id.';


--
-- Name: COLUMN held_back.held_at; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.held_back.held_at IS 'When the tombstone was made here, not when Clerk says that it was deleted.';


--
-- Name: migrations; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.migrations (
    version bigint NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);


--
-- Name: private_metadata; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.private_metadata (
    object text NOT NULL,
    object_id text NOT NULL,
    metadata jsonb NOT NULL
);


--
-- Name: purged_until; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.purged_until (
    object text NOT NULL,
    deleted_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    object_id text DEFAULT ''::text NOT NULL,
    held bigint DEFAULT 0 NOT NULL,
    held_last bigint DEFAULT 0 NOT NULL
);


--
-- Name: rules; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.rules (
    only_row boolean DEFAULT true NOT NULL,
    checksum text,
    revision integer,
    functions text[] DEFAULT '{}'::text[] NOT NULL,
    applied_at timestamp with time zone,
    CONSTRAINT rules_only_row_check CHECK (only_row)
);


--
-- Name: settings; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.settings (
    only_row boolean DEFAULT true NOT NULL,
    instance_id text,
    store_private_metadata boolean DEFAULT false NOT NULL,
    keep_applied_payloads boolean DEFAULT false NOT NULL,
    payload_retention interval DEFAULT '30 days'::interval NOT NULL,
    deletion_grace interval DEFAULT '00:00:00'::interval NOT NULL,
    event_retention interval DEFAULT '100 days'::interval NOT NULL,
    tombstone_retention interval DEFAULT '180 days'::interval NOT NULL,
    exposed_schema text NOT NULL,
    helpers_schema text NOT NULL,
    audit_retention interval DEFAULT '400 days'::interval NOT NULL,
    memberships_at_once integer DEFAULT 5000 NOT NULL,
    CONSTRAINT settings_audit_retention CHECK (((audit_retention >= '1 day'::interval) AND (audit_retention <= '100 years'::interval))),
    CONSTRAINT settings_deletion_grace CHECK (((deletion_grace >= '00:00:00'::interval) AND (deletion_grace <= payload_retention))),
    CONSTRAINT settings_memberships_at_once CHECK (((memberships_at_once >= 1) AND (memberships_at_once <= 50000))),
    CONSTRAINT settings_only_row_check CHECK (only_row),
    CONSTRAINT settings_retention_order CHECK ((payload_retention <= event_retention))
);


--
-- Name: COLUMN settings.instance_id; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.instance_id IS 'When set, events of any other Clerk instance are rejected.';


--
-- Name: COLUMN settings.keep_applied_payloads; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.keep_applied_payloads IS 'False: a payload is kept only while its event is rejected and could be replayed.';


--
-- Name: COLUMN settings.deletion_grace; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.deletion_grace IS 'How long what a deleted object held is kept in clerk_sync.held_back; 0: not at all.';


--
-- Name: COLUMN settings.event_retention; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.event_retention IS 'Longer than the 90 days for which Svix can send an old message again: until then its id must be known.';


--
-- Name: COLUMN settings.tombstone_retention; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.tombstone_retention IS 'Likewise: an update sent again after the tombstone is gone would bring the row back.';


--
-- Name: COLUMN settings.audit_retention; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.audit_retention IS 'How long records of clerk_sync.audit_log are kept; nothing removes them earlier.';


--
-- Name: COLUMN settings.memberships_at_once; Type: COMMENT; Schema: clerk_sync; Owner: -
--

COMMENT ON COLUMN clerk_sync.settings.memberships_at_once IS 'How many memberships one transaction ends when a user or an organization is deleted; the others follow in steps.';


--
-- Name: sync_absences; Type: TABLE; Schema: clerk_sync; Owner: -
--

CREATE TABLE clerk_sync.sync_absences (
    run_id bigint NOT NULL,
    object text NOT NULL,
    object_id text NOT NULL,
    confirmed_at timestamp with time zone NOT NULL
);


--
-- Name: sync_runs_id_seq; Type: SEQUENCE; Schema: clerk_sync; Owner: -
--

ALTER TABLE clerk_sync.sync_runs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME clerk_sync.sync_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: organizations; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.organizations (
    clerk_org_id text NOT NULL,
    name text,
    slug text,
    logo_url text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_by text,
    max_allowed_memberships bigint,
    admin_delete_enabled boolean,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    synced_at timestamp with time zone DEFAULT now() NOT NULL,
    sync_version text DEFAULT '0'::text NOT NULL COLLATE pg_catalog."C",
    is_placeholder boolean GENERATED ALWAYS AS ((sync_version < '2'::text)) STORED NOT NULL,
    CONSTRAINT organizations_version CHECK (((sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'::text) AND ((sync_version >= '8'::text) = (deleted_at IS NOT NULL))))
);


--
-- Name: TABLE organizations; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.organizations IS 'Clerk organizations, written only by clerksync.';


--
-- Name: COLUMN organizations.metadata; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.organizations.metadata IS 'Clerk''s public_metadata.';


--
-- Name: COLUMN organizations.created_by; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.organizations.created_by IS 'Clerk id of the creator; kept as Clerk says it, also when that user is gone.';


--
-- Name: users; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.users (
    clerk_id text NOT NULL,
    external_id text,
    email text,
    email_verified boolean,
    phone text,
    phone_verified boolean,
    username text,
    first_name text,
    last_name text,
    avatar_url text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    unsafe_metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    banned boolean,
    locked boolean,
    password_enabled boolean,
    two_factor_enabled boolean,
    last_sign_in_at timestamp with time zone,
    last_active_at timestamp with time zone,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    synced_at timestamp with time zone DEFAULT now() NOT NULL,
    sync_version text DEFAULT '0'::text NOT NULL COLLATE pg_catalog."C",
    is_placeholder boolean GENERATED ALWAYS AS ((sync_version < '2'::text)) STORED NOT NULL,
    CONSTRAINT users_version CHECK (((sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'::text) AND ((sync_version >= '8'::text) = (deleted_at IS NOT NULL))))
);


--
-- Name: TABLE users; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.users IS 'Clerk users, written only by clerksync. A row with deleted_at is a tombstone: its personal data is gone for good.';


--
-- Name: COLUMN users.email; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.email IS 'The address whose id is Clerk''s primary_email_address_id; null if there is none.';


--
-- Name: COLUMN users.metadata; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.metadata IS 'Clerk''s public_metadata.';


--
-- Name: COLUMN users.unsafe_metadata; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.unsafe_metadata IS 'Writable by the user in the browser: never base a permission on it.';


--
-- Name: COLUMN users.is_placeholder; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON COLUMN public.users.is_placeholder IS 'True until Clerk has told us about the user itself.';


--
-- Name: users_public; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.users_public (
    clerk_id text NOT NULL,
    username text,
    first_name text,
    last_name text,
    avatar_url text
);


--
-- Name: TABLE users_public; Type: COMMENT; Schema: public; Owner: -
--

COMMENT ON TABLE public.users_public IS 'The part of users that other users may read. Kept by a trigger on users; never write to it.';


--
-- Name: organization_permissions organization_permissions_pkey; Type: CONSTRAINT; Schema: clerk; Owner: -
--

ALTER TABLE ONLY clerk.organization_permissions
    ADD CONSTRAINT organization_permissions_pkey PRIMARY KEY (clerk_permission_id);


--
-- Name: organization_roles organization_roles_pkey; Type: CONSTRAINT; Schema: clerk; Owner: -
--

ALTER TABLE ONLY clerk.organization_roles
    ADD CONSTRAINT organization_roles_pkey PRIMARY KEY (clerk_role_id);


--
-- Name: audit_log audit_log_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);


--
-- Name: batch_lock batch_lock_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.batch_lock
    ADD CONSTRAINT batch_lock_pkey PRIMARY KEY (only_row);


--
-- Name: ended_memberships ended_memberships_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.ended_memberships
    ADD CONSTRAINT ended_memberships_pkey PRIMARY KEY (clerk_membership_id);


--
-- Name: endings endings_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.endings
    ADD CONSTRAINT endings_pkey PRIMARY KEY (object, object_id);


--
-- Name: held_back held_back_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.held_back
    ADD CONSTRAINT held_back_pkey PRIMARY KEY (object_id, object);


--
-- Name: migrations migrations_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (version);


--
-- Name: objects objects_event_key; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.objects
    ADD CONSTRAINT objects_event_key UNIQUE (event);


--
-- Name: objects objects_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.objects
    ADD CONSTRAINT objects_pkey PRIMARY KEY (object);


--
-- Name: objects objects_position_key; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.objects
    ADD CONSTRAINT objects_position_key UNIQUE ("position");


--
-- Name: private_metadata private_metadata_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.private_metadata
    ADD CONSTRAINT private_metadata_pkey PRIMARY KEY (object, object_id);


--
-- Name: purged_until purged_until_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.purged_until
    ADD CONSTRAINT purged_until_pkey PRIMARY KEY (object);


--
-- Name: rules rules_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.rules
    ADD CONSTRAINT rules_pkey PRIMARY KEY (only_row);


--
-- Name: run_windows run_windows_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.run_windows
    ADD CONSTRAINT run_windows_pkey PRIMARY KEY (run_id, object, phase, pass, "position");


--
-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (only_row);


--
-- Name: sync_absences sync_absences_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.sync_absences
    ADD CONSTRAINT sync_absences_pkey PRIMARY KEY (run_id, object, object_id);


--
-- Name: sync_lock sync_lock_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.sync_lock
    ADD CONSTRAINT sync_lock_pkey PRIMARY KEY (only_row);


--
-- Name: sync_runs sync_runs_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.sync_runs
    ADD CONSTRAINT sync_runs_pkey PRIMARY KEY (id);


--
-- Name: watermarks watermarks_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.watermarks
    ADD CONSTRAINT watermarks_pkey PRIMARY KEY (object);


--
-- Name: webhook_events webhook_events_pkey; Type: CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.webhook_events
    ADD CONSTRAINT webhook_events_pkey PRIMARY KEY (svix_id);


--
-- Name: organization_memberships organization_memberships_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.organization_memberships
    ADD CONSTRAINT organization_memberships_pkey PRIMARY KEY (clerk_membership_id);


--
-- Name: organizations organizations_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (clerk_org_id);


--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (clerk_id);


--
-- Name: users_public users_public_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.users_public
    ADD CONSTRAINT users_public_pkey PRIMARY KEY (clerk_id);


--
-- Name: organization_roles_key_idx; Type: INDEX; Schema: clerk; Owner: -
--

CREATE INDEX organization_roles_key_idx ON clerk.organization_roles USING btree (key);


--
-- Name: audit_log_at_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX audit_log_at_idx ON clerk_sync.audit_log USING btree (at);


--
-- Name: audit_log_new_row_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX audit_log_new_row_idx ON clerk_sync.audit_log USING hash (new_row_id) WHERE (new_row_id IS NOT NULL);


--
-- Name: audit_log_row_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX audit_log_row_idx ON clerk_sync.audit_log USING hash (row_id);


--
-- Name: audit_log_table_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX audit_log_table_idx ON clerk_sync.audit_log USING brin (table_name text_bloom_ops (n_distinct_per_range='100')) WITH (autosummarize='on');


--
-- Name: audit_log_user_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX audit_log_user_idx ON clerk_sync.audit_log USING btree (user_id, id) WHERE (user_id IS NOT NULL);


--
-- Name: ended_memberships_deleted_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX ended_memberships_deleted_idx ON clerk_sync.ended_memberships USING btree (deleted_at);


--
-- Name: held_back_held_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX held_back_held_idx ON clerk_sync.held_back USING btree (held_at);


--
-- Name: held_back_org_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX held_back_org_idx ON clerk_sync.held_back USING btree (organization_id);


--
-- Name: held_back_private_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX held_back_private_idx ON clerk_sync.held_back USING btree (object, object_id) WHERE (private_metadata IS NOT NULL);


--
-- Name: held_back_user_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX held_back_user_idx ON clerk_sync.held_back USING btree (user_id);


--
-- Name: sync_runs_started_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX sync_runs_started_idx ON clerk_sync.sync_runs USING btree (started_at);


--
-- Name: webhook_events_kept_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_kept_idx ON clerk_sync.webhook_events USING btree (received_at, svix_id) WHERE ((payload IS NOT NULL) OR (raw_body IS NOT NULL));


--
-- Name: webhook_events_org_payload_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_org_payload_idx ON clerk_sync.webhook_events USING btree (organization_id) WHERE ((payload IS NOT NULL) OR (raw_body IS NOT NULL));


--
-- Name: webhook_events_outcome_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_outcome_idx ON clerk_sync.webhook_events USING btree (outcome, received_at) WHERE (outcome <> 'applied'::text);


--
-- Name: webhook_events_received_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_received_idx ON clerk_sync.webhook_events USING btree (received_at);


--
-- Name: webhook_events_recorded_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_recorded_idx ON clerk_sync.webhook_events USING btree (recorded_in);


--
-- Name: webhook_events_unowned_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_unowned_idx ON clerk_sync.webhook_events USING btree (received_at, svix_id) WHERE (((payload IS NOT NULL) OR (raw_body IS NOT NULL)) AND (user_id IS NULL) AND (organization_id IS NULL));


--
-- Name: webhook_events_user_payload_idx; Type: INDEX; Schema: clerk_sync; Owner: -
--

CREATE INDEX webhook_events_user_payload_idx ON clerk_sync.webhook_events USING btree (user_id) WHERE ((payload IS NOT NULL) OR (raw_body IS NOT NULL));


--
-- Name: organization_memberships_created_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organization_memberships_created_idx ON public.organization_memberships USING btree (created_at, clerk_membership_id COLLATE "C") WHERE (deleted_at IS NULL);


--
-- Name: organization_memberships_deleted_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organization_memberships_deleted_idx ON public.organization_memberships USING btree (deleted_at, clerk_membership_id) WHERE (deleted_at IS NOT NULL);


--
-- Name: organization_memberships_org_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organization_memberships_org_idx ON public.organization_memberships USING btree (clerk_org_id, deleted_at, clerk_user_id);


--
-- Name: organization_memberships_undated_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organization_memberships_undated_idx ON public.organization_memberships USING btree (clerk_membership_id) WHERE ((created_at IS NULL) AND (deleted_at IS NULL));


--
-- Name: organization_memberships_user_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organization_memberships_user_idx ON public.organization_memberships USING btree (clerk_user_id, deleted_at, clerk_org_id);


--
-- Name: organizations_created_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organizations_created_idx ON public.organizations USING btree (created_at, clerk_org_id COLLATE "C") WHERE (deleted_at IS NULL);


--
-- Name: organizations_deleted_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organizations_deleted_idx ON public.organizations USING btree (deleted_at, clerk_org_id) WHERE (deleted_at IS NOT NULL);


--
-- Name: organizations_placeholder_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organizations_placeholder_idx ON public.organizations USING btree (clerk_org_id) WHERE is_placeholder;


--
-- Name: organizations_undated_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX organizations_undated_idx ON public.organizations USING btree (clerk_org_id) WHERE ((created_at IS NULL) AND (deleted_at IS NULL));


--
-- Name: users_created_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_created_idx ON public.users USING btree (created_at, clerk_id COLLATE "C") WHERE (deleted_at IS NULL);


--
-- Name: users_deleted_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_deleted_idx ON public.users USING btree (deleted_at, clerk_id) WHERE (deleted_at IS NOT NULL);


--
-- Name: users_placeholder_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_placeholder_idx ON public.users USING btree (clerk_id) WHERE is_placeholder;


--
-- Name: users_undated_idx; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX users_undated_idx ON public.users USING btree (clerk_id) WHERE ((created_at IS NULL) AND (deleted_at IS NULL));


--
-- Name: organization_permissions clerksync_audit_delete; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_delete AFTER DELETE ON clerk.organization_permissions REFERENCING OLD TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_roles clerksync_audit_delete; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_delete AFTER DELETE ON clerk.organization_roles REFERENCING OLD TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_permissions clerksync_audit_insert; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_insert AFTER INSERT ON clerk.organization_permissions REFERENCING NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_roles clerksync_audit_insert; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_insert AFTER INSERT ON clerk.organization_roles REFERENCING NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_permissions clerksync_audit_truncate; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_truncate AFTER TRUNCATE ON clerk.organization_permissions FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_roles clerksync_audit_truncate; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_truncate AFTER TRUNCATE ON clerk.organization_roles FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_permissions clerksync_audit_update; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_update AFTER UPDATE ON clerk.organization_permissions REFERENCING OLD TABLE AS before NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows('{synced_at,sync_version,updated_at}');


--
-- Name: organization_roles clerksync_audit_update; Type: TRIGGER; Schema: clerk; Owner: -
--

CREATE TRIGGER clerksync_audit_update AFTER UPDATE ON clerk.organization_roles REFERENCING OLD TABLE AS before NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows('{synced_at,sync_version,updated_at}');


--
-- Name: audit_log clerksync_keep; Type: TRIGGER; Schema: clerk_sync; Owner: -
--

CREATE TRIGGER clerksync_keep BEFORE TRUNCATE ON clerk_sync.audit_log FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.keep_audit_log();

ALTER TABLE clerk_sync.audit_log ENABLE ALWAYS TRIGGER clerksync_keep;


--
-- Name: audit_log clerksync_keep_fields; Type: TRIGGER; Schema: clerk_sync; Owner: -
--

CREATE TRIGGER clerksync_keep_fields BEFORE UPDATE ON clerk_sync.audit_log FOR EACH ROW EXECUTE FUNCTION clerk_sync.keep_audit_log();

ALTER TABLE clerk_sync.audit_log ENABLE ALWAYS TRIGGER clerksync_keep_fields;


--
-- Name: audit_log clerksync_keep_recent; Type: TRIGGER; Schema: clerk_sync; Owner: -
--

CREATE TRIGGER clerksync_keep_recent AFTER DELETE ON clerk_sync.audit_log REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.keep_audit_log();

ALTER TABLE clerk_sync.audit_log ENABLE ALWAYS TRIGGER clerksync_keep_recent;


--
-- Name: organization_memberships clerksync_audit_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_delete AFTER DELETE ON public.organization_memberships REFERENCING OLD TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organizations clerksync_audit_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_delete AFTER DELETE ON public.organizations REFERENCING OLD TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: users clerksync_audit_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_delete AFTER DELETE ON public.users REFERENCING OLD TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_memberships clerksync_audit_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_insert AFTER INSERT ON public.organization_memberships REFERENCING NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organizations clerksync_audit_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_insert AFTER INSERT ON public.organizations REFERENCING NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: users clerksync_audit_insert; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_insert AFTER INSERT ON public.users REFERENCING NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_memberships clerksync_audit_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_truncate AFTER TRUNCATE ON public.organization_memberships FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organizations clerksync_audit_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_truncate AFTER TRUNCATE ON public.organizations FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: users clerksync_audit_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_truncate AFTER TRUNCATE ON public.users FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows();


--
-- Name: organization_memberships clerksync_audit_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_update AFTER UPDATE ON public.organization_memberships REFERENCING OLD TABLE AS before NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows('{synced_at,sync_version,updated_at}');


--
-- Name: organizations clerksync_audit_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_update AFTER UPDATE ON public.organizations REFERENCING OLD TABLE AS before NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows('{synced_at,sync_version,updated_at,is_placeholder}');


--
-- Name: users clerksync_audit_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_audit_update AFTER UPDATE ON public.users REFERENCING OLD TABLE AS before NEW TABLE AS told FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.audit_rows('{synced_at,sync_version,updated_at,is_placeholder,last_active_at,last_sign_in_at}');


--
-- Name: users clerksync_project_deleted; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_project_deleted AFTER DELETE ON public.users REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.unproject_users();


--
-- Name: users clerksync_project_inserted; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_project_inserted AFTER INSERT ON public.users REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.project_users();


--
-- Name: users clerksync_project_updated; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_project_updated AFTER UPDATE ON public.users REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION clerk_sync.project_users();


--
-- Name: organization_memberships clerksync_release_held; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_release_held AFTER UPDATE ON public.organization_memberships FOR EACH ROW WHEN ((((old.sync_version < '2'::text) OR (old.sync_version >= '8'::text)) AND (new.sync_version >= '2'::text) AND (new.sync_version < '8'::text))) EXECUTE FUNCTION clerk_sync.release_held('organization_membership');


--
-- Name: organizations clerksync_release_held; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_release_held AFTER UPDATE ON public.organizations FOR EACH ROW WHEN ((((old.sync_version < '2'::text) OR (old.sync_version >= '8'::text)) AND (new.sync_version >= '2'::text) AND (new.sync_version < '8'::text))) EXECUTE FUNCTION clerk_sync.release_held('organization');


--
-- Name: users clerksync_release_held; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER clerksync_release_held AFTER UPDATE ON public.users FOR EACH ROW WHEN ((((old.sync_version < '2'::text) OR (old.sync_version >= '8'::text)) AND (new.sync_version >= '2'::text) AND (new.sync_version < '8'::text))) EXECUTE FUNCTION clerk_sync.release_held('user');


--
-- Name: endings endings_object_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.endings
    ADD CONSTRAINT endings_object_fkey FOREIGN KEY (object) REFERENCES clerk_sync.objects(object);


--
-- Name: held_back held_back_object_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.held_back
    ADD CONSTRAINT held_back_object_fkey FOREIGN KEY (object) REFERENCES clerk_sync.objects(object);


--
-- Name: private_metadata private_metadata_object_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.private_metadata
    ADD CONSTRAINT private_metadata_object_fkey FOREIGN KEY (object) REFERENCES clerk_sync.objects(object);


--
-- Name: purged_until purged_until_object_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.purged_until
    ADD CONSTRAINT purged_until_object_fkey FOREIGN KEY (object) REFERENCES clerk_sync.objects(object);


--
-- Name: run_windows run_windows_run_id_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.run_windows
    ADD CONSTRAINT run_windows_run_id_fkey FOREIGN KEY (run_id) REFERENCES clerk_sync.sync_runs(id) ON DELETE CASCADE;


--
-- Name: sync_absences sync_absences_run_id_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.sync_absences
    ADD CONSTRAINT sync_absences_run_id_fkey FOREIGN KEY (run_id) REFERENCES clerk_sync.sync_runs(id) ON DELETE CASCADE;


--
-- Name: watermarks watermarks_object_fkey; Type: FK CONSTRAINT; Schema: clerk_sync; Owner: -
--

ALTER TABLE ONLY clerk_sync.watermarks
    ADD CONSTRAINT watermarks_object_fkey FOREIGN KEY (object) REFERENCES clerk_sync.objects(object);


--
-- Name: organization_memberships organization_memberships_org_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.organization_memberships
    ADD CONSTRAINT organization_memberships_org_fkey FOREIGN KEY (clerk_org_id) REFERENCES public.organizations(clerk_org_id) ON DELETE CASCADE;


--
-- Name: organization_memberships organization_memberships_user_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.organization_memberships
    ADD CONSTRAINT organization_memberships_user_fkey FOREIGN KEY (clerk_user_id) REFERENCES public.users(clerk_id) ON DELETE CASCADE;


--
-- Name: organization_permissions; Type: ROW SECURITY; Schema: clerk; Owner: -
--

ALTER TABLE clerk.organization_permissions ENABLE ROW LEVEL SECURITY;

--
-- Name: organization_roles; Type: ROW SECURITY; Schema: clerk; Owner: -
--

ALTER TABLE clerk.organization_roles ENABLE ROW LEVEL SECURITY;

--
-- Name: audit_log; Type: ROW SECURITY; Schema: clerk_sync; Owner: -
--

ALTER TABLE clerk_sync.audit_log ENABLE ROW LEVEL SECURITY;

--
-- Name: organization_memberships; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.organization_memberships ENABLE ROW LEVEL SECURITY;

--
-- Name: organization_memberships organization_memberships_read_fellows; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY organization_memberships_read_fellows ON public.organization_memberships FOR SELECT TO authenticated USING (((clerk_org_id = ANY (ARRAY( SELECT clerk.my_org_ids() AS my_org_ids))) AND ("left"(clerk_org_id, 0) = ( SELECT ''::text)) AND (clerk_user_id <> ALL (ARRAY( SELECT clerk.leaving_fellow_ids() AS leaving_fellow_ids))) AND (deleted_at IS NULL)));


--
-- Name: organizations; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;

--
-- Name: organizations organizations_read_own; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY organizations_read_own ON public.organizations FOR SELECT TO authenticated USING ((clerk_org_id = ANY (ARRAY( SELECT clerk.my_org_ids() AS my_org_ids))));


--
-- Name: users; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.users ENABLE ROW LEVEL SECURITY;

--
-- Name: users users_insert_own; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY users_insert_own ON public.users FOR INSERT TO authenticated WITH CHECK (((clerk_id = ( SELECT clerk.user_id() AS user_id)) AND starts_with(clerk_id, 'user_'::text)));


--
-- Name: users_public; Type: ROW SECURITY; Schema: public; Owner: -
--

ALTER TABLE public.users_public ENABLE ROW LEVEL SECURITY;

--
-- Name: users_public users_public_read_fellows; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY users_public_read_fellows ON public.users_public FOR SELECT TO authenticated USING (((clerk_id >= clerk.by_key(( SELECT clerk.first_fellow() AS first_fellow))) AND ((((clerk_id >= COALESCE(( SELECT clerk.crowd_from() AS crowd_from), ( SELECT (clerk.crowd_to() || 'z'::text)))) AND (clerk_id <= ( SELECT clerk.crowd_to() AS crowd_to))) AND
CASE ( SELECT clerk.fellows_by() AS fellows_by)
    WHEN 'row'::text THEN ( SELECT true
       FROM clerk.fellows_by_user f
      WHERE (f.clerk_user_id = users_public.clerk_id)
     LIMIT 1)
    ELSE (EXISTS ( SELECT
       FROM clerk.fellows f
      WHERE (f.clerk_user_id = users_public.clerk_id)))
END) OR (clerk_id = ANY (( SELECT clerk.near_fellow_ids() AS near_fellow_ids)::text[])) OR (( SELECT false) AND (clerk_id >= clerk.crowd_from())))));


--
-- Name: users users_read_own; Type: POLICY; Schema: public; Owner: -
--

CREATE POLICY users_read_own ON public.users FOR SELECT TO authenticated USING ((clerk_id = ( SELECT clerk.user_id() AS user_id)));


--
-- Name: SCHEMA clerk; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA clerk TO anon;
GRANT USAGE ON SCHEMA clerk TO authenticated;
GRANT USAGE ON SCHEMA clerk TO service_role;


--
-- Name: SCHEMA clerk_sync; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA clerk_sync TO clerksync_writer;
GRANT USAGE ON SCHEMA clerk_sync TO service_role;
GRANT USAGE ON SCHEMA clerk_sync TO clerksync_diagnostics;


--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: -
--

GRANT USAGE ON SCHEMA public TO anon;
GRANT USAGE ON SCHEMA public TO authenticated;
GRANT USAGE ON SCHEMA public TO service_role;


--
-- Name: FUNCTION by_key(id text); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.by_key(id text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.by_key(id text) TO authenticated;


--
-- Name: FUNCTION claim(path text[]); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.claim(path text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.claim(path text[]) TO anon;
GRANT ALL ON FUNCTION clerk.claim(path text[]) TO authenticated;
GRANT ALL ON FUNCTION clerk.claim(path text[]) TO service_role;


--
-- Name: FUNCTION claim_values(path text[]); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.claim_values(path text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.claim_values(path text[]) TO anon;
GRANT ALL ON FUNCTION clerk.claim_values(path text[]) TO authenticated;
GRANT ALL ON FUNCTION clerk.claim_values(path text[]) TO service_role;


--
-- Name: FUNCTION claims(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.claims() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.claims() TO anon;
GRANT ALL ON FUNCTION clerk.claims() TO authenticated;
GRANT ALL ON FUNCTION clerk.claims() TO service_role;


--
-- Name: FUNCTION crowd_from(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.crowd_from() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.crowd_from() TO authenticated;


--
-- Name: FUNCTION crowd_to(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.crowd_to() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.crowd_to() TO authenticated;


--
-- Name: FUNCTION fellows_by(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.fellows_by() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.fellows_by() TO authenticated;


--
-- Name: FUNCTION first_fellow(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.first_fellow() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.first_fellow() TO authenticated;


--
-- Name: FUNCTION has_org_permission(permission text); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.has_org_permission(permission text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.has_org_permission(permission text) TO anon;
GRANT ALL ON FUNCTION clerk.has_org_permission(permission text) TO authenticated;
GRANT ALL ON FUNCTION clerk.has_org_permission(permission text) TO service_role;


--
-- Name: FUNCTION has_second_factor(within_minutes integer); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.has_second_factor(within_minutes integer) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.has_second_factor(within_minutes integer) TO anon;
GRANT ALL ON FUNCTION clerk.has_second_factor(within_minutes integer) TO authenticated;
GRANT ALL ON FUNCTION clerk.has_second_factor(within_minutes integer) TO service_role;


--
-- Name: FUNCTION is_impersonated(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.is_impersonated() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.is_impersonated() TO anon;
GRANT ALL ON FUNCTION clerk.is_impersonated() TO authenticated;
GRANT ALL ON FUNCTION clerk.is_impersonated() TO service_role;


--
-- Name: FUNCTION leaving_fellow_ids(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.leaving_fellow_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.leaving_fellow_ids() TO authenticated;


--
-- Name: FUNCTION my_fellow_ids(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.my_fellow_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.my_fellow_ids() TO anon;
GRANT ALL ON FUNCTION clerk.my_fellow_ids() TO authenticated;
GRANT ALL ON FUNCTION clerk.my_fellow_ids() TO service_role;


--
-- Name: FUNCTION my_org_ids(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.my_org_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.my_org_ids() TO anon;
GRANT ALL ON FUNCTION clerk.my_org_ids() TO authenticated;
GRANT ALL ON FUNCTION clerk.my_org_ids() TO service_role;


--
-- Name: FUNCTION my_org_ids_with_permission(permission text); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.my_org_ids_with_permission(permission text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.my_org_ids_with_permission(permission text) TO anon;
GRANT ALL ON FUNCTION clerk.my_org_ids_with_permission(permission text) TO authenticated;
GRANT ALL ON FUNCTION clerk.my_org_ids_with_permission(permission text) TO service_role;


--
-- Name: FUNCTION my_org_ids_with_role(roles text[]); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.my_org_ids_with_role(roles text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.my_org_ids_with_role(roles text[]) TO anon;
GRANT ALL ON FUNCTION clerk.my_org_ids_with_role(roles text[]) TO authenticated;
GRANT ALL ON FUNCTION clerk.my_org_ids_with_role(roles text[]) TO service_role;


--
-- Name: FUNCTION near_fellow_ids(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.near_fellow_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.near_fellow_ids() TO authenticated;


--
-- Name: FUNCTION org_id(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.org_id() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.org_id() TO anon;
GRANT ALL ON FUNCTION clerk.org_id() TO authenticated;
GRANT ALL ON FUNCTION clerk.org_id() TO service_role;


--
-- Name: FUNCTION org_permissions(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.org_permissions() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.org_permissions() TO anon;
GRANT ALL ON FUNCTION clerk.org_permissions() TO authenticated;
GRANT ALL ON FUNCTION clerk.org_permissions() TO service_role;


--
-- Name: FUNCTION org_role(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.org_role() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.org_role() TO anon;
GRANT ALL ON FUNCTION clerk.org_role() TO authenticated;
GRANT ALL ON FUNCTION clerk.org_role() TO service_role;


--
-- Name: FUNCTION session_is_active(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.session_is_active() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.session_is_active() TO anon;
GRANT ALL ON FUNCTION clerk.session_is_active() TO authenticated;
GRANT ALL ON FUNCTION clerk.session_is_active() TO service_role;


--
-- Name: FUNCTION user_id(); Type: ACL; Schema: clerk; Owner: -
--

REVOKE ALL ON FUNCTION clerk.user_id() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk.user_id() TO anon;
GRANT ALL ON FUNCTION clerk.user_id() TO authenticated;
GRANT ALL ON FUNCTION clerk.user_id() TO service_role;


--
-- Name: FUNCTION apply_checked_event(event jsonb, stated_ms bigint, OUT outcome text, OUT reason text, OUT detail text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_checked_event(event jsonb, stated_ms bigint, OUT outcome text, OUT reason text, OUT detail text) FROM PUBLIC;


--
-- Name: FUNCTION apply_event(svix_id text, event jsonb, expected_instance text, signed_with text, OUT outcome text, OUT reason text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_event(svix_id text, event jsonb, expected_instance text, signed_with text, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.apply_event(svix_id text, event jsonb, expected_instance text, signed_with text, OUT outcome text, OUT reason text) TO clerksync_writer;
GRANT ALL ON FUNCTION clerk_sync.apply_event(svix_id text, event jsonb, expected_instance text, signed_with text, OUT outcome text, OUT reason text) TO service_role;


--
-- Name: FUNCTION apply_event_text(svix_id text, body text, OUT outcome text, OUT reason text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_event_text(svix_id text, body text, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.apply_event_text(svix_id text, body text, OUT outcome text, OUT reason text) TO service_role;


--
-- Name: FUNCTION apply_events(svix_ids text[], events jsonb, expected_instances text[], signed_with text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_events(svix_ids text[], events jsonb, expected_instances text[], signed_with text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.apply_events(svix_ids text[], events jsonb, expected_instances text[], signed_with text[]) TO clerksync_writer;


--
-- Name: FUNCTION apply_memberships(resources jsonb, stated_ms bigint[], kinds text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_memberships(resources jsonb, stated_ms bigint[], kinds text[]) FROM PUBLIC;


--
-- Name: FUNCTION apply_objects(object text, resources jsonb, stated_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_objects(object text, resources jsonb, stated_ms bigint) FROM PUBLIC;


--
-- Name: FUNCTION apply_organizations(resources jsonb, stated_ms bigint[], kinds text[], class text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_organizations(resources jsonb, stated_ms bigint[], kinds text[], class text) FROM PUBLIC;


--
-- Name: FUNCTION apply_page(run bigint, holder text, phase text, pass integer, "position" integer, object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint, OUT created bigint, OUT updated bigint, OUT unchanged bigint, OUT stale bigint, OUT drift bigint, OUT deleted_here bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_page(run bigint, holder text, phase text, pass integer, "position" integer, object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint, OUT created bigint, OUT updated bigint, OUT unchanged bigint, OUT stale bigint, OUT drift bigint, OUT deleted_here bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.apply_page(run bigint, holder text, phase text, pass integer, "position" integer, object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint, OUT created bigint, OUT updated bigint, OUT unchanged bigint, OUT stale bigint, OUT drift bigint, OUT deleted_here bigint) TO clerksync_writer;


--
-- Name: FUNCTION apply_permissions(resources jsonb, stated_ms bigint[], kinds text[], class text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_permissions(resources jsonb, stated_ms bigint[], kinds text[], class text) FROM PUBLIC;


--
-- Name: FUNCTION apply_roles(resources jsonb, stated_ms bigint[], kinds text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_roles(resources jsonb, stated_ms bigint[], kinds text[]) FROM PUBLIC;


--
-- Name: FUNCTION apply_together(step text, events jsonb[], stated_ms bigint[], svix_ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_together(step text, events jsonb[], stated_ms bigint[], svix_ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION apply_users(resources jsonb, stated_ms bigint[], kinds text[], class text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.apply_users(resources jsonb, stated_ms bigint[], kinds text[], class text) FROM PUBLIC;


--
-- Name: FUNCTION audit_rows(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.audit_rows() FROM PUBLIC;


--
-- Name: FUNCTION audit_statement(target oid, action text, ignored text[], paired boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.audit_statement(target oid, action text, ignored text[], paired boolean) FROM PUBLIC;


--
-- Name: FUNCTION audit_table(target regclass, ignore text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.audit_table(target regclass, ignore text[]) FROM PUBLIC;


--
-- Name: FUNCTION audited_tables(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.audited_tables() FROM PUBLIC;


--
-- Name: FUNCTION begin_run(holder text, lease interval, instance text, trigger text, fresh boolean, accept_instance boolean, resume_within interval); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.begin_run(holder text, lease interval, instance text, trigger text, fresh boolean, accept_instance boolean, resume_within interval) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.begin_run(holder text, lease interval, instance text, trigger text, fresh boolean, accept_instance boolean, resume_within interval) TO clerksync_writer;


--
-- Name: FUNCTION check_event(event jsonb, expected_instance text, OUT outcome text, OUT reason text, OUT detail text, OUT stated_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.check_event(event jsonb, expected_instance text, OUT outcome text, OUT reason text, OUT detail text, OUT stated_ms bigint) FROM PUBLIC;


--
-- Name: FUNCTION check_lease(lease interval); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.check_lease(lease interval) FROM PUBLIC;


--
-- Name: FUNCTION children_of(users text[], organizations text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.children_of(users text[], organizations text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.children_of(users text[], organizations text[]) TO clerksync_writer;


--
-- Name: FUNCTION compare_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.compare_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint) FROM PUBLIC;


--
-- Name: FUNCTION copy_state(user_id text, org_id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.copy_state(user_id text, org_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.copy_state(user_id text, org_id text) TO clerksync_diagnostics;


--
-- Name: FUNCTION count_endings(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.count_endings() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.count_endings() TO clerksync_writer;


--
-- Name: FUNCTION count_events(OUT events jsonb, OUT estimated text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.count_events(OUT events jsonb, OUT estimated text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.count_events(OUT events jsonb, OUT estimated text[]) TO clerksync_writer;


--
-- Name: FUNCTION count_held_back(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.count_held_back() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.count_held_back() TO clerksync_writer;


--
-- Name: FUNCTION count_objects(object text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.count_objects(object text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.count_objects(object text) TO clerksync_writer;


--
-- Name: FUNCTION count_rows(relation regclass, condition text, most bigint, OUT rows bigint, OUT estimated boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.count_rows(relation regclass, condition text, most bigint, OUT rows bigint, OUT estimated boolean) FROM PUBLIC;


--
-- Name: FUNCTION count_window(run bigint, object text, phase text, pass integer, "position" integer, more jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.count_window(run bigint, object text, phase text, pass integer, "position" integer, more jsonb) FROM PUBLIC;


--
-- Name: FUNCTION creation(o clerk_sync.objects); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.creation(o clerk_sync.objects) FROM PUBLIC;


--
-- Name: FUNCTION delete_absent(run bigint, holder text, object text, most integer, OUT taken bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.delete_absent(run bigint, holder text, object text, most integer, OUT taken bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.delete_absent(run bigint, holder text, object text, most integer, OUT taken bigint) TO clerksync_writer;


--
-- Name: FUNCTION delete_objects(object text, ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.delete_objects(object text, ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) FROM PUBLIC;


--
-- Name: FUNCTION deletion(id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.deletion(id text) FROM PUBLIC;


--
-- Name: FUNCTION deletions(of text, most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.deletions(of text, most integer) FROM PUBLIC;


--
-- Name: FUNCTION dispatch_event(event jsonb, expected_instance text, OUT outcome text, OUT reason text, OUT detail text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.dispatch_event(event jsonb, expected_instance text, OUT outcome text, OUT reason text, OUT detail text) FROM PUBLIC;


--
-- Name: FUNCTION drop_deletion(id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.drop_deletion(id text) FROM PUBLIC;


--
-- Name: FUNCTION empty_payloads(object text, ids text[], most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.empty_payloads(object text, ids text[], most integer) FROM PUBLIC;


--
-- Name: FUNCTION end_children(object text, ids text[], times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.end_children(object text, ids text[], times timestamp with time zone[], inferred boolean) FROM PUBLIC;


--
-- Name: FUNCTION end_memberships(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.end_memberships(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.end_memberships(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) TO clerksync_writer;


--
-- Name: FUNCTION end_run(run bigint, holder text, state text, reason text, drift bigint, report jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.end_run(run bigint, holder text, state text, reason text, drift bigint, report jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.end_run(run bigint, holder text, state text, reason text, drift bigint, report jsonb) TO clerksync_writer;


--
-- Name: FUNCTION end_slice(one clerk_sync.endings, most integer, patient boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.end_slice(one clerk_sync.endings, most integer, patient boolean) FROM PUBLIC;


--
-- Name: FUNCTION end_some_memberships(most integer, patient boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.end_some_memberships(most integer, patient boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.end_some_memberships(most integer, patient boolean) TO clerksync_writer;


--
-- Name: FUNCTION event(svix_id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.event(svix_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.event(svix_id text) TO clerksync_writer;


--
-- Name: FUNCTION event_kind(type text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.event_kind(type text) FROM PUBLIC;


--
-- Name: FUNCTION event_payload(svix_id text, OUT payload jsonb, OUT raw_body bytea); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.event_payload(svix_id text, OUT payload jsonb, OUT raw_body bytea) FROM PUBLIC;


--
-- Name: FUNCTION event_record(svix_id text, event jsonb, outcome text, reason text, detail text, signed_with text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.event_record(svix_id text, event jsonb, outcome text, reason text, detail text, signed_with text) FROM PUBLIC;


--
-- Name: FUNCTION event_step(event jsonb, stated_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.event_step(event jsonb, stated_ms bigint) FROM PUBLIC;


--
-- Name: FUNCTION event_types(since timestamp with time zone); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.event_types(since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.event_types(since timestamp with time zone) TO clerksync_writer;


--
-- Name: FUNCTION events_since(place jsonb, most integer, only_outcome text, since timestamp with time zone, of_type text, of_object text, part text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.events_since(place jsonb, most integer, only_outcome text, since timestamp with time zone, of_type text, of_object text, part text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.events_since(place jsonb, most integer, only_outcome text, since timestamp with time zone, of_type text, of_object text, part text) TO clerksync_writer;


--
-- Name: FUNCTION expected_instance(accept_instance boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.expected_instance(accept_instance boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.expected_instance(accept_instance boolean) TO clerksync_writer;


--
-- Name: FUNCTION finish_window(run bigint, holder text, done jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.finish_window(run bigint, holder text, done jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.finish_window(run bigint, holder text, done jsonb) TO clerksync_writer;


--
-- Name: FUNCTION has_ended(membership text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.has_ended(membership text) FROM PUBLIC;


--
-- Name: FUNCTION hold_back(object text, ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.hold_back(object text, ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION holds_back(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.holds_back() FROM PUBLIC;


--
-- Name: FUNCTION id_of(value jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.id_of(value jsonb) FROM PUBLIC;


--
-- Name: FUNCTION ids_of(id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.ids_of(id text) FROM PUBLIC;


--
-- Name: FUNCTION ids_pattern(ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.ids_pattern(ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION ids_shown(body text, OUT user_id text, OUT organization_id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.ids_shown(body text, OUT user_id text, OUT organization_id text) FROM PUBLIC;


--
-- Name: FUNCTION incoming(resources jsonb, stated_ms bigint[], kinds text[], class text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.incoming(resources jsonb, stated_ms bigint[], kinds text[], class text) FROM PUBLIC;


--
-- Name: FUNCTION is_asked_for(e clerk_sync.webhook_events, of_type text, of_object text, part text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_asked_for(e clerk_sync.webhook_events, of_type text, of_object text, part text) FROM PUBLIC;


--
-- Name: FUNCTION is_deleted_here(stated jsonb, settled_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_deleted_here(stated jsonb, settled_ms bigint) FROM PUBLIC;


--
-- Name: FUNCTION is_drift(result text, before text, updated_ms bigint, settled_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_drift(result text, before text, updated_ms bigint, settled_ms bigint) FROM PUBLIC;


--
-- Name: FUNCTION is_gone(user_id text, organization_id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_gone(user_id text, organization_id text) FROM PUBLIC;


--
-- Name: FUNCTION is_live(object text, id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_live(object text, id text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.is_live(object text, id text) TO clerksync_writer;


--
-- Name: FUNCTION is_mirrored(type text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_mirrored(type text) FROM PUBLIC;


--
-- Name: FUNCTION is_plain(resource jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.is_plain(resource jsonb) FROM PUBLIC;


--
-- Name: FUNCTION keep_audit_log(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.keep_audit_log() FROM PUBLIC;


--
-- Name: FUNCTION keep_cuts(run bigint, holder text, cuts jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.keep_cuts(run bigint, holder text, cuts jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.keep_cuts(run bigint, holder text, cuts jsonb) TO clerksync_writer;


--
-- Name: FUNCTION keep_private_metadata(object text, ids text[], resources jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.keep_private_metadata(object text, ids text[], resources jsonb) FROM PUBLIC;


--
-- Name: FUNCTION keepable_payload(event jsonb, user_id text, organization_id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.keepable_payload(event jsonb, user_id text, organization_id text) FROM PUBLIC;


--
-- Name: FUNCTION keeps_private_metadata(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.keeps_private_metadata() FROM PUBLIC;


--
-- Name: FUNCTION known_gone(run bigint, object text, id text, organization_id text, user_id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.known_gone(run bigint, object text, id text, organization_id text, user_id text) FROM PUBLIC;


--
-- Name: FUNCTION last_event_at(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.last_event_at() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.last_event_at() TO clerksync_writer;


--
-- Name: FUNCTION last_runs(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.last_runs() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.last_runs() TO clerksync_writer;


--
-- Name: FUNCTION live_memberships(object text, id text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.live_memberships(object text, id text) FROM PUBLIC;


--
-- Name: FUNCTION masked(value jsonb, name text, depth integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.masked(value jsonb, name text, depth integer) FROM PUBLIC;


--
-- Name: FUNCTION memberships_left(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.memberships_left() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.memberships_left() TO clerksync_writer;


--
-- Name: FUNCTION migrated(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.migrated() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.migrated() TO clerksync_writer;


--
-- Name: FUNCTION misshapen(resource jsonb, texts text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.misshapen(resource jsonb, texts text[]) FROM PUBLIC;


--
-- Name: FUNCTION names_parents(membership jsonb); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.names_parents(membership jsonb) FROM PUBLIC;


--
-- Name: FUNCTION note_absences(run bigint, holder text, object text, ids text[], confirmed_at timestamp with time zone); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.note_absences(run bigint, holder text, object text, ids text[], confirmed_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.note_absences(run bigint, holder text, object text, ids text[], confirmed_at timestamp with time zone) TO clerksync_writer;


--
-- Name: FUNCTION note_repeated(svix_ids text[], signed_with text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.note_repeated(svix_ids text[], signed_with text[]) FROM PUBLIC;


--
-- Name: FUNCTION object(name text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.object(name text) FROM PUBLIC;


--
-- Name: FUNCTION offer_parents(resources jsonb, stated_ms bigint[], kinds text[], ended boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.offer_parents(resources jsonb, stated_ms bigint[], kinds text[], ended boolean) FROM PUBLIC;


--
-- Name: FUNCTION parent_column(parent text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.parent_column(parent text) FROM PUBLIC;


--
-- Name: FUNCTION pending_deletions(run bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.pending_deletions(run bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.pending_deletions(run bigint) TO clerksync_writer;


--
-- Name: FUNCTION pending_objects(run bigint, object text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.pending_objects(run bigint, object text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.pending_objects(run bigint, object text) TO clerksync_writer;


--
-- Name: FUNCTION plan_windows(run bigint, holder text, spans jsonb, object text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.plan_windows(run bigint, holder text, spans jsonb, object text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.plan_windows(run bigint, holder text, spans jsonb, object text) TO clerksync_writer;


--
-- Name: FUNCTION preview_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.preview_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.preview_page(object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint) TO clerksync_writer;


--
-- Name: FUNCTION project_rows(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.project_rows() FROM PUBLIC;


--
-- Name: FUNCTION project_users(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.project_users() FROM PUBLIC;


--
-- Name: FUNCTION purge(most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.purge(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.purge(most integer) TO clerksync_writer;


--
-- Name: FUNCTION purge_tombstones(object text, before timestamp with time zone, most integer, OUT purged bigint, OUT held bigint, OUT more boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.purge_tombstones(object text, before timestamp with time zone, most integer, OUT purged bigint, OUT held bigint, OUT more boolean) FROM PUBLIC;


--
-- Name: FUNCTION range_left(since timestamp with time zone, before timestamp with time zone); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.range_left(since timestamp with time zone, before timestamp with time zone) FROM PUBLIC;


--
-- Name: TABLE audit_log; Type: ACL; Schema: clerk_sync; Owner: -
--

GRANT SELECT ON TABLE clerk_sync.audit_log TO service_role;


--
-- Name: FUNCTION recent_audit(table_schema text, table_name text, row_id text, user_id text, before bigint, most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.recent_audit(table_schema text, table_name text, row_id text, user_id text, before bigint, most integer) FROM PUBLIC;


--
-- Name: FUNCTION recent_events(only_outcome text, before timestamp with time zone, most integer, behind text, since timestamp with time zone, of_type text, of_object text, part text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.recent_events(only_outcome text, before timestamp with time zone, most integer, behind text, since timestamp with time zone, of_type text, of_object text, part text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.recent_events(only_outcome text, before timestamp with time zone, most integer, behind text, since timestamp with time zone, of_type text, of_object text, part text) TO clerksync_writer;


--
-- Name: FUNCTION recent_runs(most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.recent_runs(most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.recent_runs(most integer) TO clerksync_writer;


--
-- Name: FUNCTION redact(ids text[], most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.redact(ids text[], most integer) FROM PUBLIC;


--
-- Name: FUNCTION redact_range(since timestamp with time zone, before timestamp with time zone, most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.redact_range(since timestamp with time zone, before timestamp with time zone, most integer) FROM PUBLIC;


--
-- Name: FUNCTION redacted(e clerk_sync.webhook_events, ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.redacted(e clerk_sync.webhook_events, ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION redacts(was clerk_sync.audit_log, becomes clerk_sync.audit_log); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.redacts(was clerk_sync.audit_log, becomes clerk_sync.audit_log) FROM PUBLIC;


--
-- Name: FUNCTION referred_to(object text, ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.referred_to(object text, ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION refused_by(state text, "constraint" text, schema text, "table" text, "column" text, context text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.refused_by(state text, "constraint" text, schema text, "table" text, "column" text, context text) FROM PUBLIC;


--
-- Name: FUNCTION reject_event(svix_id text, body bytea, why text, signed_with text, OUT outcome text, OUT reason text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.reject_event(svix_id text, body bytea, why text, signed_with text, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.reject_event(svix_id text, body bytea, why text, signed_with text, OUT outcome text, OUT reason text) TO clerksync_writer;


--
-- Name: FUNCTION release_held(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.release_held() FROM PUBLIC;


--
-- Name: FUNCTION renew_run(run bigint, holder text, lease interval); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.renew_run(run bigint, holder text, lease interval) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.renew_run(run bigint, holder text, lease interval) TO clerksync_writer;


--
-- Name: FUNCTION replay_event(svix_id text, OUT outcome text, OUT reason text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.replay_event(svix_id text, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.replay_event(svix_id text, OUT outcome text, OUT reason text) TO clerksync_writer;


--
-- Name: FUNCTION request_claims(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.request_claims() FROM PUBLIC;


--
-- Name: FUNCTION require_lock(run bigint, holder text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.require_lock(run bigint, holder text) FROM PUBLIC;


--
-- Name: FUNCTION revives(stored text, stated text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.revives(stored text, stated text) FROM PUBLIC;


--
-- Name: FUNCTION run_windows(run bigint); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.run_windows(run bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.run_windows(run bigint) TO clerksync_writer;


--
-- Name: FUNCTION schemas(OUT exposed text, OUT helpers text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.schemas(OUT exposed text, OUT helpers text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.schemas(OUT exposed text, OUT helpers text) TO clerksync_writer;
GRANT ALL ON FUNCTION clerk_sync.schemas(OUT exposed text, OUT helpers text) TO clerksync_diagnostics;


--
-- Name: FUNCTION signatures(since timestamp with time zone); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.signatures(since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.signatures(since timestamp with time zone) TO clerksync_writer;


--
-- Name: FUNCTION stated_rows(object text, ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.stated_rows(object text, ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION status(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.status() FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.status() TO clerksync_writer;


--
-- Name: FUNCTION storable(body text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.storable(body text) FROM PUBLIC;


--
-- Name: FUNCTION suspects(run bigint, object text, from_ms bigint, to_ms bigint, ids text[], most integer, after text, through text, behind_at timestamp with time zone); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.suspects(run bigint, object text, from_ms bigint, to_ms bigint, ids text[], most integer, after text, through text, behind_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.suspects(run bigint, object text, from_ms bigint, to_ms bigint, ids text[], most integer, after text, through text, behind_at timestamp with time zone) TO clerksync_writer;


--
-- Name: FUNCTION tombstone_memberships(resources jsonb, stated_ms bigint[], kinds text[], deleted_at timestamp with time zone[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.tombstone_memberships(resources jsonb, stated_ms bigint[], kinds text[], deleted_at timestamp with time zone[]) FROM PUBLIC;


--
-- Name: FUNCTION tombstone_organizations(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.tombstone_organizations(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.tombstone_organizations(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) TO clerksync_writer;


--
-- Name: FUNCTION tombstone_permissions(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.tombstone_permissions(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) FROM PUBLIC;


--
-- Name: FUNCTION tombstone_roles(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.tombstone_roles(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) FROM PUBLIC;


--
-- Name: FUNCTION tombstone_users(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.tombstone_users(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.tombstone_users(ids text[], deleted_at timestamp with time zone, times timestamp with time zone[], inferred boolean) TO clerksync_writer;


--
-- Name: FUNCTION tombstone_version(at timestamp with time zone, inferred boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.tombstone_version(at timestamp with time zone, inferred boolean) FROM PUBLIC;


--
-- Name: FUNCTION traces(ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.traces(ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION try_event(svix_id text, OUT outcome text, OUT reason text); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.try_event(svix_id text, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.try_event(svix_id text, OUT outcome text, OUT reason text) TO clerksync_writer;


--
-- Name: FUNCTION unaudit_table(target regclass); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.unaudit_table(target regclass) FROM PUBLIC;


--
-- Name: FUNCTION undated(object text, settled timestamp with time zone, after text, most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.undated(object text, settled timestamp with time zone, after text, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.undated(object text, settled timestamp with time zone, after text, most integer) TO clerksync_writer;


--
-- Name: FUNCTION unknown_memberships(ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.unknown_memberships(ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION unproject_users(); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.unproject_users() FROM PUBLIC;


--
-- Name: FUNCTION verdict(stored text, written_at timestamp with time zone, mark clerk_sync.watermarks, stated text, kind text, same boolean); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.verdict(stored text, written_at timestamp with time zone, mark clerk_sync.watermarks, stated text, kind text, same boolean) FROM PUBLIC;


--
-- Name: FUNCTION versions(object text, ids text[]); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.versions(object text, ids text[]) FROM PUBLIC;


--
-- Name: FUNCTION whose(o clerk_sync.objects); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.whose(o clerk_sync.objects) FROM PUBLIC;


--
-- Name: FUNCTION without_private_metadata(value json, depth integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.without_private_metadata(value json, depth integer) FROM PUBLIC;


--
-- Name: FUNCTION witnesses(run bigint, object text, listed text[], from_ms bigint, to_ms bigint, most integer); Type: ACL; Schema: clerk_sync; Owner: -
--

REVOKE ALL ON FUNCTION clerk_sync.witnesses(run bigint, object text, listed text[], from_ms bigint, to_ms bigint, most integer) FROM PUBLIC;
GRANT ALL ON FUNCTION clerk_sync.witnesses(run bigint, object text, listed text[], from_ms bigint, to_ms bigint, most integer) TO clerksync_writer;


--
-- Name: FUNCTION apply_clerk_event(svix_id text, event jsonb, OUT outcome text, OUT reason text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.apply_clerk_event(svix_id text, event jsonb, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.apply_clerk_event(svix_id text, event jsonb, OUT outcome text, OUT reason text) TO service_role;


--
-- Name: FUNCTION apply_clerk_event_text(svix_id text, body text, OUT outcome text, OUT reason text); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.apply_clerk_event_text(svix_id text, body text, OUT outcome text, OUT reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.apply_clerk_event_text(svix_id text, body text, OUT outcome text, OUT reason text) TO service_role;


--
-- Name: FUNCTION ensure_user(); Type: ACL; Schema: public; Owner: -
--

REVOKE ALL ON FUNCTION public.ensure_user() FROM PUBLIC;
GRANT ALL ON FUNCTION public.ensure_user() TO authenticated;


--
-- Name: TABLE organization_memberships; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.organization_memberships TO authenticated;
GRANT SELECT ON TABLE public.organization_memberships TO service_role;


--
-- Name: TABLE fellows; Type: ACL; Schema: clerk; Owner: -
--

GRANT SELECT ON TABLE clerk.fellows TO authenticated;


--
-- Name: TABLE fellows_by_user; Type: ACL; Schema: clerk; Owner: -
--

GRANT SELECT ON TABLE clerk.fellows_by_user TO authenticated;


--
-- Name: TABLE organization_permissions; Type: ACL; Schema: clerk; Owner: -
--

GRANT SELECT ON TABLE clerk.organization_permissions TO service_role;


--
-- Name: TABLE organization_roles; Type: ACL; Schema: clerk; Owner: -
--

GRANT SELECT ON TABLE clerk.organization_roles TO service_role;


--
-- Name: TABLE role_permissions; Type: ACL; Schema: clerk; Owner: -
--

GRANT SELECT ON TABLE clerk.role_permissions TO service_role;


--
-- Name: TABLE organizations; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.organizations TO authenticated;
GRANT SELECT ON TABLE public.organizations TO service_role;


--
-- Name: TABLE users; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.users TO authenticated;
GRANT SELECT ON TABLE public.users TO service_role;


--
-- Name: COLUMN users.clerk_id; Type: ACL; Schema: public; Owner: -
--

GRANT INSERT(clerk_id) ON TABLE public.users TO authenticated;


--
-- Name: TABLE users_public; Type: ACL; Schema: public; Owner: -
--

GRANT SELECT ON TABLE public.users_public TO authenticated;
GRANT SELECT ON TABLE public.users_public TO service_role;


--
-- PostgreSQL database dump complete
--

\unrestrict clerksync

