// Package platform names what a Supabase project has beside a team's own: the roles of
// its Data API, and the schemas of its services.
//
//	if platform.Owns(schema) { … } // nothing there is the team's to change
package platform

import (
	"slices"
	"strings"
)

// The roles of the Data API. Row level security holds for the first two.
const (
	Anon          = "anon"
	Authenticated = "authenticated"
	ServiceRole   = "service_role"
)

// schemas are those that Supabase's linter leaves out (supabase/splinter), and a few that
// its services brought later.
var schemas = []string{
	"_analytics", "_realtime", "_supavisor", "_timescaledb_cache", "_timescaledb_catalog", "_timescaledb_config", "_timescaledb_internal", "auth",
	"cron", "extensions", "graphql", "graphql_public", "information_schema", "net", "pgbouncer", "pgmq", "pgmq_public", "pgroonga", "pgsodium",
	"pgsodium_masks", "pgtle", "realtime", "repack", "storage", "supabase_functions", "supabase_migrations", "tiger", "topology", "vault",
}

// Owns tells whether a schema belongs to Supabase's services or to PostgreSQL.
func Owns(schema string) bool {
	return strings.HasPrefix(schema, "pg_") || slices.Contains(schemas, schema)
}
