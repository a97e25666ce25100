-- Schemas and login roles.
--
--   {{exposed}}  the copy that applications read through the Data API, locked by RLS
--   {{helpers}}  what policies call, "clerk" unless that is taken; never exposed
--   clerk_sync   the inbox, the settings and the sync rules; never exposed
--
-- What stands in braces is replaced by the names that were chosen when migrating.

do $$
declare
  missing text;
begin
  select string_agg(r, ', ' order by r) into missing
  from unnest(array['anon', 'authenticated', 'service_role']) as r
  where not exists (select from pg_catalog.pg_roles where rolname = r);

  if missing is not null then
    raise exception 'role(s) % do not exist: this is not a Supabase database', missing
      using hint = 'Check that the connection string names the Supabase project''s own database. '
                   'A plain Postgres needs these roles first; "clerksync dev" makes them in the local stack.';
  end if;
end
$$;

create schema if not exists clerk_sync;
create schema if not exists {{helpers}};
create schema if not exists {{exposed}};

comment on schema clerk_sync is 'clerksync: inbox, settings and sync rules. Never expose it.';
comment on schema {{helpers}} is 'clerksync: helpers that row level security policies call. Never expose it.';

-- Roles belong to the whole cluster, so another database may have made them.
-- They are made without a password and cannot log in until an operator sets one.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'clerksync_writer') then
    create role clerksync_writer login noinherit;
    -- A transaction pooler drops these settings when they come in the connection
    -- string; set on the role they hold for every backend it logs in to.
    alter role clerksync_writer set statement_timeout = '15s';
    alter role clerksync_writer set lock_timeout = '5s';
    alter role clerksync_writer set idle_in_transaction_session_timeout = '15s';
  end if;

  if not exists (select from pg_catalog.pg_roles where rolname = 'clerksync_diagnostics') then
    -- Fewer than the smallest project has, so that they never use up those of others, and
    -- more than the shared pooler opens for one login there.
    create role clerksync_diagnostics login noinherit connection limit 20;
    -- A default, which a session may undo, and the login for itself: it stops slips and
    -- what can send one statement, but no one who has the password.
    alter role clerksync_diagnostics set default_transaction_read_only = on;
    alter role clerksync_diagnostics set statement_timeout = '5s';
    alter role clerksync_diagnostics set lock_timeout = '1s';
    alter role clerksync_diagnostics set idle_in_transaction_session_timeout = '10s';
  end if;

  -- The diagnostics look at tables as a user would; never as service_role.
  if not pg_catalog.pg_has_role('clerksync_diagnostics', 'anon', 'member') then
    grant anon to clerksync_diagnostics;
  end if;
  if not pg_catalog.pg_has_role('clerksync_diagnostics', 'authenticated', 'member') then
    grant authenticated to clerksync_diagnostics;
  end if;
end
$$;

revoke all on schema clerk_sync, {{helpers}} from public;
grant usage on schema clerk_sync to clerksync_writer, service_role, clerksync_diagnostics;
grant usage on schema {{helpers}} to anon, authenticated, service_role;
grant usage on schema {{exposed}} to anon, authenticated, service_role;

-- A second login role beside each of the two, with the same rights, so that a
-- password can be replaced without a moment in which some instances know the old one
-- and some the new: Postgres keeps one password a role, and Supabase's pooler answers
-- repeated wrong ones by refusing everybody. Like the first they cannot log in until
-- an operator sets a password.
do $$
declare
  first text;
  other text;
  setting text;
begin
  foreach first in array array['clerksync_writer', 'clerksync_diagnostics'] loop
    other := first || '_b';
    if not exists (select from pg_catalog.pg_roles where rolname = other) then
      execute format('create role %I login inherit connection limit %s', other,
        (select r.rolconnlimit from pg_catalog.pg_roles as r where r.rolname = first));
    end if;
    if not pg_catalog.pg_has_role(other, first, 'member') then
      execute format('grant %I to %I', first, other);
    end if;
    -- Settings belong to the role that logs in and are not inherited.
    for setting in
      select unnest(s.setconfig)
      from pg_catalog.pg_db_role_setting as s
      join pg_catalog.pg_roles as r on r.oid = s.setrole
      where r.rolname = first and s.setdatabase = 0
      except
      select unnest(s.setconfig)
      from pg_catalog.pg_db_role_setting as s
      join pg_catalog.pg_roles as r on r.oid = s.setrole
      where r.rolname = other and s.setdatabase = 0
    loop
      execute format('alter role %I set %I = %L', other, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1));
    end loop;
  end loop;
end
$$;
