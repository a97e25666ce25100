package config_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"clerksync/shared/config"
)

func TestSecretsManager_RotationIsSeenAfterRefresh(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	m.create(t, text(`{"CLERK_WEBHOOK_SIGNING_SECRET": "`+signing+`"}`))
	now := time.Now()
	s := config.NewSource(lookup(m.vars), config.SecretsManager(lookup(m.vars)), config.WithClock(func() time.Time { return now }))

	cfg, err := s.Ingest(t.Context())
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	if n := len(cfg.SigningSecrets); n != 1 || cfg.SigningSecrets[0].Reveal() != signing {
		t.Fatalf("%d signing secrets before the rotation, want the one", n)
	}

	m.put(t, `{"CLERK_WEBHOOK_SIGNING_SECRET": "`+signing+","+signing2+`"}`)
	now = now.Add(time.Minute)
	if changed, err := s.Refresh(t.Context()); !changed || err != nil {
		t.Fatalf("Refresh = %t, %v, want true, nil", changed, err)
	}
	cfg, err = s.Ingest(t.Context())
	if err != nil {
		t.Fatalf("Ingest: %v", err)
	}
	if n := len(cfg.SigningSecrets); n != 2 || cfg.SigningSecrets[1].Reveal() != signing2 {
		t.Errorf("%d signing secrets after the rotation, want both", n)
	}
}

func TestSecretsManager_TakesTheRegionFromAnARN(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	m.vars["CLERKSYNC_SECRET_ID"] = m.create(t, text(`{"LOG_LEVEL": "debug"}`))
	m.vars["AWS_REGION"] = "us-east-1"
	if _, err := config.NewSource(lookup(m.vars), config.SecretsManager(lookup(m.vars))).Ingest(t.Context()); err != nil {
		t.Errorf("Ingest of a secret in another region: %v", err)
	}
}

func TestSecretsManager_ExplainsWhatIsStored(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		setUp func(*testing.T, *manager)
		want  error
		text  string
	}{
		{"no such secret", func(*testing.T, *manager) {}, config.ErrSecretNotFound, "region eu-central-1: check CLERKSYNC_SECRET_ID"},
		{"another region", func(t *testing.T, m *manager) {
			t.Helper()
			m.create(t, text(`{}`))
			m.vars["AWS_REGION"] = "us-east-1"
		}, config.ErrSecretNotFound, "region us-east-1"},
		{"marked for deletion", func(t *testing.T, m *manager) {
			t.Helper()
			arn := m.create(t, text(`{}`))
			if _, err := m.client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: &arn}); err != nil {
				t.Fatalf("deleting: %v", err)
			}
		}, config.ErrSecretNotFound, "restore-secret"},
		{"created without a value", func(t *testing.T, m *manager) {
			t.Helper()
			m.create(t, secretsmanager.CreateSecretInput{})
		}, config.ErrSecretNotFound, "value"},
		{"binary", func(t *testing.T, m *manager) {
			t.Helper()
			m.create(t, secretsmanager.CreateSecretInput{SecretBinary: []byte("{}")})
		}, config.ErrNotText, "JSON object"},
		{"malformed JSON", func(t *testing.T, m *manager) {
			t.Helper()
			m.create(t, text(`{"DATABASE_URL": "`+dsn))
		}, config.ErrInvalid, "is not JSON after byte"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			tt.setUp(t, m)
			_, err := config.NewSource(lookup(m.vars), config.SecretsManager(lookup(m.vars))).Ingest(t.Context())
			if !errors.Is(err, tt.want) {
				t.Fatalf("Ingest = %v, want %v", err, tt.want)
			}
			checkText(t, err, tt.text, m.id)
		})
	}
}

// What moto does not do: the answers of AWS that need roles, keys and load. Shapes and codes are those of the service's
// JSON protocol.
func TestSecretsManager_ExplainsRefusals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, code, message string
		want                error
		text                string
	}{
		{"no permission", "AccessDeniedException", "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: secretsmanager:GetSecretValue", config.ErrAccessDenied, "secretsmanager:GetSecretValue"},
		{"no permission on the key", "AccessDeniedException", "Access to KMS is not allowed", config.ErrDecryption, "kms:Decrypt"},
		{"key disabled", "DecryptionFailure", "Secrets Manager can't decrypt the protected secret text", config.ErrDecryption, "enabled"},
		{"too many calls", "ThrottlingException", "Rate exceeded", config.ErrThrottled, "tried again"},
		{"expired credentials", "ExpiredTokenException", "The security token included in the request is expired", config.ErrNoCredentials, "ExpiredTokenException"},
		{"unknown credentials", "UnrecognizedClientException", "The security token included in the request is invalid.", config.ErrNoCredentials, "role"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/x-amz-json-1.1")
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"__type": "`+tt.code+`", "message": "`+tt.message+`"}`)
			}))
			defer aws.Close()
			_, err := config.SecretsManager(lookup(static(aws.URL)))(t.Context(), "clerksync/prod")
			if !errors.Is(err, tt.want) {
				t.Fatalf("fetch = %v, want %v", err, tt.want)
			}
			checkText(t, err, tt.text, `"clerksync/prod"`)
		})
	}
}

func TestSecretsManager_SaysThatNobodyAnswered(t *testing.T) {
	t.Parallel()
	// Takes connections and stays silent, like a network without a way to AWS.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("limit of the test"))
	defer cancel()
	_, err = config.SecretsManager(lookup(static("http://"+l.Addr().String())))(ctx, "clerksync/prod")
	if !errors.Is(err, config.ErrTimeout) {
		t.Fatalf("fetch = %v, want ErrTimeout", err)
	}
	checkText(t, err, "limit of the test", "endpoint for Secrets Manager")
}

func TestSecretsManager_WantsARegion(t *testing.T) {
	// Not parallel: the SDK looks into the process's environment and files for what the lookup does not give.
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "/dev/null")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
	_, err := config.SecretsManager(lookup(nil))(t.Context(), "clerksync/prod")
	if !errors.Is(err, config.ErrNoRegion) || !strings.Contains(err.Error(), "AWS_REGION") {
		t.Errorf("fetch = %v, want ErrNoRegion that names AWS_REGION", err)
	}
}

func static(endpoint string) map[string]string {
	return map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": endpoint,
	}
}
