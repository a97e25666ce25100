package main

import (
	"context"
	"time"

	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
	"clerksync/shared/webhook"
)

// metrics turns what the handler reports into CloudWatch metrics: deliveries by
// outcome, failures by code, that a message was authentic, and how far the copy is
// behind Clerk, where it was written at once.
type metrics struct{ *telemetry.Metrics }

func (m metrics) Observe(_ context.Context, o webhook.Observation) {
	values := []telemetry.Metric{{Name: "duration", Value: float64(o.Duration) / float64(time.Millisecond), Unit: telemetry.Milliseconds}}
	if o.Verified {
		values = append(values, telemetry.Metric{Name: "verified", Value: 1, Unit: telemetry.Count})
	}
	if o.Outcome == "" {
		m.Emit([]telemetry.Dimension{{Name: "code", Value: o.Code}}, []telemetry.Metric{{Name: "failures", Value: 1, Unit: telemetry.Count}})
		m.Emit(nil, values)
		return
	}
	m.Emit([]telemetry.Dimension{{Name: "outcome", Value: string(o.Outcome)}}, []telemetry.Metric{{Name: "events", Value: 1, Unit: telemetry.Count}})
	if o.Lag != 0 && o.Outcome != mirror.Queued {
		// From Clerk's own timestamp to the commit, which the answer follows.
		lag := o.Lag + o.Duration
		values = append(values, telemetry.Metric{Name: "lag", Value: float64(lag) / float64(time.Millisecond), Unit: telemetry.Milliseconds})
	}
	m.Emit(nil, values)
}
