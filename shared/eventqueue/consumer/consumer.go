// Package consumer is the other end of package eventqueue: it applies a batch of
// messages, as Lambda hands them over from the queue, and answers with those that
// are to come back.
//
//	handler := consumer.New(consumer.Options{Store: mirror.New(db), Configure: …, Logger: …, Metrics: …})
//	lambda.Start(handler)
package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"clerksync/shared/config"
	"clerksync/shared/eventqueue"
	"clerksync/shared/httpapi"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

// How long things may take. The function's own limit is 30 s: a batch that runs
// into its limit leaves time to try an event or two by itself, and the answer
// always gets out before Lambda ends the process.
const (
	batchLimit   = 20 * time.Second
	singleLimit  = 6 * time.Second
	answerMargin = 2 * time.Second
)

// maxSingleFailures is how many events in a row may fail by themselves before it
// is clear that the database is what fails. The rest of the batch comes back.
const maxSingleFailures = 3

// Codes of failures.
const (
	notConfigured  = "not_configured"
	unavailable    = "unavailable"
	foreignMessage = "foreign_message"
)

// Store is what batches are applied to; *mirror.Store is one.
type Store interface {
	Apply(ctx context.Context, delivery mirror.Delivery) (mirror.Result, error)
	ApplyBatch(ctx context.Context, deliveries []mirror.Delivery) ([]mirror.Result, error)
}

// Options say what a Handler works with. All are required.
type Options struct {
	Store Store
	// Configure returns the configuration in force. It is called for every batch
	// and should cache. Its error fails the batch and is logged.
	Configure func(context.Context) (config.Consumer, error)
	Logger    *slog.Logger
	Metrics   *telemetry.Metrics
}

// Handler answers a batch of messages with those that are to come back. It is a
// lambda.Handler. Call New.
type Handler struct {
	configure func(context.Context) (config.Consumer, error)
	store     Store
	logger    *slog.Logger
	metrics   metrics
}

// New returns a Handler. It calls nothing yet.
func New(o Options) *Handler {
	return &Handler{configure: o.Configure, store: o.Store, logger: o.Logger, metrics: metrics{o.Metrics}}
}

// item is one message of a batch.
type item struct {
	messageID string
	delivery  mirror.Delivery
	// result is zero until something was decided about the event.
	result mirror.Result
	// decidedAt is when that was known, which is after the commit.
	decidedAt time.Time
}

func (i *item) decided() bool {
	switch i.result.Outcome {
	case mirror.Applied, mirror.Duplicate, mirror.Stale, mirror.Ignored, mirror.Rejected:
		return true
	case mirror.Queued: // the copy does not answer that
	}
	return false
}

// Invoke applies a batch. It fails as a whole where nothing could be decided, so
// that Lambda counts an error and asks less often; otherwise it names the
// messages that are to come back, those that are no event of ours among them:
// after as many times as the queue allows they are in its dead-letter queue.
func (h *Handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	started := time.Now()
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		ctx = telemetry.With(ctx, slog.String("request_id", lc.AwsRequestID))
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline.Add(-answerMargin), errors.New("the function's time is nearly up"))
		defer cancel()
	}

	var event events.SQSEvent
	if err := json.Unmarshal(payload, &event); err != nil {
		// The decoder's words quote what it met.
		return nil, h.fail(ctx, foreignMessage, errors.New("the event is none of a queue"))
	}
	current, err := h.configure(ctx)
	if err != nil {
		return nil, h.fail(ctx, notConfigured, err)
	}

	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	comeBack := func(messageID string) {
		response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: messageID})
	}
	items := make([]*item, 0, len(event.Records))
	for _, record := range event.Records {
		delivery, err := eventqueue.Decode(record.Body)
		if err != nil {
			h.logger.ErrorContext(ctx, "message refused", "message_id", record.MessageId, "code", foreignMessage, "error", err)
			h.metrics.failure(foreignMessage)
			comeBack(record.MessageId)
			continue
		}
		delivery.InstanceID = current.InstanceID
		items = append(items, &item{messageID: record.MessageId, delivery: delivery})
	}

	err = h.apply(ctx, items)
	undecided := 0
	for _, i := range items {
		if !i.decided() {
			undecided++
			comeBack(i.messageID)
			continue
		}
		h.log(ctx, i)
	}
	h.metrics.observe(items, len(event.Records), time.Since(started))
	switch {
	case undecided > 0 && undecided == len(items):
		return nil, h.fail(ctx, unavailable, fmt.Errorf("%d events: %w", undecided, err))
	case undecided > 0:
		h.logger.ErrorContext(ctx, "events come back", "code", unavailable, "events", undecided, "of", len(items), "error", err)
		h.metrics.failure(unavailable)
	}
	return json.Marshal(response)
}

