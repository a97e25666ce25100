-- Up to three tables that somebody may have meant by schema $1 and name $2: the
-- same name elsewhere or in another case first.
select n.nspname, c.relname
from pg_catalog.pg_class as c
join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
  and n.nspname not like 'pg\_temp\_%'
  and (lower(c.relname) = lower($2::text)
       or n.nspname = $1::text
          and (lower(c.relname) in (lower($2::text) || 's', rtrim(lower($2::text), 's'))
               or starts_with(lower(c.relname), left(lower($2::text), greatest(3, length($2::text) - 2)))))
order by lower(c.relname) <> lower($2::text), n.nspname <> $1::text, n.nspname, c.relname
limit 3
