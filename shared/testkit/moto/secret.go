package moto

import (
	"crypto/rand"
	"encoding/json"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Secret is a secret of one test.
type Secret struct {
	server *Server
	id     string
}

// NewSecret stores settings as a function's secret.
func NewSecret(t testing.TB, settings map[string]string) *Secret {
	t.Helper()
	// A test may run more than once.
	s := &Secret{server: Start(t), id: "clerksync/" + t.Name() + "/" + rand.Text()}
	text := encode(t, settings)
	if _, err := s.server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &s.id, SecretString: &text}); err != nil {
		t.Fatalf("creating secret %s: %v", s.id, err)
	}
	return s
}

// Put replaces the settings.
func (s *Secret) Put(t testing.TB, settings map[string]string) {
	t.Helper()
	text := encode(t, settings)
	if _, err := s.server.SecretsManager().PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &s.id, SecretString: &text}); err != nil {
		t.Errorf("changing secret %s: %v", s.id, err)
	}
}

// Name is the secret's.
func (s *Secret) Name() string { return s.id }

// Held is what the secret has, and the version of that.
func (s *Secret) Held(t testing.TB) (settings map[string]string, version string) {
	t.Helper()
	out, err := s.server.SecretsManager().GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: &s.id})
	if err != nil {
		t.Fatalf("reading secret %s: %v", s.id, err)
	}
	if err := json.Unmarshal([]byte(*out.SecretString), &settings); err != nil {
		t.Fatalf("reading secret %s: %v", s.id, err)
	}
	return settings, *out.VersionId
}

// Environment is what points a function at the secret. The caller owns the map.
func (s *Secret) Environment() map[string]string {
	environment := s.server.Environment()
	environment["CLERKSYNC_SECRET_ID"] = s.id
	return environment
}

func encode(t testing.TB, settings map[string]string) string {
	t.Helper()
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
