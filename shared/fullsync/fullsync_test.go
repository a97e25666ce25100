package fullsync_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

const secretKey = "sk_test_double"

// world is a Clerk instance, a copy of it, and what is between them.
type world struct {
	*testing.T
	clerk *clerkinstance.Instance
	api   *backendapi.API
	url   string
	db    *testdb.DB
	store *mirror.Store
	// owner looks at everything.
	owner *pgx.Conn
	// strangers says that the copy may hold tombstones of what was never in the instance.
	strangers bool
}

// newWorld makes an instance and an empty copy that is written through PgBouncer
// where there is one.
func newWorld(t *testing.T, o backendapi.Options) *world {
	t.Helper()
	db := testdb.New(t)
	w := &world{T: t, clerk: clerkinstance.New(clerkinstance.Options{Seed: 1}), db: db, owner: db.Conn(t, db.Superuser())}
	w.serve(o)
	connString := db.Writer()
	if _, err := pgbouncer.Find(); err == nil || need.InCI() {
		connString = db.Pooled(t, connString)
	}
	w.store = mirror.New(pool(t, connString))
	return w
}

// serve makes the instance answer in another way.
func (w *world) serve(o backendapi.Options) {
	w.Helper()
	o.SecretKeys = []string{secretKey}
	w.api = backendapi.New(w.clerk, o)
	server := httptest.NewServer(w.api)
	w.Cleanup(server.Close)
	w.url = server.URL + "/v1"
}

func pool(t testing.TB, connString string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(connString)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 4
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	p, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func (w *world) backend() *clerk.Backend {
	w.Helper()
	backend, err := clerk.NewBackend(clerk.BackendOptions{
		SecretKey: secret.New(secretKey), URL: w.url, Share: 1, Limit: clerk.RateLimit{Requests: 100_000, Per: time.Second},
	})
	if err != nil {
		w.Fatal(err)
	}
	return backend
}

// options leave nothing out for being too new, unless changed.
func (w *world) options(change func(*fullsync.Options)) fullsync.Options {
	w.Helper()
	o := fullsync.Options{Clerk: w.backend(), Store: w.store, Trigger: "test", Settle: -1}
	if change != nil {
		change(&o)
	}
	return o
}

func (w *world) run(change func(*fullsync.Options)) (fullsync.Report, error) {
	w.Helper()
	return fullsync.Run(w.Context(), w.options(change))
}

// complete runs a sync that must succeed.
func (w *world) complete(change func(*fullsync.Options)) fullsync.Report {
	w.Helper()
	report, err := w.run(change)
	if err != nil || report.State != fullsync.Complete {
		w.Fatalf("full sync: %v\n%s", err, describe(report))
	}
	return report
}

func describe(r fullsync.Report) string { return fmt.Sprintf("%+v", r) }

// same fails unless the copy is the instance, field by field.
func (w *world) same() {
	w.Helper()
	for _, d := range w.differences() {
		w.Errorf("%s", d)
	}
}

// differences are those between the copy and the instance. A full sync cannot
// know when an object was deleted, nor that it ever was if the copy never had it.
func (w *world) differences() []string {
	w.Helper()
	snapshot := w.clerk.Snapshot()
	found, err := devstack.Diff(w.Context(), w.owner, snapshot, nil)
	if err != nil {
		w.Fatal(err)
	}
	var list []string
	for _, d := range found {
		_, gone := snapshot.Deleted[d.ID]
		if gone && (d.Field == "deleted_at" || d.Field == "row" && d.Copy == "absent") {
			continue
		}
		if w.strangers && d.Clerk == "absent" && (d.Copy == "deleted" || d.Table == "users_public") {
			continue
		}
		if len(list) == 20 {
			return append(list, "…")
		}
		list = append(list, d.String())
	}
	return list
}

func (w *world) seed(users, organizations, memberships int) {
	w.Helper()
	if err := w.clerk.Seed(clerkinstance.SeedOptions{Users: users, Organizations: organizations, Memberships: memberships}); err != nil {
		w.Fatal(err)
	}
}

// tally is what a report says of all kinds together.
func tally(r fullsync.Report) mirror.Tally {
	var sum mirror.Tally
	for _, o := range clerk.Objects() {
		sum.Add(r.Of(o.Kind).Tally)
	}
	return sum
}

func TestRun_CopiesAWholeInstanceAndThenNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(12_000, 700, 15_000)
	first := w.complete(nil)
	w.same()
	if got := []int64{first.Users.Created, first.Organizations.Created, first.Memberships.Created}; !cmp.Equal(got, []int64{12_000, 700, 15_000}) {
		t.Errorf("created %v, want 12000, 700 and 15000", got)
	}
	if got := []int64{first.Users.Listed, first.Organizations.Listed, first.Memberships.Listed}; !cmp.Equal(got, []int64{12_000, 700, 15_000}) {
		t.Errorf("listed %v, want 12000, 700 and 15000", got)
	}
	if !first.Initial || first.Resumed {
		t.Errorf("the first run: initial %t resumed %t", first.Initial, first.Resumed)
	}

	before := w.written()
	second := w.complete(nil)
	if got := tally(second); got != (mirror.Tally{Unchanged: got.Unchanged}) || got.Unchanged < 27_700 {
		t.Errorf("the second run: %+v, want everything unchanged", got)
	}
	if w.written() != before {
		t.Error("an unchanged instance wrote rows of the copy")
	}
	if second.Initial || second.Drift != 0 {
		t.Errorf("the second run: initial %t drift %d", second.Initial, second.Drift)
	}
	w.same()
}

