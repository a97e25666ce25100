// Package backendapi is the Backend API of a Clerk instance in memory: it lists
// everything with Clerk's pages, cursors, filters, errors and limits.
//
//	api := backendapi.New(instance, backendapi.Options{SecretKeys: []string{"sk_test_x"}})
//	server := httptest.NewServer(api) // https://api.clerk.com, up to /v1
//
// Limits: it reads what a copy is made of, opens and revokes sessions and makes their
// tokens, gives the instance a Svix app and links to it, and creates and deletes
// organizations, with a name, a slug and a creator; it
// writes nothing else. Lists order objects of one value by creation time and id,
// and created_at_after and _before include neither end; Clerk publishes neither.
//
// Sources: Clerk OpenAPI bapi 2026-05-12 (with starting_after, August 2026),
// Clerk's documentation of Backend API errors, versions and system limits.
package backendapi

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/devstack/clerkdouble/tokens"
)

// Options describe a Backend API. The zero value is one without a limit that
// answers at once and takes any key.
type Options struct {
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
	// WithoutRole, if set, tells for each token that is made whether it lacks "role": "authenticated", as those
	// of an instance do before Clerk's Supabase integration is active; nil means that they have it.
	WithoutRole func() bool
	// Intercept, if set, is handed every request and the API, to play whatever
	// else can happen: a gateway's error page, an answer that breaks off, another
	// limit, a change of the instance between two requests. What it changes of
	// the query is what the API gets.
	Intercept func(w http.ResponseWriter, r *http.Request, next http.Handler)
	// Tokens makes the tokens and has the keys; nil means a mint of the API's own.
	Tokens *tokens.Mint
	// Now is the clock of Limit; nil means the system's.
	Now func() time.Time
}

// API is the Backend API of an instance, as far as the package describes: an
// http.Handler for /v1/….
type API struct {
	instance *clerkinstance.Instance
	options  Options
	routes   *http.ServeMux

	mu     sync.Mutex
	stats  Stats
	active int
	// window is when the current one ends, used the requests in it.
	window time.Time
	used   int
}

