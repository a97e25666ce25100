-- What making a row needs to know of the relation with oid $1, beyond what the catalogue
-- reader says, as JSON: the types of its columns down to the built-in ones, keys that are
-- no constraints, partitions, and what the API's roles may do.
with recursive columns as (
  select a.attname, a.attnum, a.atttypid, a.atttypmod, a.attidentity,
         coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') as expression
  from pg_catalog.pg_attribute as a
  left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = $1::text::oid and a.attnum > 0 and not a.attisdropped
),
-- Domains lead to their base, arrays to their elements, ranges to their bounds.
reached (oid, typmod) as (
  select atttypid, atttypmod from columns
  union
  select below.oid, below.typmod
  from reached as r
  join pg_catalog.pg_type as t on t.oid = r.oid
  cross join lateral (
    select t.typbasetype as oid, t.typtypmod as typmod where t.typtype = 'd'
    union all
    select t.typelem, -1 where t.typcategory = 'A' and t.typelem <> 0
    union all
    select g.rngsubtype, -1 from pg_catalog.pg_range as g where t.oid in (g.rngtypid, g.rngmultitypid)
  ) as below
),
types as (
  select r.oid, max(r.typmod) as typmod from reached as r group by r.oid
),
api (role) as (
  select r.rolname from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated', 'service_role')
),
-- Partitions down to the leaves.
leaves as (
  with recursive tree (oid, path, parents) as (
    select i.inhrelid, array[pg_catalog.pg_get_expr(c.relpartbound, c.oid)], array[i.inhparent]
    from pg_catalog.pg_inherits as i join pg_catalog.pg_class as c on c.oid = i.inhrelid
    where i.inhparent = $1::text::oid and c.relispartition
    union all
    select i.inhrelid, tree.path || pg_catalog.pg_get_expr(c.relpartbound, c.oid), tree.parents || i.inhparent
    from tree
    join pg_catalog.pg_inherits as i on i.inhparent = tree.oid
    join pg_catalog.pg_class as c on c.oid = i.inhrelid
    where cardinality(tree.path) < 5
  )
  select t.oid, t.path, t.parents
  from tree as t join pg_catalog.pg_class as c on c.oid = t.oid
  where c.relkind <> 'p'
  order by c.relname limit 50
)
select jsonb_build_object(
  'attributes', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', c.attname, 'type', c.atttypid::bigint, 'identity', c.attidentity,
      'sequences', (
        select coalesce(jsonb_agg(s.oid::bigint), '[]')
        from pg_catalog.pg_depend as d
        join pg_catalog.pg_class as s on s.oid = d.refobjid and s.relkind = 'S'
        join pg_catalog.pg_attrdef as def on def.oid = d.objid
        where d.classid = 'pg_catalog.pg_attrdef'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
          and def.adrelid = $1::text::oid and def.adnum = c.attnum)
    ) order by c.attnum), '[]') from columns as c),
  'types', (
    select coalesce(jsonb_object_agg(t.oid::text, jsonb_build_object(
      'oid', t.oid::bigint,
      'name', p.typname,
      'sql', pg_catalog.format_type(t.oid, t.typmod),
      'kind', p.typtype,
      'array', p.typcategory = 'A',
      'below', coalesce(nullif(p.typbasetype, 0),
                        (select g.rngsubtype from pg_catalog.pg_range as g where t.oid in (g.rngtypid, g.rngmultitypid)),
                        case when p.typcategory = 'A' then p.typelem end, 0)::bigint,
      'labels', (select coalesce(jsonb_agg(l.enumlabel order by l.enumsortorder), '[]') from pg_catalog.pg_enum as l where l.enumtypid = t.oid),
      'attributes', (select count(*) from pg_catalog.pg_attribute as a where a.attrelid = p.typrelid and a.attnum > 0 and not a.attisdropped),
      'checks', (select coalesce(jsonb_agg(pg_catalog.pg_get_constraintdef(k.oid) order by k.conname), '[]') from pg_catalog.pg_constraint as k where k.contypid = t.oid and k.contype = 'c')
    )), '{}')
    from types as t join pg_catalog.pg_type as p on p.oid = t.oid),
  'keys', (
    -- Every unique index over plain columns, the primary key first.
    select coalesce(jsonb_agg(jsonb_build_object('columns', x.names, 'partial', x.partial) order by not x.indisprimary, x.indexrelid), '[]')
    from (
      select i.indexrelid, i.indisprimary, i.indpred is not null as partial,
             (select jsonb_agg(a.attname order by u.position)
              from unnest(i.indkey::int2[]) with ordinality as u (attnum, position)
              join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = u.attnum
              where u.position <= i.indnkeyatts) as names
      from pg_catalog.pg_index as i
      where i.indrelid = $1::text::oid and i.indisunique and i.indisvalid and i.indimmediate and i.indexprs is null
    ) as x),
  'bounds', (
    select coalesce(jsonb_agg((
      select jsonb_agg(jsonb_build_object('bound', l.path[n], 'columns', (
        select coalesce(jsonb_agg(a.attname order by u.position), '[]')
        from pg_catalog.pg_partitioned_table as p
        cross join unnest(p.partattrs::int2[]) with ordinality as u (attnum, position)
        join pg_catalog.pg_attribute as a on a.attrelid = p.partrelid and a.attnum = u.attnum
        where p.partrelid = l.parents[n])) order by n)
      from generate_subscripts(l.path, 1) as n)), '[]')
    from leaves as l),
  'partition_columns', (
    select coalesce(jsonb_agg(distinct a.attname), '[]')
    from (select $1::text::oid as oid union select unnest(l.parents) from leaves as l) as o
    join pg_catalog.pg_partitioned_table as p on p.partrelid = o.oid
    join pg_catalog.pg_attribute as a on a.attrelid = p.partrelid and a.attnum = any (p.partattrs::int2[])),
  'roles', (
    select coalesce(jsonb_object_agg(api.role, jsonb_build_object(
      'bypasses', (select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r where r.rolname = api.role),
      'usage', pg_catalog.has_schema_privilege(api.role, c.relnamespace, 'usage'),
      'owns', pg_catalog.pg_has_role(api.role, c.relowner, 'usage'),
      'is', (select jsonb_agg(r.rolname order by r.rolname) from pg_catalog.pg_roles as r where pg_catalog.pg_has_role(api.role, r.oid, 'usage')),
      'table', (select coalesce(jsonb_agg(p order by p), '[]') from unnest(array['select', 'insert', 'update', 'delete']) as p
                where pg_catalog.has_table_privilege(api.role, c.oid, p)),
      'columns', (select jsonb_object_agg(p, (
                    select coalesce(jsonb_agg(a.attname order by a.attnum), '[]') from columns as a
                    where pg_catalog.has_column_privilege(api.role, c.oid, a.attnum, p)))
                  from unnest(array['select', 'insert', 'update']) as p),
      'sequences', (
        select coalesce(jsonb_agg(distinct s.oid::bigint), '[]')
        from pg_catalog.pg_depend as d
        join pg_catalog.pg_attrdef as def on def.oid = d.objid and def.adrelid = c.oid
        join pg_catalog.pg_class as s on s.oid = d.refobjid and s.relkind = 'S'
        where d.classid = 'pg_catalog.pg_attrdef'::regclass and d.refclassid = 'pg_catalog.pg_class'::regclass
          and case when s.relkind = 'S' then pg_catalog.has_sequence_privilege(api.role, s.oid, 'usage') end)
    )), '{}') from api),
  'functions', (
    -- What its policies call, but for what belongs to Postgres itself.
    select coalesce(jsonb_agg(distinct jsonb_build_object(
      'schema', n.nspname, 'name', f.proname)), '[]')
    from pg_catalog.pg_policy as p
    join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid
                                  and d.refclassid = 'pg_catalog.pg_proc'::regclass
    join pg_catalog.pg_proc as f on f.oid = d.refobjid
    join pg_catalog.pg_namespace as n on n.oid = f.pronamespace
    where p.polrelid = $1::text::oid and n.nspname <> 'pg_catalog'),
  'bases', (
    -- The tables that a view reads, through other views too.
    with recursive seen (oid) as (
      select $1::text::oid
      union
      select d.refobjid
      from seen
      join pg_catalog.pg_rewrite as w on w.ev_class = seen.oid
      join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
                                    and d.refclassid = 'pg_catalog.pg_class'::regclass
    )
    select coalesce(jsonb_agg(jsonb_build_object('schema', n.nspname, 'table', b.relname) order by n.nspname, b.relname), '[]')
    from seen
    join pg_catalog.pg_class as b using (oid)
    join pg_catalog.pg_namespace as n on n.oid = b.relnamespace
    where b.relkind in ('r', 'p') and b.oid <> $1::text::oid and n.nspname not in ('pg_catalog', 'information_schema')),
  'owner_bypasses', (select r.rolbypassrls or r.rolsuper from pg_catalog.pg_roles as r where r.oid = c.relowner)
)::text
from pg_catalog.pg_class as c
where c.oid = $1::text::oid
