package main_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	code := testdb.Main(m)
	moto.Stop()
	os.Exit(code)
}

const signingSecret = "whsec_dGVzdC1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaA=="

func binary(t testing.TB) string {
	t.Helper()
	return lambdatest.Build(t, "clerksync/functions/webhook-ingest")
}

// What tests of this function say often.
var (
	request = lambdatest.WebhookRequest
	invoke  = lambdatest.InvokeWebhook
)

type answer = lambdatest.WebhookAnswer

func signed(id string, body []byte) []byte {
	return request(clerktest.Sign(signingSecret, id, time.Now(), body), body, false)
}

func environment(url string) map[string]string {
	return map[string]string{"DATABASE_URL": url, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret}
}

func TestBootstrap_AppliesASignedWebhook(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	f := lambdatest.Start(t, binary(t), environment(db.Pooled(t, db.Writer())))
	body := clerktest.User("user_1").Email("one@example.com").Event(clerk.UserCreated, clerktest.Epoch)
	header := clerktest.Sign(signingSecret, "msg_1", time.Now(), body)
	for _, step := range []struct {
		name    string
		payload []byte
		want    answer
	}{
		{"first", request(header, body, false), answer{Status: 200, Outcome: "applied"}},
		{"again, base64", request(header, body, true), answer{Status: 200, Outcome: "duplicate"}},
		{"altered", request(header, append(body, ' '), false), answer{Status: 401, Code: "invalid_signature"}},
	} {
		got, err := invoke(t.Context(), f, step.payload)
		if err != nil {
			t.Fatalf("%s: %v\n%s", step.name, err, f.Logs())
		}
		got.Header = nil
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%s", step.name, diff, f.Logs())
		}
	}
	var email string
	if err := db.Conn(t, db.Owner()).QueryRow(t.Context(), `select email from public.users where clerk_id = 'user_1'`).Scan(&email); err != nil || email != "one@example.com" {
		t.Errorf("email in the copy = %q, %v", email, err)
	}
	logs := f.Logs()
	for _, part := range []string{`"svix_id":"msg_1"`, `"request_id":"00000000-0000-4000-8000-000000000001"`, `"outcome":"applied"`, `"_aws"`, `"lag"`} {
		if !strings.Contains(logs, part) {
			t.Errorf("the logs lack %s:\n%s", part, logs)
		}
	}
	for _, leak := range []string{"one@example.com", signingSecret, "whsec_", "postgresql://"} {
		if strings.Contains(logs, leak) {
			t.Errorf("the logs hold %q:\n%s", leak, logs)
		}
	}
}

func TestBootstrap_AnswersUnavailableAndRecovers(t *testing.T) {
	t.Parallel()
	body := clerktest.User("user_1").Event(clerk.UserCreated, clerktest.Epoch)
	tests := []struct {
		name string
		// breakIt makes the database unusable and returns what mends it.
		breakIt func(t *testing.T, db *testdb.DB, owner *pgx.Conn) (mend func())
	}{
		{"read-only", func(t *testing.T, db *testdb.DB, owner *pgx.Conn) func() {
			set := func(value string) {
				if _, err := owner.Exec(t.Context(), fmt.Sprintf(`alter database %s set default_transaction_read_only = %s`, pgx.Identifier{db.Name()}.Sanitize(), value)); err != nil {
					t.Fatal(err)
				}
				hangUp(t, owner)
			}
			set("on")
			return func() {
				if _, err := owner.Exec(t.Context(), `set transaction_read_only = off; set default_transaction_read_only = off`); err != nil {
					t.Fatal(err)
				}
				set("off")
			}
		}},
		{"no more connections", func(t *testing.T, db *testdb.DB, owner *pgx.Conn) func() {
			limit := func(n int) {
				if _, err := owner.Exec(t.Context(), fmt.Sprintf(`alter database %s connection limit %d`, pgx.Identifier{db.Name()}.Sanitize(), n)); err != nil {
					t.Fatal(err)
				}
				hangUp(t, owner)
			}
			limit(0)
			return func() { limit(-1) }
		}},
		{"not migrated", func(t *testing.T, _ *testdb.DB, owner *pgx.Conn) func() {
			rename := func(from, to string) {
				if _, err := owner.Exec(t.Context(), fmt.Sprintf(`alter schema %s rename to %s`, from, to)); err != nil {
					t.Fatal(err)
				}
			}
			rename("clerk_sync", "clerk_gone")
			return func() { rename("clerk_gone", "clerk_sync") }
		}},
		{"slow", func(t *testing.T, db *testdb.DB, owner *pgx.Conn) func() {
			// Somebody holds the table: the deadline of the step ends the wait.
			tx, err := db.Conn(t, db.Superuser()).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), `lock table public.users in access exclusive mode`); err != nil {
				t.Fatal(err)
			}
			return func() { _ = tx.Rollback(t.Context()) }
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			owner := db.Conn(t, db.Superuser())
			f := lambdatest.Start(t, binary(t), environment(db.Writer()))
			if got, err := invoke(t.Context(), f, signed("msg_before", body)); err != nil || got.Status != 200 {
				t.Fatalf("before: %+v, %v\n%s", got, err, f.Logs())
			}
			mend := test.breakIt(t, db, owner)
			body := clerktest.User("user_2").Event(clerk.UserCreated, clerktest.Epoch)
			got, err := invoke(t.Context(), f, signed("msg_during", body))
			if err != nil || got.Status != http.StatusServiceUnavailable || got.Code != "unavailable" || got.Header["Retry-After"] == "" {
				t.Errorf("during: %+v, %v, want 503 unavailable with Retry-After\n%s", got, err, f.Logs())
			}
			mend()
			if got, err = invoke(t.Context(), f, signed("msg_during", body)); err != nil || got.Outcome != "applied" {
				t.Errorf("after: %+v, %v, want applied\n%s", got, err, f.Logs())
			}
			if strings.Contains(f.Logs(), "img.clerk.example") {
				t.Errorf("the logs quote the event:\n%s", f.Logs())
			}
		})
	}
}

