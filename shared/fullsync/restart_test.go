package fullsync_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

// shaky is a world whose Postgres and PgBouncer are its own, so that either may
// be brought down under a run. The store is connected as in production.
type shaky struct {
	*world
	server *postgres.Server
	pooler *pgbouncer.Pooler
	// port is the pooler's, whichever process serves it.
	port int
	// silent has the pooler's place after silence.
	silent net.Listener
	// accidents happen to the store's statements; none at first.
	accidents accidents
}

// newShaky skips the test where there is no PgBouncer.
func newShaky(t *testing.T, o backendapi.Options) *shaky {
	t.Helper()
	_, err := pgbouncer.Find()
	need.Success(t, err, pgbouncer.ErrNotFound)
	// What no commit forces to disk stays in memory for as long as Postgres allows,
	// so that a crash takes it.
	server := testdb.NewServer(t, map[string]string{"wal_writer_delay": "10s", "wal_writer_flush_after": "1GB", "wal_buffers": "32MB"})
	s := &shaky{world: &world{T: t, clerk: clerkinstance.New(clerkinstance.Options{Seed: 1})}, server: server}
	s.look()
	if err := s.startPooler(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.pooler.Kill(); err != nil {
			t.Error(err)
		}
	})
	config, err := supabase.Parse(supabase.Options{URL: secret.New(s.pooler.URL(testdb.ServerDatabase, "clerksync_writer", "")), MaxConns: 4, AppName: "test"})
	if err != nil {
		t.Fatal(err)
	}
	db := supabase.Open(supabase.Fixed(config))
	t.Cleanup(db.Close)
	s.store = mirror.New(&witness{db, s.accidents.tell})
	s.serve(o)
	return s
}

// look gives the one who looks at everything a new connection: the old one may
// have died with the server.
func (s *shaky) look() {
	s.Helper()
	conn, err := pgx.Connect(s.Context(), s.server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = conn.Close(context.Background()) })
	s.owner = conn
}

// startPooler starts the pooler, always on the same port.
func (s *shaky) startPooler() error {
	o := pgbouncer.Options{
		Host: s.server.Host(), Port: s.server.Port(), AuthUser: postgres.Superuser, AuthPassword: s.server.Password(),
		Admit: func(role string) { s.server.URL(testdb.ServerDatabase, role, "") },
		// A short outage is waited out, a longer one told.
		Settings: map[string]string{"query_wait_timeout": "1"},
	}
	if s.port != 0 {
		o.Settings["listen_port"] = strconv.Itoa(s.port)
	}
	pooler, err := pgbouncer.Start(context.Background(), o)
	if err != nil {
		return err
	}
	if s.port == 0 {
		s.port = pooler.Port()
	}
	s.pooler = pooler
	return nil
}

// crash ends Postgres at once and starts it again.
func (s *shaky) crash() {
	if err := errors.Join(s.server.Kill(), s.server.Restart(context.Background())); err != nil {
		s.Error(err)
	}
}

// killPooler ends PgBouncer at once and starts it again.
func (s *shaky) killPooler() {
	if err := errors.Join(s.pooler.Kill(), s.startPooler()); err != nil {
		s.Error(err)
	}
}

// restartPooler has PgBouncer finish the transactions that are under way and
// starts it again.
func (s *shaky) restartPooler() {
	if err := errors.Join(s.pooler.Stop(context.Background()), s.startPooler()); err != nil {
		s.Error(err)
	}
}

// seeThrough runs syncs until one is complete and returns its report. Each of
// the others must have left the rest to the next, for want of a database.
func (s *shaky) seeThrough(change func(*fullsync.Options)) (report fullsync.Report, calls int) {
	s.Helper()
	for calls = 1; ; calls++ {
		report, err := s.run(change)
		s.accidents.underway.Wait()
		s.look()
		if err == nil {
			return report, calls
		}
		if report.State != fullsync.Partial || report.Reason != "database_unavailable" || calls == 10 {
			s.Fatalf("call %d: %v\n%s", calls, err, describe(report))
		}
		s.expire()
	}
}

// small makes windows of a few pages, and few requests at the same time.
func small(o *fullsync.Options) { o.Workers = 3; o.Small(120, 40) }

