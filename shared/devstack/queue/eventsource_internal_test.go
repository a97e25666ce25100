package queue

import (
	"encoding/json"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
)

// After "Handling errors for an SQS event source in Lambda", on partial batch
// responses.
func TestItemFailures_ReadsAnswersAsLambdaDoes(t *testing.T) {
	t.Parallel()
	batch := []Message{{ID: "one"}, {ID: "two"}}
	for _, tt := range []struct {
		name, answer string
		want         []string
		fails        bool
	}{
		{"an empty list", `{"batchItemFailures":[]}`, nil, false},
		{"null for the list", `{"batchItemFailures":null}`, nil, false},
		{"no list", `{}`, nil, false},
		{"null", `null`, nil, false},
		{"nothing", ``, nil, false},
		{"one", `{"batchItemFailures":[{"itemIdentifier":"two"}]}`, []string{"two"}, false},
		{"all", `{"batchItemFailures":[{"itemIdentifier":"one"},{"itemIdentifier":"two"}]}`, []string{"one", "two"}, false},
		{"no JSON", `done`, nil, true},
		{"an empty identifier", `{"batchItemFailures":[{"itemIdentifier":""}]}`, nil, true},
		{"null for an identifier", `{"batchItemFailures":[{"itemIdentifier":null}]}`, nil, true},
		{"another key", `{"batchItemFailures":[{"itemidentifier":"one"}]}`, nil, true},
		{"of no message of the batch", `{"batchItemFailures":[{"itemIdentifier":"three"}]}`, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := itemFailures([]byte(tt.answer), batch)
			if diff := cmp.Diff(tt.want, got); (err != nil) != tt.fails || diff != "" {
				t.Errorf("itemFailures(%s): %v, want an error: %t; failures (-want +got):\n%s", tt.answer, err, tt.fails, diff)
			}
		})
	}
}

// The type that functions decode events with must find everything that is told.
func TestEvent_IsWhatFunctionsUnderstand(t *testing.T) {
	t.Parallel()
	const arn = "arn:aws:sqs:eu-central-1:123456789012:events"
	payload, err := Event(arn, []Message{{
		ID: "one", Handle: "handle", Body: `{"a":1}`, MD5: "bb6cb5c68df4652941caf652a366f2d8",
		Attributes: map[string]string{"ApproximateReceiveCount": "2", "SentTimestamp": "1716883200650"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var got events.SQSEvent
	if err := json.Unmarshal(payload, &got); err != nil {
		t.Fatalf("%s: %v", payload, err)
	}
	want := events.SQSEvent{Records: []events.SQSMessage{{
		MessageId: "one", ReceiptHandle: "handle", Body: `{"a":1}`, Md5OfBody: "bb6cb5c68df4652941caf652a366f2d8",
		Attributes:        map[string]string{"ApproximateReceiveCount": "2", "SentTimestamp": "1716883200650"},
		MessageAttributes: map[string]events.SQSMessageAttribute{},
		EventSource:       "aws:sqs", EventSourceARN: arn, AWSRegion: "eu-central-1",
	}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event %s (-want +got):\n%s", payload, diff)
	}
}
