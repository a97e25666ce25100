package queue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/queue"
	"clerksync/shared/testkit/moto"
)

func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }

const accessKey = "AKIDTEST"

// inMemory hands requests to a server without a socket, so that a bubble's time
// passes at once.
type inMemory struct{ http.Handler }

func (s inMemory) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

func client(handler http.Handler, key string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: queue.Region, BaseEndpoint: aws.String("http://queue.test"), HTTPClient: inMemory{handler},
		Credentials: credentials.NewStaticCredentialsProvider(key, "test", ""), Retryer: retry.AddWithMaxAttempts(retry.NewStandard(), 1),
	})
}

// scene is a queue with its dead-letter queue, as the SDK sees them.
type scene struct {
	*sqs.Client
	queue, dead *queue.Queue
	url         *string
}

func newScene(o queue.Options) scene {
	s := scene{dead: queue.New(queue.Options{Name: "dead"})}
	o.Name = "events"
	if o.MaxReceives > 0 {
		o.DeadLetters = s.dead
	}
	s.queue = queue.New(o)
	s.Client = client(queue.NewServer(accessKey, s.queue, s.dead), accessKey)
	s.url = aws.String("http://queue.test" + s.queue.Path())
	return s
}

func (s scene) send(t *testing.T, body string) {
	t.Helper()
	if _, err := s.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: s.url, MessageBody: &body}); err != nil {
		t.Fatalf("SendMessage(%.40q) = %v", body, err)
	}
}

func (s scene) receive(t *testing.T, wait int32) []types.Message {
	t.Helper()
	out, err := s.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: s.url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		t.Fatalf("ReceiveMessage = %v", err)
	}
	return out.Messages
}

func (s scene) remove(t *testing.T, m types.Message) {
	t.Helper()
	if _, err := s.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: s.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
		t.Fatalf("DeleteMessage = %v", err)
	}
}

func bodies(messages []types.Message) string {
	var all []string
	for _, m := range messages {
		all = append(all, *m.Body+"/"+m.Attributes["ApproximateReceiveCount"])
	}
	return strings.Join(all, " ")
}

func wantBodies(t *testing.T, when string, got []types.Message, want string) {
	t.Helper()
	if bodies(got) != want {
		t.Errorf("%s: received %q, want %q", when, bodies(got), want)
	}
}

func TestQueue_HidesWhatWasReceivedUntilItIsDeletedOrItsTimeIsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(queue.Options{Visibility: 10 * time.Second})
		for _, body := range []string{"a", "b", "c"} {
			s.send(t, body)
		}
		first := s.receive(t, 0)
		wantBodies(t, "at first", first, "a/1 b/1 c/1")
		wantBodies(t, "while they are hidden", s.receive(t, 0), "")
		s.remove(t, first[1])
		<-time.After(9 * time.Second)
		wantBodies(t, "a second before the time is up", s.receive(t, 0), "")
		// A long poll ends when they come back.
		started := time.Now()
		again := s.receive(t, 20)
		wantBodies(t, "again", again, "a/2 c/2")
		if waited := time.Since(started); waited != time.Second {
			t.Errorf("the poll took %v, want 1s", waited)
		}
		// The handle of an earlier receive deletes nothing, and does not fail.
		s.remove(t, first[0])
		if n, _ := s.queue.Length(t.Context()); n != 2 {
			t.Errorf("%d messages after a delete with an old handle, want both", n)
		}
		s.remove(t, again[1])
		<-time.After(time.Minute)
		// A handle counts after its time was up, unless the message was received again.
		s.remove(t, again[0])
		wantBodies(t, "in the end", s.receive(t, 0), "")
		if n, _ := s.queue.Length(t.Context()); n != 0 {
			t.Errorf("%d messages are left, want none", n)
		}
	})
}

func TestQueue_PollsForAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(queue.Options{})
		started := time.Now()
		wantBodies(t, "of an empty queue", s.receive(t, 20), "")
		if waited := time.Since(started); waited != 20*time.Second {
			t.Errorf("the poll took %v, want 20s", waited)
		}
		go func() {
			<-time.After(3 * time.Second)
			_, _ = s.queue.Send("late", 0)
		}()
		started = time.Now()
		wantBodies(t, "sent meanwhile", s.receive(t, 20), "late/1")
		if waited := time.Since(started); waited != 3*time.Second {
			t.Errorf("the poll took %v, want 3s", waited)
		}
		if _, err := s.queue.Send("delayed", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := s.queue.Lengths(); got != (queue.Lengths{InFlight: 1, Delayed: 1}) {
			t.Errorf("lengths %+v, want one in flight and one delayed", got)
		}
		started = time.Now()
		wantBodies(t, "delayed", s.receive(t, 20), "delayed/1")
		if waited := time.Since(started); waited != 5*time.Second {
			t.Errorf("the poll took %v, want 5s", waited)
		}
	})
}

