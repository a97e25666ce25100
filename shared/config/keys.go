package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Key is a setting, known to the environment and to the secret alike.
type Key struct {
	Name string
	// Secret is true where the value must not be shown or stored in clear.
	Secret      bool
	Description string
}

// Names of the settings that this package reads.
const (
	keySecretKey         = "CLERK_SECRET_KEY"
	keySigningSecret     = "CLERK_WEBHOOK_SIGNING_SECRET"
	keyPublishableKey    = "CLERK_PUBLISHABLE_KEY"
	keyAPIURL            = "CLERK_API_URL"
	keyJWKSURL           = "CLERK_JWKS_URL"
	keyJWTKey            = "CLERK_JWT_KEY"
	keyIssuer            = "CLERK_ISSUER"
	keyInstanceID        = "CLERK_INSTANCE_ID"
	keyAuthorizedParties = "CLERK_AUTHORIZED_PARTIES"
	keyDatabaseURL       = "DATABASE_URL"
	keyDatabaseCA        = "DATABASE_CA_CERT"
	keyDiagnosticsURL    = "DIAGNOSTICS_DATABASE_URL"
	keyDiagnosticsPage   = "DIAGNOSTICS_PAGE"
	keyProjectRef        = "SUPABASE_PROJECT_REF"
	keyAccessToken       = "SUPABASE_ACCESS_TOKEN"
	keyProjectURL        = "SUPABASE_URL"
	keyManagementURL     = "SUPABASE_API_URL"
	keyRateShare         = "SYNC_RATE_SHARE"
	keyQueueURL          = "EVENT_QUEUE_URL"
	keyLogLevel          = "LOG_LEVEL"
)

var keys = []Key{
	{keySecretKey, true, "Secret key of the Clerk instance (sk_test_… or sk_live_…), for reading users and organizations."},
	{keySigningSecret, true, "Signing secrets of the Clerk webhook endpoint (whsec_…), several separated by commas while one replaces another."},
	{keyPublishableKey, false, "Publishable key of the Clerk instance (pk_test_… or pk_live_…); the issuer and key set are derived from it."},
	{keyAPIURL, false, "Base URL of Clerk's Backend API. Default: https://api.clerk.com/v1."},
	{keyJWKSURL, false, "Where the instance publishes its public keys. Default: from the issuer."},
	{keyJWTKey, false, "Public key of the instance as PEM text, to verify tokens without a network; a literal \\n stands for a line break."},
	{keyIssuer, false, "Issuer that session tokens must name. Default: from the publishable key."},
	{keyInstanceID, false, "Pins the Clerk instance (ins_…): events of another one are rejected, and no other one is copied. Default: any instance."},
	{keyAuthorizedParties, false, "Origins that session tokens may name as their azp claim, separated by commas. Default: not checked."},
	{keyDatabaseURL, true, "Postgres connection string of the sync role, normally the transaction pooler's (port 6543)."},
	{keyDatabaseCA, false, "Certificate authority of the database as PEM text, from Supabase's database settings; a literal \\n stands for a line break."},
	{keyDiagnosticsURL, true, "Postgres connection string of the role clerksync_diagnostics, which sees what a token's user sees. Default: the database is not looked at."},
	{keyDiagnosticsPage, false, "on or off: whether the diagnostics function serves its page. Default: off."},
	{keyProjectRef, false, "Reference of the Supabase project (20 letters); the connection strings must belong to it."},
	{keyAccessToken, true, "Access token for Supabase's Management API (sbp_…)."},
	{keyProjectURL, false, "API URL of the Supabase project, https://<ref>.supabase.co."},
	{keyManagementURL, false, "Base URL of Supabase's Management API. Default: https://api.supabase.com."},
	{keyRateShare, false, "Share of Clerk's rate limit that a full sync may use, above 0 and up to 1. Default: 0.2."},
	{keyQueueURL, false, "URL of the SQS queue that verified events go to; without it they are applied at once. The stack sets it."},
	{keyLogLevel, false, "debug, info, warn or error. Default: info."},
}

// Keys returns every setting, in the order in which documentation lists them. CLERKSYNC_SECRET_ID is not among them:
// it is read from the environment only.
func Keys() []Key {
	return append([]Key(nil), keys...)
}

func isKnown(name string) bool {
	for _, k := range keys {
		if k.Name == name {
			return true
		}
	}
	return false
}

// nearestKey returns the known key most like name, or "" where none is like it.
func nearestKey(name string) string {
	name = strings.ToUpper(name)
	if name == "" {
		return ""
	}
	best, bestDistance := "", 0
	for _, k := range keys {
		d := distance(name, k.Name)
		if strings.HasPrefix(k.Name, name) || strings.HasPrefix(name, k.Name) {
			d = 1 // a last word too few or too many
		}
		if best == "" || d < bestDistance {
			best, bestDistance = k.Name, d
		}
	}
	if bestDistance > max(len(name), len(best))/2 {
		return ""
	}
	return best
}

// distance is the Levenshtein distance of two ASCII strings.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// A name without digits: keys and tokens that were pasted in a name's place have some.
var keyShape = regexp.MustCompile(`^[A-Za-z][A-Za-z_.-]{0,63}$`)

// nameKey writes an unknown key for an error text, unless it looks as if a value was pasted in its place.
func nameKey(name string) string {
	if keyShape.MatchString(name) && secretKind(name) == "" {
		return fmt.Sprintf("key %q", name)
	}
	return fmt.Sprintf("a key of %d characters that is not shown", len(name))
}
