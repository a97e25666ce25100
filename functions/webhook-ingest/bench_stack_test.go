package main_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

// stack is what a benchmark measures against: a PostgreSQL whose commits reach
// the disk, unlike that of the tests, with a PgBouncer in transaction mode in
// front of it. Both end with the benchmark.
type stack struct {
	server *postgres.Server
	pooler *pgbouncer.Pooler // nil where PgBouncer is not installed
}

// The ways to the database that are measured.
const (
	direct = "direct"
	pooled = "pgbouncer"
	// distant is the pooler a millisecond away, as from another machine.
	distant = "pgbouncer-1ms"
)

// startStack starts both, with the database migrated and empty. Without PostgreSQL
// the benchmark is skipped, or fails when CI=true.
func startStack(b *testing.B) *stack {
	b.Helper()
	s := &stack{server: testdb.NewServer(b, nil)}
	// Without one whoever asks for it is skipped.
	if _, err := pgbouncer.Find(); !errors.Is(err, pgbouncer.ErrNotFound) {
		s.pooler = testdb.NewPooler(b, s.server, pgbouncer.Options{})
	}
	return s
}

func (s *stack) createDatabase(b *testing.B, name string) {
	b.Helper()
	execute(b, s.connect(b, testdb.ServerDatabase, postgres.Superuser), "create database "+name)
}

// connect opens a connection past the pooler, for preparing and counting.
func (s *stack) connect(b *testing.B, name, role string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), s.server.URL(name, role, ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// url is the connection string of a route. Without PgBouncer the benchmark is
// skipped, or fails when CI=true.
func (s *stack) url(b *testing.B, route, name, role string) string {
	b.Helper()
	if route == direct {
		return s.server.URL(name, role, "")
	}
	if s.pooler == nil {
		need.Missing(b, pgbouncer.ErrNotFound)
	}
	pooler := s.pooler.URL(name, role, "")
	if route == distant {
		return through(b, pooler, startProxy(b, pooler, time.Millisecond).listener.Addr())
	}
	return pooler
}

// through is the same connection string by way of another address.
func through(b *testing.B, connString string, address net.Addr) string {
	b.Helper()
	u, err := url.Parse(connString)
	if err != nil {
		b.Fatal("reading the connection string: it is no URL")
	}
	u.Host = address.String()
	return u.String()
}

func execute(b *testing.B, conn *pgx.Conn, sql string, args ...any) {
	b.Helper()
	if _, err := conn.Exec(b.Context(), sql, args...); err != nil {
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
