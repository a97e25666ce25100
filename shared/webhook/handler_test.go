package webhook_test

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

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/webhook"
)

// call is one call of the store.
type call struct {
	SvixID     string
	Event      clerk.Event // of Apply
	InstanceID string      // of Apply
	Reason     string      // of Reject
	Body       string      // of Reject
}

// store answers what a test says and remembers what it was asked.
type store struct {
	result mirror.Result
	err    error
	// do, if set, runs first.
	do func(ctx context.Context)

	mu    sync.Mutex
	calls []call
}

func (s *store) Apply(ctx context.Context, d mirror.Delivery) (mirror.Result, error) {
	return s.answer(ctx, call{SvixID: d.SvixID, Event: d.Event, InstanceID: d.InstanceID})
}

func (s *store) Reject(ctx context.Context, m mirror.Unreadable) (mirror.Result, error) {
	return s.answer(ctx, call{SvixID: m.SvixID, Reason: m.Reason, Body: string(m.Body)})
}

func (s *store) answer(ctx context.Context, c call) (mirror.Result, error) {
	s.mu.Lock()
	s.calls = append(s.calls, c)
	s.mu.Unlock()
	if s.do != nil {
		s.do(ctx)
	}
	return s.result, s.err
}

func (s *store) seen() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// observer remembers what it was told.
type observer struct {
	mu   sync.Mutex
	seen []webhook.Observation
}

func (o *observer) Observe(_ context.Context, observation webhook.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	observation.Duration = 0
	o.seen = append(o.seen, observation)
}

// bundle is a handler with everything around it that a test looks at.
type bundle struct {
	*webhook.Handler
	store    *store
	observer *observer
	log      *syncBuffer
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

// configured is a configuration of these secrets.
func configured(secrets ...string) func(context.Context) (webhook.Configuration, error) {
	return func(context.Context) (webhook.Configuration, error) {
		return webhook.Configuration{Secrets: values(secrets...)}, nil
	}
}

// setup returns a handler that knows clerktest.Secret, and whose store says
// "applied", unless a test changes the options.
func setup(t testing.TB, change func(*webhook.Options)) bundle {
	t.Helper()
	b := bundle{store: &store{result: mirror.Result{Outcome: mirror.Applied}}, observer: &observer{}, log: &syncBuffer{}}
	options := webhook.Options{
		Store:     b.store,
		Configure: configured(clerktest.Secret),
		Logger:    slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observer:  b.observer,
		Now:       clock,
	}
	if change != nil {
		change(&options)
	}
	handler, err := webhook.New(options)
	if err != nil {
		t.Fatal(err)
	}
	b.Handler = handler
	return b
}

// request returns the request that delivers the message.
func (m *message) request(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path, bytes.NewReader(m.body))
	r.Header = m.header.Clone()
	r.Header.Set("Content-Type", "application/json")
	return r
}

// deliver returns the handler's answer to a request.
func (b bundle) deliver(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

// wantRefusal checks status, code and form of an answer, and that the store
// was not asked.
func (b bundle) wantRefusal(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	wantError(t, w, status, code)
	if calls := b.store.seen(); len(calls) != 0 {
		t.Errorf("the store was called: %+v", calls)
	}
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
	wantHeaders(t, w)
}

func wantOutcome(t *testing.T, w *httptest.ResponseRecorder, outcome mirror.Outcome) {
	t.Helper()
	status := http.StatusOK
	if outcome == mirror.Queued {
		status = http.StatusAccepted
	}
	if got, want := w.Body.String(), fmt.Sprintf(`{"outcome":%q}`, outcome); w.Code != status || got != want {
		t.Errorf("answer = %d %s, want %d %s", w.Code, got, status, want)
	}
	wantHeaders(t, w)
}

func wantHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("header %s of the answer = %q, want %q", name, got, want)
		}
	}
	if got, want := w.Header().Get("Retry-After") != "", w.Code == http.StatusServiceUnavailable; got != want {
		t.Errorf("the answer %d has Retry-After: %t, want %t", w.Code, got, want)
	}
}

func TestHandler_RefusesTamperedMessages(t *testing.T) {
	t.Parallel()
	for _, test := range tampered {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			m := validMessage()
			test.change(m)
			b.wantRefusal(t, b.deliver(m.request(t)), test.status, test.code)
		})
	}
}

// segment is such as a stack has.
const segment = "5b2c9f40-7a1e-11f0-8c3d-0a1b2c3d4e5f"

