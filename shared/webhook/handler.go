package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/httpapi"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
)

// Path is where deliveries go. One segment of [MinSegment] to [MaxSegment]
// URL-safe characters may follow it: who routes to the handler chooses one, so
// that noise sent to the address that everybody knows never gets here. It proves
// nothing, and any will do: the signature is the proof.
const Path = "/webhooks/clerk"

// The length of the segment behind Path.
const (
	MinSegment = 16
	MaxSegment = 64
)

// DefaultMaxBody is the size of the largest body taken, in bytes, unless
// Options say otherwise. Clerk's are a few kilobytes, a hundred at the most.
const DefaultMaxBody = 1 << 20

// How long things may take. Svix gives up on an attempt after 15 s, and API
// Gateway after 30 s; the function's own limit is 10 s, so an answer within 8 s
// always gets out.
const (
	requestLimit = 8 * time.Second
	bodyLimit    = 3 * time.Second
	storeLimit   = 6 * time.Second
)

// The reasons under which bodies that are no event are kept.
const (
	reasonNotUTF8  = "not_utf8"
	reasonNotJSON  = "not_json"
	reasonNotEvent = "not_an_event"
)

// Store keeps what was verified, or hands it to a queue; *mirror.Store is one. Both methods must be
// safe to repeat with the same svix-id. An error means that nothing is known
// to be stored, and is answered 503; if it has a method RetryAfter() of type
// time.Duration, that sets the answer's Retry-After.
type Store interface {
	Apply(ctx context.Context, delivery mirror.Delivery) (mirror.Result, error)
	Reject(ctx context.Context, message mirror.Unreadable) (mirror.Result, error)
}

// Observation is what became of one request, for metrics.
type Observation struct {
	// Status is the HTTP status of the answer.
	Status int
	// Outcome and Reason are the store's, if Status is 200 or 202.
	Outcome mirror.Outcome
	Reason  string
	// Code is the error code of any other answer.
	Code string
	// Verified is whether the message was authentic, whatever came of it then.
	Verified bool
	// Type is the event type, or empty unless an authentic event was read.
	Type string
	// Lag is the time from the event's own timestamp to its arrival, or zero if
	// that is unknown. Clocks that differ can make it negative.
	Lag time.Duration
	// Duration is the time from arrival to answer.
	Duration time.Duration
}

// Observer is told about every request once it was answered.
type Observer interface {
	Observe(ctx context.Context, observation Observation)
}

// Configuration is what a delivery is judged by.
type Configuration struct {
	// Secrets are the signing secrets that are live, each whsec_….
	Secrets []secret.Value
	// InstanceID is the only Clerk instance whose events are applied, or "" for
	// any.
	InstanceID string
}

// Options say what a Handler works with. Store and Configure are required.
type Options struct {
	Store Store

	// Configure returns what is configured now. It is called once for every
	// delivery, before anything of it counts, and should cache. Its error, an empty
	// list of secrets or a bad secret is answered 503 and logged.
	Configure func(ctx context.Context) (Configuration, error)

	// Refresh, if set, is called when a signature matches none of the secrets,
	// which may have been rotated since they were cached. It reports whether
	// Configure now returns something else; then the message is verified once more.
	// Anyone can cause the call, so it must limit how often it does anything.
	Refresh func(ctx context.Context) (changed bool, err error)

	// MaxBody is the size of the largest body taken, in bytes; 0 means
	// DefaultMaxBody.
	MaxBody int64

	// Logger gets one line for every request. Nil means none.
	Logger *slog.Logger

	// Observer, if set, is told about every request.
	Observer Observer

	// Now is the clock that timestamps are compared with; nil means time.Now.
	Now func() time.Time
}

// Handler receives deliveries. Call New.
type Handler struct {
	options Options

	requestLimit, bodyLimit, storeLimit time.Duration

	mu       sync.Mutex
	secrets  []secret.Value // those that verifier was made of
	verifier *Verifier
}

