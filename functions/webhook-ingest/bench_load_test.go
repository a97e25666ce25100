package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	main "clerksync/functions/webhook-ingest"
	"clerksync/shared/mirror"
	"clerksync/shared/webhook"
)

// tally is what one contender needed.
type tally struct {
	latencies []time.Duration
	rates     []float64 // of each round, in events per second
}

// newTally is that of one round.
func newTally(latencies []time.Duration, elapsed time.Duration) tally {
	return tally{latencies, []float64{float64(len(latencies)) / elapsed.Seconds()}}
}

func (t *tally) add(other tally) {
	t.latencies = append(t.latencies, other.latencies...)
	t.rates = append(t.rates, other.rates...)
}

// rate is the median round's, in events per second: a round in which the disk
// stalled counts as one slow round. The percentiles show it.
func (t *tally) rate() float64 {
	slices.Sort(t.rates)
	return t.rates[len(t.rates)/2]
}

// percentile is in milliseconds.
func (t *tally) percentile(p int) float64 {
	slices.Sort(t.latencies)
	return milliseconds(t.latencies[min(len(t.latencies)*p/100, len(t.latencies)-1)])
}

func (t *tally) report(b *testing.B, prefix string) {
	b.Helper()
	b.ReportMetric(t.rate(), prefix+"events/s")
	b.ReportMetric(t.percentile(50), prefix+"p50-ms")
	b.ReportMetric(t.percentile(99), prefix+"p99-ms")
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// interleave lets two contenders take turns, in rounds short enough that
// whatever else the machine does meets both alike, and in changing order.
func interleave(rounds int, first, second func(round int) tally) (a, b tally) {
	for round := range rounds {
		if round%2 == 0 {
			a.add(first(round))
			b.add(second(round))
		} else {
			b.add(second(round))
			a.add(first(round))
		}
	}
	return a, b
}

// instances makes one handler for each of a number of concurrent requests, as
// Lambda runs one instance for each: one request at a time and one connection.
func instances(b *testing.B, n int, connString string) []http.Handler {
	b.Helper()
	environment := map[string]string{"DATABASE_URL": connString, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret}
	lookup := func(key string) (string, bool) {
		value, ok := environment[key]
		return value, ok
	}
	handlers := make([]http.Handler, n)
	for i := range handlers {
		handler, closeDB, err := main.NewHandler(lookup, io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(closeDB)
		handlers[i] = handler
	}
	return handlers
}

func naiveInstances(b *testing.B, n int, connString string) []http.Handler {
	b.Helper()
	handlers := make([]http.Handler, n)
	for i := range handlers {
		handlers[i] = newNaive(b, connString)
	}
	return handlers
}

// deliver hands the requests to the handlers, each of which takes the next one
// when it has answered. Every answer must be 200.
func deliver(b *testing.B, handlers []http.Handler, requests []signedRequest) (tally, []*httptest.ResponseRecorder) {
	b.Helper()
	latencies := make([]time.Duration, len(requests))
	answers := make([]*httptest.ResponseRecorder, len(requests))
	var next atomic.Int64
	var workers sync.WaitGroup
	started := time.Now()
	for _, handler := range handlers {
		workers.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(requests) {
					return
				}
				request := httptest.NewRequest(http.MethodPost, webhook.Path, bytes.NewReader(requests[i].body))
				request.Header = requests[i].header
				answers[i] = httptest.NewRecorder()
				begun := time.Now()
				handler.ServeHTTP(answers[i], request)
				latencies[i] = time.Since(begun)
			}
		})
	}
	workers.Wait()
	elapsed := time.Since(started)
	for i, answer := range answers {
		if answer.Code != http.StatusOK {
			b.Fatalf("delivery %s: %d %s", requests[i].header.Get("svix-id"), answer.Code, answer.Body)
		}
	}
	return newTally(latencies, elapsed), answers
}

// deliverOurs also checks that every delivery had its effect: what is fast
// because it does nothing is not measured.
func deliverOurs(b *testing.B, handlers []http.Handler, requests []signedRequest, duplicates int) tally {
	b.Helper()
	t, answers := deliver(b, handlers, requests)
	outcomes := map[mirror.Outcome]int{}
	for _, answer := range answers {
		var body struct{ Outcome mirror.Outcome }
		if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
			b.Fatalf("answer %s: %v", answer.Body, err)
		}
		outcomes[body.Outcome]++
	}
	// Concurrent events about one object may overtake each other.
	if outcomes[mirror.Duplicate] != duplicates || outcomes[mirror.Applied]+outcomes[mirror.Stale] != len(requests)-duplicates ||
		len(handlers) == 1 && outcomes[mirror.Stale] > 0 {
		b.Fatalf("outcomes of %d deliveries with %d duplicates: %v", len(requests), duplicates, outcomes)
	}
	return t
}
