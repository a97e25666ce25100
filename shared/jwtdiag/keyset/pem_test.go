package keyset_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"clerksync/shared/jwtdiag/keyset"
)

func TestFromPEM_TakesWhatPeoplePaste(t *testing.T) {
	t.Parallel()
	public := pemOf("PUBLIC KEY", pkix1(&rsaKey().PublicKey))
	tests := []struct {
		name, text string
		want       any
	}{
		{"PKIX", public, &rsaKey().PublicKey},
		{"PKCS #1", pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)), &rsaKey().PublicKey},
		{"EC", pemOf("PUBLIC KEY", pkix1(&ecKey().PublicKey)), &ecKey().PublicKey},
		{"Ed25519", pemOf("PUBLIC KEY", pkix1(edKey().Public())), edKey().Public()},
		{"certificate", pemOf("CERTIFICATE", certificate(t, &rsaKey().PublicKey)), &rsaKey().PublicKey},
		// As a single line in an environment file.
		{"literal line breaks", strings.ReplaceAll(public, "\n", `\n`), &rsaKey().PublicKey},
		{"Windows line breaks, literal", strings.ReplaceAll(public, "\n", `\r\n`), &rsaKey().PublicKey},
		// As a shell leaves it that splits and joins words.
		{"spaces for line breaks", strings.ReplaceAll(public, "\n", " "), &rsaKey().PublicKey},
		{"no line breaks", strings.ReplaceAll(public, "\n", ""), &rsaKey().PublicKey},
		// Clerk's own libraries take it, too.
		{"base64 alone", base64.StdEncoding.EncodeToString(pkix1(&rsaKey().PublicKey)), &rsaKey().PublicKey},
		{"words around it", "CLERK_JWT_KEY=\n" + public + "\n# end", &rsaKey().PublicKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			set, err := keyset.FromPEM([]byte(test.text))
			if err != nil || len(set.Keys) != 1 || set.Keys[0].ID != "" || !equal(set.Keys[0].Public, test.want) {
				t.Errorf("FromPEM(%s) = %+v, %v, want the key without an id", test.text, set, err)
			}
		})
	}
}

func TestFromPEM_TakesTheFirstCertificateOfAChain(t *testing.T) {
	t.Parallel()
	chain := pemOf("CERTIFICATE", certificate(t, &rsaKey().PublicKey)) + pemOf("CERTIFICATE", certificate(t, &ecKey().PublicKey))
	set, err := keyset.FromPEM([]byte(chain))
	if err != nil || len(set.Keys) != 1 || !equal(set.Keys[0].Public, &rsaKey().PublicKey) || len(set.Unusable) != 1 {
		t.Errorf("FromPEM of a chain = %+v, %v, want its first key and a word about the other", set, err)
	}
	both := pemOf("PUBLIC KEY", pkix1(&rsaKey().PublicKey)) + pemOf("PUBLIC KEY", pkix1(&ecKey().PublicKey))
	if set, err := keyset.FromPEM([]byte(both)); err != nil || len(set.Keys) != 2 {
		t.Errorf("FromPEM of two public keys = %+v, %v, want both", set, err)
	}
}

