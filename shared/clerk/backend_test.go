package clerk_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/secret"
)

const (
	secretKey = "sk_test_Zm9yVGVzdHNPbmx5Tm90QUtleQ"
	// personal is in the bodies of broken answers, and must not be in errors.
	personal = "jane@example.com"
	okUsers  = `[{"id":"user_1","object":"user","created_at":1781514005123,"updated_at":1781514006123}]`
)

// wires is a network of one server in this process. All of net/http takes part,
// and yet a synctest bubble can hold it, since no socket does.
type wires struct {
	dialed chan net.Conn
	closed chan struct{}
}

func (w *wires) Accept() (net.Conn, error) {
	select {
	case conn := <-w.dialed:
		return conn, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wires) Close() error {
	close(w.closed)
	return nil
}

func (w *wires) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (w *wires) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.dialed <- theirs:
		return ours, nil
	case <-w.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// wired starts a server and returns a client that reaches it under every name.
// Each request has a connection of its own, so that the transport repeats none
// by itself.
func wired(t *testing.T, handler http.HandlerFunc) *http.Client {
	t.Helper()
	network := &wires{dialed: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go server.Serve(network) //nolint:errcheck // it always ends with ErrServerClosed
	transport := &http.Transport{DialContext: network.dial, DisableKeepAlives: true}
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return &http.Client{Transport: transport}
}

// newBackend makes a Backend on a server of the test.
func newBackend(t testing.TB, client *http.Client, change ...func(*clerk.BackendOptions)) *clerk.Backend {
	t.Helper()
	o := clerk.BackendOptions{SecretKey: secret.New(secretKey), URL: "http://127.0.0.1/v1", HTTPClient: client}
	for _, change := range change {
		change(&o)
	}
	backend, err := clerk.NewBackend(o)
	if err != nil {
		t.Fatalf("NewBackend() = error %v", err)
	}
	return backend
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// script answers each request with the next handler, and all further ones with
// the last.
func script(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		handler := handlers[0]
		if len(handlers) > 1 {
			handlers = handlers[1:]
		}
		mu.Unlock()
		handler(w, r)
	}
}

func clerkErrors(code string) string {
	return `{"errors":[{"message":"` + personal + `","long_message":"` + personal + `","code":"` + code + `","meta":{}}],"clerk_trace_id":"5a1f0c"}`
}

func TestBackend_AsksWhatItsMethodsSay(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var asked *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = r
		switch {
		case r.URL.Path == "/v1/users":
			io.WriteString(w, okUsers)
		case r.URL.Path == "/v1/users/count":
			io.WriteString(w, `{"object":"total_count","total_count":7}`)
		case r.URL.Path == "/v1/instance":
			io.WriteString(w, `{"object":"instance","id":"ins_1","environment_type":"production"}`)
		case strings.Count(r.URL.Path, "/") == 3 && !strings.HasSuffix(r.URL.Path, "memberships"):
			io.WriteString(w, `{"id":"x"}`)
		default:
			io.WriteString(w, `{"data":[{"id":"x"}],"total_count":1}`)
		}
	}))
	t.Cleanup(server.Close)
	backend := newBackend(t, nil, unlimited, func(o *clerk.BackendOptions) {
		o.SecretKey, o.URL = secret.New(" "+secretKey+"\n"), server.URL+"/v1/"
	})

	ctx := t.Context()
	list := clerk.ListQuery{OrderBy: "+created_at", Offset: 480, Limit: 500}
	tests := []struct {
		name string
		call func() (any, error)
		want string
	}{
		{"no user query", func() (any, error) { return backend.Users(ctx, clerk.UserQuery{}) }, "/v1/users?limit=500"},
		// An unescaped + means a space.
		{"a whole user query", func() (any, error) {
			return backend.Users(ctx, clerk.UserQuery{CreatedAfter: 5, CreatedBefore: 9, IDs: []string{"user_1", "user_2"}, OrderBy: "+created_at", StartingAfter: "user_0", Limit: 20})
		}, "/v1/users?created_at_after=5&created_at_before=9&limit=20&order_by=%2Bcreated_at&starting_after=user_0&user_id=user_1&user_id=user_2"},
		{"users by offset", func() (any, error) { return backend.Users(ctx, clerk.UserQuery{OrderBy: "-updated_at", Offset: 500}) }, "/v1/users?limit=500&offset=500&order_by=-updated_at"},
		{"a count", func() (any, error) {
			return backend.CountUsers(ctx, clerk.UserQuery{CreatedBefore: 9, OrderBy: "+created_at", StartingAfter: "user_0", Limit: 20})
		}, "/v1/users/count?created_at_before=9"},
		{"a count of all", func() (any, error) { return backend.CountUsers(ctx, clerk.UserQuery{}) }, "/v1/users/count"},
		{"a user", func() (any, error) { return backend.User(ctx, "user_1") }, "/v1/users/user_1"},
		{"organizations", func() (any, error) {
			q := list
			q.IDs = []string{"org_1"}
			return backend.Organizations(ctx, q)
		}, "/v1/organizations?limit=500&offset=480&order_by=%2Bcreated_at&organization_id=org_1"},
		{"an organization by its slug", func() (any, error) { return backend.Organization(ctx, "acme-2") }, "/v1/organizations/acme-2"},
		{"memberships", func() (any, error) { return backend.Memberships(ctx, list) }, "/v1/organization_memberships?limit=500&offset=480&order_by=%2Bcreated_at"},
		{"memberships of an organization", func() (any, error) {
			return backend.OrganizationMemberships(ctx, "org_1", clerk.ListQuery{IDs: []string{"user_1"}})
		}, "/v1/organizations/org_1/memberships?limit=500&user_id=user_1"},
		{"memberships of a user", func() (any, error) { return backend.UserMemberships(ctx, "user_1", clerk.ListQuery{Limit: 3}) }, "/v1/users/user_1/organization_memberships?limit=3"},
		{"roles", func() (any, error) { return backend.List(ctx, clerk.KindRole, clerk.ListQuery{}) }, "/v1/organization_roles?limit=500"},
		{"permissions", func() (any, error) { return backend.List(ctx, clerk.KindPermission, clerk.ListQuery{}) }, "/v1/organization_permissions?limit=500"},
		{"the instance", func() (any, error) { return backend.Instance(ctx) }, "/v1/instance"},
	}
	// One after the other: they share what the server has seen.
	for _, test := range tests {
		if _, err := test.call(); err != nil {
			t.Errorf("%s: error %v", test.name, err)
			continue
		}
		mu.Lock()
		if got := asked.Method + " " + asked.URL.RequestURI(); got != "GET "+test.want {
			t.Errorf("%s asks %s, want GET %s", test.name, got, test.want)
		}
		got := map[string]string{}
		for _, name := range []string{"Authorization", "Clerk-Api-Version", "Accept", "User-Agent"} {
			got[name] = asked.Header.Get(name)
		}
		mu.Unlock()
		want := map[string]string{"Authorization": "Bearer " + secretKey, "Clerk-Api-Version": "2026-05-12", "Accept": "application/json", "User-Agent": "clerksync"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: header: -want +got\n%s", test.name, diff)
		}
	}
}

