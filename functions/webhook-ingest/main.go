// The webhook-ingest command is the Lambda function behind POST
// /webhooks/clerk/<segment>, where the stack chooses the segment:
// it verifies what Clerk sends and hands it to the sync rules in Postgres, or to a
// queue where one is configured, behind which event-consumer does that.
//
// Everything is built once per cold start and nothing is called before the first
// request needs it. What is wrong with the configuration is logged at start and
// answered 503, so that Svix delivers again once it is mended.
package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/apigateway"
	"clerksync/functions/internal/database"
	"clerksync/functions/internal/function"
	"clerksync/shared/config"
	"clerksync/shared/eventqueue"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/webhook"
)

const functionName = "webhook-ingest"

// version is set when the function is built for deployment.
var version = "dev"

func main() {
	handler, closeDB, err := newHandler(os.LookupEnv, os.Stdout)
	if err != nil {
		slog.Error("building the handler", "error", err)
		os.Exit(1)
	}
	lambda.StartWithOptions(apigateway.New(handler).Bounded(webhook.Path, webhook.DefaultMaxBody), lambda.WithEnableSIGTERM(closeDB))
}

func newHandler(lookup config.Lookup, logs io.Writer) (http.Handler, func(), error) {
	base := function.New(lookup, logs, functionName, version)
	ingest := func(ctx context.Context) (config.Ingest, error) {
		current, err := base.Source.Ingest(ctx)
		base.Level.Set(current.LogLevel)
		return current, err
	}
	db := database.Open(database.Options{
		Name: functionName, Lookup: lookup, Source: base.Source, Logger: base.Logger,
		Configure: func(ctx context.Context) (config.Database, error) {
			current, err := ingest(ctx)
			return current.Database, err
		},
	})

	handler, err := webhook.New(webhook.Options{
		Store: eventqueue.NewSender(eventqueue.SenderOptions{
			Direct: mirror.New(db), Lookup: lookup, Logger: base.Logger,
			QueueURL: func(ctx context.Context) (string, error) {
				current, err := ingest(ctx)
				return current.QueueURL, err
			},
		}),
		Secrets: func(ctx context.Context) ([]secret.Value, error) {
			current, err := ingest(ctx)
			return current.SigningSecrets, err
		},
		InstanceID: func(ctx context.Context) (string, error) {
			current, err := ingest(ctx)
			return current.InstanceID, err
		},
		Refresh:  base.Source.Refresh,
		Logger:   base.Logger,
		Observer: metrics{base.Metrics},
	})
	return handler, db.Close, err
}
