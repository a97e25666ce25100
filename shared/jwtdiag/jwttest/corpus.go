package jwttest

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/supabase/management"
)

// Case is a token with one defect, or none, and what has to be said about it.
type Case struct {
	Name string
	// Token is what is pasted; Sent, where it differs, is what a program would send
	// for the two verdicts to be about.
	Token, Sent string
	Options     jwtdiag.Options
	Kind        jwtdiag.Kind
	// Cause is the id of the finding that the sentence names.
	Cause string
	// Fail and Warn are the ids of all findings with these statuses.
	Fail, Warn []string
	// Clerk is "accepted", "unknown", or "refused" and the code.
	Clerk string
	// Supabase is "accepted" or "unknown" and the role, or "refused", the status, the
	// code and the message.
	Supabase string
	// Differs says why @clerk/backend gives another verdict where it does.
	Differs string
}

const (
	accepted   = "accepted"
	runs       = "accepted authenticated"
	noKey      = "refused 401 PGRST301 No suitable key or wrong key type"
	badCrypto  = "refused 401 PGRST301 JWT cryptographic operation failed"
	invalid    = "refused token-invalid"
	onePart    = "refused 401 PGRST301 Expected 3 parts in JWT; got 1"
	notAllowed = "refused token-invalid-authorized-parties"
)

// corpus collects cases with the options of a complete set-up.
type corpus []Case

func (l *corpus) add(name, token string, kind jwtdiag.Kind, clerk, supabase, cause string, fail, warn []string) *Case {
	*l = append(*l, Case{Name: name, Token: token, Options: Options(), Kind: kind, Cause: cause, Fail: fail, Warn: warn, Clerk: clerk, Supabase: supabase})
	return &(*l)[len(*l)-1]
}

// fails adds a session token with one failure.
func (l *corpus) fails(name, token, id, clerk, supabase string) *Case {
	return l.add(name, token, jwtdiag.Session, clerk, supabase, id, ids(id), nil)
}

// warns adds a session token with one warning, which both accept all the same.
func (l *corpus) warns(name, token, id, supabase string) *Case {
	return l.add(name, token, jwtdiag.Session, accepted, supabase, id, nil, ids(id))
}

// fine adds a token that nothing is wrong with.
func (l *corpus) fine(name, token string, kind jwtdiag.Kind) *Case {
	return l.add(name, token, kind, accepted, runs, "", nil, nil)
}

func ids(list ...string) []string { return list }

// claim is a session token with one claim changed.
func claim(name, value string) string { return Sign(Header(), Claims().With(name, value)) }

func lacking(names ...string) string { return Sign(Header(), Claims().Without(names...)) }

func header(name, value string) string { return Sign(Header().With(name, value), Claims()) }

func replaced(part int, token, with string) string {
	parts := strings.Split(token, ".")
	parts[part] = with
	return strings.Join(parts, ".")
}

// Corpus is the whole of it.
func Corpus() []Case {
	var l corpus
	l.right()
	l.pasted()
	l.wrongThings()
	l.damaged()
	l.headers()
	l.keys()
	l.times()
	l.claims()
	l.organizations()
	l.projects()
	return l
}

func (l *corpus) right() {
	l.fine("session token of version 2", Sign(Header(), Claims()), jwtdiag.Session)
	l.warns("session token of version 1", Sign(Header(), ClaimsV1()), "claim.version", runs)
	l.fine("session token without a category", Sign(Header().Without("cat"), Claims()), jwtdiag.Session)
	l.fine("session token without typ", Sign(Header().Without("typ"), Claims()), jwtdiag.Session)
	l.fine("session token without an organization", Sign(Header(), Claims().Without("o")), jwtdiag.Session)
	l.fine("JWT template", Sign(TemplateHeader(), TemplateClaims()), jwtdiag.Template)
	l.fine("impersonated", claim("act", `{"iss":"https://dashboard.clerk.com","sid":"sess_x","sub":"user_2staff"}`), jwtdiag.Session)
	l.fine("unknown claims and header parameters", Sign(Header().With("oiat", "1"), Claims().With("theme", `"dark"`)), jwtdiag.Session)
}

