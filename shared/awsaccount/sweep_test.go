package awsaccount_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"clerksync/shared/awsaccount"
	"clerksync/shared/testkit/moto"
)

func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }

// stackWith makes a stack with these outputs, and returns its name and where it is.
func stackWith(t *testing.T, server *moto.Server, outputs map[string]string) (string, func(string) (string, bool)) {
	t.Helper()
	environment := server.Environment()
	return server.NewStack(t, outputs), func(key string) (string, bool) { value, ok := environment[key]; return value, ok }
}

func TestSweepDeadLetters_TakesWhatMatchesAndGivesBackTheRest(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	url := server.NewQueue(t, nil)
	for n := range 25 {
		body := fmt.Sprintf(`{"svix_id":"msg_%d","event":{"data":{"id":"user_%d"}}}`, n, n%5)
		if _, err := server.SQS().SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body}); err != nil {
			t.Fatal(err)
		}
	}
	name, lookup := stackWith(t, server, map[string]string{"EventDeadLetterQueueUrl": url})
	stack, err := awsaccount.ReadStack(t.Context(), lookup, name)
	if err != nil {
		t.Fatal(err)
	}
	var sent []time.Time
	for round, want := range []awsaccount.Swept{{Looked: 25, Removed: 5, Whole: true}, {Looked: 20, Removed: 0, Whole: true}} {
		swept, err := stack.SweepDeadLetters(t.Context(), func(at time.Time, body string) bool {
			sent = append(sent, at)
			return strings.Contains(body, `"user_3"`)
		})
		if err != nil || swept != want {
			t.Errorf("round %d: %+v, %v, want %+v", round, swept, err, want)
		}
	}
	if sent[0].Before(time.Now().Add(-time.Hour)) {
		t.Errorf("a message was sent at %s", sent[0])
	}
	// Another reader holds one.
	held, err := server.SQS().ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, VisibilityTimeout: 600})
	if err != nil || len(held.Messages) != 1 {
		t.Fatal(held, err)
	}
	if swept, err := stack.SweepDeadLetters(t.Context(), func(time.Time, string) bool { return false }); err != nil || swept.Whole || swept.Looked != 19 {
		t.Errorf("with one held by another: %+v, %v, want 19 and not the whole", swept, err)
	}
}

func TestSweepDeadLetters_OfAStackWithoutAQueueIsDone(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	name, lookup := stackWith(t, server, nil)
	stack, err := awsaccount.ReadStack(t.Context(), lookup, name)
	if err != nil {
		t.Fatal(err)
	}
	if swept, err := stack.SweepDeadLetters(t.Context(), nil); err != nil || swept != (awsaccount.Swept{Whole: true}) {
		t.Errorf("%+v, %v", swept, err)
	}
}
