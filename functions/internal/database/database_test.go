package database_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"clerksync/functions/internal/database"
	"clerksync/shared/config"
	"clerksync/shared/supabase"
	"clerksync/shared/telemetry"
)

// open opens the database of an environment and returns what was logged so far.
func open(t *testing.T, environment map[string]string, fetch config.Fetch) (*supabase.DB, string) {
	t.Helper()
	lookup := func(key string) (string, bool) { value, ok := environment[key]; return value, ok }
	source := config.NewSource(lookup, fetch)
	var logs bytes.Buffer
	db := database.Open(database.Options{
		Name: "test", Lookup: lookup, Source: source, Logger: telemetry.NewLogger(&logs, nil),
		Configure: func(ctx context.Context) (config.Database, error) {
			current, err := source.Sync(ctx)
			return current.Database, err
		},
	})
	t.Cleanup(db.Close)
	return db, logs.String()
}

func noFetch(t *testing.T) config.Fetch {
	t.Helper()
	return func(_ context.Context, id string) (string, error) {
		t.Errorf("secret %q was fetched", id)
		return "", errors.New("not expected")
	}
}

func TestOpen_LogsEverythingThatIsWrongWithTheFunction(t *testing.T) {
	t.Parallel()
	db, logs := open(t, map[string]string{"CLERK_SECRET_KEY": "pk_live_oops", "SYNC_RATE_SHARE": "2"}, noFetch(t))
	for _, part := range []string{"DATABASE_URL", "CLERK_SECRET_KEY", "SYNC_RATE_SHARE", `"level":"ERROR"`} {
		if !strings.Contains(logs, part) {
			t.Errorf("the log lacks %s:\n%s", part, logs)
		}
	}
	if strings.Contains(logs, "pk_live_oops") {
		t.Errorf("the log quotes a value:\n%s", logs)
	}
	if err := db.QueryRow(t.Context(), "select 1").Scan(new(int)); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("a query = %v, want ErrInvalid", err)
	}
}

func TestOpen_SaysWhereItWillConnectAndDoesNot(t *testing.T) {
	t.Parallel()
	_, logs := open(t, map[string]string{
		// Nobody listens there.
		"DATABASE_URL": "postgresql://writer:hidden@127.0.0.1:1/app", "CLERK_SECRET_KEY": "sk_test_hidden",
	}, noFetch(t))
	if !strings.Contains(logs, `"msg":"configured"`) || !strings.Contains(logs, "127.0.0.1") || strings.Contains(logs, "hidden") {
		t.Errorf("the log is to name the host and no secret:\n%s", logs)
	}
}

func TestOpen_LeavesASecretToTheFirstQuery(t *testing.T) {
	t.Parallel()
	_, logs := open(t, map[string]string{config.SecretIDKey: "clerksync/prod"}, noFetch(t))
	if !strings.Contains(logs, "clerksync/prod") || strings.Contains(logs, `"level":"ERROR"`) {
		t.Errorf("the log is to name the secret and nothing wrong:\n%s", logs)
	}
}

func TestOpen_TakesNoDatabaseForAnAnswer(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	db := database.Open(database.Options{
		Name: "test", Lookup: func(string) (string, bool) { return "", false }, Logger: telemetry.NewLogger(&logs, nil),
		Source:    config.NewSource(func(string) (string, bool) { return "", false }, noFetch(t)),
		Configure: func(context.Context) (config.Database, error) { return config.Database{}, database.ErrNone },
	})
	t.Cleanup(db.Close)
	if logs.Len() > 0 {
		t.Errorf("something was logged:\n%s", logs.String())
	}
	if err := db.QueryRow(t.Context(), "select 1").Scan(new(int)); !errors.Is(err, database.ErrNone) {
		t.Errorf("a query = %v, want ErrNone", err)
	}
}
