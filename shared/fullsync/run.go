package fullsync

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// lease is how long a run that has died keeps others waiting.
	lease = 45 * time.Second
	// storeLimit is for one call of the store, above the database's own limits.
	storeLimit = 30 * time.Second
	// patience is how long a database that is away is waited for.
	patience = 45 * time.Second
	// endLimit is for writing down how a run ended, after its time is over.
	endLimit = 10 * time.Second
	// startLimit is for the questions before a run begins.
	startLimit = 2 * time.Minute
)

// engine is one call that works on the copy.
type engine struct {
	Options
	// recorded says that this is a run, with a lock and a history; run is its
	// record once it has begun, and nil otherwise.
	recorded bool
	run      *mirror.Run
	// settled is the moment before which a webhook should have told.
	settled time.Time
	// applying bounds the pages that are being written, and so held in memory.
	applying chan struct{}

	mu     sync.Mutex
	report Report
	// absent is what a dry run would delete.
	absent map[mirror.Object]map[string]mirror.Suspect
	// known are some objects of each kind that Clerk has listed, the last ones first.
	known  map[mirror.Object][]string
	totals map[mirror.Object]int64
	// lastWindow is the last position that a window of users has.
	lastWindow int
	phase      string
	done       int64
	began      time.Time
}

func newEngine(o Options) *engine {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.OnDifference == nil {
		o.OnDifference = func(mirror.Difference) {}
	}
	if o.Workers <= 0 {
		o.Workers = DefaultWorkers
	}
	if o.windowSize == 0 {
		o.windowSize = windowSize
	}
	if o.pageSize == 0 {
		o.pageSize = pageSize
	}
	if o.patience == 0 {
		o.patience = patience
	}
	if o.MaxDeleteShare <= 0 {
		o.MaxDeleteShare = DefaultMaxDeleteShare
	}
	if o.MaxDeletes <= 0 {
		o.MaxDeletes = DefaultMaxDeletes
	}
	if o.Reserve <= 0 {
		o.Reserve = DefaultReserve
	}
	switch {
	case o.Settle == 0:
		o.Settle = DefaultSettle
	case o.Settle < 0:
		o.Settle = 0
	}
	e := &engine{
		Options: o, applying: make(chan struct{}, o.Workers),
		absent: map[mirror.Object]map[string]mirror.Suspect{}, totals: map[mirror.Object]int64{}, known: map[mirror.Object][]string{},
	}
	for _, o := range clerk.Objects() {
		e.absent[o.Kind] = map[string]mirror.Suspect{}
	}
	e.began = time.Now()
	e.report.StartedAt = e.began
	e.report.DryRun = o.DryRun
	e.settled = e.report.StartedAt.Add(-o.Settle)
	return e
}

// Run brings the whole copy up to date. The report is of the whole run, also of
// what earlier calls have done of it.
func Run(ctx context.Context, o Options) (Report, error) {
	e := newEngine(o)
	e.recorded = !o.DryRun
	working, cancel := withReserve(ctx, e.Reserve)
	defer cancel()

	err := e.begin(working)
	if err == nil {
		err = e.work(working)
	}
	return e.finish(ctx, outcome(working, err))
}

// withReserve ends a context before its own deadline, so that there is time to
// write down how far the run has come.
func withReserve(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	// Of a short time most is for working.
	reserve = min(reserve, time.Until(deadline)/4)
	return context.WithDeadlineCause(ctx, deadline.Add(-reserve), ErrOutOfTime)
}

// outcome prefers the reason for which the work was stopped to the error that
// it was stopped with.
func outcome(working context.Context, err error) error {
	switch _, limited := working.Deadline(); {
	case err == nil:
		return nil
	case working.Err() != nil && !errors.Is(context.Cause(working), context.DeadlineExceeded):
		return fmt.Errorf("the full sync was stopped: %w", context.Cause(working))
	case limited && errors.Is(err, context.DeadlineExceeded) && (working.Err() != nil || !errors.Is(err, mirror.ErrUnavailable)):
		// Whoever was asked has seen that waiting would take too long, or the
		// time was over before anything began. A database that does not let
		// anybody in runs into a limit of its own.
		if errors.Is(err, ErrOutOfTime) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrOutOfTime, err)
	}
	return err
}

