package fullsync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"clerksync/shared/mirror"
)

const (
	// lease is how long a run that has died keeps others waiting.
	lease = 45 * time.Second
	// storeLimit is for one call of the store, above the database's own limits.
	storeLimit = 30 * time.Second
	// patience is how long a database that is away is waited for.
	patience = 45 * time.Second
)

// applier writes what Clerk has listed, or compares it, ends a run with what retention
// removes, and holds the lock.
type applier struct {
	options Options
	record  *record
	// run is the record in the history of what is a run, once it has begun; else nil.
	run *mirror.Run
	// settled is the moment before which a webhook should have told.
	settled time.Time
	// slots bounds the pages that are being written, and so held in memory.
	slots chan struct{}
}

// limited gives one call of the store its time.
func limited(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeLimit, fmt.Errorf("the database did not answer within %s", storeLimit))
	defer cancel()
	return call(ctx)
}

// persist repeats a statement of the store while a failure may pass: a pooler or a database
// that restarts is back in seconds. Nothing else repeats one: below it only the pool
// connects anew, before a statement was sent.
func (o *Options) persist(ctx context.Context, statement func(context.Context) error) error {
	try := func() (struct{}, error) {
		err := limited(ctx, statement)
		if err != nil && (ctx.Err() != nil || !mirror.MayPass(err)) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, try, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(o.patience),
		backoff.WithNotify(func(err error, next time.Duration) {
			o.Logger.WarnContext(ctx, "waiting for the database", "error", err, "retry_in_ms", next.Milliseconds())
		}))
	return err
}

// hold works while it keeps the lock of the run, if there is one.
func (a *applier) hold(ctx context.Context, work func(context.Context) error) error {
	if a.run == nil {
		return work(ctx)
	}
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	stopped := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() { a.renew(ctx, stopped, lose) })
	err := work(ctx)
	close(stopped)
	renewing.Wait()
	return outcome(ctx, err)
}

// renew keeps the lock until the work is over. What cannot be renewed in time is lost.
func (a *applier) renew(ctx context.Context, stopped <-chan struct{}, lose context.CancelCauseFunc) {
	ticker := time.NewTicker(lease / 5)
	defer ticker.Stop()
	held := time.Now()
	for {
		select {
		case <-stopped:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		err := limited(ctx, a.run.Renew)
		switch {
		case err == nil:
			held = asked
		case errors.Is(err, ErrLockLost):
			lose(err)
			return
		case time.Since(held) > lease:
			lose(fmt.Errorf("run %d: %w: the database could not be asked for %s", a.run.ID, ErrLockLost, lease))
			return
		}
	}
}

// purge lets go of what retention says, a bounded number of steps: the next run
// goes on. A purge that fails is told, and takes nothing from a run that has read,
// confirmed and set right everything.
func (a *applier) purge(ctx context.Context) {
	const step, steps = 10_000, 50
	a.record.enter("purging")
	total, more := &a.record.report.Purged, true
	for i := 0; more && i < steps; i++ {
		purged, err := a.options.Store.Purge(ctx, step)
		if err != nil {
			_, a.record.report.PurgeFailed = verdict(err)
			a.options.Logger.ErrorContext(ctx, "retention was not applied", "run_id", a.record.report.RunID, "code", a.record.report.PurgeFailed, "error", err)
			return
		}
		total.Payloads += purged.Payloads
		total.Events += purged.Events
		total.Memberships += purged.Memberships
		total.Users += purged.Users
		total.Organizations += purged.Organizations
		total.Held = purged.Held
		total.AuditRecords += purged.AuditRecords
		total.HeldBack += purged.HeldBack
		more = purged.More
	}
}
