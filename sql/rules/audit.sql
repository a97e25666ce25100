-- No protection from the owner's will, who can drop the trigger; from a slip only. What an
-- update may do is to redact: an id becomes the word for that, and nothing else changes.
create or replace function clerk_sync.keep_audit_log() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  kept_since timestamptz := now() - (select s.audit_retention from clerk_sync.settings as s);
begin
  if tg_op = 'DELETE' then
    if not exists (select from removed as r where r.at >= kept_since) then
      return null;
    end if;
  elsif tg_op = 'UPDATE' then
    if clerk_sync.redacts(old, new) then
      return new;
    end if;
  end if;
  raise insufficient_privilege using message = format('the audit log is append-only: %s is refused', lower(tg_op collate "C")),
    hint = format('Records older than %s (settings.audit_retention) are removed by clerk_sync.purge().', kept_since::date);
end
$$;

-- Whether a record loses ids and nothing else.
create or replace function clerk_sync.redacts(was clerk_sync.audit_log, becomes clerk_sync.audit_log) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  ids   constant text[] := '{user_id,impersonator,org_id,row_id,new_row_id}';
  field text;
begin
  foreach field in array ids loop
    if to_jsonb(becomes) ->> field is distinct from to_jsonb(was) ->> field and to_jsonb(becomes) ->> field is distinct from 'redacted' then
      return false;
    end if;
  end loop;
  return to_jsonb(becomes) - ids = to_jsonb(was) - ids;
end
$$;

-- Claims that are no JSON count as absent: the request is then recorded as that of
-- no user, and not refused for the log's sake.
create or replace function clerk_sync.request_claims() returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return nullif(current_setting('request.jwt.claims', true), '')::jsonb;
exception when others then
  return null;
end
$$;