// change does to the instance what no webhook tells, to as many users, and says
// how many of them it has updated and deleted.
func (w *world) change() (updated, deleted int64) {
	w.Helper()
	snapshot := w.clerk.Snapshot()
	for i, id := range sortedKeys(snapshot.Users) {
		var err error
		switch i % 20 {
		case 0:
			err = w.clerk.DeleteUser(id, false)
			deleted++
		case 3, 7, 11, 15:
			err = w.clerk.UpdateUser(id, func(u *resource.User) { u.FirstName = new("Renamed") })
			updated++
		}
		if err != nil {
			w.Fatal(err)
		}
	}
	return updated, deleted
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// witness is a database that tells of every statement, before it is sent and
// when it was answered.
type witness struct {
	mirror.DB
	tell func(sql string, answered bool)
}

func (w *witness) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	w.tell(sql, false)
	return witnessedRow{w.DB.QueryRow(ctx, sql, args...), func() { w.tell(sql, true) }}
}

func (w *witness) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	w.tell(sql, false)
	return w.DB.Query(ctx, sql, args...)
}

type witnessedRow struct {
	pgx.Row
	answered func()
}

func (r witnessedRow) Scan(into ...any) error {
	err := r.Row.Scan(into...)
	if err == nil {
		r.answered()
	}
	return err
}

// moment is when an accident happens.
type moment int

const (
	// travelling: some statement is on its way, being worked on, or its answer
	// on its way back. Other statements go on.
	travelling moment = iota
	// written: the database has just acknowledged a page.
	written
	// recorded: it has just acknowledged what must not be lost: a plan, a
	// finished window, deletions.
	recorded
)

func (m moment) is(sql string, answered bool) bool {
	switch m {
	case written:
		return answered && strings.Contains(sql, ".apply_page(")
	case recorded:
		return answered && (strings.Contains(sql, ".finish_window(") || strings.Contains(sql, ".note_absences(") || strings.Contains(sql, ".delete_absent(") || strings.Contains(sql, ".plan_windows("))
	default:
		return !answered
	}
}

// accidents happen to a database while it is used.
type accidents struct {
	mu sync.Mutex
	// next returns the next one: how many moments to let pass, of which kind, and
	// what happens then; nil for no more.
	next func() (wait int, at moment, happen func())

	wait     int
	at       moment
	happen   func()
	happened int
	underway sync.WaitGroup
}

// plan begins a series of accidents.
func (a *accidents) plan(next func() (int, moment, func())) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.happened, a.next = 0, next
	a.wait, a.at, a.happen = next()
}

// once plans a single accident.
func (a *accidents) once(wait int, at moment, happen func()) {
	planned := false
	a.plan(func() (int, moment, func()) {
		if planned {
			return 0, 0, nil
		}
		planned = true
		return wait, at, happen
	})
}

// random plans so many accidents of some kinds, a few statements apart.
func (a *accidents) random(rng *rand.Rand, n int, kinds ...func()) {
	a.plan(func() (int, moment, func()) {
		if n == 0 {
			return 0, 0, nil
		}
		n--
		kind, later := kinds[rng.IntN(len(kinds))], time.Duration(rng.IntN(5000))*time.Microsecond
		at := moment(rng.IntN(3))
		if at == recorded {
			return 0, at, kind // there are few of them
		}
		return rng.IntN(12), at, func() { <-time.After(later); kind() }
	})
}

// tell is told of a statement. Those who come while something happens have to
// wait, so that they may never hear of it.
func (a *accidents) tell(sql string, answered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.happen == nil || !a.at.is(sql, answered) {
		return
	}
	if a.wait > 0 {
		a.wait--
		return
	}
	happen := a.happen
	if a.at == travelling {
		// One at a time.
		a.underway.Wait()
		a.underway.Go(happen)
	} else {
		a.underway.Wait()
		happen()
	}
	a.happened++
	a.wait, a.at, a.happen = a.next()
}

// The pooler is stopped and killed and comes back, while the copy is filled and
// while it is mended: a run does not end for that, and counts everything once.
func TestRun_OutlastsThePooler(t *testing.T) {
	t.Parallel()
	s := newShaky(t, backendapi.Options{})
	s.outlast(rand.New(rand.NewPCG(1, 1)), 6, s.killPooler, s.restartPooler)
}

// The same with Postgres crashing, which takes pages with it that it has
// acknowledged.
func TestRun_OutlastsTheDatabase(t *testing.T) {
	t.Parallel()
	s := newShaky(t, backendapi.Options{})
	s.outlast(rand.New(rand.NewPCG(2, 1)), 6, s.crash)
}

