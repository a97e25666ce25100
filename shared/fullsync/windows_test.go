package fullsync_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// crowd is a number of users who were created evenly within a time.
type crowd struct {
	from  clerk.Millis
	width int64
	users int64
	// earlier are those of all crowds before it.
	earlier int64
}

// history is when the users of an instance were created, in crowds that follow each
// other.
type history []crowd

const (
	hour  = int64(3_600_000)
	began = clerk.Millis(1_640_995_200_000)
	years = 4
)

// grown is an instance that has grown for years, unevenly: more from month to month,
// by day more than by night, and in no two hours the same.
func grown(users int64, seed uint64) history {
	rng := rand.New(rand.NewPCG(seed, 1))
	hours := years * 365 * 24
	weights := make([]float64, hours)
	var sum float64
	for i := range weights {
		weights[i] = math.Exp(3*float64(i)/float64(hours)) * (1.05 + math.Sin(float64(i)*math.Pi/12)) * rng.ExpFloat64()
		sum += weights[i]
	}
	h := make(history, hours)
	left := users
	for i := range h {
		h[i] = crowd{from: began + clerk.Millis(int64(i)*hour), width: hour, users: int64(weights[i] / sum * float64(users))}
		left -= h[i].users
	}
	h[hours-1].users += left
	return h
}

// crowded puts so many more users into one time.
func (h history) crowded(at float64, users, width int64) history {
	c := &h[int(at*float64(len(h)))]
	c.users += users
	c.width = width
	return h
}

func (h history) sum() history {
	var sum int64
	for i := range h {
		h[i].earlier = sum
		sum += h[i].users
	}
	return h
}

func (h history) users() int64 { return h.before(began + years*365*24*clerk.Millis(hour)) }

// before counts those who were created before a moment.
func (h history) before(t clerk.Millis) int64 {
	i := sort.Search(len(h), func(i int) bool { return h[i].from >= t }) - 1
	if i < 0 {
		return 0
	}
	since := min(int64(t-h[i].from), h[i].width)
	return h[i].earlier + (since*h[i].users+h[i].width-1)/h[i].width
}

// at is when the nth was created.
func (h history) at(n int64) clerk.Millis {
	c := h[sort.Search(len(h), func(i int) bool { return h[i].earlier > n })-1]
	return c.from + clerk.Millis((n-c.earlier)*c.width/c.users)
}

