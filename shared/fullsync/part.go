package fullsync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// User brings one user and its memberships up to date. What Clerk no longer has
// is deleted. It needs no lock: the rules order it among everything else.
func User(ctx context.Context, o Options, id string) (Report, error) {
	return part(ctx, o, func(ctx context.Context, e *engine) error {
		return e.parent(ctx, e.users(), id, e.Clerk.User, e.Clerk.UserMemberships)
	})
}

// Organization brings one organization and its memberships up to date, like
// [User].
func Organization(ctx context.Context, o Options, id string) (Report, error) {
	return part(ctx, o, func(ctx context.Context, e *engine) error {
		return e.parent(ctx, e.organizations(), id, e.Clerk.Organization, e.Clerk.OrganizationMemberships)
	})
}

// Since brings up to date the users that changed since a moment, the newest
// first, and the organizations and memberships made since then. It finds no
// deletions, and no changes of older organizations and memberships: Clerk has no
// list of those.
func Since(ctx context.Context, o Options, since time.Time) (Report, error) {
	return part(ctx, o, func(ctx context.Context, e *engine) error {
		users := func(ctx context.Context, q clerk.ListQuery) (clerk.Page, error) {
			return e.Clerk.Users(ctx, clerk.UserQuery{OrderBy: "-updated_at", Offset: q.Offset, Limit: q.Limit})
		}
		updated := func(item clerk.Item) clerk.Millis { return item.UpdatedAt }
		created := func(item clerk.Item) clerk.Millis { return item.CreatedAt }
		if err := e.newest(ctx, e.users(), "-updated_at", users, updated, clerk.MillisOf(since)); err != nil {
			return err
		}
		if err := e.newest(ctx, e.organizations(), "-created_at", e.Clerk.Organizations, created, clerk.MillisOf(since)); err != nil {
			return err
		}
		return e.newest(ctx, e.memberships(), "-created_at", e.Clerk.Memberships, created, clerk.MillisOf(since))
	})
}

// part does some work that is not recorded as a run.
func part(ctx context.Context, o Options, work func(context.Context, *engine) error) (Report, error) {
	e := newEngine(o)
	working, cancel := withReserve(ctx, e.Reserve)
	defer cancel()
	err := e.begin(working)
	if err == nil {
		err = work(working, e)
	}
	return e.finish(ctx, outcome(working, err))
}

type listing func(ctx context.Context, q clerk.ListQuery) (clerk.Page, error)

// newest applies what is newer than since from a list that begins with the newest.
func (e *engine) newest(ctx context.Context, k kind, order string, list listing, at func(clerk.Item) clerk.Millis, since clerk.Millis) error {
	e.enter(k.phase)
	pages := e.pages(ctx, mirror.Window{Object: k.object})
	seen := map[string]bool{}
	for q := (clerk.ListQuery{OrderBy: order, Limit: e.pageSize}); ; q.Offset += e.pageSize - overlaps[0] {
		page, err := list(ctx, q)
		if errors.Is(err, clerk.ErrNotEnabled) && k.object != mirror.Users {
			e.update(k.object, func(r *ObjectReport) { r.Skipped = "not_enabled" })
			return pages.fail(nil)
		}
		if err != nil {
			return pages.fail(fmt.Errorf("reading %s: %w", k.phase, err))
		}
		old := false
		fresh := page.Select(func(item clerk.Item) bool {
			old = old || at(item) < since
			if old || seen[item.ID] {
				return false
			}
			seen[item.ID] = true
			return true
		})
		if err := pages.apply(fresh); err != nil {
			return err
		}
		if old || len(page.Items) < e.pageSize {
			break
		}
	}
	tally, err := pages.wait()
	e.update(k.object, func(r *ObjectReport) { r.Tally.Add(tally); r.Listed += int64(len(seen)) })
	return err
}

