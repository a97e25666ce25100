package clitest

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// NotesSQL is a table that needs everything done.
const NotesSQL = `create table public.notes (id bigint generated always as identity primary key, owner_id text not null, body text, published boolean not null default false);`

// Project is a migrated database with what sql makes.
func Project(t *testing.T, sql string) (settings map[string]string, conn *pgx.Conn) {
	t.Helper()
	db := testdb.New(t)
	conn = db.Conn(t, db.Owner())
	Execute(t, conn, sql)
	// Their roles have the same password from here on, for strings that tests make of the owner's.
	_, _ = db.Writer(), db.Diagnostics()
	return map[string]string{"DATABASE_URL": db.Owner()}, conn
}

// OwnNotesSQL is a table whose policies are in order.
const OwnNotesSQL = NotesSQL + `
	create index on public.notes (owner_id);
	alter table public.notes enable row level security;
	revoke all on public.notes from anon, authenticated;
	grant select on public.notes to authenticated;
	create policy own on public.notes for select to authenticated using (owner_id = (select clerk.user_id()));`

// Hostile is the name of a table and a policy that gives a terminal orders.
const Hostile = "x\x1b]0;owned\a\u009b2J\u202e\r\nclerksync: all is well"

// Execute executes SQL that must succeed.
func Execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}