func TestBackend_RefusesWhatItCannotAsk(t *testing.T) {
	t.Parallel()
	backend := newBackend(t, &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("asked %s", r.URL)
		return nil, net.ErrClosed
	})})
	ctx := t.Context()
	many := strings.Split(strings.Repeat("user_1 ", clerk.MaxIDs)+"user_1", " ")
	tests := []struct {
		name string
		call func() (clerk.Page, error)
	}{
		{"too many ids", func() (clerk.Page, error) { return backend.Users(ctx, clerk.UserQuery{IDs: many}) }},
		{"too many organizations", func() (clerk.Page, error) { return backend.Organizations(ctx, clerk.ListQuery{IDs: many}) }},
		{"an id that turns the filter round", func() (clerk.Page, error) { return backend.Users(ctx, clerk.UserQuery{IDs: []string{"-user_1"}}) }},
		{"an empty id among others", func() (clerk.Page, error) { return backend.Users(ctx, clerk.UserQuery{IDs: []string{"user_1", ""}}) }},
		{"an email for an id", func() (clerk.Page, error) { return backend.User(ctx, personal) }},
		// It would be GET /users.
		{"no id", func() (clerk.Page, error) { return backend.User(ctx, "") }},
		{"a path for an id", func() (clerk.Page, error) { return backend.Organization(ctx, "../users") }},
		{"a query for an id", func() (clerk.Page, error) {
			return backend.OrganizationMemberships(ctx, "org_1?limit=1", clerk.ListQuery{})
		}},
		{"dots for an id", func() (clerk.Page, error) { return backend.UserMemberships(ctx, "..", clerk.ListQuery{}) }},
		{"ids for a list without a filter", func() (clerk.Page, error) { return backend.Memberships(ctx, clerk.ListQuery{IDs: []string{"org_1"}}) }},
	}
	for _, test := range tests {
		_, err := test.call()
		if err == nil {
			t.Errorf("%s: no error", test.name)
		} else if strings.Contains(err.Error(), personal) {
			t.Errorf("%s: error %q repeats the address", test.name, err)
		}
	}
	if _, err := backend.CountUsers(ctx, clerk.UserQuery{IDs: many}); err == nil {
		t.Error("counting too many ids: no error")
	}
	if got := backend.Stats(); got != (clerk.BackendStats{}) {
		t.Errorf("Stats() = %+v, want nothing sent", got)
	}
}

