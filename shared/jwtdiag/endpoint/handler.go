package endpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"clerksync/shared/httpapi"
	"clerksync/shared/jwtdiag"
)

// Path is where questions go, and where the page is.
const Path = "/diagnostics/jwt"

// MaxBody is the size of the largest body taken, in bytes. Clerk's session tokens
// are below 4 KiB, since they are cookies.
const MaxBody = 64 << 10

// How long things may take. The function's own limit is 10 s, so an answer
// within 8 s always gets out.
const (
	requestLimit = 8 * time.Second
	bodyLimit    = 3 * time.Second
)

// Observation is what became of one request, for metrics.
type Observation struct {
	// Status is the HTTP status of the answer.
	Status int
	// Code is the error code of the answer, if there is no report.
	Code string
	// Asset is "page", "page.css" or "page.js" where a GET was for one of them
	// and got it.
	Asset string
	// Clerk and Supabase are the verdicts, Kind the token's kind and Cause the
	// finding that is the first cause; empty without a report.
	Clerk, Supabase jwtdiag.Outcome
	Kind            jwtdiag.Kind
	Cause           string
	// Duration is the time from arrival to answer.
	Duration time.Duration
}

// Observer is told about every request once it was answered.
type Observer interface {
	Observe(ctx context.Context, observation Observation)
}

// Options say what a Handler works with. Diagnose is required.
type Options struct {
	// Diagnose makes the report. Its error means that there is no usable
	// configuration, or no time left, and is answered 503 and logged, so it must
	// not hold the token; if it has a method RetryAfter() of type time.Duration, that
	// sets the answer's Retry-After.
	Diagnose func(ctx context.Context, request jwtdiag.Request) (jwtdiag.Report, error)

	// Page, if set, is asked whether the page is served, at every request that is
	// not a question. Nil means no.
	Page func(ctx context.Context) bool

	// Hosts are the only hosts that a request may name as the one it is for,
	// like "localhost", which allows any port, or "localhost:8787". It keeps a
	// server for one machine from pages whose name was pointed at that machine
	// (DNS rebinding). None means any.
	Hosts []string

	// Logger gets one line for every request. Nil means none.
	Logger *slog.Logger

	// Observer, if set, is told about every request.
	Observer Observer
}

// Loopback are the hosts by which a machine calls itself.
func Loopback() []string { return []string{"localhost", "127.0.0.1", "[::1]"} }

// Handler answers questions and serves the page. Call New.
type Handler struct {
	options   Options
	hosts     []host
	crossSite *http.CrossOriginProtection

	requestLimit, bodyLimit time.Duration
}

// New returns a Handler. It calls nothing.
func New(options Options) (*Handler, error) {
	var problems []error
	if options.Diagnose == nil {
		problems = append(problems, errors.New("diagnostics handler: Options.Diagnose is not set"))
	}
	var hosts []host
	for _, text := range options.Hosts {
		h := parseHost(text)
		if h.name == "" || strings.ContainsAny(text, "/ ") {
			problems = append(problems, fmt.Errorf("diagnostics handler: Options.Hosts has %q: write a name or an address, with or without a port", text))
		}
		hosts = append(hosts, h)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	return &Handler{
		options: options, hosts: hosts, crossSite: http.NewCrossOriginProtection(),
		requestLimit: requestLimit, bodyLimit: bodyLimit,
	}, nil
}

// ServeHTTP answers one request; the package documentation lists the answers.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	ctx, cancel := context.WithTimeoutCause(r.Context(), h.requestLimit, fmt.Errorf("the request took longer than %v", h.requestLimit))
	defer cancel()

	a := h.answer(ctx, w, r)
	a.write(w, r)

	duration := time.Since(started)
	h.log(ctx, a, duration)
	if h.options.Observer != nil {
		h.options.Observer.Observe(ctx, Observation{
			Status: a.status(), Code: a.refusal.Code, Asset: a.asset.name,
			Clerk: a.report.Verdicts.Clerk.Outcome, Supabase: a.report.Verdicts.Supabase.Outcome,
			Kind: a.report.Token.Kind, Cause: a.report.Cause, Duration: duration,
		})
	}
}

// answer decides about one request. Nothing is written before it returns, so
// that a panic anywhere below still gets an answer.
func (h *Handler) answer(ctx context.Context, w http.ResponseWriter, r *http.Request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = refuse(internal, httpapi.Panicked(p))
		}
	}()

	if !h.servesHost(r.Host) {
		return refuse(unknownHost, nil)
	}
	file, ok := assets[r.URL.Path]
	if !ok {
		return refuse(notFound, nil)
	}
	if r.URL.Path != Path || r.Method != http.MethodPost {
		return h.page(ctx, r, file)
	}
	if err := h.crossSite.Check(r); err != nil {
		return refuse(crossSite, err)
	}
	if refused := checkHeaders(r.Header); refused.Status != 0 {
		return refuse(refused, nil)
	}
	if r.ContentLength > MaxBody {
		return refuse(bodyTooLarge, nil)
	}
	body, err := httpapi.ReadBody(w, r, MaxBody, h.bodyLimit)
	if err != nil {
		return refuse(httpapi.BodyRefusal(err, bodyTooLarge), err)
	}
	request, refused := parseRequest(body)
	if refused.Status != 0 {
		return refuse(refused, nil)
	}
	return h.diagnose(ctx, r, request)
}

// diagnose hands over a question that is well formed.
func (h *Handler) diagnose(ctx context.Context, r *http.Request, request jwtdiag.Request) answer {
	report, err := h.options.Diagnose(ctx, request)
	switch {
	case err == nil:
		return reported(report)
	case errors.Is(r.Context().Err(), context.Canceled):
		return refuse(cancelled, nil)
	case ctx.Err() != nil:
		return retry(unavailable, fmt.Errorf("diagnosing a token: %w: %w", context.Cause(ctx), err))
	}
	return retry(notConfigured, fmt.Errorf("diagnosing a token: %w", err))
}

// page answers a request for a file of the page, and one that is for nothing.
func (h *Handler) page(ctx context.Context, r *http.Request, file asset) answer {
	served := h.options.Page != nil && h.options.Page(ctx)
	if !served && file.etag != "" {
		return refuse(notFound, nil)
	}
	if served && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return answer{asset: file, known: file.etag != "" && strings.Contains(r.Header.Get("If-None-Match"), file.etag)}
	}
	a := refuse(methodNotAllowed, nil)
	switch {
	case !served:
		a.allow = "POST"
	case file.etag == "":
		a.allow = "GET, HEAD, POST"
	default:
		a.allow = "GET, HEAD"
	}
	return a
}

// checkHeaders looks at what is said about the body. A missing type is refused
// too: it is one that a page of another site can send without being asked.
func checkHeaders(header http.Header) refusal {
	if found, ok := httpapi.MediaType(header); !ok || found != "application/json" {
		return mediaType
	}
	if len(header.Values("Content-Encoding")) > 0 {
		return httpapi.UnsupportedEncoding
	}
	return refusal{}
}

// host is a host with a port; an empty port stands for any.
type host struct{ name, port string }

// parseHost takes a Host header apart.
func parseHost(text string) host {
	name, port, err := net.SplitHostPort(text)
	if err != nil {
		name, port = text, ""
	}
	if inner, ok := strings.CutPrefix(name, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	return host{strings.ToLower(name), port}
}

func (h *Handler) servesHost(header string) bool {
	named := parseHost(header)
	return len(h.hosts) == 0 || slices.ContainsFunc(h.hosts, func(known host) bool {
		return known.name == named.name && (known.port == "" || known.port == named.port)
	})
}
