package svix_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standard "github.com/svix/svix-webhooks/go"

	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/secret"
)

const otherSecret = "whsec_YW5vdGhlci1zaWduaW5nLXNlY3JldC1mb3ItdGVzdHM="

// receiver is an endpoint that verifies with Svix's library, as a webhook
// handler does, and answers as the test says.
type receiver struct {
	t      *testing.T
	secret string
	answer func(w http.ResponseWriter, r *http.Request, nth int)

	mu       sync.Mutex
	requests []http.Header
	perID    map[string]int
}

func newReceiver(t *testing.T, secret string, answer func(w http.ResponseWriter, r *http.Request, nth int)) (*receiver, svix.Endpoint) {
	r := &receiver{t: t, secret: secret, answer: answer, perID: map[string]int{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, svix.Endpoint{URL: server.URL + "/webhooks/clerk", Secret: newSecret(secret)}
}

func newSecret(s string) secret.Value { return secret.New(s) }

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sender hung up
	}
	verifier, err := standard.NewWebhook(r.secret)
	if err != nil {
		r.t.Error(err)
	} else if err := verifier.VerifyIgnoringTimestamp(body, req.Header); err != nil {
		r.t.Errorf("the delivery of %s does not verify: %v", req.Header.Get("svix-id"), err)
	}
	r.mu.Lock()
	r.requests = append(r.requests, req.Header.Clone())
	r.perID[req.Header.Get("svix-id")]++
	nth := r.perID[req.Header.Get("svix-id")]
	r.mu.Unlock()
	r.answer(w, req, nth)
}

func ok(w http.ResponseWriter, _ *http.Request, _ int) { io.WriteString(w, `{"outcome":"applied"}`) }

func event(id string) clerkinstance.Event {
	return clerkinstance.Event{SvixID: id, Type: "user.created", ObjectID: "user_1", Body: []byte(`{"id":"` + id + `"}`)}
}

// seen returns the headers of the requests so far.
func (r *receiver) seen() []http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// recorder collects attempts.
type recorder struct {
	mu       sync.Mutex
	attempts []svix.Attempt
}

func (r *recorder) add(a svix.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
}

func newSender(t *testing.T, o svix.SenderOptions) *svix.Sender {
	t.Helper()
	s, err := svix.NewSender(o)
	if err != nil {
		t.Fatalf("NewSender = %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

func drain(t *testing.T, s *svix.Sender) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatalf("Drain = %v", err)
	}
}

func TestSender_RepeatsUntilDelivered(t *testing.T) {
	t.Parallel()
	r, endpoint := newReceiver(t, clerktest.Secret, func(w http.ResponseWriter, req *http.Request, nth int) {
		if nth < 3 {
			w.Header().Set("Retry-After", "5")
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":{"code":"unavailable","message":"…"}}`)
			return
		}
		ok(w, req, nth)
	})
	// Each signature is made at another second.
	var clock atomic.Int64
	clock.Store(time.Now().Unix())
	rec := &recorder{}
	s := newSender(t, svix.SenderOptions{
		Endpoints: []svix.Endpoint{endpoint}, Speed: 1e5, OnAttempt: rec.add,
		Now: func() time.Time { return time.Unix(clock.Add(1), 0) },
	})
	s.Send(event("msg_1"))
	drain(t, s)

	if len(r.seen()) != 3 {
		t.Fatalf("the endpoint got %d requests, want 3", len(r.seen()))
	}
	var ids, timestamps, signatures []string
	for _, h := range r.seen() {
		ids = append(ids, h.Get("svix-id"))
		timestamps = append(timestamps, h.Get("svix-timestamp"))
		signatures = append(signatures, h.Get("svix-signature"))
		if got := h.Get("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type = %q, want application/json", got)
		}
	}
	if diff := cmp.Diff([]string{"msg_1", "msg_1", "msg_1"}, ids); diff != "" {
		t.Errorf("svix-id: -want +got\n%s", diff)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(timestamps)))); n != 3 {
		t.Errorf("svix-timestamp = %v, want another one each time", timestamps)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(signatures)))); n != 3 {
		t.Errorf("svix-signature = %v, want another one each time", signatures)
	}

	type line struct {
		Number, Status     int
		Outcome, Code      string
		Delivered, GivenUp bool
	}
	var got []line
	for _, a := range rec.attempts {
		got = append(got, line{a.Number, a.Status, a.Outcome, a.Code, a.Delivered, a.GivenUp})
	}
	want := []line{
		{1, 503, "", "unavailable", false, false},
		{2, 503, "", "unavailable", false, false},
		{3, 200, "applied", "", true, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("attempts: -want +got\n%s", diff)
	}
	if diff := cmp.Diff(svix.Counts{Events: 1, Delivered: 1}, s.Counts()); diff != "" {
		t.Errorf("Counts: -want +got\n%s", diff)
	}
}

