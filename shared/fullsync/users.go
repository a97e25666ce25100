package fullsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// windowSize is how many users, organizations or memberships make a window:
	// what is compared and remembered at a time.
	windowSize = 5000
	// pageSize is the most that Clerk lists at once.
	pageSize = clerk.MaxLimit
)

// lister reads what Clerk has, kind by kind and window by window, and hands the pages to
// be applied and the windows to be compared.
type lister struct {
	options Options
	applier *applier
	deleter *deleter
	record  *record
	// lastWindow is the last position that a window of users has.
	lastWindow atomic.Int64
}

// errNoCursor says that Clerk does not list users the way the windows need it.
var errNoCursor = errors.New("users are not listed by cursor and creation time")

// walkUsers reads the users, in windows of creation time where Clerk can do that,
// else as one list.
func (l *lister) walkUsers(ctx context.Context) error {
	list := users(l.options.Clerk)
	if len(l.windows(list.object, mirror.PhaseList)) == 0 {
		err := l.walkUserWindows(ctx)
		if !errors.Is(err, errNoCursor) {
			return err
		}
		l.options.Logger.WarnContext(ctx, "reading users by offset", "error", err)
	}
	l.record.enter("users")
	return l.walkList(ctx, list)
}

func (l *lister) walkUserWindows(ctx context.Context) error {
	l.record.enter("counting")
	spans, err := l.planUsers(ctx)
	if err != nil {
		return err
	}
	l.record.enter("users")
	walking, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.SetLimit(l.options.Workers)
	var noCursor atomic.Bool
	for _, window := range spans {
		group.Go(func() error {
			if noCursor.Load() {
				return nil
			}
			err := l.walkSpan(walking, window)
			if errors.Is(err, errNoCursor) {
				// Pages of other spans are written to their end: see pages.fail.
				noCursor.Store(true)
			} else if err != nil {
				stop()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return l.deleter.confirmUndated(ctx, users(l.options.Clerk))
}

// planUsers cuts the creation times into spans, each of a window or several, or
// takes what was cut before. It returns those that are not finished.
func (l *lister) planUsers(ctx context.Context) ([]mirror.Window, error) {
	total, err := l.options.Clerk.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return nil, fmt.Errorf("counting users: %w", err)
	}
	l.record.expect(mirror.Users, total)

	if planned := l.windows(mirror.Users, mirror.PhaseSpan); len(planned) > 0 {
		for _, w := range planned {
			l.record.advance(w.Listed)
		}
		l.lastWindow.Store(int64(planned[len(planned)-1].Position))
		return slices.DeleteFunc(planned, func(w mirror.Window) bool { return w.Finished }), nil
	}

	cuts, err := l.cut(ctx, total)
	if err != nil {
		return nil, err
	}
	spans := make([]mirror.Span, len(cuts))
	windows := make([]mirror.Window, len(cuts))
	for i, c := range cuts {
		spans[i] = mirror.Span{From: c.From, To: c.To}
		// Postgres counts them from one.
		windows[i] = mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: i + 1, From: c.From, To: c.To}
	}
	if l.applier.run != nil {
		if err := l.applier.run.Plan(ctx, mirror.Users, spans); err != nil {
			return nil, err
		}
	}
	l.lastWindow.Store(int64(len(windows)))
	// What takes longest begins first.
	slices.SortStableFunc(windows, func(a, b mirror.Window) int {
		return cmp.Compare(cuts[b.Position-1].Users, cuts[a.Position-1].Users)
	})
	return windows, nil
}

// cut divides all time into spans to be read side by side.
func (l *lister) cut(ctx context.Context, total int64) ([]mirror.Cut, error) {
	if total <= leastWindows*int64(l.options.windowSize) {
		return []mirror.Cut{{Users: total}}, nil
	}
	run := l.applier.run
	var open []mirror.Cut
	if run != nil {
		open = run.Cuts
	}
	if len(open) == 0 {
		first, err := l.options.Clerk.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("looking for the first user: %w", err)
		}
		if len(first.Items) == 0 {
			return []mirror.Cut{{Users: total}}, nil
		}
		from := first.Items[0].CreatedAt
		open = []mirror.Cut{{From: from, To: max(clerk.MillisOf(first.RequestedAt), from+1), Users: total}}
	}
	count := func(ctx context.Context, span mirror.Span) (int64, error) {
		return l.options.Clerk.CountUsers(ctx, within(span))
	}
	keep := func(ctx context.Context, cuts []mirror.Cut) error {
		if run == nil {
			return nil
		}
		return run.KeepCuts(ctx, cuts)
	}
	return cutUsers(ctx, open, count, keep, l.options.windowSize, l.options.Workers)
}

// within asks for a span and a millisecond on both sides, because Clerk does not
// say whether its bounds are part of what they bound.
func within(span mirror.Span) clerk.UserQuery {
	var q clerk.UserQuery
	if span.From != 0 {
		q.CreatedAfter = span.From - 1
	}
	if span.To != 0 {
		q.CreatedBefore = span.To + 1
	}
	return q
}

// walkSpan reads a span by cursor.
func (l *lister) walkSpan(ctx context.Context, w mirror.Window) error {
	return l.walkWindows(ctx, w, reading{
		kind: users(l.options.Clerk),
		pages: func(yield func(listedPage, error) bool) {
			for list := l.cursor(w); !list.done; {
				page, err := list.next(ctx)
				if !yield(listedPage{Page: page}, err) || err != nil {
					return
				}
			}
		},
		belongs: func(w mirror.Window, item clerk.Item) bool {
			return item.CreatedAt >= w.From && (w.To == 0 || item.CreatedAt < w.To)
		},
		position: func(mirror.Window) int { return int(l.lastWindow.Add(1)) },
		complete: func(int64) error { return nil },
	})
}
