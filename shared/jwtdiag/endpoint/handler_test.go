package endpoint_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/endpoint"
)

// token looks like one; nothing here reads it.
const token = "eyJhbGciOiJSUzI1NiIsImtpZCI6Imluc18ydEtuMyJ9.eyJzdWIiOiJ1c2VyXzJ4UTlTRUNSRVQifQ.c2lnbmF0dXJlLXRoYXQtbm9ib2R5LXNlZXM"

// claims are in the report of every test here, and in no log.
const claims = `{"sub":"user_2xQ9","email":"ines@example.com"}`

func report() jwtdiag.Report {
	return jwtdiag.Report{
		Sentence: "The token has expired.",
		Cause:    "claim.exp",
		Verdicts: jwtdiag.Verdicts{
			Clerk:    jwtdiag.Verdict{Outcome: jwtdiag.Refused, Code: "token-expired", Because: "The token has expired.", Finding: "claim.exp"},
			Supabase: jwtdiag.Verdict{Outcome: jwtdiag.Unknown, Because: "The project was not asked."},
		},
		Token:    jwtdiag.Token{Kind: "clerk_session", Name: "a Clerk session token", Claims: json.RawMessage(claims)},
		Findings: []finding.Finding{{ID: "claim.exp", Status: finding.Fail, Title: "The token has expired"}},
	}
}

// bundle is a handler with everything around it that a test looks at.
type bundle struct {
	*endpoint.Handler
	log *syncBuffer

	mu       sync.Mutex
	asked    []jwtdiag.Request
	observed []endpoint.Observation
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *bundle) Observe(_ context.Context, o endpoint.Observation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o.Duration = 0
	b.observed = append(b.observed, o)
}

func (b *bundle) requests() []jwtdiag.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.asked)
}

func served(context.Context) bool { return true }

// setup returns a handler with the page that answers report(), unless a test
// changes the options.
func setup(t testing.TB, change func(*endpoint.Options)) *bundle {
	t.Helper()
	b := &bundle{log: &syncBuffer{}}
	options := endpoint.Options{
		Diagnose: func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) { return report(), nil },
		Page:     served,
		Logger:   slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observer: b,
	}
	if change != nil {
		change(&options)
	}
	diagnose := options.Diagnose
	options.Diagnose = func(ctx context.Context, r jwtdiag.Request) (jwtdiag.Report, error) {
		b.mu.Lock()
		b.asked = append(b.asked, r)
		b.mu.Unlock()
		return diagnose(ctx, r)
	}
	handler, err := endpoint.New(options)
	if err != nil {
		t.Fatal(err)
	}
	b.Handler = handler
	return b
}

// question is a POST as a program sends it.
func question(t testing.TB, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.Path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func valid(t testing.TB) *http.Request {
	t.Helper()
	return question(t, `{"token":"`+token+`"}`)
}

func (b *bundle) answer(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func wantError(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var answer struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("answer %d %q is not JSON: %v", w.Code, w.Body, err)
	}
	if w.Code != status || answer.Error.Code != code || answer.Error.Message == "" {
		t.Errorf("answer = %d %s, want %d with code %s and a message", w.Code, w.Body, status, code)
	}
	if got, want := w.Header().Get("Retry-After") != "", w.Code == http.StatusServiceUnavailable; got != want {
		t.Errorf("the answer %d has Retry-After: %t, want %t", w.Code, got, want)
	}
}

func (b *bundle) wantRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	wantError(t, w, status, code)
	if asked := b.requests(); len(asked) != 0 {
		t.Errorf("a diagnosis was made %d times, want never", len(asked))
	}
}

func TestHandler_AnswersWithTheReport(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	w := b.answer(question(t, `{"token":"`+token+`","tables":["public.users"],"symptom":"22P02"}`))
	want, err := json.Marshal(report())
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusOK || w.Body.String() != string(want) {
		t.Errorf("answer = %d %s, want 200 %s", w.Code, w.Body, want)
	}
	if diff := cmp.Diff([]jwtdiag.Request{{Token: token, Tables: []string{"public.users"}, Symptom: "22P02"}}, b.requests()); diff != "" {
		t.Errorf("questions: -want +got\n%s", diff)
	}
}

func TestHandler_RefusesMalformedBodies(t *testing.T) {
	t.Parallel()
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.wantRefusal(t, b.answer(question(t, test.body)), 400, test.code)
		})
	}
}

