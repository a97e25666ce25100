// Package accounts is what a beginner has: an instance of Clerk with users, an account of Supabase with one empty
// project, and the password of its database, which holds every character that gives trouble. They are doubles over HTTP and
// a Postgres of their own.
package accounts

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/managementdouble"
	"clerksync/shared/testkit/testdb"
)

// What the accounts are reached with.
const (
	SecretKey     = "sk_live_" + "NotARealKeyButLongEnough"
	TestKey       = "sk_test_" + "NotARealKeyButLongEnough"
	AccessToken   = "sbp_" + "0123456789abcdef0123456789abcdef01234567"
	Project       = "abcdefghijklmnopqrst"
	OwnerPassword = `p@ss:w/rd%40 '"#?`
)

// Users is how many the instance has.
const Users = 20

// Accounts are the two. Call [New] or [NewDevelopment].
type Accounts struct {
	// Clerk is the URL of both of Clerk's APIs, and the issuer; API is that of Supabase's Management API.
	Clerk, API string
	// Instance is what Clerk has, and User the id of one of its users. None has a session. Mint makes tokens.
	Instance *clerkinstance.Instance
	User     string
	Mint     *tokens.Mint
	// SecretKey and PublishableKey are the instance's.
	SecretKey, PublishableKey string
	// WithoutRole: Clerk puts no role into the tokens of sessions.
	WithoutRole atomic.Bool
	// InterceptClerk, if it holds something, is handed what Clerk's Backend API is asked.
	InterceptClerk atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	Supabase       *managementdouble.API
	// Intercept, if it holds something, is handed what Supabase is asked.
	Intercept atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	// Owner is the connection string of the database's owner.
	Owner string
}

// New opens them, with a production instance of Clerk.
func New(t *testing.T) *Accounts {
	t.Helper()
	return NewAPIs(t, SecretKey).withProject(t)
}

// NewDevelopment opens them, with a development instance of Clerk.
func NewDevelopment(t *testing.T) *Accounts {
	t.Helper()
	return NewAPIs(t, TestKey).withProject(t)
}

// NewAPIs opens them without the project and its database. The key is [SecretKey] or [TestKey].
func NewAPIs(t *testing.T, secretKey string) *Accounts {
	t.Helper()
	a := &Accounts{SecretKey: secretKey, PublishableKey: PublishableKey(strings.Split(secretKey, "_")[1])}
	a.Instance = clerkinstance.New(clerkinstance.Options{Seed: 1})
	if err := a.Instance.Seed(clerkinstance.SeedOptions{Users: Users, Organizations: 2, Memberships: 10, To: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	for id := range a.Instance.Snapshot().Users {
		a.User = max(a.User, id)
	}
	a.Clerk, a.Mint = serve(t, a.Instance, backendapi.Options{
		SecretKeys: []string{secretKey}, WithoutRole: a.WithoutRole.Load, Intercept: either(&a.InterceptClerk),
	})
	a.Supabase = managementdouble.New(managementdouble.Options{Limit: -1, Intercept: either(&a.Intercept)})
	api := httptest.NewServer(a.Supabase)
	t.Cleanup(api.Close)
	a.API = api.URL
	return a
}

// withProject adds the empty project.
func (a *Accounts) withProject(t *testing.T) *Accounts {
	t.Helper()
	server, owner := testdb.NewPasswordServer(t, nil)
	super, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, postgres.Superuser, testdb.SuperuserPassword))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(t.Context())
	var command string
	if err := super.QueryRow(t.Context(), "select format('alter role %I password %L', $1::text, $2::text)", postgres.Owner, OwnerPassword).Scan(&command); err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec(t.Context(), command); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatalf("the server is at %s: %v", u.Host, err)
	}
	u.User = url.UserPassword(postgres.Owner, OwnerPassword)
	a.Owner = u.String()
	platform := server.URL(testdb.ServerDatabase, postgres.Superuser, testdb.SuperuserPassword)
	a.Supabase.Add(managementdouble.Project{Ref: Project, Name: "Shop", Database: a.Owner, Platform: platform, Poolers: []managementdouble.Pooler{
		{DatabaseType: "READ_REPLICA", User: "postgres", Host: "replica.example.com", Port: 6543, Name: "postgres", PoolMode: "transaction"},
		{DatabaseType: "PRIMARY", User: postgres.Owner, Host: u.Hostname(), Port: port, Name: testdb.ServerDatabase, PoolMode: "transaction"},
	}})
	return a
}

// either hands a request to what the pointer holds, or on.
func either(held *atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if intercept := held.Load(); intercept != nil {
			(*intercept)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// Serve serves the Backend API, by [SecretKey], and the Frontend API of an instance and returns their URL.
func Serve(t *testing.T, instance *clerkinstance.Instance) string {
	t.Helper()
	url, _ := serve(t, instance, backendapi.Options{SecretKeys: []string{SecretKey}})
	return url
}

func serve(t *testing.T, instance *clerkinstance.Instance, o backendapi.Options) (string, *tokens.Mint) {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	o.Tokens = tokens.New(instance, server.URL)
	mux.Handle("/", backendapi.New(instance, o))
	mux.Handle("/.well-known/", o.Tokens.FrontendAPI())
	return server.URL, o.Tokens
}

// Sessions is how many sessions are open.
func (a *Accounts) Sessions() int {
	v := a.Instance.View()
	defer v.Close()
	return v.Sessions().Len()
}

// PublishableKey is one of a kind of instance, "live" or "test". The host that it names does not exist: the issuer is set
// beside it.
func PublishableKey(kind string) string {
	return "pk_" + kind + "_" + base64.StdEncoding.EncodeToString([]byte("clerk.example.com$"))
}
