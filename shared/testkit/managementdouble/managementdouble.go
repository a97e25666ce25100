// Package managementdouble is Supabase's Management API in memory, as far as
// setting up and looking after a project needs it.
//
//	api := managementdouble.New(managementdouble.Options{
//		Tokens: map[string]managementdouble.Access{"sbp_a": managementdouble.ReadWrite},
//	})
//	api.Add(managementdouble.Project{Ref: "abcdefghijklmnopqrst", Database: database})
//	server := httptest.NewServer(api) // https://api.supabase.com, up to /v1
//	provider, err := api.Register(ctx, "abcdefghijklmnopqrst", managementdouble.Registration{OIDCIssuerURL: issuer})
//
// Registering fetches, over HTTP, the issuer's
// /.well-known/openid-configuration and the keys that it names. They stay what
// they are until [API.Resolve] plays Supabase's own round, which on the real one
// can come half an hour after a rotation. [API.ResolveLater] has providers that are
// registered from then on show no keys for a number of reads, or never.
//
// SQL runs on the Postgres that a project names; logins that are made are roles
// there. [Halve] as Intercept cuts an answer in half.
//
// Limits: what is not published is assumed. An issuer that cannot be reached is
// registered without resolved keys; a provider names at least one of issuer, key
// set and keys, and the first of them counts; a project may trust the same
// issuer twice. Error texts other than "Unauthorized" are the double's own. The
// real API has no routes for a project that is not there beside 403 and 404; which
// of the two depends on the token, and here 404 is for tokens that may read, 403 for
// those of another organization. What asks the services of a project that does not
// run is answered 400.
//
// Sources: Supabase OpenAPI v1 (operations, shapes, permissions and statuses of
// 2026-06), Supabase docs, Management API (rate limits), docs on third-party auth.
package managementdouble

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Access is what a token may do with the auth configuration of the projects.
type Access int

// The accesses.
const (
	// NoAccess: the token is valid, and may do nothing here.
	NoAccess Access = iota
	Read
	ReadWrite
)

// DefaultLimit is how many requests a minute a token has for one project and
// endpoint.
const DefaultLimit = 120

// Options describe the API. The zero value has every project and takes every
// token for everything.
type Options struct {
	// Tokens are those that are valid; nil means every one, for everything.
	Tokens map[string]Access
	// Permissions are those of fine-grained tokens, by token, such as
	// auth_config_read. Such a token is valid without being among Tokens.
	Permissions map[string][]string
	// Organizations are those that tokens belong to, by token; one that is not
	// named sees every project.
	Organizations map[string]string
	// Projects are the references of those that exist, beside what [API.Add]
	// adds; nil means every one, unless one is added.
	Projects []string
	// Statuses are those of projects that are not ACTIVE_HEALTHY, by reference.
	Statuses map[string]string
	// Schemas are those that the Data API of each project serves, with commas; "" means
	// "public,graphql_public".
	Schemas string
	// Lints are what the security advisors find.
	Lints []Lint
	// Limit of requests a minute; 0 means DefaultLimit, and less any number.
	Limit int
	// Latency is how long every answer takes.
	Latency time.Duration
	// Intercept, if set, is handed every request and the API, to play whatever
	// else can happen.
	Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)
	// HTTPClient fetches what issuers publish; nil means an own one.
	HTTPClient *http.Client
	// Now is the clock; nil means the system's.
	Now func() time.Time
}

// Registration is what a provider is registered with.
type Registration struct {
	OIDCIssuerURL string          `json:"oidc_issuer_url,omitempty"`
	JWKSURL       string          `json:"jwks_url,omitempty"`
	CustomJWKS    json.RawMessage `json:"custom_jwks,omitempty"`
}

// Provider is a provider as the API shows it. What is nil is null.
type Provider struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	OIDCIssuerURL *string         `json:"oidc_issuer_url"`
	JWKSURL       *string         `json:"jwks_url"`
	CustomJWKS    json.RawMessage `json:"custom_jwks"`
	ResolvedJWKS  json.RawMessage `json:"resolved_jwks"`
	InsertedAt    time.Time       `json:"inserted_at"`
	UpdatedAt     time.Time       `json:"updated_at"`
	ResolvedAt    *time.Time      `json:"resolved_at"`
}