// Who routes to the handler chooses the segment, and a reader of the log does
// not learn it.
func TestHandler_TakesASegmentBehindItsPathAndLogsNone(t *testing.T) {
	t.Parallel()
	for _, behind := range []string{segment, strings.Repeat("a", webhook.MinSegment), strings.Repeat("Z", webhook.MaxSegment), "AZaz09-_AZaz09-_"} {
		b := setup(t, nil)
		r := validMessage().request(t)
		r.URL.Path += "/" + behind
		if w := b.deliver(r); w.Code != http.StatusOK {
			t.Errorf("segment %q: answered %d %s, want 200", behind, w.Code, w.Body)
		}
		r = validMessage().request(t)
		r.URL.Path += "/" + behind
		r.Header.Set("svix-signature", "v1,AAAA")
		if w := b.deliver(r); w.Code != http.StatusUnauthorized {
			t.Errorf("segment %q, wrong signature: answered %d %s, want 401", behind, w.Code, w.Body)
		}
		if logged := b.log.String(); strings.Contains(logged, behind) || logged == "" {
			t.Errorf("the log is to say what became of the requests, and no segment:\n%s", logged)
		}
	}
}

func TestHandler_RefusesRequestsOfAnotherForm(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		code   string
	}{
		{"another path", func(r *http.Request) { r.URL.Path = "/webhooks" }, 404, "not_found"},
		{"path with a slash behind", func(r *http.Request) { r.URL.Path += "/" }, 404, "not_found"},
		{"segment that is too short", func(r *http.Request) { r.URL.Path += "/" + strings.Repeat("a", webhook.MinSegment-1) }, 404, "not_found"},
		{"segment that is too long", func(r *http.Request) { r.URL.Path += "/" + strings.Repeat("a", webhook.MaxSegment+1) }, 404, "not_found"},
		{"two segments", func(r *http.Request) { r.URL.Path += "/" + segment + "/" + segment }, 404, "not_found"},
		{"segment with a slash behind", func(r *http.Request) { r.URL.Path += "/" + segment + "/" }, 404, "not_found"},
		{"segment that a URL would escape", func(r *http.Request) { r.URL.Path += "/" + segment + "é" }, 404, "not_found"},
		{"segment without a slash", func(r *http.Request) { r.URL.Path += segment }, 404, "not_found"},
		{"path in another case", func(r *http.Request) { r.URL.Path = strings.ToUpper(r.URL.Path) }, 404, "not_found"},
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405, "method_not_allowed"},
		{"HEAD", func(r *http.Request) { r.Method = http.MethodHead }, 405, "method_not_allowed"},
		{"OPTIONS", func(r *http.Request) { r.Method = http.MethodOptions }, 405, "method_not_allowed"},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405, "method_not_allowed"},
		{"form", func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, 415, "unsupported_media_type"},
		{"text", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain; charset=utf-8") }, 415, "unsupported_media_type"},
		{"another charset", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-16") }, 415, "unsupported_media_type"},
		{"content type that does not parse", func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset") }, 415, "unsupported_media_type"},
		{"two content types", func(r *http.Request) { r.Header.Add("Content-Type", "application/json") }, 415, "unsupported_media_type"},
		{"two content types joined", func(r *http.Request) { r.Header.Set("Content-Type", "application/json,application/json") }, 415, "unsupported_media_type"},
		{"gzip", func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415, "unsupported_encoding"},
		{"announced too large", func(r *http.Request) { r.ContentLength = webhook.DefaultMaxBody + 1 }, 413, "body_too_large"},

		// The first thing wrong is the one that is told.
		{"another path and GET", func(r *http.Request) { r.URL.Path, r.Method = "/", http.MethodGet }, 404, "not_found"},
		{"GET of text", func(r *http.Request) {
			r.Method = http.MethodGet
			r.Header.Set("Content-Type", "text/plain")
		}, 405, "method_not_allowed"},
		{"gzipped text", func(r *http.Request) {
			r.Header.Set("Content-Encoding", "gzip")
			r.Header.Set("Content-Type", "text/plain")
		}, 415, "unsupported_media_type"},
		{"too large and gzipped", func(r *http.Request) {
			r.Header.Set("Content-Encoding", "gzip")
			r.ContentLength = webhook.DefaultMaxBody + 1
		}, 415, "unsupported_encoding"},
		{"too large without headers", func(r *http.Request) {
			r.Header = http.Header{}
			r.ContentLength = webhook.DefaultMaxBody + 1
		}, 413, "body_too_large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			r := validMessage().request(t)
			test.change(r)
			w := b.deliver(r)
			b.wantRefusal(t, w, test.status, test.code)
			if got, want := w.Header().Get("Allow"), map[int]string{405: "POST"}[test.status]; got != want {
				t.Errorf("header Allow = %q, want %q", got, want)
			}
		})
	}
}

func TestHandler_AcceptsEveryKindOfJSON(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{
		"", // none
		"application/json",
		"application/json; charset=utf-8",
		"Application/JSON;charset=UTF-8",
		"application/cloudevents+json",
		`application/json; profile="https://example.com/x"`,
	} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			r := validMessage().request(t)
			r.Header.Set("Content-Type", contentType)
			if contentType == "" {
				r.Header.Del("Content-Type")
			}
			wantOutcome(t, b.deliver(r), mirror.Applied)
		})
	}
}