// begin finds out whose key it is and takes the lock.
func (e *engine) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("neither Clerk nor the database may take longer than %s to begin", startLimit))
	defer cancel()
	instance, err := e.Clerk.Instance(ctx)
	if err != nil {
		return fmt.Errorf("asking whose secret key it is: %w", err)
	}
	e.report.InstanceID = instance.ID
	if e.InstanceID != "" && instance.ID != e.InstanceID {
		origin := ""
		if e.InstanceOrigin != "" {
			origin = " (" + e.InstanceOrigin + ")"
		}
		return fmt.Errorf("%w: CLERK_INSTANCE_ID%s pins %s, and the secret key belongs to %s", ErrPinned, origin, e.InstanceID, instance.ID)
	}
	if !e.recorded {
		return e.refusal(ctx, instance.ID, e.checkInstance(ctx, instance.ID))
	}
	begin := mirror.Begin{
		Holder: rand.Text(), Lease: lease, InstanceID: instance.ID, Trigger: e.Trigger,
		Fresh: e.Fresh, AcceptInstance: e.AcceptInstance,
	}
	if err := e.persist(ctx, func(ctx context.Context) error {
		e.run, err = e.Store.Begin(ctx, begin)
		return err
	}); err != nil {
		return e.refusal(ctx, instance.ID, err)
	}
	e.report.RunID, e.report.Resumed, e.report.Initial = e.run.ID, e.run.Resumed, e.run.Initial
	e.report.StartedAt = e.run.StartedAt
	e.settled = e.run.StartedAt.Add(-e.Settle)
	e.Logger.InfoContext(ctx, "full sync begun", "run_id", e.run.ID, "resumed", e.run.Resumed, "instance_id", instance.ID)
	return nil
}

// checkInstance does for what is not recorded what beginning a run does.
func (e *engine) checkInstance(ctx context.Context, id string) error {
	return e.persist(ctx, func(ctx context.Context) error {
		expected, err := e.Store.ExpectedInstance(ctx, e.AcceptInstance)
		if err == nil && expected != "" && expected != id {
			err = mirror.WrongInstance(expected, id)
		}
		return err
	})
}

// refusal names the pin of the database, where that is why an instance is refused.
func (e *engine) refusal(ctx context.Context, id string, err error) error {
	if !errors.Is(err, ErrWrongInstance) {
		return err
	}
	var pin string
	if askErr := e.persist(ctx, func(ctx context.Context) (err error) {
		pin, err = e.Store.ExpectedInstance(ctx, true)
		return err
	}); askErr != nil || pin == "" || pin == id {
		return err
	}
	return fmt.Errorf("%w: instance_id in clerk_sync.settings pins %s, and the secret key belongs to %s", ErrPinned, pin, id)
}

// work does everything that is not done yet, holding the lock.
func (e *engine) work(ctx context.Context) error {
	if e.run == nil {
		return e.walk(ctx)
	}
	ctx, lose := context.WithCancelCause(ctx)
	defer lose(nil)
	stopped := make(chan struct{})
	var renewing sync.WaitGroup
	renewing.Go(func() { e.renew(ctx, stopped, lose) })
	err := e.walk(ctx)
	close(stopped)
	renewing.Wait()
	return outcome(ctx, err)
}

// renew keeps the lock until the work is over. What cannot be renewed in time is lost.
func (e *engine) renew(ctx context.Context, stopped <-chan struct{}, lose context.CancelCauseFunc) {
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
		err := e.limited(ctx, e.run.Renew)
		switch {
		case err == nil:
			held = asked
		case errors.Is(err, ErrLockLost):
			lose(err)
			return
		case time.Since(held) > lease:
			lose(fmt.Errorf("run %d: %w: the database could not be asked for %s", e.run.ID, ErrLockLost, lease))
			return
		}
	}
}

