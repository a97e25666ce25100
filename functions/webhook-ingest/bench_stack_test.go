package main_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/pgbouncer"
	"clerksync/shared/devstack/postgres"
	"clerksync/sql/migrations"
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

// benchDatabase is the one that holds the copy, and in another schema the tables of
// the naive handler.
const benchDatabase = "clerksync_bench"

// startStack starts both and makes the database, migrated and empty. Without
// PostgreSQL the benchmark is skipped, or fails when CI=true.
func startStack(b *testing.B) *stack {
	b.Helper()
	major := 0
	if asked := os.Getenv("CLERKSYNC_TEST_POSTGRES"); asked != "" {
		var err error
		if major, err = strconv.Atoi(asked); err != nil {
			b.Fatalf("CLERKSYNC_TEST_POSTGRES is %q: set it to a main version such as 15 or 17, or leave it out", asked)
		}
	}
	server, err := postgres.Start(b.Context(), postgres.Options{Major: major, Fsync: true})
	if errors.Is(err, postgres.ErrNotFound) {
		missing(b, err)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	s := &stack{server: server}

	s.pooler, err = pgbouncer.Start(b.Context(), pgbouncer.Options{Host: server.Host(), Port: server.Port(), AuthUser: postgres.Superuser})
	switch {
	case errors.Is(err, pgbouncer.ErrNotFound): // whoever asks for it is skipped
	case err != nil:
		b.Fatal(err)
	default:
		b.Cleanup(func() { _ = s.pooler.Kill() })
	}

	s.createDatabase(b, benchDatabase)
	superuser := s.connect(b, benchDatabase, postgres.Superuser)
	if err := postgres.Stubs(b.Context(), superuser, postgres.Explicit); err != nil {
		b.Fatal(err)
	}
	owner, err := pgx.ParseConfig(server.URL(benchDatabase, postgres.Owner, ""))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := migrations.Up(b.Context(), owner, migrations.Options{}); err != nil {
		b.Fatal(err)
	}
	return s
}

func (s *stack) createDatabase(b *testing.B, name string) {
	b.Helper()
	execute(b, s.connect(b, "postgres", postgres.Superuser), "create database "+name)
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
		missing(b, pgbouncer.ErrNotFound)
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

// missing ends a benchmark that lacks a part: on a person's machine it is
// skipped, in CI nothing may be skipped.
func missing(b *testing.B, err error) {
	b.Helper()
	if os.Getenv("CI") == "true" {
		b.Fatalf("CI must have everything that benchmarks need: %v", err)
	}
	b.Skip(err)
}