func TestQueue_ChangesVisibility(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(queue.Options{Visibility: 10 * time.Second})
		s.send(t, "a")
		change := func(m types.Message, seconds int32) error {
			_, err := s.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: s.url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds})
			return err
		}
		first := s.receive(t, 0)[0]
		if err := change(first, 0); err != nil {
			t.Fatal(err)
		}
		wantBodies(t, "given back", s.receive(t, 0), "a/2")
		<-time.After(9 * time.Second)
		second := s.queue.Peek()[0]
		if err := change(types.Message{ReceiptHandle: &second.Handle}, 60); err != nil {
			t.Fatal(err)
		}
		<-time.After(59 * time.Second)
		wantBodies(t, "kept for longer", s.receive(t, 0), "")
		<-time.After(time.Second)
		if err := change(types.Message{ReceiptHandle: &second.Handle}, 60); code(err) != "AWS.SimpleQueueService.MessageNotInflight" {
			t.Errorf("ChangeMessageVisibility of a visible message = %v, want MessageNotInflight", err)
		}
	})
}

func TestQueue_BuriesWhatWasReceivedTooOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(queue.Options{Visibility: time.Second, MaxReceives: 3})
		s.send(t, "bad")
		for n := range 3 {
			wantBodies(t, "in turn", s.receive(t, 2), fmt.Sprintf("bad/%d", n+1))
		}
		if dead := s.dead.Peek(); len(dead) != 0 {
			t.Fatalf("buried before its time: %v", dead)
		}
		id := s.queue.Peek()[0].ID
		wantBodies(t, "once more", s.receive(t, 2), "")
		dead := s.dead.Peek()
		if len(dead) != 1 || dead[0].ID != id || dead[0].Body != "bad" || dead[0].Receives() != 3 || dead[0].Attributes["DeadLetterQueueSourceArn"] != "arn:aws:sqs:eu-central-1:000000000000:events" {
			t.Errorf("dead letters %+v, want the message %s", dead, id)
		}
		if n, _ := s.queue.Length(t.Context()); n != 0 {
			t.Errorf("%d messages are left, want none", n)
		}
	})
}

func TestQueue_DeliversAShareOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(queue.Options{Twice: 0.5, Seed: 1})
		const sent = 200
		for n := range sent {
			s.send(t, fmt.Sprint(n))
		}
		seen := map[string]int{}
		for {
			messages := s.receive(t, 0)
			if len(messages) == 0 {
				break
			}
			for _, m := range messages {
				seen[*m.Body]++
				s.remove(t, m)
			}
		}
		twice := 0
		for body, n := range seen {
			if n > 2 {
				t.Errorf("%s came %d times", body, n)
			}
			twice += n - 1
		}
		if len(seen) != sent || twice < sent/4 || twice > sent*3/4 {
			t.Errorf("%d messages came, %d of them twice, want all %d and about half", len(seen), twice, sent)
		}
	})
}

// code is what a program that uses the SDK goes by.
func code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

