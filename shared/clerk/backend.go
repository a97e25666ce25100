package clerk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"clerksync/shared/netaddr"
	"clerksync/shared/secret"
)

const (
	// APIVersion is the version of the Backend API that every request names:
	// what Clerk does without one is not documented.
	APIVersion = "2026-05-12"
	// DefaultBackendURL is where the Backend API of every instance is.
	DefaultBackendURL = "https://api.clerk.com/v1"
	// DefaultShare is the part of an instance's rate limit that a Backend uses
	// unless told otherwise. The limit counts all keys of the instance together,
	// so the rest is what the team's own servers have.
	DefaultShare = 0.2
	// MaxLimit is the most that Clerk puts into one page.
	MaxLimit = 500
	// MaxIDs is the most ids that Clerk accepts in one filter.
	MaxIDs = 100
)

// ErrNotSecretKey says that the text is no secret key of the Backend API. The
// error that wraps it repeats no more of the text than how it begins.
var ErrNotSecretKey = errors.New("not a Clerk secret key")

// RateLimit is a number of requests in any period of a length.
type RateLimit struct {
	Requests int
	Per      time.Duration
}

// RateLimit returns the limit that Clerk documents for all requests of an
// instance of the kind together (Clerk docs, system limits): 1000 in 10 s for
// live ones, 100 in 10 s for the others.
func (k InstanceKind) RateLimit() RateLimit {
	if k == LiveInstance {
		return RateLimit{Requests: 1000, Per: 10 * time.Second}
	}
	return RateLimit{Requests: 100, Per: 10 * time.Second}
}

// BackendOptions say whose Backend API to read and how fast. SecretKey is
// required.
type BackendOptions struct {
	// SecretKey begins with sk_live_ or sk_test_, in its oldest form with live_
	// or test_. White space around it is ignored.
	SecretKey secret.Value
	// URL is where the API is, with its version path and with or without a final
	// slash; "" means DefaultBackendURL. It must be https, or http on this
	// machine: the secret key goes with every request.
	URL string
	// Share is the part of Limit to use, up to 1; 0 means DefaultShare. Backends
	// do not know of each other: those of one instance have to share.
	Share float64
	// Limit is the instance's rate limit; zero means what the key's kind has.
	Limit RateLimit
	// HTTPClient sends the requests; nil means one of the Backend's own. Its
	// redirect rule is not used: redirects are never followed, since the key
	// would go with them.
	HTTPClient *http.Client
	// Observe is told of every exchange when it is over, from many goroutines;
	// nil for nobody.
	Observe func(Exchange)
}

// Exchange is one HTTP request and what became of it.
type Exchange struct {
	// Method is GET, POST or DELETE.
	Method string
	// Path is that of the request, with "{id}" in place of ids.
	Path string
	// Status is the HTTP status, or 0 if none came.
	Status int
	// Attempt counts from 1.
	Attempt int
	// Duration goes from sending to the end of the body, without the wait before.
	Duration time.Duration
	// ServedAt is what the answer's Date header says, to the second; zero without one.
	ServedAt time.Time
	// Bytes are those of the body, unpacked.
	Bytes int64
	// Err is "" for an answer that could be used, and otherwise a stable code:
	// "canceled", "timeout", "connection", "truncated", "too_large", "not_json",
	// "rate_limited", "status" or "unexpected" (JSON that says something else).
	Err string
}

// BackendStats are sums since the Backend was made.
type BackendStats struct {
	// Requests counts HTTP requests; Retries are those of them that repeat one.
	Requests, Retries int64
	// RateLimited counts the answers with status 429.
	RateLimited int64
	// Waited is how long calls have waited before sending: for the budget, for
	// what Retry-After demands and between attempts. Calls that wait at the same
	// time count each.
	Waited time.Duration
	// Waits counts the requests that had to wait.
	Waits int64
	// BytesRead are those of all bodies, unpacked.
	BytesRead int64
}

// Backend reads one instance through Clerk's Backend API. All its methods may be
// called from many goroutines, which share one rate budget. It must come from
// NewBackend.
//
// Every call is repeated, up to six times in all, after 429, 408, 5xx, timeouts
// (30 s an attempt), broken connections and bodies that are not JSON; other
// errors end it at once. They are *BackendError, and errors.Is finds out by the
// Err… variables what a caller can decide on. When ctx has ended, the error wraps
// its error and its cause. When its deadline is too near for the next request,
// the call ends at once, with an error that wraps context.DeadlineExceeded; it
// also wraps what the last attempt met, so ask about the deadline first.
type Backend struct {
	key     secret.Value
	kind    InstanceKind
	url     string
	client  *http.Client
	observe func(Exchange)
	budget  *budget
	// bodies are buffers to read into. What a Page keeps is copied out of them.
	bodies sync.Pool

	requests, retries, rateLimited, bytesRead atomic.Int64
}

