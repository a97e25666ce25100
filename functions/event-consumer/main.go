// The event-consumer command is the Lambda function behind the event queue: it
// hands what webhook-ingest has verified and queued to the sync rules in Postgres,
// a batch in one statement.
//
// Everything is built once per cold start and nothing is called before the first
// batch needs it. What is wrong with the configuration is logged at start, and
// fails every batch until it is mended; its messages stay in the queue.
package main

import (
	"io"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/startup"
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
	f := startup.New(lookup, logs, startup.Options[config.Consumer]{Name: functionName, Version: version, Read: (*config.Source).Consumer})
	return consumer.New(consumer.Options{
		Store: mirror.New(f.DB), Configure: f.Configure, Logger: f.Logger, Metrics: f.Metrics,
	}), f.DB.Close
}