func TestHandler_HandsTheEventToTheStore(t *testing.T) {
	t.Parallel()
	for _, outcome := range []mirror.Outcome{mirror.Applied, mirror.Duplicate, mirror.Stale, mirror.Ignored, mirror.Rejected, mirror.Queued} {
		t.Run(string(outcome), func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *webhook.Options) {
				o.Configure = func(context.Context) (webhook.Configuration, error) {
					return webhook.Configuration{Secrets: values(clerktest.Secret), InstanceID: "ins_pinned"}, nil
				}
			})
			b.store.result = mirror.Result{Outcome: outcome}
			m := validMessage()
			wantOutcome(t, b.deliver(m.request(t)), outcome)
			want := []call{{SvixID: messageID, InstanceID: "ins_pinned", Event: clerk.Event{
				Type: clerk.UserCreated, ObjectID: "user_1", InstanceID: clerktest.InstanceID, StatedAt: now, JSON: m.body,
			}}}
			if diff := cmp.Diff(want, b.store.seen()); diff != "" {
				t.Errorf("calls of the store: -want +got\n%s", diff)
			}
		})
	}
}

func TestHandler_AcceptsEveryGoldenEvent(t *testing.T) {
	t.Parallel()
	for _, name := range clerktest.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			m := &message{http.Header{}, clerktest.Event(t, name)}
			m.sign(clerktest.Secret, messageID, now)
			m.rename()
			wantOutcome(t, b.deliver(m.request(t)), mirror.Applied)
			if calls := b.store.seen(); len(calls) != 1 || calls[0].Event.Type != clerktest.TypeOf(name) {
				t.Errorf("calls of the store = %+v, want one with an event of type %s", calls, clerktest.TypeOf(name))
			}
		})
	}
}

func TestHandler_RejectsAuthenticBodiesThatAreNoEvent(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, reason string }{
		{"empty", "", "not_json"},
		{"text", "hello", "not_json"},
		{"byte order mark", "\ufeff{}", "not_json"},
		{"Latin-1", "{\"type\":\"Zo\xeb\"}", "not_utf8"},
		{"JSON of another kind", `{"test": 2432232314}`, "not_an_event"},
		{"null", "null", "not_an_event"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.store.result = mirror.Result{Outcome: mirror.Rejected, Reason: test.reason}
			m := &message{http.Header{}, []byte(test.body)}
			m.sign(clerktest.Secret, messageID, now)
			wantOutcome(t, b.deliver(m.request(t)), mirror.Rejected)
			if diff := cmp.Diff([]call{{SvixID: messageID, Reason: test.reason, Body: test.body}}, b.store.seen()); diff != "" {
				t.Errorf("calls of the store: -want +got\n%s", diff)
			}
		})
	}
}

func TestHandler_RefusesUnsignedEmptyBody(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.wantRefusal(t, b.deliver(httptest.NewRequestWithContext(t.Context(), http.MethodPost, webhook.Path, nil)), 400, "missing_header")

	m := validMessage()
	m.body = nil
	b.wantRefusal(t, b.deliver(m.request(t)), 401, "invalid_signature")
}

func TestHandler_VerifiesAgainstEverySecret(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *webhook.Options) {
		o.Configure = configured(otherSecret, clerktest.Secret)
	})
	for i, signer := range []string{otherSecret, clerktest.Secret} {
		m := validMessage()
		m.sign(signer, messageID, now)
		wantOutcome(t, b.deliver(m.request(t)), mirror.Applied)
		if got, want := b.log.String(), fmt.Sprintf(`"secret_index":%d`, i); !strings.Contains(got, want) {
			t.Errorf("log = %s, want it to hold %s", got, want)
		}
	}
}

// rotating is a configuration whose secret is changed behind its back.
type rotating struct {
	cached, live string
	instance     string
	err          error
	refreshes    int
	asked        int
}

func (r *rotating) options(o *webhook.Options) {
	o.Configure = func(context.Context) (webhook.Configuration, error) {
		r.asked++
		return webhook.Configuration{Secrets: values(r.cached), InstanceID: r.instance}, nil
	}
	o.Refresh = func(context.Context) (bool, error) {
		r.refreshes++
		if r.err != nil {
			return false, r.err
		}
		changed := r.cached != r.live
		r.cached = r.live
		return changed, nil
	}
}

