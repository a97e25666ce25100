// Package jwttest makes tokens for tests: right ones, and a corpus of tokens with
// one defect each and what a diagnosis has to say about them.
//
//	for _, c := range jwttest.Corpus() {
//		report := jwtdiag.New(c.Options).Diagnose(ctx, jwtdiag.Request{Token: c.Token})
//		…
//	}
//
// All of it takes place at [Now], in the instance [Instance] with the issuer
// [Issuer], whose key is made anew in every process.
package jwttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/supabase/management"
)

// The instance that the tokens are of.
const (
	Instance = "ins_2abcDEFghiJKLmnoPQRstuVWXyz"
	Issuer   = "https://clerk.example.com"
	Origin   = "https://app.example.com"
	User     = "user_2nQ8vWkZ4bYtR1mXo9LcFhJdEsA"
	Org      = "org_2mP7uVjY3aXsQ0lWn8KbEgIcDrZ"

	OtherInstance = "ins_2zyxWVUtsrQPOnmlKJIhgfEDCba"
	DevIssuer     = "https://happy-otter-42.clerk.accounts.dev"
)

// Now is when everything takes place.
var Now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Clock returns Now.
func Clock() time.Time { return Now }

// Key is the instance's private key, OtherKey that of somebody else.
var (
	Key      = sync.OnceValue(newKey)
	OtherKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// PEM is the instance's public key as the dashboard shows it.
func PEM() string {
	der, err := x509.MarshalPKIXPublicKey(Key().Public())
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// JWKS is the instance's key set.
func JWKS() []byte { return jwksOf(Instance, &Key().PublicKey) }

func jwksOf(kid string, key *rsa.PublicKey) []byte {
	return marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: kid, Algorithm: "RS256", Use: "sig"}}})
}

func marshal(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Keys serves the instance's key set.
func Keys() jwtdiag.Keys {
	set, err := keyset.Parse(JWKS())
	if err != nil {
		panic(err)
	}
	set.Source = Issuer + "/.well-known/jwks.json"
	return set.Static()
}

// Providers are a project's third-party providers.
type Providers []management.ThirdPartyAuth

// ThirdPartyAuth returns them.
func (p Providers) ThirdPartyAuth(context.Context) ([]management.ThirdPartyAuth, error) {
	return p, nil
}

// Registered is a project that trusts the instance.
func Registered() Providers {
	return Providers{{Type: "custom-oidc", OIDCIssuerURL: Issuer, ResolvedJWKS: JWKS(), ResolvedAt: Now.Add(-time.Hour)}}
}

// Options are those of a complete set-up without a database.
func Options() jwtdiag.Options {
	return jwtdiag.Options{
		Issuer: Issuer, InstanceID: Instance, AuthorizedParties: []string{Origin}, Keys: Keys(), Providers: Registered(), Now: Clock,
	}
}

// Object is a JSON object whose members have an order, and may be repeated.
type Object []Member

// Member is a member of an Object; Value is JSON.
type Member struct{ Name, Value string }

// With is the object with a member set, or added at the end.
func (o Object) With(name, value string) Object {
	o = slices.Clone(o)
	for i := range o {
		if o[i].Name == name {
			o[i].Value = value
			return o
		}
	}
	return append(o, Member{name, value})
}

// Again is the object with a member at the end, whether or not it is there.
func (o Object) Again(name, value string) Object { return append(slices.Clone(o), Member{name, value}) }

// Without is the object without members.
func (o Object) Without(names ...string) Object {
	return slices.DeleteFunc(slices.Clone(o), func(m Member) bool { return slices.Contains(names, m.Name) })
}

// JSON is the object's text.
func (o Object) JSON() string {
	parts := make([]string, len(o))
	for i, m := range o {
		parts[i] = string(marshal(m.Name)) + ":" + m.Value
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// Header is that of a session token.
func Header() Object {
	return Object{{"alg", `"RS256"`}, {"cat", `"cl_B7d4PD111AAA"`}, {"kid", quoted(Instance)}, {"typ", `"JWT"`}}
}

// Claims are those of a session token of version 2, made a moment ago, with an
// active organization and the role that Supabase wants.
func Claims() Object {
	return Object{
		{"azp", quoted(Origin)},
		{"exp", seconds(55)},
		{"fea", `"o:dashboard,o:teams"`},
		{"fva", "[7,-1]"},
		{"iat", seconds(-5)},
		{"iss", quoted(Issuer)},
		{"jti", `"1a2b3c4d5e6f70819203"`},
		{"nbf", seconds(-15)},
		{"o", `{"id":"` + Org + `","slg":"acme","rol":"admin","per":"manage,read","fpm":"3,2"}`},
		{"pla", `"o:pro"`},
		{"role", `"authenticated"`},
		{"sid", `"sess_2lO6tUiX2ZwRp9kVm7JaDfHbCqY"`},
		{"sts", `"active"`},
		{"sub", quoted(User)},
		{"v", "2"},
	}
}

// ClaimsV1 are those of version 1.
func ClaimsV1() Object {
	return Claims().Without("fea", "jti", "o", "pla", "sts", "v").
		With("org_id", quoted(Org)).With("org_slug", `"acme"`).With("org_role", `"org:admin"`).With("org_permissions", `["org:dashboard:read"]`)
}

// TemplateClaims are those of a JWT template that adds the role.
func TemplateClaims() Object { return Claims().Without("fea", "fva", "o", "pla", "sid", "sts", "v") }

// TemplateHeader is that of a token of a template.
func TemplateHeader() Object { return Header().With("cat", `"cl_B7d4PD222AAA"`) }

func quoted(text string) string { return string(marshal(text)) }

func seconds(fromNow int) string { return fmt.Sprint(Now.Unix() + int64(fromNow)) }

// Encode is base64url without padding.
func Encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// Sign makes a token of a header and claims, signed by the instance as the header
// says.
func Sign(header, claims Object) string { return SignText(header.JSON(), claims.JSON()) }

// SignText does so with any text in the two parts.
func SignText(header, payload string) string {
	return SignInput(Encode(header) + "." + Encode(payload))
}

// SignInput signs with the instance's key and RS256, whatever a header says.
func SignInput(input string) string { return signInput(jwt.SigningMethodRS256, Key(), input) }

func signInput(method jwt.SigningMethod, key any, input string) string {
	signature, err := method.Sign(input, key)
	if err != nil {
		panic(err)
	}
	return input + "." + Encode(string(signature))
}

// signWith signs with a key, without a look at the header.
func signWith(method jwt.SigningMethod, key any, header, claims Object) string {
	return signInput(method, key, Encode(header.JSON())+"."+Encode(claims.JSON()))
}

// SignOther signs with another key.
func SignOther(header, claims Object) string {
	return signWith(jwt.SigningMethodRS256, OtherKey(), header, claims)
}

// signAs signs with a method and writes it into the header.
func signAs(method jwt.SigningMethod, key any, header, claims Object) string {
	return signWith(method, key, header.With("alg", quoted(method.Alg())), claims)
}

// hs256 signs with a shared secret.
func hs256(header, claims Object) string {
	return signAs(jwt.SigningMethodHS256, []byte("a shared secret of a project, long enough"), header, claims)
}

// es256 and eddsa sign with keys that nobody knows.
func es256(header, claims Object) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return signAs(jwt.SigningMethodES256, key, header, claims)
}

func eddsa(header, claims Object) string {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return signAs(jwt.SigningMethodEdDSA, key, header, claims)
}