-- The statement that records many rows at once, or rows of any types: it names the
-- columns, and so has to be planned anew at every call. Rows before and after an
-- update are paired by their position, since both are kept in the order in which
-- the update came to them; if some are missing on one side (a trigger of the
-- partition to which they were moving refused them), by their keys.
create or replace function clerk_sync.audit_statement(target oid, action text, ignored text[], paired boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  keys   text[];
  row_id text;
  fields text;
  marker text;
begin
  -- Only what is built in is shown as JSON shows it: a cast to JSON that a team
  -- made for a type of his own would run with the rights of the log.
  select array_agg(case when a.atttypid < 16384 then format('t.%I', a.attname) else format('concat(t.%I)', a.attname) end
                   order by k.position)
  into keys
  from pg_catalog.pg_constraint as c
  cross join lateral unnest(c.conkey) with ordinality as k (attnum, position)
  join pg_catalog.pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.attnum
  where c.conrelid = audit_statement.target and c.contype = 'p';
  row_id := case cardinality(keys)
    when 1 then format('to_json(%s) #>> ''{}''', keys[1])
    else coalesce(format('json_build_array(%s)::text', array_to_string(keys, ', ')), 'null::text') end;

  if action <> 'update' then
    return 'insert into clerk_sync.audit_log (
        actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, row_id)
      select $1, $2, $3, $4, $5, $6, coalesce($11 ->> (' || row_id || '), $7), $8, $9, $10, ' || row_id || ' from told as t';
  end if;

  -- Compared as they are stored, which every type can be; where equal means the
  -- same bytes, the type's own operator is quicker.
  select string_agg(format('case when ' || case
           when a.atttypid = any ('{boolean,smallint,integer,bigint,uuid,date,timestamp,timestamptz}'::regtype[])
             then 'o.%1$I is distinct from n.%1$I'
           when a.atttypid = any ('{text,varchar}'::regtype[])
             then 'o.%1$I collate "C" is distinct from n.%1$I collate "C"'
           else 'record_image_ne(row(o.%1$I), row(n.%1$I))' end
           || ' then %1$L end', a.attname), ', ' order by a.attname collate "C")
  into fields
  from pg_catalog.pg_attribute as a
  where a.attrelid = audit_statement.target and a.attnum > 0 and not a.attisdropped
    and a.attname <> all (audit_statement.ignored);

  -- What numbers and ids are called must not be the name of a column.
  marker := 'audited';
  while exists (select from pg_catalog.pg_attribute as a
                where a.attrelid = audit_statement.target and a.attname in (marker || '_at', marker || '_id')) loop
    marker := marker || 'x';
  end loop;

  -- "offset 0" keeps the comparison in one place, so that it is made once a row.
  return format('
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name,
      action, row_id, new_row_id, changed)
    select $1, $2, $3, $4, $5, $6, coalesce($11 ->> d.row_id, $7), $8, $9, d.action, d.row_id,
           case when d.action = ''update'' and d.new_row_id <> d.row_id then d.new_row_id end,
           case when d.action = ''update'' then d.changed end
    from (
      select case when n.%1$s_at is null then ''delete'' when o.%1$s_at is null then ''insert'' else ''update'' end as action,
             coalesce(o.%1$s_id, n.%1$s_id) as row_id, n.%1$s_id as new_row_id,
             array_remove(array[%2$s]::text[], null) as changed
      from (select row_number() over () as %1$s_at, %3$s as %1$s_id, t.* from before as t) as o
      full join (select row_number() over () as %1$s_at, %3$s as %1$s_id, t.* from told as t) as n on o.%1$s_%4$s = n.%1$s_%4$s
      offset 0
    ) as d
    where d.action <> ''update'' or d.changed <> ''{}''',
    marker, fields, row_id, case when paired then 'at' else 'id' end);
end
$$;

-- Fires once a statement, for rows of whatever table. What the rows are called here
-- ("told", and "before" for those that an update replaced) is said by the trigger.
--
-- Only the login tells whether claims can be believed: the Data API verifies a
-- token and then logs in as authenticator. Anybody else can set the same claims.
--
-- A few rows of simple types go through statements that are planned once a session:
-- their text as JSON says exactly what they hold. That leaves out JSON where null
-- and JSON's own null are two things, floating point, and types that are not built
-- in; and rows of which so much text would be costly.
create or replace function clerk_sync.audit_rows() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp set timezone = 'UTC' set enable_hashjoin = on as $$
declare
  few          constant integer := 8;
  small        constant integer := 32768;
  rows         bigint;
  replaced     bigint;
  bytes        bigint;
  actor_kind   text := 'database';
  user_id      text;
  impersonator text;
  org_id       text;
  login        text;
  role         text;
  cause        text;
  causes       jsonb;
  table_schema text;
  table_name   text;
  action       text;
  ignored      text[];
  key          smallint[];
  keys         text[];
  simple       boolean := false;
  claims       jsonb;
begin
  -- An upsert fires for inserts and for updates, and mostly one of them is empty:
  -- that is found out before anything else is asked.
  if tg_op <> 'TRUNCATE' then
    if tg_op = 'UPDATE' then
      if not exists (select from told) and not exists (select from before) then
        return null;
      end if;
      select (select count(*) from told), (select count(*) from before),
             (select sum(pg_column_size(t.*)) from (select * from told limit few) as t)
               + (select sum(pg_column_size(b.*)) from (select * from before limit few) as b)
      into rows, replaced, bytes;
    else
      if not exists (select from told) then
        return null;
      end if;
      select count(*), count(*), (select sum(pg_column_size(t.*)) from (select * from told limit few) as t)
      into rows, replaced, bytes from told;
    end if;
  end if;
  login := session_user;
  role := nullif(current_setting('role'), 'none');
  cause := nullif(left(current_setting('clerk_sync.cause', true), 256), '');
  table_schema := tg_table_schema;
  table_name := tg_table_name;
  action := lower(tg_op collate "C");

  if login in ('clerksync_writer', 'clerksync_writer_b') then
    actor_kind := 'sync';
    -- A batch of events has many causes, by row.
    causes := nullif(current_setting('clerk_sync.causes', true), '')::jsonb;
  elsif login = 'authenticator' and role is not null then
    claims := clerk_sync.request_claims();
    user_id := left(nullif(claims ->> 'sub', ''), 255);
    impersonator := left(nullif(claims -> 'act' ->> 'sub', ''), 255);
    org_id := left(nullif(coalesce(claims -> 'o' ->> 'id', claims ->> 'org_id'), ''), 255);
    actor_kind := case when role = 'service_role' then 'service' when user_id is null then 'anonymous' else 'user' end;
  end if;

  if tg_op = 'TRUNCATE' then
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action)
    values (actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action);
    return null;
  end if;

  -- A row's history stays together, by any of its partitions.
  if pg_partition_root(tg_relid) <> tg_relid then
    select n.nspname, c.relname into table_schema, table_name
    from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where c.oid = pg_partition_root(tg_relid);
  end if;

  ignored := coalesce(tg_argv[0], '{}');
  if rows <= few and rows = replaced and bytes <= small then
    key := (select c.conkey from pg_catalog.pg_constraint as c where c.conrelid = tg_relid and c.contype = 'p');
    select array_agg(a.attname::text order by array_position(key, a.attnum)) filter (where a.attnum = any (key)),
           bool_and(a.atttypid = 'jsonb'::regtype and a.attnotnull or a.atttypid = any (
             '{boolean,smallint,integer,bigint,numeric,text,varchar,bpchar,uuid,date,timestamp,timestamptz,text[]}'::regtype[]))
    into keys, simple
    from pg_catalog.pg_attribute as a
    where a.attrelid = tg_relid and a.attnum > 0 and not a.attisdropped;
  end if;

  if not simple then
    execute clerk_sync.audit_statement(tg_relid, action, ignored, rows = replaced)
    using actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, causes;
  elsif tg_op = 'UPDATE' then
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name,
      action, row_id, new_row_id, changed)
    select actor_kind, user_id, impersonator, org_id, login, role, coalesce(causes ->> i.row_id, cause),
           table_schema, table_name, action, i.row_id,
           case when d.changed && keys and cardinality(keys) = 1 then n.told ->> keys[1]
                when d.changed && keys then (select json_agg(n.told -> k)::text from unnest(keys) as k) end,
           d.changed
    from (select row_number() over () as position, row_to_json(b.*) as told from before as b) as o
    join (select row_number() over () as position, row_to_json(t.*) as told from told as t) as n using (position)
    cross join lateral (
      select case when cardinality(keys) = 1 then o.told ->> keys[1]
                  else (select json_agg(o.told -> k)::text from unnest(keys) as k) end as row_id
    ) as i
    cross join lateral (
      select array_agg(f.name order by f.name collate "C") as changed
      from rows from (json_each(o.told), json_each(n.told)) as f (name, old, same_name, new)
      where f.old::text <> f.new::text and f.name <> all (ignored)
    ) as d
    where d.changed is not null;
  else
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, row_id)
    select actor_kind, user_id, impersonator, org_id, login, role, coalesce(causes ->> i.row_id, cause),
           table_schema, table_name, action, i.row_id
    from (select row_to_json(t.*) as told from told as t) as t
    cross join lateral (
      select case when cardinality(keys) = 1 then t.told ->> keys[1]
                  else (select json_agg(t.told -> k)::text from unnest(keys) as k) end as row_id
    ) as i;
  end if;
  return null;
end
$$;

-- Begins to audit a table, or brings its triggers up to date (a partition that has
-- been added since). An update that changes only what is ignored is not recorded.
create or replace function clerk_sync.audit_table(target regclass, ignore text[] default '{}') returns void
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
  known  pg_catalog.pg_class;
  broken text;
  part   regclass;
begin
  select * into known from pg_catalog.pg_class as c where c.oid = target;
  if not found then
    raise undefined_table using message = 'there is no such table to audit',
      hint = 'Write the name as in SQL, with its schema: ''public.invoices'', or ''public."Invoices"'' if it has capitals.';
  elsif known.oid = 'clerk_sync.audit_log'::regclass then
    raise invalid_parameter_value using message = 'the audit log cannot audit itself',
      hint = 'It refuses every update and delete anyway.';
  elsif known.relkind not in ('r', 'p') then
    raise wrong_object_type using
      message = format('%s is no table but a %s', target, case known.relkind
        when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' when 'S' then 'sequence'
        when 'i' then 'index' when 'I' then 'index' else 'thing of another kind' end),
      hint = case known.relkind
        when 'v' then 'Audit the tables below the view: what is written through it is recorded there.'
        when 'f' then 'Audit it in the database where it lives.'
        else 'Only tables can be audited.' end;
  elsif known.relpersistence = 't' then
    raise wrong_object_type using message = format('%s is temporary', target),
      hint = 'It is gone with its session; audit the table that its rows end up in.';
  elsif known.relnamespace::regnamespace::text ~ '^(pg_|information_schema$)' then
    raise insufficient_privilege using message = format('%s belongs to PostgreSQL itself', target),
      hint = 'Only tables of your own can be audited.';
  elsif not pg_has_role(current_user, known.relowner, 'usage') then
    raise insufficient_privilege using
      message = format('%s belongs to %I, not to %I', target, known.relowner::regrole::text, current_user),
      hint = 'Supabase''s own tables (auth, storage, …) cannot be audited this way; of any other, become the owner first.';
  elsif not exists (select from pg_catalog.pg_constraint as c where c.conrelid = target and c.contype = 'p') then
    raise object_not_in_prerequisite_state using message = format('%s has no primary key', target),
      hint = 'A record says which row it is about. Add one: '
        || format('alter table %s add column id bigint generated always as identity primary key.', target);
  end if;

  select string_agg(quote_literal(i), ', ' order by i) into broken
  from unnest(ignore) as i
  where not exists (select from pg_catalog.pg_attribute as a
                    where a.attrelid = target and a.attname = i and a.attnum > 0 and not a.attisdropped);
  if broken is not null then
    raise undefined_column using message = format('%s has no column %s', target, broken),
      hint = 'Name the columns to ignore as they are stored, without quotes.';
  end if;

  with recursive below (relid) as (
    select target::oid
    union
    select i.inhrelid from pg_catalog.pg_inherits as i join below on i.inhparent = below.relid
  )
  select string_agg(format('%s', c.oid::regclass), ', ' order by c.relname) into broken
  from below join pg_catalog.pg_class as c on c.oid = below.relid
  where c.relkind = 'f';
  if broken is not null then
    raise wrong_object_type using message = format('%s has parts that are foreign tables: %s', target, broken),
      hint = 'A trigger is shown no rows of those, and PostgreSQL may refuse the write for that. Audit the other parts one by one.';
  end if;

  -- What is written to a partition by its own name fires the partition's triggers
  -- only, and what is written through the parent fires only the parent's.
  foreach part in array array(select target union select t.relid from pg_catalog.pg_partition_tree(target) as t)
  loop
    execute format('create or replace trigger clerksync_audit_delete after delete on %s
      referencing old table as told for each statement execute function clerk_sync.audit_rows()', part);
    execute format('create or replace trigger clerksync_audit_insert after insert on %s
      referencing new table as told for each statement execute function clerk_sync.audit_rows()', part);
    execute format('create or replace trigger clerksync_audit_truncate after truncate on %s
      for each statement execute function clerk_sync.audit_rows()', part);
    execute format('create or replace trigger clerksync_audit_update after update on %s
      referencing old table as before new table as told for each statement execute function clerk_sync.audit_rows(%L)',
      part, coalesce(ignore, '{}'));
  end loop;
end
$$;

-- Ends it. What was recorded stays. False if the table was not audited.
create or replace function clerk_sync.unaudit_table(target regclass) returns boolean
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
  installed record;
  found_any boolean := false;
begin
  for installed in
    select t.tgrelid::regclass as part, t.tgname as name
    from pg_catalog.pg_trigger as t
    where t.tgfoid = 'clerk_sync.audit_rows()'::regprocedure
      and (t.tgrelid = target or t.tgrelid in (select p.relid from pg_catalog.pg_partition_tree(target) as p))
  loop
    execute format('drop trigger %I on %s', installed.name, installed.part);
    found_any := true;
  end loop;
  return found_any;
end
$$;

-- complete is false where a trigger is missing or disabled, as for a partition that
-- was added since: audit_table mends that.
create or replace function clerk_sync.audited_tables() returns table (table_schema text, table_name text, ignored text[], complete boolean)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
  with installed as (
    select t.tgrelid,
           max(case when t.tgname = 'clerksync_audit_update' and t.tgnargs = 1
                    then convert_from(substr(t.tgargs, 1, length(t.tgargs) - 1), getdatabaseencoding()) end)::text[] as ignored,
           count(*) filter (where t.tgenabled in ('O', 'A')) = 4 as complete
    from pg_catalog.pg_trigger as t
    where t.tgfoid = 'clerk_sync.audit_rows()'::regprocedure
    group by t.tgrelid
  )
  select n.nspname, c.relname, coalesce(i.ignored, '{}'),
         i.complete and not exists (
           select from pg_catalog.pg_partition_tree(i.tgrelid) as p
           left join installed as part on part.tgrelid = p.relid
           where part.complete is distinct from true)
  from installed as i
  join pg_catalog.pg_class as c on c.oid = i.tgrelid
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  -- A partition is told with its parent.
  where not exists (
    select from installed as parent
    where parent.tgrelid <> i.tgrelid
      and i.tgrelid in (select p.relid from pg_catalog.pg_partition_tree(parent.tgrelid) as p))
  order by 1, 2
$$;

-- Newest first; what is null does not matter. before is the id of a record: the
-- next page begins behind the last one of this.
create or replace function clerk_sync.recent_audit(
  table_schema text default null, table_name text default null, row_id text default null, user_id text default null,
  before bigint default null, most integer default 50
) returns setof clerk_sync.audit_log
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
  return query
  select l.* from clerk_sync.audit_log as l
  where (recent_audit.table_schema is null or l.table_schema = recent_audit.table_schema)
    and (recent_audit.table_name is null or l.table_name = recent_audit.table_name)
    and (recent_audit.row_id is null or l.row_id = recent_audit.row_id or l.new_row_id = recent_audit.row_id)
    and (recent_audit.user_id is null or l.user_id = recent_audit.user_id)
    and (recent_audit.before is null or l.id < recent_audit.before)
  order by l.id desc
  limit least(greatest(recent_audit.most, 1), 1000);
end
$$;

revoke execute on function
  clerk_sync.keep_audit_log(), clerk_sync.redacts(clerk_sync.audit_log, clerk_sync.audit_log), clerk_sync.request_claims(), clerk_sync.audit_statement(oid, text, text[], boolean),
  clerk_sync.audit_rows(), clerk_sync.audit_table(regclass, text[]), clerk_sync.unaudit_table(regclass),
  clerk_sync.audited_tables(), clerk_sync.recent_audit(text, text, text, text, bigint, integer)
from public, anon, authenticated, service_role;
