package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"clerksync/shared/netaddr"
	"clerksync/shared/secret"
)

// DefaultManagementURL is where Supabase's Management API is.
const DefaultManagementURL = "https://api.supabase.com"

// How long an answer is served again. The API allows 120 requests a minute for a user, a project and an endpoint together
// (Supabase docs, Management API), which everybody who holds the token shares.
const (
	managementTTL = time.Minute
	// managementPause is for failures, which may be mended sooner.
	managementPause = 10 * time.Second
)

// ManagementOptions say which project to ask about. Token and ProjectRef are required.
type ManagementOptions struct {
	// Token is a personal access token (sbp_…) or one of an OAuth app. It needs to read the project's auth configuration:
	// auth_config_read, or the scope auth:read.
	Token secret.Value
	// ProjectRef is the project's reference, 20 lower-case letters.
	ProjectRef string
	// URL is where the API is, without its version; "" means DefaultManagementURL. It must be https, or http on this
	// machine: the token goes with every request.
	URL string
	// HTTPClient sends the requests; nil means one of the Management's own. Its redirect rule is not used: redirects are
	// never followed, since the token would go with them.
	HTTPClient *http.Client
}

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

// UnmarshalJSON reads any object. A member of another type than is published counts as absent: one that is not understood
// should not hide the rest.
func (a *ThirdPartyAuth) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || members == nil {
		return errors.New("a provider that is no JSON object")
	}
	*a = ThirdPartyAuth{
		ID: textMember(members["id"]), Type: textMember(members["type"]),
		OIDCIssuerURL: textMember(members["oidc_issuer_url"]), JWKSURL: textMember(members["jwks_url"]),
		CustomJWKS: anyMember(members["custom_jwks"]), ResolvedJWKS: anyMember(members["resolved_jwks"]),
		InsertedAt: timeMember(members["inserted_at"]), UpdatedAt: timeMember(members["updated_at"]), ResolvedAt: timeMember(members["resolved_at"]),
	}
	return nil
}

func textMember(value json.RawMessage) string {
	var text string
	_ = json.Unmarshal(value, &text)
	return text
}

func anyMember(value json.RawMessage) json.RawMessage {
	if string(value) == "null" {
		return nil
	}
	return value
}

// timeMember takes times with and without a zone; those without are in UTC. One that has no form in JSON counts as absent.
func timeMember(value json.RawMessage) time.Time {
	text := textMember(value)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil && t.UTC().Year() > 0 && t.UTC().Year() <= 9999 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// Management asks Supabase's Management API about one project. It only reads, and sends nothing before its first question.
// About providers it never has two questions under way, serves an answer again for a minute and a failure for ten seconds, and is safe for
// concurrent use. Make it with [NewManagement].
type Management struct {
	token   secret.Value
	project string
	url     string
	client  *http.Client
	limit   time.Duration
	now     func() time.Time

	questions singleflight.Group
	mu        sync.Mutex
	latest    answer
}

// answer is one that is served for a while.
type answer struct {
	list  []ThirdPartyAuth
	err   error
	until time.Time
}

var projectRefPattern = regexp.MustCompile(`^[a-z]{20}$`)

// NewManagement returns a Management. It sends nothing; its error names every option that cannot be used and holds no part
// of the token.
func NewManagement(o ManagementOptions) (*Management, error) {
	base, urlErr := managementURL(o.URL)
	token := strings.TrimSpace(o.Token.Reveal())
	var tokenErr, refErr error
	switch {
	case token == "":
		tokenErr = errors.New("the access token is not set: make one on the account's page of access tokens (sbp_…)")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		tokenErr = errors.New("the access token holds a space, a line break or another character that no token has: copy it again")
	}
	if !projectRefPattern.MatchString(o.ProjectRef) {
		refErr = errors.New("the project reference is not 20 lower-case letters, the first part of https://<ref>.supabase.co")
	}
	if err := errors.Join(tokenErr, refErr, urlErr); err != nil {
		return nil, err
	}
	m := &Management{
		token: secret.New(token), project: o.ProjectRef, url: base, limit: managementLimit,
		client: &http.Client{Transport: newManagementTransport()},
		// Without the monotonic reading, which stands still while a Lambda sandbox is frozen.
		now: func() time.Time { return time.Now().Round(0) },
	}
	if o.HTTPClient != nil {
		*m.client = *o.HTTPClient
	}
	m.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return m, nil
}

// managementURL returns the address without a slash at its end. Errors hold none of it: a password may stand there.
func managementURL(address string) (string, error) {
	if address == "" {
		return DefaultManagementURL, nil
	}
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Hostname() == "":
		return "", errors.New("the URL of the Management API is not one; the usual is " + DefaultManagementURL)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the URL of the Management API holds credentials, a query or a fragment; it ends with the host or a path")
	case u.Scheme == "https", u.Scheme == "http" && netaddr.IsLoopback(u.Hostname()):
		return strings.TrimRight(u.String(), "/"), nil
	}
	return "", errors.New("the URL of the Management API is not https: the access token would travel in clear; http is for this machine only")
}

