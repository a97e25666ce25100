package lambdatest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// EventSourceOptions describe an event source mapping of a queue. All are
// required.
type EventSourceOptions struct {
	Client   *sqs.Client
	QueueURL string
	// BatchSize is the most messages of one event, Window how long they are
	// gathered for.
	BatchSize int
	Window    time.Duration
	// Concurrency is how many environments of the function there are at most.
	Concurrency int
	// Timeout is the function's.
	Timeout time.Duration
	// Start starts another environment: the first time that one is needed, and
	// in the place of one that has ended. Within a test it is a call of Start.
	Start func() *Function
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
	end     context.CancelFunc
	pollers sync.WaitGroup

	mu           sync.Mutex
	environments []*Function // by poller, nil before the first event
	counts       EventSourceCounts
}

// EventSourceCounts are what came of the invocations so far.
type EventSourceCounts struct {
	// Invocations that ended, and Errors, those among them that failed as a
	// whole: an error, an answer that is not understood, a process that ended.
	Invocations, Errors int
	// Messages that were handed over, and Deleted, those among them that
	// succeeded. A message counts as often as it is received.
	Messages, Deleted int
}

// StartEventSource begins to poll, and stops with the test.
func StartEventSource(t testing.TB, options EventSourceOptions) *EventSource {
	t.Helper()
	attributes, err := options.Client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &options.QueueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	s := &EventSource{
		options: options, arn: attributes.Attributes[string(types.QueueAttributeNameQueueArn)],
		end: end, environments: make([]*Function, options.Concurrency),
	}
	for i := range options.Concurrency {
		s.pollers.Go(func() { s.poll(ctx, t, i) })
	}
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the polling, once the invocations under way have ended.
func (s *EventSource) Stop() {
	s.end()
	s.pollers.Wait()
}

// Environments are the processes that were started last.
func (s *EventSource) Environments() []*Function {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.environments), func(f *Function) bool { return f == nil })
}

// Counts returns what has come of the invocations so far.
func (s *EventSource) Counts() EventSourceCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// AwaitEmpty waits until the queue holds no message, neither visible nor handed
// out nor delayed.
func (s *EventSource) AwaitEmpty(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond) // moto counts slowly
	defer tick.Stop()
	for {
		left, err := QueueLength(ctx, s.options.Client, s.options.QueueURL)
		if err == nil && left == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%d messages are left in the queue: %w: %w", left, context.Cause(ctx), err)
		}
	}
}

// QueueLength is how many messages a queue holds, in whatever state.
func QueueLength(ctx context.Context, client *sqs.Client, url string) (int, error) {
	states := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: states})
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, state := range states {
		n := 0
		if _, err := fmt.Sscan(out.Attributes[string(state)], &n); err != nil {
			return 0, fmt.Errorf("reading %s: %w", state, err)
		}
		sum += n
	}
	return sum, nil
}

// poll is one environment's share of the work.
func (s *EventSource) poll(ctx context.Context, t testing.TB, i int) {
	t.Helper()
	for ctx.Err() == nil {
		messages, err := s.gather(ctx)
		if ctx.Err() != nil {
			return // what was received comes back in time
		}
		if err != nil {
			t.Errorf("polling %s: %v", s.options.QueueURL, err)
			return
		}
		f := s.environment(i)
		failed, err := s.invoke(f, messages)
		deleted := 0
		if err == nil {
			deleted, err = s.remove(messages, failed)
			if err != nil {
				t.Errorf("deleting messages of %s: %v", s.options.QueueURL, err)
			}
		}
		s.count(len(messages), deleted, err)
	}
}

func (s *EventSource) count(messages, deleted int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Invocations++
	s.counts.Messages += messages
	s.counts.Deleted += deleted
	if err != nil {
		s.counts.Errors++
	}
}

// environment returns the running process of a poller.
func (s *EventSource) environment(i int) *Function {
	s.mu.Lock()
	f := s.environments[i]
	s.mu.Unlock()
	if f != nil && !f.Exited() {
		return f
	}
	f = s.options.Start()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environments[i] = f
	return f
}

// receiveMost is what one call of SQS hands out at most.
const receiveMost = 10

// gather receives messages until the batch is full or the window is over, which
// begins with the first one.
func (s *EventSource) gather(ctx context.Context) ([]types.Message, error) {
	var messages []types.Message
	var end time.Time
	for len(messages) < s.options.BatchSize && (end.IsZero() || time.Now().Before(end)) {
		out, err := s.options.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &s.options.QueueURL, MaxNumberOfMessages: int32(min(receiveMost, s.options.BatchSize-len(messages))),
			WaitTimeSeconds:             1,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			return nil, err
		}
		messages = append(messages, out.Messages...)
		if end.IsZero() && len(messages) > 0 {
			end = time.Now().Add(s.options.Window)
		}
	}
	return messages, nil
}

// sqsRecord is a message in an event, as "Using Lambda with Amazon SQS" shows it.
type sqsRecord struct {
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

// SQSEvent is what Lambda makes of messages of the queue with this ARN.
func SQSEvent(arn string, messages []types.Message) ([]byte, error) {
	// arn:aws:sqs:region:account:name
	region := strings.Split(arn, ":")[3]
	records := make([]sqsRecord, len(messages))
	for i, m := range messages {
		records[i] = sqsRecord{
			MessageID: aws.ToString(m.MessageId), ReceiptHandle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body),
			Attributes: m.Attributes, MD5OfBody: aws.ToString(m.MD5OfBody),
			EventSource: "aws:sqs", EventSourceARN: arn, AWSRegion: region,
		}
	}
	return json.Marshal(map[string]any{"Records": records})
}

// invoke hands messages over and returns the ids of those that failed.
func (s *EventSource) invoke(f *Function, messages []types.Message) (failed []string, err error) {
	payload, err := SQSEvent(s.arn, messages)
	if err != nil {
		return nil, err
	}
	// Not bound to the polling: what is under way is finished.
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.options.Timeout, errors.New("the function's time is up"))
	defer cancel()
	answer, err := f.Invoke(ctx, payload)
	if err != nil {
		if ctx.Err() != nil {
			f.Kill() // as Lambda ends an environment that does not answer
		}
		return nil, err
	}
	return itemFailures(answer, messages)
}

// itemFailures reads an answer. What AWS documents to count as a failure of the
// whole batch is an error: no JSON, no or an empty identifier, one of no message
// of the batch.
func itemFailures(answer []byte, messages []types.Message) ([]string, error) {
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
		id := aws.ToString(failure["itemIdentifier"])
		if !slices.ContainsFunc(messages, func(m types.Message) bool { return id != "" && aws.ToString(m.MessageId) == id }) {
			return nil, fmt.Errorf("the answer %s names no message of the batch", answer)
		}
		failed = append(failed, id)
	}
	return failed, nil
}

// remove deletes the messages that have not failed and returns how many.
func (s *EventSource) remove(messages []types.Message, failed []string) (int, error) {
	var done []types.DeleteMessageBatchRequestEntry
	for i, m := range messages {
		if !slices.Contains(failed, aws.ToString(m.MessageId)) {
			done = append(done, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
		}
	}
	for some := range slices.Chunk(done, receiveMost) {
		if _, err := s.options.Client.DeleteMessageBatch(context.Background(), &sqs.DeleteMessageBatchInput{
			QueueUrl: &s.options.QueueURL, Entries: some,
		}); err != nil {
			return 0, err
		}
	}
	return len(done), nil
}