// hangUp ends every other connection to the database, so that new settings count.
func hangUp(t *testing.T, owner *pgx.Conn) {
	t.Helper()
	if _, err := owner.Exec(t.Context(), `
		select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
}

func TestBootstrap_StartsAndAnswers503WithoutConfiguration(t *testing.T) {
	t.Parallel()
	f := lambdatest.Start(t, binary(t), map[string]string{"CLERK_WEBHOOK_SIGNING_SECRET": "sk_test_oops"})
	got, err := invoke(t.Context(), f, signed("msg_1", []byte(`{}`)))
	if err != nil || got.Status != http.StatusServiceUnavailable || got.Code != "not_configured" {
		t.Errorf("answer = %+v, %v, want 503 not_configured", got, err)
	}
	for _, name := range []string{"DATABASE_URL", "CLERK_WEBHOOK_SIGNING_SECRET"} {
		if !strings.Contains(f.Logs(), name) {
			t.Errorf("the logs do not name %s:\n%s", name, f.Logs())
		}
	}
	if strings.Contains(f.Logs(), "sk_test_oops") {
		t.Errorf("the logs hold the value:\n%s", f.Logs())
	}
}

// The process is killed at any moment, again and again, while the database
// restarts under it; what was not acknowledged is delivered again, as Svix
// does. Nothing may be lost and nothing doubled.
func TestBootstrap_KilledAtAnyPointLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	url := db.Pooled(t, db.Writer())
	var bodies [][]byte
	for n := range 60 {
		user := clerktest.User(fmt.Sprintf("user_%d", n%20)).Name(fmt.Sprintf("name%d", n), "").UpdatedAt(clerktest.Epoch.Add(time.Duration(n) * time.Second))
		bodies = append(bodies, user.Event(clerk.UserUpdated, clerktest.Epoch.Add(time.Duration(n)*time.Second)))
	}
	r := rand.New(rand.NewPCG(1, 2))
	kills, answered := 0, 0
	f := lambdatest.Start(t, binary(t), environment(url))
	for n, body := range bodies {
		id := fmt.Sprintf("msg_%d", n)
		for attempt := 0; ; attempt++ {
			if attempt > 50 {
				t.Fatalf("%s is never acknowledged:\n%s", id, f.Logs())
			}
			if attempt < 2 { // the first two attempts die somewhere between start and answer
				time.AfterFunc(time.Duration(r.IntN(12_000))*time.Microsecond, f.Kill)
			}
			got, err := invoke(t.Context(), f, signed(id, body))
			if errors.Is(err, lambdatest.ErrExited) {
				kills++
				f = lambdatest.Start(t, binary(t), environment(url))
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got.Status == http.StatusOK {
				answered++
				break
			}
			t.Fatalf("%s: %+v\n%s", id, got, f.Logs())
		}
		// A kill that came after the answer takes the process for the next event.
	}
	if kills == 0 {
		t.Fatal("no kill hit the function while it worked: the test proves nothing")
	}
	t.Logf("%d events acknowledged, %d processes killed at work", answered, kills)

	conn := db.Conn(t, db.Superuser())
	var users, events, recorded int
	if err := conn.QueryRow(t.Context(), `
		select (select count(*) from public.users where first_name = 'name' || (40 + substr(clerk_id, 6)::int)),
		       (select count(*) from clerk_sync.webhook_events),
		       (select count(distinct svix_id) from clerk_sync.webhook_events)`).Scan(&users, &events, &recorded); err != nil {
		t.Fatal(err)
	}
	if users != 20 || events != 60 || recorded != 60 {
		t.Errorf("%d users say the newest, %d events recorded (%d distinct), want 20, 60, 60", users, events, recorded)
	}
}
