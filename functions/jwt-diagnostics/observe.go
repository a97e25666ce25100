package main

import (
	"context"
	"time"

	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/telemetry"
)

// metrics turns what the handler reports into CloudWatch metrics: "diagnoses" by
// the two verdicts together, "tokens" by kind, "failures" by code, "pages", and
// the duration of a diagnosis. Findings are left to the log: those about tables
// would be a series each.
type metrics struct{ *telemetry.Metrics }

func (m metrics) Observe(_ context.Context, o endpoint.Observation) {
	one := func(name string) []telemetry.Metric {
		return []telemetry.Metric{{Name: name, Value: 1, Unit: telemetry.Count}}
	}
	switch {
	case o.Code != "":
		m.Emit([]telemetry.Dimension{{Name: "code", Value: o.Code}}, one("failures"))
	case o.Asset == "page":
		m.Emit(nil, one("pages"))
	case o.Asset != "":
	default:
		m.Emit([]telemetry.Dimension{{Name: "clerk", Value: string(o.Clerk)}, {Name: "supabase", Value: string(o.Supabase)}}, one("diagnoses"))
		m.Emit([]telemetry.Dimension{{Name: "kind", Value: string(o.Kind)}}, one("tokens"))
		m.Emit(nil, []telemetry.Metric{{Name: "duration", Value: float64(o.Duration) / float64(time.Millisecond), Unit: telemetry.Milliseconds}})
	}
}
