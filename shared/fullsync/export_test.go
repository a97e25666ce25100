package fullsync

import (
	"context"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// Small makes windows and pages small, so that few objects make many of them.
func (o *Options) Small(window, page int) { o.windowSize, o.pageSize = window, page }

// Patience is how long a database that is away is waited for.
func (o *Options) Patience(d time.Duration) { o.patience = d }

// CutUsers cuts a span as a run does.
func CutUsers(ctx context.Context, whole mirror.Cut, count func(context.Context, mirror.Span) (int64, error), workers int) ([]mirror.Cut, error) {
	keep := func(context.Context, []mirror.Cut) error { return nil }
	return cutUsers(ctx, []mirror.Cut{whole}, count, keep, windowSize, workers)
}

// The sizes of a run that no test makes smaller.
const (
	MostSent   = mostSent
	WindowSize = windowSize
	PageSize   = pageSize
)

// Fill adds users to a window that holds some, as a run does, and says what it holds then.
func Fill(w mirror.Window, held Holding, users []clerk.Item, size int) (int, mirror.Window, *mirror.Window, Holding) {
	n, closed, rest := fill(w, held, users, size, false)
	held.add(users[:n])
	return n, closed, rest, held
}

// Holding is what a window holds.
type Holding = holding

// Users is how many.
func (h *holding) Users() int { return h.objects }

// The reasons for which a list is read again.
var (
	ErrMissed   = errMissed
	ErrNoCursor = errNoCursor
)

// GiveUp gives up a window of which something is being written, for a reason.
func GiveUp(ctx context.Context, reason error, write func(context.Context) error) error {
	p := (&applier{}).pages(ctx, mirror.Window{})
	p.group.Go(func() error { return write(p.ctx) })
	return p.fail(reason)
}
