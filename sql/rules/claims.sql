-- Who may read the copy. Helpers read the claims that PostgREST, Realtime and
-- Storage set for a request, in the shapes of session token version 2 (o.id,
-- o.rol) and version 1 (org_id, org_role). They return null for a claim that is
-- not there, and null equals nothing: every policy fails closed.
create or replace function {{helpers}}.claims() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- A setting made local to an earlier transaction reads back as '', not null.
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

-- In plpgsql, which keeps its plans: a function in SQL is planned in every query, and
-- every policy and every other function asks this one.
create or replace function {{helpers}}.user_id() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '');
end
$$;

comment on function {{helpers}}.user_id() is 'Clerk id of the caller, from the verified token; null if there is none.';

create or replace function {{helpers}}.org_id() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select nullif(coalesce(c.claims -> 'o' ->> 'id', c.claims ->> 'org_id'), '')
  from (select {{helpers}}.claims() as claims) as c
$$;

comment on function {{helpers}}.org_id() is 'The organization that is active in the caller''s token; null if there is none.';

create or replace function {{helpers}}.org_role() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- Version 2 tokens leave the prefix out; the mirrored memberships keep it.
  select case when r.role = '' then null
              when r.role like 'org:%' then r.role
              else 'org:' || r.role end
  from (select coalesce(c.claims -> 'o' ->> 'rol', c.claims ->> 'org_role') as role
        from (select {{helpers}}.claims() as claims) as c) as r
$$;

comment on function {{helpers}}.org_role() is 'The caller''s role in the active organization, always with its "org:" prefix.';

-- Who or what is deleted gives nothing at once, however long its memberships take
-- to be ended.
create or replace function {{helpers}}.my_org_ids() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select m.clerk_org_id
  from {{exposed}}.organization_memberships as m
  join {{exposed}}.organizations as o using (clerk_org_id)
  join {{exposed}}.users as u on u.clerk_id = m.clerk_user_id
  where m.clerk_user_id = {{helpers}}.user_id()
    and m.deleted_at is null
    and o.deleted_at is null
    and u.deleted_at is null;
end
$$;

comment on function {{helpers}}.my_org_ids() is
  'Every organization the caller belongs to, from the copy: a removed member loses access at once.';

create or replace function {{helpers}}.my_fellow_ids() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select {{helpers}}.user_id()
  union
  select m.clerk_user_id
  from {{exposed}}.organization_memberships as m
  where m.clerk_org_id = any (array(select {{helpers}}.my_org_ids()))
    and m.deleted_at is null
$$;

comment on function {{helpers}}.my_fellow_ids() is
  'The caller and everybody who shares an organization with the caller. Lists them all, whatever is asked for: fit for some thousands.';

-- The policy of users_public. A list of fellows is the best way to a few rows of many,
-- and hopeless where there are many fellows: then the table is walked by its key, from
-- first_fellow on, with a look at each row. So near_fellow_ids lists up to 1,500 fellows,
-- crowd_from opens the walk beyond, and fellows_by says how it looks at a row. Both count
-- as far as that and no further, and by index whatever the planner expects.
create or replace function {{helpers}}.near_fellow_ids() returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  ids constant text[] := array(
    select m.clerk_user_id
    from {{exposed}}.organization_memberships as m
    where m.clerk_org_id = any (array(select {{helpers}}.my_org_ids()))
      and m.deleted_at is null
    limit 1501);
begin
  return {{helpers}}.user_id() || case when cardinality(ids) <= 1500 then ids else '{}' end;
end
$$;

comment on function {{helpers}}.near_fellow_ids() is 'The caller, and all fellows of the caller while these are few.';

create or replace function {{helpers}}.crowd_from() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  return (
    select ''
    from {{exposed}}.organization_memberships as m
    -- Organizations that are deleted may count: more is looked at then, not shown.
    where m.clerk_org_id = any (array(
        select mine.clerk_org_id
        from {{exposed}}.organization_memberships as mine
        where mine.clerk_user_id = {{helpers}}.user_id()
          and mine.deleted_at is null))
      and m.deleted_at is null
    offset 1500 limit 1);
end
$$;

comment on function {{helpers}}.crowd_from() is
  'Below all ids if the caller has many fellows, who are looked for row by row; otherwise null, which is nowhere.';

create or replace function {{helpers}}.crowd_to() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (select max(p.clerk_id) from {{exposed}}.users_public as p);
end
$$;

comment on function {{helpers}}.crowd_to() is 'Where looking for fellows row by row ends: at the last id.';

create or replace function {{helpers}}.first_fellow() returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  return (
    select least({{helpers}}.user_id(), min(first.clerk_user_id))
    from {{exposed}}.organization_memberships as mine
    cross join lateral (
      select m.clerk_user_id
      from {{exposed}}.organization_memberships as m
      where m.clerk_org_id = mine.clerk_org_id
        and m.deleted_at is null
      -- As the index has it.
      order by m.deleted_at, m.clerk_user_id
      limit 1) as first
    where mine.clerk_user_id = {{helpers}}.user_id()
      and mine.deleted_at is null);
