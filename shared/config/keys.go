package config

import (
	"log/slog"
	"slices"
	"strings"

	"clerksync/shared/secret"
)

// Key is a setting, known to the environment and to the secret alike.
type Key struct {
	Name string
	// Secret is true where the value must not be shown or stored in clear.
	Secret bool
	// Stack is true where the stack's template gives the value, so that it has no place in the secret.
	Stack bool
	Needs Needs
	// Description is a sentence or two in Markdown.
	Description string
	// Find is the fix that errors name: where the value is found, or what it looks like.
	Find string
	// Example is a value, or what to put there.
	Example string

	// read checks a value that is set.
	read func(*values, setting) error
}

// Reader is what reads settings.
type Reader int

// The readers. The last is a program that needs the database alone.
const (
	ReaderIngest Reader = iota
	ReaderConsumer
	ReaderSync
	ReaderDiagnostics
	readerDatabase
	readers
)

// Need is how much a reader needs a setting.
type Need int

const (
	// Unused is a setting that is not looked at, so that it cannot be wrong.
	Unused Need = iota
	// Optional is one that has a default, or whose use is left out without it.
	Optional
	// OptionalWithDatabase is looked at where a database is named.
	OptionalWithDatabase
	// Recommended is one that guards against a mistake or an attack.
	Recommended
	// Required is one that the reader cannot do without.
	Required
)

// Needs are those of each [Reader].
type Needs [readers]Need

// Needs that several settings share.
var (
	diagnosing = Needs{ReaderDiagnostics: Optional}
	everywhere = Needs{ReaderIngest: Optional, ReaderConsumer: Optional, ReaderSync: Optional, ReaderDiagnostics: Optional}
)

const (
	diagnosticsURL       = "DIAGNOSTICS_DATABASE_URL"
	findConnectionString = "copy the connection string of the transaction pooler from the project's Connect dialog (postgresql://…)"
)