func TestHandler_RefusesRequestsOfAnotherForm(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	method := func(method, below string) func(*http.Request) {
		return func(r *http.Request) { r.Method, r.URL.Path = method, endpoint.Path+below }
	}
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		code   string
		allow  string
	}{
		{"another path", func(r *http.Request) { r.URL.Path = "/diagnostics" }, 404, "not_found", ""},
		{"path with a slash behind", method("POST", "/"), 404, "not_found", ""},
		{"path in another case", func(r *http.Request) { r.URL.Path = strings.ToUpper(r.URL.Path) }, 404, "not_found", ""},
		{"source of the package", method("GET", "/page.go"), 404, "not_found", ""},
		{"path that leads up", method("GET", "/../jwt/page.js"), 404, "not_found", ""},
		{"PUT", method("PUT", ""), 405, "method_not_allowed", "GET, HEAD, POST"},
		// What a browser asks before a page of another site may send JSON.
		{"OPTIONS", method("OPTIONS", ""), 405, "method_not_allowed", "GET, HEAD, POST"},
		{"POST of a file", method("POST", "/page.js"), 405, "method_not_allowed", "GET, HEAD"},

		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "unsupported_media_type", ""},
		// Pages of other sites can send these three without being asked.
		{"text", set("Content-Type", "text/plain;charset=UTF-8"), 415, "unsupported_media_type", ""},
		{"form", set("Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type", ""},
		{"form in parts", set("Content-Type", "multipart/form-data; boundary=x"), 415, "unsupported_media_type", ""},
		{"another JSON type", set("Content-Type", "application/cloudevents+json"), 415, "unsupported_media_type", ""},
		{"another charset", set("Content-Type", "application/json; charset=utf-16"), 415, "unsupported_media_type", ""},
		{"content type that does not parse", set("Content-Type", "application/json; charset"), 415, "unsupported_media_type", ""},
		{"two content types", func(r *http.Request) { r.Header.Add("Content-Type", "application/json") }, 415, "unsupported_media_type", ""},
		{"two content types joined", set("Content-Type", "text/plain, application/json"), 415, "unsupported_media_type", ""},
		{"gzip", set("Content-Encoding", "gzip"), 415, "unsupported_encoding", ""},
		{"announced too large", func(r *http.Request) { r.ContentLength = endpoint.MaxBody + 1 }, 413, "body_too_large", ""},

		{"page of another site", set("Sec-Fetch-Site", "cross-site"), 403, "cross_site", ""},
		{"page of a neighbour", set("Sec-Fetch-Site", "same-site"), 403, "cross_site", ""},
		{"another origin", set("Origin", "https://attacker.example"), 403, "cross_site", ""},
		{"the same name on another port", set("Origin", "http://example.com:8080"), 403, "cross_site", ""},
		{"origin that is hidden", set("Origin", "null"), 403, "cross_site", ""},
		{"origin that does not parse", set("Origin", "http://example.com:x"), 403, "cross_site", ""},
		{"page of another site that claims our origin", func(r *http.Request) {
			r.Header.Set("Origin", "http://example.com")
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, 403, "cross_site", ""},

		// The first thing wrong is the one that is told.
		{"another path and PUT", func(r *http.Request) { r.URL.Path, r.Method = "/", "PUT" }, 404, "not_found", ""},
		{"form of another site", func(r *http.Request) {
			r.Header.Set("Origin", "https://attacker.example")
			r.Header.Set("Content-Type", "text/plain")
		}, 403, "cross_site", ""},
		{"too large and gzipped", func(r *http.Request) {
			r.Header.Set("Content-Encoding", "gzip")
			r.ContentLength = endpoint.MaxBody + 1
		}, 415, "unsupported_encoding", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			r := valid(t)
			test.change(r)
			w := b.answer(r)
			b.wantRefusal(t, w, test.status, test.code)
			if got := w.Header().Get("Allow"); got != test.allow {
				t.Errorf("header Allow = %q, want %q", got, test.allow)
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("header Access-Control-Allow-Origin = %q, want none", got)
			}
		})
	}
}

