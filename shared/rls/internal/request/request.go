// Package request plays requests of Supabase's Data API in a transaction that
// is open: it says what PostgREST sets for one, and sends scripts of statements.
//
// Use it first within a transaction of one's own:
//
//	s := request.Session{Tx: tx}
//	settings := append(request.Settings("GET", claims), "role", "authenticated", "search_path", request.SearchPath("public"))
//	results, refused, err := s.Script(ctx, request.Set(settings...), "select …")
//
// Nothing is prepared, so that it also works behind a pooler of transactions.
// Beginning and savepoints are the caller's; [Rollback] ends it.
//
// Source: PostgREST 12 and 13, "Transactions" in its reference.
package request

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/catalog"
)

// Session is a transaction, as a [catalog.Querier] and for scripts.
type Session struct{ Tx pgx.Tx }

// Query sends a query without preparing it.
func (s Session) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.Tx.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
}

// QueryRow sends a query of which one row is wanted, without preparing it.
func (s Session) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return s.Tx.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
}

// rollbackLimit is how long a transaction's end may take.
const rollbackLimit = 5 * time.Second

// Rollback undoes a transaction that is not committed, also for a caller who has gone away. A connection over
// which it cannot be sent is closed: the server then rolls back by itself.
func Rollback(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), rollbackLimit, fmt.Errorf("rolling back took longer than %s", rollbackLimit))
	defer cancel()
	conn := tx.Conn()
	if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) && !conn.IsClosed() {
		return errors.Join(fmt.Errorf("rolling back: %w", err), conn.Close(ctx))
	}
	return nil
}

// Code is the SQLSTATE of an error of the database, empty for others.
func Code(err error) string {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Code
	}
	return ""
}

// Refusal is a statement of a script that the database refused.
type Refusal struct {
	// Step is the statement's position in its script, from 0.
	Step int
	Err  *pgconn.PgError
}

// Script sends statements, each exactly one, in one round trip and returns their
// results as text. A statement that the database refuses is a Refusal, with the
// results of those before it; the transaction then has to go back to a
// savepoint. An error, of the driver as it is, means that the connection broke
// or that ctx is done.
func (s Session) Script(ctx context.Context, statements ...string) ([]*pgconn.Result, *Refusal, error) {
	conn := s.Tx.Conn().PgConn()
	results, err := conn.Exec(ctx, strings.Join(statements, ";\n")).ReadAll()
	if err == nil {
		return results, nil, nil
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || conn.IsClosed() || ctx.Err() != nil {
		return nil, nil, err
	}
	step := len(results)
	if step > 0 && results[step-1].Err != nil {
		step--
	}
	return results, &Refusal{Step: step, Err: refused}, nil
}

// Set is the statement that makes settings which end with the transaction; pairs
// of name and value.
func Set(pairs ...string) string {
	var b strings.Builder
	b.WriteString("select ")
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "set_config(%s, %s, true)", catalog.QuoteLiteral(pairs[i]), catalog.QuoteLiteral(pairs[i+1]))
	}
	return b.String()
}

// Settings are what a request says about itself, for [Set]: its method and its
// claims, which are a JSON object or "" for none. What else there could be is
// emptied.
func Settings(method, claims string) []string {
	return []string{
		// The older settings win over the claims in Supabase's helpers.
		"request.jwt.claim", "", "request.jwt.claim.sub", "", "request.jwt.claim.role", "", "request.jwt.claim.email", "",
		"request.jwt.claims", claims,
		"request.method", method, "request.path", "", "request.headers", "{}", "request.cookies", "{}",
	}
}

// SearchPath is the search_path of a request to a schema, with the extra search
// path that Supabase's projects come with behind it.
func SearchPath(schema string) string {
	path := pgx.Identifier{schema}.Sanitize()
	for _, more := range []string{catalog.DefaultSchema, "extensions"} {
		if more != schema {
			path += ", " + pgx.Identifier{more}.Sanitize()
		}
	}
	return path
}

// Milliseconds is a time as the value of a setting: at least 1, since 0 would
// mean no limit.
func Milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
