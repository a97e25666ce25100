package fullsync_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/testkit/histories"
)

// liar stands before an instance and answers lists in ways that are not true.
type liar struct {
	mu sync.Mutex
	r  *rand.Rand
	// share of the lists that it lies about.
	share float64
	// kinds are the lies that it may tell.
	kinds []string
	// old are answers of before, by what was asked.
	old map[string]answered
	// other is another instance.
	other http.Handler
	told  map[string]int
}

// everyLie is every kind of lie.
var everyLie = []string{"cut", "doubled", "empty", "old", "other"}

type answered struct {
	header http.Header
	status int
	body   []byte
}

// lie changes what is told from now on. A request that its run gave up may still be under way.
func (l *liar) lie(share float64, kinds ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.share, l.kinds = share, kinds
}

func (l *liar) intercept(rw http.ResponseWriter, r *http.Request, next http.Handler) {
	recorded := httptest.NewRecorder()
	next.ServeHTTP(recorded, r)
	answer := answered{recorded.Header(), recorded.Code, recorded.Body.Bytes()}
	if isList(r) && answer.status == http.StatusOK {
		answer = l.twist(r, answer)
	}
	maps.Copy(rw.Header(), answer.header)
	rw.Header().Del("Content-Length")
	rw.WriteHeader(answer.status)
	_, _ = rw.Write(answer.body)
}

func (l *liar) twist(r *http.Request, answer answered) answered {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := r.URL.String()
	before, known := l.old[asked]
	l.old[asked] = answer
	if l.r.Float64() >= l.share {
		return answer
	}
	lie := l.kinds[l.r.IntN(len(l.kinds))]
	l.told[lie]++
	switch lie {
	case "empty":
		recorded := httptest.NewRecorder()
		empty(recorded, r)
		answer.body = recorded.Body.Bytes()
		return answer
	case "old":
		if known {
			l.old[asked] = before
			return before
		}
		return answer
	case "other":
		recorded := httptest.NewRecorder()
		l.other.ServeHTTP(recorded, r)
		return answered{recorded.Header(), recorded.Code, recorded.Body.Bytes()}
	}
	if r.URL.Path == "/v1/users/count" {
		answer.body = []byte(`{"object":"total_count","total_count":` + strconv.Itoa(l.r.IntN(400)) + `}`)
		return answer
	}
	list := struct {
		Data  []json.RawMessage `json:"data"`
		Total int               `json:"total_count"`
	}{}
	bare := json.Unmarshal(answer.body, &list.Data) == nil
	if !bare {
		if err := json.Unmarshal(answer.body, &list); err != nil {
			panic(err)
		}
	}
	switch n := len(list.Data); {
	case lie == "doubled":
		list.Data = slices.Concat([]json.RawMessage{}, list.Data, list.Data)
	case n > 0 && l.r.IntN(2) == 0:
		list.Data = list.Data[:l.r.IntN(n)]
	default:
		list.Data = slices.DeleteFunc(list.Data, func(json.RawMessage) bool { return l.r.IntN(3) == 0 })
	}
	if l.r.IntN(2) == 0 {
		list.Total = len(list.Data)
	}
	var err error
	if bare {
		answer.body, err = json.Marshal(list.Data)
	} else {
		answer.body, err = json.Marshal(list)
	}
	if err != nil {
		panic(err)
	}
	return answer
}

// Whatever lists say in some runs: what Clerk has and such a run deleted is back after the
// next one that is told the truth, and counted.
func TestRun_AgainstAnAPIThatLies(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	told, lost, states := map[string]int{}, int64(0), map[string]int{}
	// Once all of them are done.
	t.Cleanup(func() {
		t.Logf("lies: %v; runs against them: %v; %d live objects were lost for a run", told, states, lost)
		if len(told) < 5 || lost == 0 {
			t.Error("nothing is shown")
		}
	})
	for seed := range histories.Seeds(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 14))
			w := newWorld(t, backendapi.Options{})
			w.clerk, w.strangers = clerkinstance.New(clerkinstance.Options{Seed: seed + 100}), true
			users := 1 + r.IntN([]int{12, 60, 300}[seed%3])
			organizations := 1 + r.IntN(1+users/6)
			w.seed(users, organizations, 1+r.IntN(users*min(organizations, 2)))
			other := clerkinstance.New(clerkinstance.Options{Seed: seed + 200, Salt: 1})
			if err := other.Seed(clerkinstance.SeedOptions{Users: 40, Organizations: 4, Memberships: 40}); err != nil {
				t.Fatal(err)
			}
			l := &liar{
				r: rand.New(rand.NewPCG(seed, 15)), old: map[string]answered{}, told: map[string]int{},
				other: backendapi.New(other, backendapi.Options{SecretKeys: []string{secretKey}}),
			}
			w.serve(backendapi.Options{Intercept: l.intercept})
			small := func(o *fullsync.Options) {
				if seed%2 == 0 {
					o.Small(40, 15)
				}
			}
			w.complete(small)

			traffic := clerkinstance.NewTraffic(w.clerk, seed)
			for round := range 2 {
				// What webhooks have lost.
				for range 20 {
					if err := traffic.Step(); err != nil {
						t.Fatal(err)
					}
				}
				l.lie([]float64{0.05, 0.3, 0.9}[r.IntN(3)], everyLie...)
				if seed%5 == 4 && round == 1 {
					// Which lies meet which list is left to the scheduler; this one always costs something.
					l.lie(1, "empty")
				}
				report, err := w.run(func(o *fullsync.Options) { small(o); o.AllowDeletions = seed%5 == 4 })
				l.lie(0)
				n := w.lost()
				mu.Lock()
				states[fmt.Sprint(report.State, " ", report.Reason)]++
				lost += n
				mu.Unlock()

				honest, err2 := w.run(small)
				if drift := honest.Drift; honest.Resumed {
					// It has gone on with windows that the other had read, and deleted what that had found.
					n = max(n-drift, 0) + w.lost()
					honest, err2 = w.run(small)
				}
				if honest.Drift < n {
					t.Errorf("%d live objects were lost, and %d are told as drift: %v, then %v", n, honest.Drift, err, err2)
				}
				if n := w.lost(); n != 0 {
					t.Fatalf("%d live objects are lost after a run that was told the truth: %v, then %v", n, err, err2)
				}
				if err2 != nil {
					// The objects of the other instance are many.
					if !errors.Is(err2, fullsync.ErrTooManyDeletions) {
						t.Errorf("a run that was told the truth: %v", err2)
					}
					w.complete(func(o *fullsync.Options) { small(o); o.AllowDeletions = true })
				}
				w.same()
			}
			mu.Lock()
			l.mu.Lock()
			defer l.mu.Unlock()
			for lie, n := range l.told {
				told[lie] += n
			}
			mu.Unlock()
		})
	}
}
