package config_test

import (
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/config"
	"clerksync/shared/secret"
)

// Whoever applies what was verified needs no secret of Clerk's, and no queue: Lambda hands it the messages.
func TestConsumer_ReadsWhatItNeedsAlone(t *testing.T) {
	t.Parallel()
	got, err := config.NewSource(env(
		"CLERK_WEBHOOK_SIGNING_SECRET", "nonsense", "CLERK_SECRET_KEY", "nonsense", "EVENT_QUEUE_URL", "nonsense",
		"CLERK_INSTANCE_ID", " ins_2abcDEF\n", "SUPABASE_PROJECT_REF", "abcdefghijklmnopqrst", "LOG_LEVEL", "debug",
	), noFetch(t)).Consumer(t.Context())
	if err != nil {
		t.Fatalf("Consumer: %v", err)
	}
	want := config.Consumer{
		Database:   config.Database{URL: secret.New(dsn), ProjectRef: "abcdefghijklmnopqrst"},
		InstanceID: "ins_2abcDEF",
		LogLevel:   slog.LevelDebug,
	}
	if diff := cmp.Diff(want, got, compareSecrets); diff != "" {
		t.Errorf("Consumer (-want +got):\n%s", diff)
	}
}

func TestConsumer_ReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := config.NewSource(env("DATABASE_URL", "", "CLERK_INSTANCE_ID", "nope", "LOG_LEVEL", "loud"), noFetch(t)).Consumer(t.Context())
	checkText(t, err, "DATABASE_URL is not set", "CLERK_INSTANCE_ID (environment)", "LOG_LEVEL")
}

func TestConsumer_FollowsTheSecret(t *testing.T) {
	t.Parallel()
	source := config.NewSource(env("CLERKSYNC_SECRET_ID", "clerksync/prod", "DATABASE_URL", ""), fixed(`{"DATABASE_URL": "`+dsn+`"}`))
	got, err := source.Consumer(t.Context())
	if err != nil || got.Database.URL != secret.New(dsn) {
		t.Errorf("Consumer = %v, %v, want the secret's database", got, err)
	}
}
