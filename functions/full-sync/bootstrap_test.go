package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/fullsync"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

// secretKey is of the kind with the higher limit.
const secretKey = "sk_live_" + "NotARealKeyButLongEnough"

func binary(t testing.TB) string {
	t.Helper()
	return lambdatest.Build(t, "clerksync/functions/full-sync")
}

// double is a Clerk instance with its Backend API.
type double struct {
	*clerkinstance.Instance
	server *httptest.Server
}

func newDouble(t *testing.T, intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)) *double {
	t.Helper()
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	if err := instance.Seed(clerkinstance.SeedOptions{Users: 1700, Organizations: 60, Memberships: 900, To: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(backendapi.New(instance, backendapi.Options{SecretKeys: []string{secretKey}, Intercept: intercept}))
	t.Cleanup(server.Close)
	return &double{instance, server}
}

// environment is that of a function which syncs d into db.
func (d *double) environment(url string) map[string]string {
	return map[string]string{
		"DATABASE_URL": url, "CLERK_SECRET_KEY": secretKey, "CLERK_API_URL": d.server.URL + "/v1", "SYNC_RATE_SHARE": "1", "LOG_LEVEL": "debug",
	}
}

// check compares the copy with the instance, but for the moments of deletions,
// which only webhooks tell.
func (d *double) check(t *testing.T, db *testdb.DB) {
	t.Helper()
	differences, err := devstack.Diff(t.Context(), db.Conn(t, db.Owner()), d.Snapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	differences = slices.DeleteFunc(differences, func(d devstack.Difference) bool { return d.Field == "deleted_at" })
	for i, difference := range differences {
		if i == 10 {
			t.Errorf("and %d differences more", len(differences)-i)
			break
		}
		t.Error(difference)
	}
}

// invoke has the function handle one event within limit and returns its report.
func invoke(t *testing.T, f *lambdatest.Function, payload []byte, limit time.Duration) (fullsync.Report, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var report fullsync.Report
	answer, err := f.Invoke(ctx, payload)
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(answer, &report); err != nil {
		t.Fatalf("answer %s: %v", answer, err)
	}
	return report, nil
}

// enough is longer than any run here takes.
const enough = 2 * time.Minute

func scheduled(t *testing.T) []byte {
	t.Helper()
	payload, err := os.ReadFile(filepath.Join("..", "..", "infra", "events", "full-sync.json"))
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestBootstrap_SyncsAnInstance(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	instance := newDouble(t, nil)
	db := testdb.New(t)
	f := lambdatest.Start(t, binary(t), instance.environment(db.Pooled(t, db.Writer())))
	t.Logf("ready in %v", f.Ready)
	report, err := invoke(t, f, scheduled(t), enough)
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Logs())
	}
	if report.State != fullsync.Complete || report.Users.Created != 1700 || report.Memberships.Created != 900 || !report.Initial || report.InstanceID != instance.ID() {
		t.Errorf("report = %+v, want a complete first run of 1700 users and 900 memberships", report)
	}
	instance.check(t, db)

	// What is as it should be stays as it is.
	report, err = invoke(t, f, []byte(`null`), enough)
	if err != nil || report.State != fullsync.Complete || report.Users.Unchanged != 1700 || report.Drift != 0 || report.Initial {
		t.Errorf("second run = %+v, %v, want nothing changed", report, err)
	}
	if report.Requests == 0 || report.Requests > 100 {
		t.Errorf("the second run counts %d requests, want its own", report.Requests)
	}
	logs := f.Logs()
	for _, part := range []string{`"request_id":"00000000-0000-4000-8000-000000000002"`, `"_aws"`, `"object":"user"`, `"state":"complete"`, `"path":"/users"`} {
		if !strings.Contains(logs, part) {
			t.Errorf("the logs lack %s:\n%.4000s", part, logs)
		}
	}
	for _, leak := range []string{secretKey, "sk_live_", "@example", "postgres://", "postgresql://"} {
		if strings.Contains(logs, leak) {
			t.Errorf("the logs hold %q", leak)
		}
	}
}

// lambdaAPI is what a function that invokes itself calls.
type lambdaAPI struct {
	*httptest.Server
	requests chan *http.Request
	payloads chan []byte
}

func newLambdaAPI(t *testing.T) *lambdaAPI {
	t.Helper()
	l := &lambdaAPI{requests: make(chan *http.Request, 10), payloads: make(chan []byte, 10)}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l.requests <- r
		l.payloads <- payload
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *lambdaAPI) environment() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL_LAMBDA": l.URL, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test"}
}

// silence lets some requests through and then none, until it is broken.
func silence(after int64) (intercept func(w http.ResponseWriter, r *http.Request, next http.Handler), broken *atomic.Bool) {
	var seen atomic.Int64
	broken = new(atomic.Bool)
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !broken.Load() && seen.Add(1) > after {
			<-r.Context().Done()
			return
		}
		next.ServeHTTP(w, r)
	}, broken
}

