-- Who changed what: one record for each row that was inserted, updated or deleted
-- in an audited table, with the names of the fields that changed and none of
-- their values. Any table can be audited:
--
--   select clerk_sync.audit_table('public.invoices', '{updated_at}');

create table clerk_sync.audit_log (
  id           bigint generated always as identity primary key,
  at           timestamptz not null default now(),
  actor_kind   text not null,
  user_id      text,
  impersonator text,
  org_id       text,
  login        text not null,
  role         text,
  cause        text,
  table_schema text not null,
  table_name   text not null,
  action       text not null,
  row_id       text,
  new_row_id   text,
  changed      text[],
  constraint audit_log_actor_kind check (actor_kind in ('user', 'anonymous', 'service', 'sync', 'database')),
  constraint audit_log_action check (action in ('insert', 'update', 'delete', 'truncate')),
  constraint audit_log_changed check ((action = 'update') = (changed is not null))
);

comment on table clerk_sync.audit_log is
  'Who changed which fields of which row. Append-only: records go when settings.audit_retention is over, through clerk_sync.purge().';
comment on column clerk_sync.audit_log.at is 'When the transaction began.';
comment on column clerk_sync.audit_log.actor_kind is
  'user and anonymous: a request to the Data API, with a user''s token or without; service: a request with the service key; sync: clerksync; database: any other login.';
comment on column clerk_sync.audit_log.user_id is 'Clerk id, from the verified claims of a request.';
comment on column clerk_sync.audit_log.impersonator is 'Who acted as the user: act.sub of the claims.';
comment on column clerk_sync.audit_log.org_id is 'The organization that was active in the token.';
comment on column clerk_sync.audit_log.login is 'session_user: the role that the connection logged in as.';
comment on column clerk_sync.audit_log.role is 'The role that was set after the login; null if none was.';
comment on column clerk_sync.audit_log.cause is
  'svix-id of the event, run_<id> of the full sync, or "purge"; other transactions may set clerk_sync.cause to whatever explains them.';
comment on column clerk_sync.audit_log.row_id is 'The primary key; a JSON array if it has several columns; null for truncate and tables without one.';
comment on column clerk_sync.audit_log.new_row_id is 'The primary key after an update that changed it.';
comment on column clerk_sync.audit_log.changed is 'Names of the fields that an update changed.';

-- Ids are looked up by equality only, and a hash index takes those of any length:
-- a key that fits the audited table's own index must not be refused here.
create index audit_log_row_idx on clerk_sync.audit_log using hash (row_id);
create index audit_log_new_row_idx on clerk_sync.audit_log using hash (new_row_id) where new_row_id is not null;
create index audit_log_user_idx on clerk_sync.audit_log (user_id, id) where user_id is not null;
create index audit_log_at_idx on clerk_sync.audit_log (at);

alter table clerk_sync.audit_log enable row level security;
revoke all on table clerk_sync.audit_log from public, anon, authenticated, service_role;
grant select on table clerk_sync.audit_log to service_role;

alter table clerk_sync.settings
  add column audit_retention interval not null default '400 days',
  add constraint settings_audit_retention check (audit_retention between '1 day' and '100 years');

comment on column clerk_sync.settings.audit_retention is 'How long records of clerk_sync.audit_log are kept; nothing removes them earlier.';

-- No protection from the owner's will, who can drop the trigger; from a slip only.
create function clerk_sync.keep_audit_log() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  kept_since timestamptz := now() - (select s.audit_retention from clerk_sync.settings as s);
begin
  if tg_op = 'DELETE' then
    if not exists (select from removed as r where r.at >= kept_since) then
      return null;
    end if;
  end if;
  raise insufficient_privilege using message = format('the audit log is append-only: %s is refused', lower(tg_op collate "C")),
    hint = format('Records older than %s (settings.audit_retention) are removed by clerk_sync.purge().', kept_since::date);
end
$$;

create trigger clerksync_keep before update or truncate on clerk_sync.audit_log
  for each statement execute function clerk_sync.keep_audit_log();
