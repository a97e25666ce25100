-- What arrived, what became of it, and what may be kept of it.

create table clerk_sync.settings (
  only_row               boolean primary key default true check (only_row),
  instance_id            text,
  store_private_metadata boolean not null default false,
  keep_applied_payloads  boolean not null default false,
  payload_retention      interval not null default '30 days',
  deletion_grace         interval not null default '0',
  event_retention        interval not null default '100 days',
  tombstone_retention    interval not null default '180 days',
  exposed_schema         text not null,
  helpers_schema         text not null,
  audit_retention        interval not null default '400 days',
  memberships_at_once    integer not null default 5000,
  constraint settings_retention_order check (payload_retention <= event_retention),
  constraint settings_deletion_grace check (deletion_grace between '0' and payload_retention),
  constraint settings_audit_retention check (audit_retention between '1 day' and '100 years'),
  constraint settings_memberships_at_once check (memberships_at_once between 1 and 50000)
);
comment on column clerk_sync.settings.instance_id is 'When set, events of any other Clerk instance are rejected.';
comment on column clerk_sync.settings.keep_applied_payloads is
  'False: a payload is kept only while its event is rejected and could be replayed.';
comment on column clerk_sync.settings.deletion_grace is
  'How long what a deleted object held is kept in clerk_sync.held_back; 0: not at all.';
comment on column clerk_sync.settings.event_retention is
  'Longer than the 90 days for which Svix can send an old message again: until then its id must be known.';
comment on column clerk_sync.settings.tombstone_retention is
  'Likewise: an update sent again after the tombstone is gone would bring the row back.';
comment on column clerk_sync.settings.audit_retention is 'How long records of clerk_sync.audit_log are kept; nothing removes them earlier.';
comment on column clerk_sync.settings.memberships_at_once is
  'How many memberships one transaction ends when a user or an organization is deleted; the others follow in steps.';

insert into clerk_sync.settings (exposed_schema, helpers_schema) values ({{exposed_literal}}, {{helpers_literal}});

create table clerk_sync.webhook_events (
  svix_id         text primary key,
  type            text not null,
  outcome         text not null,
  reason          text,
  detail          text,
  object_id       text,
  user_id         text,
  organization_id text,
  instance_id     text,
  stated_at       timestamptz,
  received_at     timestamptz not null default now(),
  recorded_in     xid8 not null default pg_current_xact_id(),
  replayed_at     timestamptz,
  redacted_at     timestamptz,
  signed_with     text,
  repeated        jsonb,
  payload         jsonb,
  raw_body        bytea,
  constraint webhook_events_outcome check (outcome in ('applied', 'stale', 'ignored', 'rejected')),
  constraint webhook_events_reason check ((outcome = 'rejected') = (reason is not null)),
  constraint webhook_events_svix_id_length check (length(svix_id) between 1 and 256),
  constraint webhook_events_signed_with check (signed_with ~ '^[0-9a-f]{8}$')
);

comment on table clerk_sync.webhook_events is 'One row a webhook message, by svix-id: the memory that makes a second delivery a duplicate.';
comment on column clerk_sync.webhook_events.stated_at is 'The webhook''s own timestamp; null if it had none.';
comment on column clerk_sync.webhook_events.recorded_in is
  'The transaction that recorded it, by which clerk_sync.events_since() tells what is new: transactions end in another order than they begin.';
comment on column clerk_sync.webhook_events.signed_with is
  'A fingerprint of the signing secret that verified the first delivery; null where the caller did not say.';
comment on column clerk_sync.webhook_events.repeated is
  'When a further delivery came, in milliseconds, by the fingerprint of the secret that verified it; null if none came.';
comment on column clerk_sync.webhook_events.redacted_at is 'When what it told about a person or an object was removed: ids and payload.';
comment on column clerk_sync.webhook_events.reason is 'Why it was rejected: a stable code, never data of the event.';
comment on column clerk_sync.webhook_events.raw_body is
  'The body of a verified message that is no event or that Postgres cannot hold as jsonb, without private metadata.';

