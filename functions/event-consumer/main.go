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
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/database"
	"clerksync/functions/internal/function"
	"clerksync/shared/config"
	"clerksync/shared/eventqueue/consumer"
	"clerksync/shared/mirror"
)

const functionName = "event-consumer"

// version is set when the function is built for deployment.
var version = "dev"

func main() {
	handler, closeDB := newHandler(os.LookupEnv, os.Stdout)
	lambda.StartWithOptions(handler, lambda.WithEnableSIGTERM(closeDB))
}

func newHandler(lookup config.Lookup, logs io.Writer) (*consumer.Handler, func()) {
	base := function.New(lookup, logs, functionName, version)
	configure := func(ctx context.Context) (config.Consumer, error) {
		current, err := base.Source.Consumer(ctx)
		base.Level.Set(current.LogLevel)
		return current, err
	}
	db := database.Open(database.Options{
		Name: functionName, Lookup: lookup, Source: base.Source, Logger: base.Logger,
		Configure: func(ctx context.Context) (config.Database, error) {
			current, err := configure(ctx)
			return current.Database, err
		},
	})
	return consumer.New(consumer.Options{
		Store: mirror.New(db), Configure: configure, Logger: base.Logger, Metrics: base.Metrics,
	}), db.Close
}
