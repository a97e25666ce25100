package config_test

import (
	"maps"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"clerksync/shared/testkit/moto"
)

func TestMain(m *testing.M) { os.Exit(moto.Main(m)) }

// manager is Secrets Manager for one test.
type manager struct {
	client *secretsmanager.Client
	id     string            // name of the test's secret
	vars   map[string]string // what a lookup gives
}

func newManager(t *testing.T) *manager {
	t.Helper()
	server := moto.Start(t)
	m := &manager{client: server.SecretsManager(), id: "clerksync/" + t.Name(), vars: server.Environment()}
	maps.Copy(m.vars, map[string]string{
		"CLERKSYNC_SECRET_ID": m.id, "DATABASE_URL": dsn, "CLERK_WEBHOOK_SIGNING_SECRET": signing,
	})
	return m
}

// create stores the test's secret. With neither text nor binary it has no value yet.
func (m *manager) create(t *testing.T, in secretsmanager.CreateSecretInput) (arn string) {
	t.Helper()
	in.Name = &m.id
	out, err := m.client.CreateSecret(t.Context(), &in)
	if err != nil {
		t.Fatalf("creating secret %s: %v", m.id, err)
	}
	return aws.ToString(out.ARN)
}

func (m *manager) put(t *testing.T, text string) {
	t.Helper()
	_, err := m.client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &m.id, SecretString: &text})
	if err != nil {
		t.Fatalf("changing secret %s: %v", m.id, err)
	}
}

// text is the input of create for a secret with this text.
func text(s string) secretsmanager.CreateSecretInput {
	return secretsmanager.CreateSecretInput{SecretString: &s}
}
