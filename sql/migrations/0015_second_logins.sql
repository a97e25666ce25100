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
      execute format('create role %I login inherit', other);
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
    loop
      execute format('alter role %I set %I = %L', other, split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1));
    end loop;
  end loop;
end
$$;
