package keyset_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/testkit/histories"
)

func tls11() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // what is to be refused
}

// endpoint is a server of keys that can change and fail, in a network of its own.
type endpoint struct {
	*network
	mu sync.Mutex
	// kid is of the key that is served; status, if not 0, is answered instead.
	kid    string
	status int
	// hold, if set, is what answers wait for.
	hold chan struct{}
	// asked are the moments of all requests.
	asked []time.Time
	// active are under way, most were so at once.
	active, most int
}

func newEndpoint(t *testing.T) *endpoint {
	t.Helper()
	e := &endpoint{network: newNetwork(), kid: "ins_1"}
	e.name("clerk.example.com", addresses(publicHost))
	quiet(e.serve(t, keysAddress, e))
	return e
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.asked = append(e.asked, time.Now())
	e.active++
	e.most = max(e.most, e.active)
	kid, status, hold := e.kid, e.status, e.hold
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.active--
	}()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	_, _ = io.WriteString(w, goodSet(kid))
}

func (e *endpoint) set(kid string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kid, e.status = kid, status
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

// pass lets time go by, in a bubble at once.
func pass(d time.Duration) { <-time.After(d) }

// ask fails a test unless the answer is as wanted: "fresh", "stale" or "error", with so many requests in all. What is
// asked at intervals has a 404 for failures, which is not tried again.
func ask(t *testing.T, e *endpoint, source *keyset.Source, kid, want string, requests int) keyset.Set {
	t.Helper()
	set, err := source.Keys(t.Context(), kid)
	got := "fresh"
	switch {
	case err != nil:
		got = "error"
	case set.Stale != nil:
		got = "stale"
	}
	if got != want || e.count() != requests {
		t.Errorf("Keys(%q) = %s after %d requests, want %s after %d (%v, %v)", kid, got, e.count(), want, requests, err, set.Stale)
	}
	return set
}

func TestSource_KeepsKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		source := e.source(t, keyset.SourceOptions{URL: keysURL})
		if e.count() > 0 {
			t.Error("something was asked before anybody wanted keys")
		}
		ask(t, e, source, "ins_1", "fresh", 1)
		pass(keyset.TTL - time.Second)
		ask(t, e, source, "ins_1", "fresh", 1)
		ask(t, e, source, "", "fresh", 1)
		pass(time.Second)
		ask(t, e, source, "ins_1", "fresh", 2)
	})
}

func TestSource_LooksForUnknownKeysOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		source := e.source(t, keyset.SourceOptions{URL: keysURL})
		ask(t, e, source, "ins_9", "fresh", 1)
		ask(t, e, source, "ins_9", "fresh", 1)
		pass(keyset.UnknownInterval - time.Second)
		ask(t, e, source, "ins_9", "fresh", 1)
		pass(time.Second)
		// Whoever wants what is there does not cause it.
		ask(t, e, source, "ins_1", "fresh", 1)
		ask(t, e, source, "", "fresh", 1)
		e.set("ins_2", 0)
		if set := ask(t, e, source, "ins_2", "fresh", 2); len(set.FindAll("ins_2")) != 1 || len(set.FindAll("ins_1")) != 0 {
			t.Errorf("after a rotation the keys are %+v, want the new one", set.Keys)
		}
		ask(t, e, source, "ins_1", "fresh", 2)

		// The search that fails is not repeated sooner than one that succeeds.
		pass(keyset.UnknownInterval)
		e.set("", http.StatusNotFound)
		ask(t, e, source, "ins_1", "stale", 3)
		ask(t, e, source, "ins_2", "fresh", 3)
		pass(keyset.FailureInterval)
		ask(t, e, source, "ins_1", "stale", 3)
		pass(keyset.UnknownInterval - keyset.FailureInterval)
		ask(t, e, source, "ins_1", "stale", 4)
	})
}

func TestSource_RemembersFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		e.set("", http.StatusNotFound)
		source := e.source(t, keyset.SourceOptions{URL: keysURL})
		ask(t, e, source, "ins_1", "error", 1)
		pass(keyset.FailureInterval - time.Second)
		ask(t, e, source, "ins_2", "error", 1)
		pass(time.Second)
		ask(t, e, source, "ins_1", "error", 2)
		e.set("ins_1", 0)
		ask(t, e, source, "ins_1", "error", 2)
		pass(keyset.FailureInterval)
		ask(t, e, source, "ins_1", "fresh", 3)
	})
}

func TestSource_ServesOlderKeysForADay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		source := e.source(t, keyset.SourceOptions{URL: keysURL})
		first := ask(t, e, source, "ins_1", "fresh", 1)
		// What answers with no keys is no reason to forget those that were there.
		e.set("", http.StatusNotFound)
		pass(keyset.TTL)
		set := ask(t, e, source, "ins_1", "stale", 2)
		var failure *keyset.FetchError
		if !errors.As(set.Stale, &failure) || failure.Status != http.StatusNotFound {
			t.Errorf("Stale = %v, want the failure", set.Stale)
		}
		if !set.FetchedAt.Equal(first.FetchedAt) || len(set.Keys) != 1 || set.Source != keysURL {
			t.Errorf("the older keys are %+v, want those of %s", set, first.FetchedAt)
		}
		ask(t, e, source, "ins_1", "stale", 2)
		pass(keyset.MaxStale - keyset.TTL - time.Second)
		ask(t, e, source, "ins_1", "stale", 3)
		pass(time.Second)
		ask(t, e, source, "ins_1", "error", 3)
		pass(keyset.FailureInterval)
		e.set("ins_3", 0)
		ask(t, e, source, "ins_3", "fresh", 4)
	})
}