func TestFromPEM_RefusesTheRest(t *testing.T) {
	t.Parallel()
	pkcs8 := must(x509.MarshalPKCS8PrivateKey(rsaKey()))
	sec1 := must(x509.MarshalECPrivateKey(ecKey()))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	public := pemOf("PUBLIC KEY", pkix1(&rsaKey().PublicKey))
	tests := []struct {
		name, text string
		want       error
		says       string
	}{
		{"private key", pemOf("PRIVATE KEY", pkcs8), keyset.ErrPrivateKey, "rotate"},
		{"RSA private key", pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey())), keyset.ErrPrivateKey, ""},
		{"EC private key", pemOf("EC PRIVATE KEY", sec1), keyset.ErrPrivateKey, ""},
		{"encrypted private key", pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), keyset.ErrPrivateKey, ""},
		{"half of a private key", pemOf("PRIVATE KEY", pkcs8)[:200], keyset.ErrPrivateKey, ""},
		// Names can be wrong, what is in the block cannot.
		{"private key under another name", pemOf("PUBLIC KEY", pkcs8), keyset.ErrPrivateKey, ""},
		{"private key without a name", base64.StdEncoding.EncodeToString(sec1), keyset.ErrPrivateKey, ""},
		{"private key beside a public one", public + pemOf("PRIVATE KEY", pkcs8), keyset.ErrPrivateKey, ""},
		{"nothing", " \n", keyset.ErrNotPEM, "nothing"},
		{"key set", goodSet("a"), keyset.ErrNotPEM, "JSON"},
		{"publishable key", "pk_test_ZXhhbXBsZS5jbGVyay5hY2NvdW50cy5kZXYk", keyset.ErrNotPEM, "BEGIN PUBLIC KEY"},
		{"base64 of something else", "aGVsbG8gd29ybGQ=", keyset.ErrNotPEM, "BEGIN PUBLIC KEY"},
		{"cut off", public[:200], keyset.ErrNotPEM, "cut off"},
		{"long", public + strings.Repeat(" ", keyset.MaxPEM), keyset.ErrNotPEM, "bytes"},
		{"damaged", strings.Replace(public, "MII", "M!!", 1), keyset.ErrNoKeys, "damaged"},
		{"another end", strings.Replace(public, "END PUBLIC KEY", "END CERTIFICATE", 1), keyset.ErrNoKeys, "damaged"},
		{"another name", pemOf("CERTIFICATE", pkix1(&rsaKey().PublicKey)), keyset.ErrNoKeys, "damaged"},
		{"signing request", pemOf("CERTIFICATE REQUEST", []byte("x")), keyset.ErrNoKeys, "neither"},
		{"weak key", pemOf("PUBLIC KEY", pkix1(weakKey())), keyset.ErrNoKeys, "1024 bits"},
		{"absurd key", pemOf("PUBLIC KEY", pkix1(bogusRSA(1<<14))), keyset.ErrNoKeys, "16384 bits"},
		{"weak key without a name", base64.StdEncoding.EncodeToString(pkix1(weakKey())), keyset.ErrNoKeys, "1024 bits"},
		{"unknown curve", pemOf("PUBLIC KEY", pkix1(&p224.PublicKey)), keyset.ErrNoKeys, "P-224"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			set, err := keyset.FromPEM([]byte(test.text))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) || len(set.Keys) > 0 {
				t.Errorf("FromPEM(%.300s) = %+v, %v, want %v that says %q", test.text, set, err, test.want, test.says)
			}
		})
	}
}

func FuzzFromPEM(f *testing.F) {
	public := pemOf("PUBLIC KEY", pkix1(&rsaKey().PublicKey))
	for _, seed := range []string{
		public, strings.ReplaceAll(public, "\n", `\n`), pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey()))),
		pemOf("CERTIFICATE", certificate(f, &ecKey().PublicKey)), base64.StdEncoding.EncodeToString(pkix1(&ecKey().PublicKey)),
		"-----BEGIN X-----\n-----END X-----", "{}", "",
	} {
		f.Add([]byte(seed))
	}
	private := pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(ecKey())))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := keyset.FromPEM(text)
		checkSet(t, set, err)
		for _, key := range set.Keys {
			again, err := keyset.FromPEM([]byte(pemOf("PUBLIC KEY", pkix1(key.Public))))
			if err != nil || len(again.Keys) != 1 || !equal(again.Keys[0].Public, key.Public) {
				t.Errorf("FromPEM of a key of FromPEM(%q) = %+v, %v, want the same key", text, again, err)
			}
		}
		// A private key is noticed wherever it stands.
		if len(text)+len(private) <= keyset.MaxPEM {
			if set, err := keyset.FromPEM(append(append([]byte{}, text...), private...)); !errors.Is(err, keyset.ErrPrivateKey) {
				t.Errorf("FromPEM(%q and a private key) = %+v, %v, want ErrPrivateKey", text, set, err)
			}
		}
	})
}
