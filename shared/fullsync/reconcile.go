package fullsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// confirmBatch is how many suspects one question names; Clerk allows a
	// hundred ids, and one is for a control.
	confirmBatch = 99
	// undatedBatch is how many rows without a creation time are looked at at once.
	undatedBatch = 1000
	// deleteBatch is how many objects one statement deletes.
	deleteBatch = 500
	// alwaysAllowed deletions are never too many.
	alwaysAllowed = 10
)

// kind is how one kind of object is listed and confirmed.
type kind struct {
	object mirror.Object
	phase  string
	// list reads a page, the oldest first.
	list func(ctx context.Context, offset, limit int) (clerk.Page, error)
	// find returns those of some suspects that Clerk has, and when it was
	// asked. known is the id of an object that was listed, or "".
	find func(ctx context.Context, suspects []mirror.Suspect, known string) (clerk.Page, error)
	// firstPass is where the passes of this list begin.
	firstPass int
}

func (e *engine) users() kind {
	return kind{
		object: mirror.Users, phase: "users", list: e.countedUsers(),
		find: control(func(ctx context.Context, ids []string) (clerk.Page, error) {
			return e.Clerk.Users(ctx, clerk.UserQuery{IDs: ids, Limit: clerk.MaxLimit})
		}),
	}
}

// countedUsers lists users by offset. That list does not say how long it is, so
// they are counted at its beginning and wherever it seems to end.
func (e *engine) countedUsers() func(ctx context.Context, offset, limit int) (clerk.Page, error) {
	var mu sync.Mutex
	total := int64(-1)
	return func(ctx context.Context, offset, limit int) (clerk.Page, error) {
		page, err := e.Clerk.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
		if err != nil {
			return clerk.Page{}, err
		}
		mu.Lock()
		defer mu.Unlock()
		if int64(offset+len(page.Items)) >= total {
			if total, err = e.Clerk.CountUsers(ctx, clerk.UserQuery{}); err != nil {
				return clerk.Page{}, err
			}
		}
		page.Total = total
		return page, nil
	}
}

