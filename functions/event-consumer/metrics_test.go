package main

import (
	"bytes"
	"testing"

	"clerksync/functions/internal/lambdatest"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

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
		s := newStage(&rules{outcome: outcome})
		s.metrics = metrics{telemetry.NewMetrics(&out, deployedAs)}
		if _, err := s.invoke(t.Context(), t, record(1)); err != nil {
			t.Errorf("outcome %s: %v", outcome, err)
		}
	}
	lambdatest.CheckMetrics(t, functionName, deployedAs, out.String())
}