func TestHandler_RefreshesSecretsOnceWhenTheSignatureFails(t *testing.T) {
	t.Parallel()
	config := &rotating{cached: otherSecret, live: clerktest.Secret}
	b := setup(t, config.options)
	wantOutcome(t, b.deliver(validMessage().request(t)), mirror.Applied)
	if config.refreshes != 1 {
		t.Errorf("refreshed %d times, want once", config.refreshes)
	}
	// Known by now.
	wantOutcome(t, b.deliver(validMessage().request(t)), mirror.Applied)
	if config.refreshes != 1 {
		t.Errorf("refreshed %d times after a second message, want still once", config.refreshes)
	}
	// The secret that was replaced no longer counts.
	m := validMessage()
	m.sign(otherSecret, messageID, now)
	wantError(t, b.deliver(m.request(t)), 401, "invalid_signature")
	if got := len(b.store.seen()); got != 2 {
		t.Errorf("the store was called %d times, want 2", got)
	}
}

// A delivery is judged by one configuration, however many parts of it there are.
func TestHandler_AsksForTheConfigurationOnce(t *testing.T) {
	t.Parallel()
	config := &rotating{cached: clerktest.Secret, live: clerktest.Secret, instance: "ins_pinned"}
	b := setup(t, config.options)
	wantOutcome(t, b.deliver(validMessage().request(t)), mirror.Applied)
	if config.asked != 1 {
		t.Errorf("asked %d times, want once", config.asked)
	}
	// One that was verified with other secrets is pinned to what came with them.
	config.cached, config.asked = otherSecret, 0
	wantOutcome(t, b.deliver(validMessage().request(t)), mirror.Applied)
	if config.asked != 2 {
		t.Errorf("asked %d times with a refresh in between, want twice", config.asked)
	}
	for _, c := range b.store.seen() {
		if c.InstanceID != "ins_pinned" {
			t.Errorf("a delivery is pinned to %q", c.InstanceID)
		}
	}
}

func TestHandler_VerifiesOnceWhenNothingWasRefreshed(t *testing.T) {
	t.Parallel()
	config := &rotating{cached: otherSecret, live: otherSecret} // or fetched less than a minute ago
	b := setup(t, config.options)
	b.wantRefusal(t, b.deliver(validMessage().request(t)), 401, "invalid_signature")
	if config.refreshes != 1 || config.asked != 1 {
		t.Errorf("refreshed %d times and asked %d times for secrets, want once each", config.refreshes, config.asked)
	}
}

func TestHandler_RefusesWhenRefreshingFails(t *testing.T) {
	t.Parallel()
	config := &rotating{cached: otherSecret, err: errors.New("reading the secret: access denied")}
	b := setup(t, config.options)
	b.wantRefusal(t, b.deliver(validMessage().request(t)), 401, "invalid_signature")
	if got := b.log.String(); !strings.Contains(got, "access denied") {
		t.Errorf("log = %s, want it to say why refreshing failed", got)
	}
}

func TestHandler_RefreshesOnlyForSignatures(t *testing.T) {
	t.Parallel()
	for _, test := range tampered {
		if test.code == "invalid_signature" {
			continue
		}
		config := &rotating{cached: clerktest.Secret, live: otherSecret}
		b := setup(t, config.options)
		m := validMessage()
		test.change(m)
		b.wantRefusal(t, b.deliver(m.request(t)), test.status, test.code)
		if config.refreshes != 0 {
			t.Errorf("%s: refreshed %d times, want never", test.name, config.refreshes)
		}
	}
}

func TestHandler_AnswersUnavailableWithoutConfiguration(t *testing.T) {
	t.Parallel()
	secrets := func(secrets []secret.Value, err error) func(*webhook.Options) {
		return func(o *webhook.Options) {
			o.Configure = func(context.Context) (webhook.Configuration, error) {
				return webhook.Configuration{Secrets: secrets}, err
			}
		}
	}
	tests := []struct {
		name   string
		change func(*webhook.Options)
		logged string
	}{
		{"secrets cannot be had", secrets(nil, errors.New("CLERK_WEBHOOK_SIGNING_SECRET is not set")), "CLERK_WEBHOOK_SIGNING_SECRET"},
		{"no secret", secrets(nil, nil), "no webhook signing secret"},
		{"bad secret", secrets(values(clerktest.Secret, "whsec_oops"), nil), "2 of 2"},
		{"no instance", secrets(values(clerktest.Secret), errors.New("CLERK_INSTANCE_ID is malformed")), "CLERK_INSTANCE_ID"},
		{"bad secrets after a refresh", func(o *webhook.Options) {
			config := &rotating{cached: otherSecret, live: "whsec_oops"}
			config.options(o)
		}, "1 of 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, test.change)
			w := b.deliver(validMessage().request(t))
			b.wantRefusal(t, w, 503, "not_configured")
			if got, want := w.Header().Get("Retry-After"), "60"; got != want {
				t.Errorf("Retry-After = %s, want %s", got, want)
			}
			if got := b.log.String(); !strings.Contains(got, test.logged) || !strings.Contains(got, `"level":"ERROR"`) {
				t.Errorf("log = %s, want an error that names %s", got, test.logged)
			}
		})
	}
}