end
$$;

comment on function {{helpers}}.first_fellow() is 'The least id among the caller and all fellows; one of a deleted organization may be less.';

-- The cost is what matters: as the bound of an index it is asked for once, as a condition
-- of every row it makes the planner shun whatever would ask it for many.
create or replace function {{helpers}}.by_key(id text) returns text
language plpgsql immutable parallel safe cost 10000 set search_path = pg_catalog, pg_temp as $$
begin
  return id;
end
$$;

comment on function {{helpers}}.by_key(text) is 'The id itself, so dear that the planner compares with it by an index.';

-- A hash of all fellows costs half a microsecond for each of them before the first row is
-- shown, and passes over a stranger in a third of one; a look at a row takes four. Where
-- fellows are one user in thirty a page is full before a hash of ten thousand would be.
create or replace function {{helpers}}.fellows_by() returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- Counting them would cost as much as hashing them. What the last analyze saw is good
  -- enough to choose by; an organization that it did not see among the largest is none.
  return case when exists (
      select
      from pg_stats as s
      cross join lateral unnest(s.most_common_vals::text::text[], s.most_common_freqs) as large (clerk_org_id, share)
      where s.schemaname = {{exposed_literal}} and s.tablename = 'organization_memberships' and s.attname = 'clerk_org_id'
        and large.share * (select c.reltuples from pg_class as c where c.oid = '{{exposed}}.organization_memberships'::regclass)
          > (select c.reltuples / 30 from pg_class as c where c.oid = '{{exposed}}.users_public'::regclass)
        and exists (
          select
          from {{exposed}}.organization_memberships as m
          where m.clerk_user_id = {{helpers}}.user_id()
            and m.deleted_at is null
            and m.clerk_org_id = large.clerk_org_id))
    then 'row' else 'hash' end;
end
$$;

comment on function {{helpers}}.fellows_by() is
  'How the policy of users_public finds many fellows: by a hash of all of them, or by a look at each row.';

-- A deletion of many memberships ends them in steps, and a user's tombstone says at once
-- what they will say. Of fellows of the caller only: the rest are not the caller's to know.
create or replace function {{helpers}}.leaving_fellow_ids() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from clerk_sync.endings as e where e.object = 'user') then
    return query
    select e.object_id
    from clerk_sync.endings as e
    where e.object = 'user'
      -- One who was only inferred to be gone may be back before all have ended.
      and not exists (select from {{exposed}}.users as u where u.clerk_id = e.object_id and u.deleted_at is null)
      and exists (
        select from {{exposed}}.organization_memberships as m
        where m.clerk_user_id = e.object_id
          and m.clerk_org_id = any (array(select {{helpers}}.my_org_ids()))
          and m.deleted_at is null);
  end if;
end
$$;

comment on function {{helpers}}.leaving_fellow_ids() is
  'Deleted users whose memberships in the caller''s organizations are still being ended.';

-- What further policies ask of a token and of the copy. As in the helpers before
-- them, a claim that is absent or of another shape than Clerk's counts against
-- the caller.
create or replace function {{helpers}}.session_is_active() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- A pending session (an organization still to be chosen, say) has a valid
  -- token all the same. Tokens without the claim are older than pending sessions.
  select {{helpers}}.user_id() is not null
     and coalesce({{helpers}}.claims() ->> 'sts', 'active') = 'active'
$$;

comment on function {{helpers}}.session_is_active() is 'The caller is a user and has no session task left to do.';

create or replace function {{helpers}}.has_second_factor(within_minutes integer default null) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- fva holds the minutes since the first and the second factor; -1 is never.
  select case
    when jsonb_typeof(f.fva) = 'array' and f.fva ->> 1 ~ '^[0-9]{1,9}$'
    then within_minutes is null or (f.fva ->> 1)::integer <= within_minutes
    else false
  end
  from (select {{helpers}}.claims() -> 'fva' as fva) as f
$$;

comment on function {{helpers}}.has_second_factor(integer) is
  'The session passed a second factor, at most so many minutes before the token was made.';

create or replace function {{helpers}}.is_impersonated() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_typeof({{helpers}}.claims() -> 'act') <> 'null', false)
$$;

comment on function {{helpers}}.is_impersonated() is 'Another person acts as the caller.';

