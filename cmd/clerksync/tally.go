package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/mirror"
)

// delivery is one line of the stream.
type delivery struct {
	At       time.Time
	Type     string
	ObjectID string
	SvixID   string
	// Attempt is 0 where the sender is a real one, which does not say.
	Attempt     int
	Late, Twice bool
	Status      int
	Outcome     string
	Reason      string
	Code        string
	Latency     time.Duration
	GivenUp     bool
	err         error
	// Batch is how many events of the queue were applied together, this one
	// included; Latency is the time since Clerk stated it. 0 is a request.
	Batch int
}

// deliveryObject is a delivery as JSON.
type deliveryObject struct {
	Kind      string    `json:"kind"` // "delivery"
	At        time.Time `json:"at"`
	Type      string    `json:"type,omitempty"`
	ObjectID  string    `json:"object_id,omitempty"`
	SvixID    string    `json:"svix_id"`
	Attempt   int       `json:"attempt,omitempty"`
	Late      bool      `json:"late,omitempty"`
	Twice     bool      `json:"twice,omitempty"`
	Status    int       `json:"status"`
	Outcome   string    `json:"outcome,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Code      string    `json:"code,omitempty"`
	Error     string    `json:"error,omitempty"`
	GivenUp   bool      `json:"given_up,omitempty"`
	LatencyMS float64   `json:"latency_ms"`
}

// eventObject is what became of an event from the queue, as JSON.
type eventObject struct {
	Kind     string    `json:"kind"` // "event"
	At       time.Time `json:"at"`
	Type     string    `json:"type"`
	ObjectID string    `json:"object_id,omitempty"`
	SvixID   string    `json:"svix_id"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason,omitempty"`
	Batch    int       `json:"batch"`
	LagMS    float64   `json:"lag_ms"`
}

func (d delivery) object() any {
	if d.Batch > 0 {
		return eventObject{
			Kind: "event", At: d.At.UTC(), Type: d.Type, ObjectID: d.ObjectID, SvixID: d.SvixID,
			Outcome: d.Outcome, Reason: d.Reason, Batch: d.Batch, LagMS: milliseconds(d.Latency),
		}
	}
	o := deliveryObject{
		Kind: "delivery", At: d.At.UTC(), Type: d.Type, ObjectID: d.ObjectID, SvixID: d.SvixID, Attempt: d.Attempt,
		Late: d.Late, Twice: d.Twice, Status: d.Status, Outcome: d.Outcome, Reason: d.Reason, Code: d.Code,
		GivenUp: d.GivenUp, LatencyMS: milliseconds(d.Latency),
	}
	if d.err != nil {
		o.Error = d.err.Error()
	}
	return o
}

// result is the outcome, or what went wrong.
func (d delivery) result() string {
	switch {
	case d.Outcome != "":
		return d.Outcome
	case d.Status == 0:
		return "no answer"
	default:
		return fmt.Sprint(d.Status)
	}
}

// line is a delivery for people.
func (d delivery) line(s *screen) string {
	var notes []string
	if d.Reason != "" {
		notes = append(notes, d.Reason)
	}
	if d.Code != "" {
		notes = append(notes, d.Code)
	}
	if d.err != nil {
		notes = append(notes, d.err.Error())
	}
	if d.Late {
		notes = append(notes, "late")
	}
	if d.Twice {
		notes = append(notes, "again")
	}
	if d.Attempt > 1 {
		notes = append(notes, fmt.Sprintf("attempt %d", d.Attempt))
	}
	if d.GivenUp {
		notes = append(notes, "given up")
	}
	if d.Batch > 0 {
		notes = append(notes, fmt.Sprintf("from the queue, batch of %d", d.Batch))
	}
	what, id := d.Type, d.ObjectID
	if what == "" {
		what, id = "(not verified)", d.SvixID
	}
	width := idWidth(s.width())
	return fmt.Sprintf("%s  %-30s  %-*s  %s  %s  %s", s.dim(d.At.Format("15:04:05")), printable(what), width, printable(shorten(id, width)),
		s.outcome(d.result(), fmt.Sprintf("%-9s", d.result())), s.dim(fmt.Sprintf("%6.1f ms", milliseconds(d.Latency))),
		s.dim(printable(strings.Join(notes, ", "))))
}

// idWidth is the width of the column of ids: what the other columns leave of
// the terminal, up to the longest id.
func idWidth(terminal int) int {
	const others, longest, shortest = 70, 34, 10
	if terminal == 0 {
		return longest
	}
	return min(max(terminal-others, shortest), longest)
}

