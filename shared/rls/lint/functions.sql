-- Every function of the schemas $1, one JSON object a row.
select jsonb_build_object(
  'oid', p.oid::bigint,
  'schema', n.nspname,
  'name', p.proname,
  'arguments', pg_catalog.pg_get_function_identity_arguments(p.oid),
  'kind', p.prokind,
  'language', l.lanname,
  'definer', p.prosecdef,
  'trigger', p.prorettype = 'pg_catalog.trigger'::regtype or p.prorettype = 'pg_catalog.event_trigger'::regtype,
  'immutable', p.provolatile = 'i',
  'path', exists (
    select from unnest(p.proconfig) as setting where setting like 'search\_path=%'),
  'search_path', (
    select substr(setting, length('search_path=') + 1) from unnest(p.proconfig) as setting where setting like 'search\_path=%'),
  'body', case when l.lanname in ('sql', 'plpgsql') then coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) end,
  'extension', exists (
    select from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'),
  'executable', (
    select jsonb_agg(r.rolname order by r.rolname)
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated') and pg_catalog.has_function_privilege(r.rolname, p.oid, 'execute'))
)::text
from pg_catalog.pg_proc as p
join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
join pg_catalog.pg_language as l on l.oid = p.prolang
where n.nspname = any ($1::text[])
order by n.nspname, p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)