func (l *corpus) pasted() {
	token := Sign(Header(), Claims())
	for name, text := range map[string]string{
		"with Bearer":               "Bearer " + token,
		"with the header's name":    "Authorization: Bearer " + token,
		"in quotes":                 `"` + token + `"`,
		"in a cookie string":        "__client_uat=1716883200; __session=" + token + "; theme=dark",
		"in a suffixed cookie":      "__session_aBcDeFgH=" + token,
		"in the answer of an API":   `{"object":"token","jwt":"` + token + `"}`,
		"with white space around":   "\n\t " + token + " \r\n",
		"in a command":              `curl -H "Authorization: Bearer ` + token + `" https://x.supabase.co/rest/v1/notes`,
		"assigned to a variable":    "TOKEN=" + token,
		"with a semicolon":          token + ";",
		"quoted inside the header":  `authorization: "Bearer ` + token + `"`,
		"in typographic quotations": "“" + token + "”",
	} {
		l.fine("pasted "+name, text, jwtdiag.Session).Sent = token
	}
	l.warns("pasted with line breaks", token[:100]+"\n"+token[100:200]+"\r\n  "+token[200:], "token.format", runs).Sent = token
	l.warns("pasted with a byte order mark", "\ufeff"+token, "token.format", runs).Sent = token
	l.warns("pasted with Bearer twice", "Bearer Bearer "+token, "token.format", runs).Sent = token
}

