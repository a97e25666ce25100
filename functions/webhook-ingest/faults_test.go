package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

const database = testdb.ServerDatabase

func connect(t *testing.T, server *postgres.Server, role string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL(database, role, ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// persist sends one event until it is acknowledged, as Svix does though with
// more patience, and returns how often it was answered 503.
func persist(ctx context.Context, f *lambdatest.Function, id string, body []byte) (refused int, err error) {
	const attempts = 5000
	for range attempts {
		got, err := invoke(ctx, f, signed(id, body))
		switch {
		case err != nil:
			return refused, err
		case got.Status == http.StatusOK:
			return refused, nil
		case got.Status != http.StatusServiceUnavailable:
			return refused, fmt.Errorf("%s is answered %+v", id, got)
		}
		refused++
	}
	return refused, fmt.Errorf("%s is not acknowledged after %d attempts", id, attempts)
}

// Postgres crashes again and again under several functions at work. Every event
// is delivered until it is acknowledged, as Svix does.
func TestBootstrap_CrashingDatabaseLosesNothingAndDoublesNothing(t *testing.T) {
	t.Parallel()
	server := testdb.NewServer(t, nil)
	const functions, perFunction, crashes = 3, 60, 4

	var working sync.WaitGroup
	var unavailable atomic.Int64
	for n := range functions {
		f := lambdatest.Start(t, binary(t), environment(server.URL(database, "clerksync_writer", "")))
		working.Go(func() {
			for i := range perFunction {
				at := clerktest.Epoch.Add(time.Duration(i) * time.Second)
				body := clerktest.User(fmt.Sprintf("user_%d_%d", n, i%10)).Name(fmt.Sprintf("name%d", i), "").UpdatedAt(at).Event(clerk.UserUpdated, at)
				refused, err := persist(t.Context(), f, fmt.Sprintf("msg_%d_%d", n, i), body)
				if err != nil {
					t.Errorf("event %d of function %d: %v\n%s", i, n, err, f.Logs())
					return
				}
				unavailable.Add(int64(refused))
			}
		})
	}
	done := make(chan struct{})
	go func() { working.Wait(); close(done) }()
	r := rand.New(rand.NewPCG(3, 4))
	for range crashes {
		select {
		case <-time.After(time.Duration(20+r.IntN(60)) * time.Millisecond):
		case <-done:
		}
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-done
	t.Logf("%d deliveries were answered 503 over %d crashes", unavailable.Load(), crashes)

	var newest, recorded int
	if err := connect(t, server, postgres.Superuser).QueryRow(t.Context(), `
		select (select count(*) from public.users where first_name = 'name' || ($1 - 10 + substr(clerk_id, 8)::int)),
		       (select count(*) from clerk_sync.webhook_events where outcome = 'applied')`, perFunction).Scan(&newest, &recorded); err != nil {
		t.Fatal(err)
	}
	if newest != functions*10 || recorded != functions*perFunction {
		t.Errorf("%d users say the newest, %d events recorded, want %d and %d", newest, recorded, functions*10, functions*perFunction)
	}
}

func TestBootstrap_AnswersUnavailableAtThePoolersLimits(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	server := testdb.NewServer(t, nil)
	body := clerktest.User("user_1").Event(clerk.UserCreated, clerktest.Epoch)

	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		pooler := testdb.NewPooler(t, server, pgbouncer.Options{MaxClientConn: 1})
		url := pooler.URL(database, "clerksync_writer", "")
		holder, err := pgx.Connect(t.Context(), url+"&default_query_exec_mode=exec")
		if err != nil {
			t.Fatal(err)
		}
		f := lambdatest.Start(t, binary(t), environment(url))
		got, err := invoke(t.Context(), f, signed("msg_clients", body))
		if err != nil || got.Code != "unavailable" {
			t.Errorf("at the limit of clients: %+v, %v, want 503 unavailable\n%s", got, err, f.Logs())
		}
		if err := holder.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err = persist(t.Context(), f, "msg_clients", body); err != nil {
			t.Errorf("below the limit again: %v\n%s", err, f.Logs())
		}
	})

	t.Run("server connections", func(t *testing.T) {
		t.Parallel()
		pooler := testdb.NewPooler(t, server, pgbouncer.Options{DefaultPoolSize: 1})
		url := pooler.URL(database, "clerksync_writer", "")
		holder, err := pgx.Connect(t.Context(), url+"&default_query_exec_mode=exec")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = holder.Close(context.Background()) })
		tx, err := holder.Begin(t.Context()) // holds the only one
		if err != nil {
			t.Fatal(err)
		}
		f := lambdatest.Start(t, binary(t), environment(url))
		got, err := invoke(t.Context(), f, signed("msg_servers", body))
		if err != nil || got.Code != "unavailable" {
			t.Errorf("with the pool taken: %+v, %v, want 503 unavailable\n%s", got, err, f.Logs())
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err = persist(t.Context(), f, "msg_servers", body); err != nil {
			t.Errorf("with the pool free again: %v\n%s", err, f.Logs())
		}
	})
}
