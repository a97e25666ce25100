package testdb

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/pgbouncer"
	"clerksync/shared/devstack/postgres"
	"clerksync/sql/migrations"
)

// ServerDatabase is the database of a [NewServer].
const ServerDatabase = "postgres"

// NewServer starts a migrated PostgreSQL that nobody else uses, so that it may be
// crashed or measured, and stops it when t is over. Its commits reach the disk, as
// they do in production. The conditions are those of [New].
func NewServer(t testing.TB, settings map[string]string) *postgres.Server {
	t.Helper()
	server, err := postgres.Start(t.Context(), postgres.Options{Major: Major(t), Fsync: true, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	super, err := pgx.Connect(t.Context(), server.URL(ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	if err := postgres.Stubs(t.Context(), super, postgres.Explicit); err != nil {
		t.Fatal(err)
	}
	if err := migrate(t.Context(), server.URL(ServerDatabase, postgres.Owner, ""), migrations.DefaultSchema); err != nil {
		t.Fatal(err)
	}
	return server
}

// NewPooler starts a PgBouncer in transaction mode in front of a server and stops
// it when t is over. Without PgBouncer t is skipped, or fails when CI=true.
func NewPooler(t testing.TB, server *postgres.Server, options pgbouncer.Options) *pgbouncer.Pooler {
	t.Helper()
	options.Host, options.Port, options.AuthUser = server.Host(), server.Port(), postgres.Superuser
	pooler, err := pgbouncer.Start(t.Context(), options)
	if errors.Is(err, pgbouncer.ErrNotFound) {
		missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Clients that are still there would be waited for.
		if err := pooler.Kill(); err != nil {
			t.Error(err)
		}
	})
	return pooler
}