func TestNewBackend_RefusesEveryBadOptionAtOnce(t *testing.T) {
	t.Parallel()
	const hidden = "c2VjcmV0"
	tests := []struct {
		name    string
		options clerk.BackendOptions
		want    []string
	}{
		{"nothing", clerk.BackendOptions{}, []string{"is not set", "sk_live_"}},
		{"publishable key", clerk.BackendOptions{SecretKey: secret.New("pk_live_" + hidden)}, []string{"publishable"}},
		{"signing secret", clerk.BackendOptions{SecretKey: secret.New("whsec_" + hidden)}, []string{"webhook"}},
		{"session token", clerk.BackendOptions{SecretKey: secret.New("eyJhbGciOi." + hidden)}, []string{"JSON web token"}},
		{"key of another kind", clerk.BackendOptions{SecretKey: secret.New("sk_prod_" + hidden)}, []string{"another kind"}},
		{"prefix alone", clerk.BackendOptions{SecretKey: secret.New("sk_test_")}, []string{"cut off"}},
		{"two lines", clerk.BackendOptions{SecretKey: secret.New("sk_test_a\n" + hidden)}, []string{"not a Clerk secret key"}},
		{"anything", clerk.BackendOptions{SecretKey: secret.New(hidden)}, []string{"something else"}},
		{"everything", clerk.BackendOptions{SecretKey: secret.New("mt_" + hidden), URL: "http://api.clerk.com/v1", Share: 1.5, Limit: clerk.RateLimit{Requests: 10}}, []string{"machine token", "in clear", "1.5", "10 requests in 0s"}},
	}
	for _, test := range tests {
		_, err := clerk.NewBackend(test.options)
		if err == nil {
			t.Errorf("NewBackend(%s) = no error", test.name)
			continue
		}
		if !errors.Is(err, clerk.ErrNotSecretKey) {
			t.Errorf("NewBackend(%s) = error %q, want ErrNotSecretKey in it", test.name, err)
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("NewBackend(%s) = error %q, want %q in it", test.name, err, want)
			}
		}
		if strings.Contains(err.Error(), hidden) {
			t.Errorf("NewBackend(%s) = error %q, which repeats the key", test.name, err)
		}
	}
	for _, share := range []float64{-0.1, 1.01, math.NaN(), math.Inf(1)} {
		if _, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(secretKey), Share: share}); err == nil {
			t.Errorf("NewBackend(share %v) = no error", share)
		}
	}
}

