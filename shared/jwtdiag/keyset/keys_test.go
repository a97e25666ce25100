package keyset_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The keys of all tests, each made when it is first wanted.
var (
	rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey  = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey  = sync.OnceValue(func() ed25519.PrivateKey {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return must(key, err)
	})
	// weakKey is public alone: Go does not make keys of this size any more.
	weakKey = sync.OnceValue(func() *rsa.PublicKey { return bogusRSA(1024) })
)

// bogusRSA is a public key of a size, which nobody has the private one of.
func bogusRSA(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.Add(n, big.NewInt(12345)), E: 65537}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// jwk is a key as JSON, private or public, with members replaced, or taken away where the value is nil.
func jwk(key any, kid, algorithm string, change map[string]any) string {
	text := must(json.Marshal(jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: algorithm, Use: "sig"}))
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		panic(err)
	}
	for name, value := range change {
		if members[name] = value; value == nil {
			delete(members, name)
		}
	}
	return string(must(json.Marshal(members)))
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// goodSet is what Clerk's answers look like.
func goodSet(kid string) string { return jwks(jwk(&rsaKey().PublicKey, kid, "RS256", nil)) }

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkix1(key crypto.PublicKey) []byte { return must(x509.MarshalPKIXPublicKey(key)) }

func certificate(tb testing.TB, key crypto.PublicKey) []byte {
	tb.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Unix(4e9, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key, ecKey())
	if err != nil {
		tb.Fatal(err)
	}
	return der
}
