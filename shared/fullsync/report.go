package fullsync

import (
	"reflect"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/mirror"
)

// Of is the part of the report about a kind: the one that is named as its plural is. Every
// kind has one, which the tests hold; an unknown one has none.
func (r *Report) Of(object mirror.Object) *ObjectReport {
	report := reflect.ValueOf(r).Elem()
	for i := range report.NumField() {
		if part, ok := reflect.TypeAssert[*ObjectReport](report.Field(i).Addr()); ok && report.Type().Field(i).Tag.Get("json") == object.Object().Plural {
			return part
		}
	}
	return nil
}

// DeletedHere is how many objects Clerk has whose tombstones a run has left.
func (r *Report) DeletedHere() int64 {
	var n int64
	for _, object := range clerk.Objects() {
		n += r.Of(object.Kind).DeletedHere
	}
	return n
}

// record is what one call says of itself: its report, and how far it is.
type record struct {
	options Options
	began   time.Time

	mu     sync.Mutex
	report Report
	totals map[mirror.Object]int64
	phase  string
	done   int64
}

// update changes the part of the report about a kind.
func (c *record) update(object mirror.Object, change func(*ObjectReport)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.report.Of(object))
}

// count takes what the windows of a run say: they are written with what they
// count, so that no count is lost or doubled by a call that is killed.
func (c *record) count(windows []mirror.Window) {
	latest := map[mirror.Object]int{} // of the passes over its list, if a kind was read as one
	for _, w := range windows {
		latest[w.Object] = max(latest[w.Object], w.Pass)
	}
	for _, o := range clerk.Objects() {
		r := c.report.Of(o.Kind)
		r.Tally, r.Listed = mirror.Tally{}, 0
		for _, w := range windows {
			switch {
			case w.Object != o.Kind:
				continue
			case w.Pass == latest[o.Kind]:
				r.Listed += w.Listed
			default:
				// They are counted in the pass that listed them last.
				w.Tally.Drift -= w.Tally.DeletedHere
				w.Tally.DeletedHere, w.Tally.Unchanged, w.Tally.Stale = 0, 0, 0
			}
			r.Tally.Add(w.Tally)
		}
		if latest[o.Kind] > 1 {
			// What an earlier pass wrote, a later one has found unchanged.
			r.Unchanged = min(r.Unchanged, max(0, r.Listed-r.Stale-r.Created-r.Updated))
		}
	}
}

// sum completes a report.
func (c *record) sum() {
	c.report.Drift = 0
	for _, o := range clerk.Objects() {
		c.report.Drift += c.report.Of(o.Kind).Drift
	}
	stats := c.options.Clerk.Stats()
	c.report.Requests, c.report.Retries, c.report.RateLimited = stats.Requests, stats.Retries, stats.RateLimited
	c.report.DurationMS = time.Since(c.began).Milliseconds()
}

// enter says that a phase begins.
func (c *record) enter(phase string) {
	c.mu.Lock()
	c.phase = phase
	c.mu.Unlock()
	c.advance(0)
}

// expect says how many objects of a kind there are.
func (c *record) expect(object mirror.Object, total int64) {
	c.mu.Lock()
	c.totals[object] = total
	c.mu.Unlock()
}

// advance says that so many objects more are done.
func (c *record) advance(n int64) {
	stats := c.options.Clerk.Stats()
	c.mu.Lock()
	c.done += n
	p := Progress{Phase: c.phase, Done: c.done, Requests: stats.Requests, RateLimited: stats.RateLimited}
	for _, total := range c.totals {
		p.Total += total
	}
	c.mu.Unlock()
	c.options.Progress(p)
}
