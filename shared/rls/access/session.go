package access

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/internal/request"
)

// session is the one transaction of a look. Everything happens above the
// savepoint clerksync_look, as the connected role or, in [session.ask], as the caller.
type session struct {
	request.Session
	role string
	// dirty: a statement failed, so the savepoint comes first.
	dirty bool
}

const toSavepoint = "rollback to savepoint clerksync_look"

// begin opens the transaction. The rollback that goes with it does not depend on
// ctx; a connection over which it cannot be sent is closed, and the server then
// rolls back by itself.
func begin(ctx context.Context, db Beginner, c caller) (*session, func(), error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return nil, nil, err // says what it was doing
	}
	rollback := func() { _ = request.Rollback(ctx, tx) } // nothing was written
	s := &session{Session: request.Session{Tx: tx}, role: c.role}
	settings := append(request.Settings("GET", c.claims),
		"transaction_read_only", "on",
		"statement_timeout", request.Milliseconds(statementLimit),
		"lock_timeout", request.Milliseconds(lockLimit),
		"idle_in_transaction_session_timeout", request.Milliseconds(2*lookLimit),
		"search_path", "", // so that the catalogue writes every name with its schema
		"standard_conforming_strings", "on",
		"datestyle", "ISO, MDY",
		"bytea_output", "hex",
		"row_security", "on",
		"jit", "off", // takes longer than the little that is read here
	)
	_, refused, err := s.script(ctx, request.Set(settings...), "savepoint clerksync_look")
	if refused != nil {
		err = fmt.Errorf("preparing the transaction: %s", plainText(refused.Err))
	}
	if err != nil {
		rollback()
		return nil, nil, err
	}
	return s, rollback, nil
}

// script is that of [request.Session]; its error quotes nothing.
func (s *session) script(ctx context.Context, statements ...string) ([]*pgconn.Result, *request.Refusal, error) {
	results, refused, err := s.Script(ctx, statements...)
	if err != nil {
		err = interrupted(ctx, err)
	}
	return results, refused, err
}

// interruption is the end of a look in the middle, with a text that quotes nothing.
type interruption struct {
	text string
	err  error
}

func (e *interruption) Error() string { return e.text }

func (e *interruption) Unwrap() error { return e.err }

func interrupted(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &interruption{cause.Error(), errors.Join(cause, err)}
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return &interruption{"the database ended the connection: " + plainText(pg), err}
	}
	return &interruption{"the connection to the database broke", err}
}

// own reads as the connected role. refused is set where the database refuses.
func (s *session) own(ctx context.Context, read func() error) (refused *pgconn.PgError, err error) {
	if s.dirty {
		_, refused, err := s.script(ctx, toSavepoint)
		switch {
		case err != nil:
			return nil, err
		case refused != nil:
			return refused.Err, nil
		}
		s.dirty = false
	}
	err = read()
	if err == nil {
		return nil, nil
	}
	refused, s.dirty = errors.AsType[*pgconn.PgError](err)
	switch {
	case s.Tx.Conn().IsClosed() || ctx.Err() != nil:
		return nil, interrupted(ctx, err)
	case refused == nil:
		return nil, err
	}
	return refused, nil
}

// answer is what came of one statement: its first row, or why it was refused.
type answer struct {
	row     []*string // nil is NULL
	refused *pgconn.PgError
}

// text is a column of the row, "" for NULL and where there is no row.
func (a answer) text(column int) string {
	if column < len(a.row) && a.row[column] != nil {
		return *a.row[column]
	}
	return ""
}

// become takes the caller's role as the Data API does for a request to a schema.
func (s *session) become(schema string, limit time.Duration) string {
	return request.Set("role", s.role, "search_path", request.SearchPath(schema), "statement_timeout", request.Milliseconds(limit))
}

// ask runs statements as the caller, each for itself: one that is refused does
// not keep the others from being asked. refused is set where the role itself is.
// Once one ran out of time, little is left for those after it.
func (s *session) ask(ctx context.Context, schema string, statements ...string) (answers []answer, refused *pgconn.PgError, err error) {
	answers = make([]answer, len(statements))
	limit, slow := statementLimit, 0
	for from := 0; from < len(statements); {
		var script []string
		if s.dirty {
			script = append(script, toSavepoint)
		}
		script = append(script, s.become(schema, limit))
		head := len(script)
		script = append(append(script, statements[from:]...), toSavepoint)
		results, refused, err := s.script(ctx, script...)
		if err != nil {
			return nil, nil, err
		}
		s.dirty = refused != nil
		for i := head; i < len(results) && i-head < len(statements)-from; i++ {
			if refused == nil || i < refused.Step {
				answers[from+i-head].row = firstRow(results[i])
			}
		}
		if refused == nil {
			return answers, nil, nil
		}
		if refused.Step < head {
			return nil, refused.Err, nil
		}
		answers[from+refused.Step-head].refused = refused.Err
		from += refused.Step - head + 1
		if refused.Err.Code == codeCancelled {
			limit = briefLimit
			if slow++; slow == maxSlow {
				for ; from < len(answers); from++ {
					answers[from].refused = refused.Err
				}
			}
		}
	}
	return answers, nil, nil
}

func firstRow(r *pgconn.Result) []*string {
	if len(r.Rows) == 0 {
		return nil
	}
	row := make([]*string, len(r.Rows[0]))
	for i, field := range r.Rows[0] {
		if field != nil {
			text := string(field)
			row[i] = &text
		}
	}
	return row
}
