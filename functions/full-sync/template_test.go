package main_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"clerksync/shared/fullsync"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/testdb"
)

// The sample environment lacks nothing but what only its owner has, and says so.
func TestBootstrap_StartsFromTheSampleEnvironment(t *testing.T) {
	t.Parallel()
	environment := lambdatest.SampleEnvironment(t, "FullSyncFunction")
	f := lambdatest.Start(t, binary(t), environment)
	_, err := invoke(t, f, scheduled(t), enough)
	failure, ok := errors.AsType[*lambdatest.FunctionError](err)
	if !ok || !strings.Contains(string(failure.Payload), "not_configured") || !strings.Contains(f.Logs(), "CLERK_SECRET_KEY is not set") || !strings.Contains(f.Logs(), "DATABASE_URL: still has the placeholder") {
		t.Errorf("as it is: %v, want secret key and password to be asked for\n%s", err, f.Logs())
	}

	instance, db := newDouble(t, nil), testdb.New(t)
	maps.Copy(environment, instance.environment(db.Writer()))
	environment["SUPABASE_PROJECT_REF"] = ""
	f = lambdatest.Start(t, binary(t), environment)
	if report, err := invoke(t, f, scheduled(t), enough); err != nil || report.State != fullsync.Complete {
		t.Errorf("filled in: %+v, %v, want a complete run\n%.8000s", report, err, f.Logs())
	}
}
