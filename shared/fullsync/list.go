package fullsync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// stepsBack is how often a page is asked for further ahead because the list has moved
// more than pages overlap.
const stepsBack = 5

// overlaps are by how many objects neighbouring pages overlap, in each pass over
// a list: so many may be deleted between two requests without one being skipped.
var overlaps = []int{20, 100, 250}

// errMissed says that a pass over a list was not complete.
var errMissed = errors.New("the list does not add up")

// walkList reads a kind as one list, by offset and oldest first, window by window,
// again if it was not complete.
func (l *lister) walkList(ctx context.Context, k kind) error {
	pass, done := l.resumeList(k)
	if done {
		return l.deleter.confirmUndated(ctx, k)
	}
	var err error
	for _, overlap := range overlaps {
		pass.overlap = overlap
		if err = pass.walk(ctx); !errors.Is(err, errMissed) {
			break
		}
		l.options.Logger.WarnContext(ctx, "reading a list again", "object", k.object, "error", err)
		pass = l.pass(k, pass.window.Pass+1)
	}
	switch {
	case err == nil:
		return l.deleter.confirmUndated(ctx, k)
	case l.skipped(ctx, k.object, err):
		return nil
	case errors.Is(err, errMissed):
		return fmt.Errorf("%w: %s, %d times: %w", ErrIncomplete, k.phase, len(overlaps), err)
	}
	return fmt.Errorf("reading %s: %w", k.phase, err)
}

// skipped tells by an error that the instance does not have a kind, and notes that.
func (l *lister) skipped(ctx context.Context, object mirror.Object, err error) bool {
	if !errors.Is(err, clerk.ErrNotEnabled) || object == mirror.Users {
		return false
	}
	l.options.Logger.InfoContext(ctx, "skipped", "object", object, "error", err)
	l.record.update(object, func(r *ObjectReport) { r.Skipped = "not_enabled" })
	return true
}

// windows are those that the run has from earlier calls, in the order of passes and positions.
func (l *lister) windows(object mirror.Object, phase mirror.Phase) (windows []mirror.Window) {
	if l.applier.run == nil {
		return nil
	}
	for _, w := range l.applier.run.Windows {
		if w.Object == object && w.Phase == phase {
			windows = append(windows, w)
		}
	}
	return windows
}

func (l *lister) pass(k kind, number int) *listPass {
	return &listPass{lister: l, kind: k, window: mirror.Window{Object: k.object, Phase: mirror.PhaseList, Pass: number}}
}

// resumeList returns the pass to go on with, and whether there is nothing left of it.
func (l *lister) resumeList(k kind) (at *listPass, done bool) {
	at = l.pass(k, 1)
	for _, w := range l.windows(k.object, mirror.PhaseList) {
		if w.Pass > at.window.Pass {
			at, done = l.pass(k, w.Pass), false
		}
		if w.Finished {
			at.listed, at.start, done = at.listed+w.Listed, w.NextOffset, w.To == 0
		} else {
			at.window.Position, at.window.From, at.window.After = w.Position, w.From, w.After
		}
	}
	l.record.advance(at.listed)
	if done {
		l.record.expect(k.object, at.listed)
	}
	return at, done
}

// listPass is one pass over a list.
type listPass struct {
	lister  *lister
	kind    kind
	overlap int
	// start is where the list goes on, and window what is to be filled there.
	start  int64
	window mirror.Window
	// listed counts what the finished windows of the pass hold.
	listed int64

	// total is what Clerk last said that the list holds.
	total int64
}

func (l *listPass) walk(ctx context.Context) error {
	if l.lister.applier.run == nil {
		// Nothing was written, and so all of it is found once more.
		l.lister.record.update(l.kind.object, func(r *ObjectReport) { r.Listed, r.Tally = 0, mirror.Tally{} })
	}
	return l.lister.walkWindows(ctx, l.window, reading{
		kind: l.kind, pages: l.read(ctx),
		belongs:  func(w mirror.Window, item clerk.Item) bool { return !passed(w, item) },
		position: func(w mirror.Window) int { return w.Position + 1 },
		// A window that ends within a moment takes lower ids of it for listed before. If others
		// come, the list is read again without such windows.
		whole: l.window.Pass > 1,
		complete: func(listed int64) error {
			if found := l.listed + listed; found < l.total {
				return fmt.Errorf("%w: Clerk counts %d and listed %d of them", errMissed, l.total, found)
			}
			return nil
		},
	})
}

// passed tells whether an object lies before a window.
func passed(w mirror.Window, item clerk.Item) bool {
	return item.CreatedAt < w.From || item.CreatedAt == w.From && item.ID <= w.After
}

// listedPage is a page and where it was in the list.
type listedPage struct {
	clerk.Page
	offset int64
}