func TestBootstrap_GoesOnWhenItIsOutOfTime(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	intercept, broken := silence(9)
	instance := newDouble(t, intercept)
	db := testdb.New(t)
	aws := newLambdaAPI(t)
	environment := instance.environment(db.Pooled(t, db.Writer()))
	maps.Copy(environment, aws.environment())
	f := lambdatest.Start(t, binary(t), environment)

	first, err := invoke(t, f, scheduled(t), 4*time.Second)
	if err != nil || first.State != fullsync.Partial || first.Reason != "out_of_time" {
		t.Fatalf("first invocation = %+v, %v, want partial, out of time\n%.8000s", first, err, f.Logs())
	}
	request, payload := <-aws.requests, <-aws.payloads
	if request.Method != http.MethodPost || request.URL.Path != "/2015-03-31/functions/test/invocations" ||
		request.Header.Get("X-Amz-Invocation-Type") != "Event" || request.Header.Get("X-Amzn-Trace-Id") != lambdatest.TraceID {
		t.Errorf("asked Lambda for %s %s %v, want an asynchronous invocation of the function in the same trace", request.Method, request.URL, request.Header)
	}
	if string(payload) != `{"trigger":"schedule","continuation":1}` {
		t.Errorf("the continuation's event is %s", payload)
	}

	broken.Store(true)
	second, err := invoke(t, f, payload, enough)
	if err != nil || second.State != fullsync.Complete || !second.Resumed || second.RunID != first.RunID {
		t.Errorf("second invocation = %+v, %v, want run %d resumed and complete\n%.8000s", second, err, first.RunID, f.Logs())
	}
	if len(aws.requests) > 0 {
		t.Error("a run that is complete was continued")
	}
	instance.check(t, db)
}

// The SAM CLI runs a function under a name that no Lambda knows.
func TestBootstrap_LeavesTheRestToTheNextInvocationOutsideOfLambda(t *testing.T) {
	t.Parallel()
	intercept, _ := silence(9)
	instance := newDouble(t, intercept)
	db := testdb.New(t)
	aws := newLambdaAPI(t)
	environment := instance.environment(db.Writer())
	maps.Copy(environment, aws.environment())
	environment["AWS_SAM_LOCAL"] = "true"
	f := lambdatest.Start(t, binary(t), environment)
	report, err := invoke(t, f, scheduled(t), 4*time.Second)
	if err != nil || report.State != fullsync.Partial || report.Reason != "out_of_time" {
		t.Errorf("invocation = %+v, %v, want partial, out of time\n%.8000s", report, err, f.Logs())
	}
	if len(aws.requests) > 0 {
		t.Error("Lambda was asked for another invocation")
	}
}

func TestBootstrap_LeavesARunThatWorksAlone(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	working, release := make(chan struct{}), make(chan struct{})
	instance := newDouble(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/instance"): // everybody may ask whose key it is
		case seen.Add(1) == 1:
			close(working)
			<-release
		}
		next.ServeHTTP(w, r)
	})
	db := testdb.New(t)
	one := lambdatest.Start(t, binary(t), instance.environment(db.Writer()))
	other := lambdatest.Start(t, binary(t), instance.environment(db.Writer()))
	var first fullsync.Report
	var firstErr error
	var wait sync.WaitGroup
	wait.Go(func() { first, firstErr = invoke(t, one, scheduled(t), enough) })
	<-working
	second, err := invoke(t, other, scheduled(t), enough)
	if err != nil || second.Reason != "busy" || second.State != "" {
		t.Errorf("beside another run: %+v, %v, want busy and no error\n%s", second, err, other.Logs())
	}
	close(release)
	wait.Wait()
	if firstErr != nil || first.State != fullsync.Complete {
		t.Errorf("the first run = %+v, %v, want it undisturbed\n%s", first, firstErr, one.Logs())
	}
	instance.check(t, db)
}

func TestBootstrap_FailsAndNamesEverySettingThatIsWrong(t *testing.T) {
	t.Parallel()
	f := lambdatest.Start(t, binary(t), map[string]string{"CLERK_SECRET_KEY": "pk_live_oops", "SYNC_RATE_SHARE": "20%"})
	_, err := invoke(t, f, scheduled(t), enough)
	if failure, ok := errors.AsType[*lambdatest.FunctionError](err); !ok || !bytes.Contains(failure.Payload, []byte(`"errorType":"not_configured"`)) {
		t.Errorf("invocation = %v, want an error of the type not_configured", err)
	}
	for _, name := range []string{"DATABASE_URL", "CLERK_SECRET_KEY", "SYNC_RATE_SHARE"} {
		if !strings.Contains(f.Logs(), name) {
			t.Errorf("the logs do not name %s:\n%s", name, f.Logs())
		}
	}
	if strings.Contains(f.Logs(), "pk_live_oops") {
		t.Errorf("the logs hold the value:\n%s", f.Logs())
	}
}

