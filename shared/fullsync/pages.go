package fullsync

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// pages applies the pages of one window while the next ones are read.
type pages struct {
	applier *applier
	window  mirror.Window
	ctx     context.Context
	cancel  context.CancelFunc
	group   *errgroup.Group

	mu    sync.Mutex
	tally mirror.Tally
}

func (a *applier) pages(ctx context.Context, w mirror.Window) *pages {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	return &pages{applier: a, window: w, ctx: ctx, cancel: cancel, group: group}
}

// apply begins to apply a page. It waits while as many pages are under way as may
// be held in memory.
func (p *pages) apply(page clerk.Page) error {
	select {
	case p.applier.slots <- struct{}{}:
	case <-p.ctx.Done():
		return p.fail(context.Cause(p.ctx))
	}
	p.group.Go(func() error {
		defer func() { <-p.applier.slots }()
		tally, err := p.applier.apply(p.ctx, p.window, page)
		if err != nil {
			return err
		}
		p.applier.record.advance(int64(len(page.Items)))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tally.Add(tally)
		return nil
	})
	return nil
}

// wait returns what became of all pages, once they are written.
func (p *pages) wait() (mirror.Tally, error) {
	err := p.group.Wait()
	p.cancel()
	return p.tally, err
}

// fail gives up for a reason, or for the one that came before it. A list that is read
// again for that reason is another window: what is still being written then would be
// counted in both, and so is waited for.
func (p *pages) fail(reason error) error {
	if !errors.Is(reason, errMissed) && !errors.Is(reason, errNoCursor) {
		p.cancel()
	}
	defer p.cancel()
	if err := p.group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return reason
}

// apply applies one page of a window, or compares it.
func (a *applier) apply(ctx context.Context, w mirror.Window, page clerk.Page) (mirror.Tally, error) {
	switch {
	case a.options.DryRun:
		tally, differences, err := a.options.Store.PreviewPage(ctx, w.Object, page, a.settled)
		for _, d := range differences {
			a.options.OnDifference(d)
		}
		return tally, err
	case a.run != nil:
		return a.run.ApplyPage(ctx, w, page, a.settled)
	default:
		return a.options.Store.ApplyPage(ctx, w.Object, page, a.settled)
	}
}