func TestNewBackend_SendsTheKeyOnlyWhereNobodyListens(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{
		"":                           true,
		"https://api.clerk.com/v1":   true,
		"https://api.clerk.com/v1/":  true,
		" https://proxy.example/a/b": true,
		"http://127.0.0.1:8787/v1":   true,
		"http://127.9.9.9/v1":        true,
		"http://[::1]:80":            true,
		"http://localhost:8787":      true,
		"http://api.clerk.com/v1":    false,
		"http://10.0.0.1/v1":         false,
		"http://localhost.evil.com":  false,
		"http://127.0.0.1.evil.com":  false,
		"HTTP://api.clerk.com":       false,
		"ftp://127.0.0.1":            false,
		"api.clerk.com/v1":           false,
		"/v1":                        false,
		"https:api.clerk.com":        false,
		"https://u:c2VjcmV0@host/":   false,
		"https://host/v1?x=c2VjcmV0": false,
		"https://host/v1#c2VjcmV0":   false,
		"https://c2VjcmV0 host/":     false,
	}
	for url, ok := range tests {
		_, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(secretKey), URL: url})
		if (err == nil) != ok {
			t.Errorf("NewBackend(URL %q) = error %v, want none: %t", url, err, ok)
		}
		if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("NewBackend(URL %q) = error %q, which repeats a secret", url, err)
		}
	}
	for _, key := range []string{"sk_live_a", "sk_test_a", "live_a", "test_a", " sk_live_a\n"} {
		if _, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(key)}); err != nil {
			t.Errorf("NewBackend(key %q) = error %v", key, err)
		}
	}
}

