-- Forgets what has been kept long enough. Call it now and then; each call does a
-- bounded amount of work and says how much, so that it can be called again.
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
    where (e.payload is not null or e.raw_body is not null)
      and (e.received_at < now() - s.payload_retention
           -- No deletion would empty it.
           or e.received_at < now() - interval '24 hours' and e.user_id is null and e.organization_id is null
              and e.type !~ '^(role|permission)\.')
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

  delete from clerk_sync.ended_memberships as e where e.deleted_at < now() - s.tombstone_retention;

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

revoke execute on function clerk_sync.purge(integer) from public, anon, authenticated, service_role;
grant execute on function clerk_sync.purge(integer) to clerksync_writer;
