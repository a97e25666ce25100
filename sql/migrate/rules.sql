do {{script_quote}}
declare
  -- What the rules made before, as their names are written with this path.
  recorded constant text[] := (select r.functions from clerk_sync.rules as r);
  made     text[];
  taken    text;
  gone     text;
  hint     text;
  detail   text;
  before   text[];
  rules    constant text := {{rules_quote}}
{{rules}}{{rules_quote}};
begin
  perform set_config('search_path', 'pg_catalog, pg_temp', true);
  -- Functions refer to each other in any order.
  perform set_config('check_function_bodies', 'off', true);

  if exists (select from clerk_sync.rules as r where r.revision > {{revision}}) then
    raise sqlstate 'CS003' using message = 'the rules of this database are those of a newer release';
  end if;

  before := array(
    select p.oid || '/' || p.xmin from pg_proc as p
    where p.pronamespace in (select n.oid from pg_namespace as n where n.nspname in ('clerk_sync', {{exposed_literal}}, {{helpers_literal}})));

  loop
    begin
      execute rules;
      exit;
    exception when invalid_function_definition then
      -- Another result, or other names of arguments: "create or replace" wants the
      -- function dropped, and names it in its hint.
      get stacked diagnostics hint = pg_exception_hint;
      gone := substring(hint from 'DROP FUNCTION (.+\))');
      if gone is null then
        raise;
      elsif not gone = any (recorded) then
        raise sqlstate 'CS001' using message = format('the function %s exists and is not clerksync''s', gone);
      end if;
      begin
        execute format('drop function %s', gone);
      exception when dependent_objects_still_exist then
        get stacked diagnostics detail = pg_exception_detail;
        raise sqlstate 'CS002' using message = format('the function %s has to be made anew, and this uses it: %s', gone, replace(detail, e'\n', '; ')),
          hint = 'Drop what uses it, migrate, and make it again.';
      end;
    end;
  end loop;

  with present as (
    select p.oid::regprocedure::text as signature, p.oid, p.xmin, p.oid || '/' || p.xmin as state
    from pg_proc as p
    where p.pronamespace in (select n.oid from pg_namespace as n where n.nspname in ('clerk_sync', {{exposed_literal}}, {{helpers_literal}}))
  ), written as (
    select w.signature, exists (select from unnest(before) as b where b like w.oid || '/%') as replaced
    from present as w
    -- Not what another transaction has committed meanwhile: our own is still at work. In
    -- this order, since the number of an old transaction cannot be asked about.
    where case when w.state = any (before) then false
      else pg_xact_status(((pg_current_xact_id()::text::bigint >> 32 << 32) | w.xmin::text::bigint)::text::xid8) = 'in progress' end
  )
  select array_agg(w.signature order by w.signature collate "C"),
         string_agg(w.signature, ', ' order by w.signature collate "C") filter (where w.replaced and w.signature <> all (recorded))
  into made, taken
  from written as w;
  if taken is not null then
    raise sqlstate 'CS001' using message = format('functions exist that are not clerksync''s: %s', taken);
  end if;

  foreach gone in array recorded loop
    if gone <> all (made) and to_regprocedure(gone) is not null then
      begin
        execute format('drop function %s', gone);
      exception when dependent_objects_still_exist then
        get stacked diagnostics detail = pg_exception_detail;
        raise sqlstate 'CS002' using message = format('the function %s has left the rules, and this uses it: %s', gone, replace(detail, e'\n', '; ')),
          hint = 'Drop what uses it, or make it use another function, and migrate.';
      end;
    end if;
  end loop;

  update clerk_sync.rules as r set checksum = '{{checksum}}', revision = {{revision}}, functions = made, applied_at = now();
end
{{script_quote}};
