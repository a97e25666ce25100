package backendapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/jwtdiag/keyset"
)

// post asks with a body.
func (a api) post(t *testing.T, path, body string, change ...func(*http.Request)) answer {
	t.Helper()
	return a.ask(t, path, append([]func(*http.Request){func(r *http.Request) {
		r.Method, r.Body = http.MethodPost, io.NopCloser(strings.NewReader(body))
		r.ContentLength = int64(len(body))
		r.Header.Set("Content-Type", "application/json")
	}}, change...)...)
}

// posted is an answer that must be a success.
func posted[T any](t *testing.T, a api, path, body string) T {
	t.Helper()
	got := a.post(t, path, body)
	var value T
	if got.status != http.StatusOK {
		t.Fatalf("POST %s %s = %d %s, want 200", path, body, got.status, got.body)
	}
	if err := json.Unmarshal(got.body, &value); err != nil {
		t.Fatalf("POST %s: %v\n%s", path, err, got.body)
	}
	return value
}

type sessionAnswer struct {
	Object, ID, Status string
	UserID             string  `json:"user_id"`
	ClientID           string  `json:"client_id"`
	Organization       *string `json:"last_active_organization_id"`
	CreatedAt          int64   `json:"created_at"`
	ExpireAt           int64   `json:"expire_at"`
}

type tokenAnswer struct{ Object, JWT string }

// company is an instance with an organization of its friend's that Ines is in.
type company struct {
	*clerkinstance.Instance
	*tokens.Mint
	// late is how long after made it is, in milliseconds.
	late                 *atomic.Int64
	ines, nobody, friend resource.User
	organization         resource.Organization
}

// made is when the company is.
var made = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func newCompany(t *testing.T) company {
	t.Helper()
	c := company{late: new(atomic.Int64)}
	c.Instance = clerkinstance.New(clerkinstance.Options{Seed: 5, Now: func() time.Time { return made.Add(time.Duration(c.late.Load()) * time.Millisecond) }})
	c.Mint = tokens.New(c.Instance, "http://127.0.0.1:8787")
	var err error
	for i, u := range []*resource.User{&c.ines, &c.friend, &c.nobody} {
		*u, err = c.SignUp(clerkinstance.Person{Username: fmt.Sprintf("person%d", i)})
		noError(t, err)
	}
	c.organization, err = c.CreateOrganization(c.friend.ID, "Acme", "acme")
	noError(t, err)
	_, err = c.Join(c.organization.ID, c.ines.ID, clerkinstance.MemberRole)
	noError(t, err)
	return c
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// verify reads the claims of a token whose signature the company's keys prove.
func (c company) verify(t *testing.T, token string) map[string]any {
	t.Helper()
	set, err := keyset.Parse(c.JWKS())
	noError(t, err)
	claims := jwt.MapClaims{}
	_, err = jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"RS256"})).ParseWithClaims(token, claims,
		func(*jwt.Token) (any, error) { return set.Keys[0].Public, nil })
	noError(t, err)
	return claims
}

