package testdb

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
)

// NewPasswordServer starts a PostgreSQL that asks everybody for a password and
// that nobody else uses, with the database [ServerDatabase] as a fresh project has
// it, and stops it when t is over. owner connects as the project's owner; nothing
// is migrated. The conditions are those of [New].
func NewPasswordServer(t testing.TB, settings map[string]string) (server *postgres.Server, owner string) {
	t.Helper()
	const superPassword, ownerPassword = "superuser's own", "owner-password"
	server, err := postgres.Start(t.Context(), postgres.Options{Major: Major(t), InMemory: true, Password: superPassword, Settings: settings})
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
	if _, err := super.Exec(t.Context(), fmt.Sprintf("alter role %s password '%s'", postgres.Owner, ownerPassword)); err != nil {
		t.Fatal(err)
	}
	return server, server.URL(ServerDatabase, postgres.Owner, ownerPassword)
}