// keys is the table of settings: what reads them, documents them and lays out the secret is made from it.
var keys = []Key{{
	Name: "CLERK_SECRET_KEY", Secret: true, Needs: Needs{ReaderSync: Required},
	Description: "Secret key of the Clerk instance (`sk_test_…` or `sk_live_…`).",
	Find:        "copy the secret key (sk_test_… or sk_live_…) from the API keys page of the Clerk dashboard",
	Example:     "sk_live_… or sk_test_… of the Clerk instance",
	read:        into(func(v *values) *secret.Value { return &v.secretKey }, masked(secretKey.check)),
}, {
	Name: "CLERK_WEBHOOK_SIGNING_SECRET", Secret: true, Needs: Needs{ReaderIngest: Required},
	Description: "Signing secrets of the endpoint (`whsec_…`), separated by commas while one replaces another.",
	Find:        "copy the signing secret (whsec_…) from the endpoint's page in the Clerk dashboard",
	Example:     "whsec_… of the endpoint in the Clerk dashboard; several, separated by commas, while one replaces another",
	read:        into(func(v *values) *[]secret.Value { return &v.signingSecrets }, list(masked(signingSecret))),
}, {
	Name: "CLERK_PUBLISHABLE_KEY", Needs: diagnosing,
	Description: "Publishable key (`pk_test_…` or `pk_live_…`); the issuer and key set derive from it.",
	Find:        "copy the publishable key (pk_test_… or pk_live_…) from the API keys page of the Clerk dashboard",
	Example:     "pk_live_… or pk_test_… of the Clerk instance",
	read:        into(func(v *values) *string { return &v.PublishableKey }, publishableKey.check),
}, {
	Name: "CLERK_API_URL", Needs: Needs{ReaderSync: Optional},
	Description: "Base URL of Clerk's Backend API with its version; default `https://api.clerk.com/v1`. `http://` is for this machine alone.",
	Find:        "give its base URL, such as https://api.clerk.com/v1, or leave it out",
	Example:     "another base URL than https://api.clerk.com/v1",
	read:        into(func(v *values) *string { return &v.apiURL }, backendAPI.check),
}, {
	Name: "CLERK_JWKS_URL", Needs: diagnosing,
	Description: "Where the instance publishes its keys; default: the issuer's `/.well-known/jwks.json`.",
	Find:        "give the address of the key set, such as https://clerk.example.com/.well-known/jwks.json, or leave it out where the publishable key or the issuer is set",
	Example:     "where the instance publishes its keys, where the issuer does not tell",
	read:        into(func(v *values) *string { return &v.JWKSURL }, keySet.check),
}, {
	Name: "CLERK_JWT_KEY", Needs: diagnosing,
	Description: "Public key of the instance as PEM text, to verify tokens without a network; wins over the key set. A literal `\\n` stands for a line break.",
	Find:        "copy the JWT public key as PEM from the API keys page of the Clerk dashboard",
	Example:     "public key of the instance as PEM text, to verify tokens without a network",
	read: func(v *values, s setting) error {
		if err := notPrivate(s); err != nil {
			return err
		}
		return into(func(v *values) *string { return &v.PublicKey }, publicKey)(v, s)
	},
}, {
	Name: "CLERK_ISSUER", Needs: diagnosing,
	Description: "Issuer of session tokens; default: from the publishable key.",
	Find:        "give the Frontend API URL of the instance, such as https://clerk.example.com, or leave it out where the publishable key is set",
	Example:     "the issuer of session tokens, where the publishable key does not tell",
	read:        into(func(v *values) *string { return &v.Issuer }, issuer.check),
}, {
	Name: "CLERK_INSTANCE_ID", Needs: everywhere,
	Description: "Pins the Clerk instance (`ins_…`): events of another are rejected, and a secret key of another stops the full sync. Tokens of another are named.",
	Example:     "ins_… of the only Clerk instance to copy",
	read: func(v *values, s setting) error {
		v.instanceOrigin = s.origin
		return into(func(v *values) *string { return &v.InstanceID }, instanceID)(v, s)
	},
}, {
	Name: "CLERK_AUTHORIZED_PARTIES", Needs: diagnosing,
	Description: "Origins that tokens may name as `azp`, such as `https://app.example.com`, separated by commas; default: not checked.",
	Find:        "give scheme and host, such as https://app.example.com or http://localhost:3000",
	Example:     "origins that tokens may name, separated by commas",
	read:        into(func(v *values) *[]string { return &v.AuthorizedParties }, list(origin)),
}, {
	Name: "DATABASE_URL", Secret: true, Needs: Needs{ReaderIngest: Required, ReaderConsumer: Required, ReaderSync: Required, readerDatabase: Required},
	Description: "Connection string, normally the transaction pooler's, of the role `clerksync_writer`.",
	Find:        findConnectionString,
	Example:     "postgresql://clerksync_writer.… : connection string of the transaction pooler, port 6543",
	read:        into(func(v *values) *secret.Value { return &v.Database.URL }, masked(connectionString)),
}, {
	Name: "DATABASE_CA_CERT", Needs: Needs{ReaderIngest: Recommended, ReaderConsumer: Recommended, ReaderSync: Recommended, ReaderDiagnostics: OptionalWithDatabase, readerDatabase: Recommended},
	Description: "Certificate authority of the database as PEM text; a literal `\\n` stands for a line break.",
	Example:     `the certificate authority from Supabase's database settings, PEM text in one line with \n for its line breaks`,
	read:        into(func(v *values) *string { return &v.Database.CACert }, certificates),
}, {
	Name: diagnosticsURL, Secret: true, Needs: diagnosing,
	Description: "Connection string of the role `clerksync_diagnostics`, to look at the database as a token's user sees it.",
	Find:        findConnectionString,
	Example:     "the same of the role clerksync_diagnostics",
	read: func(v *values, s setting) error {
		v.Database.Setting = diagnosticsURL
		return into(func(v *values) *secret.Value { return &v.Database.URL }, masked(readersString))(v, s)
	},
}, {
	Name: "DIAGNOSTICS_PAGE", Stack: true, Needs: diagnosing,
	Description: "`on` or `off` (default): whether the diagnostics function serves its page. The template's parameter `DiagnosticsPage` sets it.",
	Example:     "off",
	read:        into(func(v *values) *bool { return &v.Page }, oneOf(map[string]bool{"off": false, "on": true}, "is neither on nor off")),
}, {
	Name: "SUPABASE_PROJECT_REF", Needs: Needs{ReaderIngest: Recommended, ReaderConsumer: Recommended, ReaderSync: Recommended, ReaderDiagnostics: Optional, readerDatabase: Recommended},
	Description: "The connection string must belong to this project. The diagnostics ask Supabase about it; default there: from `SUPABASE_URL`.",
	Example:     "the project's reference, 20 letters",
	read:        into(func(v *values) *string { return &v.ProjectRef }, projectRef),
}, {
	Name: "SUPABASE_ACCESS_TOKEN", Secret: true, Needs: diagnosing,
	Description: "Token for Supabase's Management API (`sbp_…`) that may read the auth configuration (`auth_config_read`), to see which issuers the project trusts.",
	Find:        "make an access token (sbp_…) on the access tokens page of your Supabase account",
	Example:     "sbp_… that may read the auth configuration",
	read:        into(func(v *values) *secret.Value { return &v.AccessToken }, masked(accessToken.check)),
}, {
	Name: "SUPABASE_URL", Needs: diagnosing,
	Description: "API URL of the project, `https://<ref>.supabase.co`.",
	Find:        "give the project's API URL, https://<ref>.supabase.co",
	Example:     "https://….supabase.co",
	read: func(v *values, s setting) error {
		if err := into(func(v *values) *string { return &v.ProjectURL }, projectAPI.check)(v, s); err != nil {
			return err
		}
		return v.sameProject(s)
	},
}, {
	Name: "SUPABASE_API_URL", Needs: diagnosing,
	Description: "Base URL of the Management API; default `https://api.supabase.com`. `http://` is for this machine alone.",
	Find:        "give the base URL of the Management API without its version, such as https://api.supabase.com, or leave it out",
	Example:     "another base URL than https://api.supabase.com",
	read:        into(func(v *values) *string { return &v.ManagementURL }, managementAPI.check),
}, {
	Name: "SYNC_RATE_SHARE", Stack: true, Needs: Needs{ReaderSync: Optional},
	Description: "Share of Clerk's rate limit that the full sync may use, above 0 and up to 1; default 0.2. The limit counts all keys of the instance together.",
	Example:     "0.2",
	read:        into(func(v *values) *float64 { return &v.rateShare }, share),
}, {
	Name: "EVENT_QUEUE_URL", Stack: true, Needs: Needs{ReaderIngest: Optional},
	Description: "URL of the SQS queue that verified events go to; without it they are applied at once. The stack sets it.",
	Find:        "copy the queue's URL, such as https://sqs.eu-central-1.amazonaws.com/123456789012/events, or leave it out to have events applied at once",
	Example:     "https://sqs.eu-central-1.amazonaws.com/123456789012/events",
	read:        into(func(v *values) *string { return &v.queueURL }, queue.check),
}, {
	Name: "LOG_LEVEL", Stack: true, Needs: everywhere,
	Description: "`debug`, `info` (default), `warn` or `error`.",
	Example:     "info",
	read:        into(func(v *values) *slog.Level { return &v.LogLevel }, oneOf(levels, "is no level: use debug, info, warn or error")),
}}

// Keys returns every setting, in the order in which documentation lists them. CLERKSYNC_SECRET_ID is not among them:
// it is read from the environment only.
func Keys() []Key {
	return slices.Clone(keys)
}

func isKnown(name string) bool {
	return slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name })
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
