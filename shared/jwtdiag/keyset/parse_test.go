package keyset_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"clerksync/shared/jwtdiag/keyset"
)

// equal reports whether two public keys are the same.
func equal(a, b crypto.PublicKey) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

func TestParse_TakesWhatTokensAreVerifiedWith(t *testing.T) {
	t.Parallel()
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	tests := []struct {
		name string
		text string
		want []keyset.Key
	}{
		{"Clerk's", goodSet("ins_1"), []keyset.Key{{ID: "ins_1", Algorithm: "RS256", Public: &rsaKey().PublicKey}}},
		// Supabase signs with these since projects have asymmetric keys.
		{
			"Supabase's", jwks(jwk(&ecKey().PublicKey, "k", "ES256", map[string]any{"key_ops": []string{"verify"}, "ext": true})),
			[]keyset.Key{{ID: "k", Algorithm: "ES256", Public: &ecKey().PublicKey}},
		},
		{
			"other kinds", jwks(jwk(edKey().Public(), "e", "EdDSA", nil), jwk(&p384.PublicKey, "p", "ES384", nil)),
			[]keyset.Key{{ID: "e", Algorithm: "EdDSA", Public: edKey().Public()}, {ID: "p", Algorithm: "ES384", Public: &p384.PublicKey}},
		},
		// Which of two keys with one id is meant, only a signature can tell.
		{
			"one kid twice", jwks(jwk(&rsaKey().PublicKey, "ins_1", "RS256", nil), jwk(&ecKey().PublicKey, "ins_1", "ES256", nil)),
			[]keyset.Key{{ID: "ins_1", Algorithm: "RS256", Public: &rsaKey().PublicKey}, {ID: "ins_1", Algorithm: "ES256", Public: &ecKey().PublicKey}},
		},
		{
			"without kid, alg and use", jwks(jwk(&rsaKey().PublicKey, "", "", map[string]any{"use": nil})),
			[]keyset.Key{{Public: &rsaKey().PublicKey}},
		},
		// A URL in a key is not followed, and members that nobody knows are nobody's business.
		{
			"with more than is needed", jwks(jwk(&rsaKey().PublicKey, "a", "RS256", map[string]any{"x5u": "https://127.0.0.1/c", "new": 1})),
			[]keyset.Key{{ID: "a", Algorithm: "RS256", Public: &rsaKey().PublicKey}},
		},
		// As editors on Windows write it, and Node reads it.
		{"behind a byte order mark", "\ufeff " + goodSet("a") + "\n", []keyset.Key{{ID: "a", Algorithm: "RS256", Public: &rsaKey().PublicKey}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			set, err := keyset.Parse([]byte(test.text))
			if err != nil || len(set.Unusable) > 0 || set.Exposed || len(set.Keys) != len(test.want) {
				t.Fatalf("Parse(%s) = %+v, %v, want %d keys and no complaint", test.text, set, err, len(test.want))
			}
			for i, want := range test.want {
				got := set.Keys[i]
				if got.ID != want.ID || got.Algorithm != want.Algorithm || !equal(got.Public, want.Public) {
					t.Errorf("Parse(%s).Keys[%d] = %+v, want %+v", test.text, i, got, want)
				}
			}
		})
	}
}

