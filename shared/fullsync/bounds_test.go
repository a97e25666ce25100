package fullsync_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
)

// scale is a database that measures what it is sent and what it answers.
type scale struct {
	mirror.DB
	// sent is the largest list of ids, and answered the most rows.
	sent, answered atomic.Int64
}

func (s *scale) weigh(args []any) {
	for _, arg := range args {
		if ids, ok := arg.([]string); ok {
			most(&s.sent, int64(len(ids)))
		}
	}
}

func most(of *atomic.Int64, n int64) {
	for before := of.Load(); n > before && !of.CompareAndSwap(before, n); before = of.Load() {
	}
}

func (s *scale) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	s.weigh(args)
	return s.DB.QueryRow(ctx, sql, args...)
}

func (s *scale) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.weigh(args)
	rows, err := s.DB.Query(ctx, sql, args...)
	return &weighed{Rows: rows, scale: s}, err
}

type weighed struct {
	pgx.Rows
	scale *scale
	n     int64
}

func (w *weighed) Next() bool {
	next := w.Rows.Next()
	if next {
		w.n++
		most(&w.scale.answered, w.n)
	}
	return next
}

// weigh makes the store measure what it does.
func (w *world) weigh() *scale {
	w.Helper()
	s := &scale{DB: pool(w.T, w.db.Writer())}
	w.store = mirror.New(s)
	return s
}

// Of what Clerk lists nothing, all is suspected: a page of it at a time.
func TestRun_SuspectsAPageAtATime(t *testing.T) {
	t.Parallel()
	// More than one statement may be sent, in pages of a thousand.
	const users = fullsync.MostSent + 1500
	w := newWorld(t, backendapi.Options{})
	w.seed(users, 0, 0)
	w.complete(nil)
	scale := w.weigh()
	w.lieFrom(isUserList, func(int32) bool { return true })
	for _, dry := range []bool{true, false} {
		report := w.complete(func(o *fullsync.Options) { o.DryRun, o.AllowDeletions = dry, true })
		if report.Users.Deleted != users || report.Users.Suspects != users {
			t.Errorf("dry run %t: %+v, want all %d users suspected and deleted", dry, report.Users, users)
		}
	}
	t.Logf("at most %d ids were sent and %d rows answered at a time", scale.sent.Load(), scale.answered.Load())
	if sent := scale.sent.Load(); sent > fullsync.MostSent {
		t.Errorf("%d ids were sent at once, want at most %d", sent, fullsync.MostSent)
	}
}

// A call that dies between the pages of suspects leaves what it has noted, and what the
// next one finds listed is gone from the notes.
func TestRun_TakesBackWhatItFindsListed(t *testing.T) {
	t.Parallel()
	const users, noted = 4500, 2000
	w := newWorld(t, backendapi.Options{})
	w.seed(users, 0, 0)
	w.complete(nil)
	for _, lies := range []bool{false, true} {
		w.lieFrom(isUserList, func(int32) bool { return true })
		ctx, stop := context.WithCancelCause(t.Context())
		var notes atomic.Int32
		store := w.store
		w.store = mirror.New(&witness{pool(t, w.db.Writer()), func(sql string, answered bool) {
			if answered && strings.Contains(sql, ".note_absences(") && notes.Add(1) == 2 {
				stop(fullsync.ErrOutOfTime)
			}
		}})
		_, err := fullsync.Run(ctx, w.options(func(o *fullsync.Options) { o.Workers = 1; o.AllowDeletions = true }))
		w.store = store
		if !errors.Is(err, fullsync.ErrOutOfTime) {
			t.Fatalf("%v, want out of time after two pages", err)
		}
		var n int
		if err := w.owner.QueryRow(t.Context(), `select count(*) from clerk_sync.sync_absences`).Scan(&n); err != nil || n != noted {
			t.Fatalf("%d absences are noted, %v; want %d", n, err, noted)
		}
		var asked atomic.Int32
		w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.Query().Has("user_id") {
				asked.Add(1)
			}
			if lies && isListOf[mirror.Users].MatchString(r.URL.Path) {
				empty(rw, r)
				return
			}
			next.ServeHTTP(rw, r)
		}})
		report := w.complete(func(o *fullsync.Options) { o.AllowDeletions = true })
		want := int64(0)
		if lies {
			want = users
		}
		if !report.Resumed || report.Users.Deleted != want {
			t.Errorf("lists lie %t: resumed %t, %+v; want %d deleted", lies, report.Resumed, report.Users, want)
		}
		if most := int32((users-noted)/90 + 2); lies && asked.Load() > most {
			t.Errorf("%d questions, want at most %d: what is noted need not be asked for again", asked.Load(), most)
		}
		if !lies {
			w.same()
		}
	}
}

