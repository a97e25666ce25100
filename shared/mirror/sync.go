package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/clerk"
)

// Object is a kind of object that the copy holds.
type Object = clerk.Kind

// The kinds of objects. [clerk.Objects] lists them.
const (
	Users         = clerk.KindUser
	Organizations = clerk.KindOrganization
	Memberships   = clerk.KindMembership
	Roles         = clerk.KindRole
	Permissions   = clerk.KindPermission
)

// Tally counts what became of the objects that the full sync stated.
type Tally struct {
	Created   int64 `json:"created"`
	Updated   int64 `json:"updated"`
	Deleted   int64 `json:"deleted"`
	Unchanged int64 `json:"unchanged"`
	// Stale objects are those of which the copy knows something newer.
	Stale int64 `json:"stale"`
	// DeletedHere objects are live in Clerk and tombstones here, since before the
	// moment at which a webhook should have told: no sync brings them back. They are
	// among those that are stale.
	DeletedHere int64 `json:"deleted_here"`
	// Drift counts those of the first three of which a webhook should have told, and
	// those that are DeletedHere.
	Drift int64 `json:"drift"`
}

// Add adds another count to t.
func (t *Tally) Add(other Tally) {
	t.Created += other.Created
	t.Updated += other.Updated
	t.Deleted += other.Deleted
	t.Unchanged += other.Unchanged
	t.Stale += other.Stale
	t.DeletedHere += other.DeletedHere
	t.Drift += other.Drift
}

// Difference is one object of which the copy does not say what Clerk says. With
// values it holds personal data.
type Difference struct {
	Object Object `json:"object"`
	ID     string `json:"id"`
	// Result is what a sync would do: "created", "updated" or "deleted"; or
	// "deleted_here" for a tombstone of what Clerk has, which it would leave.
	Result string `json:"result"`
	// Fields are the columns that differ, in the order of their names.
	Fields []FieldDifference `json:"fields,omitempty"`
}

// FieldDifference is one column of a Difference. Its values are JSON, and empty where
// the login is not shown any: the runtime role learns names of columns only.
type FieldDifference struct {
	Name  string          `json:"name"`
	Here  json.RawMessage `json:"here,omitempty"`
	Clerk json.RawMessage `json:"clerk,omitempty"`
}

// Suspect is a live row that Clerk did not list.
type Suspect struct {
	ID string
	// The organization and the user that it belongs to, or is; empty for neither.
	OrganizationID, UserID string
}

// projections are what the rules read of each kind.
var projections = func() map[Object]clerk.Projection {
	all := map[Object]clerk.Projection{}
	for _, o := range clerk.Objects() {
		all[o.Kind] = o.Projection()
	}
	return all
}()

// ApplyPage hands what Clerk listed to the sync rules, as one statement, and
// counts what became of it. What differed although Clerk had stated it by
// settled is drift. It is safe to repeat.
func (s *Store) ApplyPage(ctx context.Context, object Object, page clerk.Page, settled time.Time) (Tally, error) {
	return s.applyPage(ctx, nil, nil, Window{Object: object}, page, settled)
}

// ApplyPage is [Store.ApplyPage] as a part of a window: what it writes is
// counted there in the same transaction.
func (r *Run) ApplyPage(ctx context.Context, window Window, page clerk.Page, settled time.Time) (Tally, error) {
	return r.store.applyPage(ctx, &r.ID, &r.holder, window, page, settled)
}

func (s *Store) applyPage(
	ctx context.Context, run *int64, holder *string, w Window, page clerk.Page, settled time.Time,
) (Tally, error) {
	if len(page.Items) == 0 {
		return Tally{}, nil
	}
	ids, updated := latest(page.Items)
	return one[Tally](ctx, s, fmt.Sprintf("applying %d objects of the kind %s", len(ids), w.Object), `
		select to_jsonb(p) from clerk_sync.apply_page($1, $2, $3, $4, $5, $6, $7::pg_catalog.jsonb, $8, $9, $10, $11) as p`,
		run, holder, w.Phase, w.Pass, w.Position, w.Object, page.Project(projections[w.Object]).Resources,
		page.RequestedAt.UnixMilli(), ids, updated, settled.UnixMilli())
}

