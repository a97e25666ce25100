package config_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
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
		}, config.ErrSecretEmpty, "put-secret-value"},
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

// clocked answers as Secrets Manager does whose clock is ahead of this machine's by some time: signatures are good for
// five minutes before and after, and the Date header says what time it is there.
func clocked(t *testing.T, ahead time.Duration, dated bool) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		now := time.Now().Add(ahead).UTC()
		const form = "20060102T150405Z"
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header()["Date"] = nil
		if dated {
			w.Header().Set("Date", now.Format(http.TimeFormat))
		}
		signed, err := time.Parse(form, r.Header.Get("X-Amz-Date"))
		refusal := ""
		switch {
		case err != nil:
			t.Errorf("X-Amz-Date: %v", err)
		case signed.Before(now.Add(-5 * time.Minute)):
			refusal = fmt.Sprintf("Signature expired: %s is now earlier than %s (%s - 5 min.)", signed.Format(form), now.Add(-5*time.Minute).Format(form), now.Format(form))
		case signed.After(now.Add(5 * time.Minute)):
			refusal = fmt.Sprintf("Signature not yet current: %s is still later than %s (%s + 5 min.)", signed.Format(form), now.Add(5*time.Minute).Format(form), now.Format(form))
		}
		if refusal != "" {
			w.WriteHeader(http.StatusBadRequest)
			if err := json.NewEncoder(w).Encode(map[string]string{"__type": "InvalidSignatureException", "message": refusal}); err != nil {
				t.Error(err)
			}
			return
		}
		io.WriteString(w, `{"Name": "clerksync/prod", "SecretString": "{}"}`)
	}))
	t.Cleanup(aws.Close)
	return aws.URL, requests
}

// The SDK corrects it by what the answer says.
func TestSecretsManager_ReadsASecretWithAWrongClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 4 * time.Minute, time.Hour, -time.Hour, 400 * 24 * time.Hour} {
		url, requests := clocked(t, ahead, true)
		fetch := config.SecretsManager(lookup(static(url)))
		for range 2 {
			if got, err := fetch(t.Context(), "clerksync/prod"); got != "{}" || err != nil {
				t.Errorf("with AWS %s ahead: fetch = %q, %v, want {}", ahead, got, err)
			}
		}
		// The correction is kept for the next call.
		want := int32(2)
		if ahead.Abs() > 5*time.Minute {
			want++
		}
		if got := requests.Load(); got != want {
			t.Errorf("with AWS %s ahead: %d requests, want %d", ahead, got, want)
		}
	}
}

func TestSecretsManager_SaysThatTheClockIsWrong(t *testing.T) {
	t.Parallel()
	undated := func(ahead time.Duration) func(*testing.T) string {
		return func(t *testing.T) string {
			t.Helper()
			url, _ := clocked(t, ahead, false)
			return url
		}
	}
	refusing := func(code, message string, ahead time.Duration) func(*testing.T) string {
		return func(t *testing.T) string {
			t.Helper()
			aws := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, `{"__type": %q, "message": %q}`, code, message)
			}))
			t.Cleanup(aws.Close)
			return aws.URL
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(*testing.T) string
		want   error
		text   string
	}{
		// A proxy that takes the header away leaves the SDK without a correction.
		{"behind, by how much is not said", undated(time.Hour), config.ErrClock, "clock is wrong: have NTP set it"},
		{"ahead, by how much is not said", undated(-time.Hour), config.ErrClock, "clock is wrong: have NTP set it"},
		{"behind, and refused whatever is signed", refusing("InvalidSignatureException", "Signature expired: …", time.Hour), config.ErrClock, "behind AWS's)"},
		{"ahead, and refused whatever is signed", refusing("SignatureDoesNotMatch", "…", -time.Hour), config.ErrClock, "ahead of AWS's)"},
		{"request expired", refusing("RequestExpired", "Request has expired.", 0), config.ErrClock, "NTP"},
		{"too skewed", refusing("RequestTimeTooSkewed", "The difference between the request time and the current time is too large.", 20*time.Minute), config.ErrClock, "behind AWS's)"},
		// The time is right, so it is the key.
		{"wrong secret access key", refusing("InvalidSignatureException", "The request signature we calculated does not match the signature you provided.", 0), config.ErrNoCredentials, "role"},
		{"expired token", refusing("ExpiredTokenException", "The security token included in the request is expired", time.Hour), config.ErrNoCredentials, "role"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.SecretsManager(lookup(static(tt.answer(t))))(t.Context(), "clerksync/prod")
			if !errors.Is(err, tt.want) {
				t.Fatalf("fetch = %v, want %v", err, tt.want)
			}
			checkText(t, err, tt.text, `"clerksync/prod"`)
		})
	}
}

func TestExplainAWS_TellsTheClockFromTheCertificate(t *testing.T) {
	t.Parallel()
	handshake := func(reason x509.InvalidReason) error {
		return fmt.Errorf("sending: %w", &tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: reason}})
	}
	if err := config.ExplainAWS(t.Context(), handshake(x509.Expired), "Secrets Manager"); !errors.Is(err, config.ErrClock) {
		t.Errorf("a certificate that is not valid now: %v, want ErrClock", err)
	}
	if err := config.ExplainAWS(t.Context(), handshake(x509.IncompatibleUsage), "Secrets Manager"); errors.Is(err, config.ErrClock) {
		t.Errorf("a certificate for something else: %v, want no ErrClock", err)
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
