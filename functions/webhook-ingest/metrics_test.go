package main

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/webhook"
)

func TestMetrics_AreThoseThatTheMonitoringReads(t *testing.T) {
	t.Parallel()
	const deployedAs = "clerksync-WebhookIngestFunction-1A2B3C"
	const signingSecret = "whsec_dGVzdC1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaA=="
	var out bytes.Buffer
	event := clerktest.User("user_1").Event(clerk.UserCreated, clerktest.Epoch)
	deliver := func(settings map[string]string, signed time.Time, body []byte) {
		t.Helper()
		handler, closeDB, err := newHandler(func(key string) (string, bool) {
			value, ok := settings[key]
			return value, ok
		}, &out)
		if err != nil {
			t.Fatal(err)
		}
		defer closeDB()
		r := httptest.NewRequest(http.MethodPost, webhook.Path, bytes.NewReader(body))
		maps.Copy(r.Header, clerktest.Sign(signingSecret, "msg_1", signed, event))
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	deployed := map[string]string{"AWS_LAMBDA_FUNCTION_NAME": deployedAs}
	deliver(deployed, time.Now(), event)
	configured := map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": deployedAs, "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret,
		// Nobody listens on the first port: the event is authentic and cannot be stored.
		"DATABASE_URL": "postgresql://clerksync_writer:none@127.0.0.1:1/postgres",
	}
	deliver(configured, time.Now(), event)
	deliver(configured, time.Now(), append(bytes.Clone(event), ' '))
	deliver(configured, time.Now().Add(-time.Hour), event)
	deliver(configured, time.Now().Add(time.Hour), event)
	// What anybody sends who finds the address.
	handler, closeDB, err := newHandler(func(key string) (string, bool) {
		value, ok := configured[key]
		return value, ok
	}, &out)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB()
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, webhook.Path, bytes.NewReader(event)))

	// What only a database or a queue answers.
	m := metrics{telemetry.NewMetrics(&out, deployedAs)}
	for _, outcome := range []mirror.Outcome{mirror.Applied, mirror.Duplicate, mirror.Stale, mirror.Ignored, mirror.Rejected, mirror.Queued} {
		m.Observe(t.Context(), webhook.Observation{Status: http.StatusOK, Outcome: outcome, Lag: time.Second})
	}
	lambdatest.CheckMetrics(t, functionName, deployedAs, out.String())
}
