package main_test

import (
	"bytes"
	"net/http"
	"testing"

	"clerksync/shared/testkit/lambdatest"
)

// The sample event says with the sample environment what infra/README.md says of it.
func TestBootstrap_AnswersTheSampleEvent(t *testing.T) {
	t.Parallel()
	environment := lambdatest.SampleEnvironment(t, "WebhookIngestFunction")
	f := lambdatest.Start(t, binary(t), environment)
	event := lambdatest.SampleEvent(t, "webhook-ingest.json")
	got, err := invoke(t.Context(), f, event)
	if err != nil || got.Status != http.StatusUnauthorized || got.Code != "timestamp_too_old" {
		t.Errorf("answer = %+v, %v, want 401 timestamp_too_old\n%s", got, err, f.Logs())
	}
	got, err = invoke(t.Context(), f, bytes.Replace(event, []byte(`\"ada\"`), []byte(`\"eve\"`), 1))
	if err != nil || got.Status != http.StatusUnauthorized || got.Code != "invalid_signature" {
		t.Errorf("answer to a changed body = %+v, %v, want 401 invalid_signature\n%s", got, err, f.Logs())
	}
}
