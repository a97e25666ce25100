package main

import (
	"context"
	"log/slog"
	"time"

	"clerksync/shared/config"
	"clerksync/shared/supabase"
	"clerksync/shared/telemetry"
	"clerksync/shared/webhook"
)

// startLimit bounds the check of the configuration at start, which reads the
// environment and calls nothing.
const startLimit = time.Second

// checkAtStart logs everything that is wrong with the configuration, or what the
// function works with. With a secret named that has to wait for the first request.
func checkAtStart(logger *slog.Logger, lookup config.Lookup, connect func(context.Context) (*supabase.Config, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if id, ok := lookup(config.SecretIDKey); ok && id != "" {
		logger.InfoContext(ctx, "started", "secret_id", id)
		return
	}
	if _, err := connect(ctx); err != nil {
		logger.ErrorContext(ctx, "cannot serve until the configuration is mended", "error", err)
	}
}

// report logs a configuration that has come into use, and what should be
// otherwise with it.
func report(logger *slog.Logger) func(*supabase.Config) {
	return func(c *supabase.Config) {
		logger.Info("configured", "database", c)
		for _, warning := range c.Warnings {
			logger.Warn("configuration", "warning", warning)
		}
	}
}

// metrics turns what the handler reports into CloudWatch metrics: deliveries by
// outcome, failures by code, and how far the copy is behind Clerk.
type metrics struct{ *telemetry.Metrics }

func (m metrics) Observe(_ context.Context, o webhook.Observation) {
	values := []telemetry.Metric{{Name: "duration", Value: float64(o.Duration) / float64(time.Millisecond), Unit: telemetry.Milliseconds}}
	if o.Outcome == "" {
		m.Emit([]telemetry.Dimension{{Name: "code", Value: o.Code}}, []telemetry.Metric{{Name: "failures", Value: 1, Unit: telemetry.Count}})
		m.Emit(nil, values)
		return
	}
	m.Emit([]telemetry.Dimension{{Name: "outcome", Value: string(o.Outcome)}}, []telemetry.Metric{{Name: "events", Value: 1, Unit: telemetry.Count}})
	if o.Lag != 0 {
		// From Clerk's own timestamp to the commit, which the answer follows.
		lag := o.Lag + o.Duration
		values = append(values, telemetry.Metric{Name: "lag", Value: float64(lag) / float64(time.Millisecond), Unit: telemetry.Milliseconds})
	}
	m.Emit(nil, values)
}
