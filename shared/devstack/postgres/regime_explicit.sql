-- Newer projects: nothing is granted by itself, to service_role neither. That
-- everybody may execute a new function is PostgreSQL's own default; it can only
-- be taken back for all schemas at once.
alter default privileges for role supabase_postgres
    revoke execute on functions from public;
