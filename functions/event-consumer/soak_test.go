package main_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
	"clerksync/shared/webhook"
)

// longOutage is longer than the webhook function waits for its store.
const longOutage = 8 * time.Second

// soakRate is how many events happen a second on average, which moto keeps up with.
const soakRate = 30

// gateway hands each delivery to one of the functions, whichever's turn it is: the
// attempts of one message take different ways.
type gateway struct {
	functions []*lambdatest.Function
	turn      atomic.Int64
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it hung up
	}
	f := g.functions[int(g.turn.Add(1))%len(g.functions)]
	answer, err := lambdatest.InvokeWebhook(r.Context(), f, lambdatest.WebhookRequest(r.Header, body, false))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(answer.Status)
}

// Everything at once: people do what they do in an instance; Clerk tells of it late,
// twice and until it is acknowledged; half of the deliveries are applied at once and
// half go through the queue; a full sync reads along; the database crashes and is
// restarted under all of them, and a consumer is killed. Nothing is lost on purpose,
// so that in the end the copy says what Clerk says without a last full sync.
func TestSoak(t *testing.T) {
	t.Parallel()
	lasts := *soak
	if lasts == 0 {
		t.Skip("it takes long: make traffic runs it")
	}
	testdb.NeedPooler(t)
	moto.Need(t)
	server := testdb.NewServer(t, nil)
	pooler := testdb.NewPooler(t, server, pgbouncer.Options{})
	url := pooler.URL(testdb.ServerDatabase, "clerksync_writer", "")
	s := newStack(t, url, 1000)

	g := &gateway{}
	for range 2 {
		g.functions = append(g.functions,
			lambdatest.Start(t, webhookIngest.binary(t), s.environment),
			lambdatest.Start(t, webhookIngest.binary(t), map[string]string{"DATABASE_URL": url, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret}))
	}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	source := s.consume(t, 50, 2)

	var retried atomic.Int64
	sender, err := svix.NewSender(svix.SenderOptions{
		Endpoints: []svix.Endpoint{{URL: front.URL + webhook.Path, Secret: secret.New(signingSecret)}},
		Late:      0.2, Twice: 0.2, LateBy: 2 * time.Second, Seed: 6,
		OnAttempt: func(a svix.Attempt) {
			if !a.Delivered {
				retried.Add(1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	instance := clerkinstance.New(clerkinstance.Options{Seed: 6, Emit: sender.Send})
	traffic := clerkinstance.NewTraffic(instance, 6)
	if err := traffic.SignUps(20); err != nil {
		t.Fatal(err)
	}
	living, end := context.WithTimeout(t.Context(), lasts)
	defer end()
	lived := make(chan error, 1)
	go func() { lived <- traffic.Run(living, soakRate) }()

	reader := newReader(t, instance, url)
	steps := []struct {
		at   float64 // share of the time
		name string
		do   func() error
	}{
		{0.10, "full sync", reader.run},
		{0.25, "crash of the database", func() error { return crash(t.Context(), server, min(lasts/10, longOutage)) }},
		{0.45, "full sync", reader.run},
		{0.55, "end of a consumer", func() error { return endOne(source) }},
		{0.70, "restart of the database", func() error { return server.Restart(t.Context()) }},
		{0.90, "full sync", reader.run},
	}
	started := time.Now()
	for _, step := range steps {
		select {
		case <-time.After(time.Duration(step.at*float64(lasts)) - time.Since(started)):
		case <-t.Context().Done():
		}
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if err := <-lived; err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeoutCause(t.Context(), patience, errImpatient)
	defer cancel()
	if err := sender.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := source.AwaitEmpty(ctx); err != nil {
		t.Fatal(err)
	}
	counts := sender.Counts()
	t.Logf("%+v, %d attempts failed, consumer %+v, %d of %d full syncs complete", counts, retried.Load(), source.Counts(), reader.complete, reader.runs)
	if counts.GivenUp > 0 || counts.Lost > 0 {
		t.Errorf("deliveries: %+v, want none given up or lost", counts)
	}
	if reader.complete == 0 {
		t.Error("no full sync was complete")
	}
	if dead := s.messages(t, s.dead); len(dead) > 0 {
		t.Errorf("%d messages in the dead-letter queue, want none", len(dead))
	}

	conn, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	differences, err := devstack.Diff(t.Context(), conn, instance.Snapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Errorf("in the end: %s", d)
	}
	var recorded, rejected int
	if err := conn.QueryRow(t.Context(), `
		select count(*), count(*) filter (where outcome = 'rejected') from clerk_sync.webhook_events`).Scan(&recorded, &rejected); err != nil {
		t.Fatal(err)
	}
	if recorded != counts.Events || rejected > 0 {
		t.Errorf("%d events are recorded and %d of them rejected, want all %d and none", recorded, rejected, counts.Events)
	}
}

// crash ends the database at once and starts it again after a while.
func crash(ctx context.Context, server *postgres.Server, outage time.Duration) error {
	if err := server.Kill(); err != nil {
		return err
	}
	select {
	case <-time.After(outage):
	case <-ctx.Done():
	}
	return server.Restart(ctx)
}

// endOne kills one of the consumers, once there is one.
func endOne(source *lambdatest.EventSource) error {
	environments := source.Environments()
	if len(environments) == 0 {
		return errors.New("no consumer was started yet")
	}
	environments[0].Kill()
	return nil
}

// reader syncs the whole instance now and then.
type reader struct {
	t              *testing.T
	options        fullsync.Options
	runs, complete int
}

func newReader(t *testing.T, instance *clerkinstance.Instance, url string) *reader {
	t.Helper()
	const key = "sk_test_soak"
	api := httptest.NewServer(backendapi.New(instance, backendapi.Options{SecretKeys: []string{key}}))
	t.Cleanup(api.Close)
	backend, err := clerk.NewBackend(clerk.BackendOptions{
		SecretKey: secret.New(key), URL: api.URL + "/v1", Share: 1, Limit: clerk.RateLimit{Requests: 1000, Per: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := supabase.Parse(supabase.Options{URL: secret.New(url), AppName: "full-sync", MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	db := supabase.Open(supabase.Fixed(cfg))
	t.Cleanup(db.Close)
	return &reader{t: t, options: fullsync.Options{Clerk: backend, Store: mirror.New(db), Trigger: "soak"}}
}

// run may fail: what it has to do with is being restarted.
func (r *reader) run() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	report, err := fullsync.Run(ctx, r.options)
	r.runs++
	if report.State == fullsync.Complete {
		r.complete++
	} else {
		r.t.Logf("full sync %s: %v", report.State, err)
	}
	return nil
}
