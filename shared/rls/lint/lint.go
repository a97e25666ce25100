package lint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
)

// statementLimit is for one query of the catalogue.
const statementLimit = 30 * time.Second

// Options are what to look at. The zero value looks at everything.
type Options struct {
	// Exposed are the schemas that the Data API serves; empty: what the database
	// itself knows, see [catalog.ReadDatabase].
	Exposed []string
	// Schemas limits what is reported to these; empty: every schema of the user's
	// own and clerksync's, and the policies on Supabase's storage and realtime.
	// Everything is read all the same.
	Schemas []string
}

// Beginner begins transactions: a connection or a pool.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Run lints a database in one read-only transaction, which it rolls back, and
// returns what it found, ordered by id, object and detail. What could not be
// looked at is a finding of status [finding.Skip]; an error is one of the
// connection, a limit or ctx.
func Run(ctx context.Context, db Beginner, o Options) ([]finding.Finding, error) {
	return run(ctx, db, o, statementLimit)
}

func run(ctx context.Context, db Beginner, o Options, limit time.Duration) (findings []finding.Finding, err error) {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("beginning to lint: %w", err)
	}
	defer func() {
		if rollbackErr := request.Rollback(ctx, tx); rollbackErr != nil && err == nil {
			findings, err = nil, fmt.Errorf("ending the transaction: %w", rollbackErr)
		}
	}()
	q := request.Session{Tx: tx}
	// Without a search path the database writes every name with its schema. The
	// planner takes queries of the catalogue for so dear that it would compile
	// them, which takes longer than they do.
	_, err = tx.Exec(ctx, "select set_config('search_path', '', true), set_config('jit', 'off', true), set_config('statement_timeout', $1, true)",
		pgx.QueryExecModeExec, strconv.FormatInt(limit.Milliseconds(), 10))
	if err != nil {
		return nil, fmt.Errorf("beginning to lint: %w", err)
	}

	m, err := readModel(ctx, q, o.Exposed)
	switch code := request.Code(err); {
	case code == "42501":
		return []finding.Finding{{
			ID: "lint.catalogue", Status: finding.Skip, Title: "The database's catalogue is not for this role to read",
			Detail: "A query of pg_catalog was refused (SQLSTATE 42501).",
			Remedy: "Connect as the role that owns the tables: in a Supabase project that is postgres.",
		}}, nil
	case code == "57014":
		return nil, fmt.Errorf("linting: a query of the catalogue was stopped, the limit is %s: %w", limit, err)
	case err != nil:
		return nil, fmt.Errorf("linting: %w", err)
	}
	l := &linter{model: m, schemas: o.Schemas}
	if missing := l.missingRoles(); len(missing) > 0 {
		return []finding.Finding{{
			ID: "lint.roles", Status: finding.Skip, Title: "This is not a Supabase database",
			Detail: "Without the role(s) " + strings.Join(missing, ", ") + " there is no Data API whose rights could be checked.",
			Remedy: "Check that the connection string names the Supabase project's own database.",
		}}, nil
	}
	for _, schema := range o.Schemas {
		if !slices.Contains(m.exists, schema) {
			l.add("", finding.Finding{
				ID: "schema", Status: finding.Skip, Object: "schema " + catalog.QuoteIdentifier(schema),
				Title:  "A schema that was asked about does not exist",
				Detail: "Its name is compared letter by letter, without quotes.",
				Remedy: "Check the name.",
			})
		}
	}
	if err := l.buckets(ctx, tx); err != nil {
		return nil, fmt.Errorf("linting storage: %w", err)
	}
	if err := l.plans(ctx, tx); err != nil {
		return nil, fmt.Errorf("linting plans: %w", err)
	}
	for _, check := range checks {
		check(l)
	}
	slices.SortFunc(l.findings, func(a, b finding.Finding) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Detail, b.Detail), cmp.Compare(a.Remedy, b.Remedy))
	})
	return slices.Compact(l.findings), nil
}

// checks need nothing but what was read.
var checks = []func(*linter){
	(*linter).foreignKeys,
	(*linter).authUsersExposed,
	(*linter).initPlans,
	(*linter).multiplePermissive,
	(*linter).rowSecurity,
	(*linter).duplicateIndexes,
	(*linter).views,
	(*linter).functionsOf,
	(*linter).temporarySchema,
	(*linter).userMetadata,
	(*linter).alwaysTrue,
	(*linter).supabaseIdentity,
	(*linter).userIDTypes,
	(*linter).claimPaths,
	(*linter).unsafeMetadata,
	(*linter).nullLetsThrough,
	(*linter).policyRoles,
	(*linter).policyGrants,
	(*linter).restrictions,
	(*linter).writesWithoutSelect,
	(*linter).policyIndexes,
	(*linter).perRow,
	(*linter).circles,
	(*linter).callsItself,
	(*linter).privileges,
	(*linter).sequences,
	(*linter).inheritance,
	(*linter).exposure,
	(*linter).storageOwner,
}

// linter collects findings.
type linter struct {
	*model
	schemas  []string
	findings []finding.Finding
	// planOf is what the planner says, of tables that it was asked about.
	planOf map[*relation]plan
}

// add keeps a finding about something in a schema, unless others were asked for.
// Without a schema it is about all of them.
func (l *linter) add(schema string, f finding.Finding) {
	if schema != "" && len(l.schemas) > 0 && !slices.Contains(l.schemas, schema) {
		return
	}
	f.ID = "lint." + f.ID
	l.findings = append(l.findings, f)
}

// own are the relations that the user made, or clerksync.
func (l *linter) own(yield func(*relation) bool) {
	for _, r := range l.relations {
		if mine(r.Schema) && !r.Extension && !yield(r) {
			return
		}
	}
}

// policies are the policies that the user made, or clerksync: also those on what
// Supabase's services brought.
func (l *linter) policies(yield func(*relation, *policy) bool) {
	for _, r := range l.relations {
		if !mine(r.Schema) && r.Schema != "storage" && r.Schema != "realtime" || r.Extension {
			continue
		}
		for i := range r.Policies {
			if !yield(r, &r.Policies[i]) {
				return
			}
		}
	}
}

// ownFunctions are the functions that the user made, or clerksync.
func (l *linter) ownFunctions(yield func(*function) bool) {
	for _, f := range l.functions {
		if mine(f.Schema) && !f.Extension && !yield(f) {
			return
		}
	}
}

func (l *linter) missingRoles() []string {
	return only(apiRoles, func(role string) bool { return !slices.Contains(l.roles, role) })
}

// users is the table of Clerk's users, where it is or would be.
func (l *linter) users() string {
	return catalog.Name{Schema: cmp.Or(l.Copy, catalog.DefaultSchema), Table: "users"}.String()
}
