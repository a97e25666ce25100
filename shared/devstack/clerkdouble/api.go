package clerkdouble

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"clerksync/shared/clerk"
)

// APIOptions describe a Backend API. The zero value is one without a limit that
// answers at once and takes any key.
type APIOptions struct {
	// SecretKeys are the keys that are accepted; none means every one. A key that
	// begins with sk_live_ makes it a production instance.
	SecretKeys []string
	// Limit is how many requests are answered in a window of fixed length, which
	// begins with the first request after the last one; zero means any number.
	Limit clerk.RateLimit
	// Latency is how long every answer takes, however many are under way. It
	// says what was true when the request came.
	Latency time.Duration
	// OrganizationsDisabled refuses everything about organizations, as Clerk
	// does before they are enabled.
	OrganizationsDisabled bool
	// NoCursor refuses starting_after, as versions did before it existed.
	NoCursor bool
	// MaxLimit is the longest page; 0 means Clerk's 500.
	MaxLimit int
	// Intercept, if set, is handed every request and the API, to play whatever
	// else can happen: a gateway's error page, an answer that breaks off, another
	// limit, a change of the instance between two requests. What it changes of
	// the query is what the API gets.
	Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)
	// Issuer is the iss of the tokens that are made; "" means [Instance.Issuer].
	Issuer string
	// Now is the clock of Limit; nil means the system's.
	Now func() time.Time
}

// API is the Backend API of an instance, as far as it lists what exists and makes
// tokens: an http.Handler for /v1/….
type API struct {
	instance *Instance
	options  APIOptions
	keys     map[string]bool
	routes   *http.ServeMux

	mu     sync.Mutex
	stats  APIStats
	active int
	// window is when the current one ends, used the requests in it.
	window time.Time
	used   int
}

// APIStats count what an API was asked.
type APIStats struct {
	Requests int64
	// Routes are counted by pattern, such as "/users/{user_id}"; "" are those
	// that there are none for.
	Routes map[string]int64
	// Statuses are counted as the client saw them; 0 is an answer that never
	// began.
	Statuses map[int]int64
	// Bytes are those of all bodies.
	Bytes int64
	// MostAtOnce is the largest number of requests that were under way together.
	MostAtOnce int
}

// base is where every path begins.
const base = "/v1"

// reader appends what a request asks for.
type reader func(q *query, b []byte) ([]byte, *failure)

// methods are what can be done at a path.
type methods map[string]reader

