package jwtdiag

import (
	"cmp"
	"slices"
	"strings"

	"clerksync/shared/clerk"
	"clerksync/shared/secret"
)

// Kind is what kind of thing was given. Kinds are stable.
type Kind string

// The kinds. Those of Clerk's and Supabase's tokens are JSON web tokens, the
// others are not.
const (
	// Session is a Clerk session token, of version 1 or 2.
	Session Kind = "clerk_session"
	// Template is a token made from one of Clerk's JWT templates, signed with the
	// instance's key.
	Template Kind = "clerk_template"
	// OAuth is an access token of Clerk as an OAuth provider.
	OAuth Kind = "clerk_oauth"
	// Machine is a token that Clerk gave a machine.
	Machine Kind = "clerk_machine"
	// LegacyTemplate is a token of the JWT template that Supabase's integration used
	// until 2025, signed with the project's JWT secret.
	LegacyTemplate Kind = "clerk_legacy_supabase_template"
	// SupabaseAnon and SupabaseService are the project's API keys in their old form.
	SupabaseAnon    Kind = "supabase_anon_key"
	SupabaseService Kind = "supabase_service_key"
	// SupabaseSession is a token of Supabase Auth.
	SupabaseSession Kind = "supabase_session"
	// Foreign is a token of somebody else.
	Foreign Kind = "foreign_jwt"
	// Encrypted is a token of five parts.
	Encrypted Kind = "encrypted_jwt"
	// Malformed begins like a token and cannot be read as one.
	Malformed Kind = "malformed_jwt"

	ClerkSecretKey              = Kind(secret.ClerkSecretKey)
	ClerkPublishableKey         = Kind(secret.ClerkPublishableKey)
	WebhookSecret               = Kind(secret.WebhookSecret)
	ClerkAPIKey                 = Kind(secret.ClerkAPIKey)
	OpaqueMachine               = Kind(secret.ClerkMachineToken)
	OpaqueOAuth                 = Kind(secret.ClerkOAuthToken)
	DevBrowser                  = Kind(secret.ClerkDevBrowser)
	SupabasePublishableKey      = Kind(secret.SupabasePublishableKey)
	SupabaseSecretKey           = Kind(secret.SupabaseSecretKey)
	SupabaseAccessToken         = Kind(secret.SupabaseAccessToken)
	ConnectionString            = Kind(secret.ConnectionString)
	ClerkID                Kind = "clerk_id"
	PublicKey              Kind = "public_key"
	PrivateKey             Kind = "private_key"

	// Empty and NoToken are nothing, and something that is none of these.
	Empty   Kind = "empty"
	NoToken Kind = "not_a_token"
)

// kindFacts is what is told of a kind.
type kindFacts struct {
	// name is the kind in words, to stand after "this is".
	name string
	// signed: a token whose parts can be read. Nobody takes anything else for one.
	signed bool
	// title is that of the finding; empty for one that says that it is no session
	// token. The detail may hold {{evidence}}, what speaks for the kind.
	title, detail string
	// remedy is empty where it is to send a session token.
	remedy string
	// replaceIn is where a secret is replaced that somebody else may have seen.
	replaceIn string
}