// busyError is an error that knows when to come again.
type busyError time.Duration

func (busyError) Error() string               { return "too many connections" }
func (e busyError) RetryAfter() time.Duration { return time.Duration(e) }

func TestHandler_AnswersUnavailableWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		result     mirror.Result
		err        error
		retryAfter string
		logged     string
	}{
		{"transient", mirror.Result{}, fmt.Errorf("applying: %w: connection refused", mirror.ErrUnavailable), "5", "connection refused"},
		{"any other error", mirror.Result{}, errors.New("permission denied for function apply_event"), "5", "permission denied"},
		{"knows when to come again", mirror.Result{}, fmt.Errorf("applying: %w", busyError(30*time.Second)), "30", "too many connections"},
		{"less than a second", mirror.Result{}, busyError(time.Millisecond), "1", "too many connections"},
		{"more than an hour", mirror.Result{}, busyError(48 * time.Hour), "3600", "too many connections"},
		{"nothing sensible", mirror.Result{}, busyError(-time.Second), "5", "too many connections"},
		{"unknown outcome", mirror.Result{Outcome: "lost"}, nil, "5", "unknown outcome"},
		{"no outcome", mirror.Result{}, nil, "5", "unknown outcome"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.store.result, b.store.err = test.result, test.err
			w := b.deliver(validMessage().request(t))
			wantError(t, w, 503, "unavailable")
			if got := w.Header().Get("Retry-After"); got != test.retryAfter {
				t.Errorf("Retry-After = %s, want %s", got, test.retryAfter)
			}
			if got := b.log.String(); !strings.Contains(got, test.logged) || !strings.Contains(got, messageID) || !strings.Contains(got, `"level":"ERROR"`) {
				t.Errorf("log = %s, want an error that names %s and the message", got, test.logged)
			}
		})
	}
}

func TestHandler_AnswersUnavailableAfterAPanic(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		do             func(context.Context)
		logged, hidden string
	}{
		{"runtime error", func(context.Context) { _ = []int{}[len(messageID)] }, "index out of range", "ines@example.com"},
		// It may have been made of the payload.
		{"own words", func(context.Context) { panic("cannot store ines@example.com") }, "panic of type string", "ines@example.com"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.store.do = test.do
			wantError(t, b.deliver(validMessage().request(t)), 503, "unavailable")
			got := b.log.String()
			if !strings.Contains(got, test.logged) || !strings.Contains(got, "handler_test.go") {
				t.Errorf("log = %s, want %q and a stack that leads here", got, test.logged)
			}
			if strings.Contains(got, test.hidden) {
				t.Errorf("log = %s, which shows %s", got, test.hidden)
			}
		})
	}
}

func TestHandler_GivesTheStoreADeadlineOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name           string
		request, store time.Duration
		logged         string
	}{
		{"store", time.Hour, time.Millisecond, "storing took longer than 1ms"},
		{"request", time.Millisecond, time.Hour, "the request took longer than 1ms"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			b.Limit(test.request, 0, test.store)
			b.store.do = func(ctx context.Context) { <-ctx.Done() }
			b.store.err = context.DeadlineExceeded
			wantError(t, b.deliver(validMessage().request(t)), 503, "unavailable")
			if got := b.log.String(); !strings.Contains(got, test.logged) {
				t.Errorf("log = %s, want it to say %q", got, test.logged)
			}
		})
	}
}

