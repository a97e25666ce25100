package fullsync_test

import (
	"testing"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/fullsync"
)

// What is right is right, also where retention cannot be applied.
func TestRun_IsCompleteAlsoIfItCannotPurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(20, 2, 10)
	if _, err := w.owner.Exec(t.Context(), `
		create or replace function clerk_sync.purge(most integer default 10000) returns jsonb language plpgsql security definer as
		$$ begin raise invalid_parameter_value using message = 'no purge'; end $$`); err != nil {
		t.Fatal(err)
	}
	report, err := w.run(nil)
	if err != nil || report.State != fullsync.Complete || report.PurgeFailed != "database_unavailable" {
		t.Errorf("a run that cannot purge: %s, purge %q, %v; want complete, and told", report.State, report.PurgeFailed, err)
	}
	w.same()
}

// An organization that is gone with more members than one transaction ends, and
// one that a webhook has deleted just now.
func TestRun_EndsWhatLargeDeletionsLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(60, 2, 100)
	w.complete(nil)
	if _, err := w.owner.Exec(t.Context(), `update clerk_sync.settings set memberships_at_once = 3`); err != nil {
		t.Fatal(err)
	}
	var orgs []string
	members := 0
	snapshot := w.clerk.Snapshot()
	for id := range snapshot.Organizations {
		orgs = append(orgs, id)
	}
	for _, m := range snapshot.Memberships {
		if m.Organization.ID == orgs[0] {
			members++
		}
	}
	for _, id := range orgs {
		if err := w.clerk.DeleteOrganization(id, false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.owner.Exec(t.Context(), `select clerk_sync.tombstone_organizations(array[$1], now())`, orgs[1]); err != nil {
		t.Fatal(err)
	}
	report := w.complete(func(o *fullsync.Options) { o.AllowDeletions = true })
	if report.Organizations.Deleted != 1 || report.Memberships.Deleted != int64(members) || report.Memberships.Suspects != 0 {
		t.Errorf("organizations %+v, memberships %+v; want one deleted with %d members, and nothing suspected of the other's",
			report.Organizations, report.Memberships, members)
	}
	w.same()
	var left int
	if err := w.owner.QueryRow(t.Context(), `select count(*) from clerk_sync.endings`).Scan(&left); err != nil || left != 0 {
		t.Errorf("%d endings are left, %v", left, err)
	}
}
