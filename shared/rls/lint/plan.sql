-- Plans the statements that the setting clerksync.lint_statements lists, each as
-- its role, and leaves in clerksync.lint_plans which of them end in a circle
-- of policies, and which run a sub-select for every row. An error of one statement
-- must not end the others, and a round trip for each would take minutes over many
-- tables.
do $$
declare
  wanted jsonb := current_setting('clerksync.lint_statements')::jsonb;
  plans jsonb := '[]';
  plan text;
  message text;
begin
  for i in 0 .. jsonb_array_length(wanted) - 1 loop
    begin
      perform set_config('role', wanted -> i ->> 'role', true);
      execute 'explain (format json, costs off) ' || (wanted -> i ->> 'sql') into plan;
      -- Each sub-plan is named once where it stands, and again where it is used.
      plan := regexp_replace(plan, '"Subplan Name": "[^"]*"', '', 'g');
      plans := plans || jsonb_build_object('statement', i,
        'rows', plan ~ '(^|[^d] |[^ ])SubPlan [0-9]', 'hashed', plan ~ 'hashed SubPlan [0-9]');
    exception
      when invalid_object_definition then
        get stacked diagnostics message = message_text;
        plans := plans || jsonb_build_object('statement', i, 'circle', message);
      when others then
        null; -- The role may not do it, or a function refuses to be called here.
    end;
  end loop;
  perform set_config('clerksync.lint_plans', plans::text, true);
end
$$
