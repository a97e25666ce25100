package main

import (
	"bytes"
	"testing"

	"clerksync/shared/config"
	"clerksync/shared/testkit/lambdatest"
)

// nowhere is a configuration with a database where nothing listens, and asked counts
// how often it is asked for, which each time begins with the secret's name.
func nowhere(publicKey string, asked *int) config.Lookup {
	return func(key string) (string, bool) {
		if key == config.SecretIDKey {
			*asked++
		}
		value, ok := map[string]string{
			"DIAGNOSTICS_DATABASE_URL": "postgresql://clerksync_diagnostics:none@127.0.0.1:1/postgres",
			"CLERK_ISSUER":             "https://clerk.example.com", "CLERK_JWT_KEY": publicKey,
		}[key]
		return value, ok
	}
}

func TestHandler_AsksForTheConfigurationOnceARequest(t *testing.T) {
	t.Parallel()
	var asked int
	var logs bytes.Buffer
	handler, closeDB, err := newHandler(nowhere(lambdatest.SampleEnvironment(t, "JWTDiagnosticsFunction")["CLERK_JWT_KEY"], &asked), &logs)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB()
	for range 2 {
		asked = 0
		answer, err := handler.Invoke(t.Context(), lambdatest.SampleEvent(t, "jwt-diagnostics-plain.json"))
		// The database is not looked at for a token that expired; that it goes by the
		// same snapshot is tested where it is opened.
		if err != nil || !bytes.Contains(answer, []byte(`"claim.exp"`)) || asked != 1 {
			t.Errorf("%s, %v, and the configuration was asked for %d times, want once\n%s", answer, err, asked, logs.String())
		}
	}
}
