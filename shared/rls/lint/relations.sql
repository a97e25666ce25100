-- Every table, view and foreign table of the schemas $1, one JSON object a row.
with api (role) as (
  select r.rolname from pg_catalog.pg_roles as r where r.rolname in ('anon', 'authenticated', 'service_role')
)
select jsonb_build_object(
  'oid', c.oid::bigint,
  'schema', n.nspname,
  'name', c.relname,
  'kind', c.relkind,
  'owner_bypasses', (
    select o.rolbypassrls or o.rolsuper from pg_catalog.pg_roles as o where o.oid = c.relowner),
  'extension', exists (
    select from pg_catalog.pg_depend as d
    where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.objsubid = 0 and d.deptype = 'e'),
  'row_security', c.relrowsecurity,
  'invoker', coalesce((
    select bool_or(lower(o.option_value) in ('true', 'on', 'yes', '1'))
    from pg_catalog.pg_options_to_table(c.reloptions) as o
    where o.option_name = 'security_invoker'), false),
  'definition', case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid) end,
  'reads', case when c.relkind in ('v', 'm') then (
    select jsonb_agg(distinct d.refobjid::bigint)
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_depend as d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
    where w.ev_class = c.oid and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype = 'n' and d.refobjid <> c.oid) end,
  'columns', (
    select jsonb_agg(jsonb_build_object(
      'number', a.attnum,
      'name', a.attname,
      'type', pg_catalog.format_type(coalesce(nullif(t.typbasetype, 0), t.oid), null),
      'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
      'generated', a.attgenerated <> '',
      'sequence', (
        select jsonb_build_object('schema', sn.nspname, 'name', s.relname, 'usable', (
          select jsonb_agg(api.role order by api.role) from api
          where pg_catalog.has_sequence_privilege(api.role, s.oid, 'usage, update')))
        from pg_catalog.pg_depend as uses
        join pg_catalog.pg_class as s on s.oid = uses.refobjid and s.relkind = 'S'
        join pg_catalog.pg_namespace as sn on sn.oid = s.relnamespace
        where uses.classid = 'pg_catalog.pg_attrdef'::regclass and uses.objid = d.oid
          and uses.refclassid = 'pg_catalog.pg_class'::regclass
        order by s.oid limit 1)
    ) order by a.attnum)
    from pg_catalog.pg_attribute as a
    join pg_catalog.pg_type as t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
  'indexes', (
    select jsonb_agg(jsonb_build_object(
      'name', i.relname,
      'shape', replace(pg_catalog.pg_get_indexdef(i.oid), 'INDEX ' || quote_ident(i.relname) || ' ON', ''),
      'columns', x.indkey::int2[],
      'lookup', m.amname in ('btree', 'hash') and x.indpred is null,
      'valid', x.indisvalid,
      'primary', x.indisprimary,
      'constraint', exists (
        select from pg_catalog.pg_constraint as k where k.conindid = i.oid and k.contype in ('p', 'u', 'x'))
    ) order by i.relname)
    from pg_catalog.pg_index as x
    join pg_catalog.pg_class as i on i.oid = x.indexrelid
    join pg_catalog.pg_am as m on m.oid = i.relam
    where x.indrelid = c.oid),
  'foreign_keys', (
    select jsonb_agg(jsonb_build_object(
      'name', k.conname,
      'columns', k.conkey,
      'schema', fn.nspname,
      'table', f.relname,
      'inherited', k.conparentid <> 0,
      -- Of a unique key that is not the primary one.
      'unique', coalesce((
        select x.indisunique and not x.indisprimary from pg_catalog.pg_index as x where x.indexrelid = k.conindid), false)
    ) order by k.conname)
    from pg_catalog.pg_constraint as k
    join pg_catalog.pg_class as f on f.oid = k.confrelid
    join pg_catalog.pg_namespace as fn on fn.oid = f.relnamespace
    where k.conrelid = c.oid and k.contype = 'f'),
  'policies', (
    select jsonb_agg(jsonb_build_object(
      'name', p.polname,
      'command', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
      'permissive', p.polpermissive,
      'roles', (
        select jsonb_agg(case when u.oid = 0 then 'public' else coalesce(r.rolname, u.oid::text) end order by u.position)
        from unnest(p.polroles) with ordinality as u (oid, position)
        left join pg_catalog.pg_roles as r on r.oid = u.oid),
      -- Those of its roles that no policy holds for.
      'bypassing', (
        select jsonb_agg(r.rolname order by r.rolname)
        from pg_catalog.pg_roles as r where r.oid = any (p.polroles) and (r.rolbypassrls or r.rolsuper)),
      'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
      'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
      'functions', (
        select jsonb_agg(distinct d.refobjid::bigint)
        from pg_catalog.pg_depend as d
        where d.classid = 'pg_catalog.pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_catalog.pg_proc'::regclass)
    ) order by p.polname)
    from pg_catalog.pg_policy as p where p.polrelid = c.oid),
  'triggers', (
    select jsonb_agg(jsonb_build_object(
      'name', t.tgname, 'function', t.tgfoid::bigint, 'enabled', t.tgenabled <> 'D', 'definition', pg_catalog.pg_get_triggerdef(t.oid)
    ) order by t.tgname)
    from pg_catalog.pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal),
  'parents', (
    select jsonb_agg(i.inhparent::bigint order by i.inhseqno)
    from pg_catalog.pg_inherits as i where i.inhrelid = c.oid),
  'privileges', (
    select jsonb_object_agg(api.role, (
      select jsonb_agg(p.privilege order by p.position)
      from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) with ordinality as p (privilege, position)
      where pg_catalog.has_table_privilege(api.role, c.oid, p.privilege)))
    from api),
  -- On one column at least.
  'column_privileges', (
    select jsonb_object_agg(api.role, (
      select jsonb_agg(p.privilege order by p.position)
      from unnest(array['select', 'insert', 'update']) with ordinality as p (privilege, position)
      where pg_catalog.has_any_column_privilege(api.role, c.oid, p.privilege)))
    from api),
  -- What reaches everybody, and so the roles of the API too.
  'public_privileges', (
    select jsonb_agg(distinct lower(acl.privilege_type))
    from pg_catalog.aclexplode(c.relacl) as acl where acl.grantee = 0)
)::text
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any ($1::text[])
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by n.nspname, c.relname
