package fullsync_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/histories"
)

// errDied is what a process sees of the database after it was killed: nothing.
var errDied = errors.New("this process was killed")

// mortal is a database whose client is killed at some statement: before the
// server gets it, or before the answer comes.
type mortal struct {
	mirror.DB
	left   atomic.Int64
	before bool
	die    context.CancelCauseFunc
}

func (m *mortal) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	switch left := m.left.Add(-1); {
	case left < 0 || left == 0 && m.before:
		m.die(errDied)
		return deadRow{}
	case left == 0:
		row := m.DB.QueryRow(ctx, sql, args...)
		return lostAnswer{row, m}
	}
	return m.DB.QueryRow(ctx, sql, args...)
}

func (m *mortal) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if m.left.Add(-1) <= 0 {
		m.die(errDied)
		return nil, errDied
	}
	return m.DB.Query(ctx, sql, args...)
}

type deadRow struct{}

func (deadRow) Scan(...any) error { return errDied }

// lostAnswer lets the statement be done and nobody know.
type lostAnswer struct {
	pgx.Row
	m *mortal
}

func (r lostAnswer) Scan(into ...any) error {
	_ = r.Row.Scan(into...)
	r.m.die(errDied)
	return errDied
}

// Killed at any statement, after or before the database has done it, and begun
// again until it is through: everything is there, nothing is doubled. What the database
// has before a statement it has after the one that precedes it, so that one of the two
// shows nearly all, and more histories the other.
func TestRun_KilledAtEveryStep(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(1) {
		if seed > 1 {
			break // they are all
		}
		before := seed == 1
		t.Run(map[bool]string{true: "before it is done", false: "after it is done"}[before], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			w.seed(120, 12, 160)
			w.complete(nil)
			traffic := clerkinstance.NewTraffic(w.clerk, 4)
			direct := pool(t, w.db.Writer())
			small := func(o *fullsync.Options) { o.Workers = 2; o.Small(60, 30) }
			for step := int64(1); ; step++ {
				// Something to create, to change and to delete.
				for range 6 {
					if err := traffic.Step(); err != nil {
						t.Fatal(err)
					}
				}
				deleteOne(w)
				ctx, die := context.WithCancelCause(t.Context())
				dying := &mortal{DB: direct, before: before, die: die}
				dying.left.Store(step)
				killed, err := fullsync.Run(ctx, w.options(func(o *fullsync.Options) {
					small(o)
					o.Patience(time.Millisecond) // the dead wait for nothing
					o.Store = mirror.New(dying)
				}))
				died := ctx.Err() != nil
				die(nil)
				if !died {
					if err != nil {
						t.Fatalf("not killed, and yet: %v", err)
					}
					if step < 40 {
						t.Errorf("a whole run in %d statements; nothing is shown", step)
					}
					break
				}
				if err == nil {
					t.Fatalf("killed at statement %d: %s; want an error", step, killed.State)
				}
				w.expire()
				report := w.complete(small)
				w.same()
				if report.Users.Deleted > 7 {
					t.Errorf("%d users deleted, more than there were: doubled", report.Users.Deleted)
				}
				if t.Failed() {
					t.Fatalf("after a kill at statement %d: %s", step, describe(report))
				}
			}
			w.same()
		})
	}
}

func deleteOne(w *world) {
	w.Helper()
	for id := range w.clerk.Snapshot().Users {
		if err := w.clerk.DeleteUser(id, false); err != nil {
			w.Fatal(err)
		}
		return
	}
}

// expire lets the lease of a run that died run out.
func (w *world) expire() {
	w.Helper()
	if _, err := w.owner.Exec(w.Context(), `update clerk_sync.sync_lock set expires_at = '-infinity'`); err != nil {
		w.Fatal(err)
	}
}

