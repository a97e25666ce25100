package fullsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

const (
	// deleteBatch is how many objects one statement deletes.
	deleteBatch = 500
	// partBatch is how many outside of a run: nearly always memberships, which cost little.
	partBatch = 5000
	// alwaysAllowed deletions are never too many, unless they are of all that there is.
	alwaysAllowed = 10
)

// deleteAbsent deletes what was confirmed to be gone, if that is plausible.
func (d *deleter) deleteAbsent(ctx context.Context) error {
	d.record.enter("deleting")
	pending, err := d.pending(ctx)
	if err != nil {
		return err
	}
	if d.applier.run == nil {
		d.tellAbsent()
	}
	if !d.allow {
		// Of what falls with its parents those are the cause.
		slices.SortFunc(pending, func(a, b mirror.Pending) int { return place(a.Object) - place(b.Object) })
		for _, p := range pending {
			if err := d.plausible(ctx, p); err != nil {
				return err
			}
		}
	}
	if d.applier.run == nil {
		return nil
	}
	// Children first, so that they are counted as their own.
	slices.SortFunc(pending, func(a, b mirror.Pending) int { return place(b.Object) - place(a.Object) })
	for _, p := range pending {
		for taken := int64(1); taken > 0; {
			if taken, err = persist(ctx, d.applier, func(ctx context.Context) (int64, error) {
				return d.applier.run.DeleteAbsent(ctx, p.Object, deleteBatch)
			}); err != nil {
				return err
			}
		}
	}
	// What large deletions have left, of this run and of webhooks.
	return d.endMemberships(ctx)
}

