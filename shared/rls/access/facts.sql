-- What the database says about itself and the role $1, as JSON; $2 is the schema of
-- clerksync's helpers.
select jsonb_build_object(
  'login', current_user,
  'bypasses', (select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user),
  'role_bypasses', (select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r where r.rolname = $1::text),
  'is', (
    select coalesce(jsonb_agg(other.rolname), '[]')
    from pg_catalog.pg_roles as r
    join pg_catalog.pg_roles as other on pg_catalog.pg_has_role(r.oid, other.oid, 'usage')
    where r.rolname = $1::text),
  -- What the helpers are, and whether the role may call them.
  'helpers', (
    select coalesce(jsonb_object_agg(case n.nspname when 'auth' then 'auth.' else '' end || p.proname,
      pg_catalog.has_schema_privilege(r.oid, n.oid, 'usage') and pg_catalog.has_function_privilege(r.oid, p.oid, 'execute')), '{}')
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    join pg_catalog.pg_roles as r on r.rolname = $1::text
    where p.pronargs = 0
      and (n.nspname = 'auth' and p.proname in ('jwt', 'uid')
           or n.nspname = $2::text and p.proname in ('user_id', 'org_id', 'org_role', 'session_is_active', 'org_permissions'))),
  -- Absent: null; otherwise whether the connected role may call it.
  'copy_state', (
    select pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_function_privilege(p.oid, 'execute')
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'clerk_sync' and p.proname = 'copy_state' and p.pronargs = 2),
  'pre_request', coalesce((
    select substr(setting, length('pgrst.db_pre_request=') + 1)
    from pg_catalog.pg_db_role_setting as s
    join pg_catalog.pg_roles as r on r.oid = s.setrole and r.rolname = 'authenticator'
    cross join unnest(s.setconfig) as setting
    where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database as d where d.datname = current_database()))
      and setting like 'pgrst.db\_pre\_request=%'
    order by s.setdatabase desc limit 1), '')
)::text
