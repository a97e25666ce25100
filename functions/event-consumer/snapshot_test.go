package main

import (
	"io"
	"testing"

	"clerksync/shared/config"
	"clerksync/shared/testkit/lambdatest"
)

// nowhere is a configuration with a database where nothing listens, and asked counts
// how often it is asked for, which each time begins with the secret's name.
func nowhere(asked *int) config.Lookup {
	return func(key string) (string, bool) {
		if key == config.SecretIDKey {
			*asked++
		}
		value, ok := map[string]string{
			"DATABASE_URL": "postgresql://clerksync_writer:none@127.0.0.1:1/postgres",
		}[key]
		return value, ok
	}
}

func TestHandler_AsksForTheConfigurationOnceABatch(t *testing.T) {
	t.Parallel()
	var asked int
	handler, closeDB := newHandler(nowhere(&asked), io.Discard)
	defer closeDB()
	for range 2 {
		asked = 0
		answer, err := handler.Invoke(t.Context(), lambdatest.SampleEvent(t, "event-consumer.json"))
		// As far as the database, which is away.
		if err == nil || asked != 1 {
			t.Errorf("%s, %v, and the configuration was asked for %d times, want once", answer, err, asked)
		}
	}
}
