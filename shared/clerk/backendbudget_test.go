package clerk_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/secret"
)

// ledger is a Clerk that answers after a latency, and remembers when it was
// asked.
type ledger struct {
	latency time.Duration
	// refuse gives the answer to the n-th request, from 0; nil for a good one. It
	// is called by one goroutine at a time.
	refuse func(n int) *http.Response

	mu   sync.Mutex
	sent []time.Time
}

func (l *ledger) RoundTrip(*http.Request) (*http.Response, error) {
	l.mu.Lock()
	n := len(l.sent)
	l.sent = append(l.sent, time.Now())
	l.mu.Unlock()
	if l.latency > 0 {
		<-time.After(l.latency)
	}
	if l.refuse != nil {
		l.mu.Lock()
		response := l.refuse(n)
		l.mu.Unlock()
		if response != nil {
			return response, nil
		}
	}
	return response(http.StatusOK, okUsers), nil
}

func response(status int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// most returns how many of the moments, which are in order, lie in one window at
// most, wherever it begins.
func most(moments []time.Time, window time.Duration) int {
	found, first := 0, 0
	for last := range moments {
		for moments[last].Sub(moments[first]) >= window {
			first++
		}
		found = max(found, last-first+1)
	}
	return found
}

// askMany makes calls from 16 goroutines.
func askMany(t *testing.T, backend *clerk.Backend, calls int) {
	t.Helper()
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for range (calls + 15 - worker) / 16 {
				if _, err := backend.Users(t.Context(), clerk.UserQuery{}); err != nil {
					t.Errorf("Users() = error %v", err)
				}
			}
		})
	}
	group.Wait()
}

func TestBackend_KeepsToItsShareInEveryWindow(t *testing.T) {
	t.Parallel()
	const window = 10 * time.Second
	tests := []struct {
		name  string
		key   string
		share float64
		limit clerk.RateLimit
		calls int
		want  int // requests a window
	}{
		{"live key", "sk_live_a", 0, clerk.RateLimit{}, 1000, 200},
		{"test key", "sk_test_a", 0, clerk.RateLimit{}, 200, 20},
		{"all of a live key", "sk_live_a", 1, clerk.RateLimit{}, 4000, 1000},
		{"a limit of its own", "sk_live_a", 0.5, clerk.RateLimit{Requests: 300, Per: window}, 600, 150},
		{"a small limit", "sk_test_a", 1, clerk.RateLimit{Requests: 3, Per: window}, 20, 3},
		{"a share that is no whole number", "sk_test_a", 0.25, clerk.RateLimit{Requests: 10, Per: window}, 20, 2},
		{"less than one", "sk_test_a", 0.05, clerk.RateLimit{Requests: 10, Per: window}, 4, 1},
	}
	for _, test := range tests {
		for _, latency := range []time.Duration{0, 100 * time.Millisecond} {
			t.Run(test.name+" "+latency.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := &ledger{latency: latency}
					backend := newBackend(t, &http.Client{Transport: server}, func(o *clerk.BackendOptions) {
						o.SecretKey, o.Share, o.Limit = secret.New(test.key), test.share, test.limit
					})
					began := time.Now()
					askMany(t, backend, test.calls)
					took := time.Since(began)
					// A silence saves up a burst and no more.
					<-time.After(time.Minute)
					askMany(t, backend, test.calls)
					if got := most(server.sent, window); got > test.want {
						t.Errorf("%d requests within %s, want at most %d", got, window, test.want)
					}
					// The simulated time shows that the share is used, too.
					share, limit := test.share, test.limit
					if share == 0 {
						share, limit = 0.2, clerk.RateLimit{Requests: test.want * 5, Per: window}
					}
					if limit == (clerk.RateLimit{}) {
						limit = clerk.RateLimit{Requests: test.want, Per: window}
					}
					ideal := time.Duration(float64(test.calls) / min(share*float64(limit.Requests), float64(test.want)) * float64(limit.Per))
					if bound := ideal + ideal/10 + latency; took > bound {
						t.Errorf("%d calls took %s, want at most %s", test.calls, took, bound)
					}
				})
			})
		}
	}
}

// What a small instance takes is sent at once, and nothing of the share is lost
// or exceeded for it: the burst is made up for by what follows.
func TestBackend_SendsABurstWithoutWaiting(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		key   string
		share int
	}{{"sk_test_a", 20}, {"sk_live_a", 200}} {
		t.Run(test.key, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := &ledger{}
				backend := newBackend(t, &http.Client{Transport: server}, func(o *clerk.BackendOptions) { o.SecretKey = secret.New(test.key) })
				began := time.Now()
				askMany(t, backend, 20)
				if took, waits := time.Since(began), backend.Stats().Waits; took != 0 || waits != 0 {
					t.Errorf("20 calls took %s and %d waited, want none", took, waits)
				}
				askMany(t, backend, 5*test.share-20)
				if took := time.Since(began); took < 40*time.Second || took > 51*time.Second {
					t.Errorf("%d calls took %s, want what the share of five windows takes", 5*test.share, took)
				}
				if got := most(server.sent, 10*time.Second); got > test.share {
					t.Errorf("%d requests within 10s, want at most %d", got, test.share)
				}
				// Going on is no silence: what follows leaves evenly.
				if got := most(server.sent[test.share+1:], 10*time.Second/time.Duration(test.share)); test.share > 20 && got > 2 {
					t.Errorf("%d requests at once later on, want them one by one", got)
				}
			})
		})
	}
}

