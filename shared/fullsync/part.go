package fullsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// User brings one user and its memberships up to date. What Clerk no longer has
// is deleted. It needs no lock: the rules order it among everything else.
func User(ctx context.Context, o Options, id string) (Report, error) {
	return parent(ctx, o, users(o.Clerk), id)
}

// Organization brings one organization and its memberships up to date, like
// [User].
func Organization(ctx context.Context, o Options, id string) (Report, error) {
	return parent(ctx, o, organizations(o.Clerk), id)
}

func parent(ctx context.Context, o Options, k kind, id string) (Report, error) {
	e := newEngine(o)
	return e.call(ctx, false, func(ctx context.Context) error { return e.lister.parent(ctx, k, id) })
}

// Since brings up to date the users that changed since a moment, the newest
// first, and the organizations and memberships made since then. It finds no
// deletions, and no changes of older organizations and memberships: Clerk has no
// list of those.
func Since(ctx context.Context, o Options, since time.Time) (Report, error) {
	e := newEngine(o)
	return e.call(ctx, false, func(ctx context.Context) error {
		lately := func(ctx context.Context, q clerk.ListQuery) (clerk.Page, error) {
			return o.Clerk.Users(ctx, clerk.UserQuery{OrderBy: "-updated_at", Offset: q.Offset, Limit: q.Limit})
		}
		updated := func(item clerk.Item) clerk.Millis { return item.UpdatedAt }
		created := func(item clerk.Item) clerk.Millis { return item.CreatedAt }
		if err := e.lister.newest(ctx, users(o.Clerk), "-updated_at", lately, updated, clerk.MillisOf(since)); err != nil {
			return err
		}
		if err := e.lister.newest(ctx, organizations(o.Clerk), "-created_at", o.Clerk.Organizations, created, clerk.MillisOf(since)); err != nil {
			return err
		}
		return e.lister.newest(ctx, memberships(o.Clerk), "-created_at", o.Clerk.Memberships, created, clerk.MillisOf(since))
	})
}

type listing func(ctx context.Context, q clerk.ListQuery) (clerk.Page, error)

// newest applies what is newer than since from a list that begins with the newest.
func (l *lister) newest(ctx context.Context, k kind, order string, list listing, at func(clerk.Item) clerk.Millis, since clerk.Millis) error {
	l.record.enter(k.phase)
	pages := l.applier.pages(ctx, mirror.Window{Object: k.object})
	seen := map[string]bool{}
	for q := (clerk.ListQuery{OrderBy: order, Limit: l.options.pageSize}); ; q.Offset += l.options.pageSize - overlaps[0] {
		page, err := list(ctx, q)
		if l.skipped(ctx, k.object, err) {
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
		if old || len(page.Items) < l.options.pageSize {
			break
		}
	}
	tally, err := pages.wait()
	l.record.update(k.object, func(r *ObjectReport) { r.Tally.Add(tally); r.Listed += int64(len(seen)) })
	return err
}

// parent brings a user or an organization up to date, and its memberships.
func (l *lister) parent(ctx context.Context, k kind, id string) error {
	l.record.enter(k.phase)
	asked := time.Now()
	page, err := k.one(ctx, id)
	if errors.Is(err, clerk.ErrNotFound) {
		return l.deleter.gone(ctx, k.object, id, asked)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", id, err)
	}
	if len(page.Items) != 1 || page.Items[0].ID != id {
		// An organization is also found by its slug.
		return fmt.Errorf("reading %s: Clerk answered with another object; give the id, which begins with %s", id, k.prefix)
	}
	tally, err := l.applier.apply(ctx, mirror.Window{Object: k.object}, page)
	if err != nil {
		return err
	}
	l.record.update(k.object, func(r *ObjectReport) { r.Listed++; r.Tally.Add(tally) })
	return l.membershipsOf(ctx, k, id)
}

// membershipsOf applies the memberships of a user or an organization and ends
// those that are not listed, if the list is complete.
func (l *lister) membershipsOf(ctx context.Context, k kind, id string) error {
	l.record.enter("organization_memberships")
	// What joins while the list is read is not known to the copy now.
	known, err := l.options.Store.MembershipsOf(ctx, k.object, id)
	if err != nil {
		return err
	}
	asked := time.Now()
	listed := map[string]bool{}
	for q := (clerk.ListQuery{OrderBy: "+created_at", Limit: l.options.pageSize}); ; {
		page, err := k.members(ctx, id, q)
		if l.skipped(ctx, mirror.Memberships, err) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the memberships of %s: %w", id, err)
		}
		tally, err := l.applier.apply(ctx, mirror.Window{Object: mirror.Memberships}, page)
		if err != nil {
			return err
		}
		before := len(listed)
		for _, item := range page.Items {
			listed[item.ID] = true
		}
		l.record.update(mirror.Memberships, func(r *ObjectReport) { r.Listed += int64(len(listed) - before); r.Tally.Add(tally) })
		if int64(len(listed)) >= page.Total {
			break
		}
		if len(listed) == before {
			return fmt.Errorf("%w: Clerk counts %d memberships of %s and listed %d", ErrIncomplete, page.Total, id, len(listed))
		}
		q.Offset = max(0, len(listed)-overlaps[0])
	}
	return l.deleter.deleteUnlisted(ctx, known, listed, asked)
}
