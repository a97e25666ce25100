package lambdatest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"clerksync/shared/devstack/queue"
)

// EventSourceOptions describe an event source mapping of a queue. All are
// required.
type EventSourceOptions struct {
	Client   *sqs.Client
	QueueURL string
	// BatchSize, Window, Concurrency and Timeout are as in queue.EventSourceOptions.
	BatchSize   int
	Window      time.Duration
	Concurrency int
	Timeout     time.Duration
	// Start starts another environment: the first time that one is needed, and
	// in the place of one that has ended. Within a test it is a call of Start.
	Start func() *Function
}

// EventSource is a [queue.EventSource] of a queue that the SDK talks to, and of
// processes.
type EventSource struct{ *queue.EventSource }

// StartEventSource begins to poll, and stops with the test.
func StartEventSource(t testing.TB, o EventSourceOptions) *EventSource {
	t.Helper()
	source, err := queue.StartEventSource(t.Context(), queue.EventSourceOptions{
		Source: sdkSource{o.Client, o.QueueURL}, BatchSize: o.BatchSize, Window: o.Window, Concurrency: o.Concurrency, Timeout: o.Timeout,
		Start:  func() queue.Environment { return o.Start() },
		Failed: func(err error) { t.Errorf("%s: %v", o.QueueURL, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &EventSource{source}
	t.Cleanup(s.Stop)
	return s
}

// Stop ends the polling, once the invocations under way have ended.
func (s *EventSource) Stop() { s.EventSource.Stop(context.Background()) }

// Environments are the processes that were started last.
func (s *EventSource) Environments() []*Function {
	var functions []*Function
	for _, e := range s.EventSource.Environments() {
		functions = append(functions, e.(*Function))
	}
	return functions
}

// sdkSource is a queue that the SDK talks to.
type sdkSource struct {
	client *sqs.Client
	url    string
}

func (s sdkSource) ARN(ctx context.Context) (string, error) {
	attributes, err := s.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &s.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", err
	}
	return attributes.Attributes[string(types.QueueAttributeNameQueueArn)], nil
}

// Receive polls for a second each time: moto's answers keep no other caller waiting
// for longer.
func (s sdkSource) Receive(ctx context.Context, most int, _ time.Duration) ([]queue.Message, error) {
	out, err := s.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &s.url, MaxNumberOfMessages: int32(most), WaitTimeSeconds: 1,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	return received(out.Messages), nil
}

func received(messages []types.Message) []queue.Message {
	list := make([]queue.Message, len(messages))
	for i, m := range messages {
		list[i] = queue.Message{
			ID: aws.ToString(m.MessageId), Handle: aws.ToString(m.ReceiptHandle), Body: aws.ToString(m.Body), MD5: aws.ToString(m.MD5OfBody),
			Attributes: m.Attributes,
		}
	}
	return list
}

func (s sdkSource) Delete(ctx context.Context, messages []queue.Message) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: &m.Handle}
	}
	_, err := s.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &s.url, Entries: entries})
	return err
}

func (s sdkSource) Length(ctx context.Context) (int, error) {
	states := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := s.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &s.url, AttributeNames: states})
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

// SQSEvent is what Lambda makes of messages of the queue with this ARN.
func SQSEvent(arn string, messages []types.Message) ([]byte, error) {
	return queue.Event(arn, received(messages))
}
