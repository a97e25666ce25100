// The full-sync command is the Lambda function that EventBridge Scheduler calls
// every few hours: it reads the whole Clerk instance and makes the copy say the
// same.
//
// Everything is built once per cold start and nothing is called before the first
// event needs it. What is wrong with the configuration is logged at start, and
// fails each event until it is mended.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/database"
	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/telemetry"
)

const functionName = "full-sync"

// maxConns is enough to write pages as fast as Clerk's rate limit gives them, and
// to renew the lock meanwhile. Each takes a client's place in the pooler.
const maxConns = 4

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
	configure := func(ctx context.Context) (config.Sync, error) {
		current, err := source.Sync(ctx)
		level.Set(current.LogLevel)
		return current, err
	}
	db := database.Open(database.Options{
		Name: functionName, MaxConns: maxConns, Lookup: lookup, Source: source, Logger: logger,
		Configure: func(ctx context.Context) (config.Database, error) {
			current, err := configure(ctx)
			return current.Database, err
		},
	})
	store := mirror.New(db)

	return &handler{
		prepare: func(ctx context.Context) (fullsync.Options, error) {
			current, err := configure(ctx)
			if err != nil {
				return fullsync.Options{}, err
			}
			// One a run: it counts the requests of the run, with the configuration of now.
			backend, err := clerk.NewBackend(clerk.BackendOptions{
				SecretKey: current.SecretKey, URL: current.APIURL, Share: current.RateShare, Observe: logExchange(ctx, logger),
			})
			return fullsync.Options{Clerk: backend, Store: store, Logger: logger, InstanceID: current.InstanceID}, err
		},
		run:     fullsync.Run,
		refresh: source.Refresh,
		again:   selfInvocation(lookup),
		logger:  logger,
		metrics: metrics{telemetry.NewMetrics(logs, telemetry.FunctionName(lookup, functionName))},
	}, db.Close
}
