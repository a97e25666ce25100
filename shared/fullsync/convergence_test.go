package fullsync_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/testkit/histories"
)

// mail holds back events and lets them out in disorder.
type mail struct {
	mu      sync.Mutex
	rng     *rand.Rand
	pending []clerkinstance.Event
	// lost and twice are shares of the events.
	lost, twice float64
}

func (m *mail) post(e clerkinstance.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rng.Float64() < m.lost {
		return
	}
	m.pending = append(m.pending, e)
	if m.rng.Float64() < m.twice {
		m.pending = append(m.pending, e)
	}
}

// take removes one of the latest events, any of them; false if there is none.
func (m *mail) take() (clerkinstance.Event, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.pending)
	if n == 0 {
		return clerkinstance.Event{}, false
	}
	i := m.rng.IntN(n)
	e := m.pending[i]
	m.pending[i] = m.pending[n-1]
	m.pending = m.pending[:n-1]
	return e, true
}

func (m *mail) deliver(w *world) {
	for e, ok := m.take(); ok; e, ok = m.take() {
		w.deliver(e)
	}
}

// Any history, with events lost, doubled and in any order, and then one full
// sync while the instance lives on and its events arrive: the copy is the
// instance.
func TestRun_ConvergesWhateverWasLost(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			letters := &mail{rng: rand.New(rand.NewPCG(seed, 3)), lost: 0.3, twice: 0.2}
			w := newWorld(t, backendapi.Options{})
			w.clerk = clerkinstance.New(clerkinstance.Options{Seed: seed + 10, Emit: letters.post})
			// Some were there before anybody listened, and enough for several pages.
			w.seed(1200, 20, 700)
			traffic := clerkinstance.NewTraffic(w.clerk, seed)
			step := func(n int) {
				for range n {
					if err := traffic.Step(); err != nil {
						t.Error(err)
					}
				}
			}
			step(300)
			letters.deliver(w)
			// At least one deletion of somebody whom the copy knows is lost.
			letters.lost = 0
			user, err := w.clerk.SignUp(clerkinstance.Person{Emails: []string{"gone@example.com"}})
			if err != nil {
				t.Fatal(err)
			}
			letters.deliver(w)
			letters.lost = 1
			if err := w.clerk.DeleteUser(user.ID, false); err != nil {
				t.Fatal(err)
			}
			letters.lost = 0

			// With every answer of Clerk something happens, and some of what has
			// happened arrives.
			var mu sync.Mutex
			w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				mu.Lock()
				step(3)
				mu.Unlock()
				next.ServeHTTP(rw, r)
				mu.Lock()
				step(3)
				mu.Unlock()
			}})
			living, stop := context.WithCancel(t.Context())
			var arriving sync.WaitGroup
			arriving.Go(func() {
				for living.Err() == nil {
					letters.deliver(w)
				}
			})
			report := w.complete(nil)
			stop()
			arriving.Wait()
			letters.deliver(w)
			w.same()
			if got := tally(report); got.Created == 0 || got.Updated == 0 || got.Deleted == 0 {
				t.Errorf("the run had nothing to mend: %+v", got)
			}
		})
	}
}
