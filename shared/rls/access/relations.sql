-- The relations of the schemas $2 that matter to the role $1, in order of their
-- names, as JSON: what it may read, and what row level security guards.
-- Partitions are reached through their parents; $3 bounds the list.
with relations as (
  select n.nspname, c.relname
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  left join pg_catalog.pg_roles as r on r.rolname = $1::text
  where n.nspname in (select jsonb_array_elements_text($2::text::jsonb))
    and c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not c.relispartition
    and c.relpersistence <> 't'
    and not exists (
      select from pg_catalog.pg_depend as d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.deptype = 'e')
    and (c.relrowsecurity or pg_catalog.has_any_column_privilege(r.oid, c.oid, 'select'))
)
select jsonb_build_object(
  'count', (select count(*) from relations),
  'names', (
    select coalesce(jsonb_agg(jsonb_build_object('schema', l.nspname, 'table', l.relname)), '[]')
    from (select * from relations order by nspname, relname limit $3::text::int) as l)
)::text