// shorten keeps both ends of an id, by which people tell them apart.
func shorten(id string, width int) string {
	letters := []rune(id)
	if len(letters) <= width {
		return id
	}
	return string(letters[:width-5]) + "…" + string(letters[len(letters)-4:])
}

// printable is text from elsewhere without what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

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
func (t *tally) block(s *screen) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	table := func(name string, c mirror.Counts) string {
		text := fmt.Sprintf("%s %d", name, c.Live)
		if c.Placeholders > 0 {
			text += s.dim(fmt.Sprintf(" +%d placeholders", c.Placeholders))
		}
		if c.Tombstones > 0 {
			text += s.dim(fmt.Sprintf(" (%d deleted)", c.Tombstones))
		}
		return text
	}
	events := []string{}
	for _, o := range outcomes {
		if n := t.outcomes[string(o)]; n > 0 {
			events = append(events, s.outcome(string(o), string(o))+fmt.Sprintf(" %d", n))
		}
	}
	if t.failures > 0 {
		events = append(events, s.outcome("", "failed")+fmt.Sprintf(" %d", t.failures))
	}
	if t.queue != nil {
		events = append(events, t.waiting())
	}
	events = append(events, s.dim(fmt.Sprintf("%.1f/s", t.rate())), s.dim(time.Since(t.started).Round(time.Second).String()))
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
		text += ", " + count(t.queue.Dead, "dead letter", "dead letters")
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

// summaryObject is the last line of --json.
type summaryObject struct {
	Kind      string  `json:"kind"` // "summary"
	Seed      *uint64 `json:"seed,omitempty"`
	DurationS float64 `json:"duration_s"`
	// Deliveries are the double's; Outcomes, Failures and Retries are of the
	// single attempts.
	Deliveries *svix.Counts   `json:"deliveries,omitempty"`
	Outcomes   map[string]int `json:"outcomes"`
	Failures   int            `json:"failures"`
	Retries    int            `json:"retries"`
	Latency    latencies      `json:"latency_ms"`
	Tables     mirror.Status  `json:"tables"`
	// Queue is what the queue holds and has done, Lag the time from Clerk's
	// statement to the commit, and DeadLetters the events that were given up.
	// All are of --ingest queued alone.
	Queue       *devstack.QueueStatus `json:"queue,omitempty"`
	Lag         *latencies            `json:"lag_ms,omitempty"`
	DeadLetters []devstack.DeadLetter `json:"dead_letters,omitempty"`
	// Equal is null where nothing was compared.
	Equal       *bool                 `json:"equal"`
	Differences []devstack.Difference `json:"differences,omitempty"`
}

type latencies struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (t *tally) summary() summaryObject {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := summaryObject{
		Kind: "summary", DurationS: time.Since(t.started).Round(time.Millisecond).Seconds(),
		Outcomes: map[string]int{}, Failures: t.failures, Retries: t.retries, Tables: t.tables, Queue: t.queue,
		Latency: percentiles(t.latencies),
	}
	for _, o := range outcomes {
		if o != mirror.Queued || t.queue != nil {
			s.Outcomes[string(o)] = t.outcomes[string(o)]
		}
	}
	if t.queue != nil {
		s.Lag = new(percentiles(t.lags))
	}
	return s
}

func percentiles(list []time.Duration) latencies {
	sorted := slices.Sorted(slices.Values(list))
	if len(sorted) == 0 {
		return latencies{}
	}
	at := func(share float64) float64 { return milliseconds(sorted[int(share*float64(len(sorted)-1))]) }
	return latencies{P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1)}
}

// closing is the summary for people.
func (t *tally) closing(s summaryObject) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := fmt.Sprintf("%s in %s: %s", count(t.answers+t.failures, "delivery", "deliveries"),
		time.Duration(s.DurationS*float64(time.Second)).Round(100*time.Millisecond), t.events())
	if t.answers > 0 {
		text += fmt.Sprintf("; latency p50 %.1f ms, p95 %.1f ms, max %.1f ms", s.Latency.P50, s.Latency.P95, s.Latency.Max)
	}
	if s.Queue != nil && s.Lag != nil {
		text += fmt.Sprintf("; from Clerk to the copy p50 %.1f ms, p95 %.1f ms, in %s", s.Lag.P50, s.Lag.P95, count(s.Queue.Batches, "batch", "batches"))
		if s.Queue.Failed > 0 {
			text += fmt.Sprintf(", %d of which failed", s.Queue.Failed)
		}
	}
	return text
}
