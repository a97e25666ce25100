package secret_test

import (
	"testing"

	"clerksync/shared/secret"
)

func TestKindOf_GoesByTheFirstLetters(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]secret.Kind{
		"sk_test_x": secret.ClerkSecretKey, "sk_live_x": secret.ClerkSecretKey, "live_x": secret.ClerkSecretKey,
		"pk_test_x": secret.ClerkPublishableKey, "whsec_x": secret.WebhookSecret, "whpk_x": secret.WebhookKeyPair,
		"sb_secret_x": secret.SupabaseSecretKey, "sb_publishable_x": secret.SupabasePublishableKey, "sbp_x": secret.SupabaseAccessToken,
		"postgres://h": secret.ConnectionString, "postgresql://h": secret.ConnectionString, "eyJx": secret.JWT, "mt_x": secret.ClerkMachineToken,
		"": "", "x": "", "SK_LIVE_x": "", " sk_live_x": "", "sk_prod_x": "", "user_x": "",
	} {
		kind, prefix := secret.KindOf(text)
		if kind != want || (prefix == "") != (want == "") || (kind.String() == "") != (want == "") {
			t.Errorf("KindOf(%q) = %q (%s) by %q, want %q", text, kind, kind, prefix, want)
		}
	}
}
