package main

import (
	"bytes"
	"errors"
	"testing"

	"clerksync/shared/fullsync"
	"clerksync/shared/telemetry"
	"clerksync/shared/testkit/lambdatest"
)

func TestMetrics_AreThoseThatTheMonitoringReads(t *testing.T) {
	t.Parallel()
	const deployedAs = "clerksync-FullSyncFunction-1A2B3C"
	var out bytes.Buffer
	unconfigured, closeDB := newHandler(func(key string) (string, bool) {
		return deployedAs, key == "AWS_LAMBDA_FUNCTION_NAME"
	}, &out)
	defer closeDB()
	if answer, err := unconfigured.Invoke(t.Context(), nil); err == nil {
		t.Errorf("without a configuration the answer is %s", answer)
	}
	for _, end := range []struct {
		report fullsync.Report
		err    error
	}{
		{fullsync.Report{State: fullsync.Complete}, nil},
		{fullsync.Report{Reason: "busy"}, fullsync.ErrBusy},
		{fullsync.Report{State: fullsync.Partial, Reason: "out_of_time"}, fullsync.ErrOutOfTime},
		{fullsync.Report{State: fullsync.Stopped, Reason: "too_many_deletions"}, fullsync.ErrTooManyDeletions},
		{fullsync.Report{Reason: "database_unavailable"}, errors.New("refused")},
	} {
		s := newStage(end.report, end.err)
		s.metrics = metrics{telemetry.NewMetrics(&out, deployedAs)}
		// Which of these Lambda is told about is another test's.
		_, _ = s.Invoke(t.Context(), nil)
	}
	lambdatest.CheckMetrics(t, functionName, deployedAs, out.String())
}
