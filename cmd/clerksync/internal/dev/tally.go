package dev

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
	"clerksync/shared/mirror"
)

// outcomes are what deliveries are counted by, in the order they are shown in.
var outcomes = []mirror.Outcome{mirror.Queued, mirror.Applied, mirror.Duplicate, mirror.Stale, mirror.Ignored, mirror.Rejected}

// maxLatencies bounds the memory of a long run: percentiles are of the last so
// many answers.
const maxLatencies = 1 << 16

// tally counts what was seen. It is safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	started   time.Time
	answers   int
	outcomes  map[string]int
	failures  int
	retries   int
	givenUp   int
	latencies []time.Duration
	lags      []time.Duration // of events from the queue
	applied   int             // of these
	recent    []time.Time     // of the last answers, for the rate
	tables    mirror.Status
	queue     *devstack.QueueStatus
}

func newTally() *tally { return &tally{started: time.Now(), outcomes: map[string]int{}} }

func (t *tally) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.started = time.Now()
}

func (t *tally) setTables(s mirror.Status) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tables = s
}

func (t *tally) setQueue(q *devstack.QueueStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = q
}

// remember keeps the last of what was measured, of which n came before.
func remember(list []time.Duration, n int, d time.Duration) []time.Duration {
	if len(list) < maxLatencies {
		return append(list, d)
	}
	list[n%maxLatencies] = d
	return list
}

func (t *tally) add(d delivery) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.Batch > 0 {
		t.outcomes[d.Outcome]++
		t.lags = remember(t.lags, t.applied, d.Latency)
		t.applied++
		return
	}
	if d.Attempt > 1 {
		t.retries++
	}
	if d.GivenUp {
		t.givenUp++
	}
	if d.Status < 200 || d.Status > 299 {
		t.failures++
		return
	}
	t.outcomes[d.Outcome]++
	t.latencies = remember(t.latencies, t.answers, d.Latency)
	t.answers++
	now := time.Now()
	t.recent = append(t.recent, now)
	for len(t.recent) > 0 && now.Sub(t.recent[0]) > rateWindow {
		t.recent = t.recent[1:]
	}
}

// rateWindow is what the shown rate is an average of.
const rateWindow = 5 * time.Second

// rate is called with the lock held.
func (t *tally) rate() float64 {
	now := time.Now()
	n := 0
	for i := len(t.recent) - 1; i >= 0 && now.Sub(t.recent[i]) <= rateWindow; i-- {
		n++
	}
	return float64(n) / min(rateWindow, max(now.Sub(t.started), time.Second)).Seconds()
}

// block is the status at the bottom of a terminal.
func (t *tally) block(s *console.Screen) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := func(name string, c mirror.Counts) string {
		text := fmt.Sprintf("%s %d", name, c.Live)
		if c.Placeholders > 0 {
			text += s.Dim(fmt.Sprintf(" +%d placeholders", c.Placeholders))
		}
		if c.Tombstones > 0 {
			text += s.Dim(fmt.Sprintf(" (%d deleted)", c.Tombstones))
		}
		return text
	}
	events := []string{}
	for _, o := range outcomes {
		if n := t.outcomes[string(o)]; n > 0 {
			events = append(events, paintOutcome(s, string(o), string(o))+fmt.Sprintf(" %d", n))
		}
	}
	if t.failures > 0 {
		events = append(events, paintOutcome(s, "", "failed")+fmt.Sprintf(" %d", t.failures))
	}
	if t.queue != nil {
		events = append(events, t.waiting())
	}
	events = append(events, s.Dim(fmt.Sprintf("%.1f/s", t.rate())), s.Dim(time.Since(t.started).Round(time.Second).String()))
	return []string{
		"",
		table("users", t.tables.Users) + "   " + table("organizations", t.tables.Organizations) + "   " + table("memberships", t.tables.Memberships),
		strings.Join(events, "   "),
	}
}

// line is the same for a log.
func (t *tally) line() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := func(name string, c mirror.Counts) string {
		return fmt.Sprintf("%s %d (%d deleted)", name, c.Live, c.Tombstones)
	}
	return fmt.Sprintf("%s, %s, %s; %s; %.1f/s", table("users", t.tables.Users), table("organizations", t.tables.Organizations),
		table("memberships", t.tables.Memberships), t.events(), t.rate())
}

// waiting is called with the lock held, where there is a queue.
func (t *tally) waiting() string {
	text := fmt.Sprintf("%d in the queue", t.queue.Waiting)
	if t.queue.Dead > 0 {
		text += ", " + console.Count(t.queue.Dead, "dead letter", "dead letters")
	}
	return text
}

// events is called with the lock held.
func (t *tally) events() string {
	var parts []string
	for _, o := range outcomes {
		if n := t.outcomes[string(o)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	if t.failures > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", t.failures))
	}
	if t.retries > 0 {
		parts = append(parts, fmt.Sprintf("%d retried", t.retries))
	}
	if t.givenUp > 0 {
		parts = append(parts, fmt.Sprintf("%d given up", t.givenUp))
	}
	if t.queue != nil {
		parts = append(parts, t.waiting())
	}
	if len(parts) == 0 {
		return "no events"
	}
	return strings.Join(parts, ", ")
}
