-- Who may read the copy. Helpers read the claims that PostgREST, Realtime and
-- Storage set for a request, in the shapes of session token version 2 (o.id,
-- o.rol) and version 1 (org_id, org_role). They return null for a claim that is
-- not there, and null equals nothing: every policy fails closed.

create function clerk.claims() returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- A setting made local to an earlier transaction reads back as '', not null.
  select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

create function clerk.user_id() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')
$$;

create function clerk.org_id() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  select nullif(coalesce(c.claims -> 'o' ->> 'id', c.claims ->> 'org_id'), '')
  from (select clerk.claims() as claims) as c
$$;

create function clerk.org_role() returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
  -- Version 2 tokens leave the prefix out; the mirrored memberships keep it.
  select case when r.role = '' then null
              when r.role like 'org:%' then r.role
              else 'org:' || r.role end
  from (select coalesce(c.claims -> 'o' ->> 'rol', c.claims ->> 'org_role') as role
        from (select clerk.claims() as claims) as c) as r
$$;

create function clerk.my_org_ids() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select m.clerk_org_id
  from {{exposed}}.organization_memberships as m
  where m.clerk_user_id = clerk.user_id()
    and m.deleted_at is null
$$;

create function clerk.my_fellow_ids() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select clerk.user_id()
  union
  select fellow.clerk_user_id
  from {{exposed}}.organization_memberships as mine
  join {{exposed}}.organization_memberships as fellow using (clerk_org_id)
  where mine.clerk_user_id = clerk.user_id()
    and mine.deleted_at is null
    and fellow.deleted_at is null
$$;

comment on function clerk.user_id() is 'Clerk id of the caller, from the verified token; null if there is none.';
comment on function clerk.org_id() is 'The organization that is active in the caller''s token; null if there is none.';
comment on function clerk.org_role() is 'The caller''s role in the active organization, always with its "org:" prefix.';
comment on function clerk.my_org_ids() is
  'Every organization the caller belongs to, from the copy: a removed member loses access at once.';
comment on function clerk.my_fellow_ids() is 'The caller and everybody who shares an organization with the caller.';

revoke execute on function
  clerk.claims(), clerk.user_id(), clerk.org_id(), clerk.org_role(), clerk.my_org_ids(), clerk.my_fellow_ids()
from public;
grant execute on function
  clerk.claims(), clerk.user_id(), clerk.org_id(), clerk.org_role(), clerk.my_org_ids(), clerk.my_fellow_ids()
to anon, authenticated, service_role;

-- "= any (array(select …))" is evaluated once and uses the index; "in (select …)"
-- and a call per row do not.
create policy users_read_own on {{exposed}}.users
  for select to authenticated
  using (clerk_id = (select clerk.user_id()));

create policy users_public_read_fellows on {{exposed}}.users_public
  for select to authenticated
  using (clerk_id = any (array(select clerk.my_fellow_ids())));

create policy organizations_read_own on {{exposed}}.organizations
  for select to authenticated
  using (clerk_org_id = any (array(select clerk.my_org_ids())));

create policy organization_memberships_read_fellows on {{exposed}}.organization_memberships
  for select to authenticated
  using (clerk_org_id = any (array(select clerk.my_org_ids())) and deleted_at is null);
