package main_test

import (
	"slices"
	"testing"
	"time"

	"clerksync/functions/internal/lambdatest"
)

// BenchmarkColdStart measures the function's own part of a cold start on one
// core, from exec until it asks for an event.
func BenchmarkColdStart(b *testing.B) {
	const starts = 20 // an iteration
	ours := binary(b)
	settings := map[string]string{"DATABASE_URL": "postgresql://writer@127.0.0.1:1/app", "CLERK_SECRET_KEY": secretKey}
	var ready []time.Duration
	for b.Loop() {
		for range starts {
			lambdatest.OnOneCore(b, func() {
				f := lambdatest.Start(b, ours, settings)
				ready = append(ready, f.Ready)
				f.Kill()
			})
		}
	}
	slices.Sort(ready)
	b.ReportMetric(ready[len(ready)/2].Seconds()*1000, "ready-ms")
	b.ReportMetric(ready[0].Seconds()*1000, "ready-min-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBinarySize reports what Lambda has to load, built as it is deployed.
func BenchmarkBinarySize(b *testing.B) { lambdatest.ReportSize(b, "FullSyncFunction") }