// PreviewPage says what ApplyPage would do, and does nothing. The owner of the
// database is shown the values that differ, every other login their names.
func (s *Store) PreviewPage(ctx context.Context, object Object, page clerk.Page, settled time.Time) (Tally, []Difference, error) {
	if len(page.Items) == 0 {
		return Tally{}, nil, nil
	}
	if !s.namesOnly.Load() {
		t, differences, err := s.previewPage(ctx, "compare_page", object, page, settled)
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "42501" {
			return t, differences, err
		}
		s.namesOnly.Store(true)
	}
	return s.previewPage(ctx, "preview_page", object, page, settled)
}

func (s *Store) previewPage(ctx context.Context, function string, object Object, page clerk.Page, settled time.Time) (Tally, []Difference, error) {
	ids, updated := latest(page.Items)
	rows, err := collect[struct {
		ID, Result string
		Drift      bool
		Fields     []FieldDifference
	}](ctx, s, fmt.Sprintf("comparing %d objects of the kind %s", len(ids), object),
		`select id, result, drift, fields from clerk_sync.`+function+`($1, $2::pg_catalog.jsonb, $3, $4, $5, $6)`,
		object, page.Project(projections[object]).Resources, page.RequestedAt.UnixMilli(), ids, updated, settled.UnixMilli())
	var t Tally
	var differences []Difference
	for _, r := range rows {
		if r.Drift {
			t.Drift++
		}
		switch r.Result {
		case "created":
			t.Created++
		case "updated":
			t.Updated++
		case "unchanged":
			t.Unchanged++
		default: // deleted here, or newer
			t.Stale++
		}
		if r.Drift && r.Result == "deleted" {
			t.DeletedHere++
			r.Result = "deleted_here"
		}
		if len(r.Fields) > 0 || r.Result == "deleted_here" {
			differences = append(differences, Difference{Object: object, ID: r.ID, Result: r.Result, Fields: r.Fields})
		}
	}
	return t, differences, err
}

// latest are the ids of a page, each once, and when Clerk last updated it.
func latest(items []clerk.Item) ([]string, []int64) {
	ids := make([]string, 0, len(items))
	updated := make([]int64, 0, len(items))
	at := make(map[string]int, len(items))
	for _, item := range items {
		if i, again := at[item.ID]; again {
			updated[i] = max(updated[i], int64(item.UpdatedAt))
			continue
		}
		at[item.ID] = len(ids)
		ids, updated = append(ids, item.ID), append(updated, int64(item.UpdatedAt))
	}
	return ids, updated
}

// Span is a span of creation times: From is in it, To is not; zero is without end.
// Of what was created at From only those are in it whose ids lie behind After, and of
// what was created in the last millisecond before To only those whose ids do not lie
// behind Through, byte by byte; "" is without end.
type Span struct {
	From    clerk.Millis `json:"from_ms,omitempty"`
	To      clerk.Millis `json:"to_ms,omitempty"`
	After   string       `json:"-"`
	Through string       `json:"-"`
}

// Place is one in the order in which rows are looked at.
type Place struct {
	At time.Time
	ID string
}

// Suspects returns the live rows that were created within span and are not
// among listed, limit at most, behind a place; and the place behind which to go on,
// nil when there is nothing more. Those that the run has noted as absent are left
// out, and memberships whose user or organization it has: they go with it. run may be 0.
func (s *Store) Suspects(ctx context.Context, run int64, object Object, span Span, listed []string, behind *Place, limit int) ([]Suspect, *Place, error) {
	type row struct {
		Suspect
		At   time.Time
		Gone bool
	}
	var at *time.Time
	after := span.After
	if behind != nil {
		at, after = &behind.At, behind.ID
	}
	rows, err := collect[row](ctx, s, fmt.Sprintf("looking for rows of the kind %s that Clerk does not list", object), `
		select id, coalesce(organization_id, ''), coalesce(user_id, ''), created_at, gone
		from clerk_sync.suspects($1, $2, nullif($3::bigint, 0), nullif($4::bigint, 0), $5, $6, $7, $8, $9)`,
		run, object, int64(span.From), int64(span.To), listed, limit, after, span.Through, at)
	if err != nil {
		return nil, nil, err
	}
	suspects := make([]Suspect, 0, len(rows))
	for _, r := range rows {
		if !r.Gone {
			suspects = append(suspects, r.Suspect)
		}
	}
	if len(rows) < limit {
		return suspects, nil, nil
	}
	last := rows[len(rows)-1]
	return suspects, &Place{last.At, last.ID}, nil
}