func TestHandler_WritesOneLineWithoutPayload(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*bundle, *message)
		want   map[string]any
	}{
		{"applied", func(*bundle, *message) {}, map[string]any{
			"level": "INFO", "msg": "webhook handled", "status": 200.0, "outcome": "applied", "type": "user.created", "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0, "lag_ms": 0.0,
		}},
		{"late", func(_ *bundle, m *message) {
			m.body = clerktest.User("user_1").Email("ines@example.com").Event(clerk.UserUpdated, now.Add(-90*time.Second))
			m.sign(clerktest.Secret, messageID, now)
		}, map[string]any{
			"level": "INFO", "msg": "webhook handled", "status": 200.0, "outcome": "applied", "type": "user.updated", "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0, "lag_ms": 90000.0,
		}},
		{"without timestamp", func(_ *bundle, m *message) {
			m.body = clerktest.User("user_1").Email("ines@example.com").Event(clerk.UserUpdated, now, clerktest.NoTimestamp())
			m.sign(clerktest.Secret, messageID, now)
		}, map[string]any{
			"level": "INFO", "msg": "webhook handled", "status": 200.0, "outcome": "applied", "type": "user.updated", "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0,
		}},
		{"queued", func(b *bundle, _ *message) {
			b.store.result = mirror.Result{Outcome: mirror.Queued}
		}, map[string]any{
			"level": "INFO", "msg": "webhook handled", "status": 202.0, "outcome": "queued", "type": "user.created", "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0, "lag_ms": 0.0,
		}},
		{"rejected", func(b *bundle, _ *message) {
			b.store.result = mirror.Result{Outcome: mirror.Rejected, Reason: "missing_id"}
		}, map[string]any{
			"level": "WARN", "msg": "webhook handled", "status": 200.0, "outcome": "rejected", "reason": "missing_id", "type": "user.created", "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0, "lag_ms": 0.0,
		}},
		{"no event", func(b *bundle, m *message) {
			b.store.result = mirror.Result{Outcome: mirror.Rejected, Reason: "not_an_event"}
			m.body = []byte(`{"email":"ines@example.com"}`)
			m.sign(clerktest.Secret, messageID, now)
		}, map[string]any{
			"level": "WARN", "msg": "webhook handled", "status": 200.0, "outcome": "rejected", "reason": "not_an_event", "svix_id": messageID, "secret_index": 0.0,
		}},
		{"forged", func(_ *bundle, m *message) { m.sign(otherSecret, messageID, now) }, map[string]any{
			"level": "WARN", "msg": "webhook refused", "status": 401.0, "code": "invalid_signature", "svix_id": messageID, "error": "no matching signature: tried 1 signing secrets",
		}},
		// Which clock is wrong shows in the numbers.
		{"late by an hour", func(_ *bundle, m *message) { m.sign(clerktest.Secret, messageID, now.Add(-time.Hour)) }, map[string]any{
			"level": "WARN", "msg": "webhook refused", "status": 401.0, "code": "timestamp_too_old", "svix_id": messageID,
			"error": "timestamp too old: signed 3600 s before this machine's time, and the limit is 300 s: the clock here runs fast, or somebody sends an old request again",
		}},
		{"early by an hour", func(_ *bundle, m *message) { m.sign(clerktest.Secret, messageID, now.Add(time.Hour)) }, map[string]any{
			"level": "WARN", "msg": "webhook refused", "status": 401.0, "code": "timestamp_too_new", "svix_id": messageID,
			"error": "timestamp too new: signed 3600 s after this machine's time, and the limit is 300 s: the clock here runs slow",
		}},
		{"no headers", func(_ *bundle, m *message) { m.header = http.Header{} }, map[string]any{
			"level": "INFO", "msg": "webhook refused", "status": 400.0, "code": "missing_header", "error": "missing header: svix-id, svix-timestamp, svix-signature",
		}},
		{"store down", func(b *bundle, _ *message) { b.store.err = mirror.ErrUnavailable }, map[string]any{
			"level": "ERROR", "msg": "webhook failed", "status": 503.0, "code": "unavailable", "type": "user.created", "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0, "lag_ms": 0.0, "error": "storing message " + messageID + ": the database is unavailable",
		}},
		{"endless type", func(_ *bundle, m *message) {
			m.body = clerktest.Wrap(strings.Repeat("x", 1000), now, map[string]string{"id": "user_1"})
			m.sign(clerktest.Secret, messageID, now)
		}, map[string]any{
			"level": "INFO", "msg": "webhook handled", "status": 200.0, "outcome": "applied", "type": strings.Repeat("x", 128), "object_id": "user_1", "svix_id": messageID, "secret_index": 0.0, "lag_ms": 0.0,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, nil)
			m := validMessage()
			test.change(&b, m)
			w := b.deliver(m.request(t))

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
			for _, hidden := range []string{"ines@example.com", m.header.Get("svix-signature"), clerktest.Secret, strings.TrimPrefix(clerktest.Secret, "whsec_")} {
				if hidden != "" && strings.Contains(b.log.String()+w.Body.String(), hidden) {
					t.Errorf("log or answer shows %s", hidden)
				}
			}
		})
	}
}

func TestHandler_TellsTheObserver(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	late := validMessage()
	late.body = clerktest.User("user_1").Event(clerk.UserUpdated, now.Add(-2*time.Second))
	late.sign(clerktest.Secret, messageID, now)
	b.deliver(late.request(t))

	forged := validMessage()
	forged.sign(otherSecret, messageID, now)
	b.deliver(forged.request(t))

	b.store.result = mirror.Result{Outcome: mirror.Rejected, Reason: "other_instance"}
	b.deliver(validMessage().request(t))

	b.store.result = mirror.Result{Outcome: mirror.Queued}
	b.deliver(validMessage().request(t))

	b.store.err = mirror.ErrUnavailable
	b.deliver(validMessage().request(t))

	want := []webhook.Observation{
		{Status: 200, Outcome: mirror.Applied, Verified: true, Type: clerk.UserUpdated, Lag: 2 * time.Second},
		{Status: 401, Code: "invalid_signature"},
		{Status: 200, Outcome: mirror.Rejected, Reason: "other_instance", Verified: true, Type: clerk.UserCreated},
		{Status: 202, Outcome: mirror.Queued, Verified: true, Type: clerk.UserCreated},
		{Status: 503, Code: "unavailable", Verified: true, Type: clerk.UserCreated},
	}
	if diff := cmp.Diff(want, b.observer.seen); diff != "" {
		t.Errorf("observations: -want +got\n%s", diff)
	}
}

