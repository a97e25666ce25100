package consumer

import (
	"time"

	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

// metrics turns a batch into CloudWatch metrics: events by outcome, failures by
// code, the size of the batch and how long it took, and how far the copy was
// behind Clerk with the oldest of its events.
type metrics struct{ *telemetry.Metrics }

func (m metrics) failure(code string) {
	m.Emit([]telemetry.Dimension{{Name: "code", Value: code}}, []telemetry.Metric{{Name: "failures", Value: 1, Unit: telemetry.Count}})
}

func (m metrics) observe(items []*item, size int, took time.Duration) {
	outcomes := map[mirror.Outcome]int{}
	var lag time.Duration
	var known bool
	for _, i := range items {
		if !i.decided() {
			continue
		}
		outcomes[i.result.Outcome]++
		// A duplicate says nothing about when the copy was written.
		if behind, ok := i.lag(); ok && i.result.Outcome != mirror.Duplicate && (!known || behind > lag) {
			lag, known = behind, true
		}
	}
	for outcome, n := range outcomes {
		m.Emit([]telemetry.Dimension{{Name: "outcome", Value: string(outcome)}}, []telemetry.Metric{{Name: "events", Value: float64(n), Unit: telemetry.Count}})
	}
	values := []telemetry.Metric{
		{Name: "batch", Value: float64(size), Unit: telemetry.Count},
		milliseconds("duration", took),
	}
	if known {
		values = append(values, milliseconds("lag", lag))
	}
	m.Emit(nil, values)
}

func milliseconds(name string, d time.Duration) telemetry.Metric {
	return telemetry.Metric{Name: name, Value: float64(d) / float64(time.Millisecond), Unit: telemetry.Milliseconds}
}
