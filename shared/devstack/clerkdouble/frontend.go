package clerkdouble

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// The documents of the Frontend API (Clerk OpenAPI fapi).
const (
	JWKSPath          = "/.well-known/jwks.json"
	ConfigurationPath = "/.well-known/openid-configuration"
)

// frontendHost is the host of the instance's Frontend API: made up from the
// instance's id, of a development instance's form, and nobody's.
func (c *Instance) frontendHost() string {
	return fmt.Sprintf("double-%.5x.clerk.accounts.dev", sha256.Sum256([]byte(c.id)))
}

// Issuer is the iss of the instance's tokens, unless they are given another.
func (c *Instance) Issuer() string { return cmp.Or(c.configuredIssuer, "https://"+c.frontendHost()) }

// PublishableKey is the instance's, of the form pk_test_…. It holds the host of a
// Frontend API that nobody serves; who serves the double's own says so by
// [FrontendOptions].
func (c *Instance) PublishableKey() string {
	return "pk_test_" + base64.RawStdEncoding.EncodeToString([]byte(c.frontendHost()+"$"))
}

// FrontendOptions say where the Frontend API is served.
type FrontendOptions struct {
	// Issuer is its URL, without a final slash, and the iss of the tokens that
	// belong to it; "" means [Instance.Issuer].
	Issuer string
}

// FrontendAPI returns the public documents of the instance's Frontend API,
// [JWKSPath] and [ConfigurationPath], which need no key.
func (c *Instance) FrontendAPI(o FrontendOptions) http.Handler {
	issuer := strings.TrimSuffix(cmp.Or(o.Issuer, c.Issuer()), "/")
	documents := map[string]func() []byte{
		JWKSPath: c.JWKS,
		ConfigurationPath: func() []byte {
			// Texts always have a JSON form.
			body, _ := json.Marshal(map[string]any{
				"issuer": issuer, "jwks_uri": issuer + JWKSPath,
				"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
				"id_token_signing_alg_values_supported": []string{"RS256"},
			})
			return body
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ok := documents[r.URL.Path]
		status := http.StatusOK
		var body []byte
		switch {
		case !ok:
			status, body = errNoRoute.status, errNoRoute.append(nil)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			status, body = errMethod.status, errMethod.append(nil)
		default:
			body = document()
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		// Whoever hung up does not need the answer.
		_, _ = w.Write(body)
	})
}