// walk reads the instance, kind by kind. Parents come before children: what is
// found absent of them need not be asked for again with each membership.
func (e *engine) walk(ctx context.Context) error {
	group, parents := errgroup.WithContext(ctx)
	group.Go(func() error {
		// Only for whoever watches: what fails here is asked again later.
		if page, err := e.Clerk.Memberships(parents, clerk.ListQuery{Limit: 1}); err == nil && page.Total > 0 {
			e.expect(mirror.Memberships, page.Total)
		}
		return nil
	})
	group.Go(func() error { return e.walkUsers(parents) })
	group.Go(func() error { return e.walkList(parents, e.organizations()) })
	group.Go(func() error {
		for _, o := range slices.Backward(clerk.Objects()) {
			if o.Path == "" {
				continue
			}
			if err := e.walkList(parents, e.definitions(o)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	e.enter("organization_memberships")
	if err := e.walkList(ctx, e.memberships()); err != nil {
		return err
	}
	if err := e.deleteAbsent(ctx); err != nil {
		return err
	}
	if e.DryRun {
		return nil
	}
	e.purge(ctx)
	return nil
}

// purge lets go of what retention says, a bounded number of steps: the next run
// goes on. A purge that fails is told, and takes nothing from a run that has read,
// confirmed and set right everything.
func (e *engine) purge(ctx context.Context) {
	if err := e.purgeSteps(ctx); err != nil {
		_, e.report.PurgeFailed = verdict(err)
		e.Logger.ErrorContext(ctx, "retention was not applied", "run_id", e.runID(), "code", e.report.PurgeFailed, "error", err)
	}
}

func (e *engine) purgeSteps(ctx context.Context) error {
	const step, steps = 10_000, 50
	e.enter("purging")
	for range steps {
		var purged mirror.Purged
		err := e.persist(ctx, func(ctx context.Context) error {
			var err error
			purged, err = e.Store.Purge(ctx, step)
			return err
		})
		if err != nil {
			return err
		}
		total := &e.report.Purged
		total.Payloads += purged.Payloads
		total.Events += purged.Events
		total.Memberships += purged.Memberships
		total.Users += purged.Users
		total.Organizations += purged.Organizations
		total.Held = purged.Held
		total.AuditRecords += purged.AuditRecords
		total.HeldBack += purged.HeldBack
		if !purged.More {
			return nil
		}
	}
	return nil
}

// limited gives one call of the store its time.
func (e *engine) limited(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, storeLimit, fmt.Errorf("the database did not answer within %s", storeLimit))
	defer cancel()
	return call(ctx)
}

// persist calls the store again while a failure may pass: a pooler or a database
// that restarts is back in seconds. The call must be safe to repeat. Nothing else repeats
// a call of the store: the store tries each once, and below it only the pool connects
// anew, before a statement was sent. The lease is renewed without it: the next tick does.
func (e *engine) persist(ctx context.Context, call func(context.Context) error) error {
	try := func() (struct{}, error) {
		err := e.limited(ctx, call)
		if err != nil && (ctx.Err() != nil || !mirror.MayPass(err)) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 50*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, try, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(e.patience),
		backoff.WithNotify(func(err error, next time.Duration) {
			e.Logger.WarnContext(ctx, "waiting for the database", "error", err, "retry_in_ms", next.Milliseconds())
		}))
	return err
}

// finish writes down how the run ended, also when its time is over.
func (e *engine) finish(ctx context.Context, err error) (Report, error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), endLimit, fmt.Errorf("the database did not answer within %s", endLimit))
	defer cancel()
	e.report.State, e.report.Reason = verdict(err)
	if e.run == nil && e.report.State == Partial {
		e.report.State = "" // nothing has begun that could be resumed
	}
	if e.run != nil {
		if reloadErr := e.persist(ctx, e.run.Reload); reloadErr == nil {
			e.count()
		} else if err == nil {
			// Nobody would know what it did: the next call finds it done and says so.
			err = reloadErr
			e.report.State, e.report.Reason = verdict(err)
		}
	}
	lastErr := e.persist(ctx, func(ctx context.Context) (err error) {
		e.report.LastEventAt, err = e.Store.LastEventAt(ctx)
		return err
	})
	if lastErr != nil && err == nil {
		err = lastErr
		e.report.State, e.report.Reason = verdict(err)
	}
	e.sum()
	if e.run != nil {
		var drift *int64
		if err == nil && !e.report.Initial {
			drift = &e.report.Drift
		}
		endErr := e.persist(ctx, func(ctx context.Context) error {
			return e.run.End(ctx, string(e.report.State), e.report.Reason, drift, e.report)
		})
		if endErr != nil {
			e.Logger.ErrorContext(ctx, "the end of the full sync is not recorded", "error", endErr)
			// Without its record a run is not complete, whatever was done.
			if err == nil {
				err = endErr
				e.report.State, e.report.Reason = verdict(err)
			}
		}
	}
	return e.report, err
}

// verdict is the state and the reason that an error stands for.
func verdict(err error) (State, string) {
	for _, r := range []struct {
		err    error
		state  State
		reason string
	}{
		{ErrBusy, "", "busy"},
		{ErrWrongInstance, Stopped, "wrong_instance"},
		{ErrTooManyDeletions, Stopped, "too_many_deletions"},
		{ErrOutOfTime, Partial, "out_of_time"},
		{ErrLockLost, Partial, "lock_lost"},
		{ErrIncomplete, Partial, "list_incomplete"},
		{clerk.ErrKeyRefused, Partial, "key_refused"},
		{clerk.ErrRateLimited, Partial, "clerk_rate_limited"},
		{clerk.ErrClerkUnavailable, Partial, "clerk_unavailable"},
		{mirror.ErrUnavailable, Partial, "database_unavailable"},
		{context.Canceled, Partial, "interrupted"},
	} {
		if errors.Is(err, r.err) {
			return r.state, r.reason
		}
	}
	if err != nil {
		return Partial, "failed"
	}
	return Complete, ""
}
