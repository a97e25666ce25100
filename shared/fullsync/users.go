package fullsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

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
	clerk   *clerk.Backend
	applier *applier
	deleter *deleter
	record  *record
	logger  *slog.Logger
	// workers is how many requests may be under way; windowSize and pageSize are smaller
	// in tests.
	workers, windowSize, pageSize int

	mu sync.Mutex
	// lastWindow is the last position that a window of users has.
	lastWindow int
}

// errNoCursor says that Clerk does not list users the way the windows need it.
var errNoCursor = errors.New("users are not listed by cursor and creation time")

// walkUsers reads the users, in windows of creation time where Clerk can do that,
// else as one list.
func (l *lister) walkUsers(ctx context.Context) error {
	list := users(l.clerk)
	if len(l.passWindows(list)) == 0 {
		err := l.walkUserWindows(ctx)
		if !errors.Is(err, errNoCursor) {
			return err
		}
		l.logger.WarnContext(ctx, "reading users by offset", "error", err)
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
	group, walking := errgroup.WithContext(ctx)
	group.SetLimit(l.workers)
	for _, window := range spans {
		group.Go(func() error { return l.walkWindows(walking, window) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return l.deleter.confirmUndated(ctx, users(l.clerk))
}

// planUsers cuts the creation times into spans, each of a window or several, or
// takes what was cut before. It returns those that are not finished.
func (l *lister) planUsers(ctx context.Context) ([]mirror.Window, error) {
	total, err := l.clerk.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return nil, fmt.Errorf("counting users: %w", err)
	}
	l.record.expect(mirror.Users, total)

	if l.applier.run != nil {
		var left []mirror.Window
		for _, w := range l.applier.run.Windows {
			if w.Object != mirror.Users || w.Phase != mirror.PhaseSpan {
				continue
			}
			l.lastWindow = max(l.lastWindow, w.Position)
			if w.Finished {
				l.record.advance(w.Listed)
			} else {
				left = append(left, w)
			}
		}
		if l.lastWindow > 0 {
			return left, nil
		}
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
		if err := l.applier.persist(ctx, func(ctx context.Context) error { return l.applier.run.Plan(ctx, mirror.Users, spans) }); err != nil {
			return nil, err
		}
	}
	l.lastWindow = len(windows)
	// What takes longest begins first.
	slices.SortStableFunc(windows, func(a, b mirror.Window) int {
		return cmp.Compare(cuts[b.Position-1].Users, cuts[a.Position-1].Users)
	})
	return windows, nil
}

// cut divides all time into spans to be read side by side.
func (l *lister) cut(ctx context.Context, total int64) ([]mirror.Cut, error) {
	if total <= leastWindows*int64(l.windowSize) {
		return []mirror.Cut{{Users: total}}, nil
	}
	run := l.applier.run
	var open []mirror.Cut
	if run != nil {
		open = run.Cuts
	}
	if len(open) == 0 {
		first, err := l.clerk.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Limit: 1})
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
		return l.clerk.CountUsers(ctx, within(span))
	}
	keep := func(ctx context.Context, cuts []mirror.Cut) error {
		if run == nil {
			return nil
		}
		return l.applier.persist(ctx, func(ctx context.Context) error { return run.KeepCuts(ctx, cuts) })
	}
	return cutUsers(ctx, open, count, keep, l.windowSize, l.workers)
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

// walkWindows reads a span by cursor, window by window, and reconciles each.
func (l *lister) walkWindows(ctx context.Context, w mirror.Window) error {
	list := l.cursor(w)
	pages, listed, held := l.applier.pages(ctx, w), make(map[string]clerk.Millis, l.windowSize), holding{}
	for !list.done {
		page, err := list.next(ctx)
		if err != nil {
			return pages.fail(err)
		}
		page = page.Select(func(item clerk.Item) bool {
			_, known := listed[item.ID]
			return contains(mirror.Span{From: w.From, To: w.To}, item.CreatedAt) && !known
		})
		for {
			n, closed, rest := fill(w, held, page.Items, l.windowSize)
			held.add(page.Items[:n])
			for _, item := range page.Items[:n] {
				listed[item.ID] = item.CreatedAt
			}
			if err := pages.apply(first(page, n)); err != nil {
				return err
			}
			if rest == nil {
				break
			}
			l.mu.Lock()
			l.lastWindow++
			rest.Position = l.lastWindow
			l.mu.Unlock()
			closed.Rest = rest
			if err := l.finishUsers(ctx, closed, pages, listed); err != nil {
				return err
			}
			w, page = *rest, after(page, n)
			pages, listed, held = l.applier.pages(ctx, w), make(map[string]clerk.Millis, l.windowSize), holding{}
		}
	}
	return l.finishUsers(ctx, w, pages, listed)
}

func (l *lister) finishUsers(ctx context.Context, w mirror.Window, pages *pages, listed map[string]clerk.Millis) error {
	tally, err := pages.wait()
	if err != nil {
		return err
	}
	w.Tally, w.Listed = tally, int64(len(listed))
	return l.deleter.finishWindow(ctx, users(l.clerk), w, listed)
}

// holding is what a window holds: how many users, when the last of them was created, and
// the highest id of that moment.
type holding struct {
	users   int
	last    clerk.Millis
	highest string
}

func (h *holding) add(users []clerk.Item) {
	h.users += len(users)
	for _, user := range users {
		if user.CreatedAt > h.last {
			h.last, h.highest = user.CreatedAt, ""
		}
		h.highest = max(h.highest, user.ID)
	}
}

// fill adds users, in the order of their creation, to a window that holds some. If
// that fills it, it returns how many belong to it, where it ends, and the window
// behind it. It ends before the last moment, which may go on in the next page; or,
// where that began in an earlier one, behind the id that was listed last, if that is the
// highest: of a moment that Clerk lists in another order such a window would suspect
// what is still to come, and so it goes on to the end of the moment. No order makes windows
// leave an id out between them: they go from the lowest to the highest, and on their way
// pass each.
func fill(w mirror.Window, held holding, users []clerk.Item, size int) (n int, closed mirror.Window, rest *mirror.Window) {
	if len(users) == 0 || held.users+len(users) < size {
		return len(users), w, nil
	}
	last := users[len(users)-1]
	rest = &mirror.Window{Object: w.Object, Phase: w.Phase, From: last.CreatedAt, To: w.To}
	if n = slices.IndexFunc(users, func(item clerk.Item) bool { return item.CreatedAt == last.CreatedAt }); n > 0 || max(w.From, held.last) < last.CreatedAt {
		w.To = last.CreatedAt
		return n, w, rest
	}
	if held.add(users); held.highest != last.ID {
		return len(users), w, nil
	}
	w.To, w.Through, rest.After = last.CreatedAt+1, last.ID, last.ID
	return len(users), w, rest
}

// first and after are the parts of a page up to the nth item and behind it.
func first(page clerk.Page, n int) clerk.Page {
	return page.Select(func(clerk.Item) bool { n--; return n >= 0 })
}

func after(page clerk.Page, n int) clerk.Page {
	return page.Select(func(clerk.Item) bool { n--; return n < 0 })
}

func contains(span mirror.Span, at clerk.Millis) bool {
	return at >= span.From && (span.To == 0 || at < span.To)
}
