package main

import (
	"bytes"
	"context"
	"io"
	"testing"

	"clerksync/shared/config"
	"clerksync/shared/eventqueue/consumer"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
	"clerksync/shared/testkit/lambdatest"
)

// always is a store with one outcome for every event.
type always mirror.Outcome

func (a always) Apply(context.Context, mirror.Delivery) (mirror.Result, error) {
	return mirror.Result{Outcome: mirror.Outcome(a)}, nil
}

func (a always) ApplyBatch(_ context.Context, deliveries []mirror.Delivery) ([]mirror.Result, error) {
	results := make([]mirror.Result, len(deliveries))
	for i := range results {
		results[i].Outcome = mirror.Outcome(a)
	}
	return results, nil
}

func TestMetrics_AreThoseThatTheMonitoringReads(t *testing.T) {
	t.Parallel()
	const deployedAs = "clerksync-EventConsumerFunction-1A2B3C"
	var out bytes.Buffer
	unconfigured, closeDB := newHandler(func(key string) (string, bool) {
		return deployedAs, key == "AWS_LAMBDA_FUNCTION_NAME"
	}, &out)
	defer closeDB()
	if answer, err := unconfigured.Invoke(t.Context(), []byte(`{"Records":[]}`)); err == nil {
		t.Errorf("without a configuration the answer is %s", answer)
	}
	for _, outcome := range []mirror.Outcome{mirror.Applied, mirror.Duplicate, mirror.Stale, mirror.Ignored, mirror.Rejected} {
		handler := consumer.New(consumer.Options{
			Store:     always(outcome),
			Configure: func(context.Context) (config.Consumer, error) { return config.Consumer{}, nil },
			Logger:    telemetry.NewLogger(io.Discard, nil),
			Metrics:   telemetry.NewMetrics(&out, deployedAs),
		})
		if answer, err := handler.Invoke(t.Context(), lambdatest.SampleEvent(t, "event-consumer.json")); err != nil {
			t.Errorf("outcome %s: %s, %v", outcome, answer, err)
		}
	}
	lambdatest.CheckMetrics(t, functionName, deployedAs, out.String())
}