func TestHandler_TakesRequestsOfItsOwnPageAndOfPrograms(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(http.Header)
	}{
		{"program", func(http.Header) {}},
		{"page", func(h http.Header) {
			h.Set("Origin", "http://example.com")
			h.Set("Sec-Fetch-Site", "same-origin")
		}},
		// Browsers say so where the page asks for no referrer.
		{"page whose origin is hidden", func(h http.Header) {
			h.Set("Origin", "null")
			h.Set("Sec-Fetch-Site", "same-origin")
		}},
		{"page in an older browser", func(h http.Header) { h.Set("Origin", "http://example.com") }},
		{"behind a proxy that renames the host", func(h http.Header) {
			h.Set("Origin", "https://tools.example.org")
			h.Set("Sec-Fetch-Site", "same-origin")
		}},
		{"charset", func(h http.Header) { h.Set("Content-Type", "Application/JSON; charset=UTF-8") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			r := valid(t)
			test.change(r.Header)
			if w := b.answer(r); w.Code != http.StatusOK {
				t.Errorf("answer = %d %s, want 200", w.Code, w.Body)
			}
		})
	}
}

func TestHandler_ServesOnlyItsHosts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		hosts []string
		host  string
		want  bool
	}{
		{nil, "anything.example", true},
		{endpoint.Loopback(), "localhost:8787", true},
		{endpoint.Loopback(), "LOCALHOST:8787", true},
		{endpoint.Loopback(), "localhost", true},
		{endpoint.Loopback(), "127.0.0.1:8787", true},
		{endpoint.Loopback(), "[::1]:8787", true},
		{endpoint.Loopback(), "[::1]", true},
		// A name that its owner points at 127.0.0.1 once the page is loaded.
		{endpoint.Loopback(), "rebound.attacker.example:8787", false},
		{endpoint.Loopback(), "localhost.attacker.example:8787", false},
		{endpoint.Loopback(), "127.0.0.1.attacker.example", false},
		{endpoint.Loopback(), "127.0.0.2:8787", false},
		{endpoint.Loopback(), "", false},
		{[]string{"localhost:8787"}, "localhost:8787", true},
		{[]string{"localhost:8787"}, "localhost:8788", false},
		{[]string{"localhost:8787"}, "localhost", false},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%q of %q", test.host, test.hosts), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *endpoint.Options) { o.Hosts = test.hosts })
			for _, r := range []*http.Request{valid(t), httptest.NewRequestWithContext(t.Context(), http.MethodGet, endpoint.Path, nil)} {
				r.Host = test.host
				w := b.answer(r)
				if test.want && w.Code != http.StatusOK {
					t.Errorf("%s = %d %s, want 200", r.Method, w.Code, w.Body)
				}
				if !test.want {
					b.wantRefusal(t, w, 403, "unknown_host")
				}
			}
		})
	}
}

func TestHandler_KeepsThePageToItselfUnlessAllowed(t *testing.T) {
	t.Parallel()
	for _, page := range []func(context.Context) bool{nil, func(context.Context) bool { return false }} {
		b := setup(t, func(o *endpoint.Options) { o.Page = page })
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := b.answer(httptest.NewRequestWithContext(t.Context(), method, endpoint.Path, nil))
			wantError(t, w, 405, "method_not_allowed")
			if got := w.Header().Get("Allow"); got != "POST" {
				t.Errorf("%s %s: header Allow = %q, want POST", method, endpoint.Path, got)
			}
		}
		for _, file := range []string{"/page.css", "/page.js"} {
			wantError(t, b.answer(httptest.NewRequestWithContext(t.Context(), http.MethodGet, endpoint.Path+file, nil)), 404, "not_found")
		}
		if w := b.answer(valid(t)); w.Code != http.StatusOK {
			t.Errorf("POST = %d %s, want 200", w.Code, w.Body)
		}
	}
}

// golden are all headers of the answers.
var golden = map[string]http.Header{
	"json": headers(map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
	}),
	"page": headers(map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
		"Permissions-Policy": "camera=(), clipboard-read=(), clipboard-write=(self), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
	}),
	"css": headers(map[string]string{
		"Content-Type": "text/css; charset=utf-8", "Cache-Control": "no-cache", "Etag": "…",
		"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
	}),
	"js": headers(map[string]string{
		"Content-Type": "text/javascript; charset=utf-8", "Cache-Control": "no-cache", "Etag": "…",
		"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
	}),
}

