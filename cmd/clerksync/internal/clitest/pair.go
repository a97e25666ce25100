package clitest

import (
	"encoding/json"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/commandline"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/testkit/testdb"
)

// ClerkKey is of the kind with the higher limit.
const ClerkKey = "sk_live_" + "NotARealKeyButLongEnough"

// Pair is a Clerk instance and a database for its copy. C has the command sync-users.
type Pair[C any] struct {
	Clerk    *clerkinstance.Instance
	API      *backendapi.API
	DB       *testdb.DB
	Settings map[string]string
}

// NewPair makes one, with so many users and some organizations and memberships.
func NewPair[C any](t *testing.T, users int, options backendapi.Options) *Pair[C] {
	t.Helper()
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	err := instance.Seed(clerkinstance.SeedOptions{
		Users: users, Organizations: users / 20, Memberships: users / 2, To: time.Now().Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	options.SecretKeys = []string{ClerkKey}
	api := backendapi.New(instance, options)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	db := testdb.New(t)
	return &Pair[C]{Clerk: instance, API: api, DB: db, Settings: map[string]string{
		"DATABASE_URL": db.Pooled(t, db.Writer()), "CLERK_SECRET_KEY": ClerkKey, "CLERK_API_URL": server.URL + "/v1", "SYNC_RATE_SHARE": "1",
	}}
}

// Report runs a command line with --json that must succeed.
func (p *Pair[C]) Report(t *testing.T, args ...string) fullsync.Report {
	t.Helper()
	got := Run[C](t, p.Settings, append([]string{"--json", "sync-users"}, args...)...)
	var report fullsync.Report
	if err := json.Unmarshal([]byte(got.Stdout), &report); err != nil || got.Code != commandline.ExitOK {
		t.Fatalf("sync-users %q: exit %d, %v\n%s%s", args, got.Code, err, got.Stdout, got.Stderr)
	}
	if report.State != fullsync.Complete {
		t.Fatalf("sync-users %q ended %q (%s)", args, report.State, report.Reason)
	}
	return report
}

// Users are the ids of the instance's users, in order.
func (p *Pair[C]) Users() []string {
	var ids []string
	for id := range p.Clerk.Snapshot().Users {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Count counts rows of the database.
func (p *Pair[C]) Count(t *testing.T, where string) int {
	t.Helper()
	var n int
	if err := p.DB.Conn(t, p.DB.Superuser()).QueryRow(t.Context(), "select count(*) from "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