// The faults that repeating can mend, and those that it cannot.
func TestBackend_RepeatsWhatCanGetBetter(t *testing.T) {
	t.Parallel()
	ok := answer(http.StatusOK, okUsers)
	htmlPage := "<!DOCTYPE html><html><body>" + personal + "</body></html>"
	html502 := answer(http.StatusBadGateway, htmlPage, "Content-Type", "text/html", "Cf-Ray", "8f2-FRA")
	limited := answer(http.StatusTooManyRequests, clerkErrors("too_many_requests"), "Retry-After", "1")
	truncated := answer(http.StatusOK, okUsers[:40], "Content-Length", "400")
	reset := func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	// The head comes at once, and then nothing more.
	stalled := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "[")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done()
	}
	// The parts of a gzip stream follow each other; one is packed, and sent often.
	var part bytes.Buffer
	packed := gzip.NewWriter(&part)
	if _, err := packed.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	packed.Close()
	bomb := answer(http.StatusOK, strings.Repeat(part.String(), 65), "Content-Encoding", "gzip")

	type want struct {
		requests int64
		is       error
		status   int
		codes    []string
		trace    string
		text     string
	}
	tests := []struct {
		name  string
		serve http.HandlerFunc
		want  want // is nil and status 0: no error
	}{
		{"429 storm, then ok", script(limited, limited, limited, ok), want{requests: 4}},
		{"429 for ever", limited, want{requests: 6, is: clerk.ErrRateLimited, status: 429, codes: []string{"too_many_requests"}, trace: "5a1f0c", text: "SYNC_RATE_SHARE"}},
		{"429 that is no JSON", answer(http.StatusTooManyRequests, htmlPage), want{requests: 6, is: clerk.ErrRateLimited, status: 429}},
		{"web page with 502 thrice, then ok", script(html502, html502, html502, ok), want{requests: 4}},
		{"web page with 502 for ever", html502, want{requests: 6, is: clerk.ErrClerkUnavailable, status: 502, trace: "8f2-FRA"}},
		{"500 in Clerk's words", answer(http.StatusInternalServerError, clerkErrors("internal_clerk_error")), want{requests: 6, is: clerk.ErrClerkUnavailable, status: 500, codes: []string{"internal_clerk_error"}, trace: "5a1f0c"}},
		{"408, then ok", script(answer(http.StatusRequestTimeout, ""), ok), want{requests: 2}},
		{"truncated body, then ok", script(truncated, ok), want{requests: 2}},
		{"truncated body for ever", truncated, want{requests: 6, is: clerk.ErrClerkUnavailable, status: 200, text: "a part of a body"}},
		{"reset connection, then ok", script(reset, reset, ok), want{requests: 3}},
		{"reset connection for ever", reset, want{requests: 6, is: clerk.ErrClerkUnavailable, text: "the connection broke"}},
		{"no answer, then ok", script(silent, ok), want{requests: 2}},
		{"no answer for ever", silent, want{requests: 6, is: clerk.ErrClerkUnavailable, text: "no answer within 30s"}},
		{"half an answer for ever", stalled, want{requests: 6, is: clerk.ErrClerkUnavailable, status: 200, text: "no answer within 30s"}},
		{"web page with 200, then ok", script(answer(http.StatusOK, htmlPage), ok), want{requests: 2}},
		{"web page with 200 for ever", answer(http.StatusOK, " \n"+htmlPage), want{requests: 6, is: clerk.ErrClerkUnavailable, status: 200, text: "a web page"}},
		{"empty body, then ok", script(answer(http.StatusOK, ""), ok), want{requests: 2}},
		{"no content for ever", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, want{requests: 6, is: clerk.ErrClerkUnavailable, status: 204, text: "not JSON"}},
		// What ParseEvent refuses is no answer either.
		{"not UTF-8, then ok", script(answer(http.StatusOK, "[{\"id\":\"\xff\"}]"), ok), want{requests: 2}},

		{"JSON that is no list", answer(http.StatusOK, `"`+personal+`"`), want{requests: 1, status: 200, text: "no list"}},
		{"null for a list", answer(http.StatusOK, `null`), want{requests: 1, status: 200, text: "no list"}},
		{"object without data", answer(http.StatusOK, `{"total_count":1}`), want{requests: 1, status: 200, text: `without "data"`}},
		{"data that is no list", answer(http.StatusOK, `{"data":{},"total_count":1}`), want{requests: 1, status: 200, text: "no list"}},
		{"second element without an id", answer(http.StatusOK, `[{"id":"a"},{"id":7,"x":"`+personal+`"}]`), want{requests: 1, status: 200, text: "element 1"}},
		{"element that is no object", answer(http.StatusOK, `[null]`), want{requests: 1, status: 200, text: "element 0"}},
		{"body beyond the bound when unpacked", bomb, want{requests: 1, status: 200, text: "more than 64 MiB"}},

		{"401", answer(http.StatusUnauthorized, clerkErrors("clerk_key_invalid")), want{requests: 1, is: clerk.ErrKeyRefused, status: 401, codes: []string{"clerk_key_invalid"}, trace: "5a1f0c", text: "CLERK_SECRET_KEY"}},
		{"403 for the key", answer(http.StatusForbidden, clerkErrors("clerk_key_invalid")), want{requests: 1, is: clerk.ErrKeyRefused, status: 403, codes: []string{"clerk_key_invalid"}, trace: "5a1f0c"}},
		{"402", answer(http.StatusPaymentRequired, clerkErrors("unsupported_subscription_plan_features")), want{requests: 1, is: clerk.ErrNotEnabled, status: 402, codes: []string{"unsupported_subscription_plan_features"}, trace: "5a1f0c"}},
		{"403", answer(http.StatusForbidden, clerkErrors("organization_not_enabled_in_instance")), want{requests: 1, is: clerk.ErrNotEnabled, status: 403, codes: []string{"organization_not_enabled_in_instance"}, trace: "5a1f0c"}},
		{"403 of a firewall", answer(http.StatusForbidden, htmlPage), want{requests: 1, is: clerk.ErrClerkUnavailable, status: 403}},
		{"404", answer(http.StatusNotFound, clerkErrors("resource_not_found")), want{requests: 1, is: clerk.ErrNotFound, status: 404, codes: []string{"resource_not_found"}, trace: "5a1f0c"}},
		// These would delete rows if they were taken for the absence of an object.
		{"404 of a proxy", answer(http.StatusNotFound, "404 page not found", "Cf-Ray", "not a trace id"), want{requests: 1, is: clerk.ErrClerkUnavailable, status: 404}},
		{"404 of something else", answer(http.StatusNotFound, `{"message":"no Route matched","errors":[]}`), want{requests: 1, is: clerk.ErrClerkUnavailable, status: 404}},
		{"404 because of a feature", answer(http.StatusNotFound, clerkErrors("organization_not_enabled_in_instance")), want{requests: 1, is: clerk.ErrNotEnabled, status: 404, codes: []string{"organization_not_enabled_in_instance"}, trace: "5a1f0c"}},
		{"422", answer(http.StatusUnprocessableEntity, clerkErrors("form_param_value_invalid")), want{requests: 1, is: clerk.ErrUnprocessable, status: 422, codes: []string{"form_param_value_invalid"}, trace: "5a1f0c"}},
		{"400", answer(http.StatusBadRequest, clerkErrors("form_param_unknown")), want{requests: 1, is: clerk.ErrUnprocessable, status: 400, codes: []string{"form_param_unknown"}, trace: "5a1f0c"}},
		{"410", answer(http.StatusGone, clerkErrors("resource_gone")), want{requests: 1, status: 410, codes: []string{"resource_gone"}, trace: "5a1f0c"}},
		// Not everything that stands in the place of a code is fit to be printed.
		{"codes that are none", answer(http.StatusUnprocessableEntity, `{"errors":[{"code":"`+personal+`"},{"code":7},{"code":"ok_1"},{"code":"ok_1"},null],"clerk_trace_id":"`+personal+`"}`), want{requests: 1, is: clerk.ErrUnprocessable, status: 422, codes: []string{"ok_1"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				backend := newBackend(t, wired(t, test.serve))
				page, err := backend.Users(t.Context(), clerk.UserQuery{IDs: []string{"user_hidden"}})
				if got := backend.Stats(); got.Requests != test.want.requests || got.Retries != got.Requests-1 {
					t.Errorf("%d requests, %d of them again; want %d", got.Requests, got.Retries, test.want.requests)
				}
				if test.want.is == nil && test.want.status == 0 {
					if err != nil || len(page.Items) != 1 || page.Items[0].ID != "user_1" {
						t.Fatalf("Users() = %v, error %v; want user_1", page.Items, err)
					}
					return
				}
				var failure *clerk.BackendError
				if !errors.As(err, &failure) {
					t.Fatalf("Users() = error %v, want a BackendError", err)
				}
				got := want{int64(failure.Attempts), nil, failure.Status, failure.Codes, failure.TraceID, test.want.text}
				for _, sentinel := range []error{clerk.ErrNotFound, clerk.ErrKeyRefused, clerk.ErrNotEnabled, clerk.ErrUnprocessable, clerk.ErrRateLimited, clerk.ErrClerkUnavailable} {
					if errors.Is(err, sentinel) {
						got.is = sentinel
					}
				}
				if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(want{}), cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" { //nolint:errorlint // the very sentinel
					t.Errorf("Users() = error %q: -want +got\n%s", err, diff)
				}
				if failure.Path != "/users" || !strings.HasPrefix(err.Error(), "GET /users: ") || !strings.Contains(err.Error(), test.want.text) {
					t.Errorf("Users() = error %q, want GET /users and %q in it", err, test.want.text)
				}
				for _, hidden := range []string{personal, secretKey, "user_hidden", "html"} {
					if strings.Contains(err.Error(), hidden) {
						t.Errorf("Users() = error %q, which holds %q", err, hidden)
					}
				}
			})
		})
	}
}

