// Package tokens makes the tokens of a Clerk instance in memory, signs them with a
// key of its own and publishes that key as Clerk's Frontend API does.
//
//	mint := tokens.New(instance, "https://clerk.example.com")
//	token, err := mint.SessionToken(tokens.Options{UserID: ines.ID})
//	keys := httptest.NewServer(mint.FrontendAPI()) // /.well-known/jwks.json
//
// Keys and token ids are random, whatever the instance's seed.
//
// Limits: of Clerk's Frontend API there are the well-known documents alone; no one
// can sign in there.
package tokens

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
)

// keyBits is the size of Clerk's keys.
const keyBits = 2048

// Mint makes the tokens of an instance and has its keys. Its methods are safe for
// concurrent use.
type Mint struct {
	instance *clerkinstance.Instance
	issuer   string

	mu sync.Mutex
	// published are the keys of the key set, the current one last. The first is made
	// when it is wanted, so that an instance that is not asked for tokens costs
	// nothing.
	published []signingKey
	templates map[string]Template
}

// New returns the mint of an instance, which is to have one alone. issuer is the
// iss of the tokens, a URL; "" means the one that the publishable key holds.
func New(instance *clerkinstance.Instance, issuer string) *Mint {
	m := &Mint{instance: instance, templates: map[string]Template{}}
	m.issuer = strings.TrimSuffix(cmp.Or(issuer, "https://"+m.frontendHost()), "/")
	return m
}

// Issuer is the iss of the tokens.
func (m *Mint) Issuer() string { return m.issuer }

type signingKey struct {
	id  string
	key *rsa.PrivateKey
}

// keys returns those of the key set.
func (m *Mint) keys() []signingKey {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begin()
	return slices.Clone(m.published)
}

// begin is called with the lock held.
func (m *Mint) begin() {
	if len(m.published) == 0 {
		m.published = []signingKey{{m.instance.ID(), newKey()}}
	}
}

// current is the key that signs.
func (m *Mint) current() signingKey {
	keys := m.keys()
	return keys[len(keys)-1]
}

// newKey makes a key at random: seeds decide ids, and no key is to be foreseen.
func newKey() *rsa.PrivateKey {
	// Fails for sizes that there are no keys of.
	key, _ := rsa.GenerateKey(rand.Reader, keyBits)
	return key
}

// Rotation says how an instance changes its key. The zero value is what Clerk's
// keys suggest: the kid is the instance's id, so that a new key has the old one's.
type Rotation struct {
	// KeyID is the kid of the new key; "" means the instance's id.
	KeyID string
	// Keep leaves the old keys in the key set, before the new one.
	Keep bool
}

// RotateKey makes a new key, which signs from now on. How Clerk rotates keys is
// not published: a Rotation plays whichever way is wanted.
func (m *Mint) RotateKey(r Rotation) {
	key := newKey()
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Keep {
		m.begin()
	} else {
		m.published = nil
	}
	m.published = append(m.published, signingKey{cmp.Or(r.KeyID, m.instance.ID()), key})
}

// JWKS returns the key set, {"keys":[…]}, as Clerk publishes it (Clerk OpenAPI bapi,
// GET /jwks).
func (m *Mint) JWKS() []byte {
	var set jose.JSONWebKeySet
	for _, k := range m.keys() {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: &k.key.PublicKey, KeyID: k.id, Algorithm: "RS256", Use: "sig"})
	}
	// An RSA key always has a JSON form.
	body, _ := json.Marshal(set)
	return body
}

// PublicKeyPEM returns the current key as PEM text, which Clerk's dashboard calls
// the JWKS Public Key (CLERK_JWT_KEY).
func (m *Mint) PublicKeyPEM() string {
	// An RSA key always has this form.
	der, _ := x509.MarshalPKIXPublicKey(&m.current().key.PublicKey)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// Sign signs any claims with the current key, by RS256. The header has alg, typ
// ("JWT") and kid unless it is given others; what is given is not checked, and a
// value of nil leaves a parameter out. It is for tokens that the double does not
// make by itself, such as OAuth access tokens and faulty ones.
func (m *Mint) Sign(header, claims map[string]any) (string, error) {
	key := m.current()
	complete := map[string]any{"alg": "RS256", "typ": "JWT", "kid": key.id}
	for name, value := range header {
		if complete[name] = value; value == nil {
			delete(complete, name)
		}
	}
	return sign(jwt.SigningMethodRS256, key.key, complete, claims)
}

// sign writes a token, whatever its header says of the method.
func sign(method jwt.SigningMethod, key any, header, claims map[string]any) (string, error) {
	token, err := (&jwt.Token{Method: method, Header: header, Claims: jwt.MapClaims(claims)}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return token, nil
}