// written identifies every row of the copy and who wrote it last.
func (w *world) written() string {
	w.Helper()
	var digest string
	if err := w.owner.QueryRow(w.Context(), `
		select md5(string_agg(t.row, ' ' order by t.row)) from (
			select ctid || ' ' || xmin || ' ' || clerk_id as row from public.users
			union all select ctid || ' ' || xmin || ' ' || clerk_id from public.users_public
			union all select ctid || ' ' || xmin || ' ' || clerk_org_id from public.organizations
			union all select ctid || ' ' || xmin || ' ' || clerk_membership_id from public.organization_memberships
			union all select ctid || ' ' || xmin || ' ' || clerk_role_id from clerk.organization_roles
			union all select ctid || ' ' || xmin || ' ' || clerk_permission_id from clerk.organization_permissions
		) as t`).Scan(&digest); err != nil {
		w.Fatal(err)
	}
	return digest
}

func TestRun_FindsWhatWebhooksHaveLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(800, 30, 900)
	w.complete(nil)

	// A day without an endpoint.
	snapshot := w.clerk.Snapshot()
	traffic := clerkinstance.NewTraffic(w.clerk, 2)
	if err := traffic.SignUps(60); err != nil {
		t.Fatal(err)
	}
	gone := map[string]bool{}
	for id := range snapshot.Users {
		if len(gone) == 25 {
			break
		}
		if err := w.clerk.DeleteUser(id, false); err != nil {
			t.Fatal(err)
		}
		gone[id] = true
	}
	renamed := 0
	for id := range snapshot.Users {
		if gone[id] || renamed == 40 {
			continue
		}
		renamed++
		if err := w.clerk.UpdateUser(id, func(u *resource.User) { u.FirstName = new("Renamed") }); err != nil {
			t.Fatal(err)
		}
	}
	// The smallest one, so that not too many memberships fall with it.
	members := map[string]int{}
	for _, m := range snapshot.Memberships {
		members[m.Organization.ID]++
	}
	smallest := ""
	for id := range snapshot.Organizations {
		if smallest == "" || members[id] < members[smallest] {
			smallest = id
		}
	}
	if err := w.clerk.DeleteOrganization(smallest, false); err != nil {
		t.Fatal(err)
	}
	report := w.complete(nil)
	w.same()
	if report.Users.Deleted != 25 || report.Organizations.Deleted != 1 || report.Users.Created != 60 || report.Users.Updated != 40 {
		t.Errorf("users and organizations: %+v, %+v", report.Users, report.Organizations)
	}
	if want := tally(report); report.Drift != want.Created+want.Updated+want.Deleted {
		t.Errorf("drift = %d of %+v, want all of it: everything had settled", report.Drift, want)
	}
	if again := w.complete(nil); tally(again) != (mirror.Tally{Unchanged: tally(again).Unchanged}) {
		t.Errorf("once more: %+v", tally(again))
	}
}

