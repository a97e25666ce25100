package managementdouble_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/testkit/managementdouble"
)

const (
	project = "abcdefghijklmnopqrst"
	route   = "/v1/projects/" + project + "/config/auth/third-party-auth"
)

// call sends one request and returns status, header and decoded body.
func call(t *testing.T, api http.Handler, method, path, token, body string) (int, http.Header, any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	var content any
	if err := json.Unmarshal(w.Body.Bytes(), &content); err != nil {
		t.Fatalf("%s %s = %q, which is not JSON: %v", method, path, w.Body, err)
	}
	return w.Code, w.Header(), content
}

// issuer publishes the keys that a pointer holds.
func issuer(t *testing.T, keys *atomic.Pointer[string]) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"jwks_uri":%q}`, server.URL+"/jwks")
	})
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) {
		if text := keys.Load(); text != nil {
			io.WriteString(w, *text)
			return
		}
		w.WriteHeader(http.StatusBadGateway)
	})
	return server.URL
}

func TestAPI_RegistersListsShowsAndRemovesProviders(t *testing.T) {
	t.Parallel()
	var keys atomic.Pointer[string]
	keys.Store(new(`{"keys":[{"kid":"ins_1"}]}`))
	url := issuer(t, &keys)
	now := time.Date(2026, time.June, 15, 9, 0, 5, 0, time.UTC)
	api := managementdouble.New(managementdouble.Options{Now: func() time.Time { return now }})

	status, _, created := call(t, api, http.MethodPost, route, "sbp_a", fmt.Sprintf(`{"oidc_issuer_url":%q}`, url))
	provider, _ := created.(map[string]any)
	id, _ := provider["id"].(string)
	want := map[string]any{
		"id": id, "type": "custom", "oidc_issuer_url": url, "jwks_url": nil, "custom_jwks": nil,
		"resolved_jwks": map[string]any{"keys": []any{map[string]any{"kid": "ins_1"}}},
		"inserted_at":   "2026-06-15T09:00:05Z", "updated_at": "2026-06-15T09:00:05Z", "resolved_at": "2026-06-15T09:00:05Z",
	}
	if diff := cmp.Diff(any(want), created); status != http.StatusCreated || diff != "" {
		t.Fatalf("POST = %d (-want +got):\n%s", status, diff)
	}
	if len(id) != 36 {
		t.Errorf("id = %q, want a UUID", id)
	}
	for _, step := range []struct {
		method, path string
		status       int
		want         any
	}{
		{http.MethodGet, route, 200, []any{want}},
		{http.MethodGet, route + "/" + id, 200, want},
		{http.MethodGet, "/v1/projects/zyxwvutsrqponmlkjihg/config/auth/third-party-auth", 200, []any{}},
		{http.MethodDelete, route + "/" + id, 200, want},
		{http.MethodGet, route, 200, []any{}},
		{http.MethodGet, route + "/" + id, 404, map[string]any{"message": "there is no such third-party auth integration"}},
		{http.MethodDelete, route + "/7", 400, map[string]any{"message": "tpa_id must be a UUID"}},
	} {
		status, _, got := call(t, api, step.method, step.path, "sbp_a", "")
		if diff := cmp.Diff(step.want, got); status != step.status || diff != "" {
			t.Errorf("%s %s = %d, want %d (-want +got):\n%s", step.method, step.path, status, step.status, diff)
		}
	}
}

// Supabase goes on with the keys that it has fetched, also after a rotation.
func TestAPI_KeepsResolvedKeysUntilTheyAreResolvedAgain(t *testing.T) {
	t.Parallel()
	var keys atomic.Pointer[string]
	keys.Store(new(`"old"`))
	url := issuer(t, &keys)
	api := managementdouble.New(managementdouble.Options{})
	if _, err := api.Register(t.Context(), project, managementdouble.Registration{OIDCIssuerURL: url}); err != nil {
		t.Fatal(err)
	}
	resolved := func() any {
		_, _, list := call(t, api, http.MethodGet, route, "sbp_a", "")
		return list.([]any)[0].(map[string]any)["resolved_jwks"]
	}
	for _, step := range []struct {
		publish *string
		resolve bool
		want    string
	}{
		{new(`"new"`), false, "old"},
		{nil, true, "old"}, // unreachable
		{new(`"new"`), true, "new"},
	} {
		keys.Store(step.publish)
		if step.resolve {
			api.Resolve(t.Context(), project)
		}
		if got := resolved(); got != step.want {
			t.Errorf("resolved keys = %v, want %v", got, step.want)
		}
	}
}

func TestAPI_RegistersWhatItCannotResolve(t *testing.T) {
	t.Parallel()
	var keys atomic.Pointer[string]
	api := managementdouble.New(managementdouble.Options{})
	p, err := api.Register(t.Context(), project, managementdouble.Registration{OIDCIssuerURL: issuer(t, &keys)})
	if err != nil || p.ResolvedJWKS != nil || p.ResolvedAt != nil {
		t.Errorf("Register = %+v, %v, want it unresolved", p, err)
	}
}

func TestAPI_RefusesAsTheRealOneDoes(t *testing.T) {
	t.Parallel()
	api := managementdouble.New(managementdouble.Options{
		Tokens:   map[string]managementdouble.Access{"sbp_all": managementdouble.ReadWrite, "sbp_read": managementdouble.Read, "sbp_none": managementdouble.NoAccess},
		Projects: []string{project},
	})
	elsewhere := strings.Replace(route, project, "zyxwvutsrqponmlkjihg", 1)
	tests := []struct {
		name, method, path, token, body string
		status                          int
	}{
		{"no token", http.MethodGet, route, "", "", 401},
		{"unknown token", http.MethodGet, route, "sbp_old", "", 401},
		{"unknown token, no route", http.MethodGet, "/v2", "sbp_old", "", 401},
		{"token without the scope", http.MethodGet, route, "sbp_none", "", 403},
		{"token that only reads", http.MethodPost, route, "sbp_read", `{"custom_jwks":{}}`, 403},
		{"token that reads", http.MethodGet, route, "sbp_read", "", 200},
		{"unknown project", http.MethodGet, elsewhere, "sbp_all", "", 404},
		{"no route", http.MethodGet, "/v1/projects/" + project + "/nothing", "sbp_all", "", 404},
		{"method that there is not", http.MethodPatch, route, "sbp_all", `{}`, 404},
		{"no body", http.MethodPost, route, "sbp_all", "", 400},
		{"nothing to trust", http.MethodPost, route, "sbp_all", `{}`, 400},
		{"no URL", http.MethodPost, route, "sbp_all", `{"oidc_issuer_url":"clerk.example.com"}`, 400},
		{"keys", http.MethodPost, route, "sbp_all", `{"custom_jwks":{"keys":[]}}`, 201},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, _, body := call(t, api, tt.method, tt.path, tt.token, tt.body)
			if status != tt.status {
				t.Errorf("%s %s with %q = %d %v, want %d", tt.method, tt.path, tt.token, status, body, tt.status)
			}
			if message, _ := body.(map[string]any); status >= 400 && message["message"] == nil {
				t.Errorf("body = %v, want a message", body)
			}
		})
	}
}

func TestAPI_LimitsEachTokenProjectAndEndpoint(t *testing.T) {
	t.Parallel()
	now := time.Now()
	api := managementdouble.New(managementdouble.Options{Limit: 2, Now: func() time.Time { return now }})
	for i, step := range []struct {
		path, token string
		after       time.Duration
		status      int
		remaining   string
	}{
		{route, "sbp_a", 0, 200, "1"},
		{route, "sbp_a", 0, 200, "0"},
		{route, "sbp_a", 59 * time.Second, 429, "0"},
		{route, "sbp_b", 0, 200, "1"},
		{strings.Replace(route, project, "zyxwvutsrqponmlkjihg", 1), "sbp_a", 0, 200, "1"},
		{route, "sbp_a", time.Second, 200, "1"},
	} {
		now = now.Add(step.after)
		status, header, _ := call(t, api, http.MethodGet, step.path, step.token, "")
		if status != step.status || header.Get("X-RateLimit-Limit") != "2" || header.Get("X-RateLimit-Remaining") != step.remaining || header.Get("X-RateLimit-Reset") == "" {
			t.Errorf("step %d: %d %v, want %d and %s left", i, status, header, step.status, step.remaining)
		}
	}
	if api.Requests() != 6 {
		t.Errorf("Requests = %d, want 6", api.Requests())
	}
}