// API is the Management API: an http.Handler for /v1/…. Call New.
type API struct {
	options Options
	client  *http.Client
	routes  *http.ServeMux

	mu       sync.Mutex
	projects map[string][]Provider
	windows  map[string]window
	requests int
	added    []*Project
	// unresolved counts the reads for which a provider, by its id, shows no keys;
	// less than 0 means all.
	unresolved map[string]int
	later      int
}

// window is a minute of one token, project and endpoint.
type window struct {
	ends time.Time
	used int
}

// fetchLimit bounds one request to an issuer, as the Supabase CLI does.
const fetchLimit = 10 * time.Second

const collection = "/v1/projects/{ref}/config/auth/third-party-auth"

// New returns an API in which no project trusts anybody.
func New(o Options) *API {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limit == 0 {
		o.Limit = DefaultLimit
	}
	a := &API{
		options: o, client: &http.Client{Timeout: fetchLimit}, routes: http.NewServeMux(),
		projects: map[string][]Provider{}, windows: map[string]window{}, unresolved: map[string]int{},
	}
	if o.HTTPClient != nil {
		a.client = o.HTTPClient
	}
	a.route("GET "+collection, "auth_config_read", http.StatusOK, a.list)
	a.route("POST "+collection, "auth_config_write", http.StatusCreated, a.create)
	a.route("GET "+collection+"/{tpa_id}", "auth_config_read", http.StatusOK, a.read)
	a.route("DELETE "+collection+"/{tpa_id}", "auth_config_write", http.StatusOK, a.remove)
	a.projectRoutes()
	a.route("/", "", http.StatusOK, func(r *http.Request) (any, *failure) {
		return nil, &failure{http.StatusNotFound, fmt.Sprintf("Cannot %s %s", r.Method, r.URL.Path)}
	})
	return a
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.requests++
	a.mu.Unlock()
	if a.options.Intercept != nil {
		a.options.Intercept(w, r, a.routes)
		return
	}
	a.routes.ServeHTTP(w, r)
}

