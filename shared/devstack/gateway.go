package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/mirror"
	"clerksync/shared/webhook"
)

// ErrAddressInUse says that somebody else listens where the gateway should.
var ErrAddressInUse = errors.New("the address is in use")

const (
	// healthLimit is how long the database may take to answer.
	healthLimit = 2 * time.Second
	// shutdownLimit is how long requests under way may take to end.
	shutdownLimit = 5 * time.Second
)

// Request is one webhook request that the gateway answered.
type Request struct {
	At      time.Time
	Latency time.Duration
	// SvixID is the header's, Type and ObjectID the event's; the latter are
	// empty unless the signature was right.
	SvixID   string
	Type     string
	ObjectID string
	Status   int
	// Outcome and Reason are set if Status is 200, Code if it is not.
	Outcome mirror.Outcome
	Reason  string
	Code    string
}

type requestKey struct{}

// watch notes what a handler finds out about its requests. It is the store and
// the observer of the webhook handler.
type watch struct {
	store  webhook.Store
	report func(Request)
}

func (w watch) Apply(ctx context.Context, d mirror.Delivery) (mirror.Result, error) {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		r.ObjectID = d.Event.ObjectID
	}
	return w.store.Apply(ctx, d)
}

func (w watch) Reject(ctx context.Context, m mirror.Unreadable) (mirror.Result, error) {
	return w.store.Reject(ctx, m)
}

func (w watch) Observe(ctx context.Context, o webhook.Observation) {
	r, ok := ctx.Value(requestKey{}).(*Request)
	if !ok {
		return
	}
	r.Latency, r.Status, r.Type = o.Duration, o.Status, o.Type
	r.Outcome, r.Reason, r.Code = o.Outcome, o.Reason, o.Code
	w.report(*r)
}

// gateway is the local server: the webhook handler, a health check and, once
// there are any, the APIs of a double and the diagnostics.
type gateway struct {
	server      *http.Server
	addr        net.Addr
	failed      chan error
	backend     atomic.Pointer[http.Handler]
	frontend    atomic.Pointer[http.Handler]
	diagnostics atomic.Pointer[http.Handler]
	// unused are connections on which nothing was asked yet.
	unused sync.Map
}

const (
	// backendPath is where the Backend API is, as it is at Clerk.
	backendPath = "/v1"
	// wellKnownPath is where the public documents of the Frontend API are.
	wellKnownPath = "/.well-known"
)

// mount puts a handler into its place; nil takes the one there away.
func mount(place *atomic.Pointer[http.Handler], handler http.Handler) {
	if handler == nil {
		place.Store(nil)
		return
	}
	place.Store(&handler)
}

// privateFor answers requests that are this machine's alone: what the double's
// APIs tell is made up, and the Backend API's key is on the screen, and the
// diagnostics show what a user may see; but a gateway that listens on every
// address is its user's alone, nor that of other sites' pages in a browser
// here ([guard]). It is nil for all others.
func (g *gateway) privateFor(r *http.Request) http.Handler {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return nil
	}
	for _, mounted := range []struct {
		path    string
		handler *atomic.Pointer[http.Handler]
	}{{backendPath, &g.backend}, {wellKnownPath, &g.frontend}, {endpoint.Path, &g.diagnostics}} {
		rest, below := strings.CutPrefix(r.URL.Path, mounted.path)
		handler := mounted.handler.Load()
		// The diagnostics are at their path itself, too.
		if below && handler != nil && (strings.HasPrefix(rest, "/") || rest == "" && mounted.path == endpoint.Path) {
			return guard(*handler)
		}
	}
	return nil
}

// listen takes the address, so that a stack that cannot have it fails before
// anything was started.
func listen(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listening on %s: %w: another clerksync dev may be running; stop it or choose another address", addr, ErrAddressInUse)
	}
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", addr, err)
	}
	return listener, nil
}

// ping reports whether the database answers.
type ping func(ctx context.Context) error

func serve(listener net.Listener, webhooks http.Handler, database ping, logger *slog.Logger) *gateway {
	g := &gateway{addr: listener.Addr(), failed: make(chan error, 1)}
	g.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
				health(w, r, database)
				return
			}
			if private := g.privateFor(r); private != nil {
				private.ServeHTTP(w, r)
				return
			}
			request := &Request{At: time.Now(), SvixID: r.Header.Get("svix-id")}
			webhooks.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, request)))
		}),
		// The handler has limits of its own; these hold for what never reaches it.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      20 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		ConnState: func(c net.Conn, state http.ConnState) {
			if state == http.StateNew {
				g.unused.Store(c, nil)
			} else {
				g.unused.Delete(c)
			}
		},
	}
	go func() {
		if err := g.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			g.failed <- fmt.Errorf("serving on %s: %w", g.addr, err)
		}
	}()
	return g
}

// stop ends requests under way in their own time, or by force when ctx or the
// limit ends first.
func (g *gateway) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, shutdownLimit, fmt.Errorf("requests were under way for longer than %s", shutdownLimit))
	defer cancel()
	// Shutdown would give a client's spare connection five seconds to ask something.
	g.unused.Range(func(c, _ any) bool {
		_ = c.(net.Conn).Close()
		return true
	})
	if err := g.server.Shutdown(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return errors.Join(fmt.Errorf("stopping the gateway: %w", err), g.server.Close())
	}
	return nil
}

func health(w http.ResponseWriter, r *http.Request, database ping) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), healthLimit, fmt.Errorf("no answer from the database within %s", healthLimit))
	defer cancel()
	status, text := http.StatusOK, "ok"
	if database(ctx) != nil {
		status, text = http.StatusServiceUnavailable, "unavailable"
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// Whoever asked and hung up does not need the answer.
	_ = json.NewEncoder(w).Encode(map[string]string{"status": text})
}
