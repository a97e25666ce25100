-- A user who has just signed up may write before the webhook lands: its row,
-- which the application's own tables refer to, is made from its token. The row
-- holds the id and nothing else until Clerk tells about the user itself; column
-- grant and policy see to it that nothing else can be written.

grant insert (clerk_id) on table {{exposed}}.users to authenticated;

-- Supabase's own users have uuids and Clerk's machines ids of another kind;
-- both can come with the same role.
create policy users_insert_own on {{exposed}}.users
  for insert to authenticated
  with check (clerk_id = (select clerk.user_id()) and starts_with(clerk_id, 'user_'));

create function {{exposed}}.ensure_user() returns text
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
  id constant text := clerk.user_id();
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

revoke execute on function {{exposed}}.ensure_user() from public, anon, service_role;
grant execute on function {{exposed}}.ensure_user() to authenticated;