create trigger clerksync_keep_recent after delete on clerk_sync.audit_log
  referencing old table as removed
  for each statement execute function clerk_sync.keep_audit_log();

-- Also where session_replication_role silences other triggers.
alter table clerk_sync.audit_log enable always trigger clerksync_keep;
alter table clerk_sync.audit_log enable always trigger clerksync_keep_recent;

-- Claims that are no JSON count as absent: the request is then recorded as that of
-- nobody, and not refused for the log's sake.
create function clerk_sync.request_claims() returns jsonb
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
create function clerk_sync.audit_statement(target oid, action text, ignored text[], paired boolean) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
  keys   text[];
  row_id text;
  fields text;
  marker text;
begin
  -- Only what is built in is shown as JSON shows it: a cast to JSON that somebody
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
      select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, ' || row_id || ' from told as t';
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
    select $1, $2, $3, $4, $5, $6, $7, $8, $9, d.action, d.row_id,
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
create function clerk_sync.audit_rows() returns trigger
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

  if login = 'clerksync_writer' then
    actor_kind := 'sync';
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

  -- A row's history stays together, whichever partition it was written through.
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
    using actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action;
  elsif tg_op = 'UPDATE' then
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name,
      action, row_id, new_row_id, changed)
    select actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name,
           action,
           case when cardinality(keys) = 1 then o.told ->> keys[1]
                else (select json_agg(o.told -> k)::text from unnest(keys) as k) end,
           case when d.changed && keys and cardinality(keys) = 1 then n.told ->> keys[1]
                when d.changed && keys then (select json_agg(n.told -> k)::text from unnest(keys) as k) end,
           d.changed
    from (select row_number() over () as position, row_to_json(b.*) as told from before as b) as o
    join (select row_number() over () as position, row_to_json(t.*) as told from told as t) as n using (position)
    cross join lateral (
      select array_agg(f.name order by f.name collate "C") as changed
      from rows from (json_each(o.told), json_each(n.told)) as f (name, old, same_name, new)
      where f.old::text <> f.new::text and f.name <> all (ignored)
    ) as d
    where d.changed is not null;
  else
    insert into clerk_sync.audit_log (
      actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, row_id)
    select actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action,
           case when cardinality(keys) = 1 then t.told ->> keys[1]
                else (select json_agg(t.told -> k)::text from unnest(keys) as k) end
    from (select row_to_json(t.*) as told from told as t) as t;
  end if;
  return null;
end
$$;

-- Begins to audit a table, or brings its triggers up to date (a partition that has
-- been added since). An update that changes only what is ignored is not recorded.
create function clerk_sync.audit_table(target regclass, ignore text[] default '{}') returns void
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
create function clerk_sync.unaudit_table(target regclass) returns boolean
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
create function clerk_sync.audited_tables() returns table (table_schema text, table_name text, ignored text[], complete boolean)
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
create function clerk_sync.recent_audit(
  table_schema text default null, table_name text default null, row_id text default null, user_id text default null,
  before bigint default null, most integer default 50
) returns setof clerk_sync.audit_log
language plpgsql stable security invoker
-- Planned for what is asked, so that it finds its index.
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

-- What is left out of the copy's records moves with every write or without meaning:
-- what is clerksync's own, when somebody was last seen, and updated_at, which
-- goes with every other change.
do $$
declare
  own constant text[] := '{synced_at,sync_version,updated_at}';
begin
  perform clerk_sync.audit_table(format('%I.users', {{exposed_literal}})::regclass,
    own || '{is_placeholder,last_active_at,last_sign_in_at}'::text[]);
  perform clerk_sync.audit_table(format('%I.organizations', {{exposed_literal}})::regclass, own || '{is_placeholder}'::text[]);
  perform clerk_sync.audit_table(format('%I.organization_memberships', {{exposed_literal}})::regclass, own);
  perform clerk_sync.audit_table('clerk.organization_roles', own);
  perform clerk_sync.audit_table('clerk.organization_permissions', own);