func TestBackend_PausesForEverybodyAfter429(t *testing.T) {
	t.Parallel()
	const refused = 40
	later := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC) // by Clerk's clock
	tests := []struct {
		name   string
		header []string
		want   time.Duration
	}{
		{"seconds", []string{"Retry-After", "7"}, 7 * time.Second},
		{"date by another clock", []string{"Retry-After", later.Add(7 * time.Second).Format(http.TimeFormat), "Date", later.Format(http.TimeFormat)}, 7 * time.Second},
		{"longer than anything", []string{"Retry-After", "86400"}, clerk.MaxRetryAfter},
		{"longer than any number", []string{"Retry-After", strings.Repeat("9", 400)}, clerk.MaxRetryAfter},
		{"none", nil, 10 * time.Second},
		{"neither", []string{"Retry-After", "soon"}, 10 * time.Second},
		{"negative", []string{"Retry-After", "-1"}, 10 * time.Second},
		{"no number", []string{"Retry-After", "NaN"}, 10 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var at time.Time
				server := &ledger{latency: 50 * time.Millisecond}
				server.refuse = func(n int) *http.Response {
					if n != refused {
						return nil
					}
					at = time.Now()
					return response(http.StatusTooManyRequests, "", test.header...)
				}
				backend := newBackend(t, &http.Client{Transport: server}, func(o *clerk.BackendOptions) { o.SecretKey = secret.New("sk_live_a") })
				askMany(t, backend, 1200)

				var after []time.Time
				for _, moment := range server.sent {
					if moment.After(at) {
						after = append(after, moment)
					}
				}
				if got := after[0].Sub(at); got != test.want {
					t.Errorf("the first request after the 429 is sent %s later, want %s", got, test.want)
				}
				// Then half as fast for 30 s, and not all at once.
				opens := at.Add(test.want)
				if last := after[len(after)-1].Sub(opens); last < 45*time.Second {
					t.Fatalf("the last request is sent %s after the pause, too early to see what follows it", last)
				}
				slow := after[:slices.IndexFunc(after, func(m time.Time) bool { return m.After(opens.Add(29 * time.Second)) })]
				if got := most(slow, 10*time.Second); got > 100 || got < 90 {
					t.Errorf("%d requests within 10s after the pause, want 90 to 100", got)
				}
				if got := most(slow, 10*time.Millisecond); got != 1 {
					t.Errorf("%d requests at once after the pause, want 1", got)
				}
				if got := most(after[len(slow):], 10*time.Second); got > 200 || got < 180 {
					t.Errorf("%d requests within 10s when the slow time is over, want 180 to 200", got)
				}
				if got := backend.Stats(); got.RateLimited != 1 || got.Retries != 1 || got.Requests != int64(len(server.sent)) {
					t.Errorf("Stats() = %+v, want one 429, one retry, %d requests", got, len(server.sent))
				}
			})
		})
	}
}

func TestBackend_ReadsARetryAfterDateByItsOwnClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // a whole second: dates have no fractions
		server := &ledger{refuse: func(n int) *http.Response {
			if n > 1 {
				return nil
			}
			// The second one is past.
			date := began.Add(25*time.Second - time.Duration(n)*time.Hour)
			return response(http.StatusTooManyRequests, "", "Retry-After", date.UTC().Format(http.TimeFormat))
		}}
		askMany(t, newBackend(t, &http.Client{Transport: server}), 1)
		if got := server.sent[1].Sub(began); got != 25*time.Second {
			t.Errorf("the second request is sent after %s, want 25s", got)
		}
		if got := server.sent[2].Sub(server.sent[1]); got > 5*time.Second {
			t.Errorf("the third request is sent %s after the second, want no pause but the usual delay", got)
		}
	})
}

// The answers to what was under way together are one refusal, and what comes
// after it is not slower than after one.
func TestBackend_SlowsDownOnceForAStormOf429(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := &ledger{latency: 2 * time.Second}
		var last time.Time
		server.refuse = func(n int) *http.Response {
			if n < 40 || n >= 70 {
				return nil
			}
			last = time.Now()
			return response(http.StatusTooManyRequests, "", "Retry-After", strconv.Itoa(n%7))
		}
		backend := newBackend(t, &http.Client{Transport: server}, func(o *clerk.BackendOptions) { o.SecretKey = secret.New("sk_live_a") })
		askMany(t, backend, 2000)
		if got := backend.Stats().RateLimited; got != 30 {
			t.Errorf("Stats().RateLimited = %d, want 30", got)
		}
		if got := most(server.sent, 10*time.Second); got > 200 {
			t.Errorf("%d requests within 10s, want at most 200", got)
		}
		// 16 workers that wait 2 s for each answer ask 80 times in 10 s: the halved
		// rate, once halved, is no hindrance.
		var after []time.Time
		for _, moment := range server.sent {
			if moment.After(last.Add(6*time.Second)) && moment.Before(last.Add(36*time.Second)) {
				after = append(after, moment)
			}
		}
		if got := most(after, 10*time.Second); got < 70 {
			t.Errorf("%d requests within 10s after the storm, want at least 70", got)
		}
	})
}
