package clerk_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"clerksync/shared/clerk"
)

func pk(prefix, payload string) string {
	return prefix + base64.RawStdEncoding.EncodeToString([]byte(payload))
}

func TestParsePublishableKey_ReadsKindAndHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key string
		want      clerk.PublishableKey
	}{
		{"published example", "pk_test_ZGVhci1tdXR0LTIyLmNsZXJrLmFjY291bnRzLmRldiQ", clerk.PublishableKey{Kind: clerk.TestInstance, FrontendAPI: "dear-mutt-22.clerk.accounts.dev"}},
		{"live", pk("pk_live_", "clerk.harbour.example$"), clerk.PublishableKey{Kind: clerk.LiveInstance, FrontendAPI: "clerk.harbour.example"}},
		{"pasted with white space", " " + pk("pk_live_", "clerk.harbour.example$") + "\n", clerk.PublishableKey{Kind: clerk.LiveInstance, FrontendAPI: "clerk.harbour.example"}},
		{"padded", "pk_test_" + base64.StdEncoding.EncodeToString([]byte("a.clerk.accounts.dev$")) + "==", clerk.PublishableKey{Kind: clerk.TestInstance, FrontendAPI: "a.clerk.accounts.dev"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := clerk.ParsePublishableKey(test.key)
			if err != nil || got != test.want {
				t.Errorf("ParsePublishableKey(%q) = %+v, %v, want %+v", test.key, got, err, test.want)
			}
		})
	}
}

func TestParsePublishableKey_RefusesTheRestWithoutEchoingIt(t *testing.T) {
	t.Parallel()
	const marker = "QzXwVuTsRq" // part of every row that could leak
	tests := []struct {
		name, key string
		want      error
	}{
		{"nothing", "", clerk.ErrNotPublishableKey},
		{"Backend API key", "sk_test_" + marker, clerk.ErrSecretKey},
		{"live Backend API key", " sk_live_" + marker, clerk.ErrSecretKey},
		{"old Backend API key", "live_" + marker, clerk.ErrSecretKey},
		{"signing secret", "whsec_" + marker, clerk.ErrSecretKey},
		{"machine token", "mt_" + marker, clerk.ErrSecretKey},
		{"other kind", pk("pk_prod_", marker+".example.com$"), clerk.ErrNotPublishableKey},
		{"prefix alone", "pk_test_", clerk.ErrNotPublishableKey},
		{"not base64", "pk_test_" + marker + "!", clerk.ErrNotPublishableKey},
		{"cut off", pk("pk_test_", "dear-mutt-22.clerk.accounts.dev$")[:40], clerk.ErrNotPublishableKey},
		{"no dollar", pk("pk_test_", "a.clerk.accounts.dev"), clerk.ErrNotPublishableKey},
		{"two dollars", pk("pk_test_", "a.clerk.accounts.dev$$"), clerk.ErrNotPublishableKey},
		{"no dot", pk("pk_test_", "localhost$"), clerk.ErrNotPublishableKey},
		{"empty label", pk("pk_test_", "a..dev$"), clerk.ErrNotPublishableKey},
		{"scheme", pk("pk_test_", "https://a.clerk.accounts.dev$"), clerk.ErrNotPublishableKey},
		{"path", pk("pk_test_", "a.clerk.accounts.dev/x$"), clerk.ErrNotPublishableKey},
		{"port", pk("pk_test_", "a.clerk.accounts.dev:443$"), clerk.ErrNotPublishableKey},
		{"user", pk("pk_test_", "clerk.example@evil.example$"), clerk.ErrNotPublishableKey},
		{"new line", pk("pk_test_", "a.clerk.accounts.dev\n$"), clerk.ErrNotPublishableKey},
		{"endless host", pk("pk_test_", strings.Repeat("abcdefg.", 40)+"dev$"), clerk.ErrNotPublishableKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := clerk.ParsePublishableKey(test.key)
			if !errors.Is(err, test.want) {
				t.Fatalf("ParsePublishableKey(%q) = %+v, %v, want error %v", test.key, got, err, test.want)
			}
			if strings.Contains(err.Error(), marker) {
				t.Errorf("ParsePublishableKey(%q) repeats what it was given: %v", test.key, err)
			}
		})
	}
}
