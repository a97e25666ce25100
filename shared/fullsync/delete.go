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
	run := d.applier.run
	if run == nil {
		for _, o := range clerk.Objects() {
			ids := slices.Sorted(maps.Keys(d.absent[o.Kind]))
			d.tell(o.Kind, ids)
			d.record.update(o.Kind, func(r *ObjectReport) { r.Drift += int64(len(ids)) })
		}
	}
	if !d.options.AllowDeletions {
		// Of what falls with its parents those are the cause.
		for _, p := range pending {
			if err := d.plausible(ctx, p); err != nil {
				return err
			}
		}
	}
	if run == nil {
		return nil
	}
	// Children first, so that they are counted as their own.
	for _, p := range slices.Backward(pending) {
		for taken := int64(1); taken > 0; {
			if taken, err = run.DeleteAbsent(ctx, p.Object, deleteBatch); err != nil {
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
	share, most := d.options.MaxDeleteShare, d.options.MaxDeletes
	if p.Pending > alwaysAllowed && (p.Pending > most || float64(p.Pending) > share*float64(p.Live)) {
		return fmt.Errorf("%w: Clerk no longer has %d of the %d live rows of the kind %s, and at most %g of them, and %d, may be deleted unasked; nothing was",
			ErrTooManyDeletions, p.Pending, p.Live, p.Object, share, most)
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
		gone, err := d.isGone(ctx, o)
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
			if gone, err := d.isGone(ctx, o); err != nil || !gone {
				return "", err
			}
		}
	}
	return "Clerk has nothing else that the copy knows", nil
}

// isGone asks for a user or an organization by itself, and for the parents of a membership,
// with which it goes. Other kinds cannot be asked for, and so are not known to be gone.
func (d *deleter) isGone(ctx context.Context, o mirror.Suspect) (bool, error) {
	for _, known := range []struct {
		id   string
		read func(context.Context, string) (clerk.Page, error)
	}{{o.OrganizationID, d.options.Clerk.Organization}, {o.UserID, d.options.Clerk.User}} {
		if known.id == "" {
			continue
		}
		_, err := known.read(ctx, known.id)
		if errors.Is(err, clerk.ErrNotFound) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("asking for %s by itself: %w", known.id, err)
		}
	}
	return false, nil
}

// pendingObjects are those of a kind that would be deleted.
func (d *deleter) pendingObjects(ctx context.Context, object mirror.Object) ([]mirror.Suspect, error) {
	if d.applier.run == nil {
		return slices.Collect(maps.Values(d.absent[object])), nil
	}
	return d.applier.run.PendingObjects(ctx, object)
}

// endMemberships ends what is left, a step at a time: each has the store's limit to
// itself, however many there are.
func (d *deleter) endMemberships(ctx context.Context) error {
	for {
		if left, err := d.options.Store.EndSome(ctx); err != nil || !left {
			return err
		}
	}
}

// pending is what would be deleted, parents before children.
func (d *deleter) pending(ctx context.Context) ([]mirror.Pending, error) {
	run := d.applier.run
	if run == nil {
		return d.pendingDry(ctx)
	}
	pending, err := run.Pending(ctx)
	if err != nil || len(pending) == 0 {
		return nil, err
	}
	// How much was listed, also by earlier calls.
	if err := run.Reload(ctx); err != nil {
		return nil, err
	}
	d.record.count(run.Windows)
	return pending, nil
}

func (d *deleter) pendingDry(ctx context.Context) (pending []mirror.Pending, err error) {
	for _, parent := range []mirror.Object{mirror.Users, mirror.Organizations} {
		for some := range slices.Chunk(slices.Collect(maps.Keys(d.absent[parent])), partBatch) {
			memberships, err := d.options.Store.MembershipsOf(ctx, parent, some...)
			if err != nil {
				return nil, err
			}
			for _, m := range memberships {
				d.absent[mirror.Memberships][m.ID] = m
			}
		}
	}
	for _, o := range clerk.Objects() {
		absent := int64(len(d.absent[o.Kind]))
		if absent == 0 {
			continue
		}
		counts, err := d.options.Store.Count(ctx, o.Kind)
		if err != nil {
			return nil, err
		}
		pending = append(pending, mirror.Pending{Object: o.Kind, Pending: absent, Live: counts.Live + counts.Placeholders})
	}
	return pending, nil
}

// tell reports the deletions of a dry run.
func (d *deleter) tell(object mirror.Object, ids []string) {
	for _, id := range ids {
		d.options.OnDifference(mirror.Difference{Object: object, ID: id, Result: "deleted"})
	}
	d.record.update(object, func(r *ObjectReport) { r.Deleted += int64(len(ids)) })
}

// gone deletes a user or an organization that Clerk does not have, if the copy has it.
func (d *deleter) gone(ctx context.Context, object mirror.Object, id string, asked time.Time) error {
	live, err := d.options.Store.IsLive(ctx, object, id)
	if err != nil {
		return err
	}
	if !live {
		return fmt.Errorf("%s: %w, and the copy has no live row of it", id, clerk.ErrNotFound)
	}
	memberships, err := d.options.Store.MembershipsOf(ctx, object, id)
	if err != nil {
		return err
	}
	if err := d.deleteUnlisted(ctx, memberships, nil, asked); err != nil {
		return err
	}
	return d.delete(ctx, object, []string{id}, asked)
}

// deleteUnlisted deletes those of some memberships that Clerk did not list.
func (d *deleter) deleteUnlisted(ctx context.Context, memberships []mirror.Suspect, listed map[string]bool, asked time.Time) error {
	var ids []string
	for _, m := range memberships {
		if !listed[m.ID] {
			ids = append(ids, m.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return d.delete(ctx, mirror.Memberships, ids, asked)
}

// delete deletes some objects, or says that it would.
func (d *deleter) delete(ctx context.Context, object mirror.Object, ids []string, at time.Time) error {
	if d.options.DryRun {
		d.tell(object, ids)
		return nil
	}
	for some := range slices.Chunk(ids, partBatch) {
		deleted, err := d.options.Store.Delete(ctx, object, some, at)
		if err != nil {
			return err
		}
		d.record.update(object, func(r *ObjectReport) { r.Deleted += deleted })
	}
	return d.endMemberships(ctx)
}
