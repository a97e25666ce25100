package devstack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"

	"clerksync/shared/config"
	"clerksync/shared/secret"
)

// settings are the configuration in force, and which parts of the stack stand
// outside of it.
type settings struct {
	source *config.Source
	config config.Ingest
	// databaseGiven: the configuration names a database.
	databaseGiven bool
	// clerkGiven names the settings that speak of a real Clerk instance.
	clerkGiven []string
	// secretKey is for the Backend API of a double.
	secretKey secret.Value
}

// embedded stands for the database that the stack starts itself: the settings
// are read, and found fault with, before it is started.
const embedded = "postgres://clerksync_writer@127.0.0.1/started-by-clerksync-dev"

// readSettings reads the configuration as the functions do and fills in what the
// stack makes itself.
func readSettings(ctx context.Context, lookup config.Lookup) (settings, error) {
	var s settings
	for _, key := range config.Keys() {
		if value, _ := lookup(key.Name); strings.HasPrefix(key.Name, "CLERK_") && strings.TrimSpace(value) != "" {
			s.clerkGiven = append(s.clerkGiven, key.Name)
		}
	}
	own := map[string]string{
		"DATABASE_URL": embedded,
		"LOG_LEVEL":    "warn",
	}
	generated := newSigningSecret()
	if len(s.clerkGiven) == 0 {
		own["CLERK_WEBHOOK_SIGNING_SECRET"] = generated
	}
	filled := func(key string) (string, bool) {
		if value, ok := lookup(key); ok && strings.TrimSpace(value) != "" {
			return value, true
		}
		value, ok := own[key]
		return value, ok
	}

	s.source = config.NewSource(filled, config.SecretsManager(lookup))
	var err error
	if s.config, err = s.source.Ingest(ctx); err != nil {
		if len(s.clerkGiven) > 0 {
			return settings{}, fmt.Errorf("%w\n(a real Clerk instance is expected because of %s; unset them to have the double)", err, strings.Join(s.clerkGiven, ", "))
		}
		return settings{}, err
	}
	s.databaseGiven = s.config.Database.URL != secret.New(embedded)
	// A secret in Secrets Manager may have brought its own.
	if len(s.clerkGiven) == 0 && (len(s.config.SigningSecrets) != 1 || s.config.SigningSecrets[0] != secret.New(generated)) {
		s.clerkGiven = []string{config.SecretIDKey}
	}
	if len(s.clerkGiven) == 0 {
		// As long as the ones that Clerk makes.
		s.secretKey = secret.New("sk_test_" + rand.Text() + rand.Text()[:16])
	}
	return s, nil
}

// newSigningSecret makes a secret of the size that Svix makes.
func newSigningSecret() string {
	key := make([]byte, 24)
	// Never fails (crypto/rand).
	_, _ = rand.Read(key)
	return "whsec_" + base64.StdEncoding.EncodeToString(key)
}