func TestBootstrap_FailsWithACodeAndKeepsTheRestInItsLog(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(environment map[string]string)
		code   string
		log    string
	}{
		// Nothing to try again: it is answered with a report.
		{"pinned to another instance", func(e map[string]string) { e["CLERK_INSTANCE_ID"] = "ins_another" }, "", "ins_another"},
		{"key refused", func(e map[string]string) { e["CLERK_SECRET_KEY"] = "sk_live_revoked" }, "key_refused", "clerk_key_invalid"},
	}
	instance := newDouble(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			environment := instance.environment(db.Writer())
			test.change(environment)
			f := lambdatest.Start(t, binary(t), environment)
			report, err := invoke(t, f, scheduled(t), enough)
			failure, ok := errors.AsType[*lambdatest.FunctionError](err)
			if test.code == "" {
				if err != nil || report.State != fullsync.Stopped || report.Reason != "wrong_instance" {
					t.Errorf("invocation = %+v, %v, want a stopped run", report, err)
				}
			} else if !ok || !bytes.Contains(failure.Payload, fmt.Appendf(nil, `"errorType":%q`, test.code)) || bytes.Contains(failure.Payload, []byte(test.log)) {
				t.Errorf("invocation = %v, want the error type %s and no details", err, test.code)
			}
			if !strings.Contains(f.Logs(), test.log) || !strings.Contains(f.Logs(), `"failures"`) {
				t.Errorf("the logs do not hold %q and the metric:\n%.8000s", test.log, f.Logs())
			}
		})
	}
}

// The process is killed at any request, again and again, while it fills a copy
// and while it mends one. However it went, the copy is the instance in the end.
func TestBootstrap_KilledAtAnyPointResumesAndCompletes(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	var requests atomic.Int64
	var kill atomic.Pointer[func(n int64)]
	instance := newDouble(t, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		n := requests.Add(1)
		if k := kill.Load(); k != nil {
			(*k)(n)
		}
		next.ServeHTTP(w, r)
	})
	db := testdb.New(t)
	super := db.Conn(t, db.Superuser())
	environment := instance.environment(db.Pooled(t, db.Writer()))
	r := rand.New(rand.NewPCG(3, 4))
	kills, resumed := 0, 0

	// The time that a dead process keeps the lock for.
	expire := func() {
		t.Helper()
		if _, err := super.Exec(t.Context(), `update clerk_sync.sync_lock set expires_at = now()`); err != nil {
			t.Fatal(err)
		}
	}
	// late is how many runs more there may be than those that are shot at.
	const late = 3
	finish := func(attempts int) fullsync.Report {
		t.Helper()
		for attempt := 0; ; attempt++ {
			f := lambdatest.Start(t, binary(t), environment)
			requests.Store(0)
			if attempt < attempts {
				at, later := 1+r.Int64N(20), time.Duration(r.IntN(20_000))*time.Microsecond
				shoot := func(n int64) {
					if n == at {
						time.AfterFunc(later, f.Kill)
					}
				}
				kill.Store(&shoot)
			} else {
				kill.Store(nil)
			}
			report, err := invoke(t, f, scheduled(t), enough)
			switch {
			case errors.Is(err, lambdatest.ErrExited):
				kills++
				expire()
				continue
			case err != nil:
				t.Fatalf("%v\n%.8000s", err, f.Logs())
			}
			f.Kill()
			if report.Reason == "busy" && attempt < attempts+late {
				// A statement of the dead was still on its way to the server, and took the lock.
				expire()
				continue
			}
			if report.Resumed {
				resumed++
			}
			if attempt >= attempts {
				return report
			}
		}
	}

	if report := finish(12); report.State != fullsync.Complete {
		t.Errorf("filling the copy: %+v, want complete", report)
	}
	instance.check(t, db)
	change(t, instance.Instance)
	if report := finish(12); report.State != fullsync.Complete {
		t.Errorf("mending the copy: %+v, want complete", report)
	}
	instance.check(t, db)
	if kills == 0 || resumed == 0 {
		t.Fatalf("%d kills hit a run and %d runs were resumed: the test proves nothing", kills, resumed)
	}
	t.Logf("%d processes killed at work, %d runs resumed", kills, resumed)
}

// change does to an instance what webhooks would have told, had there been any.
func change(t *testing.T, instance *clerkinstance.Instance) {
	t.Helper()
	snapshot := instance.Snapshot()
	var users, organizations int
	for _, id := range slices.Sorted(maps.Keys(snapshot.Users)) {
		var err error
		switch users++; users % 100 {
		case 1:
			err = instance.DeleteUser(id, true)
		case 2, 3, 4, 5:
			err = instance.UpdateUser(id, func(u *resource.User) { u.FirstName = new("Renamed") })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(snapshot.Organizations)) {
		var err error
		switch organizations++; organizations % 30 {
		case 1:
			err = instance.DeleteOrganization(id, true)
		case 2:
			err = instance.UpdateOrganization(id, func(o *resource.Organization) { o.Name = "Renamed" })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := clerkinstance.NewTraffic(instance, 2).SignUps(40); err != nil {
		t.Fatal(err)
	}
}
