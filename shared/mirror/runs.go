package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"clerksync/shared/clerk"
)

// The reasons for which a run cannot begin, or not go on.
var (
	// ErrBusy says that another run holds the lock.
	ErrBusy = errors.New("another full sync is running")
	// ErrWrongInstance says that the copy is of another Clerk instance.
	ErrWrongInstance = errors.New("the copy is of another Clerk instance")
	// ErrLockLost says that the lock of the full sync is no longer held by the
	// caller.
	ErrLockLost = errors.New("the lock of the full sync was lost")
)

// RunRecord is one full sync in the history.
type RunRecord struct {
	ID int64 `json:"id"`
	// State is "running", or how it ended: "complete", "partial" (the next run resumes it) or "stopped".
	State string `json:"state"`
	// Reason is a stable code for a state that is not complete.
	Reason     string    `json:"reason,omitempty"`
	Trigger    string    `json:"trigger"`
	InstanceID string    `json:"instance_id"`
	StartedAt  time.Time `json:"started_at"`
	// EndedAt is nil while it runs.
	EndedAt *time.Time `json:"ended_at"`
	// Drift is how many objects were found wrong; nil until the run is complete, and for the first run of all.
	Drift *int64 `json:"drift"`
	// Report is the whole report as JSON.
	Report json.RawMessage `json:"report,omitempty"`
}

// Runs lists the latest full syncs, latest first; limit up to 1000, 0 means 20.
func (s *Store) Runs(ctx context.Context, limit int) ([]RunRecord, error) {
	return collect[RunRecord](ctx, s, "listing full syncs", `
		select id, state, coalesce(reason, '') as reason, trigger, instance_id, started_at, ended_at, drift,
		       coalesce(report, 'null') as report
		from clerk_sync.recent_runs($1)`, cmp.Or(limit, 20))
}

// Begin says how to begin a run.
type Begin struct {
	// Holder names who asks; it is unlike every other name.
	Holder string
	// Lease is how long the lock is held without [Run.Renew].
	Lease time.Duration
	// InstanceID is the instance that the secret key belongs to.
	InstanceID string
	// Trigger says who began it, for the history.
	Trigger string
	// Fresh begins a new run also where the last one could be resumed.
	Fresh bool
	// AcceptInstance takes the instance for the right one whatever the last
	// run was of. An instance pinned in clerk_sync.settings stays.
	AcceptInstance bool
}

// Phase is what a window is a part of.
type Phase string

// The phases of a run that the reader makes windows for.
const (
	// PhaseSpan is the planned spans of creation times.
	PhaseSpan Phase = "span"
	// PhaseList is a pass over a list; passes count from 1.
	PhaseList Phase = "list"
	// PhaseUndated is the looks at rows without a creation time, which lie in no span.
	PhaseUndated Phase = "undated"
)

// Window is a part of a run.
type Window struct {
	Object   Object `json:"object"`
	Phase    Phase  `json:"phase"`
	Pass     int    `json:"pass"`
	Position int    `json:"position"`
	// From and To are creation times: From is in the window, To is not; zero is
	// without end.
	From clerk.Millis `json:"from_ms,omitempty"`
	To   clerk.Millis `json:"to_ms,omitempty"`
	// After is where a list goes on within From, where one moment fills more windows
	// than one: what was listed up to this id is in those before. Through is the id
	// that was listed last in a window that ends within a moment. See [Span].
	After   string `json:"after_id,omitempty"`
	Through string `json:"-"`
	// NextOffset is where the list goes on behind the window, where it is
	// listed by offset.
	NextOffset int64 `json:"next_offset"`
	// Listed is how many objects Clerk listed.
	Listed   int64 `json:"listed"`
	Tally    Tally `json:"tally"`
	Finished bool  `json:"finished"`
	// Unseen is since when live rows were made that were neither listed nor asked
	// for; 0 without one.
	Unseen clerk.Millis `json:"unseen_ms,omitempty"`
	// Rest is the window that [Run.Finish] plans behind this one in the same step;
	// nil for none.
	Rest *Window `json:"rest,omitempty"`
}

// Span is what a window covers.
func (w Window) Span() Span {
	return Span{From: w.From, To: w.To, After: w.After, Through: w.Through}
}

// Run is a run whose lock the caller holds.
type Run struct {
	ID        int64     `json:"run_id"`
	Resumed   bool      `json:"-"`
	Initial   bool      `json:"initial"`
	StartedAt time.Time `json:"started_at"`
	// Windows are those that were planned or finished before.
	Windows []Window `json:"windows"`
	// Cuts are what was last handed to [Run.KeepCuts], if no window of users was planned since.
	Cuts []Cut `json:"cuts"`

	store  *Store
	holder string
	lease  time.Duration
}

// Begin takes the lock and begins a run, or resumes the last one. [ErrBusy] and
// [ErrWrongInstance] if it may not.
func (s *Store) Begin(ctx context.Context, b Begin) (*Run, error) {
	answer, err := one[struct {
		Outcome   string    `json:"outcome"`
		ExpiresAt time.Time `json:"expires_at"`
		Expected  string    `json:"expected"`
		Run
	}](ctx, s, "beginning a full sync", `select clerk_sync.begin_run($1, $2, $3, $4, $5, $6)`,
		b.Holder, b.Lease, b.InstanceID, b.Trigger, b.Fresh, b.AcceptInstance)
	if err != nil {
		return nil, err
	}
	run := &answer.Run
	switch answer.Outcome {
	case "busy":
		return nil, fmt.Errorf("%w: run %d holds the lock until %s, or longer while it works", ErrBusy,
			run.ID, answer.ExpiresAt.UTC().Format(time.RFC3339))
	case "wrong_instance":
		return nil, WrongInstance(answer.Expected, b.InstanceID)
	case "resumed":
		run.Resumed = true
	}
	run.store, run.holder, run.lease = s, b.Holder, b.Lease
	return run, nil
}

