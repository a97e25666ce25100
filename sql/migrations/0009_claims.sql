-- What further policies ask of a token and of the copy. As in the helpers before
-- them, a claim that is absent or of another shape than Clerk's counts against
-- the caller.

create function clerk.session_is_active() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- A pending session (an organization still to be chosen, say) has a valid
  -- token all the same. Tokens without the claim are older than pending sessions.
  select clerk.user_id() is not null
     and coalesce(clerk.claims() ->> 'sts', 'active') = 'active'
$$;

create function clerk.has_second_factor(within_minutes integer default null) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- fva holds the minutes since the first and the second factor; -1 is never.
  select case
    when jsonb_typeof(f.fva) = 'array' and f.fva ->> 1 ~ '^[0-9]{1,9}$'
    then within_minutes is null or (f.fva ->> 1)::integer <= within_minutes
    else false
  end
  from (select clerk.claims() -> 'fva' as fva) as f
$$;

create function clerk.is_impersonated() returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_typeof(clerk.claims() -> 'act') <> 'null', false)
$$;

create function clerk.claim(path text[]) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select nullif(clerk.claims() #>> path, '')
$$;

create function clerk.claim_values(path text[]) returns text[]
language sql stable set search_path = pg_catalog, pg_temp as $$
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

-- Version 2 tokens carry permissions as numbers: fea lists features, fpm a mask
-- for each, per the permissions that the bits stand for. Clerk's own libraries
-- disagree about which mask belongs to which feature once features of the user
-- stand among those of the organization (Go counts all entries, JavaScript those
-- of the organization), and about bits that per does not name. What counts here
-- is what both would grant.
create function clerk.org_permissions() returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
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
$$;

create function clerk.has_org_permission(permission text) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from clerk.org_permissions() as p where p = permission)
$$;

create function clerk.my_org_ids_with_role(roles text[]) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select m.clerk_org_id
  from {{exposed}}.organization_memberships as m
  where m.clerk_user_id = clerk.user_id()
    and m.deleted_at is null
    and m.role = any (roles)
$$;

create function clerk.my_org_ids_with_permission(permission text) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select m.clerk_org_id
  from {{exposed}}.organization_memberships as m
  where m.clerk_user_id = clerk.user_id()
    and m.deleted_at is null
    -- What the role grants now, not what it granted when the membership last
    -- changed; that is all there is while the role itself is not known.
    and case
      when exists (select from clerk.organization_roles as r where r.key = m.role and r.deleted_at is null)
      then exists (select from clerk.role_permissions as g
                   where g.role = m.role and g.permission = my_org_ids_with_permission.permission)
      else my_org_ids_with_permission.permission = any (m.permissions)
    end
$$;

comment on function clerk.session_is_active() is 'The caller is a user and has no session task left to do.';
comment on function clerk.has_second_factor(integer) is
  'The session passed a second factor, at most so many minutes before the token was made.';
comment on function clerk.is_impersonated() is 'Somebody else acts as the caller.';
comment on function clerk.claim(text[]) is 'Any claim, as text. Trust only what a user cannot edit.';
comment on function clerk.claim_values(text[]) is 'Any claim as a list: of one text, or of the texts of an array.';
comment on function clerk.org_permissions() is 'What the token grants in its active organization, such as "org:invoices:manage".';
comment on function clerk.has_org_permission(text) is 'The token grants this in its active organization.';
comment on function clerk.my_org_ids_with_role(text[]) is 'The organizations where the caller has one of these roles now, from the copy.';
comment on function clerk.my_org_ids_with_permission(text) is 'The organizations where the caller''s role grants this now, from the copy.';

revoke execute on function
  clerk.session_is_active(), clerk.has_second_factor(integer), clerk.is_impersonated(), clerk.claim(text[]),
  clerk.claim_values(text[]), clerk.org_permissions(), clerk.has_org_permission(text),
  clerk.my_org_ids_with_role(text[]), clerk.my_org_ids_with_permission(text)
from public;
grant execute on function
  clerk.session_is_active(), clerk.has_second_factor(integer), clerk.is_impersonated(), clerk.claim(text[]),
  clerk.claim_values(text[]), clerk.org_permissions(), clerk.has_org_permission(text),
  clerk.my_org_ids_with_role(text[]), clerk.my_org_ids_with_permission(text)
to anon, authenticated, service_role;
