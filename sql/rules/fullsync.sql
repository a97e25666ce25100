create or replace function clerk_sync.run_windows(run bigint) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return (
    select coalesce(jsonb_agg(to_jsonb(w) || jsonb_build_object('finished', w.finished_at is not null)
                              order by w.object, w.pass, w.phase, w.position), '[]')
    from clerk_sync.run_windows as w where w.run_id = run_windows.run);
end
$$;

-- The instance that the copy is of: what a person has pinned, else what the last
-- complete run read; null while it is not known. A pin is a decision that nothing
-- overrules.
create or replace function clerk_sync.expected_instance(accept_instance boolean default false) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce(
    (select s.instance_id from clerk_sync.settings as s),
    (select r.instance_id from clerk_sync.sync_runs as r
     where r.state = 'complete' and not accept_instance order by r.id desc limit 1));
end
$$;

-- A holder that dies keeps all others out until its lease is over: a longer one than
-- any function lives is a mistake, or worse.
create or replace function clerk_sync.check_lease(lease interval) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  if lease is null or lease not between interval '1 second' and interval '15 minutes' then
    raise invalid_parameter_value using message = 'the lease of a full sync is between a second and 15 minutes';
  end if;
end
$$;

-- Takes the lock and begins a run, or resumes the last one. Asked again by the
-- same holder it answers the same, so that a lost answer can be asked for again.
--
--   begun, resumed   the run is the caller's
--   busy             another holder's lease has not run out
--   wrong_instance   the copy is of another Clerk instance
create or replace function clerk_sync.begin_run(
  holder text, lease interval, instance text, trigger text, fresh boolean, accept_instance boolean,
  resume_within interval default '1 day'
) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  lock     clerk_sync.sync_lock;
  run      clerk_sync.sync_runs;
  expected text;
  outcome  text := 'begun';
begin
  perform clerk_sync.check_lease(lease);
  select * into lock from clerk_sync.sync_lock for update;
  select * into run from clerk_sync.sync_runs as r order by r.id desc limit 1;

  if lock.holder = holder and lock.expires_at > now() and run.id = lock.run_id and run.state = 'running' then
    outcome := case when run.resumed_at is null then 'begun' else 'resumed' end;
  else
    if lock.expires_at > now() then
      return jsonb_build_object('outcome', 'busy', 'run_id', lock.run_id, 'expires_at', lock.expires_at);
    end if;

    expected := clerk_sync.expected_instance(accept_instance);
    if instance <> expected then
      return jsonb_build_object('outcome', 'wrong_instance', 'expected', expected);
    end if;

    if not fresh and run.state in ('running', 'partial') and run.instance_id = instance
       and run.started_at > now() - resume_within then
      outcome := 'resumed';
      update clerk_sync.sync_runs as r set state = 'running', reason = null, resumed_at = now(), ended_at = null
      where r.id = run.id returning * into run;
    else
      update clerk_sync.sync_runs as r set state = 'partial', reason = 'killed', ended_at = coalesce(r.ended_at, now())
      where r.state = 'running';
      -- Only the last run can be resumed; of the others the outcome is enough.
      delete from clerk_sync.run_windows;
      delete from clerk_sync.sync_absences;
      insert into clerk_sync.sync_runs (trigger, instance_id, initial)
      values (trigger, instance, not exists (select from clerk_sync.sync_runs as r where r.state = 'complete'))
      returning * into run;
    end if;
  end if;

  update clerk_sync.sync_lock as l set run_id = run.id, holder = begin_run.holder, expires_at = now() + lease;

  return jsonb_build_object(
    'outcome', outcome, 'run_id', run.id, 'initial', run.initial, 'started_at', run.started_at,
    'windows', clerk_sync.run_windows(run.id), 'cuts', run.cuts);
end
$$;

