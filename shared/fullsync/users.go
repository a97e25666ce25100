package fullsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

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

// errNoCursor says that Clerk does not list users the way the windows need it.
var errNoCursor = errors.New("users are not listed by cursor and creation time")

// walkUsers reads the users, in windows of creation time where Clerk can do that,
// else as one list.
func (e *engine) walkUsers(ctx context.Context) error {
	list := e.users()
	if len(e.passWindows(list)) == 0 {
		err := e.walkUserWindows(ctx)
		if !errors.Is(err, errNoCursor) {
			return err
		}
		e.Logger.WarnContext(ctx, "reading users by offset", "error", err)
	}
	e.enter("users")
	return e.walkList(ctx, list)
}

func (e *engine) walkUserWindows(ctx context.Context) error {
	e.enter("counting")
	spans, err := e.planUsers(ctx)
	if err != nil {
		return err
	}
	e.enter("users")
	group, walking := errgroup.WithContext(ctx)
	group.SetLimit(e.Workers)
	for _, window := range spans {
		group.Go(func() error { return e.walkWindows(walking, window) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return e.confirmUndated(ctx, e.users())
}

// planUsers cuts the creation times into spans, each of a window or several, or
// takes what was cut before. It returns those that are not finished.
func (e *engine) planUsers(ctx context.Context) ([]mirror.Window, error) {
	total, err := e.Clerk.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return nil, fmt.Errorf("counting users: %w", err)
	}
	e.expect(mirror.Users, total)

	if e.run != nil {
		var planned, left []mirror.Window
		for _, w := range e.run.Windows {
			if w.Object == mirror.Users && w.Phase == mirror.PhaseSpan {
				planned = append(planned, w)
				if !w.Finished {
					left = append(left, w)
				}
			}
		}
		if planned != nil {
			for _, w := range planned {
				if w.Finished {
					e.advance(w.Listed)
				}
				e.lastWindow = max(e.lastWindow, w.Position)
			}
			return left, nil
		}
	}

	cuts, err := e.cut(ctx, total)
	if err != nil {
		return nil, err
	}
	spans := make([]mirror.Span, len(cuts))
	windows := make([]mirror.Window, len(cuts))
	for i, c := range cuts {
		spans[i] = c.Span
		// Postgres counts them from one.
		windows[i] = mirror.Window{Object: mirror.Users, Phase: mirror.PhaseSpan, Position: i + 1, From: c.From, To: c.To}
	}
	if e.run != nil {
		if err := e.persist(ctx, func(ctx context.Context) error { return e.run.Plan(ctx, mirror.Users, spans) }); err != nil {
			return nil, err
		}
	}
	e.lastWindow = len(windows)
	// What takes longest begins first.
	slices.SortStableFunc(windows, func(a, b mirror.Window) int {
		return cmp.Compare(cuts[b.Position-1].users, cuts[a.Position-1].users)
	})
	return windows, nil
}

// cut divides all time into spans to be read side by side.
func (e *engine) cut(ctx context.Context, total int64) ([]counted, error) {
	if total <= leastWindows*int64(e.windowSize) {
		return []counted{{users: total}}, nil
	}
	first, err := e.Clerk.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("looking for the first user: %w", err)
	}
	if len(first.Items) == 0 {
		return []counted{{users: total}}, nil
	}
	from := first.Items[0].CreatedAt
	whole := counted{mirror.Span{From: from, To: max(clerk.MillisOf(first.RequestedAt), from+1)}, total}
	count := func(ctx context.Context, span mirror.Span) (int64, error) {
		return e.Clerk.CountUsers(ctx, within(span))
	}
	spans, _, err := cutUsers(ctx, whole, count, e.windowSize, e.Workers)
	return spans, err
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
func (e *engine) walkWindows(ctx context.Context, w mirror.Window) error {
	list := e.cursor(w)
	pages, listed := e.pages(ctx, w), make(map[string]bool, e.windowSize)
	for !list.done {
		page, err := list.next(ctx)
		if err != nil {
			return pages.fail(err)
		}
		page = page.Select(func(item clerk.Item) bool {
			return contains(mirror.Span{From: w.From, To: w.To}, item.CreatedAt) && !listed[item.ID]
		})
		for {
			n, closed, rest := fill(w, len(listed), page.Items, e.windowSize)
			for _, item := range page.Items[:n] {
				listed[item.ID] = true
			}
			if err := pages.apply(first(page, n)); err != nil {
				return err
			}
			if rest == nil {
				break
			}
			e.mu.Lock()
			e.lastWindow++
			rest.Position = e.lastWindow
			e.mu.Unlock()
			closed.Rest = rest
			if err := e.finishUsers(ctx, closed, pages, listed); err != nil {
				return err
			}
			w, page = *rest, after(page, n)
			pages, listed = e.pages(ctx, w), make(map[string]bool, e.windowSize)
		}
	}
	return e.finishUsers(ctx, w, pages, listed)
}

func (e *engine) finishUsers(ctx context.Context, w mirror.Window, pages *pages, listed map[string]bool) error {
	tally, err := pages.wait()
	if err != nil {
		return err
	}
	w.Tally, w.Listed = tally, int64(len(listed))
	return e.finishWindow(ctx, e.users(), w, listed)
}

// fill adds users, in the order of their creation, to a window that holds some. If
// that fills it, it returns how many belong to it, where it ends, and the window
// behind it. It ends before the last moment, which may go on in the next page; or,
// where it has no other moment, behind the id that was listed last. In whichever
// order Clerk lists the users of one moment, the windows that end so leave no id out
// between them: they go from the lowest to the highest, and on their way pass each.
func fill(w mirror.Window, held int, users []clerk.Item, size int) (n int, closed mirror.Window, rest *mirror.Window) {
	if len(users) == 0 || held+len(users) < size {
		return len(users), w, nil
	}
	last := users[len(users)-1]
	rest = &mirror.Window{Object: w.Object, Phase: w.Phase, From: last.CreatedAt, To: w.To}
	if last.CreatedAt > w.From {
		w.To = last.CreatedAt
		return slices.IndexFunc(users, func(item clerk.Item) bool { return item.CreatedAt == last.CreatedAt }), w, rest
	}
	w.To, w.Through, rest.After = w.From+1, last.ID, last.ID
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
