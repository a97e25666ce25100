package main

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/devstack/clerkdouble"
	"clerksync/shared/devstack/testdb"
	"clerksync/shared/fullsync"
)

// clerkKey is of the kind with the higher limit.
const clerkKey = "sk_live_" + "NotARealKeyButLongEnough"

// pair is a Clerk instance and a database for its copy. C has the command sync-users.
type pair[C any] struct {
	clerk    *clerkdouble.Instance
	api      *clerkdouble.API
	db       *testdb.DB
	settings map[string]string
}

func newPair[C any](t *testing.T, users int, options clerkdouble.APIOptions) *pair[C] {
	t.Helper()
	instance := clerkdouble.New(clerkdouble.Options{Seed: 1})
	err := instance.Seed(clerkdouble.SeedOptions{
		Users: users, Organizations: users / 20, Memberships: users / 2, To: time.Now().Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	options.SecretKeys = []string{clerkKey}
	api := instance.API(options)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	db := testdb.New(t)
	return &pair[C]{clerk: instance, api: api, db: db, settings: map[string]string{
		"DATABASE_URL": db.Pooled(t, db.Writer()), "CLERK_SECRET_KEY": clerkKey, "CLERK_API_URL": server.URL + "/v1", "SYNC_RATE_SHARE": "1",
	}}
}

// report runs a command line with --json that must succeed.
func (p *pair[C]) report(t *testing.T, args ...string) fullsync.Report {
	t.Helper()
	got := runLine[C](t, p.settings, append([]string{"--json", "sync-users"}, args...)...)
	var report fullsync.Report
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || got.code != commandline.ExitOK {
		t.Fatalf("sync-users %q: exit %d, %v\n%s%s", args, got.code, err, got.stdout, got.stderr)
	}
	if report.State != fullsync.Complete {
		t.Fatalf("sync-users %q ended %q (%s)", args, report.State, report.Reason)
	}
	return report
}

// users are the ids of the instance's users, in order.
func (p *pair[C]) users() []string {
	var ids []string
	for id := range p.clerk.Snapshot().Users {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (p *pair[C]) count(t *testing.T, where string) int {
	t.Helper()
	var n int
	if err := p.db.Conn(t, p.db.Superuser()).QueryRow(t.Context(), "select count(*) from "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
