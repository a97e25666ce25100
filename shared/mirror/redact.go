package mirror

import (
	"context"
	"time"
)

// Redacted counts what was removed.
type Redacted struct {
	// Events lost ids, and their payload where one was kept.
	Events int64 `json:"events"`
	// AuditRecords have the word "redacted" where the ids were.
	AuditRecords int64 `json:"audit_records"`
	// HeldBack counts what deleted objects still held.
	HeldBack int64 `json:"held_back"`
	// More says that something is left to be removed.
	More bool `json:"more"`
}

// Trace is a table in which ids are still found.
type Trace struct {
	Relation string `json:"relation"`
	Rows     int64  `json:"rows"`
	// Tombstones are those of the rows that say only that something was deleted.
	Tombstones int64 `json:"tombstones"`
}

// IDsOf lists the ids that go with one: its own, and those of a user's memberships. Like
// everything that redacts it needs the owner's connection.
func (s *Store) IDsOf(ctx context.Context, id string) ([]string, error) {
	return one[[]string](ctx, s, "looking for what goes with "+id, `select clerk_sync.ids_of($1)`, id)
}

// Redact removes ids from the inbox and the audit log, with the payloads of the events that
// named them and what is held back of them; at most limit rows of each. Call it again while
// there is more.
func (s *Store) Redact(ctx context.Context, ids []string, limit int) (Redacted, error) {
	return one[Redacted](ctx, s, "redacting", `select clerk_sync.redact($1, $2)`, ids, limit)
}

// RedactRange empties the events that were received from since until before: ids and
// payloads, at most limit of them. Call it again while there is more.
func (s *Store) RedactRange(ctx context.Context, since, before time.Time, limit int) (Redacted, error) {
	return one[Redacted](ctx, s, "redacting", `select clerk_sync.redact_range($1, $2, $3)`, since, before, limit)
}

// RangeLeft counts the events received from since until before that still hold an id, a payload
// or a detail, seen in the whole row.
func (s *Store) RangeLeft(ctx context.Context, since, before time.Time) (int64, error) {
	return one[int64](ctx, s, "looking for what is left", `select clerk_sync.range_left($1, $2)`, since, before)
}

// Traces looks at every row of the copy and of clerksync's own tables, and says where the
// ids are. It knows nothing of how [Store.Redact] finds them.
func (s *Store) Traces(ctx context.Context, ids []string) ([]Trace, error) {
	return collect[Trace](ctx, s, "looking for what is left", `select relation, matched, tombstones from clerk_sync.traces($1)`, ids)
}