func TestBackend_TakesTheKeyNowhereElse(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"https://evil.example/v1/users", "http://evil.example/v1/users", "/v1/elsewhere"} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := wired(t, func(w http.ResponseWriter, r *http.Request) {
					if r.Host != "127.0.0.1" || r.URL.Path != "/v1/users" {
						t.Errorf("asked %s of %s, with Authorization %q", r.URL, r.Host, r.Header.Get("Authorization"))
						io.WriteString(w, okUsers)
						return
					}
					http.Redirect(w, r, target, http.StatusTemporaryRedirect)
				})
				// Not even if the client was told to.
				client.CheckRedirect = func(*http.Request, []*http.Request) error { return nil }
				backend := newBackend(t, client)
				_, err := backend.Users(t.Context(), clerk.UserQuery{})
				var failure *clerk.BackendError
				if !errors.As(err, &failure) || failure.Status != http.StatusTemporaryRedirect {
					t.Errorf("Users() = error %v, want a BackendError of 307", err)
				}
				if got := backend.Stats().Requests; got != 1 {
					t.Errorf("%d requests, want 1", got)
				}
			})
		})
	}
}

// roundTripper is a function as http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBackend_SaysWhyItCannotConnect(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"refused", &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, "connection refused"},
		{"unknown host", &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "api.example"}}, "no such host"},
		// The standard library quotes what it has received.
		{"no HTTP", errors.New(`malformed HTTP response "` + personal + `"`), "the connection broke"},
		{"timeout of the client's own", context.DeadlineExceeded, "no answer in time"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				backend := newBackend(t, &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) { return nil, test.err })})
				_, err := backend.Organizations(t.Context(), clerk.ListQuery{IDs: []string{"org_hidden"}})
				if !errors.Is(err, clerk.ErrClerkUnavailable) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("Organizations() = error %q, want ErrClerkUnavailable and %q", err, test.want)
				}
				// The error of net/http holds the URL.
				for _, hidden := range []string{personal, secretKey, "org_hidden"} {
					if strings.Contains(err.Error(), hidden) {
						t.Errorf("Organizations() = error %q, which holds %q", err, hidden)
					}
				}
			})
		})
	}
}