// NewBackend makes a Backend. It sends nothing; its error names every option
// that cannot be used and holds no part of the key.
func NewBackend(o BackendOptions) (*Backend, error) {
	key := strings.TrimSpace(o.SecretKey.Reveal())
	kind, keyErr := secretKeyKind(key)
	base, urlErr := backendURL(o.URL)
	if o.Share == 0 {
		o.Share = DefaultShare
	}
	var shareErr, limitErr error
	if !(o.Share > 0 && o.Share <= 1) {
		shareErr = fmt.Errorf("the share of the rate limit is %v; want more than 0 and at most 1", o.Share)
	}
	if o.Limit == (RateLimit{}) {
		o.Limit = kind.RateLimit()
	}
	if o.Limit.Requests <= 0 || o.Limit.Per <= 0 {
		limitErr = fmt.Errorf("the rate limit is %d requests in %s; want both above zero", o.Limit.Requests, o.Limit.Per)
	}
	if err := errors.Join(keyErr, urlErr, shareErr, limitErr); err != nil {
		return nil, err
	}
	b := &Backend{
		key:     secret.New(key),
		kind:    kind,
		url:     base,
		client:  &http.Client{Transport: newTransport()},
		observe: o.Observe,
		budget:  newBudget(o.Limit, o.Share),
		bodies:  sync.Pool{New: func() any { return new(bytes.Buffer) }},
	}
	if o.HTTPClient != nil {
		*b.client = *o.HTTPClient
	}
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b, nil
}

var secretKeyPattern = regexp.MustCompile(`^(?:sk_)?(live|test)_[!-~]+$`)

func secretKeyKind(key string) (InstanceKind, error) {
	if match := secretKeyPattern.FindStringSubmatch(key); match != nil {
		return InstanceKind(match[1]), nil
	}
	what := "is something else"
	kind, prefix := secret.KindOf(key)
	switch {
	case key == "":
		what = "is not set"
	case kind == secret.ClerkSecretKey, strings.HasPrefix(key, "sk_"):
		what = "is a secret key of another kind or cut off"
	case kind != "":
		what = fmt.Sprintf("begins with %q: it is a %s", prefix, kind)
	}
	return TestInstance, fmt.Errorf("%w: it %s; the secret key of the instance begins with sk_live_ or sk_test_", ErrNotSecretKey, what)
}