func TestParse_LeavesOutSingleKeys(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, key string
		want      []string // in the sentence
		exposed   bool
	}{
		{"private RSA key", jwk(rsaKey(), "ins_2", "RS256", nil), []string{`key 1 of 2 ("ins_2")`, "private key", "rotate"}, true},
		{"private EC key", jwk(ecKey(), "b", "ES256", nil), []string{"private key"}, true},
		{"private Ed25519 key", jwk(edKey(), "b", "EdDSA", nil), []string{"private key"}, true},
		// A part gives the rest away.
		{"one prime", jwk(&rsaKey().PublicKey, "b", "RS256", map[string]any{"p": "AQAB"}), []string{"private key"}, true},
		{"symmetric key", jwk([]byte("0123456789abcdef"), "b", "HS256", nil), []string{"symmetric"}, true},
		{"symmetric key under another name", jwk([]byte("0123456789abcdef"), "b", "HS256", map[string]any{"kty": "RSA"}), []string{"symmetric"}, true},
		{"symmetric key without its secret", `{"kty":"oct","kid":"b"}`, []string{"symmetric"}, false},
		{"weak RSA key", jwk(weakKey(), "b", "RS256", nil), []string{"1024 bits", "2048"}, false},
		// Verifying with it would take minutes.
		{"absurd RSA key", jwk(bogusRSA(1<<17), "b", "RS256", nil), []string{"too large"}, false},
		{"even exponent", jwk(&rsa.PublicKey{N: rsaKey().N, E: 65536}, "b", "RS256", nil), []string{"exponent"}, false},
		{"exponent one", jwk(&rsa.PublicKey{N: rsaKey().N, E: 1}, "b", "RS256", nil), []string{"bad e value"}, false},
		{"for encryption", jwk(&rsaKey().PublicKey, "b", "RSA-OAEP", map[string]any{"use": "enc"}), []string{`use "enc"`}, false},
		{"for wrapping", jwk(&rsaKey().PublicKey, "b", "", map[string]any{"use": nil, "key_ops": []string{"wrapKey"}}), []string{"verify"}, false},
		{"algorithm of another kind", jwk(&rsaKey().PublicKey, "b", "ES256", nil), []string{`"ES256"`, "RS256"}, false},
		{"algorithm of another curve", jwk(&ecKey().PublicKey, "b", "ES384", nil), []string{`"ES384"`, "P-256", "ES256"}, false},
		// The public key as a shared secret: the oldest confusion of all.
		{"algorithm that is symmetric", jwk(&rsaKey().PublicKey, "b", "HS256", nil), []string{`"HS256"`}, false},
		{"unknown type", `{"kty":"XYZ","kid":"b"}`, []string{`kty "XYZ"`}, false},
		{"unknown curve", jwk(edKey().Public(), "b", "", map[string]any{"crv": "X25519"}), []string{`crv "X25519"`}, false},
		{"no type", `{"kid":"b"}`, []string{"key type"}, false},
		{"point beside the curve", jwk(&ecKey().PublicKey, "b", "ES256", map[string]any{"x": strings.Repeat("A", 43)}), []string{"cannot be read"}, false},
		{"not base64", jwk(&rsaKey().PublicKey, "b", "RS256", map[string]any{"n": "!"}), []string{"cannot be read"}, false},
		{"no modulus", jwk(&rsaKey().PublicKey, "b", "RS256", map[string]any{"n": nil}), []string{"cannot be read"}, false},
		{"number for a kid", jwk(&rsaKey().PublicKey, "b", "RS256", map[string]any{"kid": 7}), []string{"key 1 of 2 cannot be read"}, false},
		{"broken certificate", jwk(&rsaKey().PublicKey, "b", "RS256", map[string]any{"x5c": []string{"AAAA"}}), []string{"x5c"}, false},
		{"text", `"ins_1"`, []string{"no JSON object"}, false},
		{"nothing", `null`, []string{"no JSON object"}, false},
		// Whoever reads the sentence on a terminal is not to be painted over.
		{"hostile kid", jwk(weakKey(), "\x1b[2J"+strings.Repeat("x", 9999), "", nil), []string{`"·[2Jxxx`, "…"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			good := jwk(&rsaKey().PublicKey, "ins_1", "RS256", nil)
			set, err := keyset.Parse([]byte(jwks(test.key, good)))
			if err != nil || len(set.Keys) != 1 || set.Keys[0].ID != "ins_1" {
				t.Fatalf("Parse of %.200s and a good key = %+v, %v, want the good one", test.key, set, err)
			}
			if set.Exposed != test.exposed {
				t.Errorf("Parse of %.200s: Exposed = %v, want %v", test.key, set.Exposed, test.exposed)
			}
			if len(set.Unusable) != 1 || !containsAll(set.Unusable[0], test.want) || len(set.Unusable[0]) > 400 {
				t.Errorf("Parse of %.200s: Unusable = %q, want one short sentence with %q", test.key, set.Unusable, test.want)
			}

			alone, err := keyset.Parse([]byte(jwks(test.key)))
			if !errors.Is(err, keyset.ErrNoKeys) || !strings.Contains(err.Error(), alone.Unusable[0]) {
				t.Errorf("Parse of it alone = %v, want ErrNoKeys with the reason %q", err, alone.Unusable)
			}
		})
	}
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

func TestParse_RefusesWhatIsNoSet(t *testing.T) {
	t.Parallel()
	many := make([]string, keyset.MaxKeys+1)
	for i := range many {
		many[i] = `{"kty":"RSA"}`
	}
	tests := []struct {
		name, text string
		want       error
		says       string
	}{
		{"nothing", "", keyset.ErrNotJSON, "nothing"},
		{"web page", "<!DOCTYPE html><html>", keyset.ErrNotJSON, "web page"},
		{"PEM", pemOf("PUBLIC KEY", pkix1(&rsaKey().PublicKey)), keyset.ErrNotJSON, "PEM"},
		{"cut off", goodSet("a")[:100], keyset.ErrNotJSON, "cut off"},
		{"two values", goodSet("a") + goodSet("a"), keyset.ErrNotJSON, ""},
		// Deeper than encoding/json goes, so that nothing behind it has to.
		{"deep", strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), keyset.ErrNotJSON, ""},
		{"list", "[" + jwk(&rsaKey().PublicKey, "a", "", nil) + "]", keyset.ErrNotJWKS, "no object"},
		{"null", "null", keyset.ErrNotJWKS, "no object"},
		{"single key", jwk(&rsaKey().PublicKey, "a", "", nil), keyset.ErrNotJWKS, "single key"},
		{"Clerk's error", `{"errors":[{"code":"host_invalid"}]}`, keyset.ErrNotJWKS, `"keys"`},
		{"keys that are none", `{"keys":"none"}`, keyset.ErrNotJWKS, `"keys"`},
		{"null keys", `{"keys":null}`, keyset.ErrNotJWKS, `"keys"`},
		// Members of JSON are told apart by case.
		{"other case", `{"KEYS":[]}`, keyset.ErrNotJWKS, `"keys"`},
		{"empty", `{"keys":[]}`, keyset.ErrNoKeys, "empty"},
		{"many", jwks(many...), keyset.ErrTooManyKeys, "101"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			set, err := keyset.Parse([]byte(test.text))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || len(set.Keys) > 0 {
				t.Errorf("Parse(%.200s) = %+v, %v, want %v that says %q", test.text, set, err, test.want, test.says)
			}
		})
	}
}

