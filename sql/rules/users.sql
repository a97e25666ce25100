create or replace function clerk_sync.apply_users(
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
    left join {{exposed}}.users as u on u.clerk_id = i.id
    -- A placeholder is no user that a run has read.
    left join clerk_sync.watermarks as w on w.object = case when apply_users.class = '2' then 'user' end
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
$$;

-- Deleting. A tombstone keeps the id and the time, and nothing else, so that it
-- looks the same whether the object was known before or not. Told twice, the
-- earlier time stands. What is only inferred (see clerk_sync.revives) changes no
-- tombstone, and a stated one takes the place of an inferred one. times, when given, go with the ids by position; where there is
-- none deleted_at counts. Answers 'deleted' where that is news and 'unchanged' where
-- it is not.
--
-- A deletion must see every membership of what it deletes. Its row is locked "for
-- update" first, which waits for memberships that are being written; but a row
-- that is only made in between, as a placeholder, escapes that lock, and the
-- upsert alone does not wait: it changes no key, and a membership holds its
-- parents "for key share". So the row is locked once more when it is certainly
-- there, and only then are its memberships looked for.
create or replace function clerk_sync.tombstone_users(
  ids text[], deleted_at timestamptz, times timestamptz[] default null, inferred boolean default false
) returns table (id text, result text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  news  text[];
  ends  timestamptz[];
begin
  perform from {{exposed}}.users as u
  where u.clerk_id = any (tombstone_users.ids)
  order by u.clerk_id for update;
  perform clerk_sync.hold_back('user', ids);

  with written as (
    insert into {{exposed}}.users as u (clerk_id, deleted_at, sync_version)
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

  perform from {{exposed}}.users as u
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

-- The projection follows every write to users, by any login. One statement
-- a statement: a page of the full sync costs one upsert, not five hundred. No
-- foreign key, which would check each row by itself.
create or replace function clerk_sync.project_users() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into {{exposed}}.users_public as p (clerk_id, username, first_name, last_name, avatar_url)
  select n.clerk_id, n.username, n.first_name, n.last_name, n.avatar_url
  from written as n
  left join {{exposed}}.users_public as known on known.clerk_id = n.clerk_id
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

create or replace function clerk_sync.unproject_users() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from {{exposed}}.users_public as p using removed as r where p.clerk_id = r.clerk_id;
  return null;
end
$$;

revoke execute on function
  clerk_sync.apply_users(jsonb, bigint[], text[], text), clerk_sync.tombstone_users(text[], timestamptz, timestamptz[], boolean),
  clerk_sync.project_users(), clerk_sync.unproject_users()
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.tombstone_users(text[], timestamptz, timestamptz[], boolean) to clerksync_writer;
