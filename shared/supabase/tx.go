package supabase

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Begin starts a transaction on a connection of its own, which goes back to the pool at Commit or Rollback: one of them
// has to be called, and Rollback after Commit does no harm. A transaction pooler keeps one server connection for all of
// it, so settings belong into it as set_config(name, value, true).
//
// Errors of the transaction and of its statements are those of [Explain]; pgx.ErrTxClosed, pgx.ErrTxCommitRollback and
// the results of a batch are as pgx has them. A transaction that could not begin is tried once more as a query is;
// nothing inside it is. ctx limits the beginning alone. A statement whose context ends breaks the connection, and the
// server rolls back; a rollback that is to be sent needs a context that has not ended.
func (db *DB) Begin(ctx context.Context) (pgx.Tx, error) {
	for try := 1; ; try++ {
		p, conn, err := db.acquire(ctx)
		if err != nil {
			return nil, err
		}
		inner, err := conn.Begin(ctx)
		if err == nil {
			return &transaction{Tx: inner, pool: p, conn: conn}, nil
		}
		p.release(conn)
		if !again(ctx, err, try) {
			return nil, p.explain(ctx, "beginning a transaction", err)
		}
	}
}

// transaction is a transaction of pgx that gives its connection back and explains its errors. As with pgx, one goroutine
// uses it at a time.
type transaction struct {
	pgx.Tx
	pool *pool
	conn *pgxpool.Conn // nil once given back, and inside of a nested one
}

// Begin sets a savepoint.
func (t *transaction) Begin(ctx context.Context) (pgx.Tx, error) {
	inner, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, t.explain(ctx, "setting a savepoint", err)
	}
	return &transaction{Tx: inner, pool: t.pool}, nil
}

// Commit keeps what was done.
func (t *transaction) Commit(ctx context.Context) error {
	defer t.giveBack()
	return t.explain(ctx, "committing", t.Tx.Commit(ctx))
}

// Rollback undoes what was done.
func (t *transaction) Rollback(ctx context.Context) error {
	defer t.giveBack()
	return t.explain(ctx, "rolling back", t.Tx.Rollback(ctx))
}

// Exec is as that of [DB].
func (t *transaction) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := t.Tx.Exec(ctx, sql, args...)
	return tag, t.explain(ctx, "executing", err)
}

// Query is as that of [DB].
func (t *transaction) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	inner, err := t.Tx.Query(ctx, sql, args...)
	r := &rows{Rows: inner, pool: t.pool, ctx: ctx}
	if err = r.fetchFirst(err); err == nil {
		return r, nil
	}
	err = t.explain(ctx, "querying", err)
	return &failedRows{err: err}, err
}

// QueryRow is as that of [DB].
func (t *transaction) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	r, err := t.Query(ctx, sql, args...)
	return row{rows: r, err: err}
}

// CopyFrom is that of pgx, with its error explained.
func (t *transaction) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, source pgx.CopyFromSource) (int64, error) {
	n, err := t.Tx.CopyFrom(ctx, table, columns, source)
	return n, t.explain(ctx, "copying", err)
}

func (t *transaction) explain(ctx context.Context, doing string, err error) error {
	if errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return t.pool.explain(ctx, doing, err)
}

func (t *transaction) giveBack() {
	if t.conn != nil {
		t.pool.release(t.conn)
		t.conn = nil
	}
}
