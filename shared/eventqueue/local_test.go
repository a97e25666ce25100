package eventqueue_test

import (
	"context"
	"net/http/httptest"
	"testing"

	"clerksync/shared/devstack/queue"
	"clerksync/shared/eventqueue"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
)

// A developer's own AWS settings, wrong ones among them, are no matter for a queue on
// the developer's machine.
func TestSender_ReadsNoSettingsOfAWSForALocalQueue(t *testing.T) {
	t.Setenv("AWS_PROFILE", "gone")
	events := queue.New(queue.Options{Name: "events"})
	server := httptest.NewServer(queue.NewServer("AKIDLOCAL", events))
	t.Cleanup(server.Close)
	sender := eventqueue.NewSender(eventqueue.SenderOptions{
		Direct:   &direct{},
		QueueURL: func(context.Context) (string, error) { return server.URL + events.Path(), nil },
		Local:    &eventqueue.Local{Endpoint: server.URL, AccessKey: "AKIDLOCAL", SecretKey: secret.New("test")},
	})
	if got, err := sender.Apply(t.Context(), userEvent(t, "user_1", nil)); err != nil || got.Outcome != mirror.Queued {
		t.Fatalf("Apply = %+v, %v, want queued", got, err)
	}
	if n, _ := events.Length(t.Context()); n != 1 {
		t.Errorf("%d messages in the queue, want 1", n)
	}
}
