package management_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/secret"
	"clerksync/shared/supabase/management"
	"clerksync/shared/testkit/managementdouble"
)

const (
	managementToken = "sbp_" + "0123456789abcdef0123456789abcdef01234567"
	managedProject  = "abcdefghijklmnopqrst"
)

// issuer serves the discovery document and the keys of an identity provider.
func issuer(t *testing.T, keys string) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, keys) })
	return server.URL
}

// manage returns a client of a double.
func manage(t *testing.T, o managementdouble.Options) (*management.Providers, *managementdouble.API) {
	t.Helper()
	api := managementdouble.New(o)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return newProviders(t, server.URL), api
}

func newProviders(t *testing.T, url string) *management.Providers {
	t.Helper()
	m, err := management.NewProviders(management.ProvidersOptions{Token: secret.New(managementToken), ProjectRef: managedProject, URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// answering returns a client of a server that answers everything the same.
func answering(t *testing.T, handler http.HandlerFunc) *management.Providers {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return newProviders(t, server.URL)
}

func TestThirdPartyAuth_ListsProvidersWithTheirKeys(t *testing.T) {
	t.Parallel()
	const keys = `{"keys":[{"kid":"ins_1","kty":"RSA"}]}`
	url := issuer(t, keys)
	m, api := manage(t, managementdouble.Options{Tokens: map[string]managementdouble.Access{managementToken: managementdouble.Read}})
	want, err := api.Register(t.Context(), managedProject, managementdouble.Registration{OIDCIssuerURL: url})
	if err != nil {
		t.Fatal(err)
	}
	// Another project's is not listed.
	if _, err := api.Register(t.Context(), "zyxwvutsrqponmlkjihg", managementdouble.Registration{OIDCIssuerURL: url}); err != nil {
		t.Fatal(err)
	}
	got, err := m.ThirdPartyAuth(t.Context())
	if err != nil || len(got) != 1 {
		t.Fatalf("ThirdPartyAuth = %+v, %v, want one provider", got, err)
	}
	p := got[0]
	if p.ID != want.ID || p.OIDCIssuerURL != url || p.JWKSURL != "" || p.CustomJWKS != nil || string(p.ResolvedJWKS) != keys ||
		!p.ResolvedAt.Equal(*want.ResolvedAt) || !p.InsertedAt.Equal(want.InsertedAt) {
		t.Errorf("provider = %+v, want %+v", p, want)
	}
}

func TestThirdPartyAuth_IsAnEmptyListWhereNobodyIsTrusted(t *testing.T) {
	t.Parallel()
	m, _ := manage(t, managementdouble.Options{})
	if got, err := m.ThirdPartyAuth(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("ThirdPartyAuth = %+v, %v, want none", got, err)
	}
}

func TestThirdPartyAuth_TakesAnswersThatSayLessOrMore(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.June, 15, 9, 0, 5, 123456000, time.UTC)
	tests := []struct {
		name, body string
		want       []management.ThirdPartyAuth
	}{
		{
			"nothing but what is required", `[{"id":"1","type":"clerk","inserted_at":"2026-06-15T09:00:05.123456Z","updated_at":"2026-06-15T11:00:05.123456+02:00"}]`,
			[]management.ThirdPartyAuth{{ID: "1", Type: "clerk", InsertedAt: at, UpdatedAt: at}},
		},
		{
			"null for the rest", `[{"id":"1","oidc_issuer_url":null,"jwks_url":null,"custom_jwks":null,"resolved_jwks":null,"resolved_at":null}]`,
			[]management.ThirdPartyAuth{{ID: "1"}},
		},
		// Postgres's own forms of a time.
		{
			"times without a zone", `[{"inserted_at":"2026-06-15T09:00:05.123456","updated_at":"2026-06-15 09:00:05.123456+00","resolved_at":"soon"}]`,
			[]management.ThirdPartyAuth{{InsertedAt: at, UpdatedAt: at}},
		},
		{
			"another type", `[{"id":7,"oidc_issuer_url":["x"],"resolved_at":1781514005,"resolved_jwks":"none"}]`,
			[]management.ThirdPartyAuth{{ResolvedJWKS: []byte(`"none"`)}},
		},
		{"more members", `[{"id":"1","flags":{"a":[1]}},{"id":"2"}]`, []management.ThirdPartyAuth{{ID: "1"}, {ID: "2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.body) }).ThirdPartyAuth(t.Context())
			if err != nil {
				t.Fatalf("answer %s: %v", tt.body, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answer %s (-want +got):\n%s", tt.body, diff)
			}
		})
	}
}

func TestThirdPartyAuth_NamesWhatWentWrong(t *testing.T) {
	t.Parallel()
	const hidden = "hidden-in-the-body"
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    error
		text    string
		// requests is how many are sent.
		requests int
	}{
		{"token refused", status(401, `{"message":"`+hidden+`"}`), management.ErrToken, "SUPABASE_ACCESS_TOKEN", 1},
		{"scope missing", status(403, `{"message":"`+hidden+`"}`), management.ErrForbidden, "auth_config_read", 1},
		{"no such project", status(404, `{"message":"`+hidden+`"}`), management.ErrNotFound, "SUPABASE_PROJECT_REF", 1},
		{"limited, without a word about when", status(429, `{"message":"`+hidden+`"}`), management.ErrLimited, "429", 1},
		{"limited for longer than a call may take", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "40")
			w.WriteHeader(http.StatusTooManyRequests)
		}, management.ErrLimited, "minute", 1},
		{"not an answer of the API", status(404, `<html>`+hidden), management.ErrUnavailable, "body that is not the API's", 1},
		{"another refusal", status(422, `{"message":"`+hidden+`"}`), management.ErrRefused, "422", 1},
		{"server error", status(500, hidden), management.ErrUnavailable, "500", 2},
		{"gateway error", status(502, `<html>`+hidden), management.ErrUnavailable, "502", 2},
		{"unavailable for longer than a call may take", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, management.ErrUnavailable, "503", 1},
		{"connection that breaks", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, management.ErrUnavailable, "connection", 2},
		{"body that breaks off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `[{"id":"`)
		}, management.ErrUnavailable, "a part of a body", 2},
		{"nothing", status(200, ``), management.ErrUnavailable, "not a list", 1},
		{"null", status(200, `null`), management.ErrUnavailable, "not a list", 1},
		{"a page", status(200, `<html>`+hidden), management.ErrUnavailable, "not a list", 1},
		{"an object", status(200, `{"data":[]}`), management.ErrUnavailable, "not a list", 1},
		{"a list of something else", status(200, `["`+hidden+`"]`), management.ErrUnavailable, "not a list", 1},
		{"a list with nothing in it", status(200, `[null]`), management.ErrUnavailable, "not a list", 1},
		{"more behind it", status(200, `[] []`), management.ErrUnavailable, "not a list", 1},
		{"too much", status(200, `["`+strings.Repeat("x", 1<<20)+`"]`), management.ErrUnavailable, "more than 1 MiB", 1},
		{"too much, packed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			for range 64 {
				_, _ = packed.Write(bytes.Repeat([]byte(" "), 1<<20))
			}
			_ = packed.Close()
		}, management.ErrUnavailable, "more than 1 MiB", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			m := answering(t, func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				tt.handler(w, r)
			})
			got, err := m.ThirdPartyAuth(t.Context())
			if !errors.Is(err, tt.want) || got != nil {
				t.Fatalf("ThirdPartyAuth = %v, %v, want error %v", got, err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), "sbp_") {
				t.Errorf("error %q: want it to name %q and to quote neither body nor token", err, tt.text)
			}
			if int(requests.Load()) != tt.requests {
				t.Errorf("%d requests were sent, want %d", requests.Load(), tt.requests)
			}
		})
	}
}

func TestThirdPartyAuth_TriesOnceMoreWhereThatMayHelp(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusInternalServerError, http.StatusTooManyRequests} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			var asked atomic.Bool
			m := answering(t, func(w http.ResponseWriter, _ *http.Request) {
				if !asked.Swap(true) {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(status)
					return
				}
				fmt.Fprint(w, `[{"id":"1"}]`)
			})
			if got, err := m.ThirdPartyAuth(t.Context()); err != nil || len(got) != 1 {
				t.Errorf("ThirdPartyAuth = %v, %v, want the second answer", got, err)
			}
		})
	}
}

// The token would go with a redirect.
func TestThirdPartyAuth_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a request went elsewhere, with Authorization of %d bytes", len(r.Header.Get("Authorization")))
	}))
	t.Cleanup(elsewhere.Close)
	m := answering(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if _, err := m.ThirdPartyAuth(t.Context()); !errors.Is(err, management.ErrUnavailable) || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("ThirdPartyAuth = %v, want ErrUnavailable that names the redirect", err)
	}
}

func TestThirdPartyAuth_TrustsNoUnknownCertificate(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		fmt.Fprint(w, `[]`)
	}))
	// It would tell of the refused handshake.
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	if _, err := newProviders(t, server.URL).ThirdPartyAuth(t.Context()); !errors.Is(err, management.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") || requests.Load() != 0 {
		t.Errorf("ThirdPartyAuth = %v after %d requests, want ErrUnavailable that names the certificate", err, requests.Load())
	}
	m, err := management.NewProviders(management.ProvidersOptions{
		Token: secret.New(managementToken), ProjectRef: managedProject, URL: server.URL, HTTPClient: server.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.ThirdPartyAuth(t.Context()); err != nil {
		t.Errorf("ThirdPartyAuth with a client that knows the certificate = %v", err)
	}
}

func TestThirdPartyAuth_EndsAtItsOwnLimit(t *testing.T) {
	t.Parallel()
	m := answering(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	management.LimitProviders(m, 50*time.Millisecond)
	if _, err := m.ThirdPartyAuth(t.Context()); !errors.Is(err, management.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("ThirdPartyAuth = %v, want ErrUnavailable that names the limit", err)
	}
}

func TestThirdPartyAuth_ServesAnswersForAMinuteAndFailuresForTenSeconds(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	m, api := manage(t, managementdouble.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if broken.Load() {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}})
	now := time.Now()
	management.SetProvidersClock(m, func() time.Time { return now })
	for i, step := range []struct {
		after    time.Duration
		broken   bool
		requests int // so far
		err      error
	}{
		{0, false, 1, nil},
		{59 * time.Second, true, 1, nil},
		{time.Second, true, 2, management.ErrToken},
		{9 * time.Second, false, 2, management.ErrToken},
		{time.Second, false, 3, nil},
	} {
		now = now.Add(step.after)
		broken.Store(step.broken)
		_, err := m.ThirdPartyAuth(t.Context())
		if !errors.Is(err, step.err) || api.Requests() != step.requests {
			t.Errorf("step %d: %v after %d requests, want %v after %d", i, err, api.Requests(), step.err, step.requests)
		}
	}
}

func TestThirdPartyAuth_LeavesAUsedUpLimitAloneForAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	m := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	now := time.Now()
	management.SetProvidersClock(m, func() time.Time { return now })
	for _, step := range []struct {
		after    time.Duration
		requests int32
	}{{0, 1}, {29 * time.Second, 1}, {time.Second, 2}} {
		now = now.Add(step.after)
		if _, err := m.ThirdPartyAuth(t.Context()); !errors.Is(err, management.ErrLimited) || requests.Load() != step.requests {
			t.Errorf("after another %v: %v and %d requests, want ErrLimited and %d", step.after, err, requests.Load(), step.requests)
		}
	}
}

func TestThirdPartyAuth_AsksOnceForAllWhoWait(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}), make(chan struct{})
	m, api := manage(t, managementdouble.Options{Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		close(asked) // twice would panic
		<-release
		next.ServeHTTP(w, r)
	}})
	var wait sync.WaitGroup
	// Whoever asks first and goes does not take the answer along.
	ctx, cancel := context.WithCancelCause(t.Context())
	wait.Go(func() {
		if _, err := m.ThirdPartyAuth(ctx); err == nil || !strings.Contains(err.Error(), "gone home") {
			t.Errorf("a call that ends early = %v, want its cause", err)
		}
	})
	<-asked
	cancel(errors.New("gone home"))
	for range 8 {
		wait.Go(func() {
			if _, err := m.ThirdPartyAuth(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wait.Wait()
	if api.Requests() != 1 {
		t.Errorf("%d requests for nine calls, want 1", api.Requests())
	}
}

func TestThirdPartyAuth_LeavesItsResultToTheCaller(t *testing.T) {
	t.Parallel()
	m, api := manage(t, managementdouble.Options{})
	if _, err := api.Register(t.Context(), managedProject, managementdouble.Registration{JWKSURL: issuer(t, `{"keys":[]}`) + "/keys"}); err != nil {
		t.Fatal(err)
	}
	first, err := m.ThirdPartyAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first[0].ID = "changed"
	if second, err := m.ThirdPartyAuth(t.Context()); err != nil || second[0].ID == "changed" {
		t.Errorf("ThirdPartyAuth = %+v, %v, want no trace of the first caller", second, err)
	}
}

// FuzzThirdPartyAuth: any JSON object is a provider, and what is read of it can
// be written and read again.
func FuzzThirdPartyAuth(f *testing.F) {
	f.Add(`{"id":"1","type":"clerk","oidc_issuer_url":"https://clerk.example.com","resolved_jwks":{"keys":[]},"inserted_at":"2026-06-15T09:00:05.123456Z","resolved_at":null}`)
	f.Add(`{"id":7,"resolved_at":1781514005,"custom_jwks":[1e400]}`)
	f.Add(`{"inserted_at":"0000-01-01 00:00:00+14"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var object map[string]json.RawMessage
		isObject := json.Unmarshal([]byte(text), &object) == nil && object != nil
		var first, second management.ThirdPartyAuth
		if err := json.Unmarshal([]byte(text), &first); (err == nil) != isObject && json.Valid([]byte(text)) && text != "null" {
			t.Fatalf("reading %s: %v, want an error for all but objects", text, err)
		}
		if !isObject {
			return
		}
		written, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("writing what was read of %s: %v", text, err)
		}
		if err := json.Unmarshal(written, &second); err != nil {
			t.Fatalf("reading %s again, as %s: %v", text, written, err)
		}
		if first.ID != second.ID || !first.InsertedAt.Equal(second.InsertedAt) || (first.ResolvedJWKS == nil) != (second.ResolvedJWKS == nil) {
			t.Errorf("%s = %+v, and again %+v", text, first, second)
		}
	})
}

func TestNewProviders_NamesEveryOptionThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name            string
		token, ref, url string
		want            []string
	}{
		{"nothing", "", "", "", []string{"access token is not set", "project reference"}},
		{"two lines", "sbp_a\nsbp_b", managedProject, "", []string{"line break"}},
		{"not ASCII", "sbp_ä", managedProject, "", []string{"character that no token has"}},
		// It becomes a part of a path.
		{"more than a reference", "sbp_a", managedProject + "/../../organizations", "", []string{"20 lower-case letters"}},
		{"in clear", "sbp_a", managedProject, "http://api.supabase.com", []string{"https"}},
		{"in clear, to what only looks like this machine", "sbp_a", managedProject, "http://localhost.example.com", []string{"https"}},
		{"another scheme", "sbp_a", managedProject, "ftp://api.supabase.com", []string{"https"}},
		{"no URL", "sbp_a", managedProject, "api.supabase.com", []string{"is not one"}},
		{"with a password", "sbp_a", managedProject, "https://u:hidden@api.supabase.com", []string{"credentials"}},
		{"with a query", "sbp_a", managedProject, "https://api.supabase.com?", []string{"query"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := management.NewProviders(management.ProvidersOptions{Token: secret.New(tt.token), ProjectRef: tt.ref, URL: tt.url})
			if err == nil {
				t.Fatalf("NewManagement(%+v) works", tt)
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error lacks %q: %v", part, err)
				}
			}
			if strings.Contains(err.Error(), "sbp_a") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("error quotes a value: %v", err)
			}
		})
	}
}