// backendURL returns the address without its final slash. Errors hold none of
// it: a password may stand there.
func backendURL(address string) (string, error) {
	if address == "" {
		return DefaultBackendURL, nil
	}
	u, err := url.Parse(strings.TrimSpace(address))
	switch {
	case err != nil || u.Hostname() == "":
		return "", errors.New("the URL of the Backend API is not one; the usual is " + DefaultBackendURL)
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", errors.New("the URL of the Backend API holds credentials, a query or a fragment; it ends with the path")
	case u.Scheme == "https", u.Scheme == "http" && netaddr.IsLoopback(u.Hostname()):
		return strings.TrimRight(u.String(), "/"), nil
	}
	return "", errors.New("the URL of the Backend API is not https: the secret key would travel in clear; http is for this machine only")
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     90 * time.Second,
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		ForceAttemptHTTP2:   true,
		// One connection carries everything in HTTP/2. Without pings one that died
		// silently would also take every repeated request with it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// UserQuery chooses users. What is zero is not sent.
type UserQuery struct {
	// CreatedAfter and CreatedBefore bound created_at.
	CreatedAfter, CreatedBefore Millis
	// IDs are at most MaxIDs.
	IDs []string
	// OrderBy is a field name, behind "+" or "-".
	OrderBy string
	// StartingAfter is the id of the last user of the page before. Clerk wants
	// the order to be by created_at and Offset to be 0 with it.
	StartingAfter string
	// Offset leaves out as many.
	Offset int
	// Limit is how many a page has at most; 0 means MaxLimit.
	Limit int
}

// ListQuery chooses a part of a list that has no cursor. What is zero is not
// sent.
type ListQuery struct {
	// OrderBy is a field name, behind "+" or "-".
	OrderBy string
	// Offset leaves out as many.
	Offset int
	// Limit is how many a page has at most; 0 means MaxLimit.
	Limit int
	// IDs, at most MaxIDs, are those of organizations or users, for the lists
	// that say so; the others refuse them.
	IDs []string
}

// Users reads a page of users: GET /users. Clerk sends a bare array, so Total is -1.
func (b *Backend) Users(ctx context.Context, q UserQuery) (Page, error) {
	values, err := q.filters()
	if err != nil {
		return Page{}, fmt.Errorf("GET /users: %w", err)
	}
	addPaging(values, q.OrderBy, q.Offset, q.Limit)
	if q.StartingAfter != "" {
		values.Set("starting_after", q.StartingAfter)
	}
	return b.list(ctx, question{template: "/users", path: "/users", query: values}, false)
}

// CountUsers counts the users of a query, of which only the filters matter: GET
// /users/count.
func (b *Backend) CountUsers(ctx context.Context, q UserQuery) (int64, error) {
	values, err := q.filters()
	if err != nil {
		return 0, fmt.Errorf("GET /users/count: %w", err)
	}
	var total int64
	err = b.ask(ctx, question{template: "/users/count", path: "/users/count", query: values}, func(body []byte, _ time.Time) error {
		var err error
		total, err = readCount(body)
		return err
	})
	return total, err
}

// User reads one user, as a page of one: GET /users/{id}. That there is none is
// ErrNotFound.
func (b *Backend) User(ctx context.Context, id string) (Page, error) {
	return b.one(ctx, "/users", id)
}

// Organizations reads a page of organizations: GET /organizations. IDs are of
// organizations.
func (b *Backend) Organizations(ctx context.Context, q ListQuery) (Page, error) {
	return b.listQuery(ctx, question{template: "/organizations", path: "/organizations"}, q, "organization_id", false)
}

// Organization reads one organization, by its id or slug, as a page of one: GET
// /organizations/{id}. That there is none is ErrNotFound.
func (b *Backend) Organization(ctx context.Context, id string) (Page, error) {
	return b.one(ctx, "/organizations", id)
}

// Memberships reads a page of the memberships of all organizations: GET
// /organization_memberships.
func (b *Backend) Memberships(ctx context.Context, q ListQuery) (Page, error) {
	return b.listQuery(ctx, question{template: "/organization_memberships", path: "/organization_memberships"}, q, "", true)
}

// OrganizationMemberships reads a page of the memberships of one organization:
// GET /organizations/{id}/memberships. IDs are of users.
func (b *Backend) OrganizationMemberships(ctx context.Context, organizationID string, q ListQuery) (Page, error) {
	about, err := below(http.MethodGet, "/organizations", organizationID, "/memberships")
	if err != nil {
		return Page{}, err
	}
	return b.listQuery(ctx, about, q, "user_id", true)
}

// UserMemberships reads a page of the memberships of one user: GET
// /users/{id}/organization_memberships. Clerk documents no order for it.
func (b *Backend) UserMemberships(ctx context.Context, userID string, q ListQuery) (Page, error) {
	about, err := below(http.MethodGet, "/users", userID, "/organization_memberships")
	if err != nil {
		return Page{}, err
	}
	return b.listQuery(ctx, about, q, "", true)
}

// List reads a page of a kind that has a Path.
func (b *Backend) List(ctx context.Context, kind Kind, q ListQuery) (Page, error) {
	path := kind.Object().Path
	return b.listQuery(ctx, question{template: path, path: path}, q, "", false)
}

// Instance is what a secret key belongs to.
type Instance struct {
	// ID is "ins_…", the instance_id of webhook messages.
	ID string
	// EnvironmentType is "production" or "development", or what else Clerk says.
	EnvironmentType string
}

// Instance asks whose key this is: GET /instance.
func (b *Backend) Instance(ctx context.Context) (Instance, error) {
	var instance Instance
	err := b.ask(ctx, question{template: "/instance", path: "/instance"}, func(body []byte, _ time.Time) error {
		var err error
		instance, err = readInstance(body)
		return err
	})
	return instance, err
}

// JWKS reads the instance's public keys as a JSON Web Key Set: GET /jwks. They are those
// that its Frontend API publishes. Clerk's limit does not count it.
func (b *Backend) JWKS(ctx context.Context) ([]byte, error) {
	var keys []byte
	err := b.ask(ctx, question{template: "/jwks", path: "/jwks"}, func(body []byte, _ time.Time) error {
		keys = bytes.Clone(body)
		return nil
	})
	return keys, err
}

// Session is one that a user has opened, in a browser or through the Backend API.
type Session struct {
	// ID is "sess_…". It opens nothing.
	ID string
	// Status is "active", or "pending" where the user still has to do something, or that of one that ended.
	Status string
	// CreatedAt is zero where Clerk does not say.
	CreatedAt Millis
}

// Live reports whether the session can still get tokens.
func (s Session) Live() bool { return s.Status == "active" || s.Status == "pending" }

// Sessions reads a user's sessions, the newest MaxLimit of them: GET /sessions. Clerk forgets those that have ended after
// some time. A user who does not exist has none.
func (b *Backend) Sessions(ctx context.Context, userID string) ([]Session, error) {
	about := question{template: "/sessions", path: "/sessions", query: url.Values{}}
	if err := addIDs(about.query, "user_id", []string{userID}); err != nil {
		return nil, fmt.Errorf("GET /sessions: %w", err)
	}
	addPaging(about.query, "", 0, 0)
	var sessions []Session
	err := b.ask(ctx, about, func(body []byte, _ time.Time) error {
		var err error
		sessions, err = readSessions(body)
		return err
	})
	return sessions, err
}

// Kind is what the secret key says of its instance.
func (b *Backend) Kind() InstanceKind { return b.kind }

// Stats returns the sums so far.
func (b *Backend) Stats() BackendStats {
	return BackendStats{
		Requests:    b.requests.Load(),
		Retries:     b.retries.Load(),
		RateLimited: b.rateLimited.Load(),
		Waited:      time.Duration(b.budget.waited.Load()),
		Waits:       b.budget.waits.Load(),
		BytesRead:   b.bytesRead.Load(),
	}
}

func (b *Backend) one(ctx context.Context, collection, id string) (Page, error) {
	about, err := below(http.MethodGet, collection, id, "")
	if err != nil {
		return Page{}, err
	}
	var page Page
	err = b.ask(ctx, about, func(body []byte, requestedAt time.Time) error {
		var err error
		page, err = readOne(body)
		page.RequestedAt = requestedAt
		return err
	})
	return page, err
}

// listQuery reads a page of a list whose ids are filtered by a parameter, or by
// none.
func (b *Backend) listQuery(ctx context.Context, about question, q ListQuery, idParameter string, memberships bool) (Page, error) {
	about.query = url.Values{}
	if idParameter == "" && len(q.IDs) > 0 {
		return Page{}, fmt.Errorf("GET %s: this list cannot be filtered by ids", about.path)
	}
	if err := addIDs(about.query, idParameter, q.IDs); err != nil {
		return Page{}, fmt.Errorf("GET %s: %w", about.path, err)
	}
	addPaging(about.query, q.OrderBy, q.Offset, q.Limit)
	return b.list(ctx, about, memberships)
}

func (b *Backend) list(ctx context.Context, about question, memberships bool) (Page, error) {
	var page Page
	err := b.ask(ctx, about, func(body []byte, requestedAt time.Time) error {
		var err error
		page, err = readList(body, memberships)
		page.RequestedAt = requestedAt
		return err
	})
	return page, err
}

// filters are the parameters that /users and /users/count have in common.
func (q UserQuery) filters() (url.Values, error) {
	values := url.Values{}
	if q.CreatedAfter != 0 {
		values.Set("created_at_after", strconv.FormatInt(int64(q.CreatedAfter), 10))
	}
	if q.CreatedBefore != 0 {
		values.Set("created_at_before", strconv.FormatInt(int64(q.CreatedBefore), 10))
	}
	return values, addIDs(values, "user_id", q.IDs)
}

func addPaging(values url.Values, orderBy string, offset, limit int) {
	if orderBy != "" {
		values.Set("order_by", orderBy)
	}
	if offset != 0 {
		values.Set("offset", strconv.Itoa(offset))
	}
	if limit == 0 {
		limit = MaxLimit
	}
	values.Set("limit", strconv.Itoa(limit))
}

// idPattern is wide enough for slugs. A sign in front would turn a filter into
// its opposite, a slash or dots would ask for something else, and an email
// address would show up in somebody's log.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,254}$`)

var errNotID = errors.New("not an id: an id consists of letters, digits, _ and -")

func addIDs(values url.Values, name string, ids []string) error {
	if len(ids) > MaxIDs {
		return fmt.Errorf("%d ids in one filter; Clerk accepts %d", len(ids), MaxIDs)
	}
	for i, id := range ids {
		if !idPattern.MatchString(id) {
			return fmt.Errorf("element %d of the filter %s: %w", i, name, errNotID)
		}
		values.Add(name, id)
	}
	return nil
}

// below is the question about one object of a collection, or what it has.
func below(method, collection, id, rest string) (question, error) {
	template := collection + "/{id}" + rest
	if !idPattern.MatchString(id) {
		return question{}, fmt.Errorf("%s %s: %w", method, template, errNotID)
	}
	return question{method: method, template: template, path: collection + "/" + id + rest}, nil
}
