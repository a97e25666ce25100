// Package function builds what every Lambda function of the product begins with.
//
//	func newHandler(lookup config.Lookup, logs io.Writer) (*handler, func()) {
//		base := function.New(lookup, logs, functionName, version)
//		configure := func(ctx context.Context) (config.Sync, error) {
//			current, err := base.Source.Sync(ctx)
//			base.Level.Set(current.LogLevel)
//			return current, err
//		}
//		…
//	}
//
// Nothing is read and nothing called before the Source is asked.
package function

import (
	"io"
	"log/slog"

	"clerksync/functions/internal/database"
	"clerksync/shared/config"
	"clerksync/shared/telemetry"
)

// Base is what a function begins with. Call New.
type Base struct {
	// Source refuses a secret with a connection string that no function can use,
	// and logs when it has to serve the configuration from before.
	Source *config.Source
	// Level is the Logger's: info until it is set to what is configured.
	Level *slog.LevelVar
	// Logger writes the version with each line.
	Logger *slog.Logger
	// Metrics are under the name that the function is deployed as, and outside of
	// Lambda under its own.
	Metrics *telemetry.Metrics
}

// New builds it for the function with this name. What it logs and measures goes to
// logs, a line each, which in Lambda is the standard output.
func New(lookup config.Lookup, logs io.Writer, name, version string) Base {
	level := new(slog.LevelVar)
	logger := telemetry.NewLogger(logs, level).With("version", version)
	return Base{
		Source: config.NewSource(lookup, config.SecretsManager(lookup), config.CheckDatabase(database.Check), config.OnStale(func(err error) {
			logger.Error("serving the earlier configuration", "error", err)
		})),
		Level:   level,
		Logger:  logger,
		Metrics: telemetry.NewMetrics(logs, telemetry.FunctionName(lookup, name)),
	}
}
