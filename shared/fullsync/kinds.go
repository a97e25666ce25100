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

// kind is how one kind of object is listed and confirmed.
type kind struct {
	object mirror.Object
	phase  string
	// one reads an object by itself, whose id begins with prefix, and members a page of its
	// memberships; nil where Clerk has no such question.
	one     func(ctx context.Context, id string) (clerk.Page, error)
	prefix  string
	members func(ctx context.Context, id string, q clerk.ListQuery) (clerk.Page, error)
	// list reads a page, the oldest first.
	list func(ctx context.Context, offset, limit int) (clerk.Page, error)
	// find returns those of some objects that Clerk has, and when it was asked.
	find func(ctx context.Context, objects []mirror.Suspect) (clerk.Page, error)
}

func users(c *clerk.Backend) kind {
	return kind{
		object: mirror.Users, phase: "users", list: countedUsers(c),
		one: c.User, prefix: "user_", members: c.UserMemberships,
		find: byID(func(ctx context.Context, ids []string) (clerk.Page, error) {
			return c.Users(ctx, clerk.UserQuery{IDs: ids, Limit: clerk.MaxLimit})
		}),
	}
}

// countedUsers lists users by offset. That list does not say how long it is, so
// they are counted at its beginning and wherever it seems to end.
func countedUsers(c *clerk.Backend) func(ctx context.Context, offset, limit int) (clerk.Page, error) {
	var mu sync.Mutex
	total := int64(-1)
	return func(ctx context.Context, offset, limit int) (clerk.Page, error) {
		page, err := c.Users(ctx, clerk.UserQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
		if err != nil {
			return clerk.Page{}, err
		}
		mu.Lock()
		defer mu.Unlock()
		if int64(offset+len(page.Items)) >= total {
			if total, err = c.CountUsers(ctx, clerk.UserQuery{}); err != nil {
				return clerk.Page{}, err
			}
		}
		page.Total = total
		return page, nil
	}
}

func organizations(c *clerk.Backend) kind {
	return kind{
		object: mirror.Organizations, phase: "organizations",
		one: c.Organization, prefix: "org_", members: c.OrganizationMemberships,
		list: func(ctx context.Context, offset, limit int) (clerk.Page, error) {
			return c.Organizations(ctx, clerk.ListQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
		},
		find: byID(func(ctx context.Context, ids []string) (clerk.Page, error) {
			return c.Organizations(ctx, clerk.ListQuery{IDs: ids, Limit: clerk.MaxLimit})
		}),
	}
}

func memberships(c *clerk.Backend) kind {
	return kind{
		object: mirror.Memberships, phase: "organization_memberships",
		list: func(ctx context.Context, offset, limit int) (clerk.Page, error) {
			return c.Memberships(ctx, clerk.ListQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
		},
		find: func(ctx context.Context, objects []mirror.Suspect) (clerk.Page, error) {
			return findMemberships(ctx, c, objects)
		},
	}
}

// definitions are few, and listed again to confirm.
func definitions(c *clerk.Backend, o clerk.Object) kind {
	list := func(ctx context.Context, offset, limit int) (clerk.Page, error) {
		return c.List(ctx, o.Kind, clerk.ListQuery{OrderBy: "+created_at", Offset: offset, Limit: limit})
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

// findMemberships asks each organization for the users of the memberships.
func findMemberships(ctx context.Context, c *clerk.Backend, memberships []mirror.Suspect) (clerk.Page, error) {
	users := map[string][]string{}
	for _, s := range memberships {
		users[s.OrganizationID] = append(users[s.OrganizationID], s.UserID)
	}
	// The first question is the oldest: nothing is said to be gone later than it was asked for.
	found := clerk.Page{RequestedAt: time.Now(), Resources: []byte("[]")}
	for _, organization := range slices.Sorted(maps.Keys(users)) {
		page, err := c.OrganizationMemberships(ctx, organization, clerk.ListQuery{IDs: users[organization], Limit: clerk.MaxLimit})
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
