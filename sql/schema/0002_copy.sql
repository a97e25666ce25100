-- The copy. Nothing is unique except Clerk's own ids: Clerk allows what looks
-- like a duplicate (two users with one unverified address, a slug used again),
-- and a constraint of ours would refuse rows that Clerk has.
--
-- sync_version orders every statement that Clerk ever made about one object,
-- whatever order the statements arrive in. Compared as text, greater wins:
--
--   0                                        a row that only holds an id
--   1.<updated>.<stated>.<kind>.<digest>     a placeholder, told by a child
--   2.<updated>.<stated>.<kind>.<digest>     told by Clerk about the object itself
--   8.<inferred>                             deleted, since a full sync did not find it
--   9                                        deleted, as Clerk stated, which is final
--
--   updated  the resource's updated_at, milliseconds, 15 digits
--   stated   when Clerk said so: the webhook's own timestamp, or the moment a
--            page of the full sync was requested; milliseconds, 15 digits
--   kind     1 created, 2 updated, 3 read from the API
--   inferred when Clerk was asked for it; only what Clerk states later ends a
--            tombstone of this class (clerk_sync.revives), or its own deletion
--   digest   of the resource, so that two events of one millisecond converge;
--            empty for what was read from the API
--
-- A constraint holds this form: a row of another could be one that no statement ever
-- changes, or that is deleted and looks live.

create table {{exposed}}.users (
  clerk_id           text primary key,
  external_id        text,
  email              text,
  email_verified     boolean,
  phone              text,
  phone_verified     boolean,
  username           text,
  first_name         text,
  last_name          text,
  avatar_url         text,
  metadata           jsonb not null default '{}',
  unsafe_metadata    jsonb not null default '{}',
  banned             boolean,
  locked             boolean,
  password_enabled   boolean,
  two_factor_enabled boolean,
  last_sign_in_at    timestamptz,
  last_active_at     timestamptz,
  created_at         timestamptz,
  updated_at         timestamptz,
  deleted_at         timestamptz,
  synced_at          timestamptz not null default now(),
  sync_version       text collate "C" not null default '0',
  is_placeholder     boolean not null generated always as (sync_version < '2') stored,
  constraint users_version check (
    sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'
    and (sync_version >= '8') = (deleted_at is not null))
);
comment on table {{exposed}}.users is
  'Clerk users, written only by clerksync. A row with deleted_at is a tombstone: its personal data is gone for good.';
comment on column {{exposed}}.users.email is 'The address whose id is Clerk''s primary_email_address_id; null if there is none.';
comment on column {{exposed}}.users.metadata is 'Clerk''s public_metadata.';
comment on column {{exposed}}.users.unsafe_metadata is 'Writable by the user in the browser: never base a permission on it.';
comment on column {{exposed}}.users.is_placeholder is 'True until Clerk has told us about the user itself.';

create table {{exposed}}.users_public (
  clerk_id   text primary key,
  username   text,
  first_name text,
  last_name  text,
  avatar_url text
);
comment on table {{exposed}}.users_public is
  'The part of users that other users may read. Kept by a trigger on users; never write to it.';

create table {{exposed}}.organizations (
  clerk_org_id            text primary key,
  name                    text,
  slug                    text,
  logo_url                text,
  metadata                jsonb not null default '{}',
  created_by              text,
  max_allowed_memberships bigint,
  admin_delete_enabled    boolean,
  created_at              timestamptz,
  updated_at              timestamptz,
  deleted_at              timestamptz,
  synced_at               timestamptz not null default now(),
  sync_version            text collate "C" not null default '0',
  is_placeholder          boolean not null generated always as (sync_version < '2') stored,
  constraint organizations_version check (
    sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'
    and (sync_version >= '8') = (deleted_at is not null))
);
comment on table {{exposed}}.organizations is 'Clerk organizations, written only by clerksync.';
comment on column {{exposed}}.organizations.metadata is 'Clerk''s public_metadata.';
comment on column {{exposed}}.organizations.created_by is 'Clerk id of the creator; kept as Clerk says it, also when that user is gone.';