func (e *engine) organizations() kind {
	return kind{
		object: mirror.Organizations, phase: "organizations",
		list: func(ctx context.Context, offset, limit int) (clerk.Page, error) {
			return e.Clerk.Organizations(ctx, clerk.ListQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
		},
		find: control(func(ctx context.Context, ids []string) (clerk.Page, error) {
			return e.Clerk.Organizations(ctx, clerk.ListQuery{IDs: ids, Limit: clerk.MaxLimit})
		}),
	}
}

func (e *engine) memberships() kind {
	return kind{
		object: mirror.Memberships, phase: "organization_memberships",
		list: func(ctx context.Context, offset, limit int) (clerk.Page, error) {
			return e.Clerk.Memberships(ctx, clerk.ListQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
		},
		find: e.findMemberships,
	}
}

// definitions are few, and listed again to confirm.
func (e *engine) definitions(o clerk.Object) kind {
	list := func(ctx context.Context, offset, limit int) (clerk.Page, error) {
		return e.Clerk.List(ctx, o.Kind, clerk.ListQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
	}
	return kind{
		object: o.Kind, phase: o.Plural, list: list,
		find: func(ctx context.Context, _ []mirror.Suspect, _ string) (clerk.Page, error) {
			first, err := list(ctx, 0, clerk.MaxLimit)
			for page := first; err == nil && len(page.Items) > 0 && int64(len(first.Items)) < first.Total; {
				if page, err = list(ctx, len(first.Items), clerk.MaxLimit); err == nil {
					first = join(first, page)
				}
			}
			return first, err
		},
	}
}

// control asks for suspects together with an object that exists: an answer
// without it, or with something that was not asked for, proves nothing.
func control(read func(ctx context.Context, ids []string) (clerk.Page, error)) func(context.Context, []mirror.Suspect, string) (clerk.Page, error) {
	return func(ctx context.Context, suspects []mirror.Suspect, known string) (clerk.Page, error) {
		asked := make(map[string]bool, len(suspects)+1)
		for _, s := range suspects {
			asked[s.ID] = true
		}
		if known != "" {
			asked[known] = true
		}
		page, err := read(ctx, slices.Sorted(maps.Keys(asked)))
		if err != nil {
			return clerk.Page{}, err
		}
		answered := false
		for _, item := range page.Items {
			if !asked[item.ID] {
				return clerk.Page{}, fmt.Errorf("%w: Clerk was asked for some ids and answered with %s, which is none of them", ErrIncomplete, item.ID)
			}
			answered = answered || item.ID == known
		}
		if known != "" && !answered {
			return clerk.Page{}, fmt.Errorf("%w: Clerk has listed %s and then not found it, so that what it does not find is not known to be gone", ErrIncomplete, known)
		}
		return page, nil
	}
}

// findMemberships asks each organization for the suspects' users.
func (e *engine) findMemberships(ctx context.Context, suspects []mirror.Suspect, _ string) (clerk.Page, error) {
	users := map[string][]string{}
	for _, s := range suspects {
		users[s.OrganizationID] = append(users[s.OrganizationID], s.UserID)
	}
	// The first question is the oldest: nothing is said to be gone later than it was asked for.
	found := clerk.Page{RequestedAt: time.Now(), Resources: []byte("[]")}
	for _, organization := range slices.Sorted(maps.Keys(users)) {
		page, err := e.Clerk.OrganizationMemberships(ctx, organization, clerk.ListQuery{IDs: users[organization], Limit: clerk.MaxLimit})
		if errors.Is(err, clerk.ErrNotFound) {
			continue // and its memberships with it
		}
		if err != nil {
			return clerk.Page{}, err
		}
		found = join(found, page)
	}
	return found, nil
}

// join puts two pages together, as requested when the first was.
func join(a, b clerk.Page) clerk.Page {
	switch {
	case len(b.Items) == 0:
		return a
	case len(a.Items) == 0:
		b.RequestedAt = a.RequestedAt
		return b
	}
	resources := slices.Concat(a.Resources[:len(a.Resources)-1], []byte(","), b.Resources[1:])
	return clerk.Page{RequestedAt: a.RequestedAt, Resources: resources, Items: slices.Concat(a.Items, b.Items), Total: a.Total}
}

// finishWindow compares a window that was read with the copy and records it.
// listed are the ids that Clerk listed within the window's span, at least.
func (e *engine) finishWindow(ctx context.Context, k kind, w mirror.Window, listed map[string]bool) error {
	span := mirror.Span{From: w.From, To: w.To, After: w.After, Through: w.Through}
	// What has just been made may be on its way.
	if limit := clerk.MillisOf(e.settled); span.To == 0 || span.To > limit {
		young := span
		if limit > young.From {
			young = mirror.Span{From: limit, To: span.To}
		}
		span.To = limit
		var unseen []mirror.Suspect
		err := e.persist(ctx, func(ctx context.Context) (err error) {
			unseen, err = e.Store.Suspects(ctx, e.runID(), k.object, young, slices.Collect(maps.Keys(listed)))
			return err
		})
		if err != nil {
			return err
		}
		if len(unseen) > 0 {
			w.Unseen = limit
		}
	}
	var suspects []mirror.Suspect
	if span.From < span.To {
		err := e.persist(ctx, func(ctx context.Context) (err error) {
			suspects, err = e.Store.Suspects(ctx, e.runID(), k.object, span, slices.Collect(maps.Keys(listed)))
			return err
		})
		if err != nil {
			return err
		}
	}
	for id := range listed {
		e.mu.Lock()
		e.known[k.object] = id
		e.mu.Unlock()
		break
	}
	return e.confirmAndFinish(ctx, k, w, suspects)
}

// confirmAndFinish asks Clerk about suspects, applies those that it has after
// all and records the others with the window.
func (e *engine) confirmAndFinish(ctx context.Context, k kind, w mirror.Window, suspects []mirror.Suspect) error {
	e.mu.Lock()
	known := e.known[k.object]
	e.mu.Unlock()
	suspects = e.withoutAbsentParents(k.object, suspects)
	var absent []string
	confirmedAt := time.Now()
	for batch := range slices.Chunk(suspects, confirmBatch) {
		page, err := k.find(ctx, batch, known)
		if err != nil {
			return fmt.Errorf("confirming what is gone: %w", err)
		}
		if page.RequestedAt.Before(confirmedAt) {
			confirmedAt = page.RequestedAt
		}
		missing := make(map[string]bool, len(batch))
		for _, s := range batch {
			missing[s.ID] = true
		}
		// Only the suspects: what else was answered has been applied already.
		found := page.Select(func(item clerk.Item) bool {
			suspected := missing[item.ID]
			delete(missing, item.ID)
			return suspected
		})
		tally, err := e.apply(ctx, w, found)
		if err != nil {
			return err
		}
		w.Tally.Add(tally)
		absent = slices.AppendSeq(absent, maps.Keys(missing))
	}
	e.update(k.object, func(r *ObjectReport) { r.Suspects += int64(len(suspects)) })
	if e.run == nil {
		e.noteAbsent(k.object, w, absent)
		return nil
	}
	w.Finished = true
	return e.persist(ctx, func(ctx context.Context) error { return e.run.Finish(ctx, w, absent, confirmedAt) })
}

// confirmUndated looks at the rows that lie in no window: nobody has told when
// they were made, because only a child or a visitor spoke of them.
func (e *engine) confirmUndated(ctx context.Context, k kind) error {
	if k.object.Object().Path != "" {
		return nil // they are all in one window, dated or not
	}
	for position, after := undatedPosition, ""; ; position++ {
		var suspects []mirror.Suspect
		err := e.persist(ctx, func(ctx context.Context) (err error) {
			suspects, err = e.Store.Undated(ctx, k.object, e.settled, after, undatedBatch)
			return err
		})
		if err != nil || len(suspects) == 0 {
			return err
		}
		after = suspects[len(suspects)-1].ID
		if err := e.confirmAndFinish(ctx, k, mirror.Window{Object: k.object, Position: position}, suspects); err != nil {
			return err
		}
	}
}

// withoutAbsentParents does for a dry run what the record of absences does for
// others: memberships go with their user and organization.
func (e *engine) withoutAbsentParents(object mirror.Object, suspects []mirror.Suspect) []mirror.Suspect {
	if e.run != nil || object != mirror.Memberships {
		return suspects
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(suspects, func(s mirror.Suspect) bool {
		return e.absent[mirror.Users][s.UserID] || e.absent[mirror.Organizations][s.OrganizationID]
	})
}

// noteAbsent keeps what a dry run would record.
func (e *engine) noteAbsent(object mirror.Object, w mirror.Window, absent []string) {
	e.mu.Lock()
	r := e.report.Of(object)
	r.Add(w.Tally)
	r.Listed += w.Listed
	for _, id := range absent {
		e.absent[object][id] = true
	}
	e.mu.Unlock()
}

// deleteAbsent deletes what was confirmed to be gone, if that is plausible.
func (e *engine) deleteAbsent(ctx context.Context) error {
	e.enter("deleting")
	pending, err := e.pending(ctx)
	if err != nil {
		return err
	}
	if e.run == nil {
		e.tellAbsent()
	}
	for _, p := range pending {
		if !e.AllowDeletions && p.Pending > alwaysAllowed &&
			(p.Pending > e.MaxDeletes || float64(p.Pending) > e.MaxDeleteShare*float64(p.Live)) {
			return fmt.Errorf("%w: Clerk no longer has %d of the %d live rows of the kind %s, and at most %g of them, and %d, may be deleted unasked; nothing was",
				ErrTooManyDeletions, p.Pending, p.Live, p.Object, e.MaxDeleteShare, e.MaxDeletes)
		}
	}
	if e.run == nil {
		return nil
	}
	for _, p := range pending {
		for {
			var taken int64
			err := e.persist(ctx, func(ctx context.Context) (err error) {
				taken, err = e.run.DeleteAbsent(ctx, p.Object, deleteBatch)
				return err
			})
			if err != nil {
				return err
			}
			if taken == 0 {
				break
			}
		}
	}
	// What large deletions have left, of this run and of webhooks.
	return e.endMemberships(ctx)
}

// endMemberships ends what is left, a step at a time: each has the store's limit to
// itself, however many there are.
func (e *engine) endMemberships(ctx context.Context) error {
	for {
		var left bool
		err := e.persist(ctx, func(ctx context.Context) (err error) {
			left, err = e.Store.EndSome(ctx)
			return err
		})
		if err != nil || !left {
			return err
		}
	}
}

// pending is what would be deleted, children first, so that they are counted as their own.
func (e *engine) pending(ctx context.Context) ([]mirror.Pending, error) {
	if e.run == nil {
		return e.pendingDry(ctx)
	}
	var pending []mirror.Pending
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		pending, err = e.run.Pending(ctx)
		return err
	})
	slices.SortFunc(pending, func(a, b mirror.Pending) int {
		return place(b.Object) - place(a.Object)
	})
	return pending, err
}

// place is where a kind stands among all: parents before children.
func place(object mirror.Object) int {
	return slices.IndexFunc(clerk.Objects(), func(o clerk.Object) bool { return o.Kind == object })
}

func (e *engine) pendingDry(ctx context.Context) ([]mirror.Pending, error) {
	var status mirror.Status
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		status, err = e.Store.Status(ctx)
		return err
	})
	if err == nil && len(status.Missing) > 0 {
		err = fmt.Errorf("%w: counting %s took too long", mirror.ErrUnavailable, strings.Join(status.Missing, ", "))
	}
	if err != nil {
		return nil, err
	}
	live := map[mirror.Object]int64{
		mirror.Users:         status.Users.Live + status.Users.Placeholders,
		mirror.Organizations: status.Organizations.Live + status.Organizations.Placeholders,
		mirror.Memberships:   status.Memberships.Live,
	}
	var pending []mirror.Pending
	for object, ids := range e.absent {
		if total, known := live[object]; known && len(ids) > 0 {
			pending = append(pending, mirror.Pending{Object: object, Pending: int64(len(ids)), Live: total})
		}
	}
	return pending, nil
}

// tellAbsent reports the deletions of a dry run.
func (e *engine) tellAbsent() {
	for _, o := range clerk.Objects() {
		object, r := o.Kind, e.report.Of(o.Kind)
		for _, id := range slices.Sorted(maps.Keys(e.absent[object])) {
			r.Deleted++
			r.Drift++
			e.OnDifference(mirror.Difference{Object: object, ID: id, Result: "deleted"})
		}
	}
}

func (e *engine) runID() int64 {
	if e.run == nil {
		return 0
	}
	return e.run.ID
}