end
$$;

-- The sync functions as they were, with one thing more: for as long as they work
-- they say in clerk_sync.cause what they work for.

create or replace function clerk_sync.apply_event(
  svix_id text, event jsonb, expected_instance text default null, out outcome text, out reason text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  data            jsonb;
  user_id         text;
  organization_id text;
  detail          text;
  outer_cause     text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if exists (select from clerk_sync.webhook_events as e where e.svix_id = apply_event.svix_id) then
    outcome := 'duplicate';
    return;
  end if;

  data := case when jsonb_typeof(event -> 'data') = 'object' then event -> 'data' end;
  if data is null or jsonb_typeof(event -> 'type') is distinct from 'string'
     or length(event ->> 'type') not between 1 and 200 then
    outcome := 'rejected'; reason := 'not_an_event';
  else
    perform set_config('clerk_sync.cause', svix_id, true);
    select d.outcome, d.reason, d.detail into outcome, reason, detail
    from clerk_sync.dispatch_event(event, expected_instance) as d;
    perform set_config('clerk_sync.cause', outer_cause, true);
  end if;

  user_id := left(case split_part(event ->> 'type', '.', 1)
    when 'user' then data ->> 'id'
    when 'organizationMembership' then data -> 'public_user_data' ->> 'user_id' end, 255);
  organization_id := left(case split_part(event ->> 'type', '.', 1)
    when 'organization' then data ->> 'id'
    when 'organizationMembership' then data -> 'organization' ->> 'id' end, 255);

  -- Recorded in the same transaction as the change. Two deliveries at one time
  -- may both come this far: the second waits here for the first, and what it did
  -- above changed nothing, since it stated what the first had just written.
  insert into clerk_sync.webhook_events as e (
    svix_id, type, outcome, reason, detail, object_id, user_id, organization_id, instance_id, stated_at, payload)
  values (
    svix_id, case when reason is distinct from 'not_an_event' then event ->> 'type' else '' end,
    outcome, reason, detail, left(data ->> 'id', 255), user_id, organization_id,
    left(event ->> 'instance_id', 255),
    case when jsonb_typeof(event -> 'timestamp') = 'number' and (event ->> 'timestamp')::numeric between 0 and 1e14
      then to_timestamp(((event ->> 'timestamp')::numeric
        / case when (event ->> 'timestamp')::numeric < 1e11 then 1 else 1000 end)::double precision) end,
    case when outcome = 'rejected'
           or outcome <> 'ignored' and (select s.keep_applied_payloads from clerk_sync.settings as s)
      then clerk_sync.keepable_payload(event, user_id, organization_id) end)
  on conflict on constraint webhook_events_pkey do nothing;

  if not found then
    outcome := 'duplicate'; reason := null;
  end if;
end
$$;

create or replace function clerk_sync.replay_event(svix_id text, out outcome text, out reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  stored      clerk_sync.webhook_events;
  detail      text;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  select * into stored from clerk_sync.webhook_events as e
  where e.svix_id = replay_event.svix_id for update;
  if not found then
    raise no_data_found using message = format('no event %s is recorded', svix_id),
      hint = 'Events are forgotten after settings.event_retention; Clerk''s dashboard can send it again.';
  end if;
  if stored.outcome <> 'rejected' then
    outcome := stored.outcome;
    return;
  end if;
  if stored.payload is null then
    outcome := 'rejected'; reason := stored.reason;
    return;
  end if;

  perform set_config('clerk_sync.cause', svix_id, true);
  select d.outcome, d.reason, d.detail into outcome, reason, detail
  from clerk_sync.dispatch_event(stored.payload, null) as d;
  perform set_config('clerk_sync.cause', outer_cause, true);

  update clerk_sync.webhook_events as e set
    outcome = replay_event.outcome, reason = replay_event.reason, detail = detail, replayed_at = now(),
    payload = case when replay_event.outcome = 'rejected'
                     or (select s.keep_applied_payloads from clerk_sync.settings as s) then e.payload end
  where e.svix_id = replay_event.svix_id;
end
$$;

create or replace function clerk_sync.apply_page(
  run bigint, holder text, "position" integer,
  object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint,
  out created bigint, out updated bigint, out deleted bigint, out unchanged bigint, out stale bigint, out drift bigint
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  before      text[];
  said        bigint[];
  results     text[];
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if run is not null then
    perform clerk_sync.require_lock(run, holder);
    -- A page is sent again when its answer was lost, and the first may still be at
    -- work then: what that one writes is counted there, and unchanged here.
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(object || ids[1], run));
    perform set_config('clerk_sync.cause', 'run_' || run, true);
  end if;

  before := clerk_sync.versions(object, ids);
  said := array(select u.ms from unnest(ids, updated_ms) as u (id, ms) order by u.id);
  results := array(select a.result from clerk_sync.apply_objects(object, resources, stated_ms) as a order by a.id);
  perform set_config('clerk_sync.cause', outer_cause, true);

  select count(*) filter (where r.result = 'created'),
         count(*) filter (where r.result = 'updated'),
         count(*) filter (where r.result = 'deleted'),
         count(*) filter (where r.result = 'unchanged'),
         count(*) filter (where r.result = 'stale'),
         count(*) filter (where r.result in ('created', 'updated')
                            and clerk_sync.is_drift(r.result, r.before, r.said, settled_ms))
  into created, updated, deleted, unchanged, stale, drift
  from unnest(results, before, said) as r (result, before, said);

  -- A listed object whose tombstone we hold was deleted after the page was
  -- requested, or Clerk's list was behind: the copy is right.
  stale := stale + deleted;
  deleted := 0;

  if run is not null and created + updated > 0 then
    perform clerk_sync.count_window(run, object, "position",
      jsonb_build_object('created', created, 'updated', updated, 'drift', drift));
  end if;
end
$$;

create or replace function clerk_sync.delete_absent(
  run bigint, holder text, object text, most integer,
  out taken bigint
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ids         text[];
  at          timestamptz;
  deleted     bigint := 0;
  ended       bigint := 0;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  perform clerk_sync.require_lock(run, holder);

  with batch as (
    select a.object_id from clerk_sync.sync_absences as a
    where a.run_id = delete_absent.run and a.object = delete_absent.object
    order by a.object_id limit delete_absent.most
  ), removed as (
    delete from clerk_sync.sync_absences as a using batch as b
    where a.run_id = delete_absent.run and a.object = delete_absent.object and a.object_id = b.object_id
    returning a.object_id, a.confirmed_at
  )
  select array_agg(r.object_id order by r.object_id), min(r.confirmed_at), count(*) into ids, at, taken from removed as r;

  if taken = 0 then
    return;
  end if;

  ids := array(
    select i.id
    from unnest(ids, clerk_sync.versions(object, ids)) as i (id, version)
    where i.version is not null
      and (i.version < '1' or i.version < '9' and substr(i.version, 19, 15)::bigint <= extract(epoch from at) * 1000));

  perform set_config('clerk_sync.cause', 'run_' || run, true);
  case object
  when 'user' then
    ended := (select count(*) from {{exposed}}.organization_memberships as m
                          where m.clerk_user_id = any (ids) and m.deleted_at is null);
    deleted := (select count(*) from clerk_sync.tombstone_users(ids, at) as t where t.result = 'deleted');
  when 'organization' then
    ended := (select count(*) from {{exposed}}.organization_memberships as m
                          where m.clerk_org_id = any (ids) and m.deleted_at is null);
    deleted := (select count(*) from clerk_sync.tombstone_organizations(ids, at) as t where t.result = 'deleted');
  when 'organization_membership' then
    deleted := (select count(*) from clerk_sync.end_memberships(ids, at) as t where t.result = 'deleted');
  when 'role' then
    deleted := (select count(*) from clerk_sync.tombstone_roles(ids, at) as t where t.result = 'deleted');
  when 'permission' then
    deleted := (select count(*) from clerk_sync.tombstone_permissions(ids, at) as t where t.result = 'deleted');
  end case;
  perform set_config('clerk_sync.cause', outer_cause, true);

  -- Counted in the same transaction, so that a lost answer loses no count.
  perform clerk_sync.count_window(delete_absent.run, d.object, 2000000000, jsonb_build_object('deleted', d.n, 'drift', d.n))
  from (values (delete_absent.object, deleted), ('organization_membership', ended)) as d (object, n)
  where d.n > 0;
end
$$;

create or replace function clerk_sync.purge(most integer default 10000) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  s           clerk_sync.settings;
  payloads    bigint;
  events      bigint;
  members     bigint;
  users       bigint := 0;
  orgs        bigint := 0;
  held        bigint := 0;
  audited     bigint;
  gone        text;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  select * into s from clerk_sync.settings;
  perform set_config('clerk_sync.cause', 'purge', true);

  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - s.payload_retention and (e.payload is not null or e.raw_body is not null)
    order by e.received_at limit purge.most for update skip locked)
  update clerk_sync.webhook_events as e set payload = null, raw_body = null
  from old where e.svix_id = old.svix_id;
  get diagnostics payloads = row_count;

  with old as (
    select e.svix_id from clerk_sync.webhook_events as e
    where e.received_at < now() - s.event_retention
    order by e.received_at limit purge.most for update skip locked)
  delete from clerk_sync.webhook_events as e using old where e.svix_id = old.svix_id;
  get diagnostics events = row_count;

  if not s.store_private_metadata then
    delete from clerk_sync.private_metadata;
  end if;

  with old as (
    select m.clerk_membership_id from {{exposed}}.organization_memberships as m
    where m.deleted_at < now() - s.tombstone_retention
    order by m.clerk_membership_id limit purge.most for update skip locked)
  delete from {{exposed}}.organization_memberships as m using old where m.clerk_membership_id = old.clerk_membership_id;
  get diagnostics members = row_count;

  -- A tombstone that an application's own table still refers to stays: it holds
  -- no personal data, and removing it is for whoever owns that reference.
  for gone in
    select u.clerk_id from {{exposed}}.users as u
    where u.deleted_at < now() - s.tombstone_retention
    order by u.clerk_id limit purge.most for update skip locked
  loop
    begin
      delete from {{exposed}}.users as u where u.clerk_id = gone;
      users := users + 1;
    exception when foreign_key_violation then
      held := held + 1;
    end;
  end loop;

  for gone in
    select o.clerk_org_id from {{exposed}}.organizations as o
    where o.deleted_at < now() - s.tombstone_retention
    order by o.clerk_org_id limit purge.most for update skip locked
  loop
    begin
      delete from {{exposed}}.organizations as o where o.clerk_org_id = gone;
      orgs := orgs + 1;
    exception when foreign_key_violation then
      held := held + 1;
    end;
  end loop;

  with old as (
    select l.id from clerk_sync.audit_log as l
    where l.at < now() - s.audit_retention
    order by l.at limit purge.most for update skip locked)
  delete from clerk_sync.audit_log as l using old where l.id = old.id;
  get diagnostics audited = row_count;

  perform set_config('clerk_sync.cause', outer_cause, true);
  return jsonb_build_object('payloads', payloads, 'events', events, 'organization_memberships', members,
                            'users', users, 'organizations', orgs, 'held', held,
                            'audit_records', audited);
end
$$;

revoke execute on function
  clerk_sync.keep_audit_log(), clerk_sync.request_claims(),
  clerk_sync.audit_statement(oid, text, text[], boolean), clerk_sync.audit_rows(),
  clerk_sync.audit_table(regclass, text[]), clerk_sync.unaudit_table(regclass), clerk_sync.audited_tables(),
  clerk_sync.recent_audit(text, text, text, text, bigint, integer)
from public, anon, authenticated, service_role;
