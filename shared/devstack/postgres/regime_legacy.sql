-- Projects made before 30 May 2026: whatever the owner creates in public is
-- open to the three roles of the Data API, and row level security is the only
-- fence.
alter default privileges for role supabase_postgres in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role supabase_postgres in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role supabase_postgres in schema public
    grant all on sequences to anon, authenticated, service_role;
