package main_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what SQS checks messages with
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/jackc/pgx/v5"

	main "clerksync/functions/event-consumer"
	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/devstack/queue"
	"clerksync/shared/eventqueue"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
	"clerksync/shared/webhook"
)

// The benchmarks print figures beside the direct mode's, which the same run
// measures, so that they mean something on any machine:
//
//	make bench
//	go test -run '^$' -bench Burst ./functions/event-consumer

// As template.yaml sets them.
const (
	batchSize = 100
	consumers = 2
)

const (
	burstEvents = 50_000
	burstRounds = 10
	// directInstances is how many webhook functions run at a time.
	directInstances = 10
	// modesEvents go the whole way, in as many rounds.
	modesEvents, modesRounds = 20_000, 2
	// motoEvents is how many are sent to moto, which is slow.
	motoEvents  = 500
	concurrency = 4 // of sending

	writer   = "clerksync_writer"
	queueARN = "arn:aws:sqs:eu-central-1:123456789012:events"
)

// side is one of the two ways, with a database of its own.
type side struct {
	server  *postgres.Server
	watch   *pgx.Conn
	url     string
	elapsed time.Duration
	events  int
	// clients are connected to the pooler at most, backends to PostgreSQL.
	clients, backends int
	transactions      int64
	cpu               time.Duration
}

func newSide(b *testing.B, clients int) *side {
	b.Helper()
	server := testdb.NewServer(b, nil)
	pooler := testdb.NewPooler(b, server, pgbouncer.Options{})
	// Connected elsewhere, so that looking does not count.
	watch, err := pgx.Connect(b.Context(), server.URL("template1", postgres.Superuser, ""))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = watch.Close(context.Background()) })
	return &side{server: server, watch: watch, url: pooler.URL(testdb.ServerDatabase, writer, ""), clients: clients}
}

func query[T any](b *testing.B, conn *pgx.Conn, sql string, args ...any) T {
	b.Helper()
	var value T
	if err := conn.QueryRow(b.Context(), sql, args...).Scan(&value); err != nil {
		b.Fatalf("running %.100q: %v", sql, err)
	}
	return value
}

// committed is how many transactions the database has seen. A session says so once
// a second at most, or when it ends.
func (s *side) committed(b *testing.B) int64 {
	b.Helper()
	return query[int64](b, s.watch, `select xact_commit + xact_rollback from pg_stat_database where datname = $1`, testdb.ServerDatabase)
}

// measure counts what it takes to do n events.
func (s *side) measure(b *testing.B, n int, do func()) {
	b.Helper()
	stop := make(chan struct{})
	var sampling sync.WaitGroup
	sampling.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			s.backends = max(s.backends, query[int](b, s.watch, `select count(*)::int from pg_stat_activity where usename = $1`, writer))
		}
	})
	before := serverCPU(b, s.watch)
	started := time.Now()
	do()
	s.elapsed += time.Since(started)
	close(stop)
	sampling.Wait()
	s.cpu += serverCPU(b, s.watch) - before
	s.events += n
}

func (s *side) rate() float64 { return float64(s.events) / s.elapsed.Seconds() }

func (s *side) report(b *testing.B, prefix string) {
	b.Helper()
	each := func(total float64) float64 { return total / float64(s.events) }
	b.ReportMetric(s.rate(), prefix+"events/s")
	b.ReportMetric(float64(s.clients), prefix+"clients")
	b.ReportMetric(float64(s.backends), prefix+"backends")
	b.ReportMetric(each(float64(s.transactions)), prefix+"statements/event")
	b.ReportMetric(each(float64(s.cpu)/float64(time.Microsecond)), prefix+"database-cpu-us/event")
}

// handlers makes webhook handlers as the function does, one for each request at a
// time, each with one connection.
func handlers(b *testing.B, n int, url string) []http.Handler {
	b.Helper()
	list := make([]http.Handler, n)
	for i := range list {
		cfg, err := supabase.Parse(supabase.Options{URL: secret.New(url), AppName: "webhook-ingest"})
		if err != nil {
			b.Fatal(err)
		}
		db := supabase.Open(supabase.Fixed(cfg))
		b.Cleanup(db.Close)
		list[i] = newWebhook(b, mirror.New(db))
	}
	return list
}

