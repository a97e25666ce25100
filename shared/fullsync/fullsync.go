// Package fullsync reads a whole Clerk instance and makes the copy say the same:
// what webhooks have lost is found, what is gone is removed once Clerk has
// confirmed it, and everything else is left as it is.
//
//	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: key})
//	report, err := fullsync.Run(ctx, fullsync.Options{Clerk: backend, Store: mirror.New(db)})
//
// A run is cut into windows and remembers each that is done, so that the next
// call resumes it, wherever it was stopped: by the deadline of ctx
// ([ErrOutOfTime]), by a signal, by Clerk or the database refusing, or by being
// killed. Only one run works at a time ([ErrBusy]); whoever dies holding the lock
// loses it with its lease. Nothing is deleted before the whole instance was read,
// and then only what Clerk has confirmed to be gone, and not more than
// [Options.MaxDeleteShare] allows ([ErrTooManyDeletions]).
//
// [User], [Organization] and [Since] bring a part of the copy up to date, and
// every function can do without writing ([Options.DryRun]).
//
// Limits: memory grows with a window, not with the instance. Organizations and
// memberships can only be listed by offset; their lists are proved complete, or
// read again. An object that Clerk changes while it is read is right after the
// next webhook or run.
package fullsync

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// The reasons for which a run ends without being complete. Those of packages
// clerk and mirror come through as they are.
var (
	// ErrBusy: another run holds the lock. It is left alone.
	ErrBusy = mirror.ErrBusy
	// ErrOutOfTime: the deadline is near. What is done is kept, and the next
	// call goes on from there.
	ErrOutOfTime = errors.New("out of time")
	// ErrLockLost: the lease ran out while this run could not reach the
	// database, and another run has taken over.
	ErrLockLost = mirror.ErrLockLost
	// ErrWrongInstance: the secret key belongs to another Clerk instance than
	// the copy.
	ErrWrongInstance = mirror.ErrWrongInstance
	// ErrPinned: it is [ErrWrongInstance] because of a pin, which AcceptInstance
	// does not overrule.
	ErrPinned = fmt.Errorf("%w", ErrWrongInstance)
	// ErrTooManyDeletions: more would be deleted than is plausible. Nothing was.
	ErrTooManyDeletions = errors.New("too many deletions")
	// ErrIncomplete: a list kept changing while it was read, or did not add up,
	// so that something may have been missed.
	ErrIncomplete = errors.New("a list could not be read completely")
)

// The defaults of [Options].
const (
	DefaultWorkers        = 16
	DefaultMaxDeleteShare = 0.1
	DefaultMaxDeletes     = 10_000
	DefaultReserve        = 20 * time.Second
	DefaultSettle         = time.Minute
)

// Options say what to read, where to write it and how far to go. Clerk and
// Store are required.
type Options struct {
	Clerk *clerk.Backend
	Store *mirror.Store
	// Logger gets a line a step; nil drops them. No personal data.
	Logger *slog.Logger
	// Trigger says who began the run, for the history: "schedule", "cli"….
	Trigger string
	// Version is the program's, for the history; "" leaves it out.
	Version string
	// InstanceID pins the Clerk instance; "" means the one of the last run.
	InstanceID string
	// InstanceOrigin says where the pin was read, for the refusal: "environment".
	InstanceOrigin string
	// AcceptInstance makes the key's instance the right one, whatever was before; a
	// pin stays.
	AcceptInstance bool
	// Workers is how many requests may be under way at the same time, for each
	// kind of object, under one rate budget; 0 means [DefaultWorkers].
	Workers int
	// MaxDeleteShare and MaxDeletes stop a run that is about to delete more of
	// the live rows of one kind (a share of them, or their number). 0 means
	// [DefaultMaxDeleteShare] and [DefaultMaxDeletes]. Up to ten deletions are
	// always allowed, unless they leave nothing of a kind: then each object must be
	// gone when asked for by itself.
	MaxDeleteShare float64
	MaxDeletes     int64
	// AllowDeletions lets any number of confirmed deletions through.
	AllowDeletions bool
	// Reserve is how long before the deadline of ctx a run stops; 0 means
	// [DefaultReserve].
	Reserve time.Duration
	// Settle is how old an object must be before its absence counts and its
	// difference is called drift: what has just been made may be on its way. 0
	// means [DefaultSettle]; negative, none.
	Settle time.Duration
	// Fresh begins a new run also where one could be resumed.
	Fresh bool
	// DryRun compares and writes nothing, neither rows nor history.
	DryRun bool
	// OnDifference is told what DryRun found, from several goroutines; it holds
	// personal data.
	OnDifference func(mirror.Difference)
	// windowSize and pageSize are smaller in tests; 0 means the constants.
	windowSize, pageSize int
	// patience is how long a database that is away is waited for; 0 means the constant.
	patience time.Duration
	// Progress is told how far the run is, from several goroutines; nil for nobody.
	Progress func(Progress)
}

