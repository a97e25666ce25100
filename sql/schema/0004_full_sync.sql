-- The full sync: one run at a time, in windows that are remembered, so that a run
-- which is stopped anywhere is resumed there. Nothing here needs a session: the
-- lock is a row with a lease, safe behind a transaction pooler.

create table clerk_sync.sync_runs (
  id          bigint generated always as identity primary key,
  state       text not null default 'running',
  reason      text,
  trigger     text not null,
  instance_id text not null,
  -- No run was complete before it, so that what it finds is no drift.
  initial     boolean not null,
  started_at  timestamptz not null default now(),
  resumed_at  timestamptz,
  ended_at    timestamptz,
  drift       bigint,
  report      jsonb,
  -- How far the creation times are cut into windows, and how many users each piece
  -- has, until the windows are planned: so that a run which is stopped goes on there.
  cuts        jsonb,
  constraint sync_runs_state check (state in ('running', 'partial', 'complete', 'stopped'))
);

create index sync_runs_started_idx on clerk_sync.sync_runs (started_at);

-- Who works. A holder that dies loses the lock with its lease; one that was only
-- slow finds out at its next write, which asks for the lock first.
create table clerk_sync.sync_lock (
  only_row   boolean primary key default true check (only_row),
  run_id     bigint,
  holder     text,
  expires_at timestamptz not null default '-infinity'
);

insert into clerk_sync.sync_lock default values;

-- A window is a span of creation times: from_ms up to, not with, to_ms; null is
-- without end. It is planned first where Clerk can count a span (users), and
-- written when done where Clerk can only list by offset. after_id is where the
-- list goes on within from_ms, if a window before this one ended there. phase says what
-- it is of: a planned span; a pass over a list, from 1 on; a look at rows without a
-- creation time; or what was deleted, which is counted here.
create table clerk_sync.run_windows (
  run_id      bigint not null references clerk_sync.sync_runs (id) on delete cascade,
  object      text not null,
  phase       text not null check (phase in ('span', 'list', 'undated', 'deleted')),
  pass        integer not null,
  position    integer not null,
  from_ms     bigint,
  to_ms       bigint,
  after_id    text,
  next_offset bigint,
  listed      bigint not null default 0,
  tally       jsonb,
  -- When the run first wrote of it, by our clock, and when the first page that was
  -- applied was requested, by the reader's: see watermarks.
  begun_at     timestamptz not null default now(),
  requested_ms bigint,
  finished_at timestamptz,
  primary key (run_id, object, phase, pass, position)
);

-- What Clerk has confirmed to be gone. It is deleted when the whole run is known
-- to be plausible, and forgotten with the run otherwise.
create table clerk_sync.sync_absences (
  run_id       bigint not null references clerk_sync.sync_runs (id) on delete cascade,
  object       text not null,
  object_id    text not null,
  confirmed_at timestamptz not null,
  primary key (run_id, object, object_id)
);

-- What the last complete run has confirmed without writing a row: every live object of
-- the kind, as its row was at seen_until, counts as stated by Clerk at stated_ms.
create table clerk_sync.watermarks (
  object     text primary key references clerk_sync.objects (object),
  stated_ms  bigint not null,
  seen_until timestamptz not null
);

revoke all on table clerk_sync.watermarks from public, anon, authenticated, service_role;
revoke all on table clerk_sync.sync_runs, clerk_sync.sync_lock, clerk_sync.run_windows, clerk_sync.sync_absences
from public, anon, authenticated, service_role;

create view clerk_sync.full_syncs with (security_invoker = true) as
select r.id,
       case when r.state = 'running' and not w.working then 'partial' else r.state end as state,
       case when r.state = 'running' and not w.working then 'killed' else r.reason end as reason,
       r.trigger, r.instance_id, r.initial, r.started_at, r.resumed_at, r.ended_at,
       r.ended_at - r.started_at as took,
       r.drift,
       (select count(*) from clerk_sync.run_windows as s where s.run_id = r.id) as windows,
       (select count(*) from clerk_sync.run_windows as s where s.run_id = r.id and s.finished_at is not null)
         as windows_finished,
       r.report
from clerk_sync.sync_runs as r
cross join lateral (
  select exists (
    select from clerk_sync.sync_lock as l where l.run_id = r.id and l.expires_at > now()) as working
) as w;

comment on view clerk_sync.full_syncs is
  'The history of full syncs. A partial one is resumed by the next, a stopped one waits for a decision.';

revoke all on table clerk_sync.full_syncs from public, anon, authenticated, service_role;
