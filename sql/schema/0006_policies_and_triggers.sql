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

create trigger clerksync_release_held after update on {{exposed}}.users
  for each row when ((old.sync_version < '2' or old.sync_version >= '8') and new.sync_version >= '2' and new.sync_version < '8')
  execute function clerk_sync.release_held('user');

create trigger clerksync_release_held after update on {{exposed}}.organizations
  for each row when ((old.sync_version < '2' or old.sync_version >= '8') and new.sync_version >= '2' and new.sync_version < '8')
  execute function clerk_sync.release_held('organization');

create trigger clerksync_release_held after update on {{exposed}}.organization_memberships
  for each row when ((old.sync_version < '2' or old.sync_version >= '8') and new.sync_version >= '2' and new.sync_version < '8')
  execute function clerk_sync.release_held('organization_membership');

-- "= any (array(select …))" is evaluated once and uses the index; "in (select …)"
-- and a call per row do not.
create policy users_read_own on {{exposed}}.users
  for select to authenticated
  using (clerk_id = (select {{helpers}}.user_id()));

-- Read past the policies of organization_memberships, as the functions read it, and
-- within a plan, which a function cannot be: fellows by their organizations, all of them
-- at once, and fellows_by_user by the user. There "is true" keeps a plan from looking
-- under each of the caller's organizations where the user's own few memberships tell.
create view {{helpers}}.fellows with (security_barrier = true) as
select m.clerk_user_id
from {{exposed}}.organization_memberships as m
where m.clerk_org_id = any (array(select {{helpers}}.my_org_ids()))
  and m.deleted_at is null;

create view {{helpers}}.fellows_by_user with (security_barrier = true) as
select m.clerk_user_id
from {{exposed}}.organization_memberships as m
where (m.clerk_org_id = any (array(select {{helpers}}.my_org_ids()))) is true
  and m.deleted_at is null;

comment on view {{helpers}}.fellows is 'Who shares an organization with the caller, once for each that is shared.';
comment on view {{helpers}}.fellows_by_user is 'The same as fellows, for a look at one user.';

revoke all on table {{helpers}}.fellows, {{helpers}}.fellows_by_user from public, anon, authenticated, service_role;
grant select on table {{helpers}}.fellows, {{helpers}}.fellows_by_user to authenticated;

-- The first condition always holds for those who are to be seen. It is what makes a plan
-- walk the table by its key for a caller with a crowd of fellows, wherever their rows lie,
-- and begin with the first of them; by_key keeps it from reading the table as it lies.
-- The second is a list for callers with few fellows, and for the others everything that is
-- looked at on the walk, as fellows_by says. For exists the planner itself chooses: it
-- hashes all fellows where it expects to look at many rows, and looks at one where it
-- expects one. The last part never holds. It is there to be estimated: the planner calls
-- crowd_from and learns whether it should expect many rows or few, and so whether to walk
-- or to fetch the list.
create policy users_public_read_fellows on {{exposed}}.users_public
  for select to authenticated
  using (
    clerk_id >= {{helpers}}.by_key((select {{helpers}}.first_fellow()))
    and (clerk_id between coalesce((select {{helpers}}.crowd_from()), (select {{helpers}}.crowd_to() || 'z')) and (select {{helpers}}.crowd_to())
        and case (select {{helpers}}.fellows_by())
          when 'row' then (select true from {{helpers}}.fellows_by_user as f where f.clerk_user_id = clerk_id limit 1)
          else exists (select from {{helpers}}.fellows as f where f.clerk_user_id = clerk_id)
        end
      or clerk_id = any ((select {{helpers}}.near_fellow_ids())::text[])
      or ((select false) and clerk_id >= {{helpers}}.crowd_from())));

create policy organizations_read_own on {{exposed}}.organizations
  for select to authenticated
  using (clerk_org_id = any (array(select {{helpers}}.my_org_ids())));

-- The second condition always holds. It makes the planner expect few rows: in a copy with
-- few organizations it expects the caller's to be all there are, and reads the whole table
-- for one of them.
create policy organization_memberships_read_fellows on {{exposed}}.organization_memberships
  for select to authenticated
  using (
    clerk_org_id = any (array(select {{helpers}}.my_org_ids()))
    and left(clerk_org_id, 0) = (select '')
    and clerk_user_id <> all (array(select {{helpers}}.leaving_fellow_ids()))
    and deleted_at is null);

-- Supabase's own users have uuids and Clerk's machines ids of another kind;
-- both can come with the same role.
create policy users_insert_own on {{exposed}}.users
  for insert to authenticated
  with check (clerk_id = (select {{helpers}}.user_id()) and starts_with(clerk_id, 'user_'));

create trigger clerksync_keep before truncate on clerk_sync.audit_log
  for each statement execute function clerk_sync.keep_audit_log();

create trigger clerksync_keep_fields before update on clerk_sync.audit_log
  for each row execute function clerk_sync.keep_audit_log();

create trigger clerksync_keep_recent after delete on clerk_sync.audit_log
  referencing old table as removed
  for each statement execute function clerk_sync.keep_audit_log();

-- Also where session_replication_role silences other triggers.
alter table clerk_sync.audit_log enable always trigger clerksync_keep;

alter table clerk_sync.audit_log enable always trigger clerksync_keep_fields;

alter table clerk_sync.audit_log enable always trigger clerksync_keep_recent;

-- What is left out of the copy's records moves with every write or without meaning:
-- what is clerksync's own, when a user was last seen, and updated_at, which
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
