-- Who changed what: one record for each row that was inserted, updated or deleted
-- in an audited table, with the names of the fields that changed and none of
-- their values. Any table can be audited:
--
--   select clerk_sync.audit_table('public.invoices', '{updated_at}');

create table clerk_sync.audit_log (
  id           bigint generated always as identity primary key,
  at           timestamptz not null default now(),
  actor_kind   text not null,
  user_id      text,
  impersonator text,
  org_id       text,
  login        text not null,
  role         text,
  cause        text,
  table_schema text not null,
  table_name   text not null,
  action       text not null,
  row_id       text,
  new_row_id   text,
  changed      text[],
  constraint audit_log_actor_kind check (actor_kind in ('user', 'anonymous', 'service', 'sync', 'database')),
  constraint audit_log_action check (action in ('insert', 'update', 'delete', 'truncate')),
  constraint audit_log_changed check ((action = 'update') = (changed is not null))
);

comment on table clerk_sync.audit_log is
  'Who changed which fields of which row. Append-only: records go when settings.audit_retention is over, through clerk_sync.purge().';
comment on column clerk_sync.audit_log.at is 'When the transaction began.';
comment on column clerk_sync.audit_log.actor_kind is
  'user and anonymous: a request to the Data API, with a user''s token or without; service: a request with the service key; sync: clerksync; database: any other login.';
comment on column clerk_sync.audit_log.user_id is 'Clerk id, from the verified claims of a request.';
comment on column clerk_sync.audit_log.impersonator is 'Who acted as the user: act.sub of the claims.';
comment on column clerk_sync.audit_log.org_id is 'The organization that was active in the token.';
comment on column clerk_sync.audit_log.login is 'session_user: the role that the connection logged in as.';
comment on column clerk_sync.audit_log.role is 'The role that was set after the login; null if none was.';
comment on column clerk_sync.audit_log.cause is
  'svix-id of the event, run_<id> of the full sync, or "purge"; other transactions may set clerk_sync.cause to whatever explains them.';
comment on column clerk_sync.audit_log.row_id is 'The primary key; a JSON array if it has several columns; null for truncate and tables without one.';
comment on column clerk_sync.audit_log.new_row_id is 'The primary key after an update that changed it.';
comment on column clerk_sync.audit_log.changed is 'Names of the fields that an update changed.';

-- Ids are looked up by equality only, and a hash index takes those of any length:
-- a key that fits the audited table's own index must not be refused here.
create index audit_log_row_idx on clerk_sync.audit_log using hash (row_id);

create index audit_log_new_row_idx on clerk_sync.audit_log using hash (new_row_id) where new_row_id is not null;

create index audit_log_user_idx on clerk_sync.audit_log (user_id, id) where user_id is not null;

create index audit_log_at_idx on clerk_sync.audit_log (at);

-- Which parts of the log hold records of a table: a few kilobytes, so that a table
-- with few records or none is not looked for in all of it.
create index audit_log_table_idx on clerk_sync.audit_log
  using brin (table_name text_bloom_ops (n_distinct_per_range = 100)) with (autosummarize = on);

alter table clerk_sync.audit_log enable row level security;

revoke all on table clerk_sync.audit_log from public, anon, authenticated, service_role;

grant select on table clerk_sync.audit_log to service_role;
