package supabase

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rows are rows of pgx whose first one may have been fetched already, and which give their connection back at the end.
type rows struct {
	pgx.Rows
	pool  *pool
	conn  *pgxpool.Conn // nil once given back
	ctx   context.Context
	ahead bool // first is the answer to the next call of Next
	first bool
}

// fetchFirst waits for the first row of a query that was sent with this error, so that whatever is wrong with the query
// itself is known. Rows that failed are closed.
func (r *rows) fetchFirst(err error) error {
	if err == nil {
		r.ahead = true
		r.first = r.Rows.Next()
		err = r.Rows.Err()
	}
	if err != nil {
		r.Close()
	}
	return err
}

func (r *rows) Next() bool {
	more := r.first
	if !r.ahead {
		more = r.Rows.Next()
	}
	r.ahead = false
	if !more {
		r.giveBack()
	}
	return more
}

func (r *rows) Scan(dest ...any) error {
	if err := r.Rows.Scan(dest...); err != nil {
		// pgx closes the rows then.
		r.Close()
		return r.explain(err)
	}
	return nil
}

func (r *rows) Values() ([]any, error) {
	values, err := r.Rows.Values()
	if err != nil {
		r.Close()
		return nil, r.explain(err)
	}
	return values, nil
}

func (r *rows) Err() error {
	return r.explain(r.Rows.Err())
}

func (r *rows) Close() {
	r.Rows.Close()
	r.giveBack()
}

func (r *rows) giveBack() {
	if r.conn != nil {
		r.pool.release(r.conn)
		r.conn = nil
	}
}

func (r *rows) explain(err error) error {
	return r.pool.explain(r.ctx, "reading rows", err)
}

// row is the first of rows.
type row struct {
	rows pgx.Rows
	err  error
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	// What comes after the row may still fail the statement.
	r.rows.Close()
	return r.rows.Err()
}

// failedRows are the rows of a query that failed.
type failedRows struct {
	err error
}

func (r *failedRows) Close()                                       {}
func (r *failedRows) Err() error                                   { return r.err }
func (r *failedRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (r *failedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (r *failedRows) Next() bool                                   { return false }
func (r *failedRows) Scan(...any) error                            { return r.err }
func (r *failedRows) Values() ([]any, error)                       { return nil, r.err }
func (r *failedRows) RawValues() [][]byte                          { return nil }
func (r *failedRows) Conn() *pgx.Conn                              { return nil }
func (r *failedRows) TypeMap() *pgtype.Map                         { return nil }
