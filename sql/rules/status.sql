create or replace function clerk_sync.status() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'users', (select jsonb_build_object(
        'live', count(*) filter (where u.deleted_at is null and not u.is_placeholder),
        'placeholders', count(*) filter (where u.is_placeholder),
        'tombstones', count(*) filter (where u.deleted_at is not null)) from {{exposed}}.users as u),
    'organizations', (select jsonb_build_object(
        'live', count(*) filter (where o.deleted_at is null and not o.is_placeholder),
        'placeholders', count(*) filter (where o.is_placeholder),
        'tombstones', count(*) filter (where o.deleted_at is not null)) from {{exposed}}.organizations as o),
    'organization_memberships', (select jsonb_build_object(
        'live', count(*) filter (where m.deleted_at is null),
        'placeholders', 0,
        'tombstones', count(*) filter (where m.deleted_at is not null)) from {{exposed}}.organization_memberships as m),
    'events', (select coalesce(jsonb_object_agg(e.outcome, e.n), '{}')
               from (select w.outcome, count(*) as n from clerk_sync.webhook_events as w group by w.outcome) as e),
    'last_event_at', (select max(w.received_at) from clerk_sync.webhook_events as w),
    'last_run', (select to_jsonb(r) from clerk_sync.recent_runs(1) as r),
    'last_complete_run', (select to_jsonb(f) - array['initial', 'resumed_at', 'took', 'windows', 'windows_finished']
                          from clerk_sync.full_syncs as f where f.state = 'complete' order by f.id desc limit 1))
$$;

-- When the last verified webhook arrived, for a run's report.
create or replace function clerk_sync.last_event_at() returns timestamptz
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select max(w.received_at) from clerk_sync.webhook_events as w
$$;

-- The schemas that were chosen when migrating, for logins that may not read the settings.
create or replace function clerk_sync.schemas(out exposed text, out helpers text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.exposed_schema, s.helpers_schema from clerk_sync.settings as s
$$;

-- What the diagnostics may learn beyond what a user sees by itself: whether the
-- copy knows a user, its active organization and its membership there, and when
-- the copy last heard from Clerk. States, the role's key and a time; no columns
-- that hold personal data.
create or replace function clerk_sync.copy_state(user_id text, org_id text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'user', coalesce((
      select case when u.deleted_at is not null then 'deleted' when u.is_placeholder then 'placeholder' else 'live' end
      from {{exposed}}.users as u
      where u.clerk_id = copy_state.user_id), 'absent'),
    'organization', case when copy_state.org_id is not null then coalesce((
      select case when o.deleted_at is not null then 'deleted' when o.is_placeholder then 'placeholder' else 'live' end
      from {{exposed}}.organizations as o
      where o.clerk_org_id = copy_state.org_id), 'absent') end,
    'membership', case when copy_state.org_id is not null then coalesce(m.state, 'absent') end,
    'role', m.role,
    'last_event_at', (select max(e.received_at) from clerk_sync.webhook_events as e))
  from (values (1)) as always (one)
  -- Who left and joined again has two: the live one counts, then the newest.
  left join lateral (
    select case when m.deleted_at is null then 'live' else 'deleted' end as state,
           case when m.deleted_at is null then m.role end as role
    from {{exposed}}.organization_memberships as m
    where m.clerk_user_id = copy_state.user_id and m.clerk_org_id = copy_state.org_id
    order by m.deleted_at desc nulls first, m.sync_version desc
    limit 1
  ) as m on true
$$;

comment on function clerk_sync.copy_state(text, text) is
  'What the copy knows of a user and its organization: live, placeholder, deleted or absent. For clerksync_diagnostics.';

revoke execute on function
  clerk_sync.status(), clerk_sync.last_event_at(), clerk_sync.schemas(), clerk_sync.copy_state(text, text)
from public, anon, authenticated, service_role;
grant execute on function clerk_sync.status(), clerk_sync.last_event_at(), clerk_sync.schemas() to clerksync_writer;
grant execute on function clerk_sync.schemas(), clerk_sync.copy_state(text, text) to clerksync_diagnostics;
