package migrate

import (
	"context"
	_ "embed" // for the rights
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Querier is anything that answers a query: a connection, a transaction, a pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// ErrNotMigrated says that the database has nothing of clerksync.
var ErrNotMigrated = errors.New("nothing of clerksync is in this database")

// Look compares the migrations of a database with those of this program and returns the
// schemas that are in use. It writes nothing, works as the writer and as the owner, through
// a transaction pooler too, and needs four queries. Its error wraps ErrNotMigrated,
// ErrTaken, ErrPending, ErrUnknown, ErrChanged or ErrUnreleased, or says why the
// database could not be asked. [Verify], as the owner, finds more.
func Look(ctx context.Context, db Querier) (Options, error) {
	return this.look(ctx, db)
}

func (r release) look(ctx context.Context, db Querier) (Options, error) {
	// Nothing of this is to be found in a temporary schema.
	const present = `
		select exists (select from pg_catalog.pg_namespace as n where n.nspname = 'clerk_sync'),
		       exists (select from pg_catalog.pg_proc as p join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
		               where n.nspname = 'clerk_sync' and p.proname = 'migrated' and p.pronargs = 0),
		       exists (select from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
		               where n.nspname = 'clerk_sync' and c.relname = 'rules')`
	var schema, tells, rules bool
	if err := db.QueryRow(ctx, present).Scan(&schema, &tells, &rules); err != nil {
		return Options{}, fmt.Errorf("looking for clerksync in the database: %w", err)
	}
	switch {
	case !schema:
		return Options{}, r.notMigrated(ctx, db)
	case !tells && !rules:
		return Options{}, ErrUnreleased
	case !tells:
		return Options{}, fmt.Errorf("%w: the rules", ErrPending)
	}
	var h history
	var used Options
	if err := db.QueryRow(ctx, `select m, s.exposed, s.helpers from clerk_sync.migrated() as m, clerk_sync.schemas() as s`).
		Scan(&h, &used.Schema, &used.Helpers); err != nil {
		return Options{}, fmt.Errorf("asking the database which migrations it has: %w", err)
	}
	steps := slices.Clone(r.steps)
	if err := h.mark(steps, r.revision); err != nil {
		return used, err
	}
	if pending := (database{steps: steps}).pending(); len(pending) > 0 {
		return used, fmt.Errorf("%w: %s", ErrPending, join(pending))
	}
	return used, nil
}

// notMigrated says whether the usual names are free.
func (r release) notMigrated(ctx context.Context, db Querier) error {
	d := database{names: chosen(Options{}), steps: r.steps, fresh: true}
	if err := d.checkTaken(ctx, db); err != nil {
		return fmt.Errorf("%w, and %w", ErrNotMigrated, err)
	}
	return ErrNotMigrated
}

// shippedRights are those of a freshly migrated database, one a line, as rightsSQL
// lists them. "make schema" writes the file.
//
//go:embed rights.txt
var shippedRights string

//go:embed rights.sql
var rightsSQL string

// Rights lists who may do what with what clerksync has made: row level security and its
// policies, privileges, whose rights a function has. Used are the schemas in use, as
// [Look] returns them; the list names the usual ones.
func Rights(ctx context.Context, db Querier, used Options) ([]string, error) {
	n := chosen(used)
	rows, err := db.Query(ctx, rightsSQL, n.exposed, n.helpers)
	if err != nil {
		return nil, fmt.Errorf("listing rights: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing rights: %w", err)
	}
	return list, nil
}

// ChangedRights compares the rights of a database with those that its migrations gave:
// what is missing, and what was added. What a team grants to roles of its own is not
// among them, nor who reads users_public, which is its choice (configure-rls
// users_public).
func ChangedRights(ctx context.Context, db Querier, used Options) (missing, added []string, err error) {
	list, err := Rights(ctx, db, used)
	if err != nil {
		return nil, nil, err
	}
	shipped := strings.Split(strings.TrimSpace(shippedRights), "\n")
	return slices.DeleteFunc(without(shipped, list), isChoice), slices.DeleteFunc(without(list, shipped), isChoice), nil
}

// isChoice tells a right to read users_public.
func isChoice(line string) bool {
	return strings.HasPrefix(line, "policy ") && strings.Contains(line, " on public.users_public for select ") ||
		strings.HasPrefix(line, "select on public.users_public ")
}

// without is what of a list is not in another one.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(line string) bool { return slices.Contains(other, line) })
}