// A window is what is compared, sent and remembered at a time. It is of about the
// same size for every instance, also where half of the users were imported within an
// hour or a million within a millisecond, and costs few questions; and the workers
// share what there is.
func TestWindows_AreOfOneSizeForEveryInstance(t *testing.T) {
	t.Parallel()
	const million = int64(1_000_000)
	imports := grown(8*million, 5)
	for i := range 500 {
		imports.crowded(float64(i)/500, 4000, 1000)
	}
	for _, test := range []struct {
		name string
		history
		// requests, beside those of full pages.
		requests float64
		// share is how much of all a single worker may have to read.
		share float64
	}{
		{"100k", grown(million/10, 7), 1.2, 1.0 / 8},
		{"1M", grown(million, 1), 1.05, 1.3 / 16},
		{"5M, half of them within an hour", grown(5*million/2, 2).crowded(0.6, 5*million/2, hour), 1.05, 1.3 / 16},
		{"10M", grown(10*million, 3), 1.05, 1.3 / 16},
		{"10M, a fifth of them in 500 imports of a second", imports, 1.05, 1.3 / 16},
		{"3M, a third of them within a millisecond", grown(2*million, 4).crowded(0.3, million, 1), 1.05, 1.1 / 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := test.history.sum()
			users := h.users()
			var asked atomic.Int64
			count := func(_ context.Context, span mirror.Span) (int64, error) {
				asked.Add(1)
				return h.before(span.To) - h.before(span.From), nil
			}
			cuts, err := fullsync.CutUsers(t.Context(), mirror.Cut{From: h.at(0), To: h.at(users-1) + 1, Users: users}, count, fullsync.DefaultWorkers)
			if err != nil {
				t.Fatal(err)
			}
			questions := asked.Load()

			var spans, sizes []int64
			requests := questions + 2
			for i, cut := range cuts {
				first, last := h.before(cut.From), users
				if i < len(cuts)-1 {
					last = h.before(cut.To)
				}
				if last-first != cut.Users {
					t.Fatalf("span %d counts as %d users and has %d", i, cut.Users, last-first)
				}
				spans = append(spans, last-first)
				requests += (last-first)/fullsync.PageSize + 1
				sizes = append(sizes, h.windows(first, last, mirror.Window{From: cut.From, To: cut.To})...)
			}
			if sum := total(sizes); sum != users {
				t.Fatalf("the windows have %d of %d users", sum, users)
			}
			slices.Sort(sizes)
			median, largest := sizes[len(sizes)/2], sizes[len(sizes)-1]
			bound := float64(users) / fullsync.PageSize
			busiest := float64(shared(spans)) / float64(users)
			t.Logf("%d users: %d windows, median %d, largest %d; %d spans, largest %d; %d questions, %.3f × the requests of full pages; the busiest of %d workers reads %.3f of all",
				users, len(sizes), median, largest, len(spans), slices.Max(spans), questions, float64(requests)/bound, fullsync.DefaultWorkers, busiest)
			if median < 4500 || median > 5000 || largest > fullsync.WindowSize+fullsync.PageSize {
				t.Errorf("windows: median %d, largest %d; want about 5,000 and a page more at most", median, largest)
			}
			if float64(requests) > test.requests*bound {
				t.Errorf("%d requests, want at most %g × the %.0f of full pages", requests, test.requests, bound)
			}
			if busiest > test.share {
				t.Errorf("one of %d workers reads %.3f of all users, want at most %.3f", fullsync.DefaultWorkers, busiest, test.share)
			}
		})
	}
}

// windows are the sizes of those that a span is read in, page by page.
func (h history) windows(first, last int64, w mirror.Window) (sizes []int64) {
	var held fullsync.Holding
	for first < last {
		page := make([]clerk.Item, min(fullsync.PageSize, last-first))
		for i := range page {
			page[i].CreatedAt = h.at(first + int64(i))
		}
		first += int64(len(page))
		n, _, rest, now := fullsync.Fill(w, held, page, fullsync.WindowSize)
		held = now
		if rest != nil {
			sizes = append(sizes, int64(held.Users()))
			w = *rest
			_, _, _, held = fullsync.Fill(w, fullsync.Holding{}, page[n:], fullsync.WindowSize)
		}
	}
	return append(sizes, int64(held.Users()))
}

func total(sizes []int64) (sum int64) {
	for _, n := range sizes {
		sum += n
	}
	return sum
}

// shared is what the busiest worker has if each takes the largest span that is left.
func shared(spans []int64) int64 {
	var workers [fullsync.DefaultWorkers]int64
	slices.Sort(spans)
	for _, span := range slices.Backward(spans) {
		slices.Sort(workers[:])
		workers[0] += span
	}
	return slices.Max(workers[:])
}

// In whatever order Clerk lists the users of one moment, and wherever a window ends
// within it: a user that was not listed lies in one of the windows, and so is asked about.
func TestWindows_OfOneMomentLeaveNobodyOut(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(6, 1))
	for range 300 {
		ids := make([]string, 1+rng.IntN(60))
		for i := range ids {
			ids[i] = fmt.Sprintf("user_%03d", i)
		}
		rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
		size, pageSize := 1+rng.IntN(12), 1+rng.IntN(9)
		w := mirror.Window{From: 7, To: 20}
		var windows []mirror.Window
		var held fullsync.Holding
		for page := range slices.Chunk(ids, pageSize) {
			items := make([]clerk.Item, len(page))
			for i, id := range page {
				items[i] = clerk.Item{ID: id, CreatedAt: 7}
			}
			n, closed, rest, now := fullsync.Fill(w, held, items, size)
			held = now
			if rest != nil {
				if closed.To != 8 || rest.From != 7 || rest.To != 20 || rest.After != closed.Through {
					t.Fatalf("%+v ends as %+v, before %+v", w, closed, rest)
				}
				windows, w = append(windows, closed), *rest
				_, _, _, held = fullsync.Fill(w, fullsync.Holding{}, items[n:], size)
			}
		}
		windows = append(windows, w)
		for i := range 60 {
			id := fmt.Sprintf("user_%03d", i)
			if !slices.ContainsFunc(windows, func(w mirror.Window) bool {
				return id > w.After && (w.Through == "" || id <= w.Through)
			}) {
				t.Fatalf("%s lies in none of %+v", id, windows)
			}
		}
	}
}