func TestRun_ReadsByOffsetWhereThereIsNoCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{NoCursor: true})
	w.seed(11_000, 0, 0)
	report := w.complete(nil)
	w.same()
	if report.Users.Listed != 11_000 || report.Users.Created != 11_000 {
		t.Errorf("users: %+v, want 11000 listed and created", report.Users)
	}
}

func TestRun_TakesShorterPagesThanItAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		q := r.URL.Query()
		if q.Get("limit") == "500" {
			q.Set("limit", "70")
			r.URL.RawQuery = q.Encode()
		}
		next.ServeHTTP(rw, r)
	}})
	w.seed(1500, 200, 900)
	report := w.complete(nil)
	w.same()
	if report.Users.Listed != 1500 || report.Organizations.Listed != 200 || report.Memberships.Listed != 900 {
		t.Errorf("listed: %+v", report)
	}
}

func TestRun_OfAnEmptyInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	report := w.complete(nil)
	if got := tally(report); got.Created != int64(len(w.clerk.Snapshot().Roles)+len(w.clerk.Snapshot().Permissions)) || got.Deleted != 0 {
		t.Errorf("an empty instance: %+v", got)
	}
	w.same()
}

func TestRun_WithoutOrganizations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(20, 5, 20)
	w.complete(nil)
	// Switched off later: what the copy has of them is left alone.
	w.serve(backendapi.Options{OrganizationsDisabled: true})
	report := w.complete(nil)
	if report.Organizations.Skipped != "not_enabled" || report.Memberships.Skipped != "not_enabled" {
		t.Errorf("organizations %+v, memberships %+v; want both skipped", report.Organizations, report.Memberships)
	}
	w.same()
}

func TestRun_RefusesTheKeyOfAnotherInstance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(20, 0, 0)
	w.complete(nil)
	copied := w.clerk
	w.clerk = clerkinstance.New(clerkinstance.Options{Seed: 99, Salt: 1})
	w.serve(backendapi.Options{})
	w.seed(20, 0, 0)

	report, err := w.run(nil)
	if !errors.Is(err, fullsync.ErrWrongInstance) || report.State != fullsync.Stopped || report.Reason != "wrong_instance" {
		t.Errorf("another instance: %v, %s %s; want ErrWrongInstance, stopped", err, report.State, report.Reason)
	}
	// Accepted, it is still a mass deletion, which nobody has asked for.
	report, err = w.run(func(o *fullsync.Options) { o.AcceptInstance = true })
	if !errors.Is(err, fullsync.ErrTooManyDeletions) || report.State != fullsync.Stopped {
		t.Errorf("another instance, accepted: %v, %s; want ErrTooManyDeletions", err, report.State)
	}
	other := w.clerk
	w.clerk = copied
	if got := w.countDeleted(); got != 0 {
		t.Errorf("%d users were deleted, want none", got)
	}
	w.clerk = other
	w.complete(func(o *fullsync.Options) { o.AcceptInstance, o.AllowDeletions = true, true })
	if got := w.countDeleted(); got != 20 {
		t.Errorf("%d users were deleted, want all 20 of the other instance", got)
	}
}

func (w *world) countDeleted() (n int) {
	w.Helper()
	if err := w.owner.QueryRow(w.Context(),
		`select count(*) from public.users where deleted_at is not null`).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func TestRun_DeletesNothingIfItWouldDeleteTooMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(100, 0, 0)
	w.complete(nil)
	n := 0
	for id := range w.clerk.Snapshot().Users {
		if n++; n > 11 {
			break
		}
		if err := w.clerk.DeleteUser(id, false); err != nil {
			t.Fatal(err)
		}
	}
	report, err := w.run(nil)
	if !errors.Is(err, fullsync.ErrTooManyDeletions) || report.Reason != "too_many_deletions" {
		t.Fatalf("11 of 100 users gone: %v, %s; want ErrTooManyDeletions", err, report.Reason)
	}
	if !strings.Contains(err.Error(), "11 of the 100") {
		t.Errorf("error %q does not say how many", err)
	}
	if got := w.countDeleted(); got != 0 {
		t.Errorf("%d users were deleted, want none", got)
	}
	if report := w.complete(func(o *fullsync.Options) { o.MaxDeleteShare = 0.11 }); report.Users.Deleted != 11 {
		t.Errorf("allowed: %+v, want 11 deleted", report.Users)
	}
	w.same()
}

