package postgres

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Owner is the role that stands for the owner of a Supabase project: it may
// create databases, roles and schemas and sees every row, but is no superuser
// and may create nothing in schema auth.
const Owner = "supabase_postgres"

// Regime is what a project grants by itself on new objects in schema public.
type Regime int

const (
	// Explicit grants nothing: projects made since 30 May 2026, and all others
	// from 30 October 2026 for what they create from then on.
	Explicit Regime = iota
	// Legacy grants everything on tables, functions and sequences to anon,
	// authenticated and service_role.
	Legacy
)

// String is the regime's name in test names and messages.
func (r Regime) String() string {
	if r == Legacy {
		return "legacy"
	}
	return "explicit"
}

var (
	//go:embed stubs.sql
	stubsSQL string
	//go:embed regime_explicit.sql
	explicitSQL string
	//go:embed regime_legacy.sql
	legacySQL string
)

// Stubs gives the database that conn is connected to what a fresh Supabase
// project has: the roles anon, authenticated, service_role, authenticator and
// [Owner], who owns the database; the schemas auth, with uid(), role(), email()
// and jwt(), and extensions; and the default privileges of the regime. conn must
// be the superuser's. It can be repeated with the same regime, and run for several
// databases of one server at once. No role has a password.
//
// Roles, their timeouts and default privileges are as in supabase/postgres
// (2026); there are no tables in auth.
func Stubs(ctx context.Context, conn *pgx.Conn, regime Regime) error {
	grants := explicitSQL
	if regime == Legacy {
		grants = legacySQL
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, stubsSQL+"\n"+grants, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		return fmt.Errorf("making the database look like Supabase: %w", err)
	}
	return nil
}
