package main_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/queue"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/testdb"
)

// The consumer dies between its commit and its answer, as when an instance goes: the
// batch comes back, is a duplicate as a whole, and changes nothing.
func TestBootstrap_KilledAfterItsCommitDoublesNothing(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	dead := queue.New(queue.Options{Name: "events-dead"})
	events := queue.New(queue.Options{Name: "events", Visibility: 2 * time.Second, MaxReceives: 30, DeadLetters: dead})
	const accessKey = "AKIDTEST"
	server := httptest.NewServer(queue.NewServer(accessKey, events, dead))
	t.Cleanup(server.Close)
	environment := map[string]string{
		"AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL_SQS": server.URL,
		"DATABASE_URL": db.Pooled(t, db.Writer()), "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret, "EVENT_QUEUE_URL": server.URL + events.Path(),
	}
	f := lambdatest.Start(t, webhookIngest.binary(t), environment)
	const sent, users, kills = 120, 20, 3
	for n := range sent {
		at := clerktest.Epoch.Add(time.Duration(n) * time.Second)
		body := clerktest.User(fmt.Sprintf("user_%d", n%users)).Name(fmt.Sprintf("name%d", n), "").UpdatedAt(at).Event(clerk.UserUpdated, at)
		send(t, f, fmt.Sprintf("msg_%d", n), body, queued)
	}

	binary := eventConsumer.binary(t)
	var mu sync.Mutex
	var started []*lambdatest.Function
	source, err := queue.StartEventSource(t.Context(), queue.EventSourceOptions{
		Source: events, BatchSize: 15, Window: 100 * time.Millisecond, Concurrency: 2, Timeout: 30 * time.Second,
		Start: func() queue.Environment {
			f := lambdatest.Start(t, binary, environment)
			mu.Lock()
			defer mu.Unlock()
			if started = append(started, f); len(started) <= kills {
				f.KillAtAnswer()
			}
			return f
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Stop(context.Background())
	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errImpatient)
	defer cancel()
	if err := source.AwaitEmpty(ctx); err != nil {
		t.Fatal(err)
	}
	source.Stop(ctx)

	var newest, recorded int
	if err := db.Conn(t, db.Superuser()).QueryRow(t.Context(), `
		select (select count(*) from public.users where first_name = 'name' || ($1::int - $2::int + substr(clerk_id, 6)::int)),
		       (select count(*) from clerk_sync.webhook_events)`, sent, users).Scan(&newest, &recorded); err != nil {
		t.Fatal(err)
	}
	if newest != users || recorded != sent {
		t.Errorf("%d users say the newest, %d events recorded, want %d and %d", newest, recorded, users, sent)
	}
	duplicates := 0
	mu.Lock()
	defer mu.Unlock()
	for _, f := range started {
		for line := range strings.Lines(f.Logs()) {
			if strings.Contains(line, `"svix_id"`) && strings.Contains(line, `"outcome":"duplicate"`) {
				duplicates++
			}
		}
	}
	if counts := source.Counts(); counts.Errors != kills || duplicates != counts.Messages-sent || duplicates == 0 || len(dead.Peek()) > 0 {
		t.Errorf("%+v, %d duplicates, %d dead letters: want %d batches lost after their commit, duplicates of exactly those, and no dead letter",
			counts, duplicates, len(dead.Peek()), kills)
	}
}
