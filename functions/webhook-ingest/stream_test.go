package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/lambdatest"
)

// endpoint is one of Clerk's, with its signing secrets: after one was replaced,
// Svix signs with the new and the old one for a day.
type endpoint struct {
	name    string
	secrets []string
}

func (e endpoint) sign(id string, body []byte) http.Header {
	now := time.Now()
	header := clerktest.Sign(e.secrets[0], id, now, body)
	for _, secret := range e.secrets[1:] {
		header.Set("svix-signature", header.Get("svix-signature")+" "+clerktest.Sign(secret, id, now, body).Get("svix-signature"))
	}
	return header
}

// delivery is an event on its way from an endpoint.
type delivery struct {
	endpoint endpoint
	id       string
	body     []byte
}

// stream delivers events to functions without a pause, each from every endpoint
// that there is, and again later where it was refused.
type stream struct {
	t         *testing.T
	functions []*lambdatest.Function
	endpoints atomic.Pointer[[]endpoint]
	made      atomic.Int64
	rounds    []atomic.Int64
	stop      chan struct{}
	workers   sync.WaitGroup

	mu      sync.Mutex
	answers map[string]int // by endpoint and outcome or code, such as "old applied"
	refused []delivery
}

// startStream begins to deliver. finish has to be called.
func startStream(t *testing.T, functions []*lambdatest.Function, endpoints ...endpoint) *stream {
	t.Helper()
	s := &stream{t: t, functions: functions, rounds: make([]atomic.Int64, len(functions)), stop: make(chan struct{}), answers: map[string]int{}}
	s.endpoints.Store(&endpoints)
	for n, f := range functions {
		s.workers.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-s.stop:
					return
				case <-tick.C:
				}
				s.round(f)
				s.rounds[n].Add(1)
			}
		})
	}
	return s
}

// round makes one event, and tries one that was refused.
func (s *stream) round(f *lambdatest.Function) {
	n := s.made.Add(1)
	at := clerktest.Epoch.Add(time.Duration(n) * time.Second)
	body := clerktest.User(fmt.Sprintf("user_%d", n%50)).UpdatedAt(at).Event(clerk.UserUpdated, at)
	for _, from := range *s.endpoints.Load() {
		s.deliver(f, delivery{from, fmt.Sprintf("msg_%d", n), body})
	}
	s.retry(f)
}

// retry tries an event that was refused; false if there is none.
func (s *stream) retry(f *lambdatest.Function) bool {
	s.mu.Lock()
	if len(s.refused) == 0 {
		s.mu.Unlock()
		return false
	}
	d := s.refused[0]
	s.refused = s.refused[1:]
	s.mu.Unlock()
	s.deliver(f, d)
	return true
}

func (s *stream) deliver(f *lambdatest.Function, d delivery) {
	got, err := invoke(s.t.Context(), f, request(d.endpoint.sign(d.id, d.body), d.body, false))
	if err != nil {
		s.t.Errorf("%s from %s: %v\n%s", d.id, d.endpoint.name, err, f.Logs())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[d.endpoint.name+" "+got.Outcome+got.Code]++
	if got.Status != http.StatusOK {
		s.refused = append(s.refused, d)
	}
}

// from changes the endpoints, and waits until nothing comes from others.
func (s *stream) from(endpoints ...endpoint) {
	s.t.Helper()
	s.endpoints.Store(&endpoints)
	for n := range s.rounds {
		before := s.rounds[n].Load()
		s.await("a round of deliveries", func() bool { return s.rounds[n].Load() > before+1 })
	}
}

// count is how many answers of an endpoint's deliveries begin so; "" for all.
func (s *stream) count(prefix string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for answer, times := range s.answers {
		if strings.HasPrefix(answer, prefix) {
			n += times
		}
	}
	return n
}

// notTaken are the answers other than 200.
func (s *stream) notTaken() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for answer, times := range s.answers {
		if _, outcome, _ := strings.Cut(answer, " "); outcome != "applied" && outcome != "duplicate" && outcome != "stale" {
			all[answer] = times
		}
	}
	return all
}

func (s *stream) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refused)
}

// streamLimit is longer than anything takes that a test waits for.
const streamLimit = 10 * time.Minute

func (s *stream) await(what string, met func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(streamLimit); !met(); {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("%s did not come within %s; answers %v\n%s", what, streamLimit, s.answers, s.functions[0].Logs())
		}
	}
}

// finish makes no more events, delivers what was refused and returns how many
// events there were.
func (s *stream) finish() int {
	s.t.Helper()
	close(s.stop)
	s.workers.Wait()
	s.await("the end of what was refused", func() bool { return !s.retry(s.functions[0]) })
	return int(s.made.Load())
}
