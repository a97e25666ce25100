package startup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"clerksync/functions/internal/startup"
	"clerksync/shared/config"
)

// environment is where settings are looked up. It counts how often the
// configuration was asked for, which each time begins with the secret's name.
type environment struct {
	settings map[string]string
	asked    int
}

func (e *environment) lookup(key string) (string, bool) {
	if key == config.SecretIDKey {
		e.asked++
	}
	value, ok := e.settings[key]
	return value, ok
}

// begin builds the full sync's start and returns what was logged so far.
func begin(t *testing.T, settings map[string]string) (*startup.Function[config.Sync], *environment, *bytes.Buffer) {
	t.Helper()
	var logs bytes.Buffer
	e := &environment{settings: settings}
	f := startup.New(e.lookup, &logs, startup.Options[config.Sync]{Name: "full-sync", Version: "v1.2.3", Read: (*config.Source).Sync})
	t.Cleanup(f.DB.Close)
	return f, e, &logs
}

// nowhere is a complete configuration. Nothing listens there.
func nowhere() map[string]string {
	return map[string]string{"DATABASE_URL": "postgresql://writer:hidden@127.0.0.1:1/app", "CLERK_SECRET_KEY": "sk_test_hidden"}
}

func TestNew_LogsEverythingThatIsWrongWithTheFunction(t *testing.T) {
	t.Parallel()
	f, _, logs := begin(t, map[string]string{"CLERK_SECRET_KEY": "pk_live_oops", "SYNC_RATE_SHARE": "2"})
	for _, part := range []string{"DATABASE_URL", "CLERK_SECRET_KEY", "SYNC_RATE_SHARE", `"level":"ERROR"`} {
		if !strings.Contains(logs.String(), part) {
			t.Errorf("the log lacks %s:\n%s", part, logs)
		}
	}
	if strings.Contains(logs.String(), "pk_live_oops") {
		t.Errorf("the log quotes a value:\n%s", logs)
	}
	if err := f.DB.QueryRow(t.Context(), "select 1").Scan(new(int)); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("a query = %v, want ErrInvalid", err)
	}
}

func TestNew_SaysWhereItWillConnectAndDoesNot(t *testing.T) {
	t.Parallel()
	_, _, logs := begin(t, nowhere())
	if text := logs.String(); !strings.Contains(text, `"msg":"configured"`) || !strings.Contains(text, "127.0.0.1") || strings.Contains(text, "hidden") {
		t.Errorf("the log is to name the host and no secret:\n%s", text)
	}
}

func TestNew_LeavesASecretToTheFirstEvent(t *testing.T) {
	t.Parallel()
	// Where Secrets Manager is said to be, nothing answers.
	_, _, logs := begin(t, map[string]string{config.SecretIDKey: "clerksync/prod", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "eu-west-1"})
	if text := logs.String(); !strings.Contains(text, "clerksync/prod") || strings.Contains(text, `"level":"ERROR"`) {
		t.Errorf("the log is to name the secret and nothing wrong:\n%s", text)
	}
}

func TestNew_TakesNoDatabaseForAnAnswer(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	f := startup.New(func(string) (string, bool) { return "", false }, &logs, startup.Options[config.Diagnostics]{
		Name: "jwt-diagnostics", Version: "v1.2.3", Read: (*config.Source).Diagnostics,
	})
	t.Cleanup(f.DB.Close)
	if logs.Len() > 0 {
		t.Errorf("something was logged:\n%s", logs.String())
	}
	if err := f.DB.QueryRow(t.Context(), "select 1").Scan(new(int)); !errors.Is(err, startup.ErrNoDatabase) {
		t.Errorf("a query = %v, want ErrNoDatabase", err)
	}
}

func TestNew_LogsTheVersionFromTheConfiguredLevelOn(t *testing.T) {
	t.Parallel()
	settings := nowhere()
	f, _, logs := begin(t, settings)
	f.Logger.Debug("before")
	if text := logs.String(); strings.Contains(text, "before") || !strings.Contains(text, `"version":"v1.2.3"`) {
		t.Errorf("at the level info the log is %s", text)
	}
	settings["LOG_LEVEL"] = slog.LevelDebug.String()
	f, _, logs = begin(t, settings)
	f.Logger.Debug("after")
	if text := logs.String(); !strings.Contains(text, `"msg":"after"`) {
		t.Errorf("at the level debug the log is %s", text)
	}
}

