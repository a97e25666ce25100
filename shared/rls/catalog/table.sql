-- One relation as JSON. $1 is its schema, $2 its name.
with relation as (
  select c.*, n.nspname
  from pg_catalog.pg_class as c
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = $1::text and c.relname = $2::text
),
kinds (relkind, kind) as (
  values ('r', 'table'), ('p', 'partitioned table'), ('v', 'view'), ('m', 'materialized view'), ('f', 'foreign table'),
         ('S', 'sequence'), ('i', 'index'), ('I', 'index'), ('c', 'composite type')
),
-- Everything below it, however deep.
children as (
  select below.oid
  from relation as r
  cross join lateral (
    with recursive tree (oid) as (
      select i.inhrelid from pg_catalog.pg_inherits as i where i.inhparent = r.oid
      union
      select i.inhrelid from pg_catalog.pg_inherits as i join tree on tree.oid = i.inhparent
    )
    select tree.oid from tree
  ) as below
  where r.relkind in ('r', 'p', 'f')
)
select jsonb_build_object(
  'oid', r.oid::bigint,
  'name', jsonb_build_object('schema', r.nspname, 'table', r.relname),
  'kind', (select k.kind from kinds as k where k.relkind = r.relkind::text),
  'temporary', r.relpersistence = 't',
  'owner', pg_catalog.pg_get_userbyid(r.relowner),
  'owned', pg_catalog.pg_has_role(r.relowner, 'usage'),
  'extension', coalesce((
    select e.extname
    from pg_catalog.pg_depend as d
    join pg_catalog.pg_extension as e on e.oid = d.refobjid
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = r.oid and d.objsubid = 0
      and d.refclassid = 'pg_catalog.pg_extension'::regclass and d.deptype = 'e'), ''),
  'row_security', r.relrowsecurity,
  'forced', r.relforcerowsecurity,
  'security_invoker', coalesce((
    select bool_or(lower(o.option_value) in ('true', 'on', 'yes', '1'))
    from pg_catalog.pg_options_to_table(r.reloptions) as o
    where o.option_name = 'security_invoker'), false),
  'rows', r.reltuples::bigint,
  'bytes', case when r.relkind in ('r', 'p', 'm') then pg_catalog.pg_total_relation_size(r.oid) else 0 end,
  'columns', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', a.attname,
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'base', (
        with recursive down (oid, base) as (
          select t.oid, t.typbasetype from pg_catalog.pg_type as t where t.oid = a.atttypid
          union all
          select t.oid, t.typbasetype from pg_catalog.pg_type as t join down on t.oid = down.base
        )
        select t.typname from down join pg_catalog.pg_type as t using (oid) where down.base = 0),
      'not_null', a.attnotnull or exists (
        select from pg_catalog.pg_type as t where t.oid = a.atttypid and t.typnotnull),
      'default', coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''),
      'generated', a.attgenerated <> '',
      'identity', a.attidentity <> '',
      'serial', (
        select jsonb_build_object('schema', sn.nspname, 'table', s.relname)
        from pg_catalog.pg_depend as owned
        join pg_catalog.pg_class as s on s.oid = owned.objid and s.relkind = 'S'
        join pg_catalog.pg_namespace as sn on sn.oid = s.relnamespace
        where owned.classid = 'pg_catalog.pg_class'::regclass and owned.refclassid = 'pg_catalog.pg_class'::regclass
          and owned.refobjid = a.attrelid and owned.refobjsubid = a.attnum and owned.deptype = 'a' and a.attidentity = ''
        order by s.oid limit 1),
      'labels', (
        select coalesce(jsonb_agg(l.enumlabel order by l.enumsortorder), '[]')
        from pg_catalog.pg_enum as l where l.enumtypid = a.atttypid)
    ) order by a.attnum), '[]')
    from pg_catalog.pg_attribute as a
    left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped),
  'constraints', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', k.conname,
      'kind', case k.contype when 'p' then 'primary key' when 'u' then 'unique' when 'f' then 'foreign key'
                             when 'c' then 'check' else 'exclusion' end,
      'columns', (
        select coalesce(jsonb_agg(a.attname order by u.position), '[]')
        from unnest(k.conkey) with ordinality as u (attnum, position)
        join pg_catalog.pg_attribute as a on a.attrelid = k.conrelid and a.attnum = u.attnum),
      'definition', pg_catalog.pg_get_constraintdef(k.oid),
      'references', (
        select jsonb_build_object('schema', fn.nspname, 'table', f.relname)
        from pg_catalog.pg_class as f join pg_catalog.pg_namespace as fn on fn.oid = f.relnamespace
        where f.oid = k.confrelid),
      'referenced', (
        select coalesce(jsonb_agg(a.attname order by u.position), '[]')
        from unnest(k.confkey) with ordinality as u (attnum, position)
        join pg_catalog.pg_attribute as a on a.attrelid = k.confrelid and a.attnum = u.attnum)
    ) order by k.contype, k.conname), '[]')
    from pg_catalog.pg_constraint as k
    where k.conrelid = r.oid and k.contype in ('p', 'u', 'f', 'c', 'x')),
  'indexes', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', i.relname,
      'columns', (
        select coalesce(jsonb_agg(coalesce(a.attname, '') order by u.position), '[]')
        from unnest(x.indkey::int2[]) with ordinality as u (attnum, position)
        left join pg_catalog.pg_attribute as a on a.attrelid = x.indrelid and a.attnum = u.attnum and u.attnum > 0
        where u.position <= x.indnkeyatts),
      'method', m.amname,
      'unique', x.indisunique,
      'partial', x.indpred is not null,
      'valid', x.indisvalid,
      'comment', coalesce(pg_catalog.obj_description(i.oid, 'pg_class'), '')
    ) order by i.relname), '[]')
    from pg_catalog.pg_index as x
    join pg_catalog.pg_class as i on i.oid = x.indexrelid
    join pg_catalog.pg_am as m on m.oid = i.relam
    where x.indrelid = r.oid),
  'policies', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', p.polname,
      'command', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
      'permissive', p.polpermissive,
      'roles', (
        select coalesce(jsonb_agg(case when u.oid = 0 then 'public' else pg_catalog.pg_get_userbyid(u.oid)::text end order by u.position), '[]')
        from unnest(p.polroles) with ordinality as u (oid, position)),
      'using', coalesce(pg_catalog.pg_get_expr(p.polqual, p.polrelid), ''),
      'check', coalesce(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), ''),
      'comment', coalesce(pg_catalog.obj_description(p.oid, 'pg_policy'), '')
    ) order by p.polname), '[]')
    from pg_catalog.pg_policy as p where p.polrelid = r.oid),
  'grants', (
    select coalesce(jsonb_agg(jsonb_build_object('role', g.role, 'privilege', g.privilege, 'column', g.attname)
                              order by g.role, g.privilege, g.attname), '[]')
    from (
      select case when acl.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(acl.grantee)::text end as role,
             lower(acl.privilege_type) as privilege, '' as attname
      from pg_catalog.aclexplode(coalesce(r.relacl, pg_catalog.acldefault('r', r.relowner))) as acl
      where acl.grantee <> r.relowner
      union
      select case when acl.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(acl.grantee)::text end,
             lower(acl.privilege_type), a.attname
      from pg_catalog.pg_attribute as a
      cross join lateral pg_catalog.aclexplode(a.attacl) as acl
      where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped and acl.grantee <> r.relowner
    ) as g),
  'triggers', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', t.tgname,
      'enabled', t.tgenabled <> 'D'
    ) order by t.tgname), '[]')
    from pg_catalog.pg_trigger as t
    where t.tgrelid = r.oid and not t.tgisinternal),
  'parents', (
    select coalesce(jsonb_agg(jsonb_build_object('schema', pn.nspname, 'table', p.relname) order by i.inhseqno), '[]')
    from pg_catalog.pg_inherits as i
    join pg_catalog.pg_class as p on p.oid = i.inhparent
    join pg_catalog.pg_namespace as pn on pn.oid = p.relnamespace
    where i.inhrelid = r.oid and p.relkind in ('r', 'p', 'f')),
  'children', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'name', jsonb_build_object('schema', cn.nspname, 'table', c.relname),
      'kind', (select k.kind from kinds as k where k.relkind = c.relkind::text),
      'row_security', c.relrowsecurity,
      'grants', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'role', case when acl.grantee = 0 then 'public' else pg_catalog.pg_get_userbyid(acl.grantee)::text end,
          'privilege', lower(acl.privilege_type), 'column', '')), '[]')
        from pg_catalog.aclexplode(coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) as acl
        where acl.grantee <> c.relowner)
    ) order by cn.nspname, c.relname), '[]')
    from children
    join pg_catalog.pg_class as c using (oid)
    join pg_catalog.pg_namespace as cn on cn.oid = c.relnamespace)
)::text
from relation as r
