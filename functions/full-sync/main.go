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
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"clerksync/functions/internal/database"
	"clerksync/functions/internal/function"
	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
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
	base := function.New(lookup, logs, functionName, version)
	configure := func(ctx context.Context) (config.Sync, error) {
		current, err := base.Source.Sync(ctx)
		base.Level.Set(current.LogLevel)
		return current, err
	}
	db := database.Open(database.Options{
		Name: functionName, MaxConns: maxConns, Lookup: lookup, Source: base.Source, Logger: base.Logger,
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
				SecretKey: current.SecretKey, URL: current.APIURL, Share: current.RateShare, Observe: logExchange(ctx, base.Logger),
			})
			return fullsync.Options{Clerk: backend, Store: store, Logger: base.Logger, InstanceID: current.InstanceID, InstanceOrigin: current.InstanceOrigin}, err
		},
		run:     fullsync.Run,
		refresh: base.Source.Refresh,
		again:   selfInvocation(lookup),
		logger:  base.Logger,
		metrics: metrics{base.Metrics},
	}, db.Close
}