// A function that is stopped again and again in the middle of what cannot be cut, a
// crowded hour or a single moment, and goes on each time where it was: in the end
// every user is right and no deletion is lost, although users come and go meanwhile,
// also the one behind whom it goes on.
func TestRun_GoesOnWithinASpan(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		width time.Duration
		// inclusive bounds are part of what they bound.
		inclusive bool
	}{
		"a crowded time": {width: 3 * time.Second}, "one moment": {},
		"a crowded time, bounds included": {3 * time.Second, true}, "one moment, bounds included": {0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			w.seed(200, 0, 0)
			at := time.Now().Add(-200 * 24 * time.Hour)
			if err := w.clerk.Seed(clerkinstance.SeedOptions{Users: 700, From: at, To: at.Add(test.width)}); err != nil {
				t.Fatal(err)
			}
			tiny := func(o *fullsync.Options) { o.Workers = 1; o.Small(50, 20) }
			w.complete(tiny)
			_, before := w.change()
			dry := w.complete(func(o *fullsync.Options) { tiny(o); o.DryRun = true })
			if dry.Users.Deleted != before || dry.Users.Listed != 900-before || dry.Users.Created != 0 {
				t.Errorf("a dry run: %+v, want %d users deleted and the others listed", dry.Users, before)
			}
			rng := rand.New(rand.NewPCG(7, 1))
			// What happens meanwhile, ahead of the place and behind it.
			meanwhile, gone := map[string]bool{}, int(before)
			remove := func(id string) {
				if err := w.clerk.DeleteUser(id, false); err != nil {
					t.Fatal(err)
				}
				meanwhile[id] = true
				gone++
			}
			all := func(o *fullsync.Options) { tiny(o); o.AllowDeletions = true }
			calls, lost := 0, 0
			for {
				if calls++; calls > 40 {
					t.Fatal("40 calls have not completed the run")
				}
				ctx, stop := context.WithCancelCause(t.Context())
				var served atomic.Int32
				w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
					if r.URL.Path == "/v1/users" && served.Add(1) == 7 {
						stop(fullsync.ErrOutOfTime)
					}
					if test.inclusive {
						widen(r)
					}
					next.ServeHTTP(rw, r)
				}})
				report, err := fullsync.Run(ctx, w.options(all))
				stop(nil)
				if err == nil {
					break
				}
				if !errors.Is(err, fullsync.ErrOutOfTime) || report.State != fullsync.Partial {
					t.Fatalf("call %d: %v\n%s", calls, err, describe(report))
				}
				if place := w.place(); lost < 2 && slices.Contains(sortedKeys(w.clerk.Snapshot().Users), place) {
					remove(place)
					lost++
				}
				users := sortedKeys(w.clerk.Snapshot().Users)
				remove(users[rng.IntN(len(users))])
				user, err := w.clerk.SignUp(clerkinstance.Person{Username: fmt.Sprint("late", calls)})
				if err != nil {
					t.Fatal(err)
				}
				meanwhile[user.ID] = true
			}
			if calls < 10 || test.width == 0 && lost < 2 {
				t.Errorf("complete after %d calls, its place lost %d times; nothing is shown", calls, lost)
			}
			left, err := devstack.Diff(t.Context(), w.owner, w.clerk.Snapshot(), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range left {
				if d.Field != "deleted_at" && !meanwhile[d.ID] {
					t.Errorf("it has not changed since the run began: %s", d)
				}
			}
			t.Logf("%d calls, %d users deleted before and meanwhile, %d of them found", calls, gone, w.countDeleted())
			w.complete(all)
			w.same()
			if got := w.countDeleted(); got != gone {
				t.Errorf("%d users are deleted, want %d", got, gone)
			}
		})
	}
}

