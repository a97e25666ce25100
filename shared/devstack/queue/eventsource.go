package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Source is a queue as an event source mapping uses it; *Queue is one.
type Source interface {
	ARN(ctx context.Context) (string, error)
	// Receive hands out up to most messages, ten at most, and waits for the first.
	Receive(ctx context.Context, most int, wait time.Duration) ([]Message, error)
	// Delete removes up to ten messages.
	Delete(ctx context.Context, messages []Message) error
	// Length is how many messages there are, in whatever state.
	Length(ctx context.Context) (int, error)
}

// Environment is an execution environment of a function, which takes one event at
// a time.
type Environment interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
	// Kill ends it, and Exited says whether it has ended.
	Kill()
	Exited() bool
}

// EventSourceOptions describe an event source mapping. All are required but
// Failed.
type EventSourceOptions struct {
	Source Source
	// BatchSize is the most messages of one event, Window how long they are
	// gathered for.
	BatchSize int
	Window    time.Duration
	// Concurrency is how many environments of the function there are at most.
	Concurrency int
	// Timeout is the function's.
	Timeout time.Duration
	// Start starts another environment: the first time that one is needed, and
	// in the place of one that has ended.
	Start func() Environment
	// Failed is told what the queue has refused. Where it was a receive, that
	// poller has ended.
	Failed func(error)
}

// EventSource plays Lambda's event source mapping for a standard queue, with
// ReportBatchItemFailures, after AWS's published description ("Using Lambda with
// Amazon SQS" and "Handling errors for an SQS event source in Lambda"): it polls
// the queue, gathers messages and invokes the function with them; it deletes
// what succeeded, and leaves what failed to the queue's visibility timeout.
//
// Unlike Lambda it polls on at the same pace after errors.
type EventSource struct {
	options EventSourceOptions
	arn     string
	end     context.CancelFunc // of polling
	abort   context.CancelFunc // of invocations under way
	pollers sync.WaitGroup

	mu           sync.Mutex
	environments []Environment // by poller, nil before the first event
	counts       EventSourceCounts
}

// EventSourceCounts are what came of the invocations so far.
type EventSourceCounts struct {
	// Invocations that ended, and Errors, those among them that failed as a
	// whole: an error, an answer that is not understood, a process that ended.
	Invocations, Errors int
	// Messages that were handed over, and Done, those among them that succeeded.
	// A message counts as often as it is received.
	Messages, Done int
}

// StartEventSource begins to poll. Call Stop.
func StartEventSource(ctx context.Context, o EventSourceOptions) (*EventSource, error) {
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	arn, err := o.Source.ARN(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for the queue's ARN: %w", err)
	}
	polling, end := context.WithCancel(context.WithoutCancel(ctx))
	working, abort := context.WithCancel(context.WithoutCancel(ctx))
	s := &EventSource{options: o, arn: arn, end: end, abort: abort, environments: make([]Environment, o.Concurrency)}
	for i := range o.Concurrency {
		s.pollers.Go(func() { s.poll(polling, working, i) })
	}
	return s, nil
}

// Stop ends the polling, once the invocations under way have ended; when ctx is
// done first, they are told to.
func (s *EventSource) Stop(ctx context.Context) {
	s.end()
	stop := context.AfterFunc(ctx, s.abort)
	s.pollers.Wait()
	stop()
	s.abort()
}

// Environments are those that were started last.
func (s *EventSource) Environments() []Environment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.environments), func(e Environment) bool { return e == nil })
}

// Counts returns what has come of the invocations so far.
func (s *EventSource) Counts() EventSourceCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// lookEvery is how often AwaitEmpty looks.
const lookEvery = 50 * time.Millisecond

