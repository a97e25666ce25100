package tokens

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// The documents of the Frontend API (Clerk OpenAPI fapi).
const (
	JWKSPath          = "/.well-known/jwks.json"
	ConfigurationPath = "/.well-known/openid-configuration"
)

// frontendHost is the host of the instance's Frontend API: made up from the
// instance's id, of a development instance's form, and of no one's.
func (m *Mint) frontendHost() string {
	return fmt.Sprintf("double-%.5x.clerk.accounts.dev", sha256.Sum256([]byte(m.instance.ID())))
}

// PublishableKey is the instance's, of the form pk_test_…. It holds the host of a
// Frontend API that is not served: the double's own is elsewhere, and its address
// is to be given as the issuer.
func (m *Mint) PublishableKey() string {
	return "pk_test_" + base64.RawStdEncoding.EncodeToString([]byte(m.frontendHost()+"$"))
}

// FrontendAPI returns the public documents of the instance's Frontend API,
// [JWKSPath] and [ConfigurationPath], which need no key. The issuer is its URL.
func (m *Mint) FrontendAPI() http.Handler {
	// Texts always have a JSON form.
	configuration, _ := json.Marshal(map[string]any{
		"issuer": m.issuer, "jwks_uri": m.issuer + JWKSPath,
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
	})
	documents := map[string]func() []byte{JWKSPath: m.JWKS, ConfigurationPath: func() []byte { return configuration }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		document, ok := documents[r.URL.Path]
		switch {
		case !ok:
			resource.Answer(w, resource.NoRoute.Status, resource.NoRoute.Append(nil))
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			resource.Answer(w, resource.NoMethod.Status, resource.NoMethod.Append(nil))
		default:
			resource.Answer(w, http.StatusOK, document())
		}
	})
}