// outlast fills a copy and mends it, with so many accidents each.
func (s *shaky) outlast(rng *rand.Rand, n int, kinds ...func()) {
	s.Helper()
	s.seed(1500, 60, 1300)
	s.accidents.random(rng, n, kinds...)
	report, calls := s.seeThrough(small)
	s.Logf("filled in %d calls with %d accidents", calls, s.accidents.happened)
	if s.accidents.happened < n/2 {
		s.Errorf("%d accidents; nothing is shown", s.accidents.happened)
	}
	s.same()
	for _, o := range []struct {
		name string
		got  fullsync.ObjectReport
		want int64
	}{{"users", report.Users, 1500}, {"organizations", report.Organizations, 60}, {"memberships", report.Memberships, 1300}} {
		if want := (mirror.Tally{Created: o.want, Drift: o.want}); o.got.Listed != o.want || !cmp.Equal(o.got.Tally, want) {
			s.Errorf("%s filled: %+v, want %d listed and created", o.name, o.got, o.want)
		}
	}

	updated, deleted := s.change()
	s.accidents.random(rng, n, kinds...)
	report, calls = s.seeThrough(small)
	s.Logf("mended in %d calls with %d accidents", calls, s.accidents.happened)
	if s.accidents.happened < n/2 {
		s.Errorf("%d accidents; nothing is shown", s.accidents.happened)
	}
	s.same()
	want := mirror.Tally{Updated: updated, Deleted: deleted, Unchanged: 1500 - updated - deleted, Drift: updated + deleted}
	if !cmp.Equal(report.Users.Tally, want) {
		s.Errorf("users mended: %+v, want %+v", report.Users.Tally, want)
	}
}

// A commit that does not wait for the disk can be acknowledged and lost. Whatever
// is taken by a crash between any two steps of a run, the run knows that it is
// not there any more.
func TestRun_ReadsAgainWhatACrashTook(t *testing.T) {
	t.Parallel()
	s := newShaky(t, backendapi.Options{})
	s.seed(200, 5, 90)
	s.complete(small)
	for _, at := range []moment{written, recorded} {
		for n := range 3 {
			updated, deleted := s.change()
			s.accidents.once(n, at, s.crash)
			name := fmt.Sprintf("a crash after %s %d", map[moment]string{written: "page", recorded: "record"}[at], n+1)
			report, _ := s.seeThrough(func(o *fullsync.Options) { small(o); o.Workers = 1 })
			if s.accidents.happened != 1 {
				t.Errorf("%s: it did not happen", name)
			}
			if report.Users.Updated != updated || report.Users.Deleted != deleted {
				t.Errorf("%s: %+v, want %d users updated and %d deleted", name, report.Users, updated, deleted)
			}
			s.same()
			if t.Failed() {
				t.Fatalf("%s: %s", name, describe(report))
			}
		}
	}
}

// outage is a world in which something stays away from the middle of a run on.
type outage struct {
	*world
	name   string
	option fullsync.Options
	// repair brings back what was away.
	repair func() error
	want   error
	reason string

	updated, deleted int64
	report           fullsync.Report
	err              error
}

// Clerk or the database is away for longer than a run waits: what was done is
// kept, nothing is deleted, and the next run does the rest.
func TestRun_LeavesTheRestToTheNextOne(t *testing.T) {
	t.Parallel()
	outages := clerkOutages(t)
	_, missing := pgbouncer.Find()
	if missing == nil || need.InCI() {
		outages = append(outages, databaseOutages(t)...)
	}
	// There is more time than any of them waits.
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	t.Cleanup(cancel)
	// Together, because they mostly wait.
	var running sync.WaitGroup
	for _, o := range outages {
		running.Go(func() { o.report, o.err = fullsync.Run(ctx, o.option) })
	}
	running.Wait()
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			o.T = t
			if !errors.Is(o.err, o.want) || o.report.State != fullsync.Partial || o.report.Reason != o.reason {
				t.Errorf("%v, %s %s; want %v, partial %s", o.err, o.report.State, o.report.Reason, o.want, o.reason)
			}
			if err := o.repair(); err != nil {
				t.Fatal(err)
			}
			if got := o.countDeleted(); got != 0 {
				t.Errorf("%d users were deleted, want none before everything was read", got)
			}
			o.expire()
			resumed := o.complete(small)
			if !resumed.Resumed || resumed.RunID != o.report.RunID {
				t.Errorf("after it: %s; want run %d resumed", describe(resumed), o.report.RunID)
			}
			if resumed.Users.Updated != o.updated || resumed.Users.Deleted != o.deleted || resumed.Users.Listed != 400-o.deleted {
				t.Errorf("after it: %+v, want %d users updated and %d deleted", resumed.Users, o.updated, o.deleted)
			}
			o.same()
		})
	}
	if len(outages) == 2 {
		t.Run("the database", func(t *testing.T) {
			t.Parallel()
			t.Skip(missing)
		})
	}
}

