package main

import (
	"context"
	"log/slog"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/telemetry"
)

// logExchange logs every request to Clerk at the level debug.
func logExchange(ctx context.Context, logger *slog.Logger) func(clerk.Exchange) {
	return func(x clerk.Exchange) {
		logger.DebugContext(ctx, "clerk asked", "path", x.Path, "status", x.Status, "attempt", x.Attempt,
			"duration_ms", x.Duration.Milliseconds(), "bytes", x.Bytes, "problem", x.Err)
	}
}

// metrics turns the report of an invocation into CloudWatch metrics.
//
// Of every invocation: "runs" by state, "failures" by code, "requests" and
// "rate_limited" as far as this invocation made them, and the minutes since the
// last verified webhook, unless none ever came or the database cannot tell.
//
// Of a complete run, once and for the whole of it: what became of the objects of
// each kind, "duration", and "drift", but for the very first run, which finds
// everything missing and nothing wrong.
//
// Minutes alone do not tell a dead endpoint from a night without sign-ups. They
// do together with drift: something has changed and no webhook has said so.
// Where no webhook ever came, drift alone says it.
type metrics struct{ *telemetry.Metrics }

func (m metrics) observe(report fullsync.Report, r result) {
	m.Emit([]telemetry.Dimension{{Name: "state", Value: r.state}}, []telemetry.Metric{count("runs", 1)})
	if r.failure != "" {
		m.Emit([]telemetry.Dimension{{Name: "code", Value: r.failure}}, []telemetry.Metric{count("failures", 1)})
	}
	values := []telemetry.Metric{count("requests", report.Requests), count("rate_limited", report.RateLimited)}
	if report.LastEventAt != nil {
		// The database's clock may be ahead of this one.
		since := max(time.Since(*report.LastEventAt), 0)
		values = append(values, telemetry.Metric{Name: "minutes_since_webhook", Value: since.Minutes()})
	}
	if report.State == fullsync.Complete {
		values = append(values, telemetry.Metric{Name: "duration", Value: float64(report.DurationMS), Unit: telemetry.Milliseconds})
		if !report.Initial {
			values = append(values, count("drift", report.Drift))
		}
		m.observeObjects(report)
	}
	m.Emit(nil, values)
}

func (m metrics) observeObjects(report fullsync.Report) {
	for _, object := range clerk.Objects() {
		kind := report.Of(object.Kind)
		values := []telemetry.Metric{
			count("created", kind.Created), count("updated", kind.Updated), count("deleted", kind.Deleted),
			count("unchanged", kind.Unchanged), count("stale", kind.Stale),
		}
		if !report.Initial {
			values = append(values, count("drift", kind.Drift))
		}
		m.Emit([]telemetry.Dimension{{Name: "object", Value: string(object.Kind)}}, values)
	}
}

func count(name string, n int64) telemetry.Metric {
	return telemetry.Metric{Name: name, Value: float64(n), Unit: telemetry.Count}
}