func (p listedPage) end() int64 { return p.offset + int64(len(p.Items)) }

// read yields the pages of the list in order, none of them empty, each sharing
// something with the one before, while the next ones are on their way. It ends
// behind the last object, wherever that is by then.
func (l *listPass) read(ctx context.Context) iter.Seq2[listedPage, error] {
	return func(yield func(listedPage, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		previous, err := l.open(ctx)
		if err != nil {
			yield(listedPage{}, err)
			return
		}
		if len(previous.Items) == 0 {
			return
		}
		// Clerk may give fewer at a time than it was asked for.
		size := l.lister.options.pageSize
		if previous.end() < l.total {
			size = len(previous.Items)
		}
		overlap := min(l.overlap, size/2)
		step := int64(size - overlap)
		if !yield(previous, nil) {
			return
		}
		var queue []func() (listedPage, error)
		behind := 0
		for next := previous.offset + step; ; {
			for ; len(queue) < l.lister.options.Workers && next < l.total; next += step {
				queue = append(queue, l.ahead(ctx, next, size))
			}
			if len(queue) == 0 {
				if previous.end() >= l.total {
					return
				}
				// The list has grown, or pages are shorter than they were.
				next = previous.end() - int64(overlap)
				queue = append(queue, l.ahead(ctx, next, size))
				next += step
			}
			page, err := queue[0]()
			queue = queue[1:]
			if err == nil {
				page, err = l.join(ctx, previous, page, size)
			}
			if err != nil {
				yield(listedPage{}, err)
				return
			}
			l.total = page.Total
			if previous.holds(page) {
				// The list has become shorter, or pretends to go on.
				if behind++; behind > stepsBack+l.lister.options.Workers {
					yield(listedPage{}, fmt.Errorf("%w: Clerk counts %d and lists nothing behind %d", errMissed, l.total, previous.end()))
					return
				}
				continue
			}
			if !yield(page, nil) {
				return
			}
			previous, behind = page, 0
		}
	}
}

// holds tells whether a page has nothing that p has not.
func (p listedPage) holds(page listedPage) bool {
	ids := p.ids()
	return !slices.ContainsFunc(page.Items, func(item clerk.Item) bool { return !ids[item.ID] })
}

// open reads the first page. Where a window is to go on it begins before the
// window, to be sure that nothing has moved out of sight.
func (l *listPass) open(ctx context.Context) (listedPage, error) {
	for offset := max(0, l.start-int64(l.overlap)); ; {
		page, err := l.fetch(ctx, offset, l.lister.options.pageSize)
		if err != nil {
			return listedPage{}, err
		}
		if offset == 0 || len(page.Items) > 0 && passed(l.window, page.Items[0]) {
			l.total = page.Total
			l.lister.record.expect(l.kind.object, l.total)
			return page, nil
		}
		offset = max(0, offset-int64(l.lister.options.pageSize)/2)
	}
}

// ahead begins to read a page, while others are worked on, and returns what waits for it.
func (l *listPass) ahead(ctx context.Context, offset int64, limit int) func() (listedPage, error) {
	read := sync.OnceValues(func() (listedPage, error) { return l.fetch(ctx, offset, limit) })
	go read() //nolint:errcheck // told to who waits
	return read
}

func (l *listPass) fetch(ctx context.Context, offset int64, limit int) (listedPage, error) {
	page, err := l.kind.list(ctx, int(offset), limit)
	if err != nil {
		return listedPage{}, err
	}
	if page.Total < 0 {
		return listedPage{}, fmt.Errorf("%w: Clerk does not say how long it is", errMissed)
	}
	if !slices.IsSortedFunc(page.Items, func(a, b clerk.Item) int { return int(a.CreatedAt - b.CreatedAt) }) {
		return listedPage{}, fmt.Errorf("%w: it is not in the order of creation that it was asked for in", errMissed)
	}
	return listedPage{page, offset}, nil
}

// join makes sure that nothing lies between two pages: they share an object, or
// the second is asked for again further ahead.
func (l *listPass) join(ctx context.Context, previous, page listedPage, size int) (listedPage, error) {
	ids := previous.ids()
	for range stepsBack {
		if slices.ContainsFunc(page.Items, func(item clerk.Item) bool { return ids[item.ID] }) {
			return page, nil
		}
		offset := max(0, page.offset-int64(size)/2)
		var err error
		if page, err = l.fetch(ctx, offset, size); err != nil {
			return listedPage{}, err
		}
	}
	return listedPage{}, fmt.Errorf("%w: it moves faster than it can be read", errMissed)
}

func (p listedPage) ids() map[string]bool {
	ids := make(map[string]bool, len(p.Items))
	for _, item := range p.Items {
		ids[item.ID] = true
	}
	return ids
}