// allowed is the Allow header's value.
func (m methods) allowed() string {
	var names []string
	for name := range m {
		if names = append(names, name); name == http.MethodGet {
			names = append(names, http.MethodHead)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// API returns the instance's Backend API. Several may serve one instance, each
// with limits and counts of its own.
func (c *Instance) API(o APIOptions) *API {
	if o.MaxLimit == 0 {
		o.MaxLimit = clerk.MaxLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &API{
		instance: c, options: o, keys: map[string]bool{}, routes: http.NewServeMux(),
		stats: APIStats{Routes: map[string]int64{}, Statuses: map[int]int64{}},
	}
	for _, key := range o.SecretKeys {
		a.keys[key] = true
	}
	for path, read := range map[string]reader{
		"/instance":        a.readInstance,
		"/jwks":            func(_ *query, b []byte) ([]byte, *failure) { return append(b, a.instance.JWKS()...), nil },
		"/users":           a.listUsers,
		"/users/count":     a.countUsers,
		"/users/{user_id}": a.readUser,
		"/users/{user_id}/organization_memberships": a.organizational(a.listUserMemberships),
		"/organizations":                               a.organizational(a.listOrganizations),
		"/organizations/{organization_id}":             a.organizational(a.readOrganization),
		"/organizations/{organization_id}/memberships": a.organizational(a.listMembers),
		"/organization_memberships":                    a.organizational(a.listMemberships),
		"/organization_roles":                          a.organizational(a.listRoles),
		"/organization_permissions":                    a.organizational(a.listPermissions),
	} {
		a.routes.Handle(base+path, a.serve(methods{http.MethodGet: read}))
	}
	for path, write := range map[string]reader{
		"/sessions":                     a.createSession,
		"/sessions/{session_id}/tokens": a.createToken,
		"/sessions/{session_id}/tokens/{template_name}": a.createToken,
	} {
		a.routes.Handle(base+path, a.serve(methods{http.MethodPost: write}))
	}
	a.routes.Handle("/", a.serve(nil))
	return a
}

// unlimitedPath is what the rate limit does not count (Clerk docs, system limits).
const unlimitedPath = base + "/jwks"

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, route := a.routes.Handler(r)
	route = strings.TrimPrefix(strings.TrimPrefix(route, base), "/")
	if route != "" {
		route = "/" + route
	}
	watched := &watchedWriter{ResponseWriter: w}
	a.begin(route)
	defer a.end(watched)
	if a.options.Intercept != nil {
		a.options.Intercept(watched, r, a.routes)
		return
	}
	a.routes.ServeHTTP(watched, r)
}

func (a *API) begin(route string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active++
	a.stats.MostAtOnce = max(a.stats.MostAtOnce, a.active)
	a.stats.Requests++
	a.stats.Routes[route]++
}

func (a *API) end(w *watchedWriter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.active--
	a.stats.Statuses[w.status]++
	a.stats.Bytes += w.bytes
}

// Requests returns the counts so far.
func (a *API) Requests() APIStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	stats := a.stats
	stats.Routes, stats.Statuses = maps.Clone(stats.Routes), maps.Clone(stats.Statuses)
	return stats
}

// watchedWriter notes what is answered.
type watchedWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watchedWriter) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// bodies are buffers for answers, of up to a megabyte.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// serve serves what can be done at a path; nothing, if there is no such path.
func (a *API) serve(m methods) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := bodies.Get().(*[]byte)
		defer bodies.Put(body)
		status := http.StatusOK
		b, fail := a.answer(r, m, (*body)[:0])
		if fail != nil {
			b, status = fail.append((*body)[:0]), fail.status
			fail.setHeader(w.Header())
		}
		if fail == errMethod {
			w.Header().Set("Allow", m.allowed())
		}
		*body = b
		if !wait(r.Context(), a.options.Latency) {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.WriteHeader(status)
		// Whoever hung up does not need the answer.
		_, _ = w.Write(b) //nolint:gosec // JSON, every text in it escaped, and Content-Type says so
	})
}

// wait returns false if whoever asked has gone.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// answer asks the key first: without one there is no instance whose limit it
// could be.
func (a *API) answer(r *http.Request, m methods, b []byte) ([]byte, *failure) {
	if fail := a.authenticate(r); fail != nil {
		return nil, fail
	}
	if r.URL.Path != unlimitedPath {
		if fail := a.spend(); fail != nil {
			return nil, fail
		}
	}
	q, fail := parseQuery(r, a.options)
	if fail != nil {
		return nil, fail
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	do := m[method]
	switch {
	case m == nil:
		return nil, errNoRoute
	case do == nil:
		return nil, errMethod
	case method != http.MethodGet:
		if q.body, fail = readBody(r); fail != nil {
			return nil, fail
		}
	}
	return do(q, b)
}

func (a *API) authenticate(r *http.Request) *failure {
	header := r.Header.Get("Authorization")
	scheme, key, found := strings.Cut(header, " ")
	if header != "" && !(found && strings.EqualFold(scheme, "Bearer")) {
		return errAuthorizationFormat
	}
	if key = strings.TrimSpace(key); key == "" || len(a.keys) > 0 && !a.keys[key] {
		return errKey
	}
	return nil
}

// spend takes one request out of the window.
func (a *API) spend() *failure {
	limit := a.options.Limit
	if limit.Requests <= 0 || limit.Per <= 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.options.Now()
	if !now.Before(a.window) {
		a.window, a.used = now.Add(limit.Per), 0
	}
	if a.used == limit.Requests {
		return tooMany(a.window.Sub(now))
	}
	a.used++
	return nil
}

// organizational guards what needs organizations to be enabled.
func (a *API) organizational(read reader) reader {
	if a.options.OrganizationsDisabled {
		return func(*query, []byte) ([]byte, *failure) { return nil, errOrganizationsDisabled }
	}
	return read
}

func (a *API) readInstance(_ *query, b []byte) ([]byte, *failure) {
	environment := "development"
	if a.production() {
		environment = "production"
	}
	b = text(append(b, `{"object":"instance","id":`...), a.instance.id)
	b = text(append(b, `,"environment_type":`...), environment)
	return append(b, `,"allowed_origins":null}`...), nil
}
