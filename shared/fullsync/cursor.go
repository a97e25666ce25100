package fullsync

import (
	"context"
	"errors"
	"fmt"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// userCursor is a place in the list of users.
type userCursor struct {
	// users asks Clerk.
	users func(context.Context, clerk.UserQuery) (clerk.Page, error)
	query clerk.UserQuery
	// to is where the list ends; 0 is without end.
	to clerk.Millis
	// last is when the last user was made that was read, and recent are the ids of
	// the last page.
	last   clerk.Millis
	recent map[string]bool
	// longest is the longest page so far.
	longest int
	// stored says that the place comes from an earlier call and nothing was listed
	// behind it yet; lost is how often Clerk did not know the place since it last did.
	stored bool
	lost   int
	done   bool
}

// mostLost is how many places may be lost in a row before it is the cursor that Clerk
// does not know.
const mostLost = 3

// cursor is where a window begins.
func (l *lister) cursor(w mirror.Window) *userCursor {
	c := &userCursor{users: l.options.Clerk.Users, query: within(w.Span()), to: w.To, last: w.From, stored: w.After != ""}
	c.query.OrderBy, c.query.Limit, c.query.StartingAfter = "+created_at", l.options.pageSize, w.After
	return c
}

// next reads a page. It may hold users again that were listed before.
func (c *userCursor) next(ctx context.Context) (clerk.Page, error) {
	for {
		placed := c.query.StartingAfter != ""
		page, err := c.users(ctx, c.query)
		refused := errors.Is(err, clerk.ErrUnprocessable)
		switch {
		case placed && c.lost < mostLost && (refused || errors.Is(err, clerk.ErrNotFound) || c.stored && err == nil && len(page.Items) == 0):
			// The user whose id the place is may be gone: on from its creation time.
			c.stored, c.recent = false, nil
			c.lost++
			c.query.StartingAfter, c.query.CreatedAfter = "", max(c.last-1, 0)
			continue
		case refused:
			return clerk.Page{}, fmt.Errorf("%w: %w", errNoCursor, err)
		case err != nil:
			return clerk.Page{}, err
		case !c.follows(page, placed):
			return clerk.Page{}, fmt.Errorf("%w: it ignores the cursor or the creation times asked for", errNoCursor)
		}
		n := len(page.Items)
		if !placed && n > 0 && page.Items[n-1].CreatedAt < c.last {
			// The bound is part of what it bounds, and so is the next moment of its own;
			// this one may be a crowded one.
			c.query.CreatedAfter = c.last
			continue
		}
		if placed {
			c.lost, c.stored = 0, false
		}
		// A page may be short because Clerk gives fewer at a time: only an empty
		// one is certainly the end, or a short one behind a longer one.
		c.done = n == 0 || placed && n < c.query.Limit && n < c.longest || c.to != 0 && page.Items[n-1].CreatedAt >= c.to
		if n > 0 {
			c.longest = max(c.longest, n)
			c.last, c.query.StartingAfter = page.Items[n-1].CreatedAt, page.Items[n-1].ID
			c.recent = make(map[string]bool, n)
			for _, item := range page.Items {
				c.recent[item.ID] = true
			}
		}
		return page, nil
	}
}

// follows tells whether a page is one that was asked for: in order, within the
// span, and behind the page before it.
func (c *userCursor) follows(page clerk.Page, placed bool) bool {
	var previous clerk.Millis
	if placed {
		previous = c.last
	}
	for _, item := range page.Items {
		if item.CreatedAt < previous || placed && c.recent[item.ID] ||
			c.query.CreatedAfter != 0 && item.CreatedAt < c.query.CreatedAfter ||
			c.query.CreatedBefore != 0 && item.CreatedAt > c.query.CreatedBefore {
			return false
		}
		previous = item.CreatedAt
	}
	return true
}