func headers(own map[string]string) http.Header {
	all := http.Header{
		"X-Content-Type-Options": {"nosniff"}, "X-Frame-Options": {"DENY"}, "Referrer-Policy": {"no-referrer"},
		"Cross-Origin-Opener-Policy": {"same-origin"}, "Cross-Origin-Resource-Policy": {"same-origin"},
	}
	for name, value := range own {
		all.Set(name, value)
	}
	return all
}

func TestHandler_SendsTheseHeaders(t *testing.T) {
	t.Parallel()
	get := func(below string) *http.Request {
		return httptest.NewRequestWithContext(t.Context(), http.MethodGet, endpoint.Path+below, nil)
	}
	unavailable := headers(nil)
	maps.Copy(unavailable, golden["json"])
	unavailable.Set("Retry-After", "5")
	notAllowed := headers(nil)
	maps.Copy(notAllowed, golden["json"])
	notAllowed.Set("Allow", "GET, HEAD")
	tests := []struct {
		name    string
		request *http.Request
		err     error
		status  int
		want    http.Header
	}{
		{"report", valid(t), nil, 200, golden["json"]},
		{"malformed", question(t, "{}"), nil, 400, golden["json"]},
		{"nothing there", get("/"), nil, 404, golden["json"]},
		{"not configured", valid(t), errors.New("no configuration"), 503, unavailable},
		{"page", get(""), nil, 200, golden["page"]},
		{"style", get("/page.css"), nil, 200, golden["css"]},
		{"script", get("/page.js"), nil, 200, golden["js"]},
		{"method", httptest.NewRequestWithContext(t.Context(), http.MethodDelete, endpoint.Path+"/page.js", nil), nil, 405, notAllowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *endpoint.Options) {
				o.Diagnose = func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) { return report(), test.err }
			})
			w := b.answer(test.request)
			got := w.Header()
			if got.Get("Etag") != "" {
				got.Set("Etag", "…")
			}
			if diff := cmp.Diff(test.want, got); diff != "" || w.Code != test.status {
				t.Errorf("answer %d, want %d; headers: -want +got\n%s", w.Code, test.status, diff)
			}
		})
	}
}

func TestHandler_ServesFilesThatAreKnownAsKnown(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	get := func(method, path, etag string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
		r.Header.Set("If-None-Match", etag)
		return b.answer(r)
	}
	for _, path := range []string{endpoint.Path + "/page.css", endpoint.Path + "/page.js"} {
		first := get(http.MethodGet, path, "")
		etag := first.Header().Get("ETag")
		if first.Code != http.StatusOK || first.Body.Len() == 0 || etag == "" {
			t.Fatalf("GET %s = %d with %d bytes and ETag %q, want 200 with both", path, first.Code, first.Body.Len(), etag)
		}
		// Gateways that compress make validators weak.
		for _, known := range []string{etag, "W/" + etag, `"other", ` + etag} {
			if again := get(http.MethodGet, path, known); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
				t.Errorf("GET %s with If-None-Match %s = %d with %d bytes, want 304 with none", path, known, again.Code, again.Body.Len())
			}
		}
		if other := get(http.MethodGet, path, `"other"`); other.Code != http.StatusOK {
			t.Errorf("GET %s with another ETag = %d, want 200", path, other.Code)
		}
		if head := get(http.MethodHead, path, ""); head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("HEAD %s = %d with %d bytes, want 200 with none", path, head.Code, head.Body.Len())
		}
	}
	// The page is never kept, so that nobody has it already.
	if page := get(http.MethodGet, endpoint.Path, `""`); page.Code != http.StatusOK || page.Header().Get("ETag") != "" {
		t.Errorf("GET of the page = %d with ETag %q, want 200 without", page.Code, page.Header().Get("ETag"))
	}
}

// later is an error that knows when to ask again.
type later time.Duration

func (e later) Error() string             { return "the configuration is being fetched" }
func (e later) RetryAfter() time.Duration { return time.Duration(e) }