func newWebhook(b *testing.B, store webhook.Store) http.Handler {
	b.Helper()
	handler, err := webhook.New(webhook.Options{
		Store: store,
		Configure: func(context.Context) (webhook.Configuration, error) {
			return webhook.Configuration{Secrets: []secret.Value{secret.New(signingSecret)}}, nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	return handler
}

// deliver signs the messages beforehand, which is Svix's work, and hands them to
// the handlers, each of which takes the next one when it has answered.
func deliver(b *testing.B, handlers []http.Handler, messages []message, want int, measure func(do func())) {
	b.Helper()
	requests := make([]*http.Request, len(messages))
	for i, m := range messages {
		requests[i] = httptest.NewRequestWithContext(b.Context(), http.MethodPost, webhook.Path, bytes.NewReader(m.body))
		requests[i].Header = clerktest.Sign(signingSecret, m.svixID, time.Now(), m.body)
		requests[i].Header.Set("Content-Type", "application/json")
	}
	var next atomic.Int64
	var failed atomic.Pointer[httptest.ResponseRecorder]
	measure(func() {
		var workers sync.WaitGroup
		for _, handler := range handlers {
			workers.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(requests); i = int(next.Add(1)) - 1 {
					answer := httptest.NewRecorder()
					handler.ServeHTTP(answer, requests[i])
					if answer.Code != want {
						failed.Store(answer)
						return
					}
				}
			})
		}
		workers.Wait()
	})
	if answer := failed.Load(); answer != nil {
		b.Fatalf("answer %d %s, want %d", answer.Code, answer.Body, want)
	}
}

// batches makes the events that the event source mapping makes of the messages,
// which are far too small to reach its limit of 6 MB.
func batches(b *testing.B, messages []message) [][]byte {
	b.Helper()
	var list [][]byte
	var gathered []types.Message
	flush := func() {
		payload, err := lambdatest.SQSEvent(queueARN, gathered)
		if err != nil {
			b.Fatal(err)
		}
		list, gathered = append(list, payload), nil
	}
	for _, m := range messages {
		event, err := clerk.ParseEvent(m.body)
		if err != nil {
			b.Fatal(err)
		}
		body, ok := eventqueue.Encode(mirror.Delivery{SvixID: m.svixID, Event: event})
		if !ok {
			b.Fatalf("event %s fits no message", m.svixID)
		}
		sum := md5.Sum([]byte(body)) //nolint:gosec // what SQS states about a message
		gathered = append(gathered, types.Message{
			MessageId: aws.String("id-" + m.svixID), ReceiptHandle: aws.String("handle-" + m.svixID),
			Body: &body, MD5OfBody: aws.String(hex.EncodeToString(sum[:])),
			Attributes: map[string]string{"ApproximateReceiveCount": "1", "SentTimestamp": "1716883200650", "SenderId": "AROAEXAMPLE", "ApproximateFirstReceiveTimestamp": "1716883201200"},
		})
		if len(gathered) == batchSize {
			flush()
		}
	}
	if len(gathered) > 0 {
		flush()
	}
	return list
}

// consume hands the batches to consumers, each of which takes the next one when it
// has answered, and checks that nothing comes back.
func consume(b *testing.B, consumers []invoker, batches [][]byte, measure func(do func())) {
	b.Helper()
	var next atomic.Int64
	var failed atomic.Pointer[string]
	measure(func() {
		var workers sync.WaitGroup
		for _, c := range consumers {
			workers.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(batches); i = int(next.Add(1)) - 1 {
					answer, err := c.Invoke(b.Context(), batches[i])
					if text := fmt.Sprintf("%s %v", answer, err); err != nil || string(answer) != `{"batchItemFailures":[]}` {
						failed.Store(&text)
						return
					}
				}
			})
		}
		workers.Wait()
	})
	if text := failed.Load(); text != nil {
		b.Fatalf("answer %s, want no failures", *text)
	}
}

type invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

func newConsumers(b *testing.B, n int, url string, logs io.Writer) []invoker {
	b.Helper()
	environment := map[string]string{"DATABASE_URL": url}
	list := make([]invoker, n)
	for i := range list {
		handler, closeDB := main.NewHandler(func(key string) (string, bool) { value, ok := environment[key]; return value, ok }, logs)
		b.Cleanup(closeDB)
		list[i] = handler
	}
	return list
}

// lineCounter counts the log's lines about batches that were not applied as a whole.
type lineCounter struct{ atomic.Int64 }

func (c *lineCounter) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("tried one by one")) {
		c.Add(1)
	}
	return len(line), nil
}

