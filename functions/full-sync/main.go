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

	"clerksync/functions/internal/startup"
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
	f := startup.New(lookup, logs, startup.Options[config.Sync]{
		Name: functionName, Version: version, MaxConns: maxConns, Read: (*config.Source).Sync,
	})
	store := mirror.New(f.DB)
	return &handler{
		prepare: func(ctx context.Context) (fullsync.Options, error) {
			current, err := f.Configure(ctx)
			if err != nil {
				return fullsync.Options{}, err
			}
			// One a run: it counts the requests of the run, with the configuration of now.
			backend, err := clerk.NewBackend(clerk.BackendOptions{
				SecretKey: current.SecretKey, URL: current.APIURL, Share: current.RateShare, Observe: logExchange(ctx, f.Logger),
			})
			return fullsync.Options{Clerk: backend, Store: store, Logger: f.Logger, Version: version, InstanceID: current.InstanceID, InstanceOrigin: current.InstanceOrigin}, err
		},
		run:     fullsync.Run,
		refresh: f.Refresh,
		again:   selfInvocation(lookup),
		logger:  f.Logger,
		metrics: metrics{f.Metrics},
	}, f.DB.Close
}
