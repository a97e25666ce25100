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
	"clerksync/functions/internal/startup"
	"clerksync/shared/config"
	"clerksync/shared/eventqueue"
	"clerksync/shared/mirror"
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
	f := startup.New(lookup, logs, startup.Options[config.Ingest]{Name: functionName, Version: version, Read: (*config.Source).Ingest})
	handler, err := webhook.New(webhook.Options{
		Store: eventqueue.NewSender(eventqueue.SenderOptions{
			Direct: mirror.New(f.DB), Lookup: lookup, Logger: f.Logger,
			QueueURL: func(ctx context.Context) (string, error) {
				current, err := f.Current(ctx)
				return current.QueueURL, err
			},
		}),
		Configure: func(ctx context.Context) (webhook.Configuration, error) {
			current, err := f.Configure(ctx)
			return webhook.Configuration{Secrets: current.SigningSecrets, InstanceID: current.InstanceID}, err
		},
		Refresh:  f.Refresh,
		Logger:   f.Logger,
		Observer: metrics{f.Metrics},
	})
	return handler, f.DB.Close, err
}
