-- For callers that come through the Data API: rpc('apply_clerk_event', …) with the
-- service key, from an Edge Function or a route that has verified the signature.
create or replace function {{exposed}}.apply_clerk_event(svix_id text, event jsonb, out outcome text, out reason text)
language sql security invoker set search_path = pg_catalog, pg_temp as $$
  select a.outcome, a.reason from clerk_sync.apply_event(apply_clerk_event.svix_id, apply_clerk_event.event) as a
$$;

comment on function {{exposed}}.apply_clerk_event(text, jsonb) is
  'Applies one Clerk webhook whose signature the caller has verified. Only service_role may call it.';

-- A name of its own: the Data API cannot choose between two functions whose arguments
-- differ by type alone.
create or replace function {{exposed}}.apply_clerk_event_text(svix_id text, body text, out outcome text, out reason text)
language sql security invoker set search_path = pg_catalog, pg_temp as $$
  select a.outcome, a.reason
  from clerk_sync.apply_event_text(apply_clerk_event_text.svix_id, apply_clerk_event_text.body) as a
$$;

comment on function {{exposed}}.apply_clerk_event_text(text, text) is
  'Applies one Clerk webhook, given as its body was received, whose signature the caller has verified. Only service_role may call it.';

create or replace function {{exposed}}.ensure_user() returns text
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
  id constant text := {{helpers}}.user_id();
begin
  -- The Data API answers PT401 and PT403 with these statuses.
  if id is null then
    raise sqlstate 'PT401' using message = 'ensure_user needs a signed-in user',
      hint = 'The request had no token of a Clerk user.';
  elsif not starts_with(id, 'user_') then
    raise sqlstate 'PT403' using message = 'ensure_user is for users of Clerk',
      hint = 'The token''s sub is no Clerk user id; it starts with "user_".';
  end if;

  -- A tombstone stays one: deleted is final.
  insert into {{exposed}}.users (clerk_id) values (id) on conflict (clerk_id) do nothing;
  return id;
end
$$;

comment on function {{exposed}}.ensure_user() is
  'Makes sure that the signed-in user has a row in users, and returns its Clerk id. Call it before a first insert that refers to users.';

revoke execute on function
  {{exposed}}.apply_clerk_event(text, jsonb), {{exposed}}.apply_clerk_event_text(text, text), {{exposed}}.ensure_user()
from public, anon, authenticated, service_role;
grant execute on function {{exposed}}.apply_clerk_event(text, jsonb), {{exposed}}.apply_clerk_event_text(text, text) to service_role;
grant execute on function {{exposed}}.ensure_user() to authenticated;