func TestNew_NamesEverythingThatIsMissing(t *testing.T) {
	t.Parallel()
	handler, err := webhook.New(webhook.Options{MaxBody: -1})
	if err == nil {
		t.Fatalf("New = %v, want an error", handler)
	}
	for _, part := range []string{"Options.Store", "Options.Configure", "Options.MaxBody"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("New = error %q, want it to name %s", err, part)
		}
	}
}

func TestNew_NeedsOnlyStoreAndConfiguration(t *testing.T) {
	t.Parallel()
	s := &store{result: mirror.Result{Outcome: mirror.Applied}}
	handler, err := webhook.New(webhook.Options{
		Store:     s,
		Configure: configured(clerktest.Secret),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := validMessage()
	m.sign(clerktest.Secret, messageID, time.Now())
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, m.request(t))
	wantOutcome(t, w, mirror.Applied)
}

func TestHandler_TakesBodiesUpToTheLimit(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *webhook.Options) { o.MaxBody = 1000 })
	for _, test := range []struct {
		size   int
		status int
	}{{1000, 200}, {1001, 413}} {
		m := &message{http.Header{}, nil}
		m.body = clerktest.Wrap(clerk.UserCreated, now, map[string]string{"id": "user_1", "pad": ""})
		m.body = bytes.Replace(m.body, []byte(`"pad":"`), []byte(`"pad":"`+strings.Repeat("x", test.size-len(m.body))), 1)
		m.sign(clerktest.Secret, messageID, now)
		for _, announced := range []int64{int64(test.size), -1} {
			r := m.request(t)
			r.ContentLength = announced
			if w := b.deliver(r); w.Code != test.status {
				t.Errorf("%d bytes, announced as %d = %d %s, want %d", test.size, announced, w.Code, w.Body, test.status)
			}
		}
	}
}

// The tests below need a connection, so they run a server.

func serve(t *testing.T, b bundle) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(b.Handler)
	t.Cleanup(server.Close)
	return server
}

// dial opens a connection and sends a request that announces more body than
// the part that is given.
func dial(t *testing.T, server *httptest.Server, m *message, part []byte) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", webhook.Path, len(m.body))
	if err := m.header.Write(&b); err != nil {
		t.Fatal(err)
	}
	b.WriteString("\r\n")
	b.Write(part)
	if _, err := connection.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	return connection
}

// record reads an answer off a connection.
func record(t *testing.T, connection net.Conn) *httptest.ResponseRecorder {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	defer response.Body.Close()
	w := httptest.NewRecorder()
	w.Code = response.StatusCode
	maps.Copy(w.Header(), response.Header)
	if _, err := io.Copy(w.Body, response.Body); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestHandler_GivesUpOnSlowBodies(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.Limit(0, 20*time.Millisecond, 0)
	m := validMessage()
	connection := dial(t, serve(t, b), m, m.body[:10])
	b.wantRefusal(t, record(t, connection), 408, "request_timeout")
}

func TestHandler_ForgetsBodiesThatBreakOff(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	m := validMessage()
	connection := dial(t, serve(t, b), m, m.body[:10])
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b.wantRefusal(t, record(t, connection), 400, "unreadable_body")
}

func TestHandler_StopsReadingEndlessBodies(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	m := validMessage()
	endless := io.LimitReader(zeros{}, 64<<20)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, serve(t, b).URL+webhook.Path, endless)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = m.header
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		// The server may close the connection while the client still writes.
		if calls := b.store.seen(); len(calls) != 0 {
			t.Errorf("the store was called: %+v", calls)
		}
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status = %d, want 413", response.StatusCode)
	}
	if left := endless.(*io.LimitedReader).N; left == 0 {
		t.Error("the whole of 64 MiB was read")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHandler_LetsTheStoreOutlastTheBodyLimit(t *testing.T) {
	t.Parallel()
	// A machine under load may need longer for the body than a short limit.
	for limit := 20 * time.Millisecond; ; limit *= 2 {
		b := setup(t, nil)
		b.Limit(0, limit, 0)
		var cancelled error
		b.store.do = func(ctx context.Context) {
			// A read deadline that was left standing would end this context.
			select {
			case <-ctx.Done():
				cancelled = context.Cause(ctx)
			case <-time.After(5 * limit):
			}
		}
		m := validMessage()
		answer := record(t, dial(t, serve(t, b), m, m.body))
		if answer.Code == http.StatusRequestTimeout {
			continue
		}
		wantOutcome(t, answer, mirror.Applied)
		if cancelled != nil {
			t.Errorf("the store's context ended: %v", cancelled)
		}
		return
	}
}

func TestHandler_ServesManyAtOnce(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	turn := 0
	b := setup(t, func(o *webhook.Options) {
		// Two configurations in turn, so that verifiers are replaced meanwhile.
		o.Configure = func(ctx context.Context) (webhook.Configuration, error) {
			mu.Lock()
			defer mu.Unlock()
			turn++
			if turn%2 == 0 {
				return configured(clerktest.Secret)(ctx)
			}
			return configured(otherSecret, clerktest.Secret)(ctx)
		}
	})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			m := validMessage()
			m.sign(clerktest.Secret, fmt.Sprintf("msg_%d", i), now)
			if w := b.deliver(m.request(t)); w.Code != http.StatusOK {
				t.Errorf("message %d: answer = %d %s, want 200", i, w.Code, w.Body)
			}
		})
	}
	all.Wait()
	if got := len(b.store.seen()); got != 50 {
		t.Errorf("the store was called %d times, want 50", got)
	}
}

