package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// A parent that appears, as a placeholder, while its deletion is under way, and a
// membership under it that is not committed yet: the deletion must wait for it.
func TestTombstone_SeesMembershipsOfAParentThatHasJustAppeared(t *testing.T) {
	t.Parallel()
	for _, parent := range []struct{ name, table, key, tombstone string }{
		{"user", "public.users", "clerk_id", `select clerk_sync.tombstone_users(array['user_a', 'user_b'], '2030-01-01')`},
		{"organization", "public.organizations", "clerk_org_id", `select clerk_sync.tombstone_organizations(array['org_a', 'org_b'], '2030-01-01')`},
	} {
		t.Run(parent.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			owner, first, deleting, joining := db.Conn(t, db.Superuser()), db.Conn(t, db.Owner()), db.Conn(t, db.Owner()), db.Conn(t, db.Owner())

			// The deletion of a and b has looked for both, found neither, and waits
			// for a, which somebody else is about to insert.
			exec(t, first, "begin")
			exec(t, first, `insert into `+parent.table+` (`+parent.key+`) values ('`+map[string]string{"user": "user", "organization": "org"}[parent.name]+`_a')`)
			deleted := make(chan error, 1)
			go func() {
				_, err := deleting.Exec(t.Context(), parent.tombstone, pgx.QueryExecModeExec)
				deleted <- err
			}()
			awaitLock(t, owner, deleting, first)

			// Now b appears, and a membership under it is being written.
			exec(t, owner, `insert into public.users (clerk_id, sync_version) values ('user_b', '2.000000000000000.000000000000000.3.')`)
			exec(t, owner, `insert into public.organizations (clerk_org_id, sync_version) values ('org_b', '2.000000000000000.000000000000000.3.')`)
			exec(t, joining, "begin")
			exec(t, joining, `select clerk_sync.apply_memberships('[{"id":"orgmem_1","role":"org:member","created_at":1900000000000,"updated_at":1900000000000,
				"organization":{"id":"org_b"},"public_user_data":{"user_id":"user_b"}}]', array[1900000000000])`)
			exec(t, first, "rollback")
			awaitLock(t, owner, deleting, joining)
			exec(t, joining, "commit")
			if err := <-deleted; err != nil {
				t.Fatal(err)
			}
			if live := lines(t, owner, `select clerk_membership_id from public.organization_memberships where deleted_at is null`); len(live) != 0 {
				t.Errorf("%v is live under a deleted %s", live, parent.name)
			}
		})
	}
}

// The end of a membership told twice at once, in full and by its id alone, before the
// membership itself: one waits for the other, and neither is refused.
func TestTombstone_OfOneMembershipToldTwiceAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, other, full, alone := db.Conn(t, db.Superuser()), db.Conn(t, db.Owner()), db.Conn(t, db.Writer()), db.Conn(t, db.Writer())
	// The user is just being made, so that the one in full has to wait in the middle.
	exec(t, other, "begin")
	exec(t, other, `insert into public.users (clerk_id) values ('user_a')`)
	told := make(chan error, 2)
	tell := func(conn *pgx.Conn, svixID, data string) {
		var outcome string
		err := conn.QueryRow(t.Context(), `select outcome from clerk_sync.apply_event($1, $2)`, svixID, event("organizationMembership.deleted", 9, data)).Scan(&outcome)
		if err == nil && outcome != "applied" {
			err = fmt.Errorf("%s: %s", svixID, outcome)
		}
		told <- err
	}
	go tell(full, "msg_full", `{"id":"orgmem_1","organization":{"id":"org_1"},"public_user_data":{"user_id":"user_a"},"updated_at":1}`)
	awaitLock(t, owner, full, other)
	go tell(alone, "msg_alone", `{"id":"orgmem_1","deleted":true}`)
	awaitLock(t, owner, alone, full)
	exec(t, other, "rollback")
	for range 2 {
		if err := <-told; err != nil {
			t.Error(err)
		}
	}
	if live := lines(t, owner, `select clerk_membership_id from public.organization_memberships where deleted_at is null`); len(live) != 0 {
		t.Errorf("%v is live", live)
	}
}

// awaitLock waits until a connection waits for another one.
func awaitLock(t *testing.T, owner, waiting, holder *pgx.Conn) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if got := lines(t, owner, fmt.Sprintf(`select 'waits' where %d = any (pg_blocking_pids(%d))`,
			holder.PgConn().PID(), waiting.PgConn().PID())); len(got) == 1 {
			return
		}
		<-tick.C
	}
	t.Fatal("the deletion does not wait")
}
