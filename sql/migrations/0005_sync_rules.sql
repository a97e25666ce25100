-- The sync rules, set-based: one statement for one event and for a page of five
-- hundred alike. Every apply_… function takes resources as Clerk states them and
-- answers, for each id:
--
--   created, updated   the copy now says what was stated
--   unchanged          it said so already
--   stale              it knows something newer
--   deleted            the object is gone, which is final
--
-- resources, stated_ms and kinds go together by position; a list of one is valid
-- for all resources. Kinds are those of sync_version (0002).
--
-- Locks are taken in one order, users, organizations, memberships, each by id, so
-- that no two calls can wait for each other. Deleting a parent takes its row "for
-- update" and writing a membership takes it "for key share": one of the two waits,
-- and then sees what the other did.

-- All of these are in plpgsql, also where plain SQL would do: it keeps its plans
-- for the session, while a function in SQL is planned anew at every call.

-- What was stated, put into the total order. Times may come in seconds or in
-- milliseconds (Clerk's sources show both); below 1e11 they are seconds.
create function clerk_sync.incoming(resources jsonb[], stated_ms bigint[], kinds text[], class text)
returns table (id text, resource jsonb, kind text, created_at timestamptz, updated_at timestamptz, version text)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  select
    r.resource ->> 'id',
    r.resource,
    t.kind,
    to_timestamp((t.created / 1000)::double precision),
    to_timestamp((t.updated / 1000)::double precision),
    incoming.class
      || '.' || lpad(coalesce(t.updated, t.stated, 0)::bigint::text, 15, '0')
      || '.' || lpad(coalesce(t.stated, t.updated, 0)::bigint::text, 15, '0')
      || '.' || t.kind || '.'
  from unnest(incoming.resources, incoming.stated_ms, incoming.kinds) as r (resource, stated, kind)
  cross join lateral (
    select (r.resource ->> 'created_at')::numeric as created,
           (r.resource ->> 'updated_at')::numeric as updated,
           coalesce(r.stated, incoming.stated_ms[1])::numeric as stated
  ) as said
  cross join lateral (
    select trunc(case when said.created < 1e11 then said.created * 1000 else said.created end) as created,
           trunc(case when said.updated < 1e11 then said.updated * 1000 else said.updated end) as updated,
           trunc(case when said.stated < 1e11 then said.stated * 1000 else said.stated end) as stated,
           coalesce(r.kind, incoming.kinds[1]) as kind
  ) as t
  where r.resource is not null;
end
$$;

-- The rule of the newest statement: what a statement is to the row that is there
-- (null if there is none). What was read from the API and says what the row says
-- already is no news, even if it was said later; same tells whether it does.
create function clerk_sync.verdict(stored text, stated text, kind text, same boolean) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when stored is null then 'created'
    when stored = '9' then 'deleted'
    when stored collate "C" > stated then 'stale'
    when stored = stated then 'unchanged'
    when kind = '3' and same and left(stored, 1) = left(stated, 1) then 'unchanged'
    else 'updated'
  end;
end
$$;

-- Private metadata is kept only where the settings ask, beside the copy.
create function clerk_sync.keep_private_metadata(object text, ids text[], resources jsonb[]) returns void
language plpgsql set search_path = '' as $$
begin
  if not (select s.store_private_metadata from clerk_sync.settings as s) then
    return;
  end if;
  insert into clerk_sync.private_metadata as p (object, object_id, metadata)
  select distinct on (r ->> 'id') keep_private_metadata.object, r ->> 'id',
         coalesce(nullif(r -> 'private_metadata', 'null'), '{}')
  from unnest(keep_private_metadata.resources) as r
  where r ->> 'id' = any (keep_private_metadata.ids)
  order by r ->> 'id', (r ->> 'updated_at')::numeric desc nulls last
  on conflict on constraint private_metadata_pkey do update set metadata = excluded.metadata
    where p.metadata is distinct from excluded.metadata;
end
$$;

create function clerk_sync.apply_users(
  resources jsonb[], stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with stated as (
    select i.id as clerk_id, i.kind, i.version, i.created_at, i.updated_at,
           r.external_id, email.address as email, email.status = 'verified' as email_verified,
           phone.number as phone, phone.status = 'verified' as phone_verified,
           r.username, r.first_name, r.last_name, r.image_url as avatar_url,
           coalesce(r.public_metadata, '{}') as metadata, coalesce(r.unsafe_metadata, '{}') as unsafe_metadata,
           r.banned, r.locked, r.password_enabled, r.two_factor_enabled,
           to_timestamp((case when r.last_sign_in_at < 1e11 then r.last_sign_in_at * 1000 else r.last_sign_in_at end
             / 1000)::double precision) as last_sign_in_at,
           to_timestamp((case when r.last_active_at < 1e11 then r.last_active_at * 1000 else r.last_active_at end
             / 1000)::double precision) as last_active_at
    from clerk_sync.incoming(apply_users.resources, apply_users.stated_ms, apply_users.kinds, apply_users.class) as i
    cross join lateral jsonb_to_record(i.resource) as r (
      external_id text, username text, first_name text, last_name text, image_url text,
      public_metadata jsonb, unsafe_metadata jsonb,
      email_addresses jsonb, phone_numbers jsonb, primary_email_address_id text, primary_phone_number_id text,
      banned boolean, locked boolean, password_enabled boolean, two_factor_enabled boolean,
      last_sign_in_at numeric, last_active_at numeric)
    -- The primary one by its id, wherever it stands in the list; none if there is none.
    left join lateral (
      select e ->> 'email_address' as address, coalesce(e -> 'verification' ->> 'status', '') as status
      from jsonb_array_elements(r.email_addresses) as e
      where e ->> 'id' = r.primary_email_address_id
      limit 1
    ) as email on true
    left join lateral (
      select p ->> 'phone_number' as number, coalesce(p -> 'verification' ->> 'status', '') as status
      from jsonb_array_elements(r.phone_numbers) as p
      where p ->> 'id' = r.primary_phone_number_id
      limit 1
    ) as phone on true
  ), versioned as (
    select s.*, (s.version || case when s.kind = '3' then '' else md5(row(
             s.external_id, s.email, s.email_verified, s.phone, s.phone_verified, s.username, s.first_name, s.last_name,
             s.avatar_url, s.metadata, s.unsafe_metadata, s.banned, s.locked, s.password_enabled, s.two_factor_enabled,
             s.last_sign_in_at, s.last_active_at, s.created_at)::text) end) collate "C" as sync_version
    from stated as s
  ), newest as (
    select distinct on (v.clerk_id) v.* from versioned as v order by v.clerk_id, v.sync_version desc
  ), compared as (
    select n.*, clerk_sync.verdict(u.sync_version, n.sync_version, n.kind, (
        u.external_id, u.email, u.email_verified, u.phone, u.phone_verified, u.username, u.first_name, u.last_name,
        u.avatar_url, u.metadata, u.unsafe_metadata, u.banned, u.locked, u.password_enabled, u.two_factor_enabled,
        u.last_sign_in_at, u.last_active_at, u.created_at, u.updated_at
      ) is not distinct from (
        n.external_id, n.email, n.email_verified, n.phone, n.phone_verified, n.username, n.first_name, n.last_name,
        n.avatar_url, n.metadata, n.unsafe_metadata, n.banned, n.locked, n.password_enabled, n.two_factor_enabled,
        n.last_sign_in_at, n.last_active_at, n.created_at, n.updated_at
      )) as result
    from newest as n
    left join {{exposed}}.users as u on u.clerk_id = n.clerk_id
  ), written as (
    insert into {{exposed}}.users as u (
      clerk_id, external_id, email, email_verified, phone, phone_verified, username, first_name, last_name,
      avatar_url, metadata, unsafe_metadata, banned, locked, password_enabled, two_factor_enabled,
      last_sign_in_at, last_active_at, created_at, updated_at, sync_version)
    select
      c.clerk_id, c.external_id, c.email, c.email_verified, c.phone, c.phone_verified, c.username, c.first_name,
      c.last_name, c.avatar_url, c.metadata, c.unsafe_metadata, c.banned, c.locked, c.password_enabled,
      c.two_factor_enabled, c.last_sign_in_at, c.last_active_at, c.created_at, c.updated_at, c.sync_version
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
      synced_at          = now(),
      sync_version       = excluded.sync_version
    -- Somebody else may have written the row since it was compared.
    where u.sync_version < excluded.sync_version
    returning u.clerk_id
  )
  select array_agg(c.clerk_id),
         array_agg(case when w.clerk_id is null and c.result in ('created', 'updated') then 'stale' else c.result end)
  into ids, results
  from compared as c
  left join written as w on w.clerk_id = c.clerk_id;

  if class = '2' then
    perform clerk_sync.keep_private_metadata('user', array(
      select w.id from unnest(ids, results) as w (id, result) where w.result in ('created', 'updated')), resources);
  end if;

  return query select w.id, w.result from unnest(ids, results) as w (id, result);
end
$$;

create function clerk_sync.apply_organizations(
  resources jsonb[], stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with stated as (
    select i.id as clerk_org_id, i.kind, i.version, i.created_at, i.updated_at,
           r.name, r.slug, r.image_url as logo_url, coalesce(r.public_metadata, '{}') as metadata,
           r.created_by, trunc(r.max_allowed_memberships)::bigint as max_allowed_memberships, r.admin_delete_enabled
    from clerk_sync.incoming(
      apply_organizations.resources, apply_organizations.stated_ms, apply_organizations.kinds, apply_organizations.class
    ) as i
    cross join lateral jsonb_to_record(i.resource) as r (
      name text, slug text, image_url text, public_metadata jsonb, created_by text,
      max_allowed_memberships numeric, admin_delete_enabled boolean)
  ), versioned as (
    select s.*, (s.version || case when s.kind = '3' then '' else md5(row(
             s.name, s.slug, s.logo_url, s.metadata, s.created_by, s.max_allowed_memberships, s.admin_delete_enabled,
             s.created_at)::text) end) collate "C" as sync_version
    from stated as s
  ), newest as (
    select distinct on (v.clerk_org_id) v.* from versioned as v order by v.clerk_org_id, v.sync_version desc
  ), compared as (
    select n.*, clerk_sync.verdict(o.sync_version, n.sync_version, n.kind, (
        o.name, o.slug, o.logo_url, o.metadata, o.created_by, o.max_allowed_memberships, o.admin_delete_enabled,
        o.created_at, o.updated_at
      ) is not distinct from (
        n.name, n.slug, n.logo_url, n.metadata, n.created_by, n.max_allowed_memberships, n.admin_delete_enabled,
        n.created_at, n.updated_at
      )) as result
    from newest as n
    left join {{exposed}}.organizations as o on o.clerk_org_id = n.clerk_org_id
  ), written as (
    insert into {{exposed}}.organizations as o (
      clerk_org_id, name, slug, logo_url, metadata, created_by, max_allowed_memberships, admin_delete_enabled,
      created_at, updated_at, sync_version)
    select
      c.clerk_org_id, c.name, c.slug, c.logo_url, c.metadata, c.created_by, c.max_allowed_memberships,
      c.admin_delete_enabled, c.created_at, c.updated_at, c.sync_version
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
      synced_at               = now(),
      sync_version            = excluded.sync_version
    where o.sync_version < excluded.sync_version
    returning o.clerk_org_id
  )
  select array_agg(c.clerk_org_id),
         array_agg(case when w.clerk_org_id is null and c.result in ('created', 'updated') then 'stale' else c.result end)
  into ids, results
  from compared as c
  left join written as w on w.clerk_org_id = c.clerk_org_id;

  if class = '2' then
    perform clerk_sync.keep_private_metadata('organization', array(
      select w.id from unnest(ids, results) as w (id, result) where w.result in ('created', 'updated')), resources);
  end if;

  return query select w.id, w.result from unnest(ids, results) as w (id, result);
end
$$;

-- A membership carries its whole organization and part of its user: enough for a
-- placeholder where Clerk has not told us about the parent itself.
create function clerk_sync.offer_parents(resources jsonb[], stated_ms bigint[], kinds text[]) returns void
language plpgsql set search_path = '' as $$
declare
  users jsonb[];
  users_stated bigint[];
  users_kinds text[];
  organizations jsonb[];
  organizations_stated bigint[];
  organizations_kinds text[];
begin
  select array_agg(jsonb_build_object('updated_at', m.resource -> 'updated_at')
           || jsonb_build_object('id', p ->> 'user_id', 'first_name', p -> 'first_name', 'last_name', p -> 'last_name',
                                 'username', p -> 'username', 'image_url', p -> 'image_url')),
         array_agg(coalesce(m.stated, offer_parents.stated_ms[1])),
         array_agg(coalesce(m.kind, offer_parents.kinds[1]))
  into users, users_stated, users_kinds
  from unnest(offer_parents.resources, offer_parents.stated_ms, offer_parents.kinds) as m (resource, stated, kind)
  cross join lateral (select m.resource -> 'public_user_data') as parent (p)
  where m.resource is not null and not exists (
    select from {{exposed}}.users as u where u.clerk_id = p ->> 'user_id' and u.sync_version >= '2');

  if users is not null then
    perform clerk_sync.apply_users(users, users_stated, users_kinds, '1');
  end if;

  select array_agg(m.resource -> 'organization'),
         array_agg(coalesce(m.stated, offer_parents.stated_ms[1])),
         array_agg(coalesce(m.kind, offer_parents.kinds[1]))
  into organizations, organizations_stated, organizations_kinds
  from unnest(offer_parents.resources, offer_parents.stated_ms, offer_parents.kinds) as m (resource, stated, kind)
  where m.resource is not null and not exists (
    select from {{exposed}}.organizations as o
    where o.clerk_org_id = m.resource -> 'organization' ->> 'id' and o.sync_version >= '2');

  if organizations is not null then
    perform clerk_sync.apply_organizations(organizations, organizations_stated, organizations_kinds, '1');
  end if;
end
$$;

-- What each membership would become; writes nothing.
create function clerk_sync.compare_memberships(resources jsonb[], stated_ms bigint[], kinds text[])
returns table (
  id text, organization_id text, user_id text, role text, permissions text[], metadata jsonb,
  created_at timestamptz, updated_at timestamptz, sync_version text, result text)
language plpgsql stable set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with stated as (
    select i.id, i.kind, i.version, i.created_at, i.updated_at,
           i.resource -> 'organization' ->> 'id' as organization_id,
           i.resource -> 'public_user_data' ->> 'user_id' as user_id,
           i.resource ->> 'role' as role,
           array(select jsonb_array_elements_text(nullif(i.resource -> 'permissions', 'null'))) as permissions,
           coalesce(nullif(i.resource -> 'public_metadata', 'null'), '{}') as metadata
    from clerk_sync.incoming(
      compare_memberships.resources, compare_memberships.stated_ms, compare_memberships.kinds, '2') as i
  ), versioned as (
    select s.*, (s.version || case when s.kind = '3' then '' else md5(row(
             s.organization_id, s.user_id, s.role, s.permissions, s.metadata, s.created_at)::text) end) collate "C" as sync_version
    from stated as s
  ), newest as (
    select distinct on (v.id) v.* from versioned as v order by v.id, v.sync_version desc
  )
  select n.id, n.organization_id, n.user_id, n.role, n.permissions, n.metadata, n.created_at, n.updated_at,
         n.sync_version, clerk_sync.verdict(m.sync_version, n.sync_version, n.kind, (
        m.role, m.permissions, m.metadata, m.created_at, m.updated_at
      ) is not distinct from (
        n.role, n.permissions, n.metadata, n.created_at, n.updated_at
      ))
  from newest as n
  left join {{exposed}}.organization_memberships as m on m.clerk_membership_id = n.id;
end
$$;

-- ended_at, when given, is when these memberships themselves were deleted: what is
-- new then becomes a tombstone at once, without ever having been a live row.
create function clerk_sync.apply_memberships(
  resources jsonb[], stated_ms bigint[], kinds text[] default '{3}', ended_at timestamptz default null
) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
  users text[];
  organizations text[];
begin
  -- Also for a membership that turns out to be stale: what it says about its
  -- parents must not depend on which event came first.
  perform clerk_sync.offer_parents(resources, stated_ms, kinds);

  select array_agg(c.id), array_agg(c.result),
         array_agg(c.user_id) filter (where c.result in ('created', 'updated')),
         array_agg(c.organization_id) filter (where c.result in ('created', 'updated'))
  into ids, results, users, organizations
  from clerk_sync.compare_memberships(resources, stated_ms, kinds) as c;

  if users is null then -- nothing new: lock nothing, write nothing
    return query select w.id, w.result from unnest(ids, results) as w (id, result);
    return;
  end if;

  perform from {{exposed}}.users as u where u.clerk_id = any (users) order by u.clerk_id for key share;
  perform from {{exposed}}.organizations as o where o.clerk_org_id = any (organizations) order by o.clerk_org_id for key share;

  return query
  with compared as (
    -- Under the locks: whether a parent is gone is now settled.
    select c.*, least(u.deleted_at, o.deleted_at, apply_memberships.ended_at) as ended_at
    from clerk_sync.compare_memberships(resources, stated_ms, kinds) as c
    left join {{exposed}}.users as u on u.clerk_id = c.user_id
    left join {{exposed}}.organizations as o on o.clerk_org_id = c.organization_id
  ), written as (
    insert into {{exposed}}.organization_memberships as m (
      clerk_membership_id, clerk_org_id, clerk_user_id, role, permissions, metadata,
      created_at, updated_at, deleted_at, sync_version)
    select c.id, c.organization_id, c.user_id,
           case when c.ended_at is null then c.role end,
           case when c.ended_at is null then c.permissions else '{}' end,
           case when c.ended_at is null then c.metadata else '{}' end,
           case when c.ended_at is null then c.created_at end,
           case when c.ended_at is null then c.updated_at end,
           c.ended_at,
           case when c.ended_at is null then c.sync_version else '9' end
    from compared as c
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
    where m.sync_version < excluded.sync_version
    returning m.clerk_membership_id, m.deleted_at
  ), kept as (
    select clerk_sync.keep_private_metadata('organization_membership', array(
      select w.clerk_membership_id from written as w where w.deleted_at is null), resources)
  )
  select c.id, case
    when w.deleted_at is not null then 'deleted'
    when w.clerk_membership_id is null and c.result in ('created', 'updated') then 'stale'
    else c.result end
  from compared as c
  cross join kept
  left join written as w on w.clerk_membership_id = c.id;
end
$$;

create function clerk_sync.apply_roles(resources jsonb[], stated_ms bigint[], kinds text[] default '{3}')
returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  permissions jsonb[];
  permissions_stated bigint[];
  permissions_kinds text[];
begin
  -- A role spells out its permissions; those not told by themselves become placeholders.
  select array_agg(p), array_agg(coalesce(r.stated, apply_roles.stated_ms[1])),
         array_agg(coalesce(r.kind, apply_roles.kinds[1]))
  into permissions, permissions_stated, permissions_kinds
  from unnest(apply_roles.resources, apply_roles.stated_ms, apply_roles.kinds) as r (resource, stated, kind)
  cross join lateral jsonb_array_elements(nullif(r.resource -> 'permissions', 'null')) as p;

  if permissions is not null then
    perform clerk_sync.apply_permissions(permissions, permissions_stated, permissions_kinds, '1');
  end if;

  return query
  with stated as (
    select i.id as clerk_role_id, i.kind, i.version, i.created_at, i.updated_at,
           r.key, r.name, r.description, r.is_creator_eligible,
           array(select distinct p ->> 'id' from jsonb_array_elements(r.permissions) as p
                 where p ->> 'id' is not null order by 1) as permission_ids
    from clerk_sync.incoming(apply_roles.resources, apply_roles.stated_ms, apply_roles.kinds, '2') as i
    cross join lateral jsonb_to_record(i.resource) as r (
      key text, name text, description text, is_creator_eligible boolean, permissions jsonb)
  ), versioned as (
    select s.*, (s.version || case when s.kind = '3' then '' else md5(row(
             s.key, s.name, s.description, s.is_creator_eligible, s.permission_ids, s.created_at)::text) end) collate "C" as sync_version
    from stated as s
  ), newest as (
    select distinct on (v.clerk_role_id) v.* from versioned as v order by v.clerk_role_id, v.sync_version desc
  ), compared as (
    select n.*, clerk_sync.verdict(o.sync_version, n.sync_version, n.kind, (
        o.key, o.name, o.description, o.is_creator_eligible, o.permission_ids, o.created_at, o.updated_at
      ) is not distinct from (
        n.key, n.name, n.description, n.is_creator_eligible, n.permission_ids, n.created_at, n.updated_at
      )) as result
    from newest as n
    left join clerk.organization_roles as o on o.clerk_role_id = n.clerk_role_id
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
      synced_at           = now(),
      sync_version        = excluded.sync_version
    where o.sync_version < excluded.sync_version
    returning o.clerk_role_id
  )
  select c.clerk_role_id,
         case when w.clerk_role_id is null and c.result in ('created', 'updated') then 'stale' else c.result end
  from compared as c
  left join written as w on w.clerk_role_id = c.clerk_role_id;
end
$$;

create function clerk_sync.apply_permissions(
  resources jsonb[], stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with stated as (
    select i.id as clerk_permission_id, i.kind, i.version, i.created_at, i.updated_at,
           r.key, r.name, r.description, r.type
    from clerk_sync.incoming(
      apply_permissions.resources, apply_permissions.stated_ms, apply_permissions.kinds, apply_permissions.class) as i
    cross join lateral jsonb_to_record(i.resource) as r (key text, name text, description text, type text)
    where i.id is not null
  ), versioned as (
    select s.*, (s.version || case when s.kind = '3' then '' else md5(row(
             s.key, s.name, s.description, s.type, s.created_at)::text) end) collate "C" as sync_version
    from stated as s
  ), newest as (
    select distinct on (v.clerk_permission_id) v.* from versioned as v order by v.clerk_permission_id, v.sync_version desc
  ), compared as (
    select n.*, clerk_sync.verdict(o.sync_version, n.sync_version, n.kind, (
        o.key, o.name, o.description, o.type, o.created_at, o.updated_at
      ) is not distinct from (
        n.key, n.name, n.description, n.type, n.created_at, n.updated_at
      )) as result
    from newest as n
    left join clerk.organization_permissions as o on o.clerk_permission_id = n.clerk_permission_id
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
      synced_at    = now(),
      sync_version = excluded.sync_version
    where o.sync_version < excluded.sync_version
    returning o.clerk_permission_id
  )
  select c.clerk_permission_id,
         case when w.clerk_permission_id is null and c.result in ('created', 'updated') then 'stale' else c.result end
  from compared as c
  left join written as w on w.clerk_permission_id = c.clerk_permission_id;
end
$$;

-- Deleting. A tombstone keeps the id and the time, and nothing else, so that it
-- looks the same whether the object was known before or not. Told twice, the
-- earlier time stands. Each function answers 'deleted' where that is news and
-- 'unchanged' where it is not.

create function clerk_sync.tombstone_users(ids text[], deleted_at timestamptz) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.users as u
  where u.clerk_id = any (tombstone_users.ids)
  order by u.clerk_id for update;

  return query
  with written as (
    insert into {{exposed}}.users as u (clerk_id, deleted_at, sync_version)
    select distinct gone, tombstone_users.deleted_at, '9' from unnest(tombstone_users.ids) as gone order by gone
    on conflict (clerk_id) do update set
      external_id = null, email = null, email_verified = null, phone = null, phone_verified = null,
      username = null, first_name = null, last_name = null, avatar_url = null,
      metadata = '{}', unsafe_metadata = '{}', banned = null, locked = null,
      password_enabled = null, two_factor_enabled = null, last_sign_in_at = null, last_active_at = null,
      created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = '9'
    where u.sync_version < '9' or u.deleted_at > excluded.deleted_at
    returning u.clerk_id
  )
  select gone, case when w.clerk_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_users.ids)) as asked (gone)
  left join written as w on w.clerk_id = gone;

  perform clerk_sync.end_memberships(array(
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.clerk_user_id = any (tombstone_users.ids)), tombstone_users.deleted_at);

  -- Personal data leaves everywhere at once.
  update clerk_sync.webhook_events as e set payload = null
  where e.user_id = any (tombstone_users.ids) and e.payload is not null;
  delete from clerk_sync.private_metadata as p
  where p.object = 'user' and p.object_id = any (tombstone_users.ids);
end
$$;

create function clerk_sync.tombstone_organizations(ids text[], deleted_at timestamptz)
returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.organizations as o
  where o.clerk_org_id = any (tombstone_organizations.ids)
  order by o.clerk_org_id for update;

  return query
  with written as (
    insert into {{exposed}}.organizations as o (clerk_org_id, deleted_at, sync_version)
    select distinct gone, tombstone_organizations.deleted_at, '9'
    from unnest(tombstone_organizations.ids) as gone order by gone
    on conflict (clerk_org_id) do update set
      name = null, slug = null, logo_url = null, metadata = '{}', created_by = null,
      max_allowed_memberships = null, admin_delete_enabled = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = '9'
    where o.sync_version < '9' or o.deleted_at > excluded.deleted_at
    returning o.clerk_org_id
  )
  select gone, case when w.clerk_org_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_organizations.ids)) as asked (gone)
  left join written as w on w.clerk_org_id = gone;

  perform clerk_sync.end_memberships(array(
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.clerk_org_id = any (tombstone_organizations.ids)), tombstone_organizations.deleted_at);

  update clerk_sync.webhook_events as e set payload = null
  where e.organization_id = any (tombstone_organizations.ids) and e.payload is not null;
  delete from clerk_sync.private_metadata as p
  where p.object = 'organization' and p.object_id = any (tombstone_organizations.ids);
