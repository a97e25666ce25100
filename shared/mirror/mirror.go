// Package mirror is the copy: it hands verified Clerk events to the sync
// functions in Postgres and says what became of them.
//
// Use it first through [New] with anything that can run a query (a pool of
// package supabase, a pgx connection, a transaction), then [Store.Apply] for
// each verified event:
//
//	store := mirror.New(db)
//	result, err := store.Apply(ctx, mirror.Delivery{SvixID: id, Event: event})
//
// The rules themselves (newest wins, deleted is final, one delivery counts
// once) live in SQL, in schema clerk_sync, so that a Supabase Edge Function or
// any other caller gets the same behaviour from the same call. This package is
// the only Go caller of those functions; it holds no rule of its own.
//
// Limits: every method is one round trip, but for [Store.Status] and for the
// deletion of what has thousands of members; it needs no session state and is safe
// behind a transaction pooler. Apply and Reject are safe to repeat.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
)

// ErrUnavailable marks a failure that may pass: the database is gone,
// restarting, read-only, full or too slow. Nothing was decided about the
// event, or what was decided is unknown; repeating the call is safe.
var ErrUnavailable = errors.New("the database is unavailable")

// Outcome is what became of one delivery. The strings are part of the HTTP
// contract and of the stored history.
type Outcome string

// The outcomes of a delivery.
const (
	// Applied: the event was newer than the copy, which now says what it said.
	Applied Outcome = "applied"
	// Duplicate: this svix-id was recorded before; nothing changed.
	Duplicate Outcome = "duplicate"
	// Stale: the copy already knew something newer, or the object is deleted.
	Stale Outcome = "stale"
	// Ignored: recorded and acknowledged; the mirror has no use for the type.
	Ignored Outcome = "ignored"
	// Rejected: authentic, but it can never be applied; kept with its reason.
	Rejected Outcome = "rejected"
	// Queued: verified and handed to a queue; what becomes of it is decided
	// behind that. The copy itself never answers it.
	Queued Outcome = "queued"
)

// Result is the answer to one delivery.
type Result struct {
	Outcome Outcome
	// Reason is a stable code such as "missing_id" when Outcome is Rejected,
	// otherwise empty. It never holds data of the event.
	Reason string
}

// Delivery is one verified webhook message.
type Delivery struct {
	// SvixID is the message id of the svix-id header: the same on every retry.
	SvixID string
	// Event is the verified, parsed body.
	Event clerk.Event
	// InstanceID, when set, is the only Clerk instance whose events are
	// applied; others are rejected. Empty means no pin beyond the one that the
	// database itself may hold.
	InstanceID string
	// SignedWith is the fingerprint of the signing secret that verified this delivery, as
	// package webhook makes it: eight hexadecimal digits. Empty means that it is not known.
	SignedWith string
}

// Unreadable is a verified message whose body is no event.
type Unreadable struct {
	// SvixID and SignedWith are those of a [Delivery].
	SvixID, SignedWith string
	// Reason is a short code, such as "not_json".
	Reason string
	Body   []byte
}

// DB is the part of a pool, connection or transaction that the package uses.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Store applies events to the copy in one database. The zero value is not
// usable; call [New].
type Store struct {
	db DB
	// again runs each statement of the full sync, and may repeat it.
	again func(ctx context.Context, try func(context.Context) error) error
	// namesOnly is whether the login was seen to be one that is not shown values.
	namesOnly atomic.Bool
}

// New returns a Store that works through db.
func New(db DB) *Store {
	return &Store{db: db, again: func(ctx context.Context, try func(context.Context) error) error { return try(ctx) }}
}

// Repeating returns a Store that hands each statement of the full sync to again, which may
// try it several times: all of them are safe to repeat. Without it each is tried once.
func (s *Store) Repeating(again func(ctx context.Context, try func(context.Context) error) error) *Store {
	return &Store{db: s.db, again: again}
}

// collect runs a statement of the full sync that answers rows, or of another caller that
// repeats it by itself.
func collect[T any](ctx context.Context, s *Store, doing, sql string, args ...any) (found []T, err error) {
	err = s.again(ctx, func(ctx context.Context) error {
		rows, err := s.db.Query(ctx, sql, args...)
		if err == nil {
			found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[T])
		}
		return failed(ctx, doing, err)
	})
	return found, err
}

// one is [collect] for a statement that answers one value.
func one[T any](ctx context.Context, s *Store, doing, sql string, args ...any) (found T, err error) {
	err = s.again(ctx, func(ctx context.Context) error {
		return failed(ctx, doing, s.db.QueryRow(ctx, sql, args...).Scan(&found))
	})
	return found, err
}

func failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, unavailable(ctx, err))
}