// fail reports that all messages of a batch come back.
func (h *Handler) fail(ctx context.Context, code string, cause error) error {
	h.logger.ErrorContext(ctx, "batch failed", "code", code, "error", cause)
	h.metrics.failure(code)
	// Whoever reads this may see less than the log shows.
	return messages.InvokeResponse_Error{Type: code, Message: fmt.Sprintf("the batch was not applied (%s): the log says why", code)}
}

// apply decides about as many items as it can, and says why not about the others.
func (h *Handler) apply(ctx context.Context, items []*item) error {
	if len(items) == 0 {
		return nil
	}
	err := h.applyBatch(ctx, items)
	if err == nil {
		return nil
	}
	// Perhaps one of them holds up all others: a lock on its row, say.
	h.logger.WarnContext(ctx, "batch not applied as a whole: its events are tried one by one", "events", len(items), "error", err)
	inARow := 0
	for _, i := range items {
		if i.decided() {
			continue
		}
		if ctx.Err() != nil || inARow == maxSingleFailures {
			break
		}
		if singleErr := h.applySingle(ctx, i); singleErr != nil {
			err = singleErr
			inARow++
			continue
		}
		inARow = 0
	}
	return err
}

func (h *Handler) applyBatch(ctx context.Context, items []*item) error {
	ctx, cancel := context.WithTimeoutCause(ctx, batchLimit, fmt.Errorf("applying a batch took longer than %v", batchLimit))
	defer cancel()
	deliveries := make([]mirror.Delivery, len(items))
	for n, i := range items {
		deliveries[n] = i.delivery
	}
	results, err := h.store.ApplyBatch(ctx, deliveries)
	now, missing := time.Now(), 0
	for n, i := range items {
		if n < len(results) {
			i.result, i.decidedAt = results[n], now
		}
		if !i.decided() {
			missing++
		}
	}
	if err == nil && missing > 0 {
		err = fmt.Errorf("no known outcome for %d of %d events", missing, len(items))
	}
	return err
}

func (h *Handler) applySingle(ctx context.Context, i *item) error {
	ctx, cancel := context.WithTimeoutCause(ctx, singleLimit, fmt.Errorf("applying an event took longer than %v", singleLimit))
	defer cancel()
	result, err := h.store.Apply(ctx, i.delivery)
	if err != nil {
		return err
	}
	if i.result, i.decidedAt = result, time.Now(); !i.decided() {
		return fmt.Errorf("event %s: unknown outcome %q", i.delivery.SvixID, result.Outcome)
	}
	return nil
}

// log writes the one line about an event, in the words of the webhook function's.
func (h *Handler) log(ctx context.Context, i *item) {
	var line httpapi.Line
	line.Add("svix_id", i.delivery.SvixID)
	line.Add("type", i.delivery.Event.Type)
	line.Add("object_id", i.delivery.Event.ObjectID)
	if lag, ok := i.lag(); ok {
		line = append(line, httpapi.Milliseconds("lag_ms", lag))
	}
	line.Add("outcome", string(i.result.Outcome))
	line.Add("reason", i.result.Reason)
	level := slog.LevelInfo
	if i.result.Outcome == mirror.Rejected {
		level = slog.LevelWarn
	}
	h.logger.LogAttrs(ctx, level, "event handled", line...)
}

// lag is the time from Clerk's own timestamp to the commit, if that is known.
func (i *item) lag() (time.Duration, bool) {
	if i.delivery.Event.StatedAt.IsZero() {
		return 0, false
	}
	return i.decidedAt.Sub(i.delivery.Event.StatedAt), true
}