func (l *corpus) wrongThings() {
	for _, c := range []struct {
		name, text string
		kind       jwtdiag.Kind
	}{
		{"Clerk secret key", "sk_live_4fGh7Jk9Lm2Np5Qr8St1Uv4Wx7Yz", jwtdiag.ClerkSecretKey},
		{"Clerk publishable key", "pk_live_Y2xlcmsuZXhhbXBsZS5jb20k", jwtdiag.ClerkPublishableKey},
		{"webhook signing secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", jwtdiag.WebhookSecret},
		{"Clerk API key", "ak_3bN8mVx2cZ1qW9eR7tY5", jwtdiag.ClerkAPIKey},
		{"opaque machine token", "mt_9sD7fG5hJ3kL1", jwtdiag.OpaqueMachine},
		{"opaque OAuth token", "oat_8aS6dF4gH2jK0", jwtdiag.OpaqueOAuth},
		{"Supabase publishable key", "sb_publishable_7zX5cV3bN1", jwtdiag.SupabasePublishableKey},
		{"Supabase secret key", "sb_secret_6yT4rE2wQ0", jwtdiag.SupabaseSecretKey},
		{"Supabase access token", "sbp_5uI3oP1aS9dF7gH5", jwtdiag.SupabaseAccessToken},
		{"id of a user", User, jwtdiag.ClerkID},
		{"the word undefined", "undefined", jwtdiag.NoToken},
		{"an object", "[object Promise]", jwtdiag.NoToken},
		{"some words", "hello there", jwtdiag.NoToken},
	} {
		l.add(c.name, c.text, c.kind, invalid, onePart, "token.kind", ids("token.kind"), nil)
	}
	l.add("nothing", "", jwtdiag.Empty, invalid, "refused 401 PGRST301 Empty JWT is sent in Authorization header", "token.kind", ids("token.kind"), nil)
	l.add("connection string", "postgresql://u:p@h.example.com:6543/postgres", jwtdiag.ConnectionString, invalid,
		"refused 401 PGRST301 Expected 3 parts in JWT; got 3", "token.kind", ids("token.kind"), nil).Supabase = badCrypto
	l.add("public key", PEM(), jwtdiag.PublicKey, invalid, onePart, "token.kind", ids("token.kind"), nil)

	keyClaims := Object{{"iss", `"supabase"`}, {"ref", `"abcdefghijklmnopqrst"`}, {"role", `"anon"`}, {"iat", seconds(-86400)}, {"exp", seconds(3600)}}
	plain := Object{{"alg", `"HS256"`}, {"typ", `"JWT"`}}
	l.add("anon key", hs256(plain, keyClaims), jwtdiag.SupabaseAnon, "refused token-invalid-algorithm", "unknown anon", "token.kind",
		ids("token.kind"), nil).Clerk = "refused jwk-kid-mismatch"
	l.add("service_role key", hs256(plain, keyClaims.With("role", `"service_role"`)), jwtdiag.SupabaseService, "refused jwk-kid-mismatch", "unknown service_role", "token.kind",
		ids("token.kind"), nil)
	l.add("session of Supabase Auth", es256(plain.With("kid", `"b81269f1-21d8-4f2e-b719-c2240a840d90"`), Object{
		{"iss", `"https://abcdefghijklmnopqrst.supabase.co/auth/v1"`},
		{"sub", `"8b1f4c1e-7a1d-4c8e-9a55-3f2a1f0d9e11"`},
		{"aud", `"authenticated"`},
		{"role", `"authenticated"`},
		{"iat", seconds(-60)},
		{"exp", seconds(3540)},
		{"session_id", `"0d9e11"`},
	}), jwtdiag.SupabaseSession, "refused jwk-kid-mismatch", "unknown authenticated", "token.kind",
		ids("token.kind"), nil)
	l.add("legacy template for Supabase", hs256(TemplateHeader(), TemplateClaims().With("aud", `"authenticated"`)), jwtdiag.LegacyTemplate,
		"refused token-invalid-algorithm", "unknown authenticated", "token.kind", ids("token.kind"), nil)
	l.add("OAuth access token", Sign(Header().With("typ", `"at+jwt"`).Without("cat"), TemplateClaims().With("client_id", `"c1"`).With("jti", `"oat_1"`)), jwtdiag.OAuth,
		invalid, runs, "token.kind", ids("token.kind"), nil)
	l.add("machine token", Sign(Header().With("cat", `"cl_B7d4PD333AAA"`), TemplateClaims().With("sub", `"mch_2abc"`).Without("azp")), jwtdiag.Machine,
		invalid, runs, "token.kind", ids("token.kind"), nil)
	l.add("token of somebody else", SignOther(Object{{"alg", `"RS256"`}, {"kid", `"k1"`}}, Object{{"iss", `"https://accounts.google.com"`}, {"sub", `"1234567890"`}, {"exp", seconds(60)}, {"iat", seconds(-5)}}),
		jwtdiag.Foreign, "refused jwk-kid-mismatch", noKey, "token.kind", ids("token.kind"), nil)
	encrypted := Encode(`{"alg":"RSA-OAEP","enc":"A256GCM"}`) + ".a.b.c.d"
	l.add("five parts", encrypted, jwtdiag.Encrypted, invalid, "refused 401 PGRST301 Expected 3 parts in JWT; got 5", "token.kind", ids("token.kind"), nil)
}