func TestBackend_TellsOfEveryExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen []clerk.Exchange
		one := `{"id":"user_1"}`
		client := wired(t, script(
			answer(http.StatusBadGateway, "<html>"),
			answer(http.StatusTooManyRequests, clerkErrors("too_many_requests"), "Retry-After", "0"),
			answer(http.StatusOK, one[:9], "Content-Length", "15"),
			func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			answer(http.StatusOK, one[:9]),
			answer(http.StatusOK, one)))
		backend := newBackend(t, client, func(o *clerk.BackendOptions) {
			o.Observe = func(e clerk.Exchange) { seen = append(seen, e) }
		})
		if _, err := backend.User(t.Context(), "user_1"); err != nil {
			t.Fatalf("User() = error %v", err)
		}
		limitedLen := int64(len(clerkErrors("too_many_requests")))
		want := []clerk.Exchange{
			{Method: "GET", Path: "/users/{id}", Status: 502, Attempt: 1, Bytes: 6, Err: "status"},
			{Method: "GET", Path: "/users/{id}", Status: 429, Attempt: 2, Bytes: limitedLen, Err: "rate_limited"},
			{Method: "GET", Path: "/users/{id}", Status: 200, Attempt: 3, Bytes: 9, Err: "truncated"},
			{Method: "GET", Path: "/users/{id}", Attempt: 4, Duration: 30 * time.Second, Err: "timeout"},
			{Method: "GET", Path: "/users/{id}", Status: 200, Attempt: 5, Bytes: 9, Err: "not_json"},
			{Method: "GET", Path: "/users/{id}", Status: 200, Attempt: 6, Bytes: 15},
		}
		for i, e := range seen {
			if answered := e.Status != 0; e.ServedAt.IsZero() == answered {
				t.Errorf("exchange %d was served at %s, want the answer's Date", i+1, e.ServedAt)
			}
			seen[i].ServedAt = time.Time{}
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("exchanges: -want +got\n%s", diff)
		}
		stats := backend.Stats()
		if stats.Waited <= 0 {
			t.Errorf("Stats().Waited = %s, want the delays between the attempts", stats.Waited)
		}
		stats.Waited = 0
		if diff := cmp.Diff(clerk.BackendStats{Requests: 6, Retries: 5, RateLimited: 1, Waits: 5, BytesRead: 39 + limitedLen}, stats); diff != "" {
			t.Errorf("Stats(): -want +got\n%s", diff)
		}
	})
}

