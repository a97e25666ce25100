-- The sync rules, set-based: one statement for one event and for a page of five
-- hundred alike. Every apply_… function takes resources as Clerk states them and
-- answers, for each id:
--
--   created, updated   the copy now says what was stated
--   unchanged          it said so already
--   stale              it knows something newer
--   deleted            the object is gone
--
-- resources is a JSON array, such as a page of the Backend API. stated_ms and kinds
-- go with it by position; a list of one is valid for all. Kinds are those of
-- sync_version (0002).
--
-- Locks are taken in one order, users, organizations, memberships, each by id, so
-- that no two calls can wait for each other. Deleting a parent takes its row "for
-- update" and writing a membership takes it "for key share": one of the two waits,
-- and then sees what the other did.

-- All of these are in plpgsql, also where plain SQL would do: it keeps its plans
-- for the session, while a function in SQL is planned anew at every call.

-- What was stated, put into the total order, and of each object the newest. Times may
-- come in seconds or in milliseconds (Clerk's sources show both); below 1e11 they
-- are seconds. The digest that breaks ties leaves out what who may read the row, and
-- so the version, may not know: private metadata, and what a membership says about
-- its user, whose address could be found by trying.
create or replace function clerk_sync.incoming(resources jsonb, stated_ms bigint[], kinds text[], class text)
returns table (id text, resource jsonb, kind text, created_at timestamptz, updated_at timestamptz, version text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
  if incoming.class not in ('1', '2') or not incoming.kinds <@ '{1,2,3}' or array_position(incoming.kinds, null) > 0 then
    raise invalid_parameter_value using message = 'a statement is of class 1 or 2 and of kind 1, 2 or 3';
  end if;
  if exists (select from unnest(incoming.stated_ms) as s (ms) where s.ms not between 0 and 99999999999999) then
    raise invalid_parameter_value using message = 'stated_ms holds a time before 1970 or after 5138';
  end if;

  return query
  select distinct on (1)
    r.resource ->> 'id',
    r.resource,
    t.kind,
    to_timestamp((t.created / 1000)::double precision),
    to_timestamp((t.updated / 1000)::double precision),
    (incoming.class
      || '.' || lpad(coalesce(t.updated, t.stated, 0)::bigint::text, 15, '0')
      || '.' || lpad(coalesce(t.stated, t.updated, 0)::bigint::text, 15, '0')
      || '.' || t.kind || '.'
      || case when t.kind = '3' then ''
              else md5((r.resource - array['private_metadata', 'organization', 'public_user_data'])::text) end
    ) collate "C" as version
  from jsonb_array_elements(incoming.resources) with ordinality as r (resource, position)
  cross join lateral (
    select (r.resource ->> 'created_at')::numeric as created,
           (r.resource ->> 'updated_at')::numeric as updated,
           coalesce(incoming.stated_ms[r.position], incoming.stated_ms[1])::numeric as stated
  ) as said
  cross join lateral (
    select trunc(case when said.created < 1e11 then said.created * 1000 else said.created end) as created,
           trunc(case when said.updated < 1e11 then said.updated * 1000 else said.updated end) as updated,
           trunc(case when said.stated < 1e11 then said.stated * 1000 else said.stated end) as stated,
           coalesce(incoming.kinds[r.position], incoming.kinds[1]) as kind
  ) as t
  order by 1, version desc;
end
$$;

-- What the version of a tombstone is: of one that Clerk stated, or that a full sync
-- inferred from what Clerk did not find at that time.
create or replace function clerk_sync.tombstone_version(at timestamptz, inferred boolean) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return case when inferred then '8.' || lpad(trunc(greatest(extract(epoch from at), 0) * 1000)::bigint::text, 15, '0') else '9' end;
end
$$;

-- Whether a statement ends a tombstone: only one that was inferred, and only what Clerk
-- stated later than that. A deletion that Clerk stated is final.
create or replace function clerk_sync.revives(stored text, stated text) returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return left(stored, 2) = '8.' and substr(stated, 19, 15) collate "C" > substr(stored, 3);
end
$$;

-- The rule of the newest statement: what a statement is to the row that is there
-- (null if there is none). What was read from the API and says what the row says
-- already is no news, even if it was said later; same tells whether it does.
--
-- A complete full sync that finds a row right does not write it. The row then stands in
-- the order as if that had: mark is the watermark of its kind. It counts for a row that
-- was written before the run came to its kind, and never moves updated_at. What only a
-- child has told of is not what a run reads.
create or replace function clerk_sync.verdict(
  stored text, written_at timestamptz, mark clerk_sync.watermarks, stated text, kind text, same boolean
) returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
  return case
    when stored is null then 'created'
    when stored collate "C" >= '8' then case when clerk_sync.revives(stored, stated) then 'updated' else 'deleted' end
    when stored = stated then 'unchanged'
    when stored collate "C" > stated then 'stale'
    when stored >= '2' and written_at < mark.seen_until
         and (left(stored, 18) || lpad(mark.stated_ms::text, 15, '0') || '.3.') collate "C" > stated then 'stale'
    when kind = '3' and same and left(stored, 1) = left(stated, 1) then 'unchanged'
    else 'updated'
  end;
end
$$;

revoke execute on function
  clerk_sync.incoming(jsonb, bigint[], text[], text), clerk_sync.tombstone_version(timestamptz, boolean),
  clerk_sync.revives(text, text), clerk_sync.verdict(text, timestamptz, clerk_sync.watermarks, text, text, boolean)
from public, anon, authenticated, service_role;
