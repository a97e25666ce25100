package jwtdiag_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
)

// One diagnosis without a network, beside what nobody can do without: verifying
// the signature alone.
func BenchmarkDiagnose(b *testing.B) {
	good := jwttest.Sign(jwttest.Header(), jwttest.Claims())
	expired := jwttest.Sign(jwttest.Header(), jwttest.Claims().With("exp", "1"))
	var verifying float64
	b.Run("signature alone", func(b *testing.B) {
		for b.Loop() {
			parts := strings.Split(good, ".")
			signature, err := base64.RawURLEncoding.DecodeString(parts[2])
			if err != nil {
				b.Fatal(err)
			}
			sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
			if err := rsa.VerifyPKCS1v15(&jwttest.Key().PublicKey, crypto.SHA256, sum[:], signature); err != nil {
				b.Fatal(err)
			}
		}
		verifying = float64(b.Elapsed().Nanoseconds()) / float64(b.N)
	})
	ofProject := jwttest.Options()
	ofProject.Providers = nil
	for _, bench := range []struct {
		name, token string
		options     jwtdiag.Options
	}{
		{"session token", good, ofProject},
		{"expired token", expired, ofProject},
		// The project's own copy of the key is parsed and tried as well.
		{"session token and provider", good, jwttest.Options()},
		{"no token", "sk_live_4fGh7Jk9Lm2Np5Qr8St1Uv4Wx7Yz", ofProject},
	} {
		b.Run(bench.name, func(b *testing.B) {
			d := jwtdiag.New(bench.options)
			b.ReportAllocs()
			for b.Loop() {
				d.Diagnose(b.Context(), jwtdiag.Request{Token: bench.token})
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/verifying, "x_signature")
		})
	}
}