// documented are the codes that the package documentation lists.
var documented = map[int][]string{
	400: {"missing_header", "duplicate_header", "malformed_header", "unreadable_body"},
	401: {"invalid_signature", "timestamp_too_old", "timestamp_too_new"},
	404: {"not_found"},
	405: {"method_not_allowed"},
	408: {"request_timeout"},
	413: {"body_too_large"},
	415: {"unsupported_media_type", "unsupported_encoding"},
	503: {"not_configured", "unavailable"},
}

func TestAnswers_AreThoseDocumented(t *testing.T) {
	t.Parallel()
	answers := webhook.Answers()
	for status, codes := range documented {
		for _, code := range codes {
			if answers[code] == "" {
				t.Errorf("no answer %d has code %s", status, code)
			}
			delete(answers, code)
		}
	}
	for code := range answers {
		t.Errorf("code %s is not documented", code)
	}
}

// FuzzHandler: whatever is sent gets one of the documented answers, word for
// word, so that none can hold any of it; and only what was signed with the
// secret reaches the store.
func FuzzHandler(f *testing.F) {
	for _, test := range tampered {
		m := validMessage()
		test.change(m)
		f.Add("POST", webhook.Path, "application/json", "", m.header.Get("svix-id"), m.header.Get("svix-timestamp"), m.header.Get("svix-signature"), m.body, false)
	}
	for _, name := range []string{"user.created", "user.updated--lone-surrogate", "organizationMembership.deleted"} {
		f.Add("POST", webhook.Path, "application/json", "", messageID, "", "", clerktest.Event(f, name), true)
	}
	f.Add("POST", webhook.Path, "application/json; charset=utf-8", "", messageID, "", "", []byte("null"), true)
	f.Add("GET", "/", "text/plain", "gzip", "", "", "", []byte{}, false)

	answers := webhook.Answers()
	f.Fuzz(func(t *testing.T, method, path, contentType, encoding, id, timestamp, signature string, body []byte, sign bool) {
		m := &message{http.Header{}, body}
		m.header.Set("svix-id", id)
		m.header.Set("svix-timestamp", timestamp)
		m.header.Set("svix-signature", signature)
		if sign {
			m.sign(clerktest.Secret, id, now)
		}
		m.header.Set("Content-Type", contentType)
		if encoding != "" {
			m.header.Set("Content-Encoding", encoding)
		}
		b := setup(t, func(o *webhook.Options) { o.MaxBody = 64 << 10 })
		r := m.request(t)
		r.Header, r.Method, r.URL.Path = m.header, method, path
		w := b.deliver(r)

		calls := b.store.seen()
		if w.Code == http.StatusOK {
			if got, want := w.Body.String(), `{"outcome":"applied"}`; got != want || len(calls) != 1 {
				t.Errorf("answer = 200 %s with %d calls of the store, want %s with one", got, len(calls), want)
			}
			if _, err := newVerifier(t, clerktest.Secret).Verify(m.header, body); err != nil {
				t.Errorf("the store was given a message that does not verify: %v", err)
			}
		} else {
			if !slices.ContainsFunc(documented[w.Code], func(code string) bool { return answers[code] == w.Body.String() }) {
				t.Errorf("answer = %d %s, which is not documented", w.Code, w.Body)
			}
			if len(calls) != 0 {
				t.Errorf("the store was called for a message answered %d %s", w.Code, w.Body)
			}
		}
		if strings.Contains(b.log.String(), strings.TrimPrefix(clerktest.Secret, "whsec_")) {
			t.Errorf("the log shows the secret: %s", b.log)
		}
	})
}