var kindsKnown = map[Kind]kindFacts{
	Session: {name: "a Clerk session token", signed: true},
	Template: {
		name: "a token of a Clerk JWT template", signed: true,
		detail: "Templates carry no session, organization or version of their own, cost a request each, and live as long as the template says.",
	},
	OAuth: {
		name: "an OAuth access token of Clerk", signed: true,
		title: "This is an OAuth access token, not a session token", detail: "Clerk gives it to other applications. {{evidence}}.",
	},
	Machine: {
		name: "a machine token of Clerk", signed: true,
		title: "This is a machine token, not a session token", detail: "It speaks for a machine, not for a user. {{evidence}}.",
	},
	LegacyTemplate: {
		name: "a token of the deprecated JWT template for Supabase", signed: true,
		title: "This is a token of the deprecated JWT template for Supabase",
		detail: "{{evidence}}. That integration was deprecated in April 2025; such tokens count only as long as the project trusts its old JWT secret, " +
			"which was not checked.",
		remedy: "Activate the Supabase integration in the Clerk dashboard, add Clerk as a third-party provider in Supabase, and call getToken() without a template.",
	},
	SupabaseAnon: {
		name: "the project's anon key", signed: true,
		title: "This is the project's anon key, not a user's token", detail: "Requests with it run as anon. It belongs in the header apikey.",
	},
	SupabaseService: {
		name: "the project's service_role key", signed: true,
		title:  "This is the project's service_role key: row level security does not hold for it",
		detail: "Whoever has it reads and writes every row. In a user's hands it opens the whole database.",
		remedy: "Never let it leave the server. If it was in a browser, an app or a repository, replace it in the project's API settings.\n" + useSessionToken,
	},
	SupabaseSession: {
		name: "a session token of Supabase Auth", signed: true,
		title:  "This is a session token of Supabase Auth, not of Clerk",
		detail: "The client is still signed in with Supabase Auth, or was made without the option accessToken. {{evidence}}.",
		remedy: `createClient(url, key, { accessToken: async () => session?.getToken() ?? null })`,
	},
	Foreign: {
		name: "a token of neither Clerk nor Supabase", signed: true,
		title: "This token is of neither Clerk nor Supabase", detail: "{{evidence}}.",
	},
	Encrypted: {
		name:  "an encrypted token",
		title: "This is an encrypted token (JWE), which neither Clerk nor Supabase makes", detail: "{{evidence}}.",
	},
	Malformed:           {name: "a damaged token"},
	ClerkSecretKey:      {name: "a Clerk secret key", detail: "It gives full access to the Clerk instance.", replaceIn: "the Clerk dashboard, under API keys"},
	ClerkPublishableKey: {name: "a Clerk publishable key", detail: "It is public, and names the instance."},
	WebhookSecret: {
		name: "a webhook signing secret", detail: "Whoever has it can forge webhooks.", replaceIn: "the endpoint's page of the Clerk dashboard",
	},
	ClerkAPIKey: {
		name: "a Clerk API key", replaceIn: "the Clerk dashboard",
		detail: "Clerk's API keys and machine secret keys are opaque: only Clerk's API can verify them, and Supabase never can.",
	},
	OpaqueMachine: {name: "an opaque machine token of Clerk", detail: opaque},
	OpaqueOAuth:   {name: "an opaque OAuth token of Clerk", detail: opaque},
	DevBrowser: {
		name:   "the id of a browser in a Clerk development instance",
		detail: "Clerk's own pages know a browser by it, and it proves nothing to anybody else.",
	},
	SupabasePublishableKey: {
		name:   "a Supabase publishable key",
		detail: "It belongs in the header apikey. As a Bearer token it counts only where it equals the apikey, and then as anon.",
	},
	SupabaseSecretKey: {
		name: "a Supabase secret key", replaceIn: "the project's API settings",
		detail: "It runs as service_role, for which row level security does not hold.",
	},
	SupabaseAccessToken: {
		name: "a Supabase access token", replaceIn: "the account's access tokens",
		detail: "It gives access to the account's projects through the Management API.",
	},
	ConnectionString: {
		name: "a database connection string", replaceIn: "the project's database settings",
		detail: "With its password whoever has it can connect to the database.",
	},
	ClerkID: {name: "an id of Clerk", detail: "An id says who it is about and proves nothing."},
	PublicKey: {
		name: "a public key", detail: "It verifies tokens and is none.",
		remedy: "Give the key as CLERK_JWT_KEY or with --pem, and a token as the token.\n" + useSessionToken,
	},
	PrivateKey: {name: "a private key", detail: "Whoever has it can sign as its owner.", remedy: "Replace the key pair.\n" + useSessionToken},
	Empty: {
		name: "nothing", title: "Nothing was given",
		detail: "The request carried no token: it counts as signed out, and Supabase runs it as anon.",
		remedy: "Await getToken(): before Clerk has loaded, and for who is signed out, it gives null.",
	},
	NoToken: {name: "no token", title: "This is no token", detail: "A token has three parts with dots between them, and begins with eyJ."},
}

const opaque = "It is opaque: only Clerk's API can verify it, and Supabase never can."

// String is the kind in words, to stand after "this is".
func (k Kind) String() string { return kindsKnown[k].name }

// isJWT reports whether the kind is a signed token whose parts can be read.
func (k Kind) isJWT() bool { return kindsKnown[k].signed }

// prefixes begin what is neither a JSON web token nor a credential that package
// secret knows.
var prefixes = []struct {
	prefix string
	kind   Kind
}{
	{"-----BEGIN PUBLIC KEY", PublicKey},
	{"-----BEGIN RSA PUBLIC KEY", PublicKey},
	{"-----BEGIN CERTIFICATE", PublicKey},
	{"-----BEGIN", PrivateKey},
	{"user_", ClerkID},
	{"org_", ClerkID},
	{"sess_", ClerkID},
	{"ins_", ClerkID},
	{"orgmem_", ClerkID},
	{"mch_", ClerkID},
}

// opaqueKind names what begins with a known prefix; "" where none fits.
func opaqueKind(text string) Kind {
	switch kind, _ := secret.KindOf(text); kind {
	case "", secret.JWT, secret.WebhookKeyPair:
	default:
		return Kind(kind)
	}
	for _, p := range prefixes {
		if strings.HasPrefix(text, p.prefix) {
			return p.kind
		}
	}
	return ""
}