// Requests is how many there were, those included that were intercepted.
func (a *API) Requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// Register does what a POST does, without token and limit.
func (a *API) Register(ctx context.Context, project string, r Registration) (Provider, error) {
	provider, fail := a.newProvider(ctx, r)
	if fail != nil {
		return Provider{}, fail
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.projects[project] = append(a.projects[project], provider)
	return provider, nil
}

// Resolve fetches the keys of a project's providers anew. Where that fails, the
// earlier ones stay.
func (a *API) Resolve(ctx context.Context, project string) {
	a.mu.Lock()
	providers := slices.Clone(a.projects[project])
	a.mu.Unlock()
	for i := range providers {
		if keys := a.keys(ctx, providers[i]); keys != nil {
			providers[i].ResolvedJWKS, providers[i].ResolvedAt = keys, new(a.options.Now().UTC())
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, known := range a.projects[project] {
		for _, fresh := range providers {
			if fresh.ID == known.ID {
				a.projects[project][i] = fresh
			}
		}
	}
}

func (a *API) newProvider(ctx context.Context, r Registration) (Provider, *failure) {
	p := Provider{ID: newUUID(), Type: "custom", InsertedAt: a.options.Now().UTC()}
	p.UpdatedAt = p.InsertedAt
	for _, given := range []struct {
		name, value string
		into        **string
	}{{"oidc_issuer_url", r.OIDCIssuerURL, &p.OIDCIssuerURL}, {"jwks_url", r.JWKSURL, &p.JWKSURL}} {
		if given.value == "" {
			continue
		}
		u, err := url.Parse(given.value)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return p, &failure{http.StatusBadRequest, given.name + " must be a URL address"}
		}
		*given.into = &given.value
		if host := u.Hostname(); strings.HasPrefix(host, "clerk.") || strings.HasSuffix(host, ".clerk.accounts.dev") {
			p.Type = "clerk"
		}
	}
	if len(r.CustomJWKS) > 0 && string(r.CustomJWKS) != "null" {
		p.CustomJWKS = r.CustomJWKS
	}
	if p.OIDCIssuerURL == nil && p.JWKSURL == nil && p.CustomJWKS == nil {
		return p, &failure{http.StatusBadRequest, "one of oidc_issuer_url, jwks_url and custom_jwks is required"}
	}
	if keys := a.keys(ctx, p); keys != nil {
		p.ResolvedJWKS, p.ResolvedAt = keys, new(a.options.Now().UTC())
	}
	return p, nil
}

// keys are what a provider publishes now, or nil.
func (a *API) keys(ctx context.Context, p Provider) json.RawMessage {
	switch {
	case p.OIDCIssuerURL != nil:
		var configuration struct {
			KeysURL string `json:"jwks_uri"`
		}
		text := a.fetch(ctx, strings.TrimRight(*p.OIDCIssuerURL, "/")+"/.well-known/openid-configuration")
		if json.Unmarshal(text, &configuration) != nil || configuration.KeysURL == "" {
			return nil
		}
		return a.fetch(ctx, configuration.KeysURL)
	case p.JWKSURL != nil:
		return a.fetch(ctx, *p.JWKSURL)
	}
	return p.CustomJWKS
}

// fetch returns JSON, or nil.
func (a *API) fetch(ctx context.Context, address string) json.RawMessage {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	var text json.RawMessage
	if response.StatusCode != http.StatusOK || json.NewDecoder(http.MaxBytesReader(nil, response.Body, maxBody)).Decode(&text) != nil {
		return nil
	}
	return text
}

// find returns the place of a provider in its project. It is called with the lock held.
func (a *API) find(r *http.Request) (int, *failure) {
	id := r.PathValue("tpa_id")
	if !uuidPattern.MatchString(id) {
		return 0, &failure{http.StatusBadRequest, "tpa_id must be a UUID"}
	}
	i := slices.IndexFunc(a.projects[r.PathValue("ref")], func(p Provider) bool { return p.ID == strings.ToLower(id) })
	if i < 0 {
		return 0, &failure{http.StatusNotFound, "there is no such third-party auth integration"}
	}
	return i, nil
}

func (a *API) list(r *http.Request) (any, *failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	shown := []Provider{}
	for _, provider := range a.projects[r.PathValue("ref")] {
		shown = append(shown, a.shown(provider))
	}
	return shown, nil
}

// shown is what a read shows of a provider. It is called with the lock held.
func (a *API) shown(p Provider) Provider {
	left := a.unresolved[p.ID]
	if left == 0 {
		return p
	}
	a.unresolved[p.ID] = left - 1
	p.ResolvedJWKS, p.ResolvedAt = nil, nil
	return p
}

// ResolveLater has providers that are registered from now on show no keys for a
// number of reads; less than 0 means never.
func (a *API) ResolveLater(reads int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.later = reads
}

// Providers are those that a project trusts.
func (a *API) Providers(project string) []Provider {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.projects[project])
}

func (a *API) create(r *http.Request) (any, *failure) {
	var registration Registration
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&registration); err != nil {
		return nil, &failure{http.StatusBadRequest, "the body is not the JSON that is wanted"}
	}
	provider, fail := a.newProvider(r.Context(), registration)
	if fail != nil {
		return nil, fail
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	ref := r.PathValue("ref")
	a.projects[ref] = append(a.projects[ref], provider)
	a.unresolved[provider.ID] = a.later
	return a.shown(provider), nil
}

func (a *API) read(r *http.Request) (any, *failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, fail := a.find(r)
	if fail != nil {
		return nil, fail
	}
	return a.shown(a.projects[r.PathValue("ref")][i]), nil
}

func (a *API) remove(r *http.Request) (any, *failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, fail := a.find(r)
	if fail != nil {
		return nil, fail
	}
	ref := r.PathValue("ref")
	provider := a.projects[ref][i]
	a.projects[ref] = slices.Delete(a.projects[ref], i, i+1)
	return provider, nil
}

var uuidPattern = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// newUUID is of version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
