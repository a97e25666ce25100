package main_test

import (
	"testing"

	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/testdb"
)

// The sample environment is enough, with a database in it.
func TestBootstrap_StartsFromTheSampleEnvironment(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	environment := lambdatest.SampleEnvironment(t, "EventConsumerFunction")
	environment["DATABASE_URL"], environment["SUPABASE_PROJECT_REF"] = db.Writer(), ""
	f := lambdatest.Start(t, eventConsumer.binary(t), environment)
	if got, err := f.Invoke(t.Context(), lambdatest.SampleEvent(t, "event-consumer.json")); err != nil || string(got) != `{"batchItemFailures":[]}` {
		t.Errorf("answer = %s, %v, want no failures\n%s", got, err, f.Logs())
	}
}
