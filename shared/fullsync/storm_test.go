package fullsync_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/secret"
)

// sharedLimit is what an instance has left for the full sync while other
// services use the rest, of which nobody has told it.
var sharedLimit = clerk.RateLimit{Requests: 40, Per: time.Second}

// waves watches what comes in after a request was refused, until the time that
// the refusal named is over.
type waves struct {
	mu    sync.Mutex
	until time.Time
	// after are the requests that came within each of those times; what was
	// already on its way is counted too.
	after []int
	// repeated are requests that came again before they should.
	repeated []string
	refused  map[string]time.Time
}

func (s *waves) intercept(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	asked := r.URL.String()
	s.mu.Lock()
	if now := time.Now(); now.Before(s.until) {
		s.after[len(s.after)-1]++
		if now.Before(s.refused[asked]) {
			s.repeated = append(s.repeated, asked)
		}
	}
	s.mu.Unlock()
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, r)
	if recorded.Code == http.StatusTooManyRequests {
		s.mu.Lock()
		// The least that the API ever names, and the most in windows of a second.
		now := time.Now()
		s.refused[asked] = now.Add(time.Second)
		if !now.Before(s.until) {
			s.after, s.until = append(s.after, 0), s.refused[asked]
		}
		s.mu.Unlock()
	}
	maps.Copy(rw.Header(), recorded.Header())
	rw.WriteHeader(recorded.Code)
	_, _ = rw.Write(recorded.Body.Bytes())
}

// A small instance is read within the burst of the budget, by default and by the
// limit of the smallest kind: no request waits for another. What that saves is
// seen in what does not wait, not in time.
func TestRun_OfAFewDozenObjectsDoesNotWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{Limit: clerk.TestInstance.RateLimit()})
	w.seed(36, 5, 40)
	for _, what := range []string{"filled", "unchanged", "mended"} {
		if what == "mended" {
			deleteOne(w)
		}
		backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(secretKey), URL: w.url})
		if err != nil {
			t.Fatal(err)
		}
		report := w.complete(func(o *fullsync.Options) { o.Clerk = backend })
		w.same()
		stats := backend.Stats()
		t.Logf("%s: %d requests, %d waited", what, stats.Requests, stats.Waits)
		if stats.Waits != 0 || report.RateLimited != 0 {
			t.Errorf("%s: %d of %d requests waited, and %d were refused; want none", what, stats.Waits, stats.Requests, report.RateLimited)
		}
	}
}

// direct answers without a network, so that time can be a bubble's: what is sent
// arrives later.
type direct struct{ http.Handler }

// trip is how long a request and an answer travel.
const trip = 20 * time.Millisecond

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Body = http.NoBody
	recorded := httptest.NewRecorder()
	<-time.After(trip)
	d.ServeHTTP(recorded, r)
	<-time.After(trip)
	return recorded.Result(), nil
}

// Others use the instance's limit, too. A 429 stops everybody who reads, not only
// the one who got it: what still comes was sent before its answer had arrived.
func TestRun_LeavesTheLimitToOthers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		believed clerk.RateLimit
		// waves is how often the limit may be met.
		waves int
	}{
		// The reader halves its rate, and then it is within what is left, with
		// everything that can be under way.
		"others use a third of it": {clerk.RateLimit{Requests: 64, Per: time.Second}, 1},
		// Half of the rate is still too much, again and again: once for each 40.
		"others use most of it": {clerk.RateLimit{Requests: 120, Per: time.Second}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// What a run asks, by as many readers, in a bubble: with a database behind
			// it the load of the machine would decide how many requests meet.
			synctest.Test(t, func(t *testing.T) {
				storm := &waves{refused: map[string]time.Time{}}
				instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
				if err := instance.Seed(clerkinstance.SeedOptions{Users: 1000, Organizations: 60, Memberships: 1000}); err != nil {
					t.Fatal(err)
				}
				api := backendapi.New(instance, backendapi.Options{
					SecretKeys: []string{secretKey}, Limit: sharedLimit, Intercept: storm.intercept, Latency: 5 * time.Millisecond,
				})
				const workers = 16 // most of them stand in line for the budget
				backend, err := clerk.NewBackend(clerk.BackendOptions{
					SecretKey: secret.New(secretKey), Share: 1, Limit: test.believed, HTTPClient: &http.Client{Transport: direct{api}},
				})
				if err != nil {
					t.Fatal(err)
				}
				const pages = 160 // of four times as many users
				listed := make([]int, workers)
				var reading sync.WaitGroup
				for worker := range workers {
					reading.Go(func() {
						for page := worker; page < pages; page += workers {
							users, err := backend.Users(t.Context(), clerk.UserQuery{OrderBy: "+created_at", Offset: page % 40 * 25, Limit: 25})
							if err != nil {
								t.Error(err)
							}
							listed[worker] += len(users.Items)
						}
					})
				}
				reading.Wait()
				sum := 0
				for _, n := range listed {
					sum += n
				}
				if sum != 4*1000 {
					t.Errorf("%d users are listed, want each of 1000 four times", sum)
				}
				stats := backend.Stats()
				t.Logf("%d requests, %d refused in %d waves, followed by %v; %d at once",
					stats.Requests, stats.RateLimited, len(storm.after), storm.after, api.Requests().MostAtOnce)
				if stats.RateLimited == 0 || len(storm.after) > test.waves {
					t.Errorf("the limit was met %d times, want it met, and %d times at most", len(storm.after), test.waves)
				}
				// Workers that did not hear of each other would each send what it has.
				for i, n := range storm.after {
					if n > workers/2 {
						t.Errorf("%d requests came while refusal %d still held, want %d at most", n, i+1, workers/2)
					}
				}
				if len(storm.repeated) > 0 {
					t.Errorf("asked again before Retry-After was over: %v", storm.repeated)
				}
				if stats.RateLimited*10 > stats.Requests {
					t.Errorf("%d of %d requests were refused, want less than a tenth", stats.RateLimited, stats.Requests)
				}
			})
		})
	}
}

// A run that is refused now and then waits as it is told, reads everything all the same,
// and says how often.
func TestRun_ReadsEverythingWhenItIsRefusedNowAndThen(t *testing.T) {
	t.Parallel()
	var asked, refused atomic.Int64
	w := newWorld(t, backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if n := asked.Add(1); n == 5 || n == 20 {
			refused.Add(1)
			rw.Header().Set("Retry-After", "1")
			rw.WriteHeader(http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(rw, r)
	}})
	w.seed(1000, 60, 1000)
	report := w.complete(func(o *fullsync.Options) {
		o.Workers = 16
		o.Small(100, 25)
	})
	w.same()
	if report.Users.Listed != 1000 || report.Memberships.Listed != 1000 {
		t.Errorf("listed: %s", describe(report))
	}
	if report.RateLimited != refused.Load() || report.RateLimited != 2 {
		t.Errorf("%d refusals are reported of %d, want 2", report.RateLimited, refused.Load())
	}
}
