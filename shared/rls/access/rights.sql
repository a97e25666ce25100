-- What the role $1 may do with the relations $2, and how large they are, as JSON.
with recursive tree (root, oid) as (
  select asked.oid, asked.oid from unnest($2::text::oid[]) as asked (oid)
  union
  select tree.root, i.inhrelid from pg_catalog.pg_inherits as i join tree on i.inhparent = tree.oid
),
-- Tables that were filled since Postgres last counted are in its statistics.
sizes as (
  select tree.root,
         sum(pg_catalog.pg_relation_size(c.oid))::bigint as bytes,
         sum(greatest(c.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(c.oid))) as rows,
         bool_or(c.reltuples < 0 and pg_catalog.pg_stat_get_live_tuples(c.oid) = 0 and pg_catalog.pg_relation_size(c.oid) > 0) as unknown
  from tree join pg_catalog.pg_class as c on c.oid = tree.oid
  where c.relkind in ('r', 'm')
  group by tree.root
)
select coalesce(jsonb_object_agg(c.oid::text, jsonb_build_object(
  'usage', pg_catalog.has_schema_privilege(r.oid, c.relnamespace, 'usage'),
  'select', pg_catalog.has_table_privilege(r.oid, c.oid, 'select'),
  'readable', (
    select coalesce(jsonb_agg(a.attname order by a.attnum), '[]')
    from pg_catalog.pg_attribute as a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      and pg_catalog.has_column_privilege(r.oid, c.oid, a.attnum, 'select')),
  'owns', pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'),
  'owner_bypasses', o.rolbypassrls or o.rolsuper,
  'empty', s.bytes = 0,
  'estimate', case when s.root is null or s.unknown then -1 when s.bytes = 0 then 0 else greatest(s.rows, 0) end,
  -- What a view reads, directly.
  'reads', (
    select coalesce(jsonb_agg(distinct format('%I.%I', n.nspname, t.relname)), '[]')
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> c.oid
    join pg_catalog.pg_class as t on t.oid = d.refobjid
    join pg_catalog.pg_namespace as n on n.oid = t.relnamespace
    where w.ev_class = c.oid and c.relkind in ('v', 'm'))
)), '{}')::text
from unnest($2::text::oid[]) as asked (oid)
join pg_catalog.pg_class as c using (oid)
join pg_catalog.pg_roles as o on o.oid = c.relowner
left join sizes as s on s.root = c.oid
cross join pg_catalog.pg_roles as r
where r.rolname = $1::text