end
$$;

-- By the membership's own id: who has left and joined again is not touched by a
-- late delete of the old membership.
create function clerk_sync.end_memberships(ids text[], deleted_at timestamptz) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform from {{exposed}}.organization_memberships as m
  where m.clerk_membership_id = any (end_memberships.ids)
  order by m.clerk_membership_id for update;

  return query
  with written as (
    update {{exposed}}.organization_memberships as m set
      role = null, permissions = '{}', metadata = '{}', created_at = null, updated_at = null,
      deleted_at = end_memberships.deleted_at, synced_at = now(), sync_version = '9'
    where m.clerk_membership_id = any (end_memberships.ids)
      and (m.sync_version < '9' or m.deleted_at > end_memberships.deleted_at)
    returning m.clerk_membership_id
  )
  select known.clerk_membership_id, case when w.clerk_membership_id is null then 'unchanged' else 'deleted' end
  from {{exposed}}.organization_memberships as known
  left join written as w using (clerk_membership_id)
  where known.clerk_membership_id = any (end_memberships.ids);

  delete from clerk_sync.private_metadata as p
  where p.object = 'organization_membership' and p.object_id = any (end_memberships.ids);
end
$$;

-- A deleted membership is stated in full, so that one that was never seen can
-- still leave its tombstone, and its parents their placeholders.
create function clerk_sync.tombstone_memberships(
  resources jsonb[], stated_ms bigint[], kinds text[], deleted_at timestamptz
) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with absent as (
    select array_agg(r) as resources
    from unnest(tombstone_memberships.resources) as r
    where not exists (
      select from {{exposed}}.organization_memberships as m where m.clerk_membership_id = r ->> 'id')
  )
  select a.id, a.result
  from absent
  cross join lateral clerk_sync.apply_memberships(
    absent.resources, stated_ms[1:1], kinds[1:1], tombstone_memberships.deleted_at) as a
  where absent.resources is not null;

  -- What is said about the parents counts also where the membership was known.
  perform clerk_sync.offer_parents(resources, stated_ms, kinds);

  return query
  select e.id, e.result
  from clerk_sync.end_memberships(
    array(select r ->> 'id' from unnest(tombstone_memberships.resources) as r), tombstone_memberships.deleted_at) as e;
