package keyset

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-jose/go-jose/v4"
)

const (
	// MaxKeys is the most keys that a set may have.
	MaxKeys = 100
	// minRSABits is what RFC 7518 (3.3) demands of RS256, maxRSABits what crypto/tls takes: a signature by a key of a
	// megabit would keep the verifier busy for minutes.
	minRSABits, maxRSABits = 2048, 8192
	// maxQuoted is how much of a foreign text a sentence repeats.
	maxQuoted = 80
)

// The ways in which a text is no usable set. Errors wrap one of them.
var (
	ErrNotJSON     = errors.New("not JSON")
	ErrNotJWKS     = errors.New("not a JSON web key set")
	ErrTooManyKeys = errors.New("too many keys")
	// ErrNoKeys says that a set holds no key that tokens can be verified with.
	ErrNoKeys = errors.New("no usable keys")
)

// Parse reads a JSON web key set (RFC 7517, section 5). Where no key is usable, the error wraps [ErrNoKeys] and the
// set's Unusable says why; the other errors wrap [ErrNotJSON], [ErrNotJWKS] or [ErrTooManyKeys]. No error repeats what
// was read.
func Parse(body []byte) (Set, error) {
	// A byte order mark, which browsers and Node remove too.
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if !json.Valid(body) {
		return Set{}, fmt.Errorf("%w: %s", ErrNotJSON, whatInstead(body))
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return Set{}, fmt.Errorf("%w: no object with a list of keys", ErrNotJWKS)
	}
	var raw []json.RawMessage
	if json.Unmarshal(members["keys"], &raw) != nil || raw == nil {
		if _, single := members["kty"]; single {
			return Set{}, fmt.Errorf(`%w: a single key; a set is {"keys":[…]}`, ErrNotJWKS)
		}
		return Set{}, fmt.Errorf(`%w: there is no list "keys" in it`, ErrNotJWKS)
	}
	if len(raw) > MaxKeys {
		return Set{}, fmt.Errorf("%w: %d, at most %d are read", ErrTooManyKeys, len(raw), MaxKeys)
	}

	var set Set
	for i, text := range raw {
		key, fault := parseKey(text)
		if fault == nil {
			set.Keys = append(set.Keys, key)
			continue
		}
		name := fmt.Sprintf("key %d of %d", i+1, len(raw))
		if fault.kid != "" {
			name += fmt.Sprintf(" (%s)", quote(fault.kid))
		}
		set.Unusable = append(set.Unusable, name+" "+fault.reason)
		set.Exposed = set.Exposed || fault.exposed
	}
	switch {
	case len(raw) == 0:
		return set, fmt.Errorf("%w: the set is empty", ErrNoKeys)
	case len(set.Keys) == 0:
		return set, fmt.Errorf("%w: %s", ErrNoKeys, set.Unusable[0])
	}
	return set, nil
}

// whatInstead says what a body is that is not JSON.
func whatInstead(body []byte) string {
	switch {
	case len(body) == 0:
		return "there is nothing"
	case body[0] == '<':
		return "it is a web page"
	case bytes.HasPrefix(body, []byte("-----BEGIN")):
		return "it is PEM text"
	}
	return "it is something else or cut off"
}

// fault is why a key is left out.
type fault struct {
	kid, reason string
	exposed     bool
}

// privateMembers are what only private keys have (RFC 7518, section 6; RFC 9964).
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "priv"}