// In whatever order Clerk lists what was made in one moment: few are suspected, few are
// sent, and a list is read once.
func TestRun_ReadsAMomentInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		size  int64
		order func(*http.Request)
	}{
		// More than one statement may be sent; and more than two.
		"by id": {fullsync.MostSent + 500, func(*http.Request) {}},
		"the other way": {2*fullsync.MostSent + 500, func(r *http.Request) {
			// They are of one moment, so that they are in order all the same.
			q := r.URL.Query()
			if strings.HasSuffix(q.Get("order_by"), "created_at") && (isUserList(r) || r.URL.Path == "/v1/organization_memberships") {
				q.Set("order_by", "-created_at")
				r.URL.RawQuery = q.Encode()
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			size := test.size
			w := newWorld(t, backendapi.Options{})
			at := time.Now().Add(-100 * 24 * time.Hour)
			if err := w.clerk.Seed(clerkinstance.SeedOptions{Users: int(size), Organizations: 40, Memberships: int(size), From: at, To: at}); err != nil {
				t.Fatal(err)
			}
			scale := w.weigh()
			pages := map[string]*atomic.Int32{"/v1/users": {}, "/v1/organization_memberships": {}}
			w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				test.order(r)
				if n := pages[r.URL.Path]; n != nil {
					n.Add(1)
				}
				next.ServeHTTP(rw, r)
			}})
			first := w.complete(nil)
			if first.Users.Created != size || first.Memberships.Created != size || first.Users.Suspects+first.Memberships.Suspects != 0 {
				t.Errorf("users %+v, memberships %+v; want %d of each created and none suspected", first.Users, first.Memberships, size)
			}
			for path, n := range pages {
				if n.Load() > int32(size/300) {
					t.Errorf("%d requests of %s, want it read once", n.Load(), path)
				}
			}
			gone := 0
			for id := range w.clerk.Snapshot().Users {
				if gone++; gone > 20 {
					break
				}
				if err := w.clerk.DeleteUser(id, false); err != nil {
					t.Fatal(err)
				}
			}
			if report := w.complete(nil); report.Users.Deleted != 20 || report.Users.Suspects != 20 {
				t.Errorf("users %+v, want the 20 that are gone suspected and deleted", report.Users)
			}
			w.same()
			t.Logf("at most %d ids were sent and %d rows answered at a time", scale.sent.Load(), scale.answered.Load())
			if sent := scale.sent.Load(); sent > fullsync.MostSent {
				t.Errorf("%d ids were sent at once, want at most %d", sent, fullsync.MostSent)
			}
		})
	}
}

// A list by offset that is stopped within a moment goes on there.
func TestRun_GoesOnWithinAMomentOfAList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	at := time.Now().Add(-100 * 24 * time.Hour)
	if err := w.clerk.Seed(clerkinstance.SeedOptions{Users: 300, Organizations: 5, Memberships: 600, From: at, To: at}); err != nil {
		t.Fatal(err)
	}
	tiny := func(o *fullsync.Options) { o.Workers = 1; o.Small(60, 20) }
	calls := 0
	for {
		if calls++; calls > 60 {
			t.Fatal("60 calls have not completed the run")
		}
		ctx, stop := context.WithCancelCause(t.Context())
		var served atomic.Int32
		w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			if r.URL.Path == "/v1/organization_memberships" && served.Add(1) == 15 {
				stop(fullsync.ErrOutOfTime)
			}
			next.ServeHTTP(rw, r)
		}})
		report, err := fullsync.Run(ctx, w.options(tiny))
		stop(nil)
		if err == nil {
			if report.Memberships.Listed != 600 || report.Memberships.Created != 600 {
				t.Errorf("memberships %+v, want 600 listed and created", report.Memberships)
			}
			break
		}
		if !errors.Is(err, fullsync.ErrOutOfTime) {
			t.Fatalf("call %d: %v", calls, err)
		}
	}
	if calls < 3 {
		t.Errorf("complete after %d calls; nothing is shown", calls)
	}
	w.same()
}

