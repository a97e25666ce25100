package fullsync

import (
	"reflect"
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

// update changes the part of the report about a kind.
func (e *engine) update(object mirror.Object, change func(*ObjectReport)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e.report.Of(object))
}

// count takes what the windows of a run say: they are written with what they
// count, so that no count is lost or doubled by a call that is killed.
func (e *engine) count() {
	for _, o := range clerk.Objects() {
		object, r := o.Kind, e.report.Of(o.Kind)
		r.Tally, r.Listed = mirror.Tally{}, 0
		latest := 0 // of the passes over its list, if it was read as one
		for _, w := range e.run.Windows {
			if w.Object == object {
				latest = max(latest, w.Pass)
			}
		}
		for _, w := range e.run.Windows {
			if w.Object != object {
				continue
			}
			if w.Pass == latest {
				r.Listed += w.Listed
			} else {
				// They are counted in the pass that listed them last.
				w.Tally.Drift -= w.Tally.DeletedHere
				w.Tally.DeletedHere = 0
			}
			r.Tally.Add(w.Tally)
		}
	}
}

// sum completes a report.
func (e *engine) sum() {
	e.report.Drift = 0
	for _, o := range clerk.Objects() {
		e.report.Drift += e.report.Of(o.Kind).Drift
	}
	stats := e.Clerk.Stats()
	e.report.Requests, e.report.Retries, e.report.RateLimited = stats.Requests, stats.Retries, stats.RateLimited
	e.report.DurationMS = time.Since(e.began).Milliseconds()
}

// enter says that a phase begins.
func (e *engine) enter(phase string) {
	e.mu.Lock()
	e.phase = phase
	e.mu.Unlock()
	e.advance(0)
}

// expect says how many objects of a kind there are.
func (e *engine) expect(object mirror.Object, total int64) {
	e.mu.Lock()
	e.totals[object] = total
	e.mu.Unlock()
}

// advance says that so many objects more are done.
func (e *engine) advance(n int64) {
	stats := e.Clerk.Stats()
	e.mu.Lock()
	e.done += n
	p := Progress{Phase: e.phase, Done: e.done, Requests: stats.Requests, RateLimited: stats.RateLimited}
	for _, total := range e.totals {
		p.Total += total
	}
	e.mu.Unlock()
	e.Progress(p)
}