// plausible refuses to delete too much of a kind. That lists no longer have anything of it
// is never enough: such a list may be wrong as a whole.
func (d *deleter) plausible(ctx context.Context, p mirror.Pending) error {
	if p.Pending > alwaysAllowed && (p.Pending > d.most || float64(p.Pending) > d.mostShare*float64(p.Live)) {
		return fmt.Errorf("%w: Clerk no longer has %d of the %d live rows of the kind %s, and at most %g of them, and %d, may be deleted unasked; nothing was",
			ErrTooManyDeletions, p.Pending, p.Live, p.Object, d.mostShare, d.most)
	}
	var listed int64
	d.record.update(p.Object, func(r *ObjectReport) { listed = r.Listed })
	if p.Pending < p.Live && listed > 0 {
		return nil
	}
	there, err := d.eachIsGone(ctx, p.Object)
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
func (d *deleter) eachIsGone(ctx context.Context, object mirror.Object) (string, error) {
	objects, err := d.pendingObjects(ctx, object)
	if err != nil {
		return "", err
	}
	for _, o := range objects {
		gone, err := d.isGone(ctx, object, o.ID)
		if object == mirror.Memberships {
			// None can be asked for by itself, but it goes with its parents.
			if gone, err = d.isGone(ctx, mirror.Organizations, o.OrganizationID); err == nil && !gone {
				gone, err = d.isGone(ctx, mirror.Users, o.UserID)
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
		known, err := d.witnessesOf(ctx, object, mirror.Span{From: 1, To: 1}) // any
		if err != nil {
			return "", err
		}
		for _, o := range known[:min(beside, len(known))] {
			if gone, err := d.isGone(ctx, object, o.ID); err != nil || !gone {
				return "", err
			}
		}
	}
	return "Clerk has nothing else that the copy knows", nil
}

// isGone asks for one object by itself. Other kinds than users and organizations cannot
// be asked for, and so are not known to be gone.
func (d *deleter) isGone(ctx context.Context, object mirror.Object, id string) (bool, error) {
	var err error
	switch object {
	case mirror.Users:
		_, err = d.clerk.User(ctx, id)
	case mirror.Organizations:
		_, err = d.clerk.Organization(ctx, id)
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
func (d *deleter) pendingObjects(ctx context.Context, object mirror.Object) ([]mirror.Suspect, error) {
	if d.applier.run == nil {
		return slices.Collect(maps.Values(d.absent[object])), nil
	}
	return persist(ctx, d.applier, func(ctx context.Context) ([]mirror.Suspect, error) {
		return d.applier.run.PendingObjects(ctx, object)
	})
}

// endMemberships ends what is left, a step at a time: each has the store's limit to
// itself, however many there are.
func (d *deleter) endMemberships(ctx context.Context) error {
	for {
		left, err := persist(ctx, d.applier, func(ctx context.Context) (bool, error) {
			return d.applier.store.EndSome(ctx)
		})
		if err != nil || !left {
			return err
		}
	}
}

// pending is what would be deleted.
func (d *deleter) pending(ctx context.Context) ([]mirror.Pending, error) {
	if d.applier.run == nil {
		return d.pendingDry(ctx)
	}
	var pending []mirror.Pending
	err := d.applier.persist(ctx, func(ctx context.Context) (err error) {
		if pending, err = d.applier.run.Pending(ctx); err == nil && len(pending) > 0 {
			// How much was listed, also by earlier calls.
			err = d.applier.run.Reload(ctx)
		}
		return err
	})
	if err == nil && len(pending) > 0 {
		d.record.count(d.applier.run.Windows)
	}
	return pending, err
}

// place is where a kind stands among all: parents before children.
func place(object mirror.Object) int {
	return slices.IndexFunc(clerk.Objects(), func(o clerk.Object) bool { return o.Kind == object })
}

func (d *deleter) pendingDry(ctx context.Context) ([]mirror.Pending, error) {
	live := map[mirror.Object]int64{}
	for _, object := range []mirror.Object{mirror.Users, mirror.Organizations, mirror.Memberships} {
		counts, err := persist(ctx, d.applier, func(ctx context.Context) (mirror.Counts, error) { return d.applier.store.Count(ctx, object) })
		if err != nil {
			return nil, err
		}
		live[object] = counts.Live + counts.Placeholders
	}
	for _, parent := range []mirror.Object{mirror.Users, mirror.Organizations} {
		for some := range slices.Chunk(slices.Collect(maps.Keys(d.absent[parent])), partBatch) {
			children, err := persist(ctx, d.applier, func(ctx context.Context) ([]mirror.Suspect, error) {
				if parent == mirror.Users {
					return d.applier.store.Children(ctx, some, nil)
				}
				return d.applier.store.Children(ctx, nil, some)
			})
			if err != nil {
				return nil, err
			}
			for _, m := range children {
				d.absent[mirror.Memberships][m.ID] = m
			}
		}
	}
	var pending []mirror.Pending
	for object, ids := range d.absent {
		if len(ids) == 0 {
			continue
		}
		total, known := live[object]
		if !known {
			// All of a kind of which there are few were listed, or are absent.
			r := d.record.report.Of(object)
			total = r.Unchanged + r.Updated + int64(len(ids))
		}
		pending = append(pending, mirror.Pending{Object: object, Pending: int64(len(ids)), Live: total})
	}
	return pending, nil
}

// tellAbsent reports the deletions of a dry run.
func (d *deleter) tellAbsent() {
	for _, o := range clerk.Objects() {
		object, r := o.Kind, d.record.report.Of(o.Kind)
		for _, id := range slices.Sorted(maps.Keys(d.absent[object])) {
			r.Deleted++
			r.Drift++
			d.applier.onDifference(mirror.Difference{Object: object, ID: id, Result: "deleted"})
		}
	}
}

// gone deletes a user or an organization that Clerk does not have, if the copy has it.
func (d *deleter) gone(ctx context.Context, object mirror.Object, id string, asked time.Time) error {
	var live bool
	var memberships []string
	err := d.applier.persist(ctx, func(ctx context.Context) (err error) {
		if live, err = d.applier.store.IsLive(ctx, object, id); err == nil {
			memberships, err = d.applier.store.MembershipsOf(ctx, object, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !live {
		return fmt.Errorf("%s: %w, and the copy has no live row of it", id, clerk.ErrNotFound)
	}
	if err := d.delete(ctx, mirror.Memberships, memberships, asked); err != nil {
		return err
	}
	return d.delete(ctx, object, []string{id}, asked)
}

// delete deletes some objects, or says that it would.
func (d *deleter) delete(ctx context.Context, object mirror.Object, ids []string, at time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	if d.applier.dryRun {
		for _, id := range ids {
			d.applier.onDifference(mirror.Difference{Object: object, ID: id, Result: "deleted"})
		}
		d.record.update(object, func(r *ObjectReport) { r.Deleted += int64(len(ids)) })
		return nil
	}
	for some := range slices.Chunk(ids, partBatch) {
		deleted, err := persist(ctx, d.applier, func(ctx context.Context) (int64, error) {
			return d.applier.store.Delete(ctx, object, some, at)
		})
		if err != nil {
			return err
		}
		d.record.update(object, func(r *ObjectReport) { r.Deleted += deleted })
	}
	return d.endMemberships(ctx)
}
