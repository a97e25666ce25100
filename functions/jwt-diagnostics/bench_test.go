package main_test

import (
	"slices"
	"testing"
	"time"

	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/testdb"
)

// BenchmarkColdStart measures, on one core, what Lambda waits for before the
// function takes its first event, and then what somebody waits who asks: the
// first question, which fetches keys and connects to the database, and the
// second.
//
//	go test -run '^$' -bench ColdStart ./functions/jwt-diagnostics
func BenchmarkColdStart(b *testing.B) {
	const starts = 20 // an iteration
	clerk := newInstance(b)
	db := testdb.New(b)
	settings := map[string]string{"CLERK_ISSUER": clerk.url, "DIAGNOSTICS_DATABASE_URL": db.Diagnostics()}
	ours, event := binary(b), question(b, clerk.token)
	var ready, first, second []time.Duration
	for b.Loop() {
		for range starts {
			var f *lambdatest.Function
			lambdatest.OnOneCore(b, func() { f = lambdatest.Start(b, ours, settings) })
			ready = append(ready, f.Ready)
			first, second = append(first, timeInvocation(b, f, event)), append(second, timeInvocation(b, f, event))
			f.Kill()
		}
	}
	report := func(name string, durations []time.Duration) {
		slices.Sort(durations)
		b.ReportMetric(durations[len(durations)/2].Seconds()*1000, name)
	}
	report("ready-ms", ready)
	report("first-request-ms", first)
	report("second-request-ms", second)
	b.ReportMetric(ready[0].Seconds()*1000, "ready-min-ms")
	b.ReportMetric(0, "ns/op")
}

func timeInvocation(b *testing.B, f *lambdatest.Function, event []byte) time.Duration {
	b.Helper()
	begun := time.Now()
	if _, err := f.Invoke(b.Context(), event); err != nil {
		b.Fatalf("%v\n%s", err, f.Logs())
	}
	return time.Since(begun)
}

// BenchmarkBinarySize reports what Lambda has to load, built as it is deployed.
func BenchmarkBinarySize(b *testing.B) { lambdatest.ReportSize(b, "JWTDiagnosticsFunction") }
