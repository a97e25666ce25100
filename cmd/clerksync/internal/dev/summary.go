package dev

import (
	"fmt"
	"slices"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/mirror"
)

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
	text := fmt.Sprintf("%s in %s: %s", console.Count(t.answers+t.failures, "delivery", "deliveries"),
		time.Duration(s.DurationS*float64(time.Second)).Round(100*time.Millisecond), t.events())
	if t.answers > 0 {
		text += fmt.Sprintf("; latency p50 %.1f ms, p95 %.1f ms, max %.1f ms", s.Latency.P50, s.Latency.P95, s.Latency.Max)
	}
	if s.Queue != nil && s.Lag != nil {
		text += fmt.Sprintf("; from Clerk to the copy p50 %.1f ms, p95 %.1f ms, in %s", s.Lag.P50, s.Lag.P95, console.Count(s.Queue.Batches, "batch", "batches"))
		if s.Queue.Failed > 0 {
			text += fmt.Sprintf(", %d of which failed", s.Queue.Failed)
		}
	}
	return text
}