// parseKey takes one key by go-jose. What must not get there, or what it does not look at, is sorted out first.
func parseKey(text json.RawMessage) (Key, *fault) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return Key{}, &fault{reason: "is no JSON object"}
	}
	member := func(name string) string {
		var s string
		// What is no text is left to go-jose, which says so.
		_ = json.Unmarshal(members[name], &s)
		return s
	}
	kid, kind := member("kid"), member("kty")
	left := func(format string, args ...any) (Key, *fault) {
		return Key{}, &fault{kid: kid, reason: fmt.Sprintf(format, args...)}
	}
	_, symmetric := members["k"]
	if symmetric || kind == "oct" {
		return Key{}, &fault{kid: kid, exposed: symmetric, reason: `is symmetric (kty "oct"): whoever can read it can sign tokens with it, so it must not be in a public set`}
	}
	if slices.ContainsFunc(privateMembers, func(name string) bool { _, ok := members[name]; return ok }) {
		return Key{}, &fault{kid: kid, exposed: true, reason: "is a private key in a public set: whoever has read it can sign tokens, so rotate it at once"}
	}
	if use := member("use"); use != "" && use != "sig" {
		return left("is not for signatures (use %s)", quote(use))
	}
	var operations []string
	if json.Unmarshal(members["key_ops"], &operations) == nil && operations != nil && !slices.Contains(operations, "verify") {
		return left(`is not for verifying (its key_ops lack "verify")`)
	}

	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(text); err != nil {
		if errors.Is(err, jose.ErrUnsupportedKeyType) {
			return left("is of a type that is not known here (kty %s, crv %s)", quote(kind), quote(member("crv")))
		}
		return left("cannot be read: %s", printable(strings.TrimPrefix(err.Error(), "go-jose/go-jose: ")))
	}
	if err := checkKey(jwk.Key, jwk.Algorithm); err != nil {
		return left("%v", err)
	}
	return Key{ID: jwk.KeyID, Algorithm: jwk.Algorithm, Public: jwk.Key}, nil
}

var (
	rsaAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	// ecAlgorithms are tied to their curves (RFC 7518, section 3.4).
	ecAlgorithms      = map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
	ed25519Algorithms = []string{"EdDSA", "Ed25519"}
)

// checkKey says why signatures cannot be verified with a key under its algorithm, which may be "".
func checkKey(public crypto.PublicKey, algorithm string) error {
	var fits []string
	var kind string
	switch key := public.(type) {
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		kind, fits = fmt.Sprintf("an RSA key of %d bits", bits), rsaAlgorithms
		switch {
		case bits < minRSABits:
			return fmt.Errorf("is %s, which is too weak: at least %d are required", kind, minRSABits)
		case bits > maxRSABits:
			return fmt.Errorf("is %s: at most %d are used", kind, maxRSABits)
		case key.N.Bit(0) == 0 || key.E < 3 || key.E&1 == 0 || key.E > 1<<31-1:
			return fmt.Errorf("is no RSA key: modulus and exponent are odd, and the exponent is at least 3")
		}
	case *ecdsa.PublicKey:
		curve := key.Curve.Params().Name
		kind, fits = "a "+curve+" key", []string{ecAlgorithms[curve]}
		if fits[0] == "" {
			return fmt.Errorf("is on a curve that is not known here (%s)", quote(curve))
		}
		// Of a certificate or PEM text the point was checked already, of a JSON key too; ECDH is how to ask once more.
		if _, err := key.ECDH(); err != nil {
			return fmt.Errorf("is not %s: the point is not on the curve", kind)
		}
	case ed25519.PublicKey:
		kind, fits = "an Ed25519 key", ed25519Algorithms
		if len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("is not %s: it has %d bytes", kind, len(key))
		}
	default:
		return fmt.Errorf("is of a type that is not known here")
	}
	if algorithm != "" && !slices.Contains(fits, algorithm) {
		return fmt.Errorf("says it is for %s, and it is %s, which is for %s", quote(algorithm), kind, strings.Join(fits, ", "))
	}
	return nil
}

// quote repeats a foreign text in quotation marks, shortened and without what does not print.
func quote(s string) string { return `"` + printable(s) + `"` }

// printable is s, shortened and without what does not print.
func printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == maxQuoted {
			b.WriteRune('…')
			break
		}
		if !unicode.IsPrint(r) {
			r = '·'
		}
		b.WriteRune(r)
		n++
	}
	return b.String()
}