// New returns a Handler. It asks for no secret yet and calls nothing.
func New(options Options) (*Handler, error) {
	var problems []error
	if options.Store == nil {
		problems = append(problems, errors.New("webhook handler: Options.Store is not set"))
	}
	if options.Configure == nil {
		problems = append(problems, errors.New("webhook handler: Options.Configure is not set"))
	}
	if options.MaxBody < 0 {
		problems = append(problems, fmt.Errorf("webhook handler: Options.MaxBody is negative: %d", options.MaxBody))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if options.MaxBody == 0 {
		options.MaxBody = DefaultMaxBody
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Handler{options: options, requestLimit: requestLimit, bodyLimit: bodyLimit, storeLimit: storeLimit}, nil
}

// delivery is what is known so far about a request, for its log line.
type delivery struct {
	svixID  string
	message Message // zero until verified
	event   clerk.Event
}

// ServeHTTP answers one delivery; the package documentation lists the answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived, started := h.options.Now(), time.Now()
	ctx, cancel := context.WithTimeoutCause(r.Context(), h.requestLimit, fmt.Errorf("the request took longer than %v", h.requestLimit))
	defer cancel()

	var d delivery
	a := h.answer(ctx, w, r, &d)
	a.write(w)

	duration := time.Since(started)
	var lag time.Duration
	if !d.event.StatedAt.IsZero() {
		lag = arrived.Sub(d.event.StatedAt)
	}
	h.log(ctx, a, d, lag, duration)
	if h.options.Observer != nil {
		h.options.Observer.Observe(ctx, Observation{
			Status: a.status(), Outcome: a.result.Outcome, Reason: a.result.Reason, Code: a.refusal.Code,
			Verified: d.message.ID != "", Type: d.event.Type, Lag: lag, Duration: duration,
		})
	}
}

// answer decides about one request. Nothing is written before it returns, so
// that a panic anywhere below still gets an answer.
func (h *Handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, d *delivery) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = retry(unavailable, storeRetryAfter, httpapi.Panicked(p))
		}
	}()

	if refused := checkRequest(r); refused.Status != 0 {
		return refuse(refused, nil)
	}
	if r.ContentLength > h.options.MaxBody {
		return refuse(bodyTooLarge, nil)
	}
	s, err := parseSigned(r.Header)
	if err != nil {
		return refuse(refusalFor(err), err)
	}
	d.svixID = s.id
	body, err := httpapi.ReadBody(w, r, h.options.MaxBody, h.bodyLimit)
	if err != nil {
		return refuse(httpapi.BodyRefusal(err, bodyTooLarge), err)
	}

	verifier, instanceID, err := h.configure(ctx)
	if err != nil {
		return retry(notConfigured, configRetryAfter, err)
	}
	d.message, err = verifier.verify(s, body)
	if errors.Is(err, ErrSignature) && h.refresh(ctx) {
		if verifier, instanceID, err = h.configure(ctx); err != nil {
			return retry(notConfigured, configRetryAfter, err)
		}
		d.message, err = verifier.verify(s, body)
	}
	if err != nil {
		return refuse(refusalFor(err), err)
	}
	return h.store(ctx, body, instanceID, d)
}

// checkRequest looks at everything but signature and body.
func checkRequest(r *http.Request) refusal {
	switch {
	case !isPath(r.URL.Path):
		return notFound
	case r.Method != http.MethodPost:
		return methodNotAllowed
	case !isJSON(r.Header):
		return mediaType
	case len(r.Header.Values("Content-Encoding")) > 0:
		return httpapi.UnsupportedEncoding
	}
	return refusal{}
}

// isPath reports whether a path is Path, alone or with a segment behind it.
func isPath(path string) bool {
	rest, ok := strings.CutPrefix(path, Path)
	if rest == "" {
		return ok
	}
	segment, ok := strings.CutPrefix(rest, "/")
	return ok && len(segment) >= MinSegment && len(segment) <= MaxSegment && strings.IndexFunc(segment, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_'
	}) < 0
}

// isJSON reports whether a Content-Type is absent, application/json or another
// JSON type, and not in another charset than UTF-8.
func isJSON(header http.Header) bool {
	if len(header.Values("Content-Type")) == 0 {
		return true
	}
	found, ok := httpapi.MediaType(header)
	return ok && (found == "application/json" || strings.HasPrefix(found, "application/") && strings.HasSuffix(found, "+json"))
}

// configure returns a Verifier for the secrets that are live now, and the instance
// that is pinned.
func (h *Handler) configure(ctx context.Context) (verifier *Verifier, instanceID string, err error) {
	c, err := h.options.Configure(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("reading the configuration: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.verifier == nil || !slices.Equal(h.secrets, c.Secrets) {
		if verifier, err = NewVerifier(c.Secrets, h.options.Now); err != nil {
			return nil, "", err
		}
		h.verifier, h.secrets = verifier, slices.Clone(c.Secrets)
	}
	return h.verifier, c.InstanceID, nil
}

// refresh reports whether there are other secrets to try. That they could not
// be fetched says nothing about the message, which stays refused and comes
// again, so it is logged and no answer.
func (h *Handler) refresh(ctx context.Context) bool {
	if h.options.Refresh == nil {
		return false
	}
	changed, err := h.options.Refresh(ctx)
	if err != nil {
		h.options.Logger.WarnContext(ctx, "signing secrets not refreshed", "error", err)
	}
	return changed
}

// store hands over a body that was verified.
func (h *Handler) store(ctx context.Context, body []byte, instanceID string, d *delivery) answer {
	ctx, cancel := context.WithTimeoutCause(ctx, h.storeLimit, fmt.Errorf("storing took longer than %v", h.storeLimit))
	defer cancel()

	var result mirror.Result
	event, err := clerk.ParseEvent(body)
	if err != nil {
		result, err = h.options.Store.Reject(ctx, mirror.Unreadable{SvixID: d.message.ID, SignedWith: d.message.SignedWith, Reason: rejection(err), Body: body})
	} else {
		d.event = event
		result, err = h.options.Store.Apply(ctx, mirror.Delivery{SvixID: d.message.ID, Event: event, InstanceID: instanceID, SignedWith: d.message.SignedWith})
	}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
		return retry(unavailable, storeRetryAfter, fmt.Errorf("storing message %s: %w", d.message.ID, err))
	}
	switch result.Outcome {
	case mirror.Applied, mirror.Duplicate, mirror.Stale, mirror.Ignored, mirror.Rejected, mirror.Queued:
		return answer{result: result}
	}
	return retry(unavailable, storeRetryAfter, fmt.Errorf("storing message %s: unknown outcome %q", d.message.ID, result.Outcome))
}

// rejection returns the reason under which a body is kept.
func rejection(err error) string {
	switch {
	case errors.Is(err, clerk.ErrNotUTF8):
		return reasonNotUTF8
	case errors.Is(err, clerk.ErrNotJSON):
		return reasonNotJSON
	}
	return reasonNotEvent
}