// Undated returns some live rows that have no creation time, and so lie in no
// span, and were not written since settled: in the order of their ids, after
// one.
func (s *Store) Undated(ctx context.Context, object Object, settled time.Time, after string, limit int) ([]Suspect, error) {
	return s.suspects(ctx, object, `undated($1, $2, $3, $4)`, object, settled, after, limit)
}

// Witnesses returns some live rows, limit at most: of listed, or if the copy has none of
// those, of the ones next to a span that are not noted as gone. run may be 0.
func (s *Store) Witnesses(ctx context.Context, run int64, object Object, listed []string, span Span, limit int) ([]Suspect, error) {
	return s.suspects(ctx, object, `witnesses($1, $2, $3, nullif($4::bigint, 0), nullif($5::bigint, 0), $6)`,
		run, object, listed, int64(span.From), int64(span.To), limit)
}

// MembershipsOf returns the live memberships of some users or some organizations.
func (s *Store) MembershipsOf(ctx context.Context, parent Object, ids ...string) ([]Suspect, error) {
	of := map[Object][]string{parent: ids}
	return s.suspects(ctx, Memberships, `children_of($1, $2)`, of[Users], of[Organizations])
}

func (s *Store) suspects(ctx context.Context, object Object, from string, args ...any) ([]Suspect, error) {
	return collect[Suspect](ctx, s, fmt.Sprintf("looking for rows of the kind %s that Clerk does not list", object),
		`select id, coalesce(organization_id, ''), coalesce(user_id, '') from clerk_sync.`+from, args...)
}

// Delete makes tombstones of what Clerk was asked for at a moment and did not have,
// outside of any run. Memberships that this leaves are ended by
// [Store.EndSome]; of memberships themselves hand it some thousands at most.
func (s *Store) Delete(ctx context.Context, object Object, ids []string, at time.Time) (int64, error) {
	function := map[Object]string{Users: "tombstone_users", Organizations: "tombstone_organizations", Memberships: "end_memberships"}[object]
	if function == "" {
		return 0, fmt.Errorf("deleting: objects of the kind %q are only deleted by a run", object)
	}
	return one[int64](ctx, s, fmt.Sprintf("deleting %d objects of the kind %s", len(ids), object),
		`select count(*) from clerk_sync.`+function+`($1, $2, null, true) where result = 'deleted'`, ids, at)
}

// MayPass tells an error of this package that waiting may cure from one that
// somebody has to mend: migrations that are missing, rights, a refused login.
func MayPass(err error) bool {
	if !errors.Is(err, ErrUnavailable) {
		return false
	}
	// What refuses a connection may know it better: no route, an unknown host.
	if told, ok := errors.AsType[interface {
		error
		MayPass() bool
	}](err); ok && !told.MayPass() {
		return false
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pgErr.Code[:2] {
		case "22", "28", "3F", "42":
			return false
		}
	}
	return true
}

// LastEventAt is when the last verified webhook message was recorded; nil if none was.
func (s *Store) LastEventAt(ctx context.Context) (*time.Time, error) {
	return one[*time.Time](ctx, s, "reading the time of the last event", `select clerk_sync.last_event_at()`)
}

// ExpectedInstance is the Clerk instance that the copy is of: the pinned one, or
// unless accept is set that of the last complete run; "" while nobody knows.
func (s *Store) ExpectedInstance(ctx context.Context, accept bool) (string, error) {
	return one[string](ctx, s, "reading which instance the copy is of", `select coalesce(clerk_sync.expected_instance($1), '')`, accept)
}

// IsLive tells whether the copy has an object that is not deleted.
func (s *Store) IsLive(ctx context.Context, object Object, id string) (bool, error) {
	return one[bool](ctx, s, fmt.Sprintf("looking for %s", id), `select coalesce(clerk_sync.is_live($1, $2), false)`, object, id)
}
