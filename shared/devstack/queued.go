package devstack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/devstack/queue"
	"clerksync/shared/eventqueue"
	"clerksync/shared/eventqueue/consumer"
	"clerksync/shared/httpapi"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/telemetry"
)

// The queue and what is behind it, as template.yaml sets them.
const (
	QueueBatchSize   = 100
	QueueWindow      = time.Second
	QueueConcurrency = 2
	QueueReceives    = 30
)

const (
	// queueVisibility is three minutes on AWS; here it is short, so that one can
	// watch a batch come back. queueTimeout, the consumer's, is shorter by more
	// than the window, which counts against the former too.
	queueVisibility = 10 * time.Second
	queueTimeout    = 8 * time.Second
	// flushLimit is how long Stop lets the consumer work on what is in the queue.
	flushLimit = 5 * time.Second
)

// Queued describes the queue between the gateway and the copy. The zero value
// will do.
type Queued struct {
	// Twice is the share of the messages that come again after they were applied,
	// as a standard queue may do. Seed decides which.
	Twice float64
	Seed  uint64
	// Visibility is how long a batch that failed stays hidden, 0 for 10 s: with
	// less than the window of a second every message comes again while its batch is
	// gathered. Receives is how often a message is tried before it is a dead
	// letter, 0 for 30.
	Visibility time.Duration
	Receives   int
	// Handled is told about every event that the consumer has decided about, from
	// several goroutines.
	Handled func(Handled)

	// wrap puts something around the consumer, for tests.
	wrap func(queue.Environment) queue.Environment
}

// Handled is what became of an event from the queue.
type Handled struct {
	At                     time.Time
	SvixID, Type, ObjectID string
	Outcome                mirror.Outcome
	Reason                 string
	// Lag is the time since Clerk stated the event, or 0 where it did not.
	Lag time.Duration
	// Batch is how many events were applied together with this one, itself included.
	Batch int
}

// DeadLetter is a message that was tried too often. What names its event is empty
// where it holds none.
type DeadLetter struct {
	SvixID   string `json:"svix_id"`
	Type     string `json:"type"`
	ObjectID string `json:"object_id"`
	Receives int    `json:"receives"`
}

func (d DeadLetter) String() string {
	return fmt.Sprintf("%s %s (%s), tried %d times", d.Type, d.ObjectID, d.SvixID, d.Receives)
}

// QueueStatus counts messages: those that wait or are being applied, those that
// were given up, and what came of the consumer's batches.
type QueueStatus struct {
	Waiting int `json:"waiting"`
	Dead    int `json:"dead"`
	Batches int `json:"batches"`
	Failed  int `json:"failed_batches"`
}

// queued is the running queue.
type queued struct {
	events, dead *queue.Queue
	server       *http.Server
	source       *queue.EventSource
	sender       *eventqueue.Sender
}

// startQueue starts the queue, its server and the consumer. The sender is the
// functions' own, with AWS's client.
func (s *Stack) startQueue(ctx context.Context, o Queued, logger *slog.Logger) error {
	if o.Visibility == 0 {
		o.Visibility = queueVisibility
	}
	if o.Receives == 0 {
		o.Receives = QueueReceives
	}
	q := &queued{dead: queue.New(queue.Options{Name: "events-dead"})}
	q.events = queue.New(queue.Options{
		Name: "events", Visibility: o.Visibility, MaxReceives: o.Receives, DeadLetters: q.dead, Twice: o.Twice, Seed: o.Seed,
	})

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listening for the queue: %w", err)
	}
	accessKey := "AKID" + rand.Text()
	q.server = &http.Server{
		Handler: queue.NewServer(accessKey, q.events, q.dead), ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	go func() { _ = q.server.Serve(listener) }() // ends when it is closed
	endpoint := "http://" + listener.Addr().String()
	q.sender = eventqueue.NewSender(eventqueue.SenderOptions{
		Direct: s.store, Logger: logger,
		Local:    &eventqueue.Local{Endpoint: endpoint, AccessKey: accessKey, SecretKey: secret.New(rand.Text())},
		QueueURL: func(context.Context) (string, error) { return endpoint + q.events.Path(), nil },
	})

	handler := consumer.New(consumer.Options{
		Store:     handledStore{store: s.store, report: o.Handled},
		Configure: func(ctx context.Context) (config.Consumer, error) { return s.settings.source.Consumer(ctx) },
		Logger:    logger,
		Metrics:   telemetry.NewMetrics(io.Discard, "event-consumer"),
	})
	q.source, err = queue.StartEventSource(ctx, queue.EventSourceOptions{
		Source: q.events, BatchSize: QueueBatchSize, Window: QueueWindow, Concurrency: QueueConcurrency, Timeout: queueTimeout,
		Start: func() queue.Environment {
			var e queue.Environment = inProcess{handler}
			if o.wrap != nil {
				e = o.wrap(e)
			}
			return e
		},
		Failed: func(err error) { logger.ErrorContext(ctx, "the local queue failed", "error", err) },
	})
	if err != nil {
		return errors.Join(err, q.server.Close())
	}
	s.queued = q
	return nil
}