func TestSource_CountsTheTimeOfAFrozenSandbox(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		frozen := time.Duration(0)
		source := e.source(t, keyset.SourceOptions{URL: keysURL, Now: func() time.Time { return time.Now().Round(0).Add(frozen) }})
		ask(t, e, source, "ins_1", "fresh", 1)
		frozen = time.Hour
		ask(t, e, source, "ins_1", "fresh", 2)
		// A clock that was set back makes no key last longer.
		frozen = -time.Hour
		ask(t, e, source, "ins_1", "fresh", 3)
	})
}

func TestSource_FetchesOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		e.hold = make(chan struct{})
		source := e.source(t, keyset.SourceOptions{URL: keysURL})
		gone := errors.New("the page was closed")
		leaving, leave := context.WithCancelCause(t.Context())
		results := make(chan error, 20)
		for i := range cap(results) {
			ctx := t.Context()
			if i == 0 {
				ctx = leaving
			}
			go func() {
				_, err := source.Keys(ctx, fmt.Sprintf("ins_%d", i))
				results <- err
			}()
			// The one who leaves is the one who came first.
			synctest.Wait()
		}
		leave(gone)
		err := <-results
		var failure *keyset.FetchError
		if !errors.As(err, &failure) || failure.Reason != keyset.ReasonTimeout || !errors.Is(err, gone) || !errors.Is(err, context.Canceled) {
			t.Errorf("Keys of the one who left = %v, want a timeout that wraps why", err)
		}
		close(e.hold)
		for range cap(results) - 1 {
			if err := <-results; err != nil {
				t.Errorf("Keys of those who stayed = %v", err)
			}
		}
		if e.count() != 1 {
			t.Errorf("%d requests, want 1", e.count())
		}
	})
}

func TestSource_ServesOlderKeysToWhoeverLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(t)
		source := e.source(t, keyset.SourceOptions{URL: keysURL})
		ask(t, e, source, "ins_1", "fresh", 1)
		e.hold = make(chan struct{})
		pass(keyset.TTL)
		ctx, cancel := context.WithTimeout(t.Context(), keyset.FetchLimit/2)
		defer cancel()
		set, err := source.Keys(ctx, "ins_1")
		if err != nil || len(set.Keys) != 1 || !errors.Is(set.Stale, context.DeadlineExceeded) {
			t.Errorf("Keys with less time than a fetch takes = %+v, %v, want the older key and why", set, err)
		}
		// The fetch goes on by itself, to its own end.
		pass(keyset.FetchLimit)
		ask(t, e, source, "ins_1", "stale", 2)
	})
}

// Whatever is asked, by however many at once, and however the endpoint fares: fetches keep their distance, and never
// overlap.
func TestSource_NeverFetchesInStorms(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 5))
				e := newEndpoint(t)
				source := e.source(t, keyset.SourceOptions{URL: keysURL})
				// outcomes are of the requests, one each fetch: a 404 is not tried again.
				failed := map[time.Time]bool{}
				began := time.Now()
				for range 300 {
					if rng.IntN(4) == 0 {
						e.set(fmt.Sprintf("ins_%d", rng.IntN(3)), []int{0, 0, http.StatusNotFound}[rng.IntN(3)])
					}
					var hold chan struct{}
					if rng.IntN(8) == 0 {
						hold = make(chan struct{})
						time.AfterFunc(upTo(rng, 2*time.Second), func() { close(hold) })
					}
					e.mu.Lock()
					e.hold = hold
					e.mu.Unlock()
					var callers sync.WaitGroup
					before := e.count()
					for range 1 + rng.IntN(30) {
						kid := fmt.Sprintf("ins_%d", rng.IntN(5))
						if rng.IntN(2) == 0 {
							kid = fmt.Sprintf("made_up_%d", rng.Uint64())
						}
						ctx, cancel := context.WithCancel(t.Context())
						if rng.IntN(5) == 0 {
							ctx, cancel = context.WithTimeout(t.Context(), upTo(rng, time.Second))
						}
						callers.Go(func() {
							defer cancel()
							set, err := source.Keys(ctx, kid)
							if (err == nil) != (len(set.Keys) > 0) {
								t.Errorf("Keys(%q) = %+v, %v, want either", kid, set, err)
							}
						})
					}
					callers.Wait()
					// Also the fetch whose callers have all left ends before the next change.
					for {
						if synctest.Wait(); e.idle() {
							break
						}
						pass(100 * time.Millisecond)
					}
					e.mu.Lock()
					for _, at := range e.asked[before:] {
						failed[at] = e.status != 0
					}
					e.mu.Unlock()
					pass(upTo(rng, 40*time.Second))
				}

				if e.most > 1 {
					t.Errorf("%d fetches were under way at once", e.most)
				}
				var success time.Time
				for i := 1; i < len(e.asked); i++ {
					last, gap := e.asked[i-1], e.asked[i].Sub(e.asked[i-1])
					if !failed[last] {
						success = last
					}
					if gap < keyset.FailureInterval || gap < keyset.UnknownInterval && (!failed[last] || e.asked[i].Sub(success) < keyset.TTL) {
						t.Errorf("fetch %d began %s after another that failed: %v, %s after the last good one", i, gap, failed[last], e.asked[i].Sub(success))
					}
				}
				if took := time.Since(began); len(e.asked) < 10 {
					t.Errorf("only %d fetches in %s: this shows nothing", len(e.asked), took)
				}
			})
		})
	}
}

func upTo(rng *rand.Rand, d time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(d))) }

func (e *endpoint) idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.active == 0
}