func TestAPI_MakesTokensOfSessions(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a := serveAPI(t, c.Instance, backendapi.Options{Tokens: c.Mint})
	c.late.Store(500)
	second, err := c.CreateOrganization(c.ines.ID, "Second", "second")
	noError(t, err)

	// Without a wish it is the organization that was joined last.
	for body, want := range map[string]string{
		`{"user_id":"` + c.ines.ID + `"}`:                                                            second.ID,
		`{"user_id":"` + c.ines.ID + `","active_organization_id":null}`:                              second.ID,
		`{"user_id":"` + c.ines.ID + `","active_organization_id":"` + c.organization.ID + `"}`:       c.organization.ID,
		`{"user_id":"` + c.nobody.ID + `"}`:                                                          "",
		`{"user_id":"` + c.friend.ID + `","something_new":{"active_organization_id":"org_unknown"}}`: c.organization.ID,
	} {
		s := posted[sessionAnswer](t, a, "/v1/sessions", body)
		organization := ""
		if s.Organization != nil {
			organization = *s.Organization
		}
		if s.Object != "session" || s.Status != "active" || organization != want || !strings.Contains(body, s.UserID) ||
			s.CreatedAt != made.UnixMilli()+500 || s.ExpireAt <= s.CreatedAt || !strings.HasPrefix(s.ClientID, "client_") {
			t.Errorf("POST /sessions %s = %+v, want an active one in %q", body, s, want)
		}
		token := posted[tokenAnswer](t, a, "/v1/sessions/"+s.ID+"/tokens", "")
		claims := c.verify(t, token.JWT)
		o, _ := claims["o"].(map[string]any)
		if id, _ := o["id"].(string); token.Object != "token" || claims["sid"] != s.ID || claims["sub"] != s.UserID || id != want {
			t.Errorf("the token of %+v says %v", s, claims)
		}
		if claims["iss"] != "http://127.0.0.1:8787" || claims["exp"].(float64)-claims["iat"].(float64) != 60 || claims["role"] != "authenticated" {
			t.Errorf("the token of %+v says %v, want the API's issuer, a minute and a role", s, claims)
		}
		if azp, there := claims["azp"]; there {
			t.Errorf("a token that no browser asked for has azp %v", azp)
		}
	}

	s := posted[sessionAnswer](t, a, "/v1/sessions", `{"user_id":"`+c.ines.ID+`","active_organization_id":"`+second.ID+`"}`)
	long := posted[tokenAnswer](t, a, "/v1/sessions/"+s.ID+"/tokens", `{"expires_in_seconds":3600}`)
	if claims := c.verify(t, long.JWT); claims["exp"] != float64(made.Unix()+3600) {
		t.Errorf("expires_in_seconds 3600: %v", claims)
	}
	noError(t, c.SetTemplate(tokens.Template{Name: "mine", Claims: map[string]any{"org": "{{org.slug}}"}}))
	template := posted[tokenAnswer](t, a, "/v1/sessions/"+s.ID+"/tokens/mine", `{"expires_in_seconds":null}`)
	if claims := c.verify(t, template.JWT); claims["org"] != "second" || claims["sid"] != nil {
		t.Errorf("a template's token says %v", claims)
	}

	// Whoever leaves has no organization any more, at once.
	for _, m := range c.Snapshot().Memberships {
		if m.Organization.ID == second.ID {
			noError(t, c.Leave(m.ID))
		}
	}
	left := posted[tokenAnswer](t, a, "/v1/sessions/"+s.ID+"/tokens", "{}")
	if claims := c.verify(t, left.JWT); claims["o"] != nil || claims["pla"] != "u:free" {
		t.Errorf("after leaving, the token says %v", claims)
	}
	for range len(c.Snapshot().Users) + 10 {
		noError(t, c.SignOut(c.ines.ID))
	}
	if got := a.post(t, "/v1/sessions/"+s.ID+"/tokens", ""); got.status != http.StatusNotFound {
		t.Errorf("the token of a session that ended = %d %s, want 404", got.status, got.body)
	}
}