// inProcess is the consumer as an execution environment that never ends.
type inProcess struct{ handler *consumer.Handler }

func (e inProcess) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = httpapi.Panicked(p) // which would end a process of its own
		}
	}()
	return e.handler.Invoke(ctx, payload)
}

func (inProcess) Kill()        {}
func (inProcess) Exited() bool { return false }

// handledStore reports what the copy answers the consumer.
type handledStore struct {
	store  *mirror.Store
	report func(Handled)
}

func (h handledStore) Apply(ctx context.Context, d mirror.Delivery) (mirror.Result, error) {
	result, err := h.store.Apply(ctx, d)
	if err == nil {
		h.handled(d.SvixID, d.Event, result, 1)
	}
	return result, err
}

func (h handledStore) ApplyBatch(ctx context.Context, deliveries []mirror.Delivery) ([]mirror.Result, error) {
	results, err := h.store.ApplyBatch(ctx, deliveries)
	for i, result := range results {
		h.handled(deliveries[i].SvixID, deliveries[i].Event, result, len(deliveries))
	}
	return results, err
}

func (h handledStore) handled(svixID string, event clerk.Event, result mirror.Result, batch int) {
	if h.report == nil || result.Outcome == "" {
		return
	}
	now := time.Now()
	x := Handled{At: now, SvixID: svixID, Type: event.Type, ObjectID: event.ObjectID, Outcome: result.Outcome, Reason: result.Reason, Batch: batch}
	if !event.StatedAt.IsZero() {
		x.Lag = now.Sub(event.StatedAt)
	}
	h.report(x)
}

// DrainQueue waits until the queue is empty: each message is applied or a dead
// letter. It returns at once where there is no queue.
func (s *Stack) DrainQueue(ctx context.Context) error {
	if s.queued == nil {
		return nil
	}
	return s.queued.source.AwaitEmpty(ctx)
}

// Queue counts what is in the queue. It is nil without one.
func (s *Stack) Queue() *QueueStatus {
	if s.queued == nil {
		return nil
	}
	// Neither fails.
	waiting, _ := s.queued.events.Length(context.Background())
	dead, _ := s.queued.dead.Length(context.Background())
	counts := s.queued.source.Counts()
	return &QueueStatus{Waiting: waiting, Dead: dead, Batches: counts.Invocations, Failed: counts.Errors}
}

// DeadLetters are the messages that were given up.
func (s *Stack) DeadLetters() []DeadLetter {
	if s.queued == nil {
		return nil
	}
	var list []DeadLetter
	for _, m := range s.queued.dead.Peek() {
		letter := DeadLetter{Receives: m.Receives()}
		if d, err := eventqueue.Decode(m.Body); err == nil {
			letter.SvixID, letter.Type, letter.ObjectID = d.SvixID, d.Event.Type, d.Event.ObjectID
		}
		list = append(list, letter)
	}
	return list
}

// stop lets the consumer finish what was acknowledged, for a while, and says how
// much of it is lost with the queue.
func (q *queued) stop(ctx context.Context) error {
	flushing, cancel := context.WithTimeoutCause(ctx, flushLimit, fmt.Errorf("the consumer had %s", flushLimit))
	defer cancel()
	err := q.source.AwaitEmpty(flushing)
	if err != nil {
		err = fmt.Errorf("acknowledged events are lost with the queue, and sync-users brings what they told: %w", err)
	}
	q.source.Stop(ctx)
	return errors.Join(err, q.server.Close())
}
