package fullsync

import (
	"context"
	"errors"
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
	// deleteBatch is how many objects one statement deletes.
	deleteBatch = 500
	// alwaysAllowed deletions are never too many, unless they are of all that there is.
	alwaysAllowed = 10
)

// kind is how one kind of object is listed and confirmed.
type kind struct {
	object mirror.Object
	phase  string
	// list reads a page, the oldest first.
	list func(ctx context.Context, offset, limit int) (clerk.Page, error)
	// find returns those of some objects that Clerk has, and when it was asked.
	find func(ctx context.Context, objects []mirror.Suspect) (clerk.Page, error)
}

func (e *engine) users() kind {
	return kind{
		object: mirror.Users, phase: "users", list: e.countedUsers(),
		find: byID(func(ctx context.Context, ids []string) (clerk.Page, error) {
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
		find: byID(func(ctx context.Context, ids []string) (clerk.Page, error) {
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
		find: func(ctx context.Context, _ []mirror.Suspect) (clerk.Page, error) {
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

// byID asks for objects by their ids: an answer with something that was not asked for
// proves nothing.
func byID(read func(ctx context.Context, ids []string) (clerk.Page, error)) func(context.Context, []mirror.Suspect) (clerk.Page, error) {
	return func(ctx context.Context, objects []mirror.Suspect) (clerk.Page, error) {
		asked := make(map[string]bool, len(objects))
		for _, object := range objects {
			asked[object.ID] = true
		}
		page, err := read(ctx, slices.Sorted(maps.Keys(asked)))
		if err != nil {
			return clerk.Page{}, err
		}
		for _, item := range page.Items {
			if !asked[item.ID] {
				return clerk.Page{}, fmt.Errorf("%w: Clerk was asked for some ids and answered with %s, which is none of them", ErrIncomplete, item.ID)
			}
		}
		return page, nil
	}
}

// ask returns those of some suspects that Clerk has, asked for beside witnesses. Those may
// be gone themselves: others are tried, and an answer that knows none of them proves
// nothing. Without any, what is not found is not proved to be gone (see [engine.plausible]).
func (e *engine) ask(ctx context.Context, k kind, suspects, known []mirror.Suspect) (clerk.Page, error) {
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
func (e *engine) witnessesOf(ctx context.Context, object mirror.Object, suspects []mirror.Suspect) (known []mirror.Suspect, err error) {
	e.mu.Lock()
	listed := slices.Clone(e.known[object])
	e.mu.Unlock()
	err = e.persist(ctx, func(ctx context.Context) (err error) {
		known, err = e.Store.Witnesses(ctx, e.runID(), object, listed, suspects, witnesses)
		return err
	})
	return e.withoutAbsentParents(object, known), err
}

// findMemberships asks each organization for the users of the memberships.
func (e *engine) findMemberships(ctx context.Context, memberships []mirror.Suspect) (clerk.Page, error) {
	users := map[string][]string{}
	for _, s := range memberships {
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
	e.mu.Lock()
	known := make([]string, 0, 2*witnesses)
	for id := range listed {
		if known = append(known, id); len(known) == witnesses {
			break
		}
	}
	known = append(known, e.known[k.object]...)
	e.known[k.object] = known[:min(witnesses, len(known))]
	e.mu.Unlock()
	return e.confirmAndFinish(ctx, k, w, suspects)
}

// confirmAndFinish asks Clerk about suspects, applies those that it has after
// all and records the others with the window.
func (e *engine) confirmAndFinish(ctx context.Context, k kind, w mirror.Window, suspects []mirror.Suspect) error {
	suspects = e.withoutAbsentParents(k.object, suspects)
	var known []mirror.Suspect
	if len(suspects) > 0 {
		var err error
		if known, err = e.witnessesOf(ctx, k.object, suspects); err != nil {
			return err
		}
	}
	absent := map[string]mirror.Suspect{}
	confirmedAt := time.Now()
	for batch := range slices.Chunk(suspects, confirmBatch) {
		page, err := e.ask(ctx, k, batch, known)
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
		tally, err := e.apply(ctx, w, found)
		if err != nil {
			return err
		}
		w.Tally.Add(tally)
		maps.Copy(absent, missing)
	}
	e.update(k.object, func(r *ObjectReport) { r.Suspects += int64(len(suspects)) })
	if e.run == nil {
		e.noteAbsent(k.object, w, absent)
		return nil
	}
	w.Finished = true
	return e.persist(ctx, func(ctx context.Context) error {
		return e.run.Finish(ctx, w, slices.Collect(maps.Keys(absent)), confirmedAt)
	})
}

// confirmUndated looks at the rows that lie in no window: nobody has told when
// they were made, because only a child or a visitor spoke of them.
func (e *engine) confirmUndated(ctx context.Context, k kind) error {
	if k.object.Object().Path != "" {
		return nil // they are all in one window, dated or not
	}
	for position, after := 0, ""; ; position++ {
		var suspects []mirror.Suspect
		err := e.persist(ctx, func(ctx context.Context) (err error) {
			suspects, err = e.Store.Undated(ctx, k.object, e.settled, after, undatedBatch)
			return err
		})
		if err != nil || len(suspects) == 0 {
			return err
		}
		after = suspects[len(suspects)-1].ID
		if err := e.confirmAndFinish(ctx, k, mirror.Window{Object: k.object, Phase: mirror.PhaseUndated, Position: position}, suspects); err != nil {
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
		_, user := e.absent[mirror.Users][s.UserID]
		_, organization := e.absent[mirror.Organizations][s.OrganizationID]
		return user || organization
	})
}

// noteAbsent keeps what a dry run would record.
func (e *engine) noteAbsent(object mirror.Object, w mirror.Window, absent map[string]mirror.Suspect) {
	e.mu.Lock()
	r := e.report.Of(object)
	r.Add(w.Tally)
	r.Listed += w.Listed
	maps.Copy(e.absent[object], absent)
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
	if !e.AllowDeletions {
		// Of what falls with its parents those are the cause.
		slices.SortFunc(pending, func(a, b mirror.Pending) int { return place(a.Object) - place(b.Object) })
		for _, p := range pending {
			if err := e.plausible(ctx, p); err != nil {
				return err
			}
		}
	}
	if e.run == nil {
		return nil
	}
	// Children first, so that they are counted as their own.
	slices.SortFunc(pending, func(a, b mirror.Pending) int { return place(b.Object) - place(a.Object) })
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

// plausible refuses to delete too much of a kind. That lists no longer have anything of it
// is never enough: such a list may be wrong as a whole.
func (e *engine) plausible(ctx context.Context, p mirror.Pending) error {
	if p.Pending > alwaysAllowed && (p.Pending > e.MaxDeletes || float64(p.Pending) > e.MaxDeleteShare*float64(p.Live)) {
		return fmt.Errorf("%w: Clerk no longer has %d of the %d live rows of the kind %s, and at most %g of them, and %d, may be deleted unasked; nothing was",
			ErrTooManyDeletions, p.Pending, p.Live, p.Object, e.MaxDeleteShare, e.MaxDeletes)
	}
	e.mu.Lock()
	listed := e.report.Of(p.Object).Listed
	e.mu.Unlock()
	if p.Pending < p.Live && listed > 0 {
		return nil
	}
	there, err := e.eachIsGone(ctx, p.Object)
	if err != nil {
		return err
	}
	if there != "" {
		return fmt.Errorf("%w: all live rows of the kind %s would go (%d), since Clerk lists none of them, and %s; nothing was deleted",
			ErrTooManyDeletions, p.Object, p.Pending, there)
	}
	return nil
}

// eachIsGone asks for what would be deleted of a kind one by one, and for something that
// Clerk should have: it says what speaks against deleting them, or "".
func (e *engine) eachIsGone(ctx context.Context, object mirror.Object) (string, error) {
	objects, err := e.pendingObjects(ctx, object)
	if err != nil {
		return "", err
	}
	for _, o := range objects {
		gone, err := e.isGone(ctx, object, o.ID)
		if object == mirror.Memberships {
			// None can be asked for by itself, but it goes with its parents.
			if gone, err = e.isGone(ctx, mirror.Organizations, o.OrganizationID); err == nil && !gone {
				gone, err = e.isGone(ctx, mirror.Users, o.UserID)
			}
		}
		if err != nil {
			return "", err
		}
		if !gone {
			return fmt.Sprintf("asked for by itself %s is not known to be gone", o.ID), nil
		}
	}
	for _, object := range []mirror.Object{mirror.Users, mirror.Organizations} {
		pending, err := e.pendingObjects(ctx, object)
		if err != nil {
			return "", err
		}
		known, err := e.witnessesOf(ctx, object, pending)
		if err != nil {
			return "", err
		}
		for _, o := range known[:min(beside, len(known))] {
			if gone, err := e.isGone(ctx, object, o.ID); err != nil || !gone {
				return "", err
			}
		}
	}
	return "Clerk has nothing else that the copy knows", nil
}

// isGone asks for one object by itself. Other kinds than users and organizations cannot
// be asked for, and so are not known to be gone.
func (e *engine) isGone(ctx context.Context, object mirror.Object, id string) (bool, error) {
	var err error
	switch object {
	case mirror.Users:
		_, err = e.Clerk.User(ctx, id)
	case mirror.Organizations:
		_, err = e.Clerk.Organization(ctx, id)
	default:
		return false, nil
	}
	if errors.Is(err, clerk.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking for %s by itself: %w", id, err)
	}
	return false, nil
}

// pendingObjects are those of a kind that would be deleted.
func (e *engine) pendingObjects(ctx context.Context, object mirror.Object) (pending []mirror.Suspect, err error) {
	if e.run == nil {
		return slices.Collect(maps.Values(e.absent[object])), nil
	}
	err = e.persist(ctx, func(ctx context.Context) (err error) {
		pending, err = e.run.PendingObjects(ctx, object)
		return err
	})
	return pending, err
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

// pending is what would be deleted.
func (e *engine) pending(ctx context.Context) ([]mirror.Pending, error) {
	if e.run == nil {
		return e.pendingDry(ctx)
	}
	var pending []mirror.Pending
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		if pending, err = e.run.Pending(ctx); err == nil && len(pending) > 0 {
			// How much was listed, also by earlier calls.
			err = e.run.Reload(ctx)
		}
		return err
	})
	if err == nil && len(pending) > 0 {
		e.count()
	}
	return pending, err
}

// place is where a kind stands among all: parents before children.
func place(object mirror.Object) int {
	return slices.IndexFunc(clerk.Objects(), func(o clerk.Object) bool { return o.Kind == object })
}

func (e *engine) pendingDry(ctx context.Context) ([]mirror.Pending, error) {
	var children []mirror.Suspect
	live := map[mirror.Object]int64{}
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		for _, object := range []mirror.Object{mirror.Users, mirror.Organizations, mirror.Memberships} {
			counts, err := e.Store.Count(ctx, object)
			if err != nil {
				return err
			}
			live[object] = counts.Live + counts.Placeholders
		}
		children, err = e.Store.Children(ctx, slices.Collect(maps.Keys(e.absent[mirror.Users])), slices.Collect(maps.Keys(e.absent[mirror.Organizations])))
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range children {
		e.absent[mirror.Memberships][m.ID] = m
	}
	var pending []mirror.Pending
	for object, ids := range e.absent {
		if len(ids) == 0 {
			continue
		}
		total, known := live[object]
		if !known {
			// All of a kind of which there are few were listed, or are absent.
			r := e.report.Of(object)
			total = r.Unchanged + r.Updated + int64(len(ids))
		}
		pending = append(pending, mirror.Pending{Object: object, Pending: int64(len(ids)), Live: total})
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