func (l *corpus) damaged() {
	token := Sign(Header(), Claims())
	parts := strings.Split(token, ".")
	broken := func(name, text, supabase string) *Case {
		return l.add(name, text, jwtdiag.Malformed, invalid, supabase, "token.format", ids("token.format"), nil)
	}
	broken("cut off in the payload", parts[0]+"."+parts[1][:40], "refused 401 PGRST301 Expected 3 parts in JWT; got 2")
	l.fails("cut off in the signature", token[:len(token)-22], "signature", "refused token-invalid-signature", noKey)
	l.fails("without its signature", parts[0]+"."+parts[1]+".", "signature", "refused token-invalid-signature", noKey)
	l.fails("with a signature of another token", replaced(2, token, strings.Split(claim("jti", `"other"`), ".")[2]), "signature", "refused token-invalid-signature", noKey)
	l.fails("with changed claims", replaced(1, token, Encode(Claims().With("sub", `"user_2mallory"`).JSON())), "signature", "refused token-invalid-signature", noKey)
	l.fails("with padding", parts[0]+"."+parts[1]+"."+parts[2]+"==", "token.format", accepted, badCrypto)
	standard := base64.RawStdEncoding.EncodeToString([]byte(Claims().With("theme", `"???>>>~~~"`).JSON()))
	l.fails("in standard base64", SignInput(parts[0]+"."+standard), "token.format", invalid, badCrypto)
	broken("payload that is no JSON", SignText(Header().JSON(), "hello"), "refused 401 PGRST303 Parsing claims failed")
	broken("payload that is a list", SignText(Header().JSON(), `["sub"]`), "refused 401 PGRST303 Parsing claims failed").Differs = "the verifier reads a list and then misses sub: refused as well, with another code"
	broken("header that is no JSON", SignText(`{"alg":"RS256"`, Claims().JSON()), badCrypto)
	broken("text behind the claims", SignText(Header().JSON(), Claims().JSON()+"x"), "refused 401 PGRST303 Parsing claims failed")
	l.fails("byte order mark in the payload", SignText(Header().JSON(), "\ufeff"+Claims().JSON()), "token.format", accepted, "refused 401 PGRST303 Parsing claims failed")
	l.fails("invalid UTF-8 in the payload", SignText(Header().JSON(), Claims().With("name", "\"\xff\xfe\"").JSON()), "token.format", accepted, "refused 401 PGRST303 Parsing claims failed")
	l.fails("a claim twice", Sign(Header(), Claims().With("theme", `"a"`).Again("theme", `"b"`)), "token.format", accepted, runs)
	l.fails("a claim within a claim twice", claim("o", `{"id":"org_first","id":"`+Org+`","rol":"admin"}`), "token.format", accepted, runs)
	l.fails("the role twice, the first all-powerful", Sign(Header(), append(Object{{"role", `"service_role"`}}, Claims()...)), "token.format", accepted, "accepted service_role").Fail = ids("token.format", "claim.role")
	l.warns("huge claims", claim("blob", quoted(strings.Repeat("x", 6000))), "token.format", runs)
	l.warns("deep claims", claim("deep", strings.Repeat("[", 200)+strings.Repeat("]", 200)), "token.format", runs)
	l.add("beyond every limit", claim("blob", quoted(strings.Repeat("x", 100_000))), jwtdiag.Malformed, "unknown", "unknown", "token.format", ids("token.format"), nil).Differs = "the verifier has no limit of its own; no server hands it such a header"
}

func (l *corpus) headers() {
	none := Encode(Header().With("alg", `"none"`).JSON()) + "." + Encode(Claims().JSON()) + "."
	l.fails("alg none", none, "header.alg", "refused token-invalid-algorithm", "refused 401 PGRST301 Wrong or unsupported encoding algorithm")
	l.fails("alg none with a signature", header("alg", `"none"`), "header.alg", "refused token-invalid-algorithm", "refused 401 PGRST301 Wrong or unsupported encoding algorithm")
	l.fails("no alg", Sign(Header().Without("alg"), Claims()), "header.alg", "refused token-invalid-algorithm", badCrypto)
	l.fails("RS384", signAs(jwt.SigningMethodRS384, Key(), Header(), Claims()), "header.alg", "refused token-verification-failed", noKey)
	l.fails("RS512", signAs(jwt.SigningMethodRS512, Key(), Header(), Claims()), "header.alg", "refused token-verification-failed", noKey)
	l.fails("PS256", header("alg", `"PS256"`), "header.alg", "refused token-invalid-algorithm", badCrypto)
	l.fails("ES256", es256(Header(), Claims()), "header.alg", "refused token-invalid-algorithm", noKey)
	l.fails("EdDSA", eddsa(Header(), Claims()), "header.alg", "refused token-invalid-algorithm", noKey)
	l.fails("wrong type", header("typ", `"jwt"`), "header.alg", invalid, runs)
	l.fails("type that is a number", header("typ", "7"), "header.alg", invalid, badCrypto)
	l.fails("critical parameter", header("crit", `["b64"]`), "header.alg", accepted, runs)
	l.fails("no kid", Sign(Header().Without("kid"), Claims()), "header.kid", "refused jwk-kid-mismatch", runs)
	l.fails("kid that is a number", header("kid", "12"), "header.kid", "refused jwk-kid-mismatch", badCrypto)
}

