package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// results runs a set-based function as the role of the functions does and
// returns "id result" for each row, sorted.
func results(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	return lines(t, conn, `select r.id || ' ' || r.result from `+sql+` as r order by 1`, append([]any{pgx.QueryExecModeExec}, args...)...)
}

func wantResults(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// userAs is a user as the Backend API lists it.
func userAs(id, name string, updatedAt int64) string {
	return fmt.Sprintf(`{"id":%q,"first_name":%q,"created_at":1000000000000,"updated_at":%d}`, id, name, updatedAt)
}

func list(resources ...string) string { return "[" + strings.Join(resources, ",") + "]" }

const applyPage = `clerk_sync.apply_users($1::jsonb, array[$2::bigint])`

func TestApplyUsers_TellsWhatBecameOfEachOfAPage(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	writer, owner := db.Conn(t, db.Owner()), db.Conn(t, db.Owner())
	wantResults(t, "first page", results(t, writer, applyPage, list(userAs("user_a", "A", 10), userAs("user_b", "B", 10), userAs("user_c", "C", 10)), int64(2000000000000)),
		"user_a created", "user_b created", "user_c created")
	results(t, writer, `clerk_sync.tombstone_users(array['user_c'], now())`)
	exec(t, owner, `select clerk_sync.apply_event('msg_1', '{"type":"user.updated","timestamp":2000000005000,"data":`+userAs("user_b", "B by webhook", 10)+`}')`)

	// Requested before the webhook landed, and saying what was true before it.
	wantResults(t, "a page older than the webhook",
		results(t, writer, applyPage, list(userAs("user_a", "A", 10), userAs("user_b", "B", 10), userAs("user_c", "C", 99)), int64(2000000004000)),
		"user_a unchanged", "user_b stale", "user_c deleted")
	wantResults(t, "a page newer than the webhook",
		results(t, writer, applyPage, list(userAs("user_a", "A2", 20), userAs("user_b", "B3", 10), userAs("user_d", "D", 1)), int64(2000000006000)),
		"user_a updated", "user_b updated", "user_d created")

	// One object twice in a page, as overlapping pages may have it: the newest counts.
	wantResults(t, "the same object twice",
		results(t, writer, applyPage, list(userAs("user_a", "old", 30), userAs("user_a", "new", 40), userAs("user_a", "older", 25)), int64(2000000007000)),
		"user_a updated")
	if got := lines(t, owner, `select first_name from public.users where clerk_id = 'user_a'`); got[0] != "new" {
		t.Errorf("first name = %q, want new", got[0])
	}
	wantResults(t, "an empty page", results(t, writer, applyPage, "[]", int64(1)))
}

// An unchanged page writes no row, locks none and leaves no trace in the log of
// writes, however much later it was requested.
func TestApply_AnUnchangedPageWritesNothing(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	writer, owner := db.Conn(t, db.Owner()), db.Conn(t, db.Superuser())
	var users, organizations, memberships []string
	for n := range 20 {
		user, org := fmt.Sprintf("user_%d", n), fmt.Sprintf("org_%d", n%3)
		users = append(users, userAs(user, "Name", 10))
		organizations = append(organizations, fmt.Sprintf(`{"id":%q,"name":"Org","created_at":5,"updated_at":10}`, org))
		memberships = append(memberships, fmt.Sprintf(`{"id":"orgmem_%d","role":"org:member","permissions":["org:a:b"],
			"organization":{"id":%q},"public_user_data":{"user_id":%q},"created_at":5,"updated_at":10}`, n, org, user))
	}
	apply := func(requested int64) {
		t.Helper()
		for function, page := range map[string][]string{"apply_users": users, "apply_organizations": organizations} {
			results(t, writer, `clerk_sync.`+function+`($1::jsonb, array[$2::bigint])`, list(page...), requested)
		}
		results(t, writer, `clerk_sync.apply_memberships($1::jsonb, array[$2::bigint])`, list(memberships...), requested)
	}
	apply(2000000000000)
	// ctid moves with a write, xmax is set by a lock.
	state := func() []string {
		var all []string
		for _, table := range []string{"users", "users_public", "organizations", "organization_memberships"} {
			all = append(all, lines(t, owner, `select '`+table+` ' || ctid || ' ' || xmin || ' ' || xmax from public.`+table+` order by 1`)...)
		}
		return all
	}
	before := state()
	apply(2000009000000)
	if diff := cmp.Diff(before, state()); diff != "" {
		t.Errorf("rows before and after an unchanged page:\n%s", diff)
	}
}

func TestApplyMemberships_OfAPage(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	writer, owner := db.Conn(t, db.Owner()), db.Conn(t, db.Owner())
	member := func(id, org, user, role string) string {
		return fmt.Sprintf(`{"id":%q,"role":%q,"permissions":[],"created_at":5,"updated_at":10,
			"organization":{"id":%q,"name":"Placeholder","updated_at":10},"public_user_data":{"user_id":%q,"first_name":"Placeholder"}}`, id, role, org, user)
	}
	results(t, writer, applyPage, list(userAs("user_known", "Known", 10), userAs("user_gone", "Gone", 10)), int64(2000000000000))
	results(t, writer, `clerk_sync.tombstone_users(array['user_gone'], now())`)
	wantResults(t, "a page of memberships",
		results(t, writer, `clerk_sync.apply_memberships($1::jsonb, array[$2::bigint])`, list(
			member("orgmem_1", "org_1", "user_known", "org:admin"),
			member("orgmem_2", "org_1", "user_new", "org:member"),
			member("orgmem_3", "org_1", "user_gone", "org:member")), int64(2000000001000)),
		"orgmem_1 created", "orgmem_2 created", "orgmem_3 deleted")
	wantResults(t, "the parents", lines(t, owner, `
		select clerk_id || ' ' || coalesce(first_name, '-') || ' ' || is_placeholder from public.users
		union all select clerk_org_id || ' ' || name || ' ' || is_placeholder from public.organizations order by 1`),
		"org_1 Placeholder true", "user_gone - false", "user_known Known false", "user_new Placeholder true")
	wantResults(t, "ending some", results(t, writer, `clerk_sync.end_memberships(array['orgmem_1', 'orgmem_3', 'orgmem_unknown'], now())`),
		"orgmem_1 deleted", "orgmem_3 unchanged")
}

func TestTombstones_AreToldOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	writer := db.Conn(t, db.Owner())
	results(t, writer, applyPage, list(userAs("user_a", "A", 10)), int64(2000000000000))
	for _, object := range []string{"users", "organizations", "roles", "permissions"} {
		call := `clerk_sync.tombstone_` + object + `(array['user_a', 'unknown', 'unknown'], '2026-01-01')`
		wantResults(t, object+" first", results(t, writer, call), "unknown deleted", "user_a deleted")
		wantResults(t, object+" again", results(t, writer, call), "unknown unchanged", "user_a unchanged")
	}
}
