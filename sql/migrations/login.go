package migrations

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Login roles that the migrations make, without a password.
const (
	// WriterRole is what the webhook and sync functions connect as.
	WriterRole = "clerksync_writer"
	// DiagnosticsRole is what the diagnostics function connects as.
	DiagnosticsRole = "clerksync_diagnostics"
)

// ResetPassword gives a login role a new random password and returns it. Only
// its SCRAM verifier travels to the server, so that no log of statements, there
// or on the way, ever holds the password.
func ResetPassword(ctx context.Context, config *pgx.ConnConfig, role string) (string, error) {
	if role != WriterRole && role != DiagnosticsRole {
		return "", fmt.Errorf("%q is not a login role of clerksync", role)
	}
	password := rand.Text() + rand.Text()
	verifier, err := scramVerifier(password)
	if err != nil {
		return "", fmt.Errorf("making a password: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return "", fmt.Errorf("connecting to set a password: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// A utility statement takes no parameters; both parts are of our own making.
	if _, err := conn.Exec(ctx, fmt.Sprintf("alter role %s password '%s'", role, verifier)); err != nil {
		return "", fmt.Errorf("setting the password of %s (run \"clerksync migrate up\" first): %w", role, err)
	}
	return password, nil
}

// scramVerifier is what Postgres stores for a password: RFC 5803, with the
// number of iterations that Postgres itself uses.
func scramVerifier(password string) (string, error) {
	const iterations = 4096
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	keyed := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(keyed("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(keyed("Server Key"))), nil
}
