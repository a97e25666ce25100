package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/internal/request"
)

// session is the one transaction of a run.
type session struct{ request.Session }

// refusal is a statement that the database refused.
type refusal = request.Refusal

// script is that of [request.Session]; its error has the limit that ran out.
func (s session) script(ctx context.Context, statements ...string) ([]*pgconn.Result, *refusal, error) {
	results, refused, err := s.Script(ctx, statements...)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return results, refused, err
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
		return fmt.Errorf("%s: %w", doing, refused.Err)
	}
	return nil
}

// become takes a persona's role as the Data API does. Its statements have the
// caller's limit.
func (p *prober) become(persona Persona) string {
	return request.Set("request.jwt.claims", persona.claimsJSON(), "statement_timeout", request.Milliseconds(p.limit), "role", persona.Role)
}

// pretend sets a persona's claims for the connected role.
func (p Persona) pretend() string { return request.Set("request.jwt.claims", p.claimsJSON()) }

const (
	lockTimeout = "2s"
	// statementLimit is for each statement of a persona, whose policies may be slow.
	statementLimit = 5 * time.Second
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
	rollback := func() error { return request.Rollback(ctx, tx) }
	s := session{request.Session{Tx: tx}}
	settings := append(request.Settings("POST", ""),
		"statement_timeout", request.Milliseconds(max(timeout, leastOwnStatement)),
		"lock_timeout", lockTimeout,
		"idle_in_transaction_session_timeout", "60s",
		"standard_conforming_strings", "on",
		"datestyle", "ISO, MDY",
		"intervalstyle", "postgres",
		"bytea_output", "hex",
		"row_security", "on",
		"jit", "off", // takes longer than the little that is read here
	)
	err = s.must(ctx, "preparing the transaction", request.Set(settings...))
	if err != nil {
		return session{}, nil, errors.Join(err, rollback())
	}
	return s, rollback, nil
}
