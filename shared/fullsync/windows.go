package fullsync

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// reading is how the windows of a list are read.
type reading struct {
	kind  kind
	pages iter.Seq2[listedPage, error]
	// belongs tells what belongs to a window, or to one behind it, from what was listed before.
	belongs func(w mirror.Window, item clerk.Item) bool
	// position is where the window behind one is remembered.
	position func(w mirror.Window) int
	// whole says that windows are to have whole moments.
	whole bool
	// complete tells, given how many were listed, what is wrong with the list.
	complete func(listed int64) error
}

// walkWindows reads a list, window by window, and reconciles each. Each is remembered with
// the one behind it, so that a call which is stopped is gone on with there.
func (l *lister) walkWindows(ctx context.Context, w mirror.Window, r reading) error {
	var pages *pages
	// ended is what the window before this one had, if it was read here.
	var listed, ended map[string]clerk.Millis
	var held holding
	open := func() {
		ended = listed
		pages, listed, held = l.applier.pages(ctx, w), make(map[string]clerk.Millis, l.options.windowSize), holding{}
	}
	finish := func(w mirror.Window) (err error) {
		w.Listed = int64(len(listed))
		if w.Tally, err = pages.wait(); err != nil {
			return err
		}
		return l.deleter.finishWindow(ctx, r.kind, w, listed)
	}
	var before int64
	var late string
	open()
	for page, err := range r.pages {
		if err != nil {
			return pages.fail(err)
		}
		// Of pages that overlap everything is applied once.
		left := page.Select(func(item clerk.Item) bool {
			if _, known := listed[item.ID]; known || r.belongs(w, item) {
				return !known
			}
			if _, known := ended[item.ID]; ended != nil && !known && item.CreatedAt == w.From {
				late = item.ID
			}
			return false
		})
		if late != "" {
			return pages.fail(fmt.Errorf("%w: %s comes behind higher ids of its moment", errMissed, late))
		}
		for {
			n, closed, rest := fill(w, held, left.Items, l.options.windowSize, r.whole)
			held.add(left.Items[:n])
			for _, item := range left.Items[:n] {
				listed[item.ID] = item.CreatedAt
			}
			if err := pages.apply(first(left, n)); err != nil {
				return err
			}
			if rest == nil {
				break
			}
			rest.Position = r.position(w)
			closed.Rest, closed.NextOffset = rest, page.offset
			if err := finish(closed); err != nil {
				return err
			}
			before += int64(len(listed))
			w, left = *rest, after(left, n)
			open()
		}
	}
	if err := r.complete(before + int64(len(listed))); err != nil {
		return pages.fail(err)
	}
	return finish(w)
}

// holding is what a window holds: how many objects, when the last of them was created, and
// the highest id of that moment.
type holding struct {
	objects int
	last    clerk.Millis
	highest string
}

func (h *holding) add(items []clerk.Item) {
	h.objects += len(items)
	for _, item := range items {
		if item.CreatedAt > h.last {
			h.last, h.highest = item.CreatedAt, ""
		}
		h.highest = max(h.highest, item.ID)
	}
}

// fill adds objects, in the order of their creation, to a window that holds some. If that
// fills it, it returns how many belong to it, where it ends, and the window behind it. It
// ends before the last moment, which may go on in the next page; or, where that began in an
// earlier one, behind the id that was listed last, if that is the highest: of a moment that
// Clerk lists in another order such a window would suspect what is still to come, and so it
// goes on to the end of the moment, as it does if windows are to have whole moments. No order
// makes windows leave an id out between them: they go from the lowest to the highest, and on
// their way pass each.
func fill(w mirror.Window, held holding, listed []clerk.Item, size int, whole bool) (n int, closed mirror.Window, rest *mirror.Window) {
	if len(listed) == 0 || held.objects+len(listed) < size {
		return len(listed), w, nil
	}
	last := listed[len(listed)-1]
	rest = &mirror.Window{Object: w.Object, Phase: w.Phase, Pass: w.Pass, From: last.CreatedAt, To: w.To}
	if n = slices.IndexFunc(listed, func(item clerk.Item) bool { return item.CreatedAt == last.CreatedAt }); n > 0 || max(w.From, held.last) < last.CreatedAt {
		w.To = last.CreatedAt
		return n, w, rest
	}
	if held.add(listed); whole || held.highest != last.ID {
		return len(listed), w, nil
	}
	w.To, w.Through, rest.After = last.CreatedAt+1, last.ID, last.ID
	return len(listed), w, rest
}

// first and after are the parts of a page up to the nth item and behind it.
func first(page clerk.Page, n int) clerk.Page {
	return page.Select(func(clerk.Item) bool { n--; return n >= 0 })
}

func after(page clerk.Page, n int) clerk.Page {
	return page.Select(func(clerk.Item) bool { n--; return n < 0 })
}
