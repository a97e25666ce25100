package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoEvent says that no event of that svix-id is recorded.
var ErrNoEvent = errors.New("no such event is recorded")

// RecordedEvent is one webhook message as the inbox remembers it.
type RecordedEvent struct {
	SvixID  string  `json:"svix_id"`
	Type    string  `json:"type"`
	Outcome Outcome `json:"outcome"`
	// Reason is the code of a rejection, else empty.
	Reason string `json:"reason,omitempty"`
	// Detail names the field, or the SQLSTATE, constraint and function, behind the
	// reason, never a value.
	Detail   string `json:"detail,omitempty"`
	ObjectID string `json:"object_id,omitempty"`
	// StatedAt is the message's own timestamp; nil if it had none.
	StatedAt   *time.Time `json:"stated_at"`
	ReceivedAt time.Time  `json:"received_at"`
	// ReplayedAt is when it was last replayed; nil if never.
	ReplayedAt *time.Time `json:"replayed_at"`
	// Replayable says that it was rejected and its payload is still kept.
	Replayable bool `json:"replayable"`
}

// EventFilter chooses recorded events. The zero value means the latest 50.
type EventFilter struct {
	// Outcome limits the list to one outcome; empty means all.
	Outcome Outcome
	// Type limits it to one type, or to all types of a kind of object: "user.deleted",
	// "user". Empty means all.
	Type string
	// Object limits it to what is about this id, memberships of that user or
	// organization included. Empty means all.
	Object string
	// Part limits it to events of which the svix-id or the id of an object has this text
	// in it. Empty means all.
	Part string
	// Since limits it to events received then or later; zero means no limit.
	Since time.Time
	// Before limits it to events received earlier; zero means no limit.
	Before time.Time
	// Behind is the id of an event that was received at Before: those of the same moment
	// that are listed behind it are in the list too. A list goes on behind its last event.
	Behind string
	// Limit is how many at most, up to 1000; 0 means 50.
	Limit int
}

// orNull is a time as a statement takes it.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Events lists recorded events, latest first.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]RecordedEvent, error) {
	return collect[RecordedEvent](ctx, s, "listing events", `
		select svix_id, type, outcome, coalesce(reason, ''), coalesce(detail, ''), coalesce(object_id, ''),
		       stated_at, received_at, replayed_at, replayable
		from clerk_sync.recent_events(nullif($1, ''), $2, $3, nullif($4, ''), $5, nullif($6, ''), nullif($7, ''), nullif($8, ''))`,
		f.Outcome, orNull(f.Before), cmp.Or(f.Limit, 50), f.Behind, orNull(f.Since), f.Type, f.Object, f.Part)
}

// Bookmark is how far the events were followed, as the database wrote it. The zero value
// is before the first look.
type Bookmark string

// Follow returns what was recorded since the look that a bookmark is of, in the order of
// the transactions, and the bookmark to go on from. Each event is told once, also one whose
// transaction ended long after later ones. The first look tells what was received since
// f.Since, or nothing if that is zero; f.Before and f.Behind have no meaning here. Where
// as many events as f.Limit come back, there may be more at once.
//
// It has to ask a primary: a replica does not know which transactions are under way.
func (s *Store) Follow(ctx context.Context, from Bookmark, f EventFilter) ([]RecordedEvent, Bookmark, error) {
	found, err := one[struct {
		Events []RecordedEvent `json:"events"`
		Place  json.RawMessage `json:"place"`
	}](ctx, s, "following events", `
		select clerk_sync.events_since(nullif($1, '')::pg_catalog.jsonb, $2, nullif($3, ''), $4, nullif($5, ''), nullif($6, ''), nullif($7, ''))`,
		from, cmp.Or(f.Limit, 50), f.Outcome, orNull(f.Since), f.Type, f.Object, f.Part)
	return found.Events, Bookmark(found.Place), err
}