create index webhook_events_received_idx on clerk_sync.webhook_events (received_at);

create index webhook_events_recorded_idx on clerk_sync.webhook_events (recorded_in);

-- What is looked for by its outcome; nearly everything is applied, and found by time.
create index webhook_events_outcome_idx on clerk_sync.webhook_events (outcome, received_at) where outcome <> 'applied';

-- What retention empties.
create index webhook_events_kept_idx on clerk_sync.webhook_events (received_at, svix_id)
  where payload is not null or raw_body is not null;

-- What no deletion would empty: kept for a day.
create index webhook_events_unowned_idx on clerk_sync.webhook_events (received_at, svix_id)
  where (payload is not null or raw_body is not null) and user_id is null and organization_id is null;

-- A deleted user's or organization's payloads are emptied with it: find them.
create index webhook_events_user_payload_idx on clerk_sync.webhook_events (user_id)
  where payload is not null or raw_body is not null;

create index webhook_events_org_payload_idx on clerk_sync.webhook_events (organization_id)
  where payload is not null or raw_body is not null;

-- Only filled when settings.store_private_metadata says so, and here because
-- the Data API never sees this schema.
create table clerk_sync.private_metadata (
  object    text not null references clerk_sync.objects (object),
  object_id text not null,
  metadata  jsonb not null,
  primary key (object, object_id)
);

-- What users, organizations and memberships held before they were deleted, as long as
-- settings.deletion_grace says. No login at run time can read it, and nothing writes it
-- back.
create table clerk_sync.held_back (
  object           text not null references clerk_sync.objects (object),
  object_id        text not null,
  user_id          text,
  organization_id  text,
  held_at          timestamptz not null default now(),
  held             jsonb not null,
  private_metadata jsonb,
  primary key (object_id, object)
);

comment on column clerk_sync.held_back.user_id is 'Whose it is, so that a user''s memberships go with it; likewise organization_id.';
comment on column clerk_sync.held_back.held_at is 'When the tombstone was made here, not when Clerk says that it was deleted.';

create index held_back_held_idx on clerk_sync.held_back (held_at);
create index held_back_user_idx on clerk_sync.held_back (user_id);
create index held_back_org_idx on clerk_sync.held_back (organization_id);

-- What goes when private metadata is no longer to be kept.
create index held_back_private_idx on clerk_sync.held_back (object, object_id) where private_metadata is not null;

-- Memberships of which nothing was told but that they are deleted: of these there can
-- be no row, since a row has its parents.
create table clerk_sync.ended_memberships (
  clerk_membership_id text primary key,
  deleted_at          timestamptz not null
);

create index ended_memberships_deleted_idx on clerk_sync.ended_memberships (deleted_at);

-- A batch of events locks this row, so that batches take turns. No other login can lock
-- it; an advisory lock could be taken by any.
create table clerk_sync.batch_lock (only_row boolean primary key default true check (only_row));

insert into clerk_sync.batch_lock default values;

-- Where the purge goes on among the tombstones of a kind, so that those which stay
-- never keep it from the others, and how many stayed when it was last through.
create table clerk_sync.purged_until (
  object     text primary key references clerk_sync.objects (object),
  deleted_at timestamptz not null default '-infinity',
  object_id  text not null default '',
  held       bigint not null default 0,
  held_last  bigint not null default 0
);

insert into clerk_sync.purged_until (object) values ('user'), ('organization'), ('organization_membership');

revoke all on table
  clerk_sync.settings, clerk_sync.webhook_events, clerk_sync.private_metadata, clerk_sync.held_back, clerk_sync.ended_memberships,
  clerk_sync.batch_lock, clerk_sync.purged_until
from public, anon, authenticated, service_role;

-- One membership as it was stated, and what that is to the row that is there.
create type clerk_sync.stated_membership as (
  id text, organization_id text, user_id text, role text, permissions text[], metadata jsonb,
  created_at timestamptz, updated_at timestamptz, sync_version text, result text);