func TestHandler_AnswersUnavailableWithoutAReport(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		err   error
		after string
	}{
		{"plain", errors.New("no such secret"), "5"},
		{"knows when", fmt.Errorf("configuring: %w", later(1500*time.Millisecond)), "2"},
		{"knows nothing", later(0), "5"},
		{"in a year", later(365 * 24 * time.Hour), "3600"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *endpoint.Options) {
				o.Diagnose = func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) { return jwtdiag.Report{}, test.err }
			})
			w := b.answer(valid(t))
			wantError(t, w, 503, "not_configured")
			if got := w.Header().Get("Retry-After"); got != test.after {
				t.Errorf("Retry-After = %s, want %s", got, test.after)
			}
			if strings.Contains(w.Body.String(), test.err.Error()) {
				t.Errorf("the answer shows the cause: %s", w.Body)
			}
			if !strings.Contains(b.log.String(), test.err.Error()) {
				t.Errorf("log = %s, want the cause", b.log)
			}
		})
	}
}

func TestHandler_AnswersPanics(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		do     func(jwtdiag.Request)
		logged string
	}{
		{"runtime error", func(r jwtdiag.Request) { _ = []int{}[len(r.Token)] }, "index out of range"},
		// It may have been made of the token.
		{"own words", func(r jwtdiag.Request) { panic("cannot read " + r.Token) }, "panic of type string"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *endpoint.Options) {
				o.Diagnose = func(_ context.Context, r jwtdiag.Request) (jwtdiag.Report, error) {
					test.do(r)
					return report(), nil
				}
			})
			wantError(t, b.answer(valid(t)), 500, "internal")
			if got := b.log.String(); !strings.Contains(got, test.logged) || !strings.Contains(got, "handler_test.go") || strings.Contains(got, token) {
				t.Errorf("log = %s, want %q, a stack that leads here and no token", got, test.logged)
			}
		})
	}
}

func TestHandler_AnswersReportsThatDoNotEncode(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *endpoint.Options) {
		o.Diagnose = func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) {
			r := report()
			r.Token.Claims = json.RawMessage(`{"email":"ines@example.com"`)
			return r, nil
		}
	})
	w := b.answer(valid(t))
	wantError(t, w, 500, "internal")
	if strings.Contains(w.Body.String()+b.log.String(), "ines") {
		t.Errorf("answer or log shows claims: %s\n%s", w.Body, b.log)
	}
}

func TestHandler_NamesTheLimitThatEndedADiagnosis(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *endpoint.Options) {
		o.Diagnose = func(ctx context.Context, _ jwtdiag.Request) (jwtdiag.Report, error) {
			<-ctx.Done()
			return jwtdiag.Report{}, ctx.Err()
		}
	})
	b.Limit(time.Millisecond, 0)
	wantError(t, b.answer(valid(t)), 503, "unavailable")
	if got := b.log.String(); !strings.Contains(got, "the request took longer than 1ms") {
		t.Errorf("log = %s, want the limit", got)
	}
}

func TestHandler_DoesNotCallItAFailureWhenTheCallerLeaves(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	b := setup(t, func(o *endpoint.Options) {
		o.Diagnose = func(ctx context.Context, _ jwtdiag.Request) (jwtdiag.Report, error) {
			leave()
			<-ctx.Done()
			return jwtdiag.Report{}, ctx.Err()
		}
	})
	wantError(t, b.answer(valid(t).WithContext(ctx)), 499, "cancelled")
	if got := b.log.String(); !strings.Contains(got, `"level":"INFO"`) {
		t.Errorf("log = %s, want a line of level INFO", got)
	}
}