// The user behind whom the next page begins can be deleted before it is asked for.
// Then the list goes on from the time of that user, and is still read by cursor.
func TestRun_GoesOnWhenItsPlaceIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(900, 0, 0)
	w.complete(nil)
	var deleted, byOffset atomic.Int32
	w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		q := r.URL.Query()
		if place := q.Get("starting_after"); place != "" && deleted.Load() < 3 && w.clerk.DeleteUser(place, false) == nil {
			deleted.Add(1)
		}
		if r.URL.Path == "/v1/users" && q.Get("offset") != "" {
			byOffset.Add(1)
		}
		next.ServeHTTP(rw, r)
	}})
	report := w.complete(func(o *fullsync.Options) { o.Workers = 1; o.Small(120, 40) })
	if deleted.Load() != 3 || byOffset.Load() != 0 || report.Users.Listed != 900 {
		t.Errorf("%d places were deleted, %d pages read by offset, %d users listed; want 3, none and 900", deleted.Load(), byOffset.Load(), report.Users.Listed)
	}
	w.serve(backendapi.Options{})
	w.complete(nil)
	w.same()
	if got := w.countDeleted(); got != 3 {
		t.Errorf("%d users are deleted, want 3", got)
	}
}

// widen makes the bounds of a question part of what they bound.
func widen(r *http.Request) {
	q := r.URL.Query()
	for name, by := range map[string]int64{"created_at_after": -1, "created_at_before": 1} {
		if at, err := strconv.ParseInt(q.Get(name), 10, 64); err == nil {
			q.Set(name, strconv.FormatInt(at+by, 10))
		}
	}
	r.URL.RawQuery = q.Encode()
}

// place is the id behind which a window of the run goes on; "" for none.
func (w *world) place() (id string) {
	w.Helper()
	if err := w.owner.QueryRow(w.Context(), `
		select coalesce(max(after_id), '') from clerk_sync.run_windows where finished_at is null`).Scan(&id); err != nil {
		w.Fatal(err)
	}
	return id
}

// A function that is stopped each time while it counts has counted in the end, and asked
// nothing twice but what was under way when it was stopped.
func TestRun_GoesOnWithinItsPlan(t *testing.T) {
	t.Parallel()
	tiny := func(o *fullsync.Options) { o.Workers = 2; o.Small(10, 10) }
	var counted [2]int
	for i, stopped := range []bool{false, true} {
		w := newWorld(t, backendapi.Options{})
		w.seed(1000, 0, 0)
		calls := 0
		for {
			if calls++; calls > 40 {
				t.Fatalf("40 calls have not planned the run: %d questions", counted[i])
			}
			ctx, stop := context.WithCancelCause(t.Context())
			var asked, listed atomic.Int32
			w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				switch {
				case r.URL.Path == "/v1/users/count":
					if asked.Add(1) == 10 && stopped {
						stop(fullsync.ErrOutOfTime)
					}
				case r.URL.Path == "/v1/users" && r.URL.Query().Get("limit") == "10":
					listed.Add(1)
				}
				next.ServeHTTP(rw, r)
			}})
			report, err := fullsync.Run(ctx, w.options(tiny))
			stop(nil)
			counted[i] += int(asked.Load())
			if err == nil {
				if report.Users.Created != 1000 {
					t.Errorf("%+v, want 1000 users created", report.Users)
				}
				break
			}
			if !errors.Is(err, fullsync.ErrOutOfTime) || listed.Load() != 0 {
				t.Fatalf("call %d: %v, %d pages listed; want it stopped before", calls, err, listed.Load())
			}
		}
		w.same()
		if stopped && calls < 3 {
			t.Errorf("complete after %d calls; nothing is shown", calls)
		}
		t.Logf("%d questions in %d calls", counted[i], calls)
		// Each call asks how many there are, and a round of it is lost.
		if most := counted[0] + calls*(1+9); counted[i] > most {
			t.Errorf("%d questions in %d calls, want at most %d", counted[i], calls, most)
		}
	}
}
