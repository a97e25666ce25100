package fullsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// windowSize is how many users a window is cut to, and how many
	// organizations or memberships make one.
	windowSize = 5000
	// pageSize is the most that Clerk lists at once.
	pageSize = clerk.MaxLimit
	// fan is into how many parts a span is cut at a time.
	fan = 8
	// maxCounts bounds the questions that cutting may cost; what is uncut then
	// is walked as it is.
	maxCounts = 500
)

// errNoCursor says that Clerk does not list users the way the windows need it.
var errNoCursor = errors.New("users are not listed by cursor and creation time")

// walkUsers reads the users, in windows of creation time where Clerk can do that,
// else as one list.
func (e *engine) walkUsers(ctx context.Context) error {
	list := e.users()
	if !e.listedBefore(list) {
		err := e.walkUserWindows(ctx)
		if !errors.Is(err, errNoCursor) {
			return err
		}
		e.Logger.WarnContext(ctx, "reading users by offset", "error", err)
		list.firstPass = 1
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
		group.Go(func() error { return e.walkWindow(walking, window) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return e.confirmUndated(ctx, e.users())
}

// planUsers cuts the creation times into windows, or takes what was cut before.
// It returns those that are not finished.
func (e *engine) planUsers(ctx context.Context) ([]mirror.Window, error) {
	total, err := e.Clerk.CountUsers(ctx, clerk.UserQuery{})
	if err != nil {
		return nil, fmt.Errorf("counting users: %w", err)
	}
	e.expect(mirror.Users, total)

	if e.run != nil {
		var planned, left []mirror.Window
		for _, w := range e.run.Windows {
			if w.Object == mirror.Users && w.Position < passStride {
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
			}
			return left, nil
		}
	}

	spans, err := e.cut(ctx, total)
	if err != nil {
		return nil, err
	}
	if e.run != nil {
		if err := e.persist(ctx, func(ctx context.Context) error { return e.run.Plan(ctx, mirror.Users, spans) }); err != nil {
			return nil, err
		}
	}
	windows := make([]mirror.Window, len(spans))
	for i, span := range spans {
		// Postgres counts them from one.
		windows[i] = mirror.Window{Object: mirror.Users, Position: i + 1, From: span.From, To: span.To}
	}
	return windows, nil
}

// counted is a span and how many users were created in it.
type counted struct {
	mirror.Span
	users int64
}

// cut divides all time into spans of about windowSize users each.
func (e *engine) cut(ctx context.Context, total int64) ([]mirror.Span, error) {
	if total <= int64(e.windowSize) {
		return []mirror.Span{{}}, nil
	}
	first, err := e.Clerk.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("looking for the first user: %w", err)
	}
	if len(first.Items) == 0 {
		return []mirror.Span{{}}, nil
	}
	last := clerk.MillisOf(first.RequestedAt)
	c := &cutter{engine: e}
	spans, err := c.cut(ctx, counted{mirror.Span{From: first.Items[0].CreatedAt, To: max(last, first.Items[0].CreatedAt+1)}, total})
	if err != nil {
		return nil, err
	}
	return merge(spans, int64(e.windowSize)), nil
}

// cutter divides spans, and counts its questions.
type cutter struct {
	*engine
	mu    sync.Mutex
	asked int
}

func (c *cutter) mayAsk(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked+n > maxCounts {
		return false
	}
	c.asked += n
	return true
}

// cut divides one span until its parts are small enough, or a millisecond long.
// What Clerk has made since is not asked for again: the last part counts as what
// the others leave.
func (c *cutter) cut(ctx context.Context, span counted) ([]counted, error) {
	width := int64(span.To - span.From)
	size := int64(c.windowSize)
	parts := min(max(2, min(fan, (span.users+size-1)/size)), width)
	if span.users <= size || parts < 2 || !c.mayAsk(int(parts)-1) {
		return []counted{span}, nil
	}
	pieces := make([]counted, parts)
	for i := range pieces {
		pieces[i].From = span.From + clerk.Millis(width*int64(i)/parts)
		pieces[i].To = span.From + clerk.Millis(width*int64(i+1)/parts)
	}
	counting, asking := errgroup.WithContext(ctx)
	for i := range pieces[:parts-1] {
		counting.Go(func() (err error) {
			pieces[i].users, err = c.Clerk.CountUsers(asking, within(pieces[i].Span))
			return err
		})
	}
	if err := counting.Wait(); err != nil {
		return nil, fmt.Errorf("counting users of a span: %w", err)
	}
	rest := span.users
	for _, piece := range pieces[:parts-1] {
		rest -= piece.users
	}
	pieces[parts-1].users = max(0, rest)

	divided := make([][]counted, parts)
	dividing, deeper := errgroup.WithContext(ctx)
	for i, piece := range pieces {
		dividing.Go(func() (err error) {
			divided[i], err = c.cut(deeper, piece)
			return err
		})
	}
	if err := dividing.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(divided...), nil
}

// merge puts neighbours together while they make no more than a window, and
// opens both ends: rows of the copy may lie outside of what Clerk has.
func merge(spans []counted, size int64) []mirror.Span {
	var merged []mirror.Span
	var users int64
	for _, span := range spans {
		if len(merged) > 0 && users+span.users <= size {
			merged[len(merged)-1].To = span.To
			users += span.users
			continue
		}
		merged = append(merged, span.Span)
		users = span.users
	}
	merged[0].From, merged[len(merged)-1].To = 0, 0
	return merged
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

// walkWindow lists one window by cursor, applies it, and reconciles it.
func (e *engine) walkWindow(ctx context.Context, w mirror.Window) error {
	query := within(mirror.Span{From: w.From, To: w.To})
	query.OrderBy, query.Limit = "+created_at", e.pageSize
	seen := make(map[string]bool, e.windowSize)
	span := mirror.Span{From: w.From, To: w.To}
	pages := e.pages(ctx, w)
	for {
		page, err := e.Clerk.Users(ctx, query)
		if errors.Is(err, clerk.ErrUnprocessable) {
			err = fmt.Errorf("%w: %w", errNoCursor, err)
		}
		if err == nil && !follows(page, query, seen) {
			err = fmt.Errorf("%w: it ignores the cursor or the creation times asked for", errNoCursor)
		}
		if err != nil {
			return pages.fail(err)
		}
		if len(page.Items) == 0 {
			break
		}
		for _, item := range page.Items {
			seen[item.ID] = true
		}
		own := page.Select(func(item clerk.Item) bool { return contains(span, item.CreatedAt) })
		w.Listed += int64(len(own.Items))
		if err := pages.apply(own); err != nil {
			return err
		}
		// A page may be short because Clerk gives fewer at a time: only an empty
		// one is certainly the end, or a short one behind a longer one.
		if len(page.Items) < query.Limit && query.StartingAfter != "" && len(page.Items) < pages.longest {
			break
		}
		pages.longest = max(pages.longest, len(page.Items))
		query.StartingAfter = page.Items[len(page.Items)-1].ID
	}
	tally, err := pages.wait()
	if err != nil {
		return err
	}
	w.Tally = tally
	return e.finishWindow(ctx, e.users(), w, seen)
}

// follows tells whether a page is one that was asked for: in order, within the
// span, and nothing of it listed before.
func follows(page clerk.Page, query clerk.UserQuery, seen map[string]bool) bool {
	previous := clerk.Millis(0)
	for _, item := range page.Items {
		if item.CreatedAt < previous || seen[item.ID] ||
			query.CreatedAfter != 0 && item.CreatedAt < query.CreatedAfter ||
			query.CreatedBefore != 0 && item.CreatedAt > query.CreatedBefore {
			return false
		}
		previous = item.CreatedAt
	}
	return true
}

func contains(span mirror.Span, at clerk.Millis) bool {
	return at >= span.From && (span.To == 0 || at < span.To)
}
