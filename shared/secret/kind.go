package secret

import "strings"

// Kind is what a credential is. Kinds are stable.
type Kind string

// The kinds of credentials that end up in each other's place.
const (
	ClerkSecretKey         Kind = "clerk_secret_key"
	ClerkPublishableKey    Kind = "clerk_publishable_key"
	ClerkAPIKey            Kind = "clerk_api_key"
	ClerkMachineToken      Kind = "clerk_opaque_machine_token"
	ClerkOAuthToken        Kind = "clerk_opaque_oauth_token"
	ClerkDevBrowser        Kind = "clerk_dev_browser"
	WebhookSecret          Kind = "webhook_signing_secret"
	WebhookKeyPair         Kind = "webhook_key_pair"
	SupabaseSecretKey      Kind = "supabase_secret_key"
	SupabasePublishableKey Kind = "supabase_publishable_key"
	SupabaseAccessToken    Kind = "supabase_access_token"
	ConnectionString       Kind = "connection_string"
	JWT                    Kind = "jwt"
)

// prefixes begin credentials (Clerk JavaScript, backend/src/tokens/machine.ts; Svix, "Verifying webhooks"; Supabase's
// documentation of API keys).
var prefixes = []struct {
	prefix string
	kind   Kind
}{
	{"sk_test_", ClerkSecretKey},
	{"sk_live_", ClerkSecretKey},
	{"pk_test_", ClerkPublishableKey},
	{"pk_live_", ClerkPublishableKey},
	{"ak_", ClerkAPIKey},
	{"mt_", ClerkMachineToken},
	{"oat_", ClerkOAuthToken},
	{"dvb_", ClerkDevBrowser},
	{"whsec_", WebhookSecret},
	{"whsk_", WebhookKeyPair},
	{"whpk_", WebhookKeyPair},
	{"sb_secret_", SupabaseSecretKey},
	{"sb_publishable_", SupabasePublishableKey},
	{"sbp_", SupabaseAccessToken},
	{"postgres://", ConnectionString},
	{"postgresql://", ConnectionString},
	{"eyJ", JWT},
	// The oldest secret keys.
	{"test_", ClerkSecretKey},
	{"live_", ClerkSecretKey},
}

// KindOf tells what a text is by its first letters, and which these are; both are "" where they say nothing. It
// recognises what was put in the wrong place, and does not check what follows.
func KindOf(text string) (kind Kind, prefix string) {
	for _, p := range prefixes {
		if strings.HasPrefix(text, p.prefix) {
			return p.kind, p.prefix
		}
	}
	return "", ""
}

var names = map[Kind]string{
	ClerkSecretKey: "Clerk secret key", ClerkPublishableKey: "Clerk publishable key", ClerkAPIKey: "Clerk API key of a user or an organization",
	ClerkMachineToken: "Clerk machine token", ClerkOAuthToken: "Clerk OAuth access token", ClerkDevBrowser: "browser's id in a Clerk development instance",
	WebhookSecret: "webhook signing secret", WebhookKeyPair: "webhook key, which Clerk does not use",
	SupabaseSecretKey: "Supabase secret key", SupabasePublishableKey: "Supabase publishable key", SupabaseAccessToken: "Supabase access token",
	ConnectionString: "database connection string", JWT: "JSON web token",
}

// String is the kind in words, to stand after "is a".
func (k Kind) String() string { return names[k] }