func (l *corpus) keys() {
	c := l.fails("kid of another instance", Sign(Header().With("kid", quoted(OtherInstance)), Claims()), "header.kid", "refused jwk-kid-mismatch", noKey)
	c.Fail = ids("header.kid", "supabase.provider")
	c = l.fails("development token in production", SignOther(Header().With("kid", quoted(OtherInstance)), Claims().With("iss", quoted(DevIssuer))), "claim.iss", "refused jwk-kid-mismatch", noKey)
	c.Fail = ids("claim.iss", "header.kid", "supabase.provider")
	l.fails("right kid, wrong key", SignOther(Header(), Claims()), "signature", "refused token-invalid-signature", noKey)
	c = l.fails("keys out of reach", Sign(Header(), Claims()), "jwks.fetch", "unknown", runs)
	c.Options.Keys = failing{}
	c.Differs = "the verifier of the comparison has the keys"
	c = l.fine("keys not configured", Sign(Header(), Claims()), jwtdiag.Session)
	c.Options.Keys, c.Clerk = nil, "unknown"
	c.Differs = "the verifier of the comparison has the keys"
}

func (l *corpus) times() {
	l.fails("expired a minute ago", Sign(Header(), Claims().With("exp", seconds(-60)).With("iat", seconds(-120)).With("nbf", seconds(-130))), "claim.exp", "refused token-expired", "refused 401 PGRST303 JWT expired")
	l.fails("expired 10 seconds ago", claim("exp", seconds(-10)), "claim.exp", "refused token-expired", runs)
	l.fails("expired 5 seconds ago", claim("exp", seconds(-5)), "claim.exp", "refused token-expired", runs) // the verifier counts the limit itself
	l.warns("expired 4 seconds ago", claim("exp", seconds(-4)), "claim.exp", runs)
	l.fails("expired 30 seconds ago", claim("exp", seconds(-30)), "claim.exp", "refused token-expired", runs) // PostgREST does not
	l.fails("expired 31 seconds ago", claim("exp", seconds(-31)), "claim.exp", "refused token-expired", "refused 401 PGRST303 JWT expired")
	l.fails("no exp", lacking("exp"), "claim.exp", "refused token-verification-failed", runs)
	l.fails("exp that is a string", claim("exp", `"`+seconds(55)+`"`), "claim.exp", "refused token-verification-failed", "refused 401 PGRST303 The JWT 'exp' claim must be a number")
	l.fails("exp that is null", claim("exp", "null"), "claim.exp", "refused token-verification-failed", runs)
	l.fails("exp with a fraction", claim("exp", seconds(55)+".5"), "claim.exp", accepted, "refused 401 PGRST303 JWT expired")
	l.fine("exp with a fraction of nothing", claim("exp", seconds(55)+".0"), jwtdiag.Session)
	l.warns("exp in milliseconds", claim("exp", seconds(55)+"000"), "claim.exp", runs)
	l.fails("gigantic exp", claim("exp", "1e400"), "claim.exp", accepted, "refused 401 PGRST303 JWT expired")
	l.warns("session token that lives an hour", claim("exp", seconds(3600)), "claim.exp", runs)
	l.add("template that lives a week", Sign(TemplateHeader(), TemplateClaims().With("exp", seconds(7*86400))), jwtdiag.Template, accepted, runs, "claim.exp", nil, ids("claim.exp"))
	l.fails("not valid yet", claim("nbf", seconds(60)), "claim.nbf", "refused token-not-active-yet", "refused 401 PGRST303 JWT not yet valid")
	l.fails("not valid for 20 seconds", claim("nbf", seconds(20)), "claim.nbf", "refused token-not-active-yet", runs)
	l.warns("not valid for 5 seconds", claim("nbf", seconds(5)), "claim.nbf", runs)
	l.fine("no nbf", lacking("nbf"), jwtdiag.Session)
	l.fails("nbf that is a list", claim("nbf", "[1]"), "claim.nbf", "refused token-verification-failed", "refused 401 PGRST303 The JWT 'nbf' claim must be a number")
	l.fails("made in the future", claim("iat", seconds(50)), "claim.iat", "refused token-iat-in-the-future", "refused 401 PGRST303 JWT issued at future")
	l.fails("iat that is a boolean", claim("iat", "true"), "claim.iat", "refused token-verification-failed", "refused 401 PGRST303 The JWT 'iat' claim must be a number")
	l.warns("no iat", lacking("iat"), "claim.iat", runs)
}