func TestAPI_RefusesSessionsAndTokens(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a := serveAPI(t, c.Instance, backendapi.Options{})
	session := posted[sessionAnswer](t, a, "/v1/sessions", `{"user_id":"`+c.ines.ID+`"}`).ID
	ines := `"user_id":"` + c.ines.ID + `"`
	tests := []struct {
		name    string
		options backendapi.Options
		path    string
		body    string
		status  int
		code    string
		param   string
	}{
		{name: "no user named", path: "/v1/sessions", status: 422, code: "form_param_missing", param: "user_id"},
		{name: "null for a user", path: "/v1/sessions", body: `{"user_id":null}`, status: 422, code: "form_param_missing", param: "user_id"},
		{name: "number for a user", path: "/v1/sessions", body: `{"user_id":7}`, status: 422, code: "form_param_type_invalid", param: "user_id"},
		{name: "unknown user", path: "/v1/sessions", body: `{"user_id":"user_x"}`, status: 404, code: "resource_not_found"},
		{name: "unknown organization", path: "/v1/sessions", body: `{` + ines + `,"active_organization_id":"org_x"}`, status: 404, code: "organization_not_found_or_unauthorized"},
		{name: "organization of others", path: "/v1/sessions", body: `{"user_id":"` + c.nobody.ID + `","active_organization_id":"` + c.organization.ID + `"}`, status: 404, code: "organization_not_found_or_unauthorized"},
		{name: "number for an organization", path: "/v1/sessions", body: `{` + ines + `,"active_organization_id":1}`, status: 422, code: "form_param_type_invalid", param: "active_organization_id"},
		{name: "organizations disabled", options: backendapi.Options{OrganizationsDisabled: true}, path: "/v1/sessions", body: `{` + ines + `,"active_organization_id":"` + c.organization.ID + `"}`, status: 403, code: "organization_not_enabled_in_instance"},
		{name: "production", options: backendapi.Options{SecretKeys: []string{"sk_live_x"}}, path: "/v1/sessions", body: `{` + ines + `}`, status: 403, code: "not_available_in_production"},
		{name: "no JSON", path: "/v1/sessions", body: `user_id=` + c.ines.ID, status: 400, code: "request_body_invalid"},
		{name: "no object", path: "/v1/sessions", body: `[]`, status: 400, code: "request_body_invalid"},
		{name: "null", path: "/v1/sessions", body: `null`, status: 400, code: "request_body_invalid"},
		{name: "huge", path: "/v1/sessions", body: `{"user_id":"` + strings.Repeat("x", 1<<20) + `"}`, status: 400, code: "request_body_invalid"},

		{name: "unknown session", path: "/v1/sessions/sess_x/tokens", status: 404, code: "resource_not_found"},
		{name: "unknown template", path: "/v1/sessions/" + session + "/tokens/none", status: 404, code: "resource_not_found"},
		{name: "unknown session for a template", path: "/v1/sessions/sess_x/tokens/none", status: 404, code: "resource_not_found"},
		{name: "short", path: "/v1/sessions/" + session + "/tokens", body: `{"expires_in_seconds":29}`, status: 422, code: "form_param_value_invalid", param: "expires_in_seconds"},
		{name: "long", path: "/v1/sessions/" + session + "/tokens", body: `{"expires_in_seconds":315360001}`, status: 422, code: "form_param_value_too_large", param: "expires_in_seconds"},
		{name: "text for a number", path: "/v1/sessions/" + session + "/tokens", body: `{"expires_in_seconds":"60"}`, status: 422, code: "form_param_type_invalid", param: "expires_in_seconds"},
		{name: "half a second", path: "/v1/sessions/" + session + "/tokens", body: `{"expires_in_seconds":30.5}`, status: 422, code: "form_param_type_invalid", param: "expires_in_seconds"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := serveAPI(t, c.Instance, test.options).post(t, test.path, test.body)
			codes, params := got.errors(t)
			if got.status != test.status || !slices.Equal(codes, []string{test.code}) || params[0] != test.param {
				t.Errorf("POST %s %.200s = %d %s, want %d, code %s, param %q", test.path, test.body, got.status, got.body, test.status, test.code, test.param)
			}
		})
	}

	if got := a.ask(t, "/v1/webhooks/svix"); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != http.MethodPost {
		t.Errorf("GET /v1/webhooks/svix = %d, Allow %q, want 405 and POST", got.status, got.header.Get("Allow"))
	}
	if got := a.post(t, "/v1/users", "{}"); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /v1/users = %d, Allow %q, want 405, GET and HEAD", got.status, got.header.Get("Allow"))
	}
	noKey := func(r *http.Request) { r.Header.Del("Authorization") }
	if got := a.post(t, "/v1/sessions", `{`+ines+`}`, noKey); got.status != http.StatusUnauthorized {
		t.Errorf("POST /v1/sessions without a key = %d, want 401", got.status)
	}
}

func TestAPI_GivesKeysWithoutCounting(t *testing.T) {
	t.Parallel()
	c := newCompany(t)
	a := serveAPI(t, c.Instance, backendapi.Options{Tokens: c.Mint, Limit: clerk.RateLimit{Requests: 1, Per: time.Hour}})
	for range 3 {
		if got := a.ask(t, "/v1/jwks"); got.status != http.StatusOK || !bytes.Equal(got.body, c.JWKS()) {
			t.Errorf("GET /v1/jwks = %d %s, want the key set", got.status, got.body)
		}
	}
	posted[sessionAnswer](t, a, "/v1/sessions", `{"user_id":"`+c.ines.ID+`"}`)
	if got := a.post(t, "/v1/sessions", `{"user_id":"`+c.ines.ID+`"}`); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("the second of one request an hour = %d, want 429 with Retry-After", got.status)
	}
	if got := a.ask(t, "/v1/jwks", func(r *http.Request) { r.Header.Set("Authorization", "Bearer sk_test_other") }); got.status != http.StatusUnauthorized {
		t.Errorf("GET /v1/jwks with another key = %d, want 401", got.status)
	}
}