func TestHandler_WritesOneLineWithoutTokenOrClaims(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		request func(t *testing.T) *http.Request
		change  func(*endpoint.Options)
		want    map[string]any
	}{
		{"report", func(t *testing.T) *http.Request { t.Helper(); return valid(t) }, nil, map[string]any{
			"level": "INFO", "msg": "token diagnosed", "status": 200.0, "kind": "clerk_session", "clerk": "refused", "supabase": "unknown", "cause": "claim.exp",
		}},
		{"refused", func(t *testing.T) *http.Request {
			t.Helper()
			return question(t, `{"token":"`+token+`","tables":"ines@example.com"}`)
		}, nil, map[string]any{"level": "INFO", "msg": "diagnosis refused", "status": 400.0, "code": "invalid_field"}},
		{"another site", func(t *testing.T) *http.Request {
			t.Helper()
			r := valid(t)
			r.Header.Set("Origin", "https://"+"ines.example.com")
			return r
		}, nil, map[string]any{
			"level": "INFO", "msg": "diagnosis refused", "status": 403.0, "code": "cross_site",
			"error": "cross-origin request detected, and/or browser is out of date: Sec-Fetch-Site is missing, and Origin does not match Host",
		}},
		{"failed", func(t *testing.T) *http.Request { t.Helper(); return valid(t) }, func(o *endpoint.Options) {
			o.Diagnose = func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) {
				return jwtdiag.Report{}, errors.New("no such secret")
			}
		}, map[string]any{"level": "ERROR", "msg": "diagnosis failed", "status": 503.0, "code": "not_configured", "error": "diagnosing a token: no such secret"}},
		{"page", func(t *testing.T) *http.Request {
			t.Helper()
			return httptest.NewRequestWithContext(t.Context(), http.MethodGet, endpoint.Path, nil)
		}, nil, map[string]any{"level": "INFO", "msg": "diagnostics page served", "status": 200.0, "asset": "page"}},
		// A cause is an id; should one be made of claims, the line stays a line.
		{"endless cause", func(t *testing.T) *http.Request { t.Helper(); return valid(t) }, func(o *endpoint.Options) {
			o.Diagnose = func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) {
				r := report()
				r.Cause = strings.Repeat("x", 1000)
				return r, nil
			}
		}, map[string]any{
			"level": "INFO", "msg": "token diagnosed", "status": 200.0, "kind": "clerk_session", "clerk": "refused", "supabase": "unknown", "cause": strings.Repeat("x", 128),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.change)
			b.answer(test.request(t))
			var got map[string]any
			if err := json.Unmarshal([]byte(b.log.String()), &got); err != nil {
				t.Fatalf("log = %s, want one line of JSON: %v", b.log, err)
			}
			if _, ok := got["duration_ms"].(float64); !ok {
				t.Errorf("duration_ms = %v, want a number", got["duration_ms"])
			}
			delete(got, "duration_ms")
			delete(got, "time")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("log line: -want +got\n%s", diff)
			}
			for part := range strings.SplitSeq(token, ".") {
				if strings.Contains(b.log.String(), part) {
					t.Errorf("the log shows the token: %s", b.log)
				}
			}
			if strings.Contains(b.log.String(), "ines") || strings.Contains(b.log.String(), "user_2xQ9") {
				t.Errorf("the log shows claims: %s", b.log)
			}
		})
	}
}

func TestHandler_TellsTheObserver(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.answer(valid(t))
	b.answer(question(t, "{}"))
	b.answer(httptest.NewRequestWithContext(t.Context(), http.MethodGet, endpoint.Path+"/page.js", nil))
	want := []endpoint.Observation{
		{Status: 200, Clerk: jwtdiag.Refused, Supabase: jwtdiag.Unknown, Kind: "clerk_session", Cause: "claim.exp"},
		{Status: 400, Code: "missing_token"},
		{Status: 200, Asset: "page.js"},
	}
	if diff := cmp.Diff(want, b.observed); diff != "" {
		t.Errorf("observations: -want +got\n%s", diff)
	}
}