// What the SDK sees of it is what it sees of moto, as far as moto does what AWS
// documents; and what AWS documents where it does not.
func TestServer_RefusesAsSQSDoes(t *testing.T) {
	t.Parallel()
	body := func(n int) *string { return aws.String(strings.Repeat("x", n)) }
	entries := func(ids ...string) []types.SendMessageBatchRequestEntry {
		var list []types.SendMessageBatchRequestEntry
		for _, id := range ids {
			list = append(list, types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageBody: aws.String("x")})
		}
		return list
	}
	handle := aws.String("none")
	const motoDiffers = true
	for _, tt := range []struct {
		name string
		do   func(c *sqs.Client, url *string) error
		want string // "": taken
		// apart: moto answers otherwise.
		apart bool
	}{
		{"the largest message", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: body(1 << 20)})
			return err
		}, "", false},
		{"a larger one", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: body(1<<20 + 1)})
			return err
		}, "InvalidParameterValue", false},
		{"an empty one", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("")})
			return err
		}, "MissingParameter", motoDiffers},
		{"a character that SQS does not take", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("a\x01b")})
			return err
		}, "InvalidMessageContents", motoDiffers},
		{"a delay of an hour", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: body(1), DelaySeconds: 3600})
			return err
		}, "InvalidParameterValue", motoDiffers},
		{"another queue", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: aws.String(*url + "-gone"), MessageBody: body(1)})
			return err
		}, "AWS.SimpleQueueService.NonExistentQueue", false},
		{"an empty batch", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{}})
			return err
		}, "AWS.SimpleQueueService.EmptyBatchRequest", false},
		{"a batch of eleven", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10")})
			return err
		}, "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", false},
		{"a batch with an id twice", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries("0", "0")})
			return err
		}, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", false},
		{"a batch with a bad id", func(c *sqs.Client, url *string) error {
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries("a.b")})
			return err
		}, "AWS.SimpleQueueService.InvalidBatchEntryId", false},
		{"a batch that is too large", func(c *sqs.Client, url *string) error {
			large := entries("0", "1")
			large[0].MessageBody, large[1].MessageBody = body(1<<19), body(1<<19+1)
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: large})
			return err
		}, "AWS.SimpleQueueService.BatchRequestTooLong", false},
		{"eleven at a time", func(c *sqs.Client, url *string) error {
			_, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 11})
			return err
		}, "InvalidParameterValue", false},
		{"a poll of 21 s", func(c *sqs.Client, url *string) error {
			_, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 21})
			return err
		}, "InvalidParameterValue", false},
		{"a handle of none", func(c *sqs.Client, url *string) error {
			_, err := c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: handle})
			return err
		}, "ReceiptHandleIsInvalid", false},
		{"an attribute that there is not", func(c *sqs.Client, url *string) error {
			_, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"Colour"}})
			return err
		}, "InvalidAttributeName", false},
		{"an action that there is not", func(c *sqs.Client, url *string) error {
			_, err := c.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: url})
			return err
		}, "InvalidAction", motoDiffers},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(queue.Options{})
			got := ""
			if err := tt.do(s.Client, s.url); err != nil {
				got = code(err)
			}
			if got != tt.want {
				t.Errorf("the SDK reports %q, want %q", got, tt.want)
			}
			if tt.apart {
				return
			}
			server := moto.Start(t)
			url := server.NewQueue(t, map[string]string{"MaximumMessageSize": "1048576"})
			got = ""
			if err := tt.do(server.SQS(), &url); err != nil {
				got = code(err)
			}
			if got != tt.want {
				t.Errorf("of moto the SDK reports %q, want %q", got, tt.want)
			}
		})
	}
}

func TestServer_AnswersNobodyElse(t *testing.T) {
	t.Parallel()
	s := newScene(queue.Options{})
	server := queue.NewServer(accessKey, s.queue)
	_, err := client(server, "AKIDOTHER").SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: s.url, MessageBody: aws.String("x")})
	if code(err) != "InvalidClientTokenId" {
		t.Errorf("with another key = %v, want InvalidClientTokenId", err)
	}
	// What a web page can send without being asked.
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"QueueUrl":"`+*s.url+`","MessageBody":"x"}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessage")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if text, _ := io.ReadAll(w.Body); w.Code != http.StatusForbidden {
		t.Errorf("without a key: %d %s, want 403", w.Code, text)
	}
	if n, _ := s.queue.Length(t.Context()); n != 0 {
		t.Errorf("%d messages were taken, want none", n)
	}
}

func TestServer_DoesWhatIsAskedOfABatch(t *testing.T) {
	t.Parallel()
	s := newScene(queue.Options{MaxReceives: 5, Visibility: 90 * time.Second})
	sent, err := s.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: s.url, Entries: []types.SendMessageBatchRequestEntry{
		{Id: aws.String("good"), MessageBody: aws.String("a")}, {Id: aws.String("bad"), MessageBody: aws.String("\x01")},
	}})
	if err != nil || len(sent.Successful) != 1 || len(sent.Failed) != 1 || *sent.Failed[0].Id != "bad" || *sent.Failed[0].Code != "InvalidMessageContents" {
		t.Fatalf("SendMessageBatch = %+v, %v, want good sent and bad failed", sent, err)
	}
	received := s.receive(t, 0)
	wantBodies(t, "the batch", received, "a/1")
	out, err := s.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: s.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"QueueArn": "arn:aws:sqs:eu-central-1:000000000000:events", "ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "1",
		"ApproximateNumberOfMessagesDelayed": "0", "VisibilityTimeout": "90", "MaximumMessageSize": "1048576", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0",
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:000000000000:dead","maxReceiveCount":5}`,
	}
	if diff := cmp.Diff(want, out.Attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	removed, err := s.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: s.url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: received[0].ReceiptHandle}, {Id: aws.String("b"), ReceiptHandle: aws.String("none")},
	}})
	if err != nil || len(removed.Successful) != 1 || len(removed.Failed) != 1 || *removed.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Errorf("DeleteMessageBatch = %+v, %v, want a removed and b failed", removed, err)
	}
	if n, _ := s.queue.Length(context.Background()); n != 0 {
		t.Errorf("%d messages are left, want none", n)
	}
}
