package mirror

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// reasonNotStorable marks JSON that is valid and yet beyond what Postgres can
// hold as jsonb: nested too deep for its stack, or a number beyond its range.
const reasonNotStorable = "not_storable"

// Apply hands one event to the sync rules and returns what they decided. It is
// one statement, and so one round trip and one transaction: the event is
// recorded together with its effect or not at all. After a lost connection it
// is sent once more, since a second delivery of the same svix-id changes
// nothing; if the first had been committed the answer is then [Duplicate].
//
// Every error wraps [ErrUnavailable] and holds nothing of the event.
func (s *Store) Apply(ctx context.Context, d Delivery) (Result, error) {
	result, left, err := s.decide(ctx, `
		select outcome, coalesce(reason, ''), case when $4 then clerk_sync.memberships_left() else false end
		from clerk_sync.apply_event($1, $2::pg_catalog.jsonb, nullif($3, ''), nullif($5, ''))`,
		d.SvixID, string(d.Event.JSON), d.InstanceID, endsMemberships(d), d.SignedWith)
	switch {
	case notStorable(err):
		return s.Reject(ctx, Unreadable{SvixID: d.SvixID, SignedWith: d.SignedWith, Reason: reasonNotStorable, Body: d.Event.JSON})
	case err != nil:
		return Result{}, fmt.Errorf("applying event %s: %w", d.SvixID, err)
	case left:
		s.endWithin(ctx)
	}
	return result, nil
}

// Reject records a verified message whose body is no event: kept with its
// reason, and never applied. Errors are those of [Store.Apply].
func (s *Store) Reject(ctx context.Context, m Unreadable) (Result, error) {
	result, _, err := s.decide(ctx, `select outcome, coalesce(reason, ''), false from clerk_sync.reject_event($1, $2, $3, nullif($4, ''))`,
		m.SvixID, m.Body, m.Reason, m.SignedWith)
	if err != nil {
		return Result{}, fmt.Errorf("recording rejected event %s: %w", m.SvixID, err)
	}
	return result, nil
}

// decide runs a statement that answers an outcome, its reason, and whether memberships are
// left to be ended, twice at most.
func (s *Store) decide(ctx context.Context, sql string, args ...any) (result Result, left bool, err error) {
	err = repeat(ctx, func() error {
		return s.db.QueryRow(ctx, sql, args...).Scan(&result.Outcome, &result.Reason, &left)
	})
	return result, left, err
}

// repeat tries what is safe to repeat, twice at most, and wraps the failure. It is for
// callers that do not repeat by themselves: events and one-shot readers. The full sync
// does, and what only it calls is tried once.
func repeat(ctx context.Context, try func() error) error {
	var err error
	for range 2 {
		if err = try(); err == nil {
			return nil
		}
		if ctx.Err() != nil || !worthRepeating(err) {
			break
		}
	}
	return unavailable(ctx, err)
}

// worthRepeating tells the failures that a second, immediate try on another
// connection often cures from those that it would only make worse (a wrong
// password is counted and locks the pooler, a full pooler gets fuller).
func worthRepeating(err error) bool {
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting || errors.Is(err, pgx.ErrNoRows) {
		return false
	}
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true // the connection broke under the statement
	}
	switch pgErr.Code {
	case "57P01", "57P02", // the server is shutting down or crashed: a pooler has another backend soon
		"40001", "40P01": // serialization failure, deadlock: somebody else won
		return true
	}
	return strings.HasPrefix(pgErr.Code, "08")
}

func notStorable(err error) bool {
	// A data error of the statement itself: the rules catch those of an event
	// they have begun to read, so this one arose in reading the parameter.
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pgErr.Code, "22") || strings.HasPrefix(pgErr.Code, "54"))
}

// unavailable wraps a failed statement. Postgres quotes data in its messages,
// so of a PgError only the code is told; the cause stays reachable by errors.As.
func unavailable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	// What refuses a connection knows nothing of the event.
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pgErr.Code == "CS001" {
			return ErrLockLost // for which waiting is for nothing
		}
		return &stateError{pgErr}
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// stateError tells a Postgres error by its code alone.
type stateError struct{ cause *pgconn.PgError }

func (e *stateError) Error() string {
	text := fmt.Sprintf("%v: SQLSTATE %s", ErrUnavailable, e.cause.Code)
	switch e.cause.Code {
	case "42883", "3F000":
		text += " (the sync functions are missing: run \"clerksync migrate up\")"
	case "42501":
		text += " (the login role may not call the sync functions: connect as clerksync_writer)"
	case "25006":
		text += " (the database is read-only)"
	case "57014":
		text += " (the statement ran into its time limit)"
	case "55P03":
		text += " (a lock was not released in time)"
	}
	return text
}

func (e *stateError) Unwrap() []error { return []error{ErrUnavailable, e.cause} }
