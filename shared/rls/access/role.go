package access

import (
	"context"
	"fmt"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
)

// Role is what a database says about a role that a token names.
type Role struct {
	// Exists: there is a role of that name.
	Exists bool `json:"exists"`
	// Granted: the Data API's login, authenticator, may become it.
	Granted bool `json:"granted"`
	// Bypasses: row level security does not hold for it.
	Bypasses bool `json:"bypasses"`
}

const roleSQL = `select coalesce((
  select jsonb_build_object('exists', true, 'bypasses', r.rolbypassrls or r.rolsuper, 'granted', exists (
    select from pg_catalog.pg_roles as login where login.rolname = 'authenticator' and pg_catalog.pg_has_role(login.oid, r.oid, 'member')))
  from pg_catalog.pg_roles as r where r.rolname = $1::text), '{}')::text`

// LookUpRole asks about a role, in a transaction of its own that is rolled back.
// The error says why the database could not be asked.
func LookUpRole(ctx context.Context, db Beginner, name string) (Role, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, statementLimit, fmt.Errorf("asking about a role took longer than %s", statementLimit))
	defer cancel()
	tx, err := db.Begin(ctx)
	if err != nil {
		return Role{}, fmt.Errorf("asking about a role: %w", err)
	}
	defer func() { _ = request.Rollback(ctx, tx) }() // nothing was written
	var r Role
	if err := catalog.ReadJSON(ctx, request.Session{Tx: tx}, &r, roleSQL, name); err != nil {
		return Role{}, fmt.Errorf("asking about a role: %w", err)
	}
	return r, nil
}
