-- Who may do what with what clerksync has made, a line each. $1 is the exposed schema,
-- $2 that of the helpers; their names in the list are the usual ones. Read by any role.
-- How a condition is written hangs on the path; it is gone with this statement.
with path as materialized (
  select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true) as is_set
),
known (role) as (
  values ('anon'), ('authenticated'), ('service_role'), ('clerksync_writer'), ('clerksync_diagnostics')
),
-- Every grantee that counts; 0 is everybody.
grantees as (
  select 0::oid as oid, 'everybody' as name
  union all
  select r.oid, r.rolname from pg_catalog.pg_roles as r join known as k on k.role = r.rolname
),
relations as (
  select c.oid, c.relname, c.relkind, c.relacl, c.relrowsecurity, case n.nspname when $1 then 'public' when $2 then 'clerk' else n.nspname end as schema
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'p', 'S', 'm')
    and (n.nspname in ('clerk_sync', $2)
         or n.nspname = $1 and c.relname in ('users', 'users_public', 'organizations', 'organization_memberships'))
),
functions as (
  select p.oid, p.proname, p.prosecdef, p.proacl, p.proowner, p.proconfig,
         case n.nspname when $1 then 'public' when $2 then 'clerk' else n.nspname end as schema,
         -- Types of the exposed schema or the helpers' would be named with it.
         replace(replace(pg_catalog.pg_get_function_identity_arguments(p.oid), pg_catalog.quote_ident($2) || '.', 'clerk.'), pg_catalog.quote_ident($1) || '.', 'public.') as arguments
  from pg_catalog.pg_proc as p
  join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('clerk_sync', $2)
     or n.nspname = $1 and p.proname in ('ensure_user', 'apply_clerk_event', 'apply_clerk_event_text')
)
select line from (
  select 'row security of ' || r.schema || '.' || r.relname as line
  from relations as r where r.relkind in ('r', 'p') and r.relrowsecurity
  union all
  select pg_catalog.lower(a.privilege_type) || ' on ' || r.schema || '.' || r.relname || ' to ' || g.name
  from relations as r
  cross join lateral pg_catalog.aclexplode(r.relacl) as a
  join grantees as g on g.oid = a.grantee
  union all
  select pg_catalog.lower(a.privilege_type) || ' on ' || r.schema || '.' || r.relname || ' (' || t.attname || ') to ' || g.name
  from relations as r
  join pg_catalog.pg_attribute as t on t.attrelid = r.oid and not t.attisdropped
  cross join lateral pg_catalog.aclexplode(t.attacl) as a
  join grantees as g on g.oid = a.grantee
  union all
  select 'policy ' || p.polname || ' on ' || r.schema || '.' || r.relname || ' for ' ||
         case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end ||
         case when p.polpermissive then '' else ', restrictive,' end || ' to ' ||
         (select pg_catalog.string_agg(case o.oid when 0 then 'everybody' else o.oid::pg_catalog.regrole::text end, ', ' order by o.oid::pg_catalog.regrole::text)
          from pg_catalog.unnest(p.polroles) as o (oid)) ||
         -- A policy that was edited is another one; sql/schema.sql has them in words.
         ', condition ' || pg_catalog.left(pg_catalog.md5(
           replace(replace(
             case when path.is_set is not null then coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), '') || '/' || coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), '') end,
             pg_catalog.quote_ident($2) || '.', 'clerk.'), pg_catalog.quote_ident($1) || '.', 'public.')), 8)
  from path
  cross join relations as r
  join pg_catalog.pg_policy as p on p.polrelid = r.oid
  union all
  select 'execute of ' || f.schema || '.' || f.proname || '(' || f.arguments || ') by ' || g.name
  from functions as f
  cross join lateral pg_catalog.aclexplode(coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))) as a
  join grantees as g on g.oid = a.grantee
  union all
  select f.schema || '.' || f.proname || '(' || f.arguments || ') runs with its ' || case when f.prosecdef then 'owner' else 'caller' end || '''s rights'
  from functions as f
  union all
  select pg_catalog.lower(a.privilege_type) || ' of schema ' || case n.nspname when $2 then 'clerk' else n.nspname end || ' by ' || g.name
  from pg_catalog.pg_namespace as n
  cross join lateral pg_catalog.aclexplode(n.nspacl) as a
  join grantees as g on g.oid = a.grantee
  where n.nspname in ('clerk_sync', $2)
) as lines (line)
order by line collate "C"