create table {{exposed}}.organization_memberships (
  clerk_membership_id text primary key,
  clerk_org_id        text not null,
  clerk_user_id       text not null,
  role                text,
  permissions         text[] not null default '{}',
  metadata            jsonb not null default '{}',
  created_at          timestamptz,
  updated_at          timestamptz,
  deleted_at          timestamptz,
  synced_at           timestamptz not null default now(),
  sync_version        text collate "C" not null default '0',
  constraint organization_memberships_org_fkey foreign key (clerk_org_id)
    references {{exposed}}.organizations (clerk_org_id) on delete cascade,
  constraint organization_memberships_user_fkey foreign key (clerk_user_id)
    references {{exposed}}.users (clerk_id) on delete cascade,
  constraint organization_memberships_version check (
    sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'
    and (sync_version >= '8') = (deleted_at is not null))
);

-- (organization, user) is not unique on purpose: who leaves and joins again has
-- two memberships, the old one a tombstone. deleted_at stands before the last column, so
-- that policies pass over no tombstones; partial indexes would do that, too, but the
-- foreign keys ask for every membership.
create index organization_memberships_user_idx
  on {{exposed}}.organization_memberships (clerk_user_id, deleted_at, clerk_org_id);

create index organization_memberships_org_idx
  on {{exposed}}.organization_memberships (clerk_org_id, deleted_at, clerk_user_id);
comment on table {{exposed}}.organization_memberships is 'Clerk organization memberships, written only by clerksync.';
comment on column {{exposed}}.organization_memberships.role is 'Clerk''s own key, as Clerk says it: with its "org:" prefix, but for roles of the old kind.';
comment on column {{exposed}}.organization_memberships.permissions is
  'As Clerk stated them when the membership last changed; {{helpers}}.role_permissions knows what the role grants now.';

-- Roles and permissions of the instance. Not exposed: applications reach them
-- through policies.
create table {{helpers}}.organization_roles (
  clerk_role_id       text primary key,
  key                 text,
  name                text,
  description         text,
  is_creator_eligible boolean,
  permission_ids      text[] not null default '{}',
  created_at          timestamptz,
  updated_at          timestamptz,
  deleted_at          timestamptz,
  synced_at           timestamptz not null default now(),
  sync_version        text collate "C" not null default '0',
  constraint organization_roles_version check (
    sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'
    and (sync_version >= '8') = (deleted_at is not null))
);

create index organization_roles_key_idx on {{helpers}}.organization_roles (key);

create table {{helpers}}.organization_permissions (
  clerk_permission_id text primary key,
  key                 text,
  name                text,
  description         text,
  type                text,
  created_at          timestamptz,
  updated_at          timestamptz,
  deleted_at          timestamptz,
  synced_at           timestamptz not null default now(),
  sync_version        text collate "C" not null default '0',
  constraint organization_permissions_version check (
    sync_version ~ '^(0|8[.][0-9]{15}|9|[12][.][0-9]{15}[.][0-9]{15}[.][123][.][0-9a-f]*)$'
    and (sync_version >= '8') = (deleted_at is not null))
);

create view {{helpers}}.role_permissions with (security_invoker = true) as
select r.key as role, p.key as permission
from {{helpers}}.organization_roles as r
cross join lateral unnest(r.permission_ids) as granted (clerk_permission_id)
join {{helpers}}.organization_permissions as p using (clerk_permission_id)
where r.deleted_at is null
  and p.deleted_at is null;

comment on view {{helpers}}.role_permissions is
  'What each role grants now: join organization_memberships.role with role, either of which may lack its "org:" prefix.';

-- What the copy holds, in one place: everything that is done alike with every kind of
-- object looks here. Parents stand before their children.
create table clerk_sync.objects (
  object           text primary key,
  event            text not null unique,
  relation         regclass not null,
  key              text not null,
  organization_key text,
  user_key         text,
  applies          text not null,
  deletes          text not null,
  dated            boolean not null,
  "position"       integer not null unique
);

comment on column clerk_sync.objects.object is 'As the Backend API and the full sync call it.';
comment on column clerk_sync.objects.event is 'What its event types begin with.';
comment on column clerk_sync.objects.organization_key is 'The column that names its organization; likewise user_key.';
comment on column clerk_sync.objects.applies is 'The function that applies statements about it; deletes makes tombstones, by ids.';
comment on column clerk_sync.objects.dated is 'False where rows without a creation time are looked for in every list of it.';

