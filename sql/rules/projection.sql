-- The public half of a private table, as users_public is of users: a table of its
-- own, since a policy decides about rows and not about columns. A trigger of the
-- private table keeps it, with these arguments: schema and name of the
-- projection, the columns of the key, and all its columns, both as arrays.
create or replace function clerk_sync.project_rows() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  target  constant text := format('%I.%I', tg_argv[0], tg_argv[1]);
  keys    constant text[] := tg_argv[2];
  columns constant text[] := tg_argv[3];
  -- The same list of columns in the forms that the statements need.
  key_list    constant text := (select string_agg(quote_ident(k), ', ') from unnest(keys) as k);
  column_list constant text := (select string_agg(quote_ident(c), ', ') from unnest(columns) as c);
  excluded    constant text := (select string_agg('excluded.' || quote_ident(c), ', ') from unnest(columns) as c);
  present     constant text := (select string_agg('p.' || quote_ident(c), ', ') from unnest(columns) as c);
  assignments constant text := (select string_agg(format('%1$I = excluded.%1$I', c), ', ') from unnest(columns) as c);
  gone        constant text := (select string_agg(format('p.%1$I = r.%1$I', k), ' and ') from unnest(keys) as k);
begin
  if tg_op = 'TRUNCATE' then
    execute format('truncate %s', target);
    return null;
  end if;
  -- A key that an update changed leaves its old row behind.
  if tg_op = 'UPDATE' then
    execute format('delete from %s as p using (select %2$s from removed except select %2$s from written) as r where %3$s', target, key_list, gone);
  elsif tg_op = 'DELETE' then
    execute format('delete from %s as p using removed as r where %s', target, gone);
    return null;
  end if;
  execute format(
    'insert into %s as p (%2$s) select %2$s from written order by %3$s '
    'on conflict (%3$s) do update set %4$s where (%5$s) is distinct from (%6$s)',
    target, column_list, key_list, assignments, present, excluded);
  return null;
end
$$;

revoke execute on function clerk_sync.project_rows() from public, anon, authenticated, service_role;