// recognise tells the kind, and what speaks for it.
func (x *diagnosis) recognise() (Kind, string) {
	text := x.paste.token
	switch kind := opaqueKind(text); {
	case text == "":
		return Empty, ""
	case kind != "":
		return kind, ""
	}
	switch parts := len(x.parts); {
	case parts == 5 && strings.HasPrefix(text, "eyJ"):
		return Encrypted, "five parts are those of an encrypted token (JWE)"
	case parts != 3 && strings.HasPrefix(text, "eyJ"):
		return Malformed, ""
	case parts != 3:
		return NoToken, ""
	case x.header == nil || x.payload == nil:
		if x.header == nil && !strings.HasPrefix(text, "eyJ") {
			return NoToken, ""
		}
		return Malformed, ""
	}
	return x.recogniseJWT()
}

// recogniseJWT asks for what is told by the least first: a name that only one maker
// gives, then the header's cat and typ (Clerk JavaScript, jwtCategories.ts and
// machine.ts), and last what session tokens and templates differ in. One key signs
// them all, unless a template has its own, and cat is optional: neither decides alone.
//
// Keys of a project in their old form name the issuer "supabase" and one of two roles
// (Supabase docs, API keys); tokens of Supabase Auth, the project's URL and /auth/v1.
func (x *diagnosis) recogniseJWT() (Kind, string) {
	header, payload := x.header, x.payload
	alg, _ := header.text("alg")
	typ, _ := header.text("typ")
	cat, _ := header.text("cat")
	issuer, _ := payload.text("iss")
	role, _ := payload.text("role")
	subject, _ := payload.text("sub")
	symmetric := strings.HasPrefix(alg, "HS")
	fromClerk := issuer != "" && (issuer == x.options.Issuer || clerk.IssuerKind(strings.TrimSuffix(issuer, "/")) != "")
	media := strings.TrimPrefix(strings.ToLower(typ), "application/")

	switch {
	case issuer == "supabase" && role == "anon":
		return SupabaseAnon, `it names the issuer "supabase" and the role anon`
	case (issuer == "supabase" || symmetric && !fromClerk && !strings.HasSuffix(issuer, "/auth/v1")) && role == "service_role":
		return SupabaseService, "it names the role service_role and is signed with the project's own secret"
	case strings.HasSuffix(issuer, "/auth/v1"):
		return SupabaseSession, "its issuer is an address of Supabase Auth"
	case cat == clerk.MachineCategory || strings.HasPrefix(subject, "mch_"):
		return Machine, "its subject or its category is a machine's"
	case media == "at+jwt":
		return OAuth, "its type is at+jwt"
	case symmetric && (fromClerk || strings.HasPrefix(subject, "user_") || payload.has("azp")):
		return LegacyTemplate, "it is signed with a shared secret (" + alg + ") rather than with the instance's key"
	case cat == clerk.TemplateCategory && !payload.has("sid"):
		return Template, "its category is that of a template's"
	case cat == clerk.SessionCategory || payload.has("sid"):
		return Session, "it names a session (sid)"
	case fromClerk || strings.HasPrefix(subject, "user_") || cat == clerk.TemplateCategory:
		return Template, "it names no session (sid), as tokens of a template never do"
	default:
		return Foreign, "neither its issuer nor its claims are Clerk's or Supabase's"
	}
}

// checkKind says what was given, and whether it is what requests should carry.
func (x *diagnosis) checkKind(evidence string) *check {
	c := passed("token.kind", capital(x.kind.String()), evidence)
	facts, known := kindsKnown[x.kind]
	switch {
	case x.kind == Session || !known:
		return c
	case x.kind == Template:
		c.Detail = join(c.Detail, facts.detail)
		return c
	case x.kind == Malformed:
		return skipped(c.ID, "What kind of token this is cannot be told", "it cannot be read", "")
	}
	title := cmp.Or(facts.title, "This is "+facts.name+", not a session token")
	detail := strings.ReplaceAll(facts.detail, "{{evidence}}", capital(evidence))
	remedy := cmp.Or(facts.remedy, useSessionToken)
	if facts.replaceIn != "" {
		remedy = "It was pasted somewhere: replace it in " + facts.replaceIn + " if anybody else could have seen it.\n" + useSessionToken
	}
	switch x.kind {
	case ClerkPublishableKey:
		if key, err := clerk.ParsePublishableKey(x.paste.token); err == nil {
			detail += " Its Frontend API is https://" + key.FrontendAPI + ": that is the issuer of its tokens."
		}
	case NoToken:
		if slices.Contains([]string{"null", "undefined", "NaN", "[object Object]", "[object Promise]", "false"}, x.paste.token) {
			title = "This is the word " + show(x.paste.token) + ": getToken() had no value yet, or was not awaited"
			remedy = "Await getToken(), and send no Authorization header where it gives null."
		}
	default:
	}
	c.fail(title, detail, remedy)
	cat, _ := x.header.text("cat")
	if !facts.signed || x.kind == Machine && cat == clerk.MachineCategory {
		c.clerk = clerkSays("token-invalid")
	}
	if !facts.signed {
		c.supabase = postgrestSays("PGRST301", expectedParts(x.paste.token))
	}
	return c
}

const useSessionToken = "Send what getToken() of Clerk's session gives, without a template: in a browser await window.Clerk.session.getToken()."
