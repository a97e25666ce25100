// Package lint finds what is wrong with the policies, grants, functions and views
// of a database, for people whose users are Clerk's.
//
//	findings, err := lint.Run(ctx, conn, lint.Options{})
//
// It knows the lints of Supabase's own linter (splinter, as the Supabase CLI 3.1.0
// has it) that are about those, under the same names, "lint." put before them,
// and about the same objects; and checks of its own, for what a linter that knows
// nothing of Clerk cannot say.
//
// An object is the table, view or function itself, or "policy p on t",
// "constraint c on t", "column c of t", "trigger t on t", "bucket b" or "schema s",
// names quoted as SQL wants them. A remedy that begins with a statement can be
// run up to its last semicolon; what follows that is advice. One that changes a
// policy repeats its clauses as they were read: of several for one policy run one,
// and lint again.
//
// # Status
//
// Supabase's ERROR is Fail, and its WARN is Warn. Its INFO is Warn where there is
// something to do (a foreign key without an index, a table that the Data API may
// use and that has no policy), and Pass where there is not (a table that is closed
// altogether). Pass is also what Supabase's linter reports and is in order: a
// claim that is read once, in a form that it does not know; a trigger's function
// that nobody can call; an aggregate. Skip is what could not be looked at.
//
// # Supabase's lints
//
//	unindexed_foreign_keys auth_users_exposed auth_rls_initplan multiple_permissive_policies policy_exists_rls_disabled
//	rls_enabled_no_policy duplicate_index security_definer_view function_search_path_mutable rls_disabled_in_public
//	rls_references_user_metadata materialized_view_in_api foreign_table_in_api fkey_to_auth_unique sensitive_columns_exposed
//	rls_policy_always_true public_bucket_allows_listing anon_security_definer_function_executable
//	authenticated_security_definer_function_executable
//
// # Clerk's users
//
//	auth_uid               fails for a Clerk id (22P02): in a policy, default, view or function
//	auth_email, auth_role  null for most, and better left to the policy's TO clause
//	user_id_as_uuid        a Clerk id is cast to uuid
//	user_id_uuid_column    a uuid column that is compared with one, or is named as if it held one
//	fkey_to_auth_users, trigger_on_auth_users
//	claim_path_dotted      ->> 'o.id' is always null
//	claim_version_one      org_id without o.id
//	claim_absent           aal, amr, app_metadata, is_anonymous, session_id
//	claim_setting          request.jwt.claim.sub, which the Data API no longer sets
//	org_role_prefix        "admin" compared with "org:admin"
//	unsafe_metadata        a policy that trusts what users write themselves, also by way of a function
//	policy_null_passes     a test that who lacks the claim passes
//	storage_owner          owner in place of owner_id
//
// # Policies and grants
//
//	rls_disabled_reachable      no row level security, and privileges that Supabase's lint 0013 does not look for
//	policy_to_public            for anon too, who may use the table
//	policy_for_bypassing_role   for service_role and the like only
//	policies_only_restrictive
//	policy_without_grant        for what nobody may do
//	grant_without_policy        (Pass)
//	write_without_select, insert_without_select (Pass)
//	privileges_around_policies  truncate, references, trigger; one finding a schema
//	sequence_without_usage      a serial column that an inserting role cannot count up
//	partition_around_policies   a partition that is open beside its parent
//	view_over_definer_view      a view that reads as its caller, from one that does not
//	definer_temporary_schema    functions with their owner's rights whose search path does not end in pg_temp;
//	                            one finding for all of them
//	internal_schema_exposed, exposed_schema_missing, schema_without_usage
//
// # Speed and recursion
//
//	policy_recursive            42P17, by planning every command; policy_calls_itself: 54001, by a function
//	policy_per_row              sub-selects that depend on the row, functions that are not in a sub-select
//	policy_in_subselect         column in (select …), which no index serves
//	policy_column_unindexed
//
// # Limits
//
// Policies, defaults and views are read as the database writes them, functions in
// SQL and PL/pgSQL as their source, without comments and without the SQL that they
// build as text; functions in other languages are not read. Plans are made as
// anon and authenticated, in savepoints, of tables whose policies may read each
// other in a circle or have sub-selects that depend on the row; planning may call stable functions of the user's own, in a
// transaction that can write nothing. The schemas of Supabase's services are left
// out, but for policies on storage and realtime and triggers on auth.users.
//
// It reads the whole catalogue in four statements: a thousand tables with four
// policies each take half a second beside the database.
package lint
