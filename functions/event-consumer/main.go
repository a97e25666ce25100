// The event-consumer command is the Lambda function behind the event queue: it
// hands what webhook-ingest has verified and queued to the sync rules in Postgres,
// a batch in one statement.
//
// Everything is built once per cold start and nothing is called before the first
// batch needs it. What is wrong with the configuration is logged at start, and
// fails every batch until it is mended; its messages stay in the queue.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/database"
	"clerksync/shared/config"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

const functionName = "event-consumer"

// version is set when the function is built for deployment.
var version = "dev"

func main() {
	handler, closeDB := newHandler(os.LookupEnv, os.Stdout)
	lambda.StartWithOptions(handler, lambda.WithEnableSIGTERM(closeDB))
}

func newHandler(lookup config.Lookup, logs io.Writer) (*handler, func()) {
	level := new(slog.LevelVar)
	logger := telemetry.NewLogger(logs, level).With("version", version)
	source := config.NewSource(lookup, config.SecretsManager(lookup), config.CheckDatabase(database.Check), config.OnStale(func(err error) {
		logger.Error("serving the earlier configuration", "error", err)
	}))
	configure := func(ctx context.Context) (config.Consumer, error) {
		current, err := source.Consumer(ctx)
		level.Set(current.LogLevel)
		return current, err
	}
	db := database.Open(database.Options{
		Name: functionName, Lookup: lookup, Source: source, Logger: logger,
		Configure: func(ctx context.Context) (config.Database, error) {
			current, err := configure(ctx)
			return current.Database, err
		},
	})
	return &handler{
		configure: configure,
		store:     mirror.New(db),
		logger:    logger,
		metrics:   metrics{telemetry.NewMetrics(logs, telemetry.FunctionName(lookup, functionName))},
	}, db.Close
}
