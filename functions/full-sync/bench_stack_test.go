package main_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

// stack is what a benchmark writes to: a PostgreSQL whose commits reach the
// disk, unlike that of the tests, and a PgBouncer in transaction mode in front of
// it.
type stack struct {
	server *postgres.Server
	pooler *pgbouncer.Pooler
}

// benchDatabase is made anew for each measurement, so that all begin empty.
const benchDatabase = "clerksync_bench"

// startStack starts both. Without either the benchmark is skipped, or fails when
// CI=true.
func startStack(b *testing.B) *stack {
	b.Helper()
	// What vacuuming writes is not a run's doing.
	server := testdb.StartServer(b, postgres.Options{Fsync: true, Settings: map[string]string{"autovacuum": "off"}})
	return &stack{server, testdb.NewPooler(b, server, pgbouncer.Options{})}
}

// empty makes the database anew, migrated and without a row.
func (s *stack) empty(b *testing.B) {
	b.Helper()
	testdb.NewDatabase(b, s.server, benchDatabase)
}

// connect opens a superuser's connection past the pooler, for preparing and
// counting.
func (s *stack) connect(b *testing.B, database string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), s.server.URL(database, postgres.Superuser, ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// url is the connection string of a role, through the pooler.
func (s *stack) url(role string) string { return s.pooler.URL(benchDatabase, role, "") }

func execute(b *testing.B, conn *pgx.Conn, sql string) {
	b.Helper()
	if _, err := conn.Exec(b.Context(), sql); err != nil {
		b.Fatalf("running %.100q: %v", sql, err)
	}
}

func query[T any](b *testing.B, conn *pgx.Conn, sql string, args ...any) T {
	b.Helper()
	var value T
	if err := conn.QueryRow(b.Context(), sql, args...).Scan(&value); err != nil {
		b.Fatalf("running %.100q: %v", sql, err)
	}
	return value
}

// size is how much an instance holds.
type size struct{ users, organizations, memberships int }

func (s size) objects() int { return s.users + s.organizations + s.memberships }

// orLess is a fiftieth with -short, to try a benchmark out.
func (s size) orLess() size {
	if testing.Short() {
		return size{s.users / 50, s.organizations / 50, s.memberships / 50}
	}
	return s
}

// production is Clerk's limit for a production instance (Clerk docs, system
// limits), which the double enforces.
var production = clerk.LiveInstance.RateLimit()

// limitAlone is how long the limit alone makes a full sync last that uses a
// share of it: all that it takes are full pages of what there is.
func (s size) limitAlone(share float64) time.Duration {
	pages := func(n int) int { return (n + clerk.MaxLimit - 1) / clerk.MaxLimit }
	requests := pages(s.users) + pages(s.organizations) + pages(s.memberships)
	return time.Duration(float64(requests) / (share * float64(production.Requests)) * float64(production.Per))
}

// seed makes an instance in which everything is old enough for webhooks to have
// told of it.
func (s size) seed(b *testing.B) *clerkinstance.Instance {
	b.Helper()
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	err := instance.Seed(clerkinstance.SeedOptions{
		Users: s.users, Organizations: s.organizations, Memberships: s.memberships, To: time.Now().Add(-time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	return instance
}

// latency is how long Clerk takes to answer here.
const latency = 100 * time.Millisecond

// serve answers for an instance over loopback until the benchmark is over, and
// returns the address of its Backend API.
func serve(b *testing.B, instance *clerkinstance.Instance) string {
	b.Helper()
	server := httptest.NewServer(backendapi.New(instance, backendapi.Options{SecretKeys: []string{secretKey}, Limit: production, Latency: latency}))
	b.Cleanup(server.Close)
	return server.URL + "/v1"
}
