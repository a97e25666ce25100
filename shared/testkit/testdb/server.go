package testdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/sql/migrate"
)

// ServerDatabase is the database that a server begins with.
const ServerDatabase = "postgres"

// StartServer starts a PostgreSQL that nobody else uses, so that it may be
// crashed, measured or given roles, and stops it when t is over. It has no role and
// no table of ours. Options without a Major take that of [New], under the same
// conditions.
func StartServer(t testing.TB, options postgres.Options) *postgres.Server {
	t.Helper()
	if options.Major == 0 {
		var err error
		if options.Major, err = requestedMajor(); err != nil {
			t.Fatal(err)
		}
	}
	options.Fresh = cache()
	ctx, cancel := context.WithTimeoutCause(t.Context(), startTimeout, limit("starting PostgreSQL", startTimeout))
	defer cancel()
	server, err := postgres.Start(ctx, options)
	need.Success(t, err, postgres.ErrNotFound)
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return server
}

// cache is where fresh clusters are kept between test runs, or "".
func cache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "clerksync")
}

// NewServer is [StartServer] with [ServerDatabase] migrated. Its commits reach the
// disk, as they do in production.
func NewServer(t testing.TB, settings map[string]string) *postgres.Server {
	t.Helper()
	server := StartServer(t, postgres.Options{Fsync: true, Settings: settings})
	migrateServer(t, server, ServerDatabase)
	return server
}

// SuperuserPassword is that of the superuser of [NewPasswordServer]'s servers.
const SuperuserPassword = "superuser's own"

// NewPasswordServer is [StartServer] for a server whose roles have no password until
// they are given one, with [ServerDatabase] as a fresh project has it. owner connects as the
// project's owner.
func NewPasswordServer(t testing.TB, settings map[string]string) (server *postgres.Server, owner string) {
	t.Helper()
	const ownerPassword = "owner-password"
	server = StartServer(t, postgres.Options{InMemory: true, Password: SuperuserPassword, Settings: settings})
	asSuperuser(t, server, ServerDatabase, func(ctx context.Context, conn *pgx.Conn) error {
		if err := postgres.Stubs(ctx, conn, postgres.Explicit); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, fmt.Sprintf("alter role %s password '%s'", postgres.Owner, ownerPassword))
		return err
	})
	return server, server.URL(ServerDatabase, postgres.Owner, ownerPassword)
}

// NewDatabase makes a migrated, empty database of a server that gives every role its password.
// If there is one of that name it is dropped first, whoever is connected to it.
func NewDatabase(t testing.TB, server *postgres.Server, name string) {
	t.Helper()
	asSuperuser(t, server, ServerDatabase, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "drop database if exists "+quote(name)+" with (force)"); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, "create database "+quote(name))
		return err
	})
	migrateServer(t, server, name)
}

func migrateServer(t testing.TB, server *postgres.Server, database string) {
	t.Helper()
	asSuperuser(t, server, database, func(ctx context.Context, conn *pgx.Conn) error {
		return postgres.Stubs(ctx, conn, postgres.Explicit)
	})
	if err := migrateAs(t.Context(), server.URL(database, postgres.Owner, ""), migrate.Options{}); err != nil {
		t.Fatal(err)
	}
}

func asSuperuser(t testing.TB, server *postgres.Server, database string, do func(context.Context, *pgx.Conn) error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(database, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := do(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
}

// NewPooler starts a PgBouncer in transaction mode in front of a server and stops
// it when t is over. Without PgBouncer t is skipped, or fails when CI=true.
func NewPooler(t testing.TB, server *postgres.Server, options pgbouncer.Options) *pgbouncer.Pooler {
	t.Helper()
	options.Host, options.Port, options.AuthUser, options.AuthPassword = server.Host(), server.Port(), postgres.Superuser, server.Password()
	options.Admit = func(role string) { server.URL(ServerDatabase, role, "") }
	pooler, err := pgbouncer.Start(t.Context(), options)
	need.Success(t, err, pgbouncer.ErrNotFound)
	t.Cleanup(func() {
		// Clients that are still there would be waited for.
		if err := pooler.Kill(); err != nil {
			t.Error(err)
		}
	})
	return pooler
}
