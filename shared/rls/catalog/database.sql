-- What the whole database says about row level security, as JSON.
with api (role) as (
  select r.rolname from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated', 'service_role')
)
select jsonb_build_object(
  'version', current_setting('server_version_num')::int / 10000,
  'user', current_user,
  'bypasses', (select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user),
  'roles', (select coalesce(jsonb_agg(api.role order by api.role), '[]') from api where pg_catalog.pg_has_role(api.role, 'member')),
  -- Looked up by hand: to_regprocedure refuses roles that may not use the schema.
  'helpers_in', (
    select coalesce(jsonb_agg(n.nspname), '[]')
    from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where p.proname = 'my_org_ids_with_role'),
  -- Whether the settings can be asked for the schemas: see clerk_sync.schemas().
  'schemas', exists (
    select from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'clerk_sync' and p.proname = 'schemas' and p.pronargs = 0
      and pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_function_privilege(p.oid, 'execute')),
  -- The copy's schema is where the tables are that its functions belong to: the
  -- settings themselves are not for every role to read.
  'copy', coalesce((
    select n.nspname
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where t.tgname = 'clerksync_project_inserted' and c.relname = 'users'
    order by n.nspname limit 1), ''),
  'exposed', (
    select coalesce(jsonb_agg(trim(both ' "' from schema)), '[]')
    from pg_catalog.pg_db_role_setting as s
    join pg_catalog.pg_roles as r on r.oid = s.setrole and r.rolname = 'authenticator'
    cross join unnest(s.setconfig) as setting
    cross join regexp_split_to_table(substr(setting, length('pgrst.db_schemas=') + 1), ',') as schema
    where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database as d where d.datname = current_database()))
      and setting like 'pgrst.db\_schemas=%' and trim(schema) <> ''),
  'usage', (
    select coalesce(jsonb_object_agg(api.role, (
      select coalesce(jsonb_agg(n.nspname order by n.nspname), '[]')
      from pg_catalog.pg_namespace as n
      where n.nspname not like 'pg\_%' and pg_catalog.has_schema_privilege(api.role, n.oid, 'usage'))), '{}')
    from api)
)::text