func TestSender_GivesUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		answer   func(w http.ResponseWriter, r *http.Request, nth int)
		attempts int

		brokenOff bool
	}{
		{name: "after eight failures", attempts: 8, answer: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(http.StatusInternalServerError)
		}},
		// Svix does not tell a refusal that will stay from one that may pass.
		{name: "after eight refusals", attempts: 8, answer: func(w http.ResponseWriter, _ *http.Request, _ int) {
			w.WriteHeader(http.StatusUnauthorized)
		}},
		{name: "after eight hang-ups", attempts: 8, answer: func(http.ResponseWriter, *http.Request, int) {
			panic(http.ErrAbortHandler)
		}},
		{name: "when asked to", attempts: 2, answer: func(w http.ResponseWriter, _ *http.Request, nth int) {
			if nth == 2 {
				w.Header().Set("webhook-delivery", "abort-message")
			}
			w.WriteHeader(http.StatusBadRequest)
		}},
		// Whatever is behind the redirect must not see the message.
		{name: "at redirects", attempts: 8, answer: func(w http.ResponseWriter, r *http.Request, _ int) {
			if strings.HasPrefix(r.URL.Path, "/elsewhere") {
				t.Errorf("the redirect to %s was followed", r.URL.Path)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}},
		{name: "at answers that take too long", attempts: 8, brokenOff: true, answer: func(_ http.ResponseWriter, r *http.Request, _ int) {
			<-r.Context().Done()
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, endpoint := newReceiver(t, clerktest.Secret, test.answer)
			rec := &recorder{}
			o := svix.SenderOptions{Endpoints: []svix.Endpoint{endpoint}, Speed: 1e8, OnAttempt: rec.add}
			if test.brokenOff {
				o.Timeout = 100 * time.Millisecond
			}
			s := newSender(t, o)
			s.Send(event("msg_1"))
			drain(t, s)
			if len(rec.attempts) != test.attempts {
				t.Fatalf("%d attempts were reported, want %d", len(rec.attempts), test.attempts)
			}
			// One that was broken off may not have been read whole.
			if got := len(r.seen()); got > test.attempts || got < test.attempts && !test.brokenOff {
				t.Errorf("the endpoint got %d requests, want %d", got, test.attempts)
			}
			last := rec.attempts[len(rec.attempts)-1]
			if !last.GivenUp || last.Delivered {
				t.Errorf("the last attempt is %+v, want it given up", last)
			}
			if diff := cmp.Diff(svix.Counts{Events: 1, GivenUp: 1}, s.Counts()); diff != "" {
				t.Errorf("Counts: -want +got\n%s", diff)
			}
		})
	}
}

func TestSender_BoundsConcurrency(t *testing.T) {
	t.Parallel()
	const limit, events = 3, 30
	var now, most atomic.Int64
	full := make(chan struct{})
	var once sync.Once
	_, endpoint := newReceiver(t, clerktest.Secret, func(w http.ResponseWriter, r *http.Request, nth int) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if n == limit {
			once.Do(func() { close(full) })
		}
		<-full // nobody is answered before the limit was reached once
		ok(w, r, nth)
	})
	s := newSender(t, svix.SenderOptions{Endpoints: []svix.Endpoint{endpoint}, Concurrency: limit})
	for i := range events {
		s.Send(event(fmt.Sprintf("msg_%d", i)))
	}
	drain(t, s)
	if most.Load() != limit {
		t.Errorf("%d requests were under way at once, want %d", most.Load(), limit)
	}
}

