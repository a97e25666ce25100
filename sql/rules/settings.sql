-- How the planner treats the functions that are called from outside. All they do is by
-- an indexed id, and their plans are kept for the session, which lives long behind a
-- pooler: a plan made while a table was empty would read the whole table later. So
-- plans are made once, without the alternatives, and nothing is compiled that takes
-- microseconds. The settings belong to the functions, not to a login: for every caller the
-- plans are the same. What these functions call inherits them.
do $$
declare
  entry text;
begin
  foreach entry in array array[
    'apply_event(text, jsonb, text, text)', 'apply_events(text[], jsonb, text[], text[])', 'replay_event(text)',
    'apply_page(bigint, text, text, integer, integer, text, jsonb, bigint, text[], bigint[], bigint)',
    'compare_page(text, jsonb, bigint, text[], bigint[], bigint)',
    'tombstone_users(text[], timestamptz, timestamptz[], boolean)', 'tombstone_organizations(text[], timestamptz, timestamptz[], boolean)', 'end_memberships(text[], timestamptz, timestamptz[], boolean)',
    'end_some_memberships(integer, boolean)', 'pending_deletions(bigint)', 'children_of(text[], text[])',
    'delete_absent(bigint, text, text, integer)', 'suspects(bigint, text, bigint, bigint, text[], integer, text, text, timestamptz)',
    'witnesses(bigint, text, text[], bigint, bigint, integer)',
    'undated(text, timestamptz, text, integer)', 'finish_window(bigint, text, jsonb)'
  ] loop
    execute format('alter function clerk_sync.%s
      set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off', entry);
  end loop;
  -- A page in the order of an index, and not all in some order to be sorted.
  foreach entry in array array[
    'suspects(bigint, text, bigint, bigint, text[], integer, text, text, timestamptz)', 'witnesses(bigint, text, text[], bigint, bigint, integer)'
  ] loop
    execute format('alter function clerk_sync.%s set enable_sort = off set enable_bitmapscan = off', entry);
  end loop;
end
$$;
