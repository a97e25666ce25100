package rls

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
)

// ErrAudit is matched by what the database refuses to audit; the text has the
// reason and what to do.
var ErrAudit = errors.New("the table cannot be audited")

// AuditedTable is a table whose changes are recorded in clerk_sync.audit_log. Its
// fields are in the order of the query in [AuditedTables].
type AuditedTable struct {
	catalog.Name `json:"table"`
	// Ignored are the columns whose changes alone are not recorded.
	Ignored []string `json:"ignored"`
	// Complete is false where a trigger is missing or switched off, as on a
	// partition that was added since; auditing the table again mends it.
	Complete bool `json:"complete"`
}

// Audit begins to record changes of the tables, or brings their triggers up to
// date; all of them or none. The tables of the copy are audited from the first.
func Audit(ctx context.Context, db Beginner, tables []catalog.Name, ignored []string) error {
	if ignored == nil {
		ignored = []string{} // null would be another argument
	}
	return auditing(ctx, db, tables, func(tx pgx.Tx, table catalog.Name) error {
		_, err := tx.Exec(ctx, "select clerk_sync.audit_table($1::text::regclass, $2::text[])", table.SQL(), ignored)
		return err
	})
}

// Unaudit ends it, and keeps what was recorded. A table that is not audited stays so.
func Unaudit(ctx context.Context, db Beginner, tables []catalog.Name) error {
	return auditing(ctx, db, tables, func(tx pgx.Tx, table catalog.Name) error {
		_, err := tx.Exec(ctx, "select clerk_sync.unaudit_table($1::text::regclass)", table.SQL())
		return err
	})
}

// auditing calls f for every table in one transaction.
func auditing(ctx context.Context, db Beginner, tables []catalog.Name, f func(pgx.Tx, catalog.Name) error) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("auditing: %w", err)
	}
	defer func() { _ = request.Rollback(ctx, tx) }()
	if _, err := tx.Exec(ctx, fmt.Sprintf("set local lock_timeout = %d", lockLimit.Milliseconds())); err != nil {
		return fmt.Errorf("auditing: %w", err)
	}
	for _, table := range tables {
		if _, err := catalog.ReadTable(ctx, tx, table); err != nil {
			return fmt.Errorf("auditing: %w", err)
		}
		if err := f(tx, table); err != nil {
			return fmt.Errorf("auditing %s, nothing was changed: %w", table, explainAudit(err))
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("auditing: whether it was committed is not known, do it again: %w", err)
	}
	return nil
}

// explainAudit adds the database's own hint to its refusal.
func explainAudit(err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case !ok:
		return err
	case pgErr.Code == "3F000" || pgErr.Code == "42883": // no schema clerk_sync, or none of its functions
		return fmt.Errorf("the audit log is missing, which clerksync's migrations make: %w", err)
	case pgErr.Code == "55P03":
		return fmt.Errorf("the table is in use, and waiting for it is limited to %s: %w", lockLimit, err)
	case pgErr.Hint == "":
		return err
	}
	return fmt.Errorf("%w: %s. %s (SQLSTATE %s)", ErrAudit, strings.TrimSuffix(pgErr.Message, "."), pgErr.Hint, pgErr.Code)
}

// AuditedTables lists the audited tables by name.
func AuditedTables(ctx context.Context, q catalog.Querier) ([]AuditedTable, error) {
	tables, err := catalog.Collect(ctx, q, pgx.RowToStructByPos[AuditedTable], "select table_schema, table_name, ignored, complete from clerk_sync.audited_tables()")
	if err != nil {
		return nil, fmt.Errorf("listing audited tables: %w", explainAudit(err))
	}
	return tables, nil
}

// AuditRecord is one change of one row: who, what and which fields; never a value.
// Its fields are in the order of the query in [AuditLog].
type AuditRecord struct {
	ID int64     `json:"id"`
	At time.Time `json:"at"`
	// Actor is "user" or "anonymous" for a request to the Data API, "service" for
	// one with the service key, "sync" for clerksync, "database" for any other login.
	Actor string `json:"actor_kind"`
	// UserID and the next two are from verified claims, null without.
	UserID       *string `json:"user_id"`
	Impersonator *string `json:"impersonator"`
	OrgID        *string `json:"org_id"`
	// Login is the role of the connection, Role the one that was set after.
	Login string  `json:"login"`
	Role  *string `json:"role"`
	// Cause is the svix-id of an event, or "run_" and the number of a full sync.
	Cause        *string `json:"cause"`
	catalog.Name `json:"table"`
	Action       string `json:"action"`
	// RowID is the primary key, a JSON array where it has several columns; NewRowID
	// is the one after an update that changed it.
	RowID    *string  `json:"row_id"`
	NewRowID *string  `json:"new_row_id"`
	Changed  []string `json:"changed"`
}

// AuditQuery limits which records [AuditLog] returns; empty fields do not.
type AuditQuery struct {
	Table  catalog.Name
	RowID  string
	UserID string
	// Before is the id of the record behind which to go on.
	Before int64
	// Most is the number of records, up to 1000; 0 means 50.
	Most int
}

// AuditLog returns the latest records first. Only the owner of the database and
// service_role may read them.
func AuditLog(ctx context.Context, q catalog.Querier, query AuditQuery) ([]AuditRecord, error) {
	records, err := catalog.Collect(ctx, q, pgx.RowToStructByPos[AuditRecord], `
		select id, at, actor_kind, user_id, impersonator, org_id, login, role, cause, table_schema, table_name, action, row_id, new_row_id, changed
		from clerk_sync.recent_audit(nullif($1::text, ''), nullif($2::text, ''), nullif($3::text, ''), nullif($4::text, ''), nullif($5::bigint, 0), $6::integer)`,
		query.Table.Schema, query.Table.Table, query.RowID, query.UserID, query.Before, cmp.Or(query.Most, 50))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", explainAudit(err))
	}
	return records, nil
}
