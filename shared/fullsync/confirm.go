package fullsync

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// confirmBatch is how many suspects one question names; Clerk allows a
	// hundred ids, and the others are for witnesses.
	confirmBatch = 100 - beside
	// beside is how many witnesses one question names, and witnesses of how many some
	// must be found: they may be gone since they were listed.
	beside, witnesses = 5, 15
	// suspectsAtOnce is how many suspects are looked for, held and noted as gone at a
	// time; mostSent is how many ids that were listed one statement is sent.
	suspectsAtOnce = 1000
	mostSent       = windowSize + pageSize
)

// deleter finds out what is gone from Clerk, and deletes that if it is plausible.
type deleter struct {
	options Options
	applier *applier
	record  *record

	mu sync.Mutex
	// absent is what a dry run would delete.
	absent map[mirror.Object]map[string]mirror.Suspect
	// known are some objects of each kind that Clerk has listed, the last ones first.
	known map[mirror.Object][]string
}

// ask returns those of some suspects that Clerk has, asked for beside witnesses. Those may
// be gone themselves: others are tried, and an answer that knows none of them proves
// nothing. Without any, what is not found is not proved to be gone (see [deleter.plausible]).
func (d *deleter) ask(ctx context.Context, k kind, suspects, known []mirror.Suspect) (clerk.Page, error) {
	if len(known) == 0 {
		return k.find(ctx, suspects)
	}
	for some := range slices.Chunk(known, beside) {
		page, err := k.find(ctx, slices.Concat(some, suspects))
		if err != nil {
			return clerk.Page{}, err
		}
		if slices.ContainsFunc(page.Items, func(item clerk.Item) bool {
			return slices.ContainsFunc(some, func(s mirror.Suspect) bool { return s.ID == item.ID })
		}) {
			return page, nil
		}
	}
	return clerk.Page{}, fmt.Errorf("%w: Clerk was asked for %d objects of the kind %s that it should have, such as %s, and found none of them, so that what it does not find is not known to be gone",
		ErrIncomplete, len(known), k.object, known[0].ID)
}

// witnessesOf are objects that Clerk should have, for questions about what is missing from
// a span.
func (d *deleter) witnessesOf(ctx context.Context, object mirror.Object, span mirror.Span) (known []mirror.Suspect, err error) {
	d.mu.Lock()
	listed := slices.Clone(d.known[object])
	most := witnesses + len(d.absent[object]) // of which the store knows nothing
	d.mu.Unlock()
	known, err = d.options.Store.Witnesses(ctx, d.record.report.RunID, object, listed, span, most)
	known = d.withoutAbsent(object, known)
	return known[:min(witnesses, len(known))], err
}

// know keeps some objects that Clerk has, the last ones first.
func (d *deleter) know(object mirror.Object, ids iter.Seq[string]) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var known []string
	for id := range ids {
		if known = append(known, id); len(known) == witnesses {
			break
		}
	}
	for _, id := range d.known[object] {
		if len(known) < witnesses && !slices.Contains(known, id) {
			known = append(known, id)
		}
	}
	d.known[object] = known
}

// finishWindow compares a window that was read with the copy and records it.
// listed are the ids that Clerk listed within the window's span, at least, and when each
// was created.
func (d *deleter) finishWindow(ctx context.Context, k kind, w mirror.Window, listed map[string]clerk.Millis) error {
	d.know(k.object, maps.Keys(listed))
	if d.applier.run == nil {
		d.mu.Lock()
		for id := range listed {
			delete(d.absent[k.object], id)
		}
		d.mu.Unlock()
	}
	// What has just been made may be on its way.
	limit := clerk.MillisOf(d.applier.settled)
	for span, ids := range parts(w.Span(), listed) {
		if span.To == 0 || span.To > limit {
			young := span
			if limit > young.From {
				young.From, young.After = limit, ""
			}
			for unseen, err := range d.suspects(ctx, k, young, ids) {
				if err != nil {
					return err
				}
				if len(unseen) > 0 {
					w.Unseen = limit
					break
				}
			}
			span.To, span.Through = limit, ""
		}
		if span.From >= span.To {
			continue
		}
		for suspects, err := range d.suspects(ctx, k, span, ids) {
			if err == nil {
				err = d.confirm(ctx, k, &w, suspects)
			}
			if err != nil {
				return err
			}
		}
	}
	return d.finish(ctx, w)
}

// parts cuts a span in which very much was listed, as within a moment that no window could
// end in, into spans of which fewer ids are sent.
func parts(span mirror.Span, listed map[string]clerk.Millis) iter.Seq2[mirror.Span, []string] {
	ids := slices.SortedFunc(maps.Keys(listed), func(a, b string) int {
		return cmp.Or(cmp.Compare(listed[a], listed[b]), cmp.Compare(a, b))
	})
	return func(yield func(mirror.Span, []string) bool) {
		for len(ids) > mostSent {
			last := ids[mostSent-1]
			part := span
			part.To, part.Through = listed[last]+1, last
			if !yield(part, ids[:mostSent]) {
				return
			}
			span.From, span.After, ids = listed[last], last, ids[mostSent:]
		}
		yield(span, ids)
	}
}