func TestSender_DeliversLateAndTwice(t *testing.T) {
	t.Parallel()
	const events = 50
	r, endpoint := newReceiver(t, clerktest.Secret, ok)
	rec := &recorder{}
	s := newSender(t, svix.SenderOptions{
		Endpoints: []svix.Endpoint{endpoint}, Concurrency: 1, OnAttempt: rec.add,
		// Nothing comes by itself within the test.
		Late: 0.5, LateBy: time.Hour, Twice: 0.4, Seed: 3,
	})
	for i := range events {
		s.Send(event(fmt.Sprintf("msg_%02d", i)))
	}
	drain(t, s)

	late, twice := 0, 0
	for _, a := range rec.attempts {
		if a.Late && !a.Twice {
			late++
		}
		if a.Twice {
			twice++
		}
	}
	if late == 0 || late == events || twice == 0 || twice == events {
		t.Errorf("of %d events %d came late and %d twice, want some of each", events, late, twice)
	}
	if len(r.seen()) != events+twice {
		t.Errorf("the endpoint got %d requests, want %d and %d again", len(r.seen()), events, twice)
	}
	for id, n := range r.perID {
		if n > 2 {
			t.Errorf("%s was delivered %d times, want once or twice", id, n)
		}
	}
}

func TestSender_LosesWhatItIsToldTo(t *testing.T) {
	t.Parallel()
	r, endpoint := newReceiver(t, clerktest.Secret, ok)
	s := newSender(t, svix.SenderOptions{Endpoints: []svix.Endpoint{endpoint}, Lost: 1})
	s.Send(event("msg_1"))
	drain(t, s)
	if len(r.seen()) != 0 {
		t.Errorf("the endpoint got %d requests, want none", len(r.seen()))
	}
	if diff := cmp.Diff(svix.Counts{Events: 1, Lost: 1}, s.Counts()); diff != "" {
		t.Errorf("Counts: -want +got\n%s", diff)
	}
}

// Clerk rotates a secret by a second endpoint of the same URL: until the old one
// is gone each event comes twice, under one svix-id and two signatures.
func TestSender_RotatesByASecondEndpoint(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	verified := map[string][]string{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, key := range []string{clerktest.Secret, otherSecret} {
			verifier, err := standard.NewWebhook(key)
			if err != nil {
				t.Error(err)
			}
			if verifier.Verify(body, r.Header) == nil {
				verified[r.Header.Get("svix-id")] = append(verified[r.Header.Get("svix-id")], key)
			}
		}
	}))
	t.Cleanup(server.Close)
	s := newSender(t, svix.SenderOptions{Endpoints: []svix.Endpoint{
		{URL: server.URL, Secret: newSecret(clerktest.Secret)},
		{URL: server.URL, Secret: newSecret(otherSecret)},
	}})
	s.Send(event("msg_1"))
	drain(t, s)
	slices.Sort(verified["msg_1"])
	if diff := cmp.Diff(map[string][]string{"msg_1": {clerktest.Secret, otherSecret}}, verified); diff != "" {
		t.Errorf("secrets that verified: -want +got\n%s", diff)
	}
}

func TestSender_DrainEndsWithItsContext(t *testing.T) {
	t.Parallel()
	_, endpoint := newReceiver(t, clerktest.Secret, func(w http.ResponseWriter, _ *http.Request, _ int) {
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	attempted := make(chan struct{}, 1)
	s := newSender(t, svix.SenderOptions{
		Endpoints: []svix.Endpoint{endpoint}, Speed: 1e-3, // the retry is hours away
		OnAttempt: func(svix.Attempt) { attempted <- struct{}{} },
	})
	s.Send(event("msg_1"))
	<-attempted
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	err := s.Drain(ctx)
	if !errors.Is(err, svix.ErrUndelivered) || !errors.Is(err, reason) {
		t.Errorf("Drain = %v, want ErrUndelivered and the context's reason", err)
	}
	s.Close() // and Close does not wait for the retry either
}

func TestNewSender_ReportsEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := svix.NewSender(svix.SenderOptions{
		Endpoints: []svix.Endpoint{{URL: "/webhooks/clerk", Secret: newSecret("whsec_%%%")}}, Late: 1.5,
	})
	if err == nil {
		t.Fatal("NewSender = nil, want an error")
	}
	for _, want := range []string{"late", "URL", "secret"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("NewSender = %q, want it to speak of %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "%%%") {
		t.Errorf("NewSender = %q quotes the secret", err)
	}
}
