package setup

import (
	"slices"
	"time"

	"clerksync/shared/clerk"
)

// EventTypes are those that a webhook endpoint has to be subscribed to: created, updated and deleted of every kind of
// object that the copy holds.
func EventTypes() []string {
	var types []string
	for _, o := range clerk.Objects() {
		for _, verb := range []string{".created", ".updated", ".deleted"} {
			types = append(types, o.Event+verb)
		}
	}
	return types
}

// Coverage compares what an endpoint is subscribed to with what it should be, as far as that shows. Clerk does not tell
// which types an endpoint has: what arrived is known, and what a full sync found that no event had told of.
type Coverage struct {
	// Needless types arrived and are of no use: they are ignored.
	Needless []string `json:"needless"`
	// Missing kinds of objects had drift in the last full sync, and no event of theirs arrived.
	Missing []string `json:"missing"`
	// Unseen types have not arrived so far, which may be since nothing of the kind happened.
	Unseen []string `json:"unseen"`
}

// Cover judges by the types that arrived and by the drift of the last complete full sync, by the kinds of its objects;
// drift is nil where no such run is known.
func Cover(arrived map[string]int64, drift map[clerk.Kind]int64) Coverage {
	c := Coverage{Needless: []string{}, Missing: []string{}, Unseen: []string{}}
	seen := map[clerk.Kind]bool{}
	for eventType := range arrived {
		if kind, ours := clerk.KindOfEvent(eventType); ours {
			seen[kind] = true
		} else if eventType != "" {
			c.Needless = append(c.Needless, eventType)
		}
	}
	slices.Sort(c.Needless)
	for _, o := range clerk.Objects() {
		if drift[o.Kind] > 0 && !seen[o.Kind] {
			c.Missing = append(c.Missing, o.Event)
		}
	}
	for _, eventType := range EventTypes() {
		if arrived[eventType] == 0 {
			c.Unseen = append(c.Unseen, eventType)
		}
	}
	return c
}

// RetrySchedule is how long after its first attempt Svix last tries to deliver a message: 5 s, 5 min, 30 min, 2 h, 5 h,
// 10 h and 10 h after the attempt before (docs.svix.com/retries).
const RetrySchedule = 27*time.Hour + 35*time.Minute + 5*time.Second

// Rotation is one signing secret that takes another's place. Secrets are known by their fingerprints.
type Rotation struct {
	Old       string    `json:"old"`
	New       string    `json:"new"`
	StartedAt time.Time `json:"started_at"`
}

// Use is what a secret has verified of late.
type Use struct {
	// Messages counts those of which it has verified a delivery.
	Messages int64 `json:"messages"`
	// LastAt is the latest delivery; zero if there was none.
	LastAt time.Time `json:"last_at,omitzero"`
}

// Verdict is how far a rotation is.
type Verdict struct {
	// Proved says that the new secret has verified a delivery: the old endpoint may go.
	Proved bool `json:"proved"`
	// Silent says that the old one is needed no more: no delivery for a whole retry schedule.
	Silent bool `json:"silent"`
	// Left is how long the old one still has to be silent; 0 once Silent.
	Left time.Duration `json:"-"`
}

// Judge judges a rotation by what both secrets have verified.
func (r Rotation) Judge(before, after Use, now time.Time) Verdict {
	since := r.StartedAt
	if before.LastAt.After(since) {
		since = before.LastAt
	}
	v := Verdict{Proved: after.Messages > 0}
	v.Left = max(RetrySchedule-now.Sub(since), 0)
	// An instance of which nothing arrives at all says nothing about the old one.
	v.Silent = v.Proved && v.Left == 0
	return v
}