func isUserList(r *http.Request) bool { return isListOf[mirror.Users].MatchString(r.URL.Path) }

// A list of one moment that is nearly in the order of its ids: what comes behind a window
// to which its id belongs is found and counted once, whatever leaves the list meanwhile.
func TestRun_ReadsAMomentThatIsNearlyInOrder(t *testing.T) {
	t.Parallel()
	const size, behind = 100, 75
	w := newWorld(t, backendapi.Options{})
	at := time.Now().Add(-100 * 24 * time.Hour)
	if err := w.clerk.Seed(clerkinstance.SeedOptions{Users: 60, Organizations: 4, Memberships: size, From: at, To: at}); err != nil {
		t.Fatal(err)
	}
	ids := sortedKeys(w.clerk.Snapshot().Memberships)
	late, leaves := ids[0], ids[1]
	var leave sync.Once
	leaving := false
	w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		q := r.URL.Query()
		offset, err := strconv.Atoi(q.Get("offset"))
		if r.URL.Path != "/v1/organization_memberships" || err != nil && q.Has("offset") {
			next.ServeHTTP(rw, r)
			return
		}
		if leaving && offset > size/2 {
			leave.Do(func() {
				if err := w.clerk.Leave(leaves); err != nil {
					t.Error(err)
				}
			})
		}
		limit, err := strconv.Atoi(q.Get("limit"))
		if err != nil {
			t.Error(err)
		}
		q.Set("offset", "0")
		q.Set("limit", strconv.Itoa(size))
		r.URL.RawQuery = q.Encode()
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		var list struct {
			Data  []json.RawMessage `json:"data"`
			Total int               `json:"total_count"`
		}
		if err := json.Unmarshal(recorded.Body.Bytes(), &list); err != nil {
			t.Error(err)
		}
		list.Data = slices.Insert(list.Data[1:], behind, list.Data[0])
		list.Data = list.Data[min(offset, len(list.Data)):min(offset+limit, len(list.Data))]
		rw.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(rw).Encode(list); err != nil {
			t.Error(err)
		}
	}})
	tiny := func(o *fullsync.Options) { o.Workers = 1; o.Small(60, 20) }
	dry := w.complete(func(o *fullsync.Options) { tiny(o); o.DryRun = true })
	if got := dry.Memberships; got.Listed != size || got.Created != size || got.Unchanged != 0 {
		t.Errorf("a dry run: %+v, want each created, one deleted and none counted twice", got)
	}
	leaving = true
	first := w.complete(tiny)
	if live, err := w.store.IsLive(t.Context(), mirror.Memberships, late); err != nil || !live {
		t.Errorf("what comes late in its moment is live: %t, %v", live, err)
	}
	if got := first.Memberships; got.Created != size || got.Unchanged != 0 || got.Deleted != 1 {
		t.Errorf("the first run: %+v, want each created, one deleted and none counted twice", got)
	}
	leaving = false
	second := w.complete(tiny)
	if got := second.Memberships; got.Listed != size-1 || got.Unchanged != size-1 || got.Drift != 0 {
		t.Errorf("the second run: %+v, want %d unchanged and nothing else", got, size-1)
	}
	w.same()
}

// Before a list is read again, what the last time has found is written.
func TestRun_WritesToTheEndWhatItReadsAgain(t *testing.T) {
	t.Parallel()
	for reason, want := range map[error]string{
		fullsync.ErrMissed: "written", fullsync.ErrNoCursor: "written", fullsync.ErrOutOfTime: "cut off",
	} {
		synctest.Test(t, func(t *testing.T) {
			written, became := make(chan struct{}), ""
			go func() {
				synctest.Wait()
				close(written)
			}()
			err := fullsync.GiveUp(t.Context(), reason, func(ctx context.Context) error {
				select {
				case <-written:
					became = "written"
					return nil
				case <-ctx.Done():
					became = "cut off"
					return ctx.Err()
				}
			})
			if !errors.Is(err, reason) || became != want {
				t.Errorf("given up for %v: %s, %v; want it %s", reason, became, err, want)
			}
		})
	}
}