// State is what became of a run.
type State string

// The states of a run that has ended.
const (
	// Complete: everything was read, proved and reconciled.
	Complete State = "complete"
	// Partial: it stopped before, and the next run resumes it.
	Partial State = "partial"
	// Stopped: it must not go on without somebody's decision.
	Stopped State = "stopped"
)

// Report is what a run did. It comes also with an error.
type Report struct {
	// RunID is 0 for what is not recorded: a dry run, and a part of the copy.
	RunID int64 `json:"run_id,omitempty"`
	// State is "" where nothing was begun.
	State State `json:"state"`
	// Reason is a stable code for what State is not complete for:
	// "out_of_time", "interrupted", "clerk_unavailable", "clerk_rate_limited",
	// "key_refused", "database_unavailable", "lock_lost", "wrong_instance",
	// "too_many_deletions", "list_incomplete", "busy" or "failed".
	Reason     string `json:"reason,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"`
	Resumed    bool   `json:"resumed"`
	Initial    bool   `json:"initial"` // no run was complete before: drift means nothing yet
	InstanceID string `json:"instance_id"`
	// Version is that of the program which ended the run.
	Version   string    `json:"version,omitempty"`
	StartedAt time.Time `json:"started_at"`
	// DurationMS is how long this call took, in milliseconds.
	DurationMS int64 `json:"duration_ms"`

	Users         ObjectReport `json:"users"`
	Organizations ObjectReport `json:"organizations"`
	Memberships   ObjectReport `json:"organization_memberships"`
	Roles         ObjectReport `json:"roles"`
	Permissions   ObjectReport `json:"permissions"`

	// Drift is how many objects the copy had wrong although a webhook should
	// have told: the sum over all kinds.
	Drift int64 `json:"drift"`

	// What Clerk was asked, by this call.
	Requests    int64 `json:"requests"`
	Retries     int64 `json:"retries"`
	RateLimited int64 `json:"rate_limited"`

	// LastEventAt is when the last verified webhook arrived; nil if none ever did.
	LastEventAt *time.Time `json:"last_event_at"`
	// Purged is what retention removed.
	Purged mirror.Purged `json:"purged"`
	// PurgeFailed is the code, like those of Reason, for which that ended early.
	PurgeFailed string `json:"purge_failed,omitempty"`
}

// ObjectReport is what a run did to one kind of object.
type ObjectReport struct {
	// Listed is how many Clerk has.
	Listed int64 `json:"listed"`
	mirror.Tally
	// Suspects were live in the copy and not listed; of these, Deleted were
	// confirmed and the others found after all.
	Suspects int64 `json:"suspects"`
	// Skipped says why the kind was not read: "not_enabled".
	Skipped string `json:"skipped,omitempty"`
}

// Progress is how far a run is.
type Progress struct {
	// Phase is what is being done: "counting", "users", "organizations",
	// "organization_memberships", "confirming", "deleting", "purging".
	Phase string
	// Done and Total count objects of all kinds; Total is 0 while unknown.
	Done, Total int64
	// Requests and RateLimited are those of the reader so far.
	Requests, RateLimited int64
}
