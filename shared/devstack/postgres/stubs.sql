-- What a Supabase project has before anybody migrates it, as far as this
-- product and its tests can notice. Runs as the superuser in the database that
-- is to look like a project, in one transaction, any number of times.

-- Roles belong to the whole cluster, advisory locks to one database: the
-- catalogue itself is what parallel runs can queue for.
lock table pg_catalog.pg_authid in share row exclusive mode;

do $$
declare
    wanted record;
begin
    for wanted in
        select *
        from (values
            ('anon',              'nologin'),
            ('authenticated',     'nologin'),
            ('service_role',      'nologin bypassrls'),
            ('authenticator',     'login noinherit'),
            -- The role that owns a project: powerful, but no superuser.
            ('supabase_postgres', 'login createdb createrole replication bypassrls')
        ) as roles (name, attributes)
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
            execute format('create role %I %s', wanted.name, wanted.attributes);
        end if;
    end loop;
end
$$;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to supabase_postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to supabase_postgres;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_postgres set search_path = "$user", public, extensions;

-- The owner of a database owns its schema public, too.
do $$
begin
    execute format('alter database %I owner to supabase_postgres', current_database());
end
$$;

create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to supabase_postgres;

-- Locked: the owner may look and reference, but create nothing here.
create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role, supabase_postgres;
grant usage on schema public to anon, authenticated, service_role;

-- The helpers read the claims of the request. A setting that was local to an
-- earlier transaction reads as '' afterwards, which must count as absent. The
-- older form, one setting for each claim, goes first where there is one.
create or replace function auth.uid() returns uuid
language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;

create or replace function auth.role() returns text
language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;

create or replace function auth.email() returns text
language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$$;

create or replace function auth.jwt() returns jsonb
language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
