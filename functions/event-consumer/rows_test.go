package main_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// history are deliveries of every kind and oddity: what a live instance says in
// disorder and twice, every golden event, and characters that SQS does not have.
func history(t *testing.T) []clerkinstance.Event {
	t.Helper()
	var all []clerkinstance.Event
	instance := clerkinstance.New(clerkinstance.Options{Seed: 6, Emit: func(e clerkinstance.Event) { all = append(all, e) }})
	traffic := clerkinstance.NewTraffic(instance, 6)
	for len(all) < 120 {
		if err := traffic.Step(); err != nil {
			t.Fatal(err)
		}
	}
	for n, name := range clerktest.Names() {
		all = append(all, clerkinstance.Event{SvixID: fmt.Sprintf("msg_%d", n), Body: clerktest.Event(t, name)})
	}
	odd := clerktest.User("user_odd").Name("\uFFFE and \uFFFF and \\u0000", "<&>\u2028\x7f").PublicMetadata(`{"\uffff":12345678901234567890.10}`)
	all = append(all, clerkinstance.Event{SvixID: "msg_odd", Body: odd.Event("user.created", clerktest.Epoch)})
	r := rand.New(rand.NewPCG(6, 6))
	for range len(all) / 10 {
		i, j := r.IntN(len(all)), r.IntN(len(all))
		all[i], all[j] = all[j], all[i]
		all = append(all, all[r.IntN(len(all))])
	}
	return all
}

// Whichever way events take, the database says the same afterwards.
func TestBootstrap_LeavesTheRowsThatTheDirectWayLeaves(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	events := history(t)
	straight := testdb.New(t)
	f := lambdatest.Start(t, webhookIngest.binary(t), map[string]string{
		"DATABASE_URL": straight.Pooled(t, straight.Writer()), "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret,
	})
	for _, e := range events {
		got, err := lambdatest.InvokeWebhook(t.Context(), f, signed(e.SvixID, e.Body))
		if err != nil || got.Status != 200 {
			t.Fatalf("%s: %+v, %v\n%s", e.SvixID, got, err, f.Logs())
		}
	}

	for _, tt := range []struct {
		batch int
		// exactly: the events are applied in the order in which they were sent. In a
		// batch a later one may win before an earlier one is looked at, which is
		// stale then.
		exactly bool
	}{{1, true}, {100, false}} {
		t.Run(fmt.Sprintf("batch=%d", tt.batch), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			s := newStack(t, db.Pooled(t, db.Writer()), 1000)
			f := lambdatest.Start(t, webhookIngest.binary(t), s.environment)
			var source *lambdatest.EventSource
			if tt.batch == 1 { // moto takes long to find one message in a long queue
				source = s.consume(t, tt.batch, 1)
			}
			for _, e := range events {
				got, err := lambdatest.InvokeWebhook(t.Context(), f, signed(e.SvixID, e.Body))
				// The queue answers a loaded machine too late; Svix delivers again, too.
				for err == nil && got.Status == 503 {
					got, err = lambdatest.InvokeWebhook(t.Context(), f, signed(e.SvixID, e.Body))
				}
				if err != nil || got.Status != 202 {
					t.Fatalf("%s: %+v, %v\n%s", e.SvixID, got, err, f.Logs())
				}
			}
			if source == nil {
				source = s.consume(t, tt.batch, 1)
			}
			drain(t, source)
			want := tables(t, straight.Conn(t, straight.Superuser()), tt.exactly)
			got := tables(t, db.Conn(t, db.Superuser()), tt.exactly)
			if len(want["public.users"]) < 15 || len(want["clerk_sync.webhook_events"]) < 150 {
				t.Fatalf("the history made too little to compare: %d users, %d events", len(want["public.users"]), len(want["clerk_sync.webhook_events"]))
			}
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if diff := cmp.Diff(want[name], got[name]); diff != "" {
					t.Errorf("%s (-direct +queued):\n%s", name, diff)
				}
			}
		})
	}
}

// tables are all rows of all tables as JSON, apart from when they were written.
// The audit log is left out: that is what it tells, and in which order.
func tables(t *testing.T, conn *pgx.Conn, outcomes bool) map[string][]string {
	t.Helper()
	names := collect(t, conn, `
		select format('%I.%I', schemaname, tablename) from pg_tables
		where schemaname in ('public', 'clerk', 'clerk_sync') and tablename <> 'audit_log'`)
	moments := []string{"synced_at", "received_at", "recorded_in"}
	if !outcomes {
		moments = append(moments, "outcome")
	}
	all := map[string][]string{}
	for _, name := range names {
		// Which secrets have verified a repeated delivery, and not when.
		all[name] = collect(t, conn, `select (to_jsonb(t) - $1::text[] || jsonb_build_object('repeated', array(
			select jsonb_object_keys(coalesce(nullif(to_jsonb(t) -> 'repeated', 'null'), '{}')) order by 1)))::text from `+name+` as t order by 1`, moments)
	}
	return all
}

func collect(t *testing.T, conn *pgx.Conn, sql string, args ...any) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return found
}
