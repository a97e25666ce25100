package fullsync

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// endLimit is for writing down how a run ended, after its time is over.
	endLimit = 10 * time.Second
	// startLimit is for the questions before a run begins.
	startLimit = 2 * time.Minute
)

// engine is one call: what lists, what applies and what deletes, each handed what it
// uses, and what they all tell.
type engine struct {
	options Options
	record  *record
	applier *applier
	deleter *deleter
	lister  *lister
}

func newEngine(o Options) *engine {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.OnDifference == nil {
		o.OnDifference = func(mirror.Difference) {}
	}
	o.Workers = cmp.Or(max(o.Workers, 0), DefaultWorkers)
	o.windowSize, o.pageSize = cmp.Or(o.windowSize, windowSize), cmp.Or(o.pageSize, pageSize)
	o.patience = cmp.Or(o.patience, patience)
	o.MaxDeleteShare = cmp.Or(max(o.MaxDeleteShare, 0), DefaultMaxDeleteShare)
	o.MaxDeletes = cmp.Or(max(o.MaxDeletes, 0), DefaultMaxDeletes)
	o.Reserve = cmp.Or(max(o.Reserve, 0), DefaultReserve)
	o.Settle = max(cmp.Or(o.Settle, DefaultSettle), 0)

	began := time.Now()
	o.Store = o.Store.Repeating(o.persist)
	record := &record{options: o, began: began, totals: map[mirror.Object]int64{}}
	record.report.StartedAt, record.report.DryRun = began, o.DryRun
	applier := &applier{options: o, record: record, settled: began.Add(-o.Settle), slots: make(chan struct{}, o.Workers)}
	deleter := &deleter{
		options: o, applier: applier, record: record,
		absent: map[mirror.Object]map[string]mirror.Suspect{}, known: map[mirror.Object][]string{},
	}
	for _, object := range clerk.Objects() {
		deleter.absent[object.Kind] = map[string]mirror.Suspect{}
	}
	lister := &lister{options: o, applier: applier, deleter: deleter, record: record}
	return &engine{options: o, record: record, applier: applier, deleter: deleter, lister: lister}
}

// Run brings the whole copy up to date. The report is of the whole run, also of
// what earlier calls have done of it.
func Run(ctx context.Context, o Options) (Report, error) {
	e := newEngine(o)
	return e.call(ctx, !o.DryRun, e.walk)
}

// call begins, works and finishes. recorded says that this is a run, with a lock and a
// history.
func (e *engine) call(ctx context.Context, recorded bool, work func(context.Context) error) (Report, error) {
	working, cancel := withReserve(ctx, e.options.Reserve)
	defer cancel()
	err := e.begin(working, recorded)
	if err == nil {
		err = e.applier.hold(working, work)
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
func (e *engine) begin(ctx context.Context, recorded bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("neither Clerk nor the database may take longer than %s to begin", startLimit))
	defer cancel()
	report := &e.record.report
	instance, err := e.options.Clerk.Instance(ctx)
	if err != nil {
		return fmt.Errorf("asking whose secret key it is: %w", err)
	}
	report.InstanceID, report.Version = instance.ID, e.options.Version
	if e.options.InstanceID != "" && instance.ID != e.options.InstanceID {
		origin := ""
		if e.options.InstanceOrigin != "" {
			origin = " (" + e.options.InstanceOrigin + ")"
		}
		return fmt.Errorf("%w: CLERK_INSTANCE_ID%s pins %s, and the secret key belongs to %s", ErrPinned, origin, e.options.InstanceID, instance.ID)
	}
	if !recorded {
		// It does what beginning a run does.
		of, err := e.options.Store.ExpectedInstance(ctx, e.options.AcceptInstance)
		if err == nil && of != "" && of != instance.ID {
			err = mirror.WrongInstance(of, instance.ID)
		}
		return e.pinned(ctx, err)
	}
	run, err := e.options.Store.Begin(ctx, mirror.Begin{
		Holder: rand.Text(), Lease: lease, InstanceID: instance.ID, Trigger: e.options.Trigger,
		Fresh: e.options.Fresh, AcceptInstance: e.options.AcceptInstance,
	})
	if err != nil {
		return e.pinned(ctx, err)
	}
	e.applier.run = run
	report.RunID, report.Resumed, report.Initial, report.StartedAt = run.ID, run.Resumed, run.Initial, run.StartedAt
	e.applier.settled = run.StartedAt.Add(-e.options.Settle)
	e.options.Logger.InfoContext(ctx, "full sync begun", "run_id", run.ID, "resumed", run.Resumed, "instance_id", instance.ID)
	return nil
}

// pinned names the pin of the database, where that is why an instance is refused.
func (e *engine) pinned(ctx context.Context, err error) error {
	if !errors.Is(err, ErrWrongInstance) {
		return err
	}
	id := e.record.report.InstanceID
	pin, askErr := e.options.Store.ExpectedInstance(ctx, true)
	if askErr != nil || pin == "" || pin == id {
		return err
	}
	return fmt.Errorf("%w: instance_id in clerk_sync.settings pins %s, and the secret key belongs to %s", ErrPinned, pin, id)
}

// walk reads the instance, kind by kind. Parents come before children: what is
// found absent of them need not be asked for again with each membership.
func (e *engine) walk(ctx context.Context) error {
	group, parents := errgroup.WithContext(ctx)
	group.Go(func() error {
		// Only for whoever watches: what fails here is asked again later.
		if page, err := e.options.Clerk.Memberships(parents, clerk.ListQuery{Limit: 1}); err == nil && page.Total > 0 {
			e.record.expect(mirror.Memberships, page.Total)
		}
		return nil
	})
	group.Go(func() error { return e.lister.walkUsers(parents) })
	group.Go(func() error { return e.lister.walkList(parents, organizations(e.options.Clerk)) })
	group.Go(func() error {
		for _, o := range slices.Backward(clerk.Objects()) {
			if o.Path == "" {
				continue
			}
			if err := e.lister.walkList(parents, definitions(e.options.Clerk, o)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	e.record.enter("organization_memberships")
	if err := e.lister.walkList(ctx, memberships(e.options.Clerk)); err != nil {
		return err
	}
	if err := e.deleter.deleteAbsent(ctx); err != nil {
		return err
	}
	if !e.options.DryRun {
		e.applier.purge(ctx)
	}
	return nil
}

// finish writes down how the run ended, also when its time is over.
func (e *engine) finish(ctx context.Context, err error) (Report, error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), endLimit, fmt.Errorf("the database did not answer within %s", endLimit))
	defer cancel()
	run, report := e.applier.run, &e.record.report
	if run != nil {
		if reloadErr := run.Reload(ctx); reloadErr == nil {
			e.record.count(run.Windows)
		} else if err == nil {
			err = reloadErr // unknown what it did: the next call finds it done and says so
		}
	}
	var lastErr error
	if report.LastEventAt, lastErr = e.options.Store.LastEventAt(ctx); err == nil {
		err = lastErr
	}
	e.record.sum()
	report.State, report.Reason = verdict(err)
	if run == nil {
		if report.State == Partial {
			report.State = "" // nothing has begun that could be resumed
		}
		return *report, err
	}
	var drift *int64
	if err == nil && !report.Initial {
		drift = &report.Drift
	}
	if endErr := run.End(ctx, string(report.State), report.Reason, drift, *report); endErr != nil {
		e.options.Logger.ErrorContext(ctx, "the end of the full sync is not recorded", "error", endErr)
		// Without its record a run is not complete, whatever was done.
		if err == nil {
			err = endErr
			report.State, report.Reason = verdict(err)
		}
	}
	return *report, err
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