// BenchmarkBurst measures what an import of 50,000 events costs the database in
// either mode. Direct: ten handlers, made as the webhook function makes one, apply
// them one by one. Queued: the event consumer, at the concurrency that the template
// gives it, applies them in the batches that the event source mapping makes. Both in
// this process, in turns, and each through PgBouncer to a PostgreSQL of its own.
//
// The queue itself is left out: it is AWS's in production, and moto's answers would
// be measured here. BenchmarkEnqueue measures that half apart. x_direct is the rate
// of the consumer divided by that of the direct mode, on a machine that clients and
// databases share; x_direct-per-database-cpu is the same for a database that is alone
// with its processors and short of them. Statements are the transactions that
// PostgreSQL counted, a few of its own among them; clients are connected to
// PgBouncer, backends to PostgreSQL, at most.
func BenchmarkBurst(b *testing.B) {
	events := burstEvents
	if testing.Short() {
		events /= 50
	}
	direct, queued := newSide(b, directInstances), newSide(b, consumers)
	var fallbacks lineCounter
	webhooks, workers := handlers(b, directInstances, direct.url), newConsumers(b, consumers, queued.url, &fallbacks)
	w := newBurst()

	// Connections are made, plans are cached.
	warm := w.next(2 * batchSize)
	unmeasured := func(do func()) { do() }
	deliver(b, webhooks, warm, http.StatusOK, unmeasured)
	consume(b, workers, batches(b, warm), unmeasured)
	for _, s := range []*side{direct, queued} {
		s.settle(b)
		s.transactions = -s.committed(b)
	}

	for b.Loop() {
		for round := range burstRounds {
			messages := w.next(events / burstRounds)
			payloads := batches(b, messages)
			straight := func() {
				deliver(b, webhooks, messages, http.StatusOK, func(do func()) { direct.measure(b, len(messages), do) })
			}
			behind := func() {
				consume(b, workers, payloads, func(do func()) { queued.measure(b, len(messages), do) })
			}
			if round%2 == 0 {
				straight()
				behind()
			} else {
				behind()
				straight()
			}
		}
	}
	for _, s := range []*side{direct, queued} {
		s.settle(b)
		s.transactions += s.committed(b)
	}
	if a, q := direct.copied(b), queued.copied(b); a != q {
		b.Errorf("the copies differ: direct %s, queued %s", a, q)
	}
	direct.report(b, "direct-")
	queued.report(b, "queued-")
	b.ReportMetric(float64(fallbacks.Load()), "queued-batches-one-by-one")
	b.ReportMetric(queued.rate()/direct.rate(), "x_direct")
	if queued.cpu > 0 {
		b.ReportMetric(float64(direct.cpu)*float64(queued.events)/float64(direct.events)/float64(queued.cpu), "x_direct-per-database-cpu")
	}
	b.ReportMetric(0, "ns/op")
}

// settle has the sessions behind the pooler say what they did.
func (s *side) settle(b *testing.B) {
	b.Helper()
	if _, err := s.watch.Exec(b.Context(), `select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1`, writer); err != nil {
		b.Fatal(err)
	}
}

// copied sums up the copy and the history.
func (s *side) copied(b *testing.B) string {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), s.server.URL(testdb.ServerDatabase, postgres.Superuser, ""))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	return query[string](b, conn, `
		select format('%s users (%s deleted), %s organizations, %s memberships, %s events',
			(select count(*) from public.users), (select count(*) from public.users where deleted_at is not null),
			(select count(*) from public.organizations),
			(select count(*) from public.organization_memberships), (select count(*) from clerk_sync.webhook_events))`)
}

// environment is a consumer in this process as an execution environment.
type environment struct{ invoker }

func (environment) Kill()        {}
func (environment) Exited() bool { return false }