// EventDetail is all that is recorded about one message.
type EventDetail struct {
	RecordedEvent

	// UserID and OrganizationID are whom it is about, or the parents of a membership.
	UserID         string `json:"user_id,omitempty"`
	OrganizationID string `json:"organization_id,omitempty"`
	InstanceID     string `json:"instance_id,omitempty"`
	// SignedWith is the fingerprint of the signing secret that verified the first delivery.
	SignedWith string `json:"signed_with,omitempty"`
	// Repeated is when each secret has verified a further delivery, in milliseconds.
	Repeated map[string]int64 `json:"repeated,omitempty"`
	// RedactedAt is when ids and payload were removed; nil if never.
	RedactedAt *time.Time `json:"redacted_at,omitempty"`
	// Payload is its shape, with names, kinds, ids, times and roles; null where none is
	// kept. After [Store.EventPayload] it is as it came.
	Payload json.RawMessage `json:"payload"`
	// RawBodyBytes is the size of a body that is no event; 0 where none is kept.
	RawBodyBytes int64 `json:"raw_body_bytes,omitempty"`
}

// Event is one recorded event. [ErrNoEvent] if the id is unknown.
func (s *Store) Event(ctx context.Context, svixID string) (EventDetail, error) {
	found, err := one[*EventDetail](ctx, s, "reading event "+svixID, `select clerk_sync.event($1)`, svixID)
	if err == nil && found == nil {
		err = fmt.Errorf("reading event %s: %w", svixID, ErrNoEvent)
	}
	if err != nil {
		return EventDetail{}, err
	}
	return *found, nil
}

// EventPayload is what is kept of an event as it came, which is personal data: the event,
// or the body of a message that is none. Both are empty where nothing is kept. It needs the
// owner's connection.
func (s *Store) EventPayload(ctx context.Context, svixID string) (payload json.RawMessage, rawBody []byte, err error) {
	type kept struct {
		Payload json.RawMessage
		RawBody []byte
	}
	found, err := collect[kept](ctx, s, "reading the payload of "+svixID, `select payload, raw_body from clerk_sync.event_payload($1)`, svixID)
	if err != nil || len(found) == 0 {
		return nil, nil, err
	}
	return found[0].Payload, found[0].RawBody, nil
}

// Replay tries a rejected event again and returns what became of it. An event
// that was not rejected, or whose payload is no longer kept, is left alone and
// its recorded outcome returned. [ErrNoEvent] if the id is unknown.
func (s *Store) Replay(ctx context.Context, svixID string) (Result, error) {
	return s.replay(ctx, svixID, `select outcome, coalesce(reason, ''), false from clerk_sync.replay_event($1)`)
}

// TryReplay says what [Store.Replay] would come to now, and changes nothing.
func (s *Store) TryReplay(ctx context.Context, svixID string) (Result, error) {
	return s.replay(ctx, svixID, `select outcome, coalesce(reason, ''), false from clerk_sync.try_event($1)`)
}

func (s *Store) replay(ctx context.Context, svixID, sql string) (Result, error) {
	result, _, err := s.decide(ctx, sql, svixID)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "P0002" {
		return Result{}, fmt.Errorf("replaying %s: %w", svixID, ErrNoEvent)
	}
	if err != nil {
		return Result{}, fmt.Errorf("replaying %s: %w", svixID, err)
	}
	return result, nil
}

// Signature is what one signing secret has verified.
type Signature struct {
	// SignedWith is the secret's fingerprint; empty for deliveries of which it is not known.
	SignedWith string `json:"signed_with"`
	// Messages counts those of which it has verified a delivery.
	Messages int64     `json:"messages"`
	FirstAt  time.Time `json:"first_at"`
	// LastAt is the latest delivery, a repeated one too.
	LastAt time.Time `json:"last_at"`
}

// Signatures says what each signing secret has verified of messages received since then,
// the one that was used last first.
func (s *Store) Signatures(ctx context.Context, since time.Time) ([]Signature, error) {
	return collect[Signature](ctx, s, "counting deliveries by their signing secret",
		`select coalesce(signed_with, ''), messages, first_at, last_at from clerk_sync.signatures($1)`, since)
}

// EventTypes counts the messages received since then by their type.
func (s *Store) EventTypes(ctx context.Context, since time.Time) (map[string]int64, error) {
	type counted struct {
		Type     string
		Messages int64
	}
	rows, err := collect[counted](ctx, s, "counting events by type", `select type, messages from clerk_sync.event_types($1)`, since)
	if err != nil {
		return nil, err
	}
	types := make(map[string]int64, len(rows))
	for _, r := range rows {
		types[r.Type] = r.Messages
	}
	return types, nil
}
