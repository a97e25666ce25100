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
	engine *engine
	window mirror.Window
	ctx    context.Context
	cancel context.CancelFunc
	group  *errgroup.Group

	mu    sync.Mutex
	tally mirror.Tally
}

func (e *engine) pages(ctx context.Context, w mirror.Window) *pages {
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	return &pages{engine: e, window: w, ctx: ctx, cancel: cancel, group: group}
}

// apply begins to apply a page. It waits while as many pages are under way as may
// be held in memory.
func (p *pages) apply(page clerk.Page) error {
	select {
	case p.engine.applying <- struct{}{}:
	case <-p.ctx.Done():
		return p.fail(context.Cause(p.ctx))
	}
	p.group.Go(func() error {
		defer func() { <-p.engine.applying }()
		tally, err := p.engine.apply(p.ctx, p.window, page)
		if err != nil {
			return err
		}
		p.engine.advance(int64(len(page.Items)))
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

// fail gives up for a reason, or for the one that came before it.
func (p *pages) fail(reason error) error {
	p.cancel()
	if err := p.group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return reason
}

// apply applies one page of a window, or compares it.
func (e *engine) apply(ctx context.Context, w mirror.Window, page clerk.Page) (mirror.Tally, error) {
	var tally mirror.Tally
	var differences []mirror.Difference
	err := e.persist(ctx, func(ctx context.Context) (err error) {
		switch {
		case e.DryRun:
			tally, differences, err = e.Store.PreviewPage(ctx, w.Object, page, e.settled)
		case e.run != nil:
			tally, err = e.run.ApplyPage(ctx, w, page, e.settled)
		default:
			tally, err = e.Store.ApplyPage(ctx, w.Object, page, e.settled)
		}
		return err
	})
	for _, d := range differences {
		e.OnDifference(d)
	}
	return tally, err
}