end
$$;

create function clerk_sync.tombstone_roles(ids text[], deleted_at timestamptz) returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with written as (
    insert into clerk.organization_roles as o (clerk_role_id, deleted_at, sync_version)
    select distinct gone, tombstone_roles.deleted_at, '9' from unnest(tombstone_roles.ids) as gone order by gone
    on conflict (clerk_role_id) do update set
      key = null, name = null, description = null, is_creator_eligible = null, permission_ids = '{}',
      created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = '9'
    where o.sync_version < '9' or o.deleted_at > excluded.deleted_at
    returning o.clerk_role_id
  )
  select gone, case when w.clerk_role_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_roles.ids)) as asked (gone)
  left join written as w on w.clerk_role_id = gone;
end
$$;

create function clerk_sync.tombstone_permissions(ids text[], deleted_at timestamptz)
returns table (id text, result text)
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
begin
  return query
  with written as (
    insert into clerk.organization_permissions as o (clerk_permission_id, deleted_at, sync_version)
    select distinct gone, tombstone_permissions.deleted_at, '9'
    from unnest(tombstone_permissions.ids) as gone order by gone
    on conflict (clerk_permission_id) do update set
      key = null, name = null, description = null, type = null, created_at = null, updated_at = null,
      deleted_at = excluded.deleted_at, synced_at = now(), sync_version = '9'
    where o.sync_version < '9' or o.deleted_at > excluded.deleted_at
    returning o.clerk_permission_id
  )
  select gone, case when w.clerk_permission_id is null then 'unchanged' else 'deleted' end
  from (select distinct unnest(tombstone_permissions.ids)) as asked (gone)
  left join written as w on w.clerk_permission_id = gone;
end
$$;
