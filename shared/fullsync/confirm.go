package fullsync

import (
	"context"
	"fmt"
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
	// undatedBatch is how many rows without a creation time are looked at at once.
	undatedBatch = 1000
)

// deleter finds out what is gone from Clerk, and deletes that if it is plausible.
type deleter struct {
	clerk   *clerk.Backend
	applier *applier
	record  *record
	// allow, mostShare and most are AllowDeletions, MaxDeleteShare and MaxDeletes.
	allow     bool
	mostShare float64
	most      int64

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

// witnessesOf are objects that Clerk should have, for questions about suspects.
func (d *deleter) witnessesOf(ctx context.Context, object mirror.Object, suspects []mirror.Suspect) (known []mirror.Suspect, err error) {
	d.mu.Lock()
	listed := slices.Clone(d.known[object])
	d.mu.Unlock()
	known, err = persist(ctx, d.applier, func(ctx context.Context) ([]mirror.Suspect, error) {
		return d.applier.store.Witnesses(ctx, d.record.report.RunID, object, listed, suspects, witnesses)
	})
	return d.withoutAbsentParents(object, known), err
}

// finishWindow compares a window that was read with the copy and records it.
// listed are the ids that Clerk listed within the window's span, at least.
func (d *deleter) finishWindow(ctx context.Context, k kind, w mirror.Window, listed map[string]bool) error {
	ids := slices.Collect(maps.Keys(listed))
	unlisted := func(span mirror.Span) ([]mirror.Suspect, error) {
		return persist(ctx, d.applier, func(ctx context.Context) ([]mirror.Suspect, error) {
			return d.applier.store.Suspects(ctx, d.record.report.RunID, k.object, span, ids)
		})
	}
	span := mirror.Span{From: w.From, To: w.To, After: w.After, Through: w.Through}
	// What has just been made may be on its way.
	if limit := clerk.MillisOf(d.applier.settled); span.To == 0 || span.To > limit {
		young := span
		if limit > young.From {
			young = mirror.Span{From: limit, To: span.To}
		}
		span.To = limit
		unseen, err := unlisted(young)
		if err != nil {
			return err
		}
		if len(unseen) > 0 {
			w.Unseen = limit
		}
	}
	var suspects []mirror.Suspect
	if span.From < span.To {
		var err error
		if suspects, err = unlisted(span); err != nil {
			return err
		}
	}
	d.mu.Lock()
	known := slices.Concat(ids[:min(witnesses, len(ids))], d.known[k.object])
	d.known[k.object] = known[:min(witnesses, len(known))]
	d.mu.Unlock()
	return d.confirmAndFinish(ctx, k, w, suspects)
}

// confirmAndFinish asks Clerk about suspects, applies those that it has after
// all and records the others with the window.
func (d *deleter) confirmAndFinish(ctx context.Context, k kind, w mirror.Window, suspects []mirror.Suspect) error {
	suspects = d.withoutAbsentParents(k.object, suspects)
	var known []mirror.Suspect
	if len(suspects) > 0 {
		var err error
		if known, err = d.witnessesOf(ctx, k.object, suspects); err != nil {
			return err
		}
	}
	absent := map[string]mirror.Suspect{}
	confirmedAt := time.Now()
	for batch := range slices.Chunk(suspects, confirmBatch) {
		page, err := d.ask(ctx, k, batch, known)
		if err != nil {
			return fmt.Errorf("confirming what is gone: %w", err)
		}
		if page.RequestedAt.Before(confirmedAt) {
			confirmedAt = page.RequestedAt
		}
		missing := make(map[string]mirror.Suspect, len(batch))
		for _, s := range batch {
			missing[s.ID] = s
		}
		// Only the suspects: what else was answered has been applied already.
		found := page.Select(func(item clerk.Item) bool {
			_, suspected := missing[item.ID]
			delete(missing, item.ID)
			return suspected
		})
		tally, err := d.applier.apply(ctx, w, found)
		if err != nil {
			return err
		}
		w.Tally.Add(tally)
		maps.Copy(absent, missing)
	}
	d.record.update(k.object, func(r *ObjectReport) { r.Suspects += int64(len(suspects)) })
	if d.applier.run == nil {
		d.noteAbsent(k.object, w, absent)
		return nil
	}
	w.Finished = true
	return d.applier.persist(ctx, func(ctx context.Context) error {
		return d.applier.run.Finish(ctx, w, slices.Collect(maps.Keys(absent)), confirmedAt)
	})
}

// confirmUndated looks at the rows that lie in no window: it is not known when
// they were made, because only a child or a visitor spoke of them.
func (d *deleter) confirmUndated(ctx context.Context, k kind) error {
	if k.object.Object().Path != "" {
		return nil // they are all in one window, dated or not
	}
	for position, after := 0, ""; ; position++ {
		suspects, err := persist(ctx, d.applier, func(ctx context.Context) ([]mirror.Suspect, error) {
			return d.applier.store.Undated(ctx, k.object, d.applier.settled, after, undatedBatch)
		})
		if err != nil || len(suspects) == 0 {
			return err
		}
		after = suspects[len(suspects)-1].ID
		if err := d.confirmAndFinish(ctx, k, mirror.Window{Object: k.object, Phase: mirror.PhaseUndated, Position: position}, suspects); err != nil {
			return err
		}
	}
}

// withoutAbsentParents does for a dry run what the record of absences does for
// others: memberships go with their user and organization.
func (d *deleter) withoutAbsentParents(object mirror.Object, suspects []mirror.Suspect) []mirror.Suspect {
	if d.applier.run != nil || object != mirror.Memberships {
		return suspects
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(suspects, func(s mirror.Suspect) bool {
		_, user := d.absent[mirror.Users][s.UserID]
		_, organization := d.absent[mirror.Organizations][s.OrganizationID]
		return user || organization
	})
}

// noteAbsent keeps what a dry run would record.
func (d *deleter) noteAbsent(object mirror.Object, w mirror.Window, absent map[string]mirror.Suspect) {
	d.record.update(object, func(r *ObjectReport) { r.Add(w.Tally); r.Listed += w.Listed })
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.Copy(d.absent[object], absent)
}
