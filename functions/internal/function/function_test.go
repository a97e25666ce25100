package function_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"clerksync/functions/internal/function"
	"clerksync/shared/config"
)

func TestNew_LogsTheVersionFromTheConfiguredLevelOn(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	base := function.New(func(string) (string, bool) { return "", false }, &logs, "full-sync", "v1.2.3")
	base.Logger.Debug("before")
	base.Level.Set(slog.LevelDebug)
	base.Logger.Debug("after")
	if got := logs.String(); strings.Contains(got, "before") || !strings.Contains(got, `"msg":"after"`) || !strings.Contains(got, `"version":"v1.2.3"`) {
		t.Errorf("the log is to hold the second line alone, with the version:\n%s", got)
	}
}

// What a secret may not be replaced with either.
func TestNew_RefusesAConnectionStringThatNoFunctionCanUse(t *testing.T) {
	t.Parallel()
	environment := map[string]string{
		"CLERK_SECRET_KEY": "sk_test_hidden",
		// Session mode.
		"DATABASE_URL": "postgresql://clerksync_login.abcdefghijklmnopqrst:hidden@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
	}
	var logs bytes.Buffer
	base := function.New(func(key string) (string, bool) { value, ok := environment[key]; return value, ok }, &logs, "full-sync", "v1.2.3")
	if _, err := base.Source.Sync(t.Context()); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "6543") {
		t.Errorf("Sync = %v, want ErrInvalid with the port to use", err)
	}
}