func TestSet_FindsEveryKeyOfAnID(t *testing.T) {
	t.Parallel()
	set := keyset.Set{Keys: []keyset.Key{
		{Algorithm: "any"}, {ID: "a", Algorithm: "first"}, {ID: "b"}, {ID: "a", Algorithm: "second"},
	}}
	for kid, want := range map[string]string{"a": "first second any", "b": " any", "c": "any", "": "any"} {
		var got []string
		for _, key := range set.FindAll(kid) {
			got = append(got, key.Algorithm)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("FindAll(%q) = %q, want %q", kid, got, want)
		}
		if key, ok := set.Find(kid); !ok || key.Algorithm != strings.Split(want, " ")[0] {
			t.Errorf("Find(%q) = %+v, %v, want the first of %q", kid, key, ok, want)
		}
	}
	if key, ok := (keyset.Set{Keys: []keyset.Key{{ID: "a"}}}).Find("b"); ok {
		t.Errorf("Find of an id that no key has = %+v", key)
	}
	served, err := set.Static().Keys(t.Context(), "a")
	if err != nil || len(served.Keys) != len(set.Keys) {
		t.Errorf("Static().Keys = %+v, %v, want the set", served, err)
	}
}

// checkSet fails a test on what must hold of every set, whatever it was read from.
func checkSet(t *testing.T, set keyset.Set, err error) {
	t.Helper()
	if (err == nil) != (len(set.Keys) > 0) {
		t.Errorf("%d keys and the error %v, want either", len(set.Keys), err)
	}
	for _, key := range set.Keys {
		switch public := key.Public.(type) {
		case *rsa.PublicKey:
			if bits := public.N.BitLen(); bits < 2048 || bits > 8192 {
				t.Errorf("an RSA key of %d bits is taken", bits)
			}
		case *ecdsa.PublicKey:
			if _, err := public.ECDH(); err != nil {
				t.Errorf("an EC key that is no point is taken: %v", err)
			}
		case ed25519.PublicKey:
			if len(public) != ed25519.PublicKeySize {
				t.Errorf("an Ed25519 key of %d bytes is taken", len(public))
			}
		default:
			t.Errorf("a key of type %T is taken", key.Public)
		}
	}
	for _, sentence := range append(set.Unusable, fmt.Sprint(err)) {
		if len(sentence) > 1000 || strings.IndexFunc(sentence, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("a sentence is long or does not print: %q", sentence)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		goodSet("ins_1"), jwks(jwk(rsaKey(), "a", "RS256", nil)), jwks(jwk(&ecKey().PublicKey, "a", "ES256", nil)),
		jwks(jwk(edKey().Public(), "a", "", nil), jwk(weakKey(), "b", "", nil)), `{"keys":[{"kty":"oct","k":"AA"}]}`,
		`{"keys":[null,1,{}]}`, `{"keys":{}}`, "<html>", "", "\ufeff{}",
		jwks(jwk(&rsaKey().PublicKey, "a", "RS256", map[string]any{"x5c": []string{"AAAA"}, "x5t": "AA", "x5u": "::"})),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		set, err := keyset.Parse(body)
		checkSet(t, set, err)
		if n := len(set.Keys) + len(set.Unusable); n > keyset.MaxKeys {
			t.Errorf("Parse(%q) speaks of %d keys", body, n)
		}
		// What is taken is public, and says the same when it is read again.
		for _, key := range set.Keys {
			again, err := keyset.Parse([]byte(jwks(jwk(key.Public, key.ID, key.Algorithm, nil))))
			if err != nil || len(again.Keys) != 1 || !equal(again.Keys[0].Public, key.Public) {
				t.Errorf("Parse of a key of Parse(%q) = %+v, %v, want the same key", body, again, err)
			}
		}
	})
}
