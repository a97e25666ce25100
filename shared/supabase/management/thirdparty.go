package management

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// ThirdPartyAuth is a third-party provider that a project trusts (Supabase OpenAPI, ThirdPartyAuth). What an answer leaves
// out, or has as null, is zero.
type ThirdPartyAuth struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// OIDCIssuerURL is the issuer whose tokens are trusted, as it was entered.
	OIDCIssuerURL string `json:"oidc_issuer_url"`
	JWKSURL       string `json:"jwks_url"`
	// CustomJWKS are keys that were entered, ResolvedJWKS those that Supabase has fetched and verifies with. Both are JSON
	// as it came, nil where there is none.
	CustomJWKS   json.RawMessage `json:"custom_jwks"`
	ResolvedJWKS json.RawMessage `json:"resolved_jwks"`
	InsertedAt   time.Time       `json:"inserted_at"`
	UpdatedAt    time.Time       `json:"updated_at"`
	// ResolvedAt is when ResolvedJWKS were fetched.
	ResolvedAt time.Time `json:"resolved_at"`
}

// UnmarshalJSON reads any object.
func (a *ThirdPartyAuth) UnmarshalJSON(text []byte) error {
	o, err := readObject(text)
	if err != nil {
		return err
	}
	*a = ThirdPartyAuth{
		ID: o.text("id"), Type: o.text("type"), OIDCIssuerURL: o.text("oidc_issuer_url"), JWKSURL: o.text("jwks_url"),
		CustomJWKS: o.raw("custom_jwks"), ResolvedJWKS: o.raw("resolved_jwks"),
		InsertedAt: o.time("inserted_at"), UpdatedAt: o.time("updated_at"), ResolvedAt: o.time("resolved_at"),
	}
	return nil
}

// Registration is what a provider is registered with. The API takes one of several members; clerksync uses the issuer.
type Registration struct {
	OIDCIssuerURL string `json:"oidc_issuer_url,omitempty"`
}

const (
	readAuth, readAuthScope   = "auth_config_read", "auth:read"
	writeAuth, writeAuthScope = "auth_config_write", "auth:write"
)

func providersOf(ref string) string {
	return "/v1/projects/" + url.PathEscape(ref) + "/config/auth/third-party-auth"
}

// ThirdPartyAuth lists the third-party providers that a project trusts. An empty list means that there are none.
func (c *Client) ThirdPartyAuth(ctx context.Context, ref string) ([]ThirdPartyAuth, error) {
	if err := CheckRef(ref); err != nil {
		return nil, err
	}
	var list []ThirdPartyAuth
	err := c.do(ctx, call{
		doing: "listing the third-party providers", permission: readAuth, scope: readAuthScope,
		method: http.MethodGet, path: providersOf(ref), repeats: true, wanted: "a list of providers",
	}, &list)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Provider reads one provider of a project.
func (c *Client) Provider(ctx context.Context, ref, id string) (ThirdPartyAuth, error) {
	if err := CheckRef(ref); err != nil {
		return ThirdPartyAuth{}, err
	}
	var provider ThirdPartyAuth
	err := c.do(ctx, call{
		doing: "reading a third-party provider", about: "third-party provider", permission: readAuth, scope: readAuthScope,
		method: http.MethodGet, path: providersOf(ref) + "/" + url.PathEscape(id), repeats: true, wanted: "a provider",
	}, &provider)
	return provider, err
}

// Register has a project trust one more provider. It is not sent again after an answer that was lost: list the providers
// first, since a project may trust the same issuer twice.
func (c *Client) Register(ctx context.Context, ref string, r Registration) (ThirdPartyAuth, error) {
	if err := CheckRef(ref); err != nil {
		return ThirdPartyAuth{}, err
	}
	var provider ThirdPartyAuth
	err := c.do(ctx, call{
		doing: "registering Clerk as third-party provider", permission: writeAuth, scope: writeAuthScope,
		method: http.MethodPost, path: providersOf(ref), body: r, wanted: "a provider",
	}, &provider)
	return provider, err
}

// Unregister has a project trust a provider no longer. One that is not there any more is [ErrNotFound].
func (c *Client) Unregister(ctx context.Context, ref, id string) error {
	if err := CheckRef(ref); err != nil {
		return err
	}
	return c.do(ctx, call{
		doing: "removing a third-party provider", about: "third-party provider", permission: writeAuth, scope: writeAuthScope,
		method: http.MethodDelete, path: providersOf(ref) + "/" + url.PathEscape(id), repeats: true,
	}, nil)
}