func TestNew_NamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	handler, err := endpoint.New(endpoint.Options{Hosts: []string{"", "http://localhost"}})
	if err == nil {
		t.Fatalf("New = %v, want an error", handler)
	}
	for _, want := range []string{"Options.Diagnose is not set", `Options.Hosts has ""`, `Options.Hosts has "http://localhost"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("New: error = %q, want it to say %q", err, want)
		}
	}
}

func TestNew_NeedsOnlyDiagnose(t *testing.T) {
	t.Parallel()
	handler, err := endpoint.New(endpoint.Options{
		Diagnose: func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) { return report(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, valid(t))
	if w.Code != http.StatusOK {
		t.Errorf("answer = %d %s, want 200", w.Code, w.Body)
	}
}

func TestHandler_TakesBodiesUpToTheLimit(t *testing.T) {
	t.Parallel()
	sized := func(size int) string {
		frame := `{"token":""}`
		return `{"token":"` + strings.Repeat("x", size-len(frame)) + `"}`
	}
	const size = endpoint.MaxBody
	b := setup(t, nil)
	if w := b.answer(question(t, sized(size))); w.Code != http.StatusOK {
		t.Errorf("body of %d bytes: answer = %d %s, want 200", size, w.Code, w.Body)
	}
	wantError(t, b.answer(question(t, sized(size+1))), 413, "body_too_large")
	// Not announced.
	r := question(t, sized(size+1))
	r.ContentLength = -1
	wantError(t, b.answer(r), 413, "body_too_large")
}

// send writes a request by hand and returns the status of the answer.
func send(t *testing.T, server *httptest.Server, head string, body io.Reader) int {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	request := "POST " + endpoint.Path + " HTTP/1.1\r\nHost: example.com\r\nContent-Type: application/json\r\n" + head + "\r\n\r\n"
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	if body != nil {
		// Ends with the connection.
		go func() { _, _ = io.Copy(connection, body) }()
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	chunk := "1\r\n \r\n"
	return copy(p, chunk), nil
}

func TestHandler_GivesUpOnSlowAndEndlessBodies(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, head string
		body       io.Reader
		limit      time.Duration
		want       int
	}{
		{"slow", "Content-Length: 100", strings.NewReader(`{"token":`), time.Millisecond, 408},
		{"endless", "Transfer-Encoding: chunked", endless{}, time.Minute, 413},
		{"broken", "Transfer-Encoding: chunked", strings.NewReader("no length\r\n"), time.Minute, 400},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.Limit(0, test.limit)
			server := httptest.NewServer(b)
			t.Cleanup(server.Close)
			if got := send(t, server, test.head, test.body); got != test.want {
				t.Errorf("answer = %d, want %d", got, test.want)
			}
		})
	}
}

// documented are the codes that the package documentation lists.
var documented = map[int][]string{
	400: {"invalid_json", "missing_token", "unknown_field", "duplicate_field", "invalid_field", "unreadable_body"},
	403: {"cross_site", "unknown_host"},
	404: {"not_found"},
	405: {"method_not_allowed"},
	408: {"request_timeout"},
	413: {"body_too_large"},
	415: {"unsupported_media_type", "unsupported_encoding"},
	499: {"cancelled"},
	500: {"internal"},
	503: {"unavailable", "not_configured"},
}

func TestAnswers_AreThoseDocumented(t *testing.T) {
	t.Parallel()
	known := endpoint.Answers()
	for _, test := range malformed {
		known[test.code] = test.says
	}
	for status, codes := range documented {
		for _, code := range codes {
			if known[code] == "" {
				t.Errorf("no answer %d has code %s", status, code)
			}
			delete(known, code)
		}
	}
	for code := range known {
		t.Errorf("code %s is not documented", code)
	}
}

// FuzzHandler: whatever is sent gets one of the documented answers, and a
// diagnosis is only made for a question of this origin or of a program.
func FuzzHandler(f *testing.F) {
	f.Add("POST", endpoint.Path, "application/json", "", "", "example.com", []byte(`{"token":"abc"}`))
	f.Add("POST", endpoint.Path, "application/json", "cross-site", "https://attacker.example", "example.com", []byte(`{"token":"abc"}`))
	f.Add("POST", endpoint.Path, "application/json", "", "null", "[::1]:80", []byte(`{"token":"abc","x":1}`))
	f.Add("GET", endpoint.Path+"/page.js", "", "none", "", "[::", []byte{})
	f.Add("HEAD", "/", "text/plain", "same-origin", "%", "", []byte("{"))
	f.Fuzz(func(t *testing.T, method, path, contentType, site, origin, host string, body []byte) {
		b := setup(t, func(o *endpoint.Options) { o.Hosts = []string{"example.com", "[::1]"} })
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.Path, bytes.NewReader(body))
		r.Method, r.URL.Path, r.Host = method, path, host
		for name, value := range map[string]string{"Content-Type": contentType, "Sec-Fetch-Site": site, "Origin": origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		w := b.answer(r)
		asked := b.requests()
		if w.Code == http.StatusOK {
			if question := method == http.MethodPost; question != (len(asked) == 1) {
				t.Errorf("%q %q = 200 with %d diagnoses", method, path, len(asked))
			}
			if len(asked) == 1 && (path != endpoint.Path || site == "cross-site" || site == "same-site") {
				t.Errorf("%q %q of site %q was diagnosed", method, path, site)
			}
			return
		}
		var answer struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || !slices.Contains(documented[w.Code], answer.Error.Code) {
			t.Errorf("%q %q = %d %s, which is not documented", method, path, w.Code, w.Body)
		}
		if len(asked) != 0 {
			t.Errorf("a diagnosis was made for what was answered %d %s", w.Code, w.Body)
		}
	})
}
