package rules_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// For every caller a single event reads a handful of rows: the settings of the planner
// belong to the functions and not to a login. The plans that PostgreSQL makes by itself
// for tables of some ten thousand rows read them whole.
func TestPlans_OfOneEventReadNoTableWhole(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Superuser())
	const told = "'2.000000000000001.000000000000001.3.'"
	filled := 0
	for _, size := range []int{1_000, 10_000, 100_000} {
		exec(t, owner, fmt.Sprintf(`
			set session_replication_role = replica;
			insert into public.users (clerk_id, sync_version) select 'user_' || n, %[3]s from generate_series(%[1]d, %[2]d) as n;
			insert into public.organizations (clerk_org_id, sync_version) select 'org_' || n, %[3]s from generate_series(%[1]d, %[2]d, 10) as n;
			insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, sync_version)
			select 'orgmem_' || n, 'org_' || (n - (n - 1) %% 10), 'user_' || n, 'org:member', %[3]s from generate_series(%[1]d, %[2]d) as n;
			insert into clerk_sync.webhook_events (svix_id, type, outcome, user_id) select 'old_' || n, 'user.updated', 'applied', 'user_' || n from generate_series(%[1]d, %[2]d) as n;
			set session_replication_role = origin;
			analyze public.users, public.organizations, public.organization_memberships, clerk_sync.webhook_events`, filled+1, size, told))
		filled = size

		for login, call := range map[string]string{
			"service_role through the Data API": `set local role service_role; select outcome from public.apply_clerk_event('%s', '%s')`,
			"the runtime role":                  `select outcome from clerk_sync.apply_event('%s', '%s')`,
		} {
			url := db.As("authenticator")
			if login == "the runtime role" {
				url = db.Writer()
			}
			conn := db.Conn(t, url)
			for _, e := range []struct{ name, text string }{
				{"a user", event("user.updated", 9, `{"id":"user_77","first_name":"Ada","updated_at":5}`)},
				{"a membership", event("organizationMembership.updated", 9, `{"id":"orgmem_78","role":"org:admin","updated_at":5,"organization":{"id":"org_71"},"public_user_data":{"user_id":"user_78"}}`)},
				{"a deletion", event("user.deleted", 9, `{"id":"user_79"}`)},
				{"a deletion of an organization", event("organization.deleted", 9, `{"id":"org_81"}`)},
			} {
				if read := readWhole(t, conn, fmt.Sprintf(call, "msg_"+e.name, e.text)); read > 200 {
					t.Errorf("%s: %s reads %d rows without an index at %d users", login, e.name, read, size)
				}
			}
		}
	}
}

// readWhole runs a call, takes it back, and returns how many rows of the copy and of the
// inbox it read by reading a table from the beginning.
func readWhole(t *testing.T, conn *pgx.Conn, call string) int64 {
	t.Helper()
	var read int64
	exec(t, conn, "begin")
	exec(t, conn, call)
	err := conn.QueryRow(t.Context(), `
		select sum(seq_tup_read)::bigint from pg_stat_xact_all_tables
		where schemaname in ('public', 'clerk_sync') and relname in ('users', 'users_public', 'organizations', 'organization_memberships', 'webhook_events', 'audit_log')`).Scan(&read)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, conn, "rollback")
	return read
}