create or replace function {{helpers}}.claim(path text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select nullif({{helpers}}.claims() #>> path, '')
$$;

comment on function {{helpers}}.claim(text[]) is 'Any claim, as text. Trust only what a user cannot edit.';

create or replace function {{helpers}}.claim_values(path text[]) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
  select array(
    select v
    from jsonb_array_elements_text(case jsonb_typeof(c.claim)
      when 'array' then c.claim
      when 'string' then jsonb_build_array(c.claim)
      else '[]'
    end) as v
    where v <> '')
  from (select {{helpers}}.claims() #> path as claim) as c
$$;

comment on function {{helpers}}.claim_values(text[]) is 'Any claim as a list: of one text, or of the texts of an array.';

-- Version 2 tokens carry permissions as numbers: fea lists features, fpm a mask
-- for each, per the permissions that the bits stand for. Clerk's own libraries
-- disagree about which mask belongs to which feature once features of the user
-- stand among those of the organization (Go counts all entries, JavaScript those
-- of the organization), and about bits that per does not name. What counts here
-- is what both would grant.
create or replace function {{helpers}}.org_permissions() returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
  with token as materialized (
    select {{helpers}}.claims() as claims
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
$$;

comment on function {{helpers}}.org_permissions() is 'What the token grants in its active organization, such as "org:invoices:manage".';

create or replace function {{helpers}}.has_org_permission(permission text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from {{helpers}}.org_permissions() as p where p = permission)
$$;

comment on function {{helpers}}.has_org_permission(text) is 'The token grants this in its active organization.';

-- Clerk's older roles have no prefix ("admin", "basic_member"). The copy keeps what
-- Clerk says; a comparison treats both forms as one, as org_role() does.
create or replace function {{helpers}}.my_org_ids_with_role(roles text[]) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select m.clerk_org_id
  from {{exposed}}.organization_memberships as m
  join {{exposed}}.organizations as o using (clerk_org_id)
  join {{exposed}}.users as u on u.clerk_id = m.clerk_user_id
  where m.clerk_user_id = {{helpers}}.user_id()
    and m.deleted_at is null
    and o.deleted_at is null
    and u.deleted_at is null
    and regexp_replace(m.role, '^(org:)?', 'org:') = any (
      array(select regexp_replace(r, '^(org:)?', 'org:') from unnest(my_org_ids_with_role.roles) as r where r <> ''));
end
$$;

comment on function {{helpers}}.my_org_ids_with_role(text[]) is
  'The organizations where the caller has one of these roles now, from the copy; with or without "org:".';

create or replace function {{helpers}}.my_org_ids_with_permission(permission text) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select m.clerk_org_id
  from {{exposed}}.organization_memberships as m
  join {{exposed}}.organizations as o using (clerk_org_id)
  join {{exposed}}.users as u on u.clerk_id = m.clerk_user_id
  -- The index on the key is of use for both forms.
  cross join lateral (
    select array[regexp_replace(m.role, '^org:', ''), regexp_replace(m.role, '^(org:)?', 'org:')] as keys) as role
  where m.clerk_user_id = {{helpers}}.user_id()
    and m.deleted_at is null
    and o.deleted_at is null
    and u.deleted_at is null
    -- What the role grants now, not what it granted when the membership last
    -- changed; that is all there is while the role itself is not known.
    and case
      when exists (select from {{helpers}}.organization_roles as r where r.key = any (role.keys) and r.deleted_at is null)
      then exists (select from {{helpers}}.role_permissions as g
                   where g.role = any (role.keys) and g.permission = my_org_ids_with_permission.permission)
      else my_org_ids_with_permission.permission = any (m.permissions)
    end;
end
$$;

comment on function {{helpers}}.my_org_ids_with_permission(text) is 'The organizations where the caller''s role grants this now, from the copy.';

revoke execute on function
  {{helpers}}.claims(), {{helpers}}.user_id(), {{helpers}}.org_id(), {{helpers}}.org_role(),
  {{helpers}}.my_org_ids(), {{helpers}}.my_fellow_ids(), {{helpers}}.near_fellow_ids(),
  {{helpers}}.crowd_from(), {{helpers}}.crowd_to(), {{helpers}}.first_fellow(), {{helpers}}.by_key(text), {{helpers}}.fellows_by(), {{helpers}}.leaving_fellow_ids(), {{helpers}}.session_is_active(),
  {{helpers}}.has_second_factor(integer), {{helpers}}.is_impersonated(), {{helpers}}.claim(text[]),
  {{helpers}}.claim_values(text[]), {{helpers}}.org_permissions(), {{helpers}}.has_org_permission(text),
  {{helpers}}.my_org_ids_with_role(text[]), {{helpers}}.my_org_ids_with_permission(text)
from public, anon, authenticated, service_role;
grant execute on function
  {{helpers}}.claims(), {{helpers}}.user_id(), {{helpers}}.org_id(), {{helpers}}.org_role(),
  {{helpers}}.my_org_ids(), {{helpers}}.my_fellow_ids(), {{helpers}}.session_is_active(),
  {{helpers}}.has_second_factor(integer), {{helpers}}.is_impersonated(), {{helpers}}.claim(text[]),
  {{helpers}}.claim_values(text[]), {{helpers}}.org_permissions(), {{helpers}}.has_org_permission(text),
  {{helpers}}.my_org_ids_with_role(text[]), {{helpers}}.my_org_ids_with_permission(text)
to anon, authenticated, service_role;
-- Only policies of the copy ask these, for no other role; crowd_to and first_fellow show an id.
grant execute on function
  {{helpers}}.near_fellow_ids(), {{helpers}}.crowd_from(), {{helpers}}.crowd_to(), {{helpers}}.first_fellow(), {{helpers}}.by_key(text), {{helpers}}.fellows_by(), {{helpers}}.leaving_fellow_ids()
to authenticated;
