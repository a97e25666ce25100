// Package telemetry writes what the functions say about themselves: structured log lines and CloudWatch metrics, both
// as one JSON object a line, which is what Lambda's log stream wants.
//
//	logger := telemetry.NewLogger(os.Stdout, slog.LevelInfo)
//	metrics := telemetry.NewMetrics(os.Stdout, "webhook-ingest")
//
//	ctx = telemetry.With(ctx, slog.String("svix_id", id))
//	logger.InfoContext(ctx, "event handled", "outcome", "applied")
//	metrics.Emit(
//		[]telemetry.Dimension{{Name: "outcome", Value: "applied"}},
//		[]telemetry.Metric{{Name: "events", Value: 1, Unit: telemetry.Count}},
//	)
//
// Log ids, counts, codes and durations; never payloads, emails, tokens or connection strings. Values of type
// secret.Value mask themselves.
package telemetry
