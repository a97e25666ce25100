package lambdatest

import (
	"slices"
	"testing"
	"time"
)

// ReportColdStart reports the function's own part of a cold start on one core,
// from exec until it asks for an event, as the result of a benchmark: the median
// and the shortest of twenty starts an iteration.
func ReportColdStart(b *testing.B, binary string, environment map[string]string) {
	b.Helper()
	const starts = 20
	var ready []time.Duration
	for b.Loop() {
		for range starts {
			OnOneCore(b, func() {
				f := Start(b, binary, environment)
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
