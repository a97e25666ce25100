package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/config"
	"clerksync/shared/webhook"
)

// nowhere is a configuration with a database where nothing listens, and asked counts
// how often it is asked for, which each time begins with the secret's name.
func nowhere(asked *int) config.Lookup {
	return func(key string) (string, bool) {
		if key == config.SecretIDKey {
			*asked++
		}
		value, ok := map[string]string{
			"DATABASE_URL":                 "postgresql://clerksync_writer:none@127.0.0.1:1/postgres",
			"CLERK_WEBHOOK_SIGNING_SECRET": clerktest.Secret,
		}[key]
		return value, ok
	}
}

func TestHandler_AsksForTheConfigurationOnceADelivery(t *testing.T) {
	t.Parallel()
	var asked int
	handler, closeDB, err := newHandler(nowhere(&asked), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB()
	for range 2 {
		asked = 0
		event := clerktest.User("user_1").Event(clerk.UserCreated, clerktest.Epoch)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path, bytes.NewReader(event))
		maps.Copy(r.Header, clerktest.Sign(clerktest.Secret, "msg_1", time.Now(), event))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		// As far as the database, which is away.
		if w.Code != http.StatusServiceUnavailable || !bytes.Contains(w.Body.Bytes(), []byte(`"unavailable"`)) || asked != 1 {
			t.Errorf("%d %s, and the configuration was asked for %d times, want once", w.Code, w.Body, asked)
		}
	}
}