-- Every write of a run asks whether the lock is still its own, and holds off
-- everybody else until it is committed.
create or replace function clerk_sync.require_lock(run bigint, holder text) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform from clerk_sync.sync_lock as l
  where l.run_id = require_lock.run and l.holder = require_lock.holder and l.expires_at > now()
  for share;
  if not found then
    raise exception using errcode = 'CS001', message = 'the lock of the full sync was lost';
  end if;
end
$$;

create or replace function clerk_sync.renew_run(run bigint, holder text, lease interval) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform clerk_sync.check_lease(lease);
  update clerk_sync.sync_lock as l set expires_at = now() + renew_run.lease
  where l.run_id = renew_run.run and l.holder = renew_run.holder and l.expires_at > now();
  return found;
end
$$;

create or replace function clerk_sync.keep_cuts(run bigint, holder text, cuts jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform clerk_sync.require_lock(run, holder);
  update clerk_sync.sync_runs as r set cuts = keep_cuts.cuts where r.id = keep_cuts.run;
end
$$;

create or replace function clerk_sync.plan_windows(run bigint, holder text, spans jsonb, object text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform clerk_sync.require_lock(run, holder);
  insert into clerk_sync.run_windows (run_id, object, phase, pass, position, from_ms, to_ms)
  select plan_windows.run, plan_windows.object, 'span', 0, s.position, (s.span ->> 'from_ms')::bigint, (s.span ->> 'to_ms')::bigint
  from jsonb_array_elements(plan_windows.spans) with ordinality as s (span, position)
  on conflict on constraint run_windows_pkey do nothing;
  update clerk_sync.sync_runs as r set cuts = null where r.id = plan_windows.run and r.cuts is not null;
end
$$;

-- Notes what Clerk was asked for at a time and did not have, before the window is
-- finished in which it was missing. So a call that dies in between leaves what the next
-- one need not ask for again, and apply_page takes back what that finds listed.
create or replace function clerk_sync.note_absences(run bigint, holder text, object text, ids text[], confirmed_at timestamptz)
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform clerk_sync.require_lock(run, holder);
  insert into clerk_sync.sync_absences (run_id, object, object_id, confirmed_at)
  select distinct note_absences.run, note_absences.object, gone, note_absences.confirmed_at
  from unnest(note_absences.ids) as gone
  order by gone
  on conflict on constraint sync_absences_pkey do nothing;
end
$$;

-- What was written is counted already; what was written by a call that then
-- died, and found unchanged by this one, is not counted again. unseen_ms is given where
-- live rows of the window were neither listed nor asked for: since when they were made.
-- A window that ends sooner than it was planned to leaves the rest as a window to be
-- read, in the same step: so a run goes on within a span, however large it is.
create or replace function clerk_sync.finish_window(run bigint, holder text, done jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  d clerk_sync.run_windows := jsonb_populate_record(null::clerk_sync.run_windows, done);
begin
  perform clerk_sync.require_lock(run, holder);
  -- One in which nothing was listed is not there yet.
  insert into clerk_sync.run_windows (run_id, object, phase, pass, position)
  values (run, d.object, d.phase, d.pass, d.position)
  on conflict on constraint run_windows_pkey do nothing;
  update clerk_sync.run_windows as w set
    from_ms = d.from_ms, to_ms = d.to_ms, next_offset = d.next_offset, listed = d.listed, finished_at = now(),
    requested_ms = least(w.requested_ms, (done ->> 'unseen_ms')::bigint),
    tally = coalesce(w.tally, '{}') || jsonb_build_object(
      'stale', s.stale, 'deleted_here', s.deleted_here,
      'drift', coalesce((w.tally ->> 'drift')::bigint, 0) - coalesce((w.tally ->> 'deleted_here')::bigint, 0) + s.deleted_here,
      'unchanged', least(s.unchanged, greatest(0, d.listed - s.stale
        - coalesce((w.tally ->> 'created')::bigint, 0) - coalesce((w.tally ->> 'updated')::bigint, 0))))
  from jsonb_to_record(d.tally) as s (unchanged bigint, stale bigint, deleted_here bigint)
  where w.run_id = run and w.object = d.object and w.phase = d.phase and w.pass = d.pass and w.position = d.position;
  if done ? 'rest' then
    insert into clerk_sync.run_windows (run_id, object, phase, pass, position, from_ms, to_ms, after_id)
    select run, r.object, r.phase, r.pass, r.position, r.from_ms, r.to_ms, r.after_id
    from jsonb_populate_record(null::clerk_sync.run_windows, done -> 'rest') as r
    on conflict on constraint run_windows_pkey do nothing;
  end if;
end
$$;

-- Ends what the caller holds. False if it held nothing any more.
create or replace function clerk_sync.end_run(run bigint, holder text, state text, reason text, drift bigint, report jsonb)
returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
  update clerk_sync.sync_lock as l set expires_at = '-infinity', holder = null
  where l.run_id = run and l.holder = end_run.holder;
  if not found then
    -- Asked again after a lost answer, it has happened already.
    return exists (select from clerk_sync.sync_runs as r where r.id = run and r.state = end_run.state and r.state <> 'running');
  end if;
  update clerk_sync.sync_runs as r set
    state = end_run.state, reason = end_run.reason, ended_at = now(), drift = end_run.drift, report = end_run.report
  where r.id = run and r.state = 'running';
  -- Never what is still to come: a clock that is ahead must not make later lists stale.
  if found and end_run.state = 'complete' then
    insert into clerk_sync.watermarks as m (object, stated_ms, seen_until)
    select w.object, least(min(w.requested_ms), (extract(epoch from now()) * 1000)::bigint), min(w.begun_at)
    from clerk_sync.run_windows as w
    where w.run_id = run
    group by w.object
    having min(w.requested_ms) is not null
    on conflict on constraint watermarks_pkey do update set stated_ms = excluded.stated_ms, seen_until = excluded.seen_until;
  end if;
  -- History is kept as long as the events are; the last complete run says which
  -- instance the copy is of.
  delete from clerk_sync.sync_runs as r
  where r.started_at < now() - (select s.event_retention from clerk_sync.settings as s)
    and r.id < run
    and r.id <> coalesce((select max(c.id) from clerk_sync.sync_runs as c where c.state = 'complete'), 0);
  return true;
end
$$;

create or replace function clerk_sync.recent_runs(most integer default 20) returns table (
  id bigint, state text, reason text, trigger text, instance_id text, started_at timestamptz, ended_at timestamptz,
  drift bigint, report jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select f.id, f.state, f.reason, f.trigger, f.instance_id, f.started_at, f.ended_at, f.drift, f.report
  from clerk_sync.full_syncs as f
  order by f.id desc
  limit least(greatest(recent_runs.most, 1), 1000)
$$;

-- Adds to what a window has counted.
create or replace function clerk_sync.count_window(run bigint, object text, phase text, pass integer, "position" integer, more jsonb)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  insert into clerk_sync.run_windows as w (run_id, object, phase, pass, position, tally)
  values (count_window.run, count_window.object, count_window.phase, count_window.pass, count_window."position", count_window.more)
  on conflict on constraint run_windows_pkey do update set tally = coalesce(w.tally, '{}') || (
    select jsonb_object_agg(m.key, coalesce((w.tally ->> m.key)::bigint, 0) + m.value::bigint)
    from jsonb_each_text(excluded.tally) as m);
end
$$;

-- Drift is what a webhook should have told: an object that the copy did not have,
-- or of which it had an earlier updated_at. Clerk changes some fields without
-- moving updated_at and without an event, such as last_active_at: those rows are
-- updated, and no drift. What comes back from a tombstone that an earlier run inferred
-- was wrong here, however new it is.
create or replace function clerk_sync.is_drift(result text, before text, updated_ms bigint, settled_ms bigint) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return result = 'updated' and before >= '8' or updated_ms <= settled_ms and (
    result = 'created'
    or result = 'updated' and (before < '2' or substr(before, 3, 15)::bigint < updated_ms));
end
$$;

-- Whether a row is a tombstone from before a moment. What Clerk lists all the same is
-- drift that stays: a deletion that it stated is final, whatever it lists.
create or replace function clerk_sync.is_deleted_here(stated jsonb, settled_ms bigint) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  return coalesce((stated ->> 'deleted_at')::timestamptz <= to_timestamp(settled_ms / 1000.0), false);
end
$$;

-- Applies a page and counts what became of it. ids and updated_ms are those of
-- the resources, each id once, in any order; settled_ms is when a webhook should
-- have told by. What is written is counted with the window in the same
-- transaction, unless run is null: a run that is killed loses no count.
create or replace function clerk_sync.apply_page(
  run bigint, holder text, phase text, pass integer, "position" integer,
  object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint,
  out created bigint, out updated bigint, out unchanged bigint, out stale bigint, out drift bigint, out deleted_here bigint
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  before      text[];
  said        bigint[];
  results     text[];
  deleted     bigint;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  if run is not null then
    perform clerk_sync.require_lock(run, holder);
    -- A page is sent again when its answer was lost, and the first may still be at
    -- work then: what that one writes is counted there, and unchanged here. The
    -- window's row is the lock, since any login can take an advisory one.
    insert into clerk_sync.run_windows as w (run_id, object, phase, pass, position, requested_ms)
    values (run, apply_page.object, apply_page.phase, apply_page.pass, apply_page."position", stated_ms)
    on conflict on constraint run_windows_pkey do update set requested_ms = least(w.requested_ms, excluded.requested_ms);
    -- What Clerk lists later than it was found absent is there, though its row may be
    -- right and stay as it is.
    delete from clerk_sync.sync_absences as a where a.ctid = any (array(
      select (select s.ctid from clerk_sync.sync_absences as s
              where s.run_id = run and s.object = apply_page.object and s.object_id = i.id
                and date_trunc('milliseconds', s.confirmed_at) <= to_timestamp(stated_ms / 1000.0))
      from unnest(ids) as i (id)));
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
         count(*) filter (where r.result in ('stale', 'deleted')),
         count(*) filter (where r.result in ('created', 'updated')
                            and clerk_sync.is_drift(r.result, r.before, r.said, settled_ms))
  into created, updated, deleted, unchanged, stale, drift
  from unnest(results, before, said) as r (result, before, said);

  -- A listed object whose tombstone we hold was deleted after the page was
  -- requested, or Clerk's list was behind: the copy is right. That is no news of
  -- an earlier tombstone, which the window counts when it is finished.
  deleted_here := 0;
  if deleted > 0 then
    deleted_here := (
      select count(*) from jsonb_each(clerk_sync.stated_rows(object, array(
        select r.id from unnest(results, array(select i from unnest(ids) as i order by i)) as r (result, id)
        where r.result = 'deleted'))) as t
      where clerk_sync.is_deleted_here(t.value, settled_ms));
  end if;

  -- A list that is behind of what was stated before it was asked for does not confirm that.
  if run is not null and stale > 0 then
    update clerk_sync.run_windows as w set requested_ms = least(w.requested_ms, (
      select min(substr(r.before, 19, 15)::bigint) from unnest(results, before) as r (result, before)
      where r.result = 'stale' and r.before >= '2' and r.before < '8'))
    where w.run_id = run and w.object = apply_page.object
      and w.phase = apply_page.phase and w.pass = apply_page.pass and w.position = apply_page."position";
  end if;

  if run is not null and created + updated > 0 then
    perform clerk_sync.count_window(run, object, phase, pass, "position",
      jsonb_build_object('created', created, 'updated', updated, 'drift', drift));
  end if;
  drift := drift + deleted_here;
end
$$;

-- What apply_page would do, field by field, with the values: for the owner's eyes. It is
-- done and taken back, so that the rules are not written twice; no other transaction
-- sees any of it.
create or replace function clerk_sync.compare_page(
  object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint
) returns table (id text, result text, drift boolean, fields jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
  before   jsonb;
  after    jsonb;
  results  jsonb;
  versions text[];
  said     jsonb;
begin
  before := clerk_sync.stated_rows(object, ids);
  versions := clerk_sync.versions(object, ids);
  said := (select jsonb_object_agg(u.id, jsonb_build_array(u.ms, versions[u.position]))
           from (select i.id, i.ms, row_number() over (order by i.id) as position
                 from unnest(compare_page.ids, updated_ms) as i (id, ms)) as u);
  begin
    results := (select jsonb_object_agg(a.id, a.result)
                from clerk_sync.apply_objects(compare_page.object, resources, stated_ms) as a);
    after := clerk_sync.stated_rows(object, ids);
    raise exception using errcode = 'CS000';
  exception when sqlstate 'CS000' then null; -- taken back
  end;

  return query
  select r.key, r.value,
         case when r.value = 'deleted' then clerk_sync.is_deleted_here(after -> r.key, settled_ms)
              else clerk_sync.is_drift(r.value, said -> r.key ->> 1, (said -> r.key ->> 0)::bigint, settled_ms) end, d.fields
  from jsonb_each_text(results) as r
  cross join lateral (
    select coalesce(jsonb_agg(jsonb_build_object('name', f.key, 'here', before -> r.key -> f.key, 'clerk', f.value)
                              order by f.key), '[]') as fields
    from jsonb_each(coalesce(after -> r.key, '{}')) as f
    where r.value in ('created', 'updated') and f.value is distinct from coalesce(before -> r.key -> f.key, 'null')
  ) as d;
end
$$;

-- The same with the names of the fields alone: the runtime role reads no table of the
-- copy, and must not read it through a comparison either.
create or replace function clerk_sync.preview_page(
  object text, resources jsonb, stated_ms bigint, ids text[], updated_ms bigint[], settled_ms bigint
) returns table (id text, result text, drift boolean, fields jsonb)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select c.id, c.result, c.drift,
         (select coalesce(jsonb_agg(jsonb_build_object('name', f -> 'name')), '[]') from jsonb_array_elements(c.fields) as f)
  from clerk_sync.compare_page(object, resources, stated_ms, ids, updated_ms, settled_ms) as c;
end
$$;

-- Whose a row named r is.
create or replace function clerk_sync.whose(o clerk_sync.objects) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return format('%s as organization_id, %s as user_id',
    coalesce('r.' || quote_ident(o.organization_key), 'null::text'), coalesce('r.' || quote_ident(o.user_key), 'null::text'));
end
$$;

-- When rows were made, for the order in which they are looked at. Only of few are rows
-- without such a time looked at together with the others, as the oldest.
create or replace function clerk_sync.creation(o clerk_sync.objects) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return case when o.dated then 'r.created_at' else $q$coalesce(r.created_at, 'epoch')$q$ end;
end
$$;

-- Whether a run has found an object absent, or its user or organization, with which it
-- goes, or that one is deleted already.
create or replace function clerk_sync.known_gone(run bigint, object text, id text, organization_id text, user_id text) returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  -- No joins: planned while these tables are nearly empty, one would read them whole.
  return exists (
      select from (values (known_gone.object, known_gone.id), ('user', known_gone.user_id), ('organization', known_gone.organization_id)) as g (object, id)
      where (select true from clerk_sync.sync_absences as s
             where s.run_id = known_gone.run and s.object = g.object and s.object_id = g.id))
    or exists (
      select from (values ('user', known_gone.user_id), ('organization', known_gone.organization_id)) as g (object, id)
      where (select not (e.inferred and clerk_sync.is_live(e.object, e.object_id)) from clerk_sync.endings as e
             where e.object = g.object and e.object_id = g.id));
end
$$;

-- The next live rows that were created within a span and are not among ids, in the
-- order of creation and id, in which one moment can fill several windows: of the span's
-- first moment those whose ids lie behind after, of its last those not behind through
-- ('' is without end), and of all those behind (behind_at, after) if that is given. With
-- each, whether it is known to be gone.
create or replace function clerk_sync.suspects(
  run bigint, object text, from_ms bigint, to_ms bigint, ids text[], most integer,
  after text default '', through text default '', behind_at timestamptz default null
) returns table (id text, organization_id text, user_id text, created_at timestamptz, gone boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  o clerk_sync.objects := clerk_sync.object(object);
begin
  -- The ids are hashed: a join with them would have to sort what is in order already.
  return query execute format($q$
    select u.*, clerk_sync.known_gone($7, $8, u.id, u.organization_id, u.user_id)
    from (
      select r.%1$I as id, %4$s, %3$s as created_at
      from %2$s as r
      where r.deleted_at is null
        and (%3$s, r.%1$I collate "C") > ($1, $2)
        and %3$s < $3 and ($4 = '' or (%3$s, r.%1$I collate "C") <= ($3 - interval '1 millisecond', $4))
        and r.%1$I not in (select i from unnest($5) as i)
      order by %3$s, r.%1$I collate "C"
      limit $6) as u
    order by u.created_at, u.id collate "C" $q$,
    o.key, o.relation, clerk_sync.creation(o), clerk_sync.whose(o))
  using coalesce(behind_at, to_timestamp(from_ms / 1000.0), '-infinity'), after,
        coalesce(to_timestamp(to_ms / 1000.0), 'infinity'), through, ids, most, run, object;
end
$$;

-- Live rows without a creation time lie in no window: what only a child or a
-- visitor has told us about. Once everything listed was applied, those are left
-- that Clerk does not have. In the order of their ids, after one.
create or replace function clerk_sync.undated(object text, settled timestamptz, after text, most integer)
returns table (id text, organization_id text, user_id text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  o clerk_sync.objects := clerk_sync.object(object);
begin
  return query execute format($q$
    select r.%1$I, %3$s from %2$s as r
    where r.deleted_at is null and r.created_at is null and r.synced_at <= $1 and r.%1$I > $2
    order by 1 limit $3 $q$, o.key, o.relation, clerk_sync.whose(o))
  using settled, after, most;
end
$$;

-- Objects that Clerk should have, to be asked for beside the suspects of a span: of those
-- that it has listed, or if the copy has none of these, of the live rows next to the span.
-- Of each side no more are looked at than a run may delete unasked: where all of those are
-- gone, a person decides whatever the witnesses say.
create or replace function clerk_sync.witnesses(run bigint, object text, listed text[], from_ms bigint, to_ms bigint, most integer)
returns table (id text, organization_id text, user_id text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  o     clerk_sync.objects := clerk_sync.object(object);
  known text := format('select r.%I as id, %s from %s as r where r.deleted_at is null', o.key, clerk_sync.whose(o), o.relation);
begin
  return query execute format('%s and r.%I = any ($1) limit $2', known, o.key) using listed, most;
  if not found then
    return query execute format($q$
      select n.* from (
        (%1$s and %3$s >= $1 order by %3$s, r.%2$I collate "C" limit 10001)
        union all
        (%1$s and %3$s < $2 order by %3$s desc, r.%2$I collate "C" desc limit 10001)) as n
      where not clerk_sync.known_gone($3, $4, n.id, n.organization_id, n.user_id)
      limit $5 $q$, known, o.key, clerk_sync.creation(o))
    using coalesce(to_timestamp(to_ms / 1000.0), 'infinity'), coalesce(to_timestamp(from_ms / 1000.0), '-infinity'), run, object, most;
  end if;
end
$$;

-- The live memberships that fall with some users and organizations. Live by the version:
-- said by deleted_at, a plan made while the table was empty would read an index that has
-- only that.
create or replace function clerk_sync.children_of(users text[], organizations text[])
returns table (id text, organization_id text, user_id text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query
  select m.clerk_membership_id, m.clerk_org_id, m.clerk_user_id
  from unnest(users) as u (id)
  join {{exposed}}.organization_memberships as m on m.clerk_user_id = u.id and m.sync_version < '8'
  union
  select m.clerk_membership_id, m.clerk_org_id, m.clerk_user_id
  from unnest(organizations) as g (id)
  join {{exposed}}.organization_memberships as m on m.clerk_org_id = g.id and m.sync_version < '8';
end
$$;

-- What a run would delete of a kind, with what falls with it.
create or replace function clerk_sync.pending_objects(run bigint, object text)
returns table (id text, organization_id text, user_id text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  o clerk_sync.objects := clerk_sync.object(object);
begin
  return query execute format($q$
    select s.object_id, %s from clerk_sync.sync_absences as s
    left join %s as r on r.%I = s.object_id
    where s.run_id = $1 and s.object = $2 $q$, clerk_sync.whose(o), o.relation, o.key)
  using run, object;
  if object = 'organization_membership' then
    return query
    select c.* from clerk_sync.children_of(
      array(select s.object_id from clerk_sync.sync_absences as s where s.run_id = run and s.object = 'user'),
      array(select s.object_id from clerk_sync.sync_absences as s where s.run_id = run and s.object = 'organization')) as c
    where not exists (
      select from clerk_sync.sync_absences as s where s.run_id = run and s.object = 'organization_membership' and s.object_id = c.id);
  end if;
end
$$;

-- How much a run would delete, beside how much there is. That is exact where it can
-- matter: of twenty times as many rows a run deletes a twentieth, which is plausible
-- at every share that is of use. Beyond it is estimated. An estimate that is too low
-- is on the safe side: it stops a run that could go on, and a person decides.
create or replace function clerk_sync.pending_deletions(run bigint) returns table (object text, pending bigint, live bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  return query
  select o.object, a.pending, c.rows
  from clerk_sync.objects as o
  cross join lateral (select count(*) as pending from clerk_sync.pending_objects(pending_deletions.run, o.object)) as a
  cross join lateral clerk_sync.count_rows(o.relation, 'deleted_at IS NULL', greatest(20000, 20 * a.pending)) as c
  where a.pending > 0
  order by o.position;
end
$$;

-- Deletes some of what is confirmed to be gone; call it until it takes nothing.
-- What Clerk has spoken of since it was found absent is left alone: then the
-- answer was wrong. The rows that became tombstones are counted as a window of
-- their own.
create or replace function clerk_sync.delete_absent(
  run bigint, holder text, object text, most integer,
  out taken bigint
)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
  most_ended  constant integer := (select s.memberships_at_once from clerk_sync.settings as s);
  candidates  text[];
  versions    text[];
  confirmed   timestamptz[];
  ids         text[] := '{}';
  times       timestamptz[] := '{}';
  at          timestamptz;
  deleted     bigint;
  ended       bigint := 0;
  outer_cause text := coalesce(current_setting('clerk_sync.cause', true), '');
begin
  perform clerk_sync.require_lock(run, holder);

  select array_agg(b.object_id order by b.object_id), array_agg(b.confirmed_at order by b.object_id) into candidates, confirmed
  from (select a.object_id, a.confirmed_at from clerk_sync.sync_absences as a
        where a.run_id = run and a.object = delete_absent.object order by a.object_id limit most) as b;
  versions := clerk_sync.versions(object, candidates);

  -- Until their memberships fill a transaction: those are what takes the time. All of
  -- them end, if not in this one, and so are counted here.
  taken := 0;
  foreach at in array coalesce(confirmed, '{}') loop
    taken := taken + 1;
    if versions[taken] < '1' or versions[taken] < '8' and substr(versions[taken], 19, 15)::bigint <= extract(epoch from at) * 1000 then
      ids := ids || candidates[taken];
      times := times || at;
      ended := ended + clerk_sync.live_memberships(object, candidates[taken]);
      exit when ended >= most_ended;
    end if;
  end loop;
  if taken = 0 then
    return;
  end if;
  delete from clerk_sync.sync_absences as a
  where a.run_id = run and a.object = delete_absent.object and a.object_id <= candidates[taken];

  perform set_config('clerk_sync.cause', 'run_' || run, true);
  deleted := clerk_sync.delete_objects(object, ids, null, times, true);
  perform set_config('clerk_sync.cause', outer_cause, true);

  -- Counted in the same transaction, so that a lost answer loses no count.
  perform clerk_sync.count_window(delete_absent.run, d.object, 'deleted', 0, 0, jsonb_build_object('deleted', d.n, 'drift', d.n))
  from (values (delete_absent.object, deleted), ('organization_membership', ended)) as d (object, n)
  where d.n > 0;
end
$$;

revoke execute on function
  clerk_sync.run_windows(bigint), clerk_sync.expected_instance(boolean),
  clerk_sync.check_lease(interval), clerk_sync.begin_run(text, interval, text, text, boolean, boolean, interval),
  clerk_sync.require_lock(bigint, text), clerk_sync.renew_run(bigint, text, interval),
  clerk_sync.keep_cuts(bigint, text, jsonb), clerk_sync.plan_windows(bigint, text, jsonb, text),
  clerk_sync.note_absences(bigint, text, text, text[], timestamptz),
  clerk_sync.finish_window(bigint, text, jsonb),
  clerk_sync.end_run(bigint, text, text, text, bigint, jsonb), clerk_sync.recent_runs(integer),
  clerk_sync.count_window(bigint, text, text, integer, integer, jsonb), clerk_sync.is_drift(text, text, bigint, bigint),
  clerk_sync.is_deleted_here(jsonb, bigint),
  clerk_sync.apply_page(bigint, text, text, integer, integer, text, jsonb, bigint, text[], bigint[], bigint),
  clerk_sync.compare_page(text, jsonb, bigint, text[], bigint[], bigint),
  clerk_sync.preview_page(text, jsonb, bigint, text[], bigint[], bigint),
  clerk_sync.whose(clerk_sync.objects), clerk_sync.creation(clerk_sync.objects),
  clerk_sync.known_gone(bigint, text, text, text, text),
  clerk_sync.suspects(bigint, text, bigint, bigint, text[], integer, text, text, timestamptz), clerk_sync.undated(text, timestamptz, text, integer),
  clerk_sync.witnesses(bigint, text, text[], bigint, bigint, integer), clerk_sync.children_of(text[], text[]),
  clerk_sync.pending_objects(bigint, text), clerk_sync.pending_deletions(bigint), clerk_sync.delete_absent(bigint, text, text, integer)
from public, anon, authenticated, service_role;
grant execute on function
  clerk_sync.run_windows(bigint), clerk_sync.expected_instance(boolean),
  clerk_sync.begin_run(text, interval, text, text, boolean, boolean, interval),
  clerk_sync.renew_run(bigint, text, interval), clerk_sync.keep_cuts(bigint, text, jsonb), clerk_sync.plan_windows(bigint, text, jsonb, text),
  clerk_sync.note_absences(bigint, text, text, text[], timestamptz),
  clerk_sync.finish_window(bigint, text, jsonb),
  clerk_sync.end_run(bigint, text, text, text, bigint, jsonb), clerk_sync.recent_runs(integer),
  clerk_sync.apply_page(bigint, text, text, integer, integer, text, jsonb, bigint, text[], bigint[], bigint),
  clerk_sync.preview_page(text, jsonb, bigint, text[], bigint[], bigint),
  clerk_sync.suspects(bigint, text, bigint, bigint, text[], integer, text, text, timestamptz), clerk_sync.undated(text, timestamptz, text, integer),
  clerk_sync.witnesses(bigint, text, text[], bigint, bigint, integer), clerk_sync.children_of(text[], text[]),
  clerk_sync.pending_objects(bigint, text), clerk_sync.pending_deletions(bigint), clerk_sync.delete_absent(bigint, text, text, integer)
to clerksync_writer;