// A run that loses its lock, because it was away for longer than its lease,
// writes nothing more once another has taken over.
func TestRun_StopsWhenItHasLostTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(1100, 5, 20)
	var served atomic.Int32
	w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/v1/users" && served.Add(1) == 2 {
			if _, err := w.db.Conn(t, w.db.Superuser()).Exec(w.Context(), `
				update clerk_sync.sync_lock set holder = 'another', expires_at = now() + interval '1 hour'`); err != nil {
				t.Error(err)
			}
		}
		next.ServeHTTP(rw, r)
	}})
	report, err := w.run(nil)
	if !errors.Is(err, fullsync.ErrLockLost) || report.Reason != "lock_lost" {
		t.Errorf("after the lock was lost: %v, %s; want ErrLockLost", err, report.Reason)
	}
	runs, err := w.store.Runs(t.Context(), 1)
	if err != nil || runs[0].State != "running" {
		t.Errorf("the run of the other holder: %+v, %v; want it running", runs, err)
	}
	// And the one that took over is not kept from working.
	w.expire()
	w.serve(backendapi.Options{})
	w.complete(nil)
	w.same()
}

// What Clerk answers while it is not well. Whatever it is, nothing is deleted
// that is there, and the run is complete, or can be resumed.
func TestRun_WhenClerkIsNotWell(t *testing.T) {
	t.Parallel()
	refuse := func(status int, header, value, body string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set(header, value)
			rw.WriteHeader(status)
			_, _ = rw.Write([]byte(body))
		}
	}
	isList := func(r *http.Request) bool { return strings.Contains(r.URL.RawQuery, "limit=500") }
	for name, test := range map[string]struct {
		// ill tells which requests are answered by answer, given how many came before.
		ill    func(r *http.Request, n int32) bool
		answer http.HandlerFunc
		want   error
		reason string
	}{
		"it refuses the key from one moment on": {
			ill:    func(_ *http.Request, n int32) bool { return n > 6 },
			answer: refuse(401, "Content-Type", "application/json", `{"errors":[{"code":"clerk_key_invalid","message":"no"}]}`),
			want:   clerk.ErrKeyRefused, reason: "key_refused",
		},
		"now and then a gateway's page": {
			ill:    func(_ *http.Request, n int32) bool { return n%5 == 0 },
			answer: refuse(502, "Content-Type", "text/html", `<html>Bad Gateway</html>`),
		},
		"now and then an answer that breaks off": {
			ill:    func(_ *http.Request, n int32) bool { return n%7 == 0 },
			answer: refuse(200, "Content-Length", "5000", `[{"id":"user_`),
		},
		// A filter that is ignored, or an empty answer, must not pass for a proof
		// that somebody is gone.
		"it finds none of the suspects, nor anybody else": {
			ill: func(r *http.Request, _ int32) bool {
				return r.URL.Query().Has("user_id") || r.URL.Query().Has("organization_id")
			},
			answer: refuse(200, "Content-Type", "application/json", `[]`),
			want:   fullsync.ErrIncomplete, reason: "list_incomplete",
		},
		"its lists end too soon": {
			ill: func(r *http.Request, _ int32) bool {
				return r.URL.Path == "/v1/organization_memberships" && isList(r) && r.URL.Query().Get("offset") != "" && r.URL.Query().Get("offset") != "0"
			},
			answer: refuse(200, "Content-Type", "application/json", `{"data":[],"total_count":1200}`),
			want:   fullsync.ErrIncomplete, reason: "list_incomplete",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, backendapi.Options{})
			w.seed(1100, 20, 1200)
			w.complete(nil)
			deleteOne(w)
			gone := w.clerk.Snapshot().Deleted

			var asked atomic.Int32
			w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				if test.ill(r, asked.Add(1)) {
					test.answer(rw, r)
					return
				}
				next.ServeHTTP(rw, r)
			}})
			report, err := w.run(nil)
			if test.want != nil {
				if !errors.Is(err, test.want) || report.State != fullsync.Partial || report.Reason != test.reason {
					t.Errorf("%v, %s %s; want %v, partial %s", err, report.State, report.Reason, test.want, test.reason)
				}
				if got := w.countDeleted(); got != 0 {
					t.Errorf("%d users were deleted", got)
				}
			} else if err != nil {
				t.Errorf("the run: %v", err)
			}

			w.serve(backendapi.Options{})
			w.complete(nil)
			w.same()
			if got := w.countDeleted(); got != 1 {
				t.Errorf("%d users are deleted, want 1 of %s", got, fmt.Sprint(gone))
			}
		})
	}
}