// A page that was requested before a webhook landed cannot take back what the
// webhook told.
func TestRun_DoesNotOverwriteWhatAWebhookTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	var once sync.Once
	var id string
	bodies := make(chan clerkinstance.Event, 1000)
	w.clerk = clerkinstance.New(clerkinstance.Options{Seed: 5, Emit: func(e clerkinstance.Event) { bodies <- e }})
	user, err := w.clerk.SignUp(clerkinstance.Person{Emails: []string{"ada@example.com"}, FirstName: "Old"})
	if err != nil {
		t.Fatal(err)
	}
	id = user.ID
	w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path != "/v1/users" {
			next.ServeHTTP(rw, r)
			return
		}
		recorded := httptest.NewRecorder()
		next.ServeHTTP(recorded, r)
		// Read, and not answered yet: now the user changes and the webhook lands.
		once.Do(func() {
			if err := w.clerk.UpdateUser(id, func(u *resource.User) { u.FirstName = new("New") }); err != nil {
				t.Error(err)
			}
			for len(bodies) > 0 {
				w.deliver(<-bodies)
			}
		})
		rw.WriteHeader(recorded.Code)
		_, _ = rw.Write(recorded.Body.Bytes())
	}})
	report := w.complete(nil)
	if report.Users.Stale != 1 {
		t.Errorf("users: %+v, want one stale", report.Users)
	}
	w.same()
}

func (w *world) deliver(e clerkinstance.Event) {
	w.Helper()
	event, err := clerk.ParseEvent(e.Body)
	if err != nil {
		w.Error(err)
		return
	}
	if _, err := w.store.Apply(context.WithoutCancel(w.Context()), mirror.Delivery{SvixID: e.SvixID, Event: event}); err != nil {
		w.Error(err)
	}
}

// promised has a deadline at which it does not end: what stops has looked.
type promised struct {
	context.Context
	at time.Time
}

func (p promised) Deadline() (time.Time, bool) { return p.at, true }

func TestRun_StopsBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(2000, 10, 50)
	var report fullsync.Report
	var err error
	var runs []mirror.RunRecord
	// A machine under load may not even begin in a short time, and in a longer one come to
	// an end, but for requests that take a part of it.
	for limit := 1600 * time.Millisecond; len(runs) == 0; limit *= 2 {
		w.serve(backendapi.Options{Latency: limit / 4})
		report, err = fullsync.Run(promised{t.Context(), time.Now().Add(limit)}, w.options(nil))
		var unread error
		if runs, unread = w.store.Runs(t.Context(), 10); unread != nil {
			t.Fatal(unread)
		}
	}
	if !errors.Is(err, fullsync.ErrOutOfTime) || report.State != fullsync.Partial || report.Reason != "out_of_time" {
		t.Fatalf("a run without time: %v\n%s", err, describe(report))
	}
	if len(runs) != 1 || runs[0].State != "partial" || runs[0].Reason != "out_of_time" {
		t.Errorf("history: %+v; want one partial run", runs)
	}

	// No time at all is not much else.
	gone, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if report, err := fullsync.Run(gone, w.options(nil)); !errors.Is(err, fullsync.ErrOutOfTime) || report.State == fullsync.Complete {
		t.Errorf("a deadline in the past: %v, %s; want ErrOutOfTime", err, report.State)
	}
}

// However often a run is stopped for time it goes on where it was, and every
// object is counted once.
func TestRun_GoesOnUntilItIsComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(1600, 30, 1100)
	calls := 0
	for {
		if calls++; calls > 40 {
			t.Fatal("40 calls have not completed the run")
		}
		ctx, stop := context.WithCancelCause(t.Context())
		var served atomic.Int32
		w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			if served.Add(1) == 25 {
				stop(fullsync.ErrOutOfTime)
			}
			next.ServeHTTP(rw, r)
		}})
		report, err := fullsync.Run(ctx, w.options(func(o *fullsync.Options) { o.Workers = 2; o.Small(500, 50) }))
		stop(nil)
		if err == nil {
			if calls < 3 || !report.Resumed {
				t.Errorf("complete after %d calls, resumed %t; nothing is shown", calls, report.Resumed)
			}
			for _, o := range []struct {
				name string
				got  fullsync.ObjectReport
				want int64
			}{{"users", report.Users, 1600}, {"organizations", report.Organizations, 30}, {"memberships", report.Memberships, 1100}} {
				if o.got.Listed != o.want || o.got.Created != o.want || o.got.Unchanged != 0 {
					t.Errorf("%s: %+v, want %d listed and created", o.name, o.got, o.want)
				}
			}
			break
		}
		if !errors.Is(err, fullsync.ErrOutOfTime) || report.State != fullsync.Partial {
			t.Fatalf("call %d: %v\n%s", calls, err, describe(report))
		}
	}
	w.same()
	runs, err := w.store.Runs(t.Context(), 10)
	if err != nil || len(runs) != 1 || runs[0].State != "complete" {
		t.Errorf("history: %+v, %v; want one complete run", runs, err)
	}
}

func TestRun_LeavesAResumableRunWhenInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(11_000, 10, 100)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var served atomic.Int32
	w.serve(backendapi.Options{Intercept: func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/v1/users" && served.Add(1) == 15 {
			interrupt()
		}
		next.ServeHTTP(rw, r)
	}})
	report, err := fullsync.Run(ctx, w.options(nil))
	if !errors.Is(err, context.Canceled) || report.State != fullsync.Partial || report.Reason != "interrupted" {
		t.Fatalf("interrupted: %v, %s %s", err, report.State, report.Reason)
	}
	resumed := w.complete(nil)
	if !resumed.Resumed || resumed.RunID != report.RunID || resumed.Users.Listed != 11_000 {
		t.Errorf("after it: %s", describe(resumed))
	}
	w.same()
}

func TestRun_TwoAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{Latency: 5 * time.Millisecond})
	w.seed(3000, 10, 100)
	reports, errs := make([]fullsync.Report, 4), make([]error, 4)
	var running sync.WaitGroup
	for i := range reports {
		running.Go(func() { reports[i], errs[i] = w.run(nil) })
	}
	running.Wait()
	done := 0
	for i, err := range errs {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, fullsync.ErrBusy) || reports[i].Reason != "busy":
			t.Errorf("one of several: %v, %s", err, reports[i].Reason)
		}
	}
	if done == 0 {
		t.Error("none of them worked")
	}
	w.same()
}

func TestRun_DryRunWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	w.seed(600, 20, 300)
	w.complete(nil)
	var renamed, removed string
	for id := range w.clerk.Snapshot().Users {
		switch {
		case renamed == "":
			renamed = id
		case removed == "":
			removed = id
		}
	}
	if err := w.clerk.UpdateUser(renamed, func(u *resource.User) { u.LastName = new("Renamed") }); err != nil {
		t.Fatal(err)
	}
	if err := w.clerk.DeleteUser(removed, false); err != nil {
		t.Fatal(err)
	}
	added, err := w.clerk.SignUp(clerkinstance.Person{Emails: []string{"new@example.com"}})
	if err != nil {
		t.Fatal(err)
	}

	before := w.everything()
	var mu sync.Mutex
	found := map[string]string{}
	report := w.complete(func(o *fullsync.Options) {
		o.DryRun = true
		o.OnDifference = func(d mirror.Difference) {
			mu.Lock()
			defer mu.Unlock()
			if d.Object == mirror.Users {
				found[d.ID] = d.Result
			}
		}
	})
	if diff := cmp.Diff(map[string]string{renamed: "updated", removed: "deleted", added.ID: "created"}, found); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	if report.Users.Created != 1 || report.Users.Updated != 1 || report.Users.Deleted != 1 || report.RunID != 0 {
		t.Errorf("report: %s", describe(report))
	}
	if diff := cmp.Diff(before, w.everything()); diff != "" {
		t.Errorf("the dry run wrote something (-before +after):\n%s", diff)
	}
	w.complete(nil)
	w.same()
}

// everything is a digest of every table.
func (w *world) everything() map[string]string {
	w.Helper()
	rows, err := w.owner.Query(w.Context(), `
		select c.oid::regclass::text from pg_class c
		where c.relkind = 'r' and c.relnamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace)`)
	if err != nil {
		w.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.Fatal(err)
	}
	digests := map[string]string{}
	for _, table := range tables {
		var digest string
		if err := w.owner.QueryRow(w.Context(), `select coalesce(md5(string_agg(t::text, e'\n' order by t::text)), '') from `+table+` as t`).Scan(&digest); err != nil {
			w.Fatal(err)
		}
		digests[table] = digest
	}
	return digests
}