// suspects are the live rows of a span that were not listed, some at a time.
func (d *deleter) suspects(ctx context.Context, k kind, span mirror.Span, listed []string) iter.Seq2[[]mirror.Suspect, error] {
	return func(yield func([]mirror.Suspect, error) bool) {
		for place, more := (*mirror.Place)(nil), true; more; more = place != nil {
			some, next, err := d.options.Store.Suspects(ctx, d.record.report.RunID, k.object, span, listed, place, suspectsAtOnce)
			if place = next; !yield(some, err) || err != nil {
				return
			}
		}
	}
}

// confirm asks Clerk about some suspects of a window, applies those that it has after all
// and notes the others. That is safe before the window is finished: a call that repeats
// it takes back what it finds listed, and goes on behind the others.
func (d *deleter) confirm(ctx context.Context, k kind, w *mirror.Window, suspects []mirror.Suspect) error {
	suspects = d.withoutAbsent(k.object, suspects)
	if len(suspects) == 0 {
		return nil
	}
	span := mirror.Span{From: w.From, To: w.To}
	if w.Phase == mirror.PhaseUndated {
		span = mirror.Span{From: 1, To: 1} // they lie in none: an empty one
	}
	known, err := d.witnessesOf(ctx, k.object, span)
	if err != nil {
		return err
	}
	absent := make(map[string]mirror.Suspect, len(suspects))
	for _, s := range suspects {
		absent[s.ID] = s
	}
	confirmedAt := time.Now()
	for batch := range slices.Chunk(suspects, confirmBatch) {
		page, err := d.ask(ctx, k, batch, known)
		if err != nil {
			return fmt.Errorf("confirming what is gone: %w", err)
		}
		if page.RequestedAt.Before(confirmedAt) {
			confirmedAt = page.RequestedAt
		}
		there := make([]string, 0, len(page.Items))
		// Only the suspects: what else was answered has been applied already.
		found := page.Select(func(item clerk.Item) bool {
			_, suspected := absent[item.ID]
			delete(absent, item.ID)
			there = append(there, item.ID)
			return suspected
		})
		d.know(k.object, slices.Values(there))
		tally, err := d.applier.apply(ctx, *w, found)
		if err != nil {
			return err
		}
		w.Tally.Add(tally)
	}
	d.record.update(k.object, func(r *ObjectReport) { r.Suspects += int64(len(suspects)) })
	if d.applier.run == nil {
		d.mu.Lock()
		maps.Copy(d.absent[k.object], absent)
		d.mu.Unlock()
		return nil
	}
	if len(absent) == 0 {
		return nil
	}
	return d.applier.run.NoteAbsent(ctx, k.object, slices.Collect(maps.Keys(absent)), confirmedAt)
}

// finish records a window that was read and compared.
func (d *deleter) finish(ctx context.Context, w mirror.Window) error {
	if d.applier.run == nil {
		d.record.update(w.Object, func(r *ObjectReport) { r.Add(w.Tally); r.Listed += w.Listed })
		return nil
	}
	return d.applier.run.Finish(ctx, w)
}

// confirmUndated looks at the rows that lie in no window: it is not known when
// they were made, because only a child or a visitor spoke of them.
func (d *deleter) confirmUndated(ctx context.Context, k kind) error {
	if k.object.Object().Path != "" {
		return nil // they are all in one window, dated or not
	}
	for position, after := 0, ""; ; position++ {
		suspects, err := d.options.Store.Undated(ctx, k.object, d.applier.settled, after, suspectsAtOnce)
		if err != nil || len(suspects) == 0 {
			return err
		}
		after = suspects[len(suspects)-1].ID
		w := mirror.Window{Object: k.object, Phase: mirror.PhaseUndated, Position: position}
		if err := d.confirm(ctx, k, &w, suspects); err != nil {
			return err
		}
		if err := d.finish(ctx, w); err != nil {
			return err
		}
	}
}

// withoutAbsent does for a dry run what the record of absences does for others: what is
// gone is known, and memberships go with their user and organization.
func (d *deleter) withoutAbsent(object mirror.Object, suspects []mirror.Suspect) []mirror.Suspect {
	if d.applier.run != nil {
		return suspects
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(suspects, func(s mirror.Suspect) bool {
		_, itself := d.absent[object][s.ID]
		_, user := d.absent[mirror.Users][s.UserID]
		_, organization := d.absent[mirror.Organizations][s.OrganizationID]
		return itself || user || organization
	})
}