// What a secret may not be replaced with either.
func TestNew_RefusesAConnectionStringThatNoFunctionCanUse(t *testing.T) {
	t.Parallel()
	f, _, _ := begin(t, map[string]string{
		"CLERK_SECRET_KEY": "sk_test_hidden",
		// Session mode.
		"DATABASE_URL": "postgresql://clerksync_login.abcdefghijklmnopqrst:hidden@aws-0-eu-central-1.pooler.supabase.com:5432/postgres",
	})
	if _, err := f.Configure(t.Context()); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "6543") {
		t.Errorf("Configure = %v, want ErrInvalid with the port to use", err)
	}
}

func TestNew_ChecksWhatTheFunctionKnowsBetter(t *testing.T) {
	t.Parallel()
	wrong := errors.New("the key is cut off")
	var logs bytes.Buffer
	f := startup.New(func(string) (string, bool) { return "", false }, &logs, startup.Options[config.Diagnostics]{
		Name: "jwt-diagnostics", Version: "v1.2.3", Read: (*config.Source).Diagnostics,
		Checked: func(read func(context.Context) (config.Diagnostics, error)) func(context.Context) (config.Diagnostics, error) {
			return func(ctx context.Context) (config.Diagnostics, error) {
				current, err := read(ctx)
				return current, errors.Join(err, wrong)
			}
		},
	})
	t.Cleanup(f.DB.Close)
	if _, err := f.Configure(t.Context()); !errors.Is(err, wrong) || !strings.Contains(logs.String(), wrong.Error()) {
		t.Errorf("Configure = %v, want %v, and in the log:\n%s", err, wrong, logs.String())
	}
}

// What a request does after its first question goes by the answer to that.
func TestFunction_AsksForTheConfigurationOnceARequest(t *testing.T) {
	t.Parallel()
	f, e, _ := begin(t, nowhere())
	for range 2 {
		e.asked = 0
		if _, err := f.Configure(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := f.DB.QueryRow(t.Context(), "select 1").Scan(new(int)); err == nil {
				t.Fatal("something listens on port 1")
			}
		}
		if current, err := f.Current(t.Context()); err != nil || current.SecretKey.Reveal() != "sk_test_hidden" {
			t.Errorf("Current = %+v, %v", current, err)
		}
		if e.asked != 1 {
			t.Errorf("the configuration was asked for %d times, want once", e.asked)
		}
	}
}

// A request that was refused with what it began with goes on with what is found then.
func TestFunction_GoesOnWithWhatARefreshFinds(t *testing.T) {
	t.Parallel()
	f, e, _ := begin(t, nowhere())
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = io.WriteString(w, `{"SecretString": "{\"CLERK_SECRET_KEY\": \"sk_test_replacement\"}"}`)
	}))
	t.Cleanup(aws.Close)
	if changed, err := f.Refresh(t.Context()); changed || err != nil {
		t.Errorf("Refresh without a secret = %t, %v", changed, err)
	}
	maps.Copy(e.settings, map[string]string{
		config.SecretIDKey: "clerksync/prod", "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.URL, "AWS_REGION": "eu-west-1",
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example",
	})
	if current, err := f.Current(t.Context()); err != nil || current.SecretKey.Reveal() != "sk_test_hidden" {
		t.Errorf("before the refresh: %v, %v, want what the request began with", current.SecretKey.Reveal(), err)
	}
	if changed, err := f.Refresh(t.Context()); !changed || err != nil {
		t.Errorf("Refresh = %t, %v, want a change", changed, err)
	}
	if current, err := f.Current(t.Context()); err != nil || current.SecretKey.Reveal() != "sk_test_replacement" {
		t.Errorf("after the refresh: %v, %v, want what it found", current.SecretKey.Reveal(), err)
	}
}