func TestBackend_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	stop := errors.New("the operator pressed Ctrl-C")
	limited := answer(http.StatusTooManyRequests, "", "Retry-After", "60")
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	cancelAfter := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			timer := time.AfterFunc(d, func() { cancel(stop) })
			return ctx, func() { timer.Stop() }
		}
	}
	deadlineIn := func(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
		return func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithTimeout(ctx, d) }
	}
	tests := []struct {
		name     string
		serve    http.HandlerFunc
		ctx      func(context.Context) (context.Context, context.CancelFunc)
		is       []error
		after    time.Duration
		requests int64
		text     string
	}{
		{"ended before", limited, cancelAfter(0), []error{stop, context.Canceled}, 0, 0, "Ctrl-C"},
		{"ended in the pause of a 429", limited, cancelAfter(5 * time.Second), []error{stop, context.Canceled, clerk.ErrRateLimited}, 5 * time.Second, 1, "Ctrl-C"},
		{"ended while Clerk thinks", silent, cancelAfter(5 * time.Second), []error{stop, context.Canceled}, 5 * time.Second, 1, "Ctrl-C"},
		{"deadline while Clerk thinks", silent, deadlineIn(5 * time.Second), []error{context.DeadlineExceeded}, 5 * time.Second, 1, "deadline"},
		// At once: nothing can come of waiting.
		{"deadline within the pause of a 429", limited, deadlineIn(10 * time.Second), []error{context.DeadlineExceeded, clerk.ErrRateLimited}, 0, 1, "may be sent in 1m0s, and the deadline is in 10s"},
		{"deadline within the delay of a 503", answer(http.StatusServiceUnavailable, "", "Retry-After", "20"), deadlineIn(10 * time.Second), []error{context.DeadlineExceeded, clerk.ErrClerkUnavailable}, 0, 1, "may be sent in 20s, and the deadline is in 10s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				backend := newBackend(t, wired(t, test.serve))
				began := time.Now()
				ctx, cancel := test.ctx(t.Context())
				defer cancel()
				synctest.Wait()
				_, err := backend.Users(ctx, clerk.UserQuery{IDs: []string{"user_hidden"}})
				for _, want := range test.is {
					if !errors.Is(err, want) {
						t.Errorf("Users() = error %q, want %q in it", err, want)
					}
				}
				if !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "user_hidden") {
					t.Errorf("Users() = error %q, want %q and no query in it", err, test.text)
				}
				if got := time.Since(began); got != test.after {
					t.Errorf("Users() ended after %s, want %s", got, test.after)
				}
				if got := backend.Stats().Requests; got != test.requests {
					t.Errorf("%d requests, want %d", got, test.requests)
				}
			})
		})
	}
}

func TestBackend_SaysWhenThePageWasAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		slow := func(w http.ResponseWriter, _ *http.Request) {
			<-time.After(12 * time.Second)
			io.WriteString(w, okUsers)
		}
		backend := newBackend(t, wired(t, script(answer(http.StatusTooManyRequests, "", "Retry-After", "7"), slow)))
		page, err := backend.Users(t.Context(), clerk.UserQuery{})
		if err != nil {
			t.Fatal(err)
		}
		// Not when the call began, not when the answer came.
		if got := page.RequestedAt.Sub(began); got != 7*time.Second || page.RequestedAt.Location() != time.UTC {
			t.Errorf("RequestedAt is %v, %s after the call; want 7s, in UTC", page.RequestedAt, got)
		}
	})
}

func TestBackend_ServesManyAtOnceOverSockets(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// As Clerk's edge does for those who accept it.
		if r.Header.Get("Accept-Encoding") != "gzip" {
			t.Errorf("Accept-Encoding: %q, want gzip", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		fmt.Fprintf(packed, `{"data":[{"id":"org_%s"}],"total_count":9}`, r.URL.Query().Get("offset"))
		packed.Close()
	}))
	t.Cleanup(server.Close)
	backend := newBackend(t, nil, unlimited, func(o *clerk.BackendOptions) { o.URL = server.URL })
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 20 {
				offset := worker*100 + i + 1
				page, err := backend.Organizations(t.Context(), clerk.ListQuery{Offset: offset})
				if err != nil {
					t.Errorf("Organizations() = error %v", err)
					return
				}
				if want := fmt.Sprintf("org_%d", offset); page.Items[0].ID != want || page.Total != 9 {
					t.Errorf("Organizations(%d) = %v of %d, want %s of 9", offset, page.Items, page.Total, want)
				}
			}
		})
	}
	group.Wait()
	if got := backend.Stats(); got.Requests != 160 || got.Retries != 0 || got.BytesRead < 160*int64(len(`{"data":[{"id":"org_1"}],"total_count":9}`)) {
		t.Errorf("Stats() = %+v, want 160 requests and the bytes of their unpacked bodies", got)
	}
}