func (l *corpus) claims() {
	l.warns("issuer with a slash", claim("iss", quoted(Issuer+"/")), "claim.iss", runs)
	l.warns("issuer of another domain", claim("iss", `"https://clerk.example.org"`), "claim.iss", runs).Warn = ids("claim.iss", "supabase.provider")
	l.fails("no issuer", lacking("iss"), "claim.iss", accepted, runs).Warn = ids("supabase.provider")
	l.fails("no azp", lacking("azp"), "claim.azp", notAllowed, runs)
	l.fails("azp of a preview", claim("azp", `"https://preview-7.example.com"`), "claim.azp", notAllowed, runs)
	l.fails("azp with a slash", claim("azp", quoted(Origin+"/")), "claim.azp", notAllowed, runs)
	c := l.fine("azp that nobody compares", claim("azp", `"https://anywhere.example"`), jwtdiag.Session)
	c.Options.AuthorizedParties = nil
	l.fine("an audience", claim("aud", `"api"`), jwtdiag.Session)
	l.fine("audiences", claim("aud", `["api","web"]`), jwtdiag.Session)
	l.fails("audience that is an object", claim("aud", `{"a":1}`), "claim.aud", accepted, "refused 401 PGRST303 The JWT 'aud' claim must be a string or an array of strings")
	l.fails("audience with a number", claim("aud", `["api",7]`), "claim.aud", accepted, "refused 401 PGRST303 The JWT 'aud' claim must be a string or an array of strings")
	l.fails("no sub", lacking("sub"), "claim.sub", "refused token-verification-failed", runs)
	l.fails("sub that is a number", claim("sub", "42"), "claim.sub", "refused token-verification-failed", runs)
	l.fails("empty sub", claim("sub", `""`), "claim.sub", accepted, runs)
	l.warns("sub that is a UUID", claim("sub", `"8b1f4c1e-7a1d-4c8e-9a55-3f2a1f0d9e11"`), "claim.sub", runs)
	l.fails("no role", lacking("role"), "claim.role", accepted, "accepted anon")
	l.warns("role anon", claim("role", `"anon"`), "claim.role", "accepted anon")
	l.fails("role service_role", claim("role", `"service_role"`), "claim.role", accepted, "accepted service_role")
	l.fails("role of the application", claim("role", `"org:admin"`), "claim.role", accepted, `refused 401 22023 role "org:admin" does not exist`)
	l.warns("a role that only the database knows", claim("role", `"tenant_reader"`), "claim.role", "unknown tenant_reader")
	l.fails("role postgres", claim("role", `"postgres"`), "claim.role", accepted, `refused 403 42501 permission denied to set role "postgres"`)
	l.fails("role that is null", claim("role", "null"), "claim.role", accepted, `refused 401 22023 role "null" does not exist`)
	l.fails("role that is a list", claim("role", `["authenticated"]`), "claim.role", accepted, `refused 401 22023 role "[\"authenticated\"]" does not exist`)
	l.warns("pending session", claim("sts", `"pending"`), "claim.sts", runs)
	l.warns("unknown state", claim("sts", `"paused"`), "claim.sts", runs)
	l.warns("unknown version", claim("v", "3"), "claim.version", runs)
}

