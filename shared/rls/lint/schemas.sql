-- The schemas that are no part of PostgreSQL, and the roles of the Data API.
select jsonb_build_object(
  'schemas', (
    select jsonb_agg(n.nspname order by n.nspname)
    from pg_catalog.pg_namespace as n
    where n.nspname <> 'information_schema' and n.nspname not like 'pg\_%'),
  'roles', (
    select jsonb_agg(r.rolname order by r.rolname)
    from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated', 'service_role'))
)::text
