// The jwt-diagnostics command is the Lambda function behind POST
// /diagnostics/jwt: it says what is wrong with a token, for Clerk, for Supabase
// and in the database. It also answers an event that is the question itself, and
// serves a page where a function URL leads to it.
//
// Everything is built once per cold start and nothing is called before the first
// request needs it. Nothing has to be configured: what cannot be checked is
// skipped, and the report says so. What is configured wrongly is logged at start
// and answered 503. The token is never logged.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/apigateway"
	"clerksync/functions/internal/startup"
	"clerksync/shared/config"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/jwtdiag/endpoint"
)

const functionName = "jwt-diagnostics"

// version is set when the function is built for deployment.
var version = "dev"

func main() {
	handler, closeDB, err := newHandler(os.LookupEnv, os.Stdout)
	if err != nil {
		slog.Error("building the handler", "error", err)
		os.Exit(1)
	}
	lambda.StartWithOptions(handler, lambda.WithEnableSIGTERM(closeDB))
}

func newHandler(lookup config.Lookup, logs io.Writer) (lambda.Handler, func(), error) {
	f := startup.New(lookup, logs, startup.Options[config.Diagnostics]{
		Name: functionName, Version: version, Read: (*config.Source).Diagnostics, Checked: configured.Checked,
	})
	diagnoser := configured.New(configured.Options{Configure: f.Configure, Database: f.DB, Logger: f.Logger})
	answers, err := endpoint.New(endpoint.Options{
		Diagnose: diagnoser.Diagnose,
		Page: func(ctx context.Context) bool {
			current, err := f.Configure(ctx)
			return err == nil && current.Page
		},
		Logger:   f.Logger,
		Observer: metrics{f.Metrics},
	})
	return &handler{apigateway.New(answers).Bounded(endpoint.Path, endpoint.MaxBody)}, f.DB.Close, err
}