// outage prepares a run that has something to do.
func (w *world) outage(name string, want error, reason string) *outage {
	w.Helper()
	w.seed(400, 20, 300)
	w.complete(small)
	o := &outage{world: w, name: name, want: want, reason: reason}
	o.updated, o.deleted = w.change()
	return o
}

func clerkOutages(t *testing.T) []*outage {
	t.Helper()
	refused := newWorld(t, backendapi.Options{}).outage(
		"connections to Clerk are refused while memberships are read", clerk.ErrClerkUnavailable, "clerk_unavailable")
	refused.failing(4, func(r *http.Request) bool { return r.URL.Path == "/v1/organization_memberships" },
		func(listener net.Listener, _ http.ResponseWriter) {
			listener.Close()
			panic(http.ErrAbortHandler) // this one had its connection before
		})
	limited := newWorld(t, backendapi.Options{}).outage(
		"every request is one too many while absences are confirmed", clerk.ErrRateLimited, "clerk_rate_limited")
	limited.failing(2, func(r *http.Request) bool { return r.URL.Query().Has("user_id") },
		func(_ net.Listener, rw http.ResponseWriter) {
			rw.Header().Set("Retry-After", "1")
			rw.WriteHeader(http.StatusTooManyRequests)
		})
	return []*outage{refused, limited}
}

// failing serves an API that answers with fail from the nth request of some kind on.
func (o *outage) failing(nth int32, of func(*http.Request) bool, fail func(net.Listener, http.ResponseWriter)) {
	o.Helper()
	var seen atomic.Int32
	var broken atomic.Bool
	var server *httptest.Server
	api := backendapi.New(o.clerk, backendapi.Options{SecretKeys: []string{secretKey}, Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if of(r) && seen.Add(1) == nth {
			broken.Store(true)
		}
		if broken.Load() {
			fail(server.Listener, rw)
			return
		}
		next.ServeHTTP(rw, r)
	}})
	server = httptest.NewServer(api)
	o.Cleanup(server.Close)
	o.url = server.URL + "/v1"
	o.option = o.options(small)
	o.repair = func() error { o.serve(backendapi.Options{}); return nil }
}

func databaseOutages(t *testing.T) []*outage {
	t.Helper()
	var outages []*outage
	for _, test := range []struct {
		name            string
		leave, comeBack func(s *shaky) error
	}{
		{
			"Postgres is down",
			func(s *shaky) error { return s.server.Kill() },
			func(s *shaky) error { return s.server.Restart(s.Context()) },
		},
		{"the pooler is down", func(s *shaky) error { return s.pooler.Kill() }, (*shaky).startPooler},
		// As with a host that drops what it is sent.
		{"nobody answers at the pooler", (*shaky).silence, func(s *shaky) error { return errors.Join(s.silent.Close(), s.startPooler()) }},
	} {
		s := newShaky(t, backendapi.Options{})
		o := s.outage(test.name, mirror.ErrUnavailable, "database_unavailable")
		s.accidents.once(1, recorded, func() {
			if err := test.leave(s); err != nil {
				t.Error(err)
			}
		})
		o.option = s.options(func(o *fullsync.Options) { small(o); o.Patience(time.Second) })
		o.repair = func() error {
			if err := test.comeBack(s); err != nil {
				return err
			}
			s.look()
			return nil
		}
		outages = append(outages, o)
	}
	return outages
}

// silence puts somebody in the pooler's place who takes every connection and
// says nothing.
func (s *shaky) silence() error {
	if err := s.pooler.Kill(); err != nil {
		return err
	}
	var err error
	s.silent, err = net.Listen("tcp", net.JoinHostPort(s.pooler.Host(), strconv.Itoa(s.port)))
	return err
}