// AwaitEmpty waits until the queue holds no message, neither visible nor handed
// out nor delayed.
func (s *EventSource) AwaitEmpty(ctx context.Context) error {
	for {
		started := time.Now()
		left, err := s.options.Source.Length(ctx)
		if err == nil && left == 0 {
			return nil
		}
		// Some queues count slowly.
		timer := time.NewTimer(max(lookEvery, 4*time.Since(started)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(fmt.Errorf("messages left in the queue: %d: %w", left, context.Cause(ctx)), err)
		}
	}
}

// receiveMost is what one call of SQS hands out at most.
const receiveMost = 10

// maxPayload is what an event may hold, in bytes (Lambda, "Quotas"), with some of
// it left for what is around the messages.
const maxPayload = 6<<20 - 64<<10

// poll is one environment's share of the work.
func (s *EventSource) poll(polling, working context.Context, i int) {
	var rest []Message // received, and too much for the last event
	for polling.Err() == nil {
		messages, err := s.gather(polling, rest)
		if polling.Err() != nil {
			return // what was received comes back in time
		}
		if err != nil {
			s.options.Failed(fmt.Errorf("receiving messages: %w", err))
			return
		}
		messages, rest = cut(messages)
		if len(messages) == 0 {
			continue
		}
		failed, err := s.invoke(working, s.environment(i), messages)
		// Counted before the queue can be seen to be empty.
		s.count(len(messages), len(messages)-len(failed), err)
		if err != nil {
			continue
		}
		if err := s.remove(context.WithoutCancel(working), messages, failed); err != nil {
			s.options.Failed(fmt.Errorf("deleting messages: %w", err))
		}
	}
}

// cut splits off what makes an event too large.
func cut(messages []Message) (now, later []Message) {
	size := 0
	for i, m := range messages {
		// Escaped in the event, with what else is told about a message.
		escaped, _ := json.Marshal(m.Body)
		size += len(escaped) + 1<<10
		if i > 0 && size > maxPayload {
			return messages[:i], messages[i:]
		}
	}
	return messages, nil
}

func (s *EventSource) count(messages, done int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Invocations++
	s.counts.Messages += messages
	if err != nil {
		s.counts.Errors++
		return
	}
	s.counts.Done += done
}

// environment returns the running environment of a poller.
func (s *EventSource) environment(i int) Environment {
	s.mu.Lock()
	e := s.environments[i]
	s.mu.Unlock()
	if e != nil && !e.Exited() {
		return e
	}
	e = s.options.Start()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environments[i] = e
	return e
}

// gather receives messages until the batch is full or the window is over, which
// begins with the first one.
func (s *EventSource) gather(ctx context.Context, messages []Message) ([]Message, error) {
	var end time.Time
	if len(messages) > 0 {
		end = time.Now().Add(s.options.Window)
	}
	for len(messages) < s.options.BatchSize && (end.IsZero() || time.Now().Before(end)) {
		wait := maxWait
		if !end.IsZero() {
			wait = time.Until(end)
		}
		some, err := s.options.Source.Receive(ctx, min(receiveMost, s.options.BatchSize-len(messages)), max(wait, 0))
		if err != nil {
			return nil, err
		}
		messages = append(messages, some...)
		if end.IsZero() && len(messages) > 0 {
			end = time.Now().Add(s.options.Window)
		}
	}
	return messages, nil
}

// record is a message in an event, as "Using Lambda with Amazon SQS" shows it.
type record struct {
	MessageID         string            `json:"messageId"`
	ReceiptHandle     string            `json:"receiptHandle"`
	Body              string            `json:"body"`
	Attributes        map[string]string `json:"attributes"`
	MessageAttributes struct{}          `json:"messageAttributes"`
	MD5OfBody         string            `json:"md5OfBody"`
	EventSource       string            `json:"eventSource"`
	EventSourceARN    string            `json:"eventSourceARN"`
	AWSRegion         string            `json:"awsRegion"`
}

// Event is what Lambda makes of messages of the queue with this ARN.
func Event(arn string, messages []Message) ([]byte, error) {
	// arn:aws:sqs:region:account:name
	region := strings.Split(arn, ":")[3]
	records := make([]record, len(messages))
	for i, m := range messages {
		records[i] = record{
			MessageID: m.ID, ReceiptHandle: m.Handle, Body: m.Body, Attributes: m.Attributes, MD5OfBody: m.MD5,
			EventSource: "aws:sqs", EventSourceARN: arn, AWSRegion: region,
		}
	}
	return json.Marshal(map[string]any{"Records": records})
}

// invoke hands messages over and returns the ids of those that failed.
func (s *EventSource) invoke(ctx context.Context, e Environment, messages []Message) (failed []string, err error) {
	payload, err := Event(s.arn, messages)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.options.Timeout, errors.New("the function's time is up"))
	defer cancel()
	answer, err := e.Invoke(ctx, payload)
	if err != nil {
		if ctx.Err() != nil {
			e.Kill() // as Lambda ends an environment that does not answer
		}
		return nil, err
	}
	return itemFailures(answer, messages)
}

// itemFailures reads an answer. What AWS documents to count as a failure of the
// whole batch is an error: no JSON, no or an empty identifier, one of no message
// of the batch.
func itemFailures(answer []byte, messages []Message) ([]string, error) {
	var response struct {
		BatchItemFailures []map[string]*string `json:"batchItemFailures"`
	}
	if len(answer) > 0 {
		if err := json.Unmarshal(answer, &response); err != nil {
			return nil, fmt.Errorf("the answer %s: %w", answer, err)
		}
	}
	var failed []string
	for _, failure := range response.BatchItemFailures {
		id := failure["itemIdentifier"]
		if id == nil || *id == "" || !slices.ContainsFunc(messages, func(m Message) bool { return m.ID == *id }) {
			return nil, fmt.Errorf("the answer %s names no message of the batch", answer)
		}
		failed = append(failed, *id)
	}
	return failed, nil
}

// remove deletes the messages that have not failed.
func (s *EventSource) remove(ctx context.Context, messages []Message, failed []string) error {
	done := slices.DeleteFunc(slices.Clone(messages), func(m Message) bool { return slices.Contains(failed, m.ID) })
	for some := range slices.Chunk(done, receiveMost) {
		if err := s.options.Source.Delete(ctx, some); err != nil {
			return err
		}
	}
	return nil
}