insert into clerk_sync.objects values
  ('user', 'user', format('%I.users', {{exposed_literal}}), 'clerk_id', null, 'clerk_id', 'apply_users', 'tombstone_users', true, 1),
  ('organization', 'organization', format('%I.organizations', {{exposed_literal}}), 'clerk_org_id', 'clerk_org_id', null,
   'apply_organizations', 'tombstone_organizations', true, 2),
  ('organization_membership', 'organizationMembership', format('%I.organization_memberships', {{exposed_literal}}),
   'clerk_membership_id', 'clerk_org_id', 'clerk_user_id', 'apply_memberships', 'end_memberships', true, 3),
  ('role', 'role', '{{helpers}}.organization_roles', 'clerk_role_id', null, null, 'apply_roles', 'tombstone_roles', false, 4),
  ('permission', 'permission', '{{helpers}}.organization_permissions', 'clerk_permission_id', null, null,
   'apply_permissions', 'tombstone_permissions', false, 5);

-- Users and organizations whose tombstones are made while some of their memberships
-- are still to be ended: more of them than one transaction takes.
create table clerk_sync.endings (
  object     text not null references clerk_sync.objects (object),
  object_id  text not null,
  deleted_at timestamptz not null,
  inferred   boolean not null default false,
  cause      text,
  -- Memberships up to this organization, or user, are ended; those that another
  -- transaction held meanwhile were missed.
  done_until text not null default '',
  missed     boolean not null default false,
  refused_at timestamptz,
  primary key (object, object_id)
);

comment on column clerk_sync.endings.cause is 'For the audit log: what deleted the object.';
comment on column clerk_sync.endings.refused_at is 'When a constraint or trigger of your own last refused to let its memberships end.';

-- Locked from the first moment: what follows opens exactly what is meant, in
-- projects that grant everything by default as in those that grant nothing.
alter table {{exposed}}.users enable row level security;
alter table {{exposed}}.users_public enable row level security;
alter table {{exposed}}.organizations enable row level security;
alter table {{exposed}}.organization_memberships enable row level security;
alter table {{helpers}}.organization_roles enable row level security;
alter table {{helpers}}.organization_permissions enable row level security;

revoke all on table
  {{exposed}}.users, {{exposed}}.users_public, {{exposed}}.organizations, {{exposed}}.organization_memberships,
  {{helpers}}.organization_roles, {{helpers}}.organization_permissions, {{helpers}}.role_permissions
from public, anon, authenticated, service_role;
revoke all on table clerk_sync.objects, clerk_sync.endings from public, anon, authenticated, service_role;

grant select on table
  {{exposed}}.users, {{exposed}}.users_public, {{exposed}}.organizations, {{exposed}}.organization_memberships
to authenticated, service_role;

grant select on table
  {{helpers}}.organization_roles, {{helpers}}.organization_permissions, {{helpers}}.role_permissions
to service_role;

-- Live rows by creation time, and by id within a moment, which may be a crowded one: a
-- window asks which of them Clerk did not list.
create index users_created_idx on {{exposed}}.users (created_at, clerk_id collate "C") where deleted_at is null;
create index organizations_created_idx on {{exposed}}.organizations (created_at, clerk_org_id collate "C") where deleted_at is null;
create index organization_memberships_created_idx
  on {{exposed}}.organization_memberships (created_at, clerk_membership_id collate "C") where deleted_at is null;

-- What is few, and would be looked for in all the rest: tombstones by age,
-- placeholders, and live rows that no list has told the creation time of. A live row
-- is in none of them. None may name a column that every write moves (sync_version,
-- synced_at, updated_at): updates would no longer be heap-only.
create index users_deleted_idx on {{exposed}}.users (deleted_at, clerk_id) where deleted_at is not null;
create index organizations_deleted_idx on {{exposed}}.organizations (deleted_at, clerk_org_id) where deleted_at is not null;
create index organization_memberships_deleted_idx
  on {{exposed}}.organization_memberships (deleted_at, clerk_membership_id) where deleted_at is not null;
create index users_placeholder_idx on {{exposed}}.users (clerk_id) where is_placeholder;
create index organizations_placeholder_idx on {{exposed}}.organizations (clerk_org_id) where is_placeholder;
create index users_undated_idx on {{exposed}}.users (clerk_id) where created_at is null and deleted_at is null;
create index organizations_undated_idx on {{exposed}}.organizations (clerk_org_id) where created_at is null and deleted_at is null;
create index organization_memberships_undated_idx
  on {{exposed}}.organization_memberships (clerk_membership_id) where created_at is null and deleted_at is null;

-- A user who has just signed up may write before the webhook lands: its row,
-- which the application's own tables refer to, is made from its token. The row
-- holds the id and nothing else until Clerk tells about the user itself; column
-- grant and policy see to it that nothing else can be written.
grant insert (clerk_id) on table {{exposed}}.users to authenticated;