// WrongInstance is the error that says which instance the copy is of, and which
// was asked.
func WrongInstance(expected, asked string) error {
	return fmt.Errorf("%w: it is of %s, and the secret key belongs to %s", ErrWrongInstance, expected, asked)
}

// Renew holds the lock for another lease. [ErrLockLost] if it was lost. It is tried once,
// since what comes late is for nothing: the caller asks again soon.
func (r *Run) Renew(ctx context.Context) error {
	held, err := one[bool](ctx, New(r.store.db), fmt.Sprintf("renewing the lock of run %d", r.ID),
		`select clerk_sync.renew_run($1, $2, $3)`, r.ID, r.holder, r.lease)
	return r.unlessLost(held, err)
}

// Cut is a piece of the creation times, and how many users it has.
type Cut struct {
	From  clerk.Millis `json:"from"`
	To    clerk.Millis `json:"to"`
	Users int64        `json:"users"`
}

// KeepCuts remembers how far the creation times are cut, before their windows are planned.
func (r *Run) KeepCuts(ctx context.Context, cuts []Cut) error {
	return r.writeDocument(ctx, "keeping cuts", `select clerk_sync.keep_cuts($1, $2, $3::pg_catalog.jsonb)`, cuts)
}

// Plan records the windows of a kind before they are walked.
func (r *Run) Plan(ctx context.Context, object Object, spans []Span) error {
	return r.writeDocument(ctx, "planning windows", `select clerk_sync.plan_windows($1, $2, $3::pg_catalog.jsonb, $4)`, spans, object)
}

// NoteAbsent records what Clerk was asked for at a moment and did not have, some
// thousands at most. What is listed again by the same run is taken off the record.
func (r *Run) NoteAbsent(ctx context.Context, object Object, ids []string, confirmedAt time.Time) error {
	return r.write(ctx, "noting what is gone", `select clerk_sync.note_absences($1, $2, $3, $4, $5)`, object, ids, confirmedAt)
}

// Finish records a window as done, once what is absent from it was noted. Of its
// tally only what was not written is taken: the rest is counted already.
func (r *Run) Finish(ctx context.Context, w Window) error {
	return r.writeDocument(ctx, "finishing a window", `select clerk_sync.finish_window($1, $2, $3::pg_catalog.jsonb)`, w)
}

// Pending is how much of a kind a run would delete, memberships also with their parents, beside how much there is, which
// may be an estimate where it is more than twenty times as much.
type Pending struct {
	Object        Object
	Pending, Live int64
}

// Pending returns what is confirmed to be absent and not deleted yet.
func (r *Run) Pending(ctx context.Context) ([]Pending, error) {
	return collect[Pending](ctx, r.store, fmt.Sprintf("counting the deletions of run %d", r.ID),
		`select object, pending, live from clerk_sync.pending_deletions($1)`, r.ID)
}

// PendingObjects returns what of a kind is confirmed to be absent and not deleted yet, or
// falls with its parent.
func (r *Run) PendingObjects(ctx context.Context, object Object) ([]Suspect, error) {
	return r.store.suspects(ctx, object, `pending_objects($1, $2)`, r.ID, object)
}

// DeleteAbsent deletes up to limit objects of a kind that are confirmed to be
// absent and returns how many it dealt with; call it until that is 0. What it
// deleted is told by [Run.Reload].
func (r *Run) DeleteAbsent(ctx context.Context, object Object, limit int) (int64, error) {
	return one[int64](ctx, r.store, fmt.Sprintf("deleting objects of the kind %s in run %d", object, r.ID),
		`select clerk_sync.delete_absent($1, $2, $3, $4)`, r.ID, r.holder, object, limit)
}

// Reload reads Windows again: everything that was counted, by this call and by
// those before it.
func (r *Run) Reload(ctx context.Context) error {
	windows, err := one[[]Window](ctx, r.store, fmt.Sprintf("reading the windows of run %d", r.ID), `select clerk_sync.run_windows($1)`, r.ID)
	if err == nil {
		r.Windows = windows
	}
	return err
}

// End ends the run and gives back the lock. drift is nil where it means nothing.
func (r *Run) End(ctx context.Context, state, reason string, drift *int64, report any) error {
	document, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("ending run %d: %w", r.ID, err)
	}
	held, err := one[bool](ctx, r.store, fmt.Sprintf("ending run %d", r.ID),
		`select clerk_sync.end_run($1, $2, $3, nullif($4, ''), $5, $6)`, r.ID, r.holder, state, reason, drift, string(document))
	return r.unlessLost(held, err)
}

// write runs a function of a run that answers nothing.
func (r *Run) write(ctx context.Context, what, sql string, args ...any) error {
	_, err := one[any](ctx, r.store, fmt.Sprintf("%s in run %d", what, r.ID), sql, append([]any{r.ID, r.holder}, args...)...)
	return err
}

// writeDocument is [Run.write] with a value as JSON, before the other arguments.
func (r *Run) writeDocument(ctx context.Context, what, sql string, value any, args ...any) error {
	document, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s in run %d: %w", what, r.ID, err)
	}
	return r.write(ctx, what, sql, append([]any{string(document)}, args...)...)
}

func (r *Run) unlessLost(held bool, err error) error {
	if err == nil && !held {
		return fmt.Errorf("run %d: %w", r.ID, ErrLockLost)
	}
	return err
}
