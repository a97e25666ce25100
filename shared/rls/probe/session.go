package probe

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

// session is the one transaction of a run.
type session struct{ tx pgx.Tx }

// Query and QueryRow make it a [catalog.Querier] that prepares nothing.
func (s session) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return s.tx.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
}

func (s session) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return s.tx.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
}

// refusal is a statement that the database refused.
type refusal struct {
	// step is the statement's position in its script.
	step int
	pg   *pgconn.PgError
}

// script sends statements, each exactly one, in one round trip and returns their
// results as text. A statement that the database refuses is a refusal, after
// which the transaction has to go back to a savepoint; an error is a connection
// or a context that is done.
func (s session) script(ctx context.Context, statements ...string) ([]*pgconn.Result, *refusal, error) {
	conn := s.tx.Conn().PgConn()
	results, err := conn.Exec(ctx, strings.Join(statements, ";\n")).ReadAll()
	if err == nil {
		return results, nil, nil
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || conn.IsClosed() || ctx.Err() != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, nil, err
	}
	step := len(results)
	if step > 0 && results[step-1].Err != nil {
		step--
	}
	return results, &refusal{step: step, pg: refused}, nil
}

// attempt runs statements that are kept when all went well and undone otherwise.
// It needs the savepoint clerksync_step on top, and leaves it there.
func (s session) attempt(ctx context.Context, statements ...string) ([]*pgconn.Result, *refusal, error) {
	results, refused, err := s.script(ctx, append(statements, "release savepoint clerksync_step", "savepoint clerksync_step")...)
	if err != nil {
		return nil, nil, err
	}
	if refused != nil {
		return nil, refused, s.must(ctx, "going back to a savepoint", "rollback to savepoint clerksync_step")
	}
	return results[:len(results)-2], nil, nil
}

// must runs statements that have no reason to fail.
func (s session) must(ctx context.Context, doing string, statements ...string) error {
	_, refused, err := s.script(ctx, statements...)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if refused != nil {
		return fmt.Errorf("%s: %w", doing, refused.pg)
	}
	return nil
}

// setLocal makes settings that end with the transaction; pairs of name and value.
func setLocal(pairs ...string) string {
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

// become takes a persona's role as the Data API does. Its statements have the
// caller's limit.
func (p *prober) become(persona Persona) string {
	return setLocal("request.jwt.claims", persona.claimsJSON(), "statement_timeout", milliseconds(p.limit), "role", persona.Role)
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// pretend sets a persona's claims for the connected role.
func (p Persona) pretend() string { return setLocal("request.jwt.claims", p.claimsJSON()) }

const (
	lockTimeout      = "2s"
	rollbackTimeout  = 5 * time.Second
	defaultStatement = 5 * time.Second
	// What the prober does by itself may take longer than what it measures.
	leastOwnStatement = 10 * time.Second
)

// begin opens the transaction. The rollback that goes with it does not depend on
// ctx, and breaks the connection where it cannot be sent: the server then rolls
// back by itself.
func begin(ctx context.Context, db Beginner, timeout time.Duration) (session, func() error, error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return session{}, nil, fmt.Errorf("beginning the transaction: %w", err)
	}
	rollback := func() error {
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), rollbackTimeout,
			fmt.Errorf("rolling back took longer than %s", rollbackTimeout))
		defer cancel()
		conn := tx.Conn()
		if err := tx.Rollback(ctx); err != nil && !conn.IsClosed() {
			return errors.Join(fmt.Errorf("rolling back: %w", err), conn.Close(ctx))
		}
		return nil
	}
	s := session{tx: tx}
	err = s.must(ctx, "preparing the transaction", setLocal(
		"statement_timeout", milliseconds(max(timeout, leastOwnStatement)),
		"lock_timeout", lockTimeout,
		"idle_in_transaction_session_timeout", "60s",
		"standard_conforming_strings", "on",
		"datestyle", "ISO, MDY",
		"intervalstyle", "postgres",
		"bytea_output", "hex",
		"row_security", "on",
		"jit", "off", // takes longer than the little that is read here
		// The older settings win over the claims in Supabase's helpers.
		"request.jwt.claim", "", "request.jwt.claim.sub", "", "request.jwt.claim.role", "", "request.jwt.claim.email", "",
		"request.jwt.claims", "", "request.method", "POST", "request.path", "", "request.headers", "{}", "request.cookies", "{}",
	))
	if err != nil {
		return session{}, nil, errors.Join(err, rollback())
	}
	return s, rollback, nil
}