// Stats count what an API was asked.
type Stats struct {
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

// reader appends what a request asks for. Where the query has failed, what it
// returns is not used.
type reader func(q *query, b []byte) []byte

// looker is a reader that sees the instance at one moment.
type looker func(v clerkinstance.View, q *query, b []byte) []byte

// New returns an instance's Backend API. Several may serve one instance, each with
// limits and counts of its own.
func New(instance *clerkinstance.Instance, o Options) *API {
	if o.MaxLimit == 0 {
		o.MaxLimit = clerk.MaxLimit
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tokens == nil {
		o.Tokens = tokens.New(instance, "")
	}
	a := &API{
		instance: instance, options: o, routes: http.NewServeMux(),
		stats: Stats{Routes: map[string]int64{}, Statuses: map[int]int64{}},
	}
	const get, post = http.MethodGet, http.MethodPost
	for path, does := range map[string]map[string]reader{
		"/instance":        {get: a.seeing(a.readInstance)},
		"/jwks":            {get: a.readKeys},
		"/users":           {get: a.seeing(listUsers)},
		"/users/count":     {get: a.seeing(countUsers)},
		"/users/{user_id}": {get: a.seeing(readUser)},
		"/users/{user_id}/organization_memberships": {get: a.organizational(a.seeing(listUserMemberships))},
		"/organizations": {
			get: a.organizational(a.seeing(listOrganizations)), post: a.organizational(a.createOrganization),
		},
		"/organizations/{organization_id}": {
			get: a.organizational(a.seeing(readOrganization)), http.MethodDelete: a.organizational(a.deleteOrganization),
		},
		"/organizations/{organization_id}/memberships":  {get: a.organizational(a.seeing(listMembers))},
		"/organization_memberships":                     {get: a.organizational(a.seeing(listMemberships))},
		"/organization_roles":                           {get: a.organizational(a.seeing(listRoles))},
		"/organization_permissions":                     {get: a.organizational(a.seeing(listPermissions))},
		"/sessions":                                     {get: a.seeing(listSessions), post: a.createSession},
		"/sessions/{session_id}/tokens":                 {post: a.createToken},
		"/sessions/{session_id}/tokens/{template_name}": {post: a.createToken},
		"/sessions/{session_id}/revoke":                 {post: a.revokeSession},
		"/webhooks/svix":                                {post: a.createSvixApp},
		"/webhooks/svix_url":                            {post: a.createSvixURL},
	} {
		a.routes.Handle(base+path, a.serve(does))
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
func (a *API) Requests() Stats {
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

// serve serves what can be done at a path, by method; nil, if there is no such
// path.
func (a *API) serve(does map[string]reader) http.Handler {
	allowed := slices.Sorted(maps.Keys(does))
	if i := slices.Index(allowed, http.MethodGet); i >= 0 {
		allowed = slices.Insert(allowed, i+1, http.MethodHead)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := bodies.Get().(*[]byte)
		defer bodies.Put(body)
		status := http.StatusOK
		b, fail := a.answer(r, does, (*body)[:0])
		if fail != nil {
			b, status = fail.Append((*body)[:0]), fail.Status
			fail.SetHeader(w.Header())
		}
		if fail == resource.NoMethod {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
		}
		*body = b
		if !wait(r.Context(), a.options.Latency) {
			return
		}
		resource.Answer(w, status, b)
	})
}

// wait returns false if the client has gone.
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
func (a *API) answer(r *http.Request, does map[string]reader, b []byte) ([]byte, *resource.Failure) {
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
	do := does[method]
	switch {
	case does == nil:
		return nil, resource.NoRoute
	case do == nil:
		return nil, resource.NoMethod
	case method != http.MethodGet:
		if q.body, fail = readBody(r); fail != nil {
			return nil, fail
		}
	}
	b = do(q, b)
	return b, q.failure
}

func (a *API) authenticate(r *http.Request) *resource.Failure {
	header := r.Header.Get("Authorization")
	scheme, key, found := strings.Cut(header, " ")
	if header != "" && !(found && strings.EqualFold(scheme, "Bearer")) {
		return errAuthorizationFormat
	}
	if key = strings.TrimSpace(key); key == "" || len(a.options.SecretKeys) > 0 && !slices.Contains(a.options.SecretKeys, key) {
		return errKey
	}
	return nil
}

// spend takes one request out of the window.
func (a *API) spend() *resource.Failure {
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

// seeing makes a reader of what looks at the instance.
func (a *API) seeing(look looker) reader {
	return func(q *query, b []byte) []byte {
		v := a.instance.View()
		defer v.Close()
		return look(v, q, b)
	}
}

// organizational guards what needs organizations to be enabled.
func (a *API) organizational(do reader) reader {
	if a.options.OrganizationsDisabled {
		return func(q *query, _ []byte) []byte { return q.refuse(errOrganizationsDisabled) }
	}
	return do
}

func (a *API) readKeys(_ *query, b []byte) []byte { return append(b, a.options.Tokens.JWKS()...) }

func (a *API) readInstance(_ clerkinstance.View, _ *query, b []byte) []byte {
	environment := "development"
	if a.production() {
		environment = "production"
	}
	return resource.Append(b, &struct {
		Object         string   `json:"object"`
		ID             string   `json:"id"`
		Environment    string   `json:"environment_type"`
		AllowedOrigins []string `json:"allowed_origins"`
	}{Object: "instance", ID: a.instance.ID(), Environment: environment})
}

// production reports whether the API is that of a production instance.
func (a *API) production() bool {
	return slices.ContainsFunc(a.options.SecretKeys, func(key string) bool { return strings.HasPrefix(key, "sk_live_") })
}