// ThirdPartyAuth lists the third-party providers that the project trusts: GET
// /v1/projects/{ref}/config/auth/third-party-auth. An empty list means that there are none.
//
// errors.Is finds out by the ErrManagement… variables and ErrProjectNotFound what went wrong. What the result points to is
// shared and must not be changed.
func (m *Management) ThirdPartyAuth(ctx context.Context) ([]ThirdPartyAuth, error) {
	m.mu.Lock()
	if latest := m.latest; m.now().Before(latest.until) {
		m.mu.Unlock()
		return slices.Clone(latest.list), latest.err
	}
	// A question does not end with the call that asked it: others may wait for the answer, and the next call needs it
	// anyway. Its own limit ends it.
	done := m.questions.DoChan(m.project, func() (any, error) { return m.keep(m.askProviders(context.WithoutCancel(ctx))) })
	m.mu.Unlock()
	select {
	case r := <-done:
		list, _ := r.Val.([]ThirdPartyAuth)
		return slices.Clone(list), r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for Supabase's Management API: %w", context.Cause(ctx))
	}
}

func (m *Management) askProviders(ctx context.Context) ([]ThirdPartyAuth, error) {
	return ask(ctx, m, "/config/auth/third-party-auth", func(body []byte) ([]ThirdPartyAuth, error) {
		// A list that is null is none.
		var list []ThirdPartyAuth
		if err := json.Unmarshal(body, &list); err != nil || list == nil {
			return nil, errors.New("something that is not a list of providers")
		}
		return list, nil
	})
}

// ProjectStatus is a project's, such as "ACTIVE_HEALTHY" or "INACTIVE" for one that is paused: GET /v1/projects/{ref}. It
// needs the permission project_admin_read.
func (m *Management) ProjectStatus(ctx context.Context) (string, error) {
	return ask(ctx, m, "", func(body []byte) (string, error) {
		var project struct {
			Status string `json:"status"`
		}
		if err := json.Unmarshal(body, &project); err != nil || project.Status == "" {
			return "", errors.New("something that is not a project")
		}
		return project.Status, nil
	})
}

// ExposedSchemas are those that the project's Data API serves: GET /v1/projects/{ref}/postgrest. It needs the permission
// data_api_config_read. What else the answer holds, a secret among it, is not kept.
func (m *Management) ExposedSchemas(ctx context.Context) ([]string, error) {
	return ask(ctx, m, "/postgrest", func(body []byte) ([]string, error) {
		var settings struct {
			Schemas *string `json:"db_schema"`
		}
		if err := json.Unmarshal(body, &settings); err != nil || settings.Schemas == nil {
			return nil, errors.New("something that is not the Data API's configuration")
		}
		var names []string
		for name := range strings.SplitSeq(*settings.Schemas, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		return names, nil
	})
}

// Advice is something that Supabase's advisors find.
type Advice struct {
	// Name is the lint's, such as "rls_disabled_in_public"; Level is "ERROR", "WARN" or "INFO".
	Name   string `json:"name"`
	Level  string `json:"level"`
	Detail string `json:"detail"`
}

// SecurityAdvice is what the security advisors find: GET /v1/projects/{ref}/advisors/security, which Supabase calls
// experimental. It needs the permission advisors_read.
func (m *Management) SecurityAdvice(ctx context.Context) ([]Advice, error) {
	return ask(ctx, m, "/advisors/security", func(body []byte) ([]Advice, error) {
		var found struct {
			Lints *[]Advice `json:"lints"`
		}
		if err := json.Unmarshal(body, &found); err != nil || found.Lints == nil {
			return nil, errors.New("something that is not a list of advice")
		}
		return *found.Lints, nil
	})
}

// keep has an answer served again for a while, and returns it.
func (m *Management) keep(list []ThirdPartyAuth, err error) ([]ThirdPartyAuth, error) {
	served := managementTTL
	if err != nil {
		served = managementPause
		if failure, ok := errors.AsType[*managementError](err); ok {
			served = min(max(served, failure.retryAfter), managementTTL)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.latest = answer{list, err, m.now().Add(served)}
	return list, err
}