// BenchmarkModes measures the whole way of an import in either mode, from the
// request to the row, in this process and in turns, each through PgBouncer to a
// PostgreSQL of its own. Direct: ten handlers apply the events one by one. Queued:
// ten handlers send them with AWS's client to a queue on loopback that keeps SQS's
// rules, and two consumers apply its batches, which are gathered for a second as on
// AWS. x_direct is the rate of queued, until the queue is empty, divided by that of
// direct; x_direct-answered is the same until the last event is acknowledged, which
// is what Clerk waits for.
func BenchmarkModes(b *testing.B) {
	events, rounds := modesEvents, modesRounds
	if testing.Short() {
		events, rounds = events/10, 1
	}
	direct, queued := newSide(b, directInstances), newSide(b, consumers)
	webhooks, workers := handlers(b, directInstances, direct.url), newConsumers(b, consumers, queued.url, io.Discard)

	const accessKey = "AKIDEXAMPLE"
	dead := queue.New(queue.Options{Name: "events-dead"})
	waiting := queue.New(queue.Options{Name: "events", Visibility: 3 * time.Minute, MaxReceives: 30, DeadLetters: dead})
	server := httptest.NewServer(queue.NewServer(accessKey, waiting, dead))
	b.Cleanup(server.Close)
	variables := map[string]string{"AWS_REGION": queue.Region, "AWS_ACCESS_KEY_ID": accessKey, "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": server.URL}
	senders := make([]http.Handler, directInstances)
	for i := range senders {
		senders[i] = newWebhook(b, eventqueue.NewSender(eventqueue.SenderOptions{
			QueueURL: func(context.Context) (string, error) { return server.URL + waiting.Path(), nil },
			Lookup:   func(key string) (string, bool) { value, ok := variables[key]; return value, ok },
		}))
	}
	var started atomic.Int64
	source, err := queue.StartEventSource(b.Context(), queue.EventSourceOptions{
		Source: waiting, BatchSize: batchSize, Window: time.Second, Concurrency: consumers, Timeout: 30 * time.Second,
		Start: func() queue.Environment { return environment{workers[started.Add(1)-1]} },
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { source.Stop(context.Background()) })

	var acknowledged time.Duration
	straight := func(messages []message, measure func(do func())) {
		deliver(b, webhooks, messages, http.StatusOK, measure)
	}
	behind := func(messages []message, measure func(do func())) {
		deliver(b, senders, messages, http.StatusAccepted, func(do func()) {
			measure(func() {
				began := time.Now()
				do()
				acknowledged += time.Since(began)
				if err := source.AwaitEmpty(b.Context()); err != nil {
					b.Error(err)
				}
			})
		})
	}
	w := newBurst()
	warm := w.next(2 * batchSize)
	unmeasured := func(do func()) { do() }
	straight(warm, unmeasured)
	behind(warm, unmeasured)
	acknowledged = 0
	for b.Loop() {
		for range rounds {
			messages := w.next(events / rounds)
			straight(messages, func(do func()) { direct.measure(b, len(messages), do) })
			behind(messages, func(do func()) { queued.measure(b, len(messages), do) })
		}
	}
	if a, q := direct.copied(b), queued.copied(b); a != q || len(dead.Peek()) > 0 {
		b.Errorf("the copies differ: direct %s, queued %s, with %d dead letters", a, q, len(dead.Peek()))
	}
	b.ReportMetric(direct.rate(), "direct-events/s")
	b.ReportMetric(queued.rate(), "queued-events/s")
	b.ReportMetric(float64(queued.events)/acknowledged.Seconds(), "queued-answers/s")
	b.ReportMetric(queued.rate()/direct.rate(), "x_direct")
	b.ReportMetric(float64(queued.events)/acknowledged.Seconds()/direct.rate(), "x_direct-answered")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkEnqueue measures the half of a queued delivery that Clerk waits for:
// verified, sent, answered 202. moto is the queue, a Python program on the same
// machine that gets slower the longer its queue is, so this says how fast moto is
// and no more; each 100 go to a queue of their own. The second figure has a server in its place
// that only answers, which leaves the function's own part.
func BenchmarkEnqueue(b *testing.B) {
	w := newBurst()
	run := func(b *testing.B, endpoint, prefix string, n int, newQueue func() string) {
		b.Helper()
		variables := map[string]string{"AWS_REGION": moto.Region, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": endpoint}
		var queueURL string
		list := make([]http.Handler, concurrency)
		for i := range list {
			list[i] = newWebhook(b, eventqueue.NewSender(eventqueue.SenderOptions{
				QueueURL: func(context.Context) (string, error) { return queueURL, nil },
				Lookup:   func(key string) (string, bool) { value, ok := variables[key]; return value, ok },
			}))
		}
		var elapsed time.Duration
		sent := 0
		for b.Loop() {
			for range n / batchSize {
				queueURL = newQueue()
				deliver(b, list, w.next(batchSize), http.StatusAccepted, func(do func()) {
					started := time.Now()
					do()
					elapsed += time.Since(started)
				})
				sent += batchSize
			}
		}
		b.ReportMetric(float64(sent)/elapsed.Seconds(), prefix+"-events/s")
		b.ReportMetric(0, "ns/op")
	}
	b.Run(fmt.Sprintf("queue=moto/events=%d/concurrency=%d", motoEvents, concurrency), func(b *testing.B) {
		server := moto.Start(b)
		run(b, server.URL, "moto", motoEvents, func() string { return server.NewQueue(b, nil) })
	})
	b.Run(fmt.Sprintf("queue=none/events=%d/concurrency=%d", burstEvents/10, concurrency), func(b *testing.B) {
		server := httptest.NewServer(http.HandlerFunc(acknowledge))
		b.Cleanup(server.Close)
		run(b, server.URL, "own", burstEvents/10, func() string { return server.URL + "/123456789012/events" })
	})
}

// acknowledge answers SendMessage with what the SDK checks, and keeps nothing.
func acknowledge(w http.ResponseWriter, r *http.Request) {
	var request struct{ MessageBody string }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	sum := md5.Sum([]byte(request.MessageBody)) //nolint:gosec // what SQS answers
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	fmt.Fprintf(w, `{"MessageId":"1","MD5OfMessageBody":%q}`, hex.EncodeToString(sum[:]))
}
