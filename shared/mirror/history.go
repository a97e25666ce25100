package mirror

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Counts are the rows of one table of the copy.
type Counts struct {
	// Live rows are what Clerk has told us about and not deleted since.
	Live int64 `json:"live"`
	// Placeholders are known from a child only.
	Placeholders int64 `json:"placeholders"`
	// Tombstones are deleted; they hold no personal data.
	Tombstones int64 `json:"tombstones"`
	// Held tombstones stayed when retention last went through, because rows of other
	// tables refer to them.
	Held int64 `json:"held"`
	// Estimated says that these are too many to count: what there is
	// more of than 20,000 is told from the statistics of its index.
	Estimated bool `json:"estimated"`
}

// Status is the state of the copy.
type Status struct {
	Users         Counts `json:"users"`
	Organizations Counts `json:"organizations"`
	Memberships   Counts `json:"organization_memberships"`
	// Events counts the recorded webhook messages by outcome; EventsEstimated are
	// those of which there are too many to count.
	Events          map[Outcome]int64 `json:"events"`
	EventsEstimated []Outcome         `json:"events_estimated"`
	// Ending is of how many deleted users and organizations memberships are still
	// to be ended. Policies respect the deletion already.
	Ending int64 `json:"ending"`
	// HeldBack is of how many deleted objects clerk_sync.settings.deletion_grace still
	// keeps what they held; beyond 20,000 it is 20,001.
	HeldBack int64 `json:"held_back"`
	// LastEventAt is when the last message was recorded; nil if there is none.
	LastEventAt *time.Time `json:"last_event_at"`
	// LastRun is the latest full sync, LastComplete the latest that was
	// complete; nil if there is none.
	LastRun      *RunRecord `json:"last_run"`
	LastComplete *RunRecord `json:"last_complete_run"`
	// Missing names the parts that could not be read in time.
	Missing []string `json:"missing,omitempty"`
}

// partLimit is how long one part of a status may take.
const partLimit = 5 * time.Second

// Status counts the copy, in statements of their own. Parts that take too long are
// named in Missing; what keeps all of them from being read is the error.
func (s *Store) Status(ctx context.Context) (Status, error) {
	var status Status
	var runs struct {
		Last     *RunRecord `json:"last_run"`
		Complete *RunRecord `json:"last_complete_run"`
	}
	var late error
	parts := []struct {
		name string
		into []any
		sql  string
	}{
		{"users", []any{&status.Users}, `select clerk_sync.count_objects('user')`},
		{"organizations", []any{&status.Organizations}, `select clerk_sync.count_objects('organization')`},
		{"organization_memberships", []any{&status.Memberships}, `select clerk_sync.count_objects('organization_membership')`},
		{"events", []any{&status.Events, &status.EventsEstimated}, `select events, estimated from clerk_sync.count_events()`},
		{"ending", []any{&status.Ending}, `select clerk_sync.count_endings()`},
		{"held_back", []any{&status.HeldBack}, `select clerk_sync.count_held_back()`},
		{"last_event_at", []any{&status.LastEventAt}, `select clerk_sync.last_event_at()`},
		{"runs", []any{&runs}, `select clerk_sync.last_runs()`},
	}
	for _, part := range parts {
		limited, cancel := context.WithTimeout(ctx, partLimit)
		err := repeat(limited, func() error { return s.db.QueryRow(limited, part.sql).Scan(part.into...) })
		late = errors.Join(late, err)
		slow := limited.Err() != nil
		cancel()
		switch {
		case err == nil:
		case ctx.Err() == nil && (slow || tooSlow(err)):
			status.Missing = append(status.Missing, part.name)
		default:
			return Status{}, fmt.Errorf("reading the status of the copy: %w", err)
		}
	}
	if len(status.Missing) == len(parts) {
		return Status{}, fmt.Errorf("reading the status of the copy: %w", late)
	}
	status.LastRun, status.LastComplete = runs.Last, runs.Complete
	return status, nil
}

// Count counts users, organizations or memberships.
func (s *Store) Count(ctx context.Context, object Object) (Counts, error) {
	return one[Counts](ctx, s, fmt.Sprintf("counting objects of the kind %s", object), `select clerk_sync.count_objects($1)`, object)
}

// tooSlow tells a statement or a lock that took too long.
func tooSlow(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "57014" || pgErr.Code == "55P03")
}

// Purged counts what [Store.Purge] removed.
type Purged struct {
	Payloads      int64 `json:"payloads"`
	Events        int64 `json:"events"`
	Memberships   int64 `json:"organization_memberships"`
	Users         int64 `json:"users"`
	Organizations int64 `json:"organizations"`
	// Held counts tombstones that stay because another table refers to them.
	Held int64 `json:"held"`
	// AuditRecords are those of the audit log.
	AuditRecords int64 `json:"audit_records"`
	// HeldBack counts what deleted objects held, at the end of its grace.
	HeldBack int64 `json:"held_back"`
	// More says that something is left to be removed.
	More bool `json:"more"`
}

// Purge forgets payloads, events, tombstones, audit records and what is held back of
// deleted objects that were kept as long as
// clerk_sync.settings says, at most limit of each, and of users and organizations
// 1000; call it again while there is more.
func (s *Store) Purge(ctx context.Context, limit int) (Purged, error) {
	return one[Purged](ctx, s, "purging", `select clerk_sync.purge($1)`, limit)
}
