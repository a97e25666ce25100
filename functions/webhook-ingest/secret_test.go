package main_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/testkit/lambdatest"
	"clerksync/shared/testkit/moto"
	"clerksync/shared/testkit/testdb"
)

// The function as deployed: everything in one secret, and during a rotation two
// signing secrets in that.
func TestBootstrap_TakesItsConfigurationFromSecretsManager(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	moto.Need(t)
	db := testdb.New(t)
	server := moto.Start(t)
	const rotated = "whsec_cm90YXRlZC1zZWNyZXQtdGhhdC1pcy1sb25nLWVub3VnaA=="
	id := "clerksync/" + t.Name()
	text, err := json.Marshal(map[string]string{
		"DATABASE_URL": db.Pooled(t, db.Writer()), "CLERK_WEBHOOK_SIGNING_SECRET": signingSecret + "," + rotated,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.SecretsManager().CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &id, SecretString: new(string(text))}); err != nil {
		t.Fatal(err)
	}
	settings := server.Environment()
	settings["CLERKSYNC_SECRET_ID"] = id
	f := lambdatest.Start(t, binary(t), settings)
	body := clerktest.User("user_1").Event(clerk.UserCreated, clerktest.Epoch)
	for n, secret := range []string{signingSecret, rotated} {
		message := []string{"msg_old_secret", "msg_new_secret"}[n]
		got, err := invoke(t.Context(), f, request(clerktest.Sign(secret, message, time.Now(), body), body, false))
		if err != nil || got.Status != http.StatusOK {
			t.Errorf("%s: %+v, %v, want 200\n%s", message, got, err, f.Logs())
		}
	}
	for _, leak := range []string{"whsec_", "postgres://", "postgresql://"} {
		if strings.Contains(f.Logs(), leak) {
			t.Errorf("the logs hold %q:\n%s", leak, f.Logs())
		}
	}
}

func TestBootstrap_Answers503WhileItsSecretCannotBeRead(t *testing.T) {
	t.Parallel()
	server := moto.Start(t)
	settings := maps.Clone(server.Environment())
	settings["CLERKSYNC_SECRET_ID"] = "clerksync/" + t.Name() + "/missing"
	f := lambdatest.Start(t, binary(t), settings)
	got, err := invoke(t.Context(), f, signed("msg_1", []byte(`{}`)))
	if err != nil || got.Status != http.StatusServiceUnavailable || got.Code != "not_configured" {
		t.Errorf("answer = %+v, %v, want 503 not_configured", got, err)
	}
	if !strings.Contains(f.Logs(), settings["CLERKSYNC_SECRET_ID"]) {
		t.Errorf("the logs do not name the secret:\n%s", f.Logs())
	}
}
