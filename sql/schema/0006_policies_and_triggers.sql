-- after: rules
--
-- Policies, triggers and what is audited: all that calls a function, and so can only be
-- made behind the functions.

create trigger clerksync_project_deleted after delete on {{exposed}}.users
  referencing old table as removed
  for each statement execute function clerk_sync.unproject_users();

create trigger clerksync_project_inserted after insert on {{exposed}}.users
  referencing new table as written
  for each statement execute function clerk_sync.project_users();

create trigger clerksync_project_updated after update on {{exposed}}.users
  referencing new table as written
  for each statement execute function clerk_sync.project_users();

-- "= any (array(select …))" is evaluated once and uses the index; "in (select …)"
-- and a call per row do not.
create policy users_read_own on {{exposed}}.users
  for select to authenticated
  using (clerk_id = (select {{helpers}}.user_id()));

create policy users_public_read_fellows on {{exposed}}.users_public
  for select to authenticated
  using (clerk_id = any (array(select {{helpers}}.my_fellow_ids())));

create policy organizations_read_own on {{exposed}}.organizations
  for select to authenticated
  using (clerk_org_id = any (array(select {{helpers}}.my_org_ids())));

create policy organization_memberships_read_fellows on {{exposed}}.organization_memberships
  for select to authenticated
  using (clerk_org_id = any (array(select {{helpers}}.my_org_ids())) and deleted_at is null);

-- Supabase's own users have uuids and Clerk's machines ids of another kind;
-- both can come with the same role.
create policy users_insert_own on {{exposed}}.users
  for insert to authenticated
  with check (clerk_id = (select {{helpers}}.user_id()) and starts_with(clerk_id, 'user_'));

create trigger clerksync_keep before update or truncate on clerk_sync.audit_log
  for each statement execute function clerk_sync.keep_audit_log();

create trigger clerksync_keep_recent after delete on clerk_sync.audit_log
  referencing old table as removed
  for each statement execute function clerk_sync.keep_audit_log();

-- Also where session_replication_role silences other triggers.
alter table clerk_sync.audit_log enable always trigger clerksync_keep;

alter table clerk_sync.audit_log enable always trigger clerksync_keep_recent;

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
  perform clerk_sync.audit_table('{{helpers}}.organization_roles', own);
  perform clerk_sync.audit_table('{{helpers}}.organization_permissions', own);
end
$$;