// parent brings a user or an organization up to date, and its memberships.
func (e *engine) parent(
	ctx context.Context, k kind, id string,
	read func(context.Context, string) (clerk.Page, error),
	list func(context.Context, string, clerk.ListQuery) (clerk.Page, error),
) error {
	e.enter(k.phase)
	asked := time.Now()
	page, err := read(ctx, id)
	if errors.Is(err, clerk.ErrNotFound) {
		return e.gone(ctx, k.object, id, asked)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", id, err)
	}
	if len(page.Items) != 1 || page.Items[0].ID != id {
		// An organization is also found by its slug.
		return fmt.Errorf("reading %s: Clerk answered with another object; give the id, which begins with %s", id, prefixes[k.object])
	}
	tally, err := e.apply(ctx, mirror.Window{Object: k.object}, page)
	if err != nil {
		return err
	}
	e.update(k.object, func(r *ObjectReport) { r.Listed++; r.Tally.Add(tally) })
	return e.membershipsOf(ctx, k.object, id, list)
}

var prefixes = map[mirror.Object]string{mirror.Users: "user_", mirror.Organizations: "org_"}

// membershipsOf applies the memberships of a user or an organization and ends
// those that are not listed, if the list is complete.
func (e *engine) membershipsOf(ctx context.Context, object mirror.Object, id string, list func(context.Context, string, clerk.ListQuery) (clerk.Page, error)) error {
	e.enter("organization_memberships")
	// What joins while the list is read is not known to the copy now.
	var known []string
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		known, err = e.Store.MembershipsOf(ctx, object, id)
		return err
	})
	if err != nil {
		return err
	}
	asked := time.Now()
	listed := map[string]bool{}
	for q := (clerk.ListQuery{OrderBy: "+created_at", Limit: e.pageSize}); ; {
		page, err := list(ctx, id, q)
		if errors.Is(err, clerk.ErrNotEnabled) {
			e.update(mirror.Memberships, func(r *ObjectReport) { r.Skipped = "not_enabled" })
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the memberships of %s: %w", id, err)
		}
		tally, err := e.apply(ctx, mirror.Window{Object: mirror.Memberships}, page)
		if err != nil {
			return err
		}
		before := len(listed)
		for _, item := range page.Items {
			listed[item.ID] = true
		}
		e.update(mirror.Memberships, func(r *ObjectReport) { r.Listed += int64(len(listed) - before); r.Tally.Add(tally) })
		if int64(len(listed)) >= page.Total {
			break
		}
		if len(listed) == before {
			return fmt.Errorf("%w: Clerk counts %d memberships of %s and listed %d", ErrIncomplete, page.Total, id, len(listed))
		}
		q.Offset = max(0, len(listed)-overlaps[0])
	}
	absent := slices.DeleteFunc(known, func(membership string) bool { return listed[membership] })
	return e.delete(ctx, mirror.Memberships, absent, asked)
}

// gone deletes a user or an organization that Clerk does not have, if the copy has it.
func (e *engine) gone(ctx context.Context, object mirror.Object, id string, asked time.Time) error {
	var live bool
	var memberships []string
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		if live, err = e.Store.IsLive(ctx, object, id); err == nil {
			memberships, err = e.Store.MembershipsOf(ctx, object, id)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !live {
		return fmt.Errorf("%s: %w, and the copy has no live row of it", id, clerk.ErrNotFound)
	}
	if err := e.delete(ctx, mirror.Memberships, memberships, asked); err != nil {
		return err
	}
	return e.delete(ctx, object, []string{id}, asked)
}

// delete deletes some objects, or says that it would.
func (e *engine) delete(ctx context.Context, object mirror.Object, ids []string, at time.Time) error {
	if len(ids) == 0 {
		return nil
	}
	if e.DryRun {
		for _, id := range ids {
			e.OnDifference(mirror.Difference{Object: object, ID: id, Result: "deleted"})
		}
		e.update(object, func(r *ObjectReport) { r.Deleted += int64(len(ids)) })
		return nil
	}
	for some := range slices.Chunk(ids, partBatch) {
		var deleted int64
		if err := e.persist(ctx, func(ctx context.Context) (err error) {
			deleted, err = e.Store.Delete(ctx, object, some, at)
			return err
		}); err != nil {
			return err
		}
		e.update(object, func(r *ObjectReport) { r.Deleted += deleted })
	}
	return e.endMemberships(ctx)
}

// partBatch is how many objects one statement deletes outside of a run: nearly
// always memberships, which cost little.
const partBatch = 5000
