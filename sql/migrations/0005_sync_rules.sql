-- The sync rules, set-based: one statement for one event and for a page of five
-- hundred alike. Every apply_… function takes resources as Clerk states them and
-- answers, for each id:
--
--   created, updated   the copy now says what was stated
--   unchanged          it said so already
--   stale              it knows something newer
--   deleted            the object is gone, which is final
--
-- resources is a JSON array, such as a page of the Backend API. stated_ms and kinds
-- go with it by position; a list of one is valid for all. Kinds are those of
-- sync_version (0002).
--
-- Locks are taken in one order, users, organizations, memberships, each by id, so
-- that no two calls can wait for each other. Deleting a parent takes its row "for
-- update" and writing a membership takes it "for key share": one of the two waits,
-- and then sees what the other did.

-- All of these are in plpgsql, also where plain SQL would do: it keeps its plans
-- for the session, while a function in SQL is planned anew at every call.

-- What was stated, put into the total order, and of each object the newest. Times may
-- come in seconds or in milliseconds (Clerk's sources show both); below 1e11 they
-- are seconds. The digest that breaks ties leaves out what who may read the row, and
-- so the version, may not know: private metadata, and what a membership says about
-- its user, whose address could be found by trying.
create function clerk_sync.incoming(resources jsonb, stated_ms bigint[], kinds text[], class text)
returns table (id text, resource jsonb, kind text, created_at timestamptz, updated_at timestamptz, version text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
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

-- The rule of the newest statement: what a statement is to the row that is there
-- (null if there is none). What was read from the API and says what the row says
-- already is no news, even if it was said later; same tells whether it does.
create function clerk_sync.verdict(stored text, stated text, kind text, same boolean) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
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
create function clerk_sync.keeps_private_metadata() returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return (select s.store_private_metadata from clerk_sync.settings as s);
end
$$;

create function clerk_sync.keep_private_metadata(object text, ids text[], resources jsonb) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
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

create function clerk_sync.apply_users(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with compared as (
    select i.id as clerk_id, i.version as sync_version, i.created_at, i.updated_at, r.*, t.*,
      clerk_sync.verdict(u.sync_version, i.version, i.kind, (
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
    left join {{exposed}}.users as u on u.clerk_id = i.id
  ), written as (
    insert into {{exposed}}.users as u (
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
      synced_at          = now(),
      sync_version       = excluded.sync_version
    -- Somebody else may have written the row since it was compared.
    where u.sync_version < excluded.sync_version
    returning u.clerk_id
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
$$;

create function clerk_sync.apply_organizations(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  ids text[];
  results text[];
begin
  with compared as (
    select i.id as clerk_org_id, i.version as sync_version, i.created_at, i.updated_at, r.*,
      clerk_sync.verdict(o.sync_version, i.version, i.kind, (
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
    left join {{exposed}}.organizations as o on o.clerk_org_id = i.id
  ), written as (
    insert into {{exposed}}.organizations as o (
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
      synced_at               = now(),
      sync_version            = excluded.sync_version
    where o.sync_version < excluded.sync_version
    returning o.clerk_org_id
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

-- A membership carries its whole organization and part of its user: enough for a
-- placeholder where Clerk has not told us about the parent itself.
create function clerk_sync.offer_parents(resources jsonb, stated_ms bigint[], kinds text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
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
    select from {{exposed}}.users as u where u.clerk_id = p ->> 'user_id' and u.sync_version >= '2');

  if parents is not null then
    perform clerk_sync.apply_users(parents, stated, told, '1');
  end if;

  select jsonb_agg(m.resource -> 'organization'),
         array_agg(coalesce(offer_parents.stated_ms[m.position], offer_parents.stated_ms[1])),
         array_agg(coalesce(offer_parents.kinds[m.position], offer_parents.kinds[1]))
  into parents, stated, told
  from jsonb_array_elements(offer_parents.resources) with ordinality as m (resource, position)
  where not exists (
    select from {{exposed}}.organizations as o
    where o.clerk_org_id = m.resource -> 'organization' ->> 'id' and o.sync_version >= '2');

  if parents is not null then
    perform clerk_sync.apply_organizations(parents, stated, told, '1');
  end if;
end
$$;

-- One membership as it was stated, and what that is to the row that is there.
create type clerk_sync.stated_membership as (
  id text, organization_id text, user_id text, role text, permissions text[], metadata jsonb,
  created_at timestamptz, updated_at timestamptz, sync_version text, result text);

-- ended_at, when given, is when these memberships themselves were deleted: what is
-- new then becomes a tombstone at once, without ever having been a live row.
create function clerk_sync.apply_memberships(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}', ended_at timestamptz default null
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  compared clerk_sync.stated_membership[];
begin
  -- Also for a membership that turns out to be stale: what it says about its
  -- parents must not depend on which event came first.
  perform clerk_sync.offer_parents(resources, stated_ms, kinds);

  select array_agg(row(
      i.id, t.organization_id, t.user_id, t.role, t.permissions, t.metadata, i.created_at, i.updated_at, i.version,
      clerk_sync.verdict(m.sync_version, i.version, i.kind, (
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
  left join {{exposed}}.organization_memberships as m on m.clerk_membership_id = i.id;

  -- Only of those that will be written: an unchanged page locks nothing.
  perform from {{exposed}}.users as u
  where u.clerk_id in (select c.user_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by u.clerk_id for key share;

  perform from {{exposed}}.organizations as o
  where o.clerk_org_id in (select c.organization_id from unnest(compared) as c where c.result in ('created', 'updated'))
  order by o.clerk_org_id for key share;

  return query
  with settled as (
    -- Under the locks: whether a parent is gone cannot change any more.
    select c.*, least(u.deleted_at, o.deleted_at, apply_memberships.ended_at) as ended_at
    from unnest(compared) as c
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
    where m.sync_version < excluded.sync_version
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

create function clerk_sync.apply_roles(resources jsonb, stated_ms bigint[], kinds text[] default '{3}')
returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
      clerk_sync.verdict(o.sync_version, i.version, i.kind, (
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
         case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_role_id in (select w.clerk_role_id from written as w)
              then c.result else 'stale' end
  from compared as c;
end
$$;

create function clerk_sync.apply_permissions(
  resources jsonb, stated_ms bigint[], kinds text[] default '{3}', class text default '2'
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with compared as (
    select i.id as clerk_permission_id, i.version as sync_version, i.created_at, i.updated_at, r.*,
      clerk_sync.verdict(o.sync_version, i.version, i.kind, (
        o.key, o.name, o.description, o.type, o.created_at, o.updated_at
      ) is not distinct from (
        r.key, r.name, r.description, r.type, i.created_at, i.updated_at
      )) as result
    from clerk_sync.incoming(
      apply_permissions.resources, apply_permissions.stated_ms, apply_permissions.kinds, apply_permissions.class) as i
    cross join lateral jsonb_to_record(i.resource) as r (key text, name text, description text, type text)
    left join clerk.organization_permissions as o on o.clerk_permission_id = i.id
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
      synced_at    = now(),
      sync_version = excluded.sync_version
    where o.sync_version < excluded.sync_version
    returning o.clerk_permission_id
  )
  select c.clerk_permission_id,
         case when c.result in ('unchanged', 'stale', 'deleted') or c.clerk_permission_id in (select w.clerk_permission_id from written as w)
              then c.result else 'stale' end
  from compared as c;
end
$$;

-- Deleting. A tombstone keeps the id and the time, and nothing else, so that it
-- looks the same whether the object was known before or not. Told twice, the
-- earlier time stands. Each function answers 'deleted' where that is news and
-- 'unchanged' where it is not.

create function clerk_sync.tombstone_users(ids text[], deleted_at timestamptz) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
  resources jsonb, stated_ms bigint[], kinds text[], deleted_at timestamptz
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  with absent as (
    select jsonb_agg(r) as resources
    from jsonb_array_elements(tombstone_memberships.resources) as r
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
    array(select r ->> 'id' from jsonb_array_elements(tombstone_memberships.resources) as r),
    tombstone_memberships.deleted_at) as e;
end
$$;

create function clerk_sync.tombstone_roles(ids text[], deleted_at timestamptz) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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