func (l *corpus) organizations() {
	l.fails("organization that is a text", claim("o", `"org_2abc"`), "claim.org", accepted, runs)
	l.fails("organization without an id", claim("o", `{"rol":"admin"}`), "claim.org", accepted, runs)
	l.warns("both versions of the organization", claim("org_id", quoted(Org)), "claim.version", runs)
	l.warns("organization without a role", claim("o", `{"id":"`+Org+`"}`), "claim.org", runs)
	l.warns("slug in place of the organization's id", claim("o", `{"id":"acme","rol":"admin"}`), "claim.org", runs)
	l.warns("a user's feature before the organization's", claim("fea", `"u:export,o:dashboard,o:teams"`), "claim.permissions", runs)
	l.fine("a mask of a hundred bits", Sign(Header(), Claims().With("o", `{"id":"`+Org+`","rol":"admin","per":"`+hundred()+`","fpm":"1267650600228229401496703205375,1"}`)), jwtdiag.Session)
	l.warns("a mask with unnamed bits", claim("o", `{"id":"`+Org+`","rol":"admin","per":"read","fpm":"3,1"}`), "claim.permissions", runs)
	l.warns("a mask that is no number", claim("o", `{"id":"`+Org+`","rol":"admin","per":"read","fpm":"0x3,1"}`), "claim.permissions", runs)
	l.warns("permissions that are a list", claim("o", `{"id":"`+Org+`","rol":"admin","per":["read"],"fpm":"1,1"}`), "claim.permissions", runs)
}

func hundred() string {
	names := make([]string, 100)
	for i := range names {
		names[i] = "p" + string(rune('a'+i/10)) + string(rune('a'+i%10))
	}
	return strings.Join(names, ",")
}

func (l *corpus) projects() {
	token := Sign(Header(), Claims())
	with := func(c *Case, p jwtdiag.Providers) { c.Options.Providers = p }
	with(l.fails("project without providers", token, "supabase.provider", accepted, noKey), Providers{})
	with(l.fails("project of another Clerk instance", token, "supabase.provider", accepted, noKey),
		Providers{{OIDCIssuerURL: DevIssuer, ResolvedJWKS: jwksOf(OtherInstance, &OtherKey().PublicKey), ResolvedAt: Now}})
	with(l.fails("project that missed a rotation", token, "supabase.provider", accepted, noKey),
		Providers{{OIDCIssuerURL: Issuer, ResolvedJWKS: jwksOf("ins_2before", &OtherKey().PublicKey), ResolvedAt: Now.Add(-10 * time.Minute)}})
	with(l.fails("project that has no keys of the instance", token, "supabase.provider", accepted, noKey), Providers{{OIDCIssuerURL: Issuer}})
	with(l.fine("project not known", token, jwtdiag.Session), nil)
	(*l)[len(*l)-1].Supabase = "unknown authenticated"
	with(l.fine("project that cannot be asked", token, jwtdiag.Session), refusing{})
	(*l)[len(*l)-1].Supabase = "unknown authenticated"
	with(l.fails("expired, project not known", claim("exp", seconds(-60)), "claim.exp", "refused token-expired", "refused 401 PGRST303 JWT expired"), nil)
}

// refusing is a project that tells nothing.
type refusing struct{}

func (refusing) ThirdPartyAuth(context.Context) ([]management.ThirdPartyAuth, error) {
	return nil, errors.New("asking for the project's providers: 403: the access token may not read them")
}
