package main

import (
	"io"
	"testing"

	"clerksync/shared/config"
)

// nowhere is a configuration with a database where nothing listens, and asked counts
// how often it is asked for, which each time begins with the secret's name.
func nowhere(asked *int) config.Lookup {
	return func(key string) (string, bool) {
		if key == config.SecretIDKey {
			*asked++
		}
		value, ok := map[string]string{
			"DATABASE_URL":     "postgresql://clerksync_writer:none@127.0.0.1:1/postgres",
			"CLERK_SECRET_KEY": "sk_test_none", "CLERK_API_URL": "http://127.0.0.1:1",
		}[key]
		return value, ok
	}
}

func TestHandler_AsksForTheConfigurationOnceARun(t *testing.T) {
	t.Parallel()
	var asked int
	handler, closeDB := newHandler(nowhere(&asked), io.Discard)
	defer closeDB()
	for range 2 {
		asked = 0
		options, err := handler.prepare(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := options.Store.Status(t.Context()); err == nil {
				t.Fatal("something listens on port 1")
			}
		}
		if asked != 1 {
			t.Errorf("the configuration was asked for %d times, want once", asked)
		}
	}
}
