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
	AccessToken   = "sbp_" + "0123456789abcdef0123456789abcdef01234567"
	Project       = "abcdefghijklmnopqrst"
	OwnerPassword = `p@ss:w/rd%40 '"#?`
)

// Users is how many the instance has.
const Users = 20

// Accounts are the two. Call [New].
type Accounts struct {
	// Clerk is the URL of both of Clerk's APIs, and the issuer; API is that of Supabase's Management API.
	Clerk, API string
	Supabase   *managementdouble.API
	// Intercept, if it holds something, is handed what Supabase is asked.
	Intercept atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	// Owner is the connection string of the database's owner.
	Owner string
}

// New opens them.
func New(t *testing.T) *Accounts {
	t.Helper()
	a := &Accounts{}
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1})
	if err := instance.Seed(clerkinstance.SeedOptions{Users: Users, Organizations: 2, Memberships: 10, To: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	a.Clerk = Serve(t, instance)
	a.Supabase = managementdouble.New(managementdouble.Options{Limit: -1, Intercept: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if intercept := a.Intercept.Load(); intercept != nil {
			(*intercept)(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}})
	api := httptest.NewServer(a.Supabase)
	t.Cleanup(api.Close)
	a.API = api.URL

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
	a.Supabase.Add(managementdouble.Project{Ref: Project, Name: "Shop", Poolers: []managementdouble.Pooler{
		{DatabaseType: "READ_REPLICA", User: "postgres", Host: "replica.example.com", Port: 6543, Name: "postgres", PoolMode: "transaction"},
		{DatabaseType: "PRIMARY", User: postgres.Owner, Host: u.Hostname(), Port: port, Name: testdb.ServerDatabase, PoolMode: "transaction"},
	}})
	return a
}

// Serve serves the Backend API and the Frontend API of an instance and returns their URL.
func Serve(t *testing.T, instance *clerkinstance.Instance) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mint := tokens.New(instance, server.URL)
	mux.Handle("/", backendapi.New(instance, backendapi.Options{SecretKeys: []string{SecretKey}, Tokens: mint}))
	mux.Handle("/.well-known/", mint.FrontendAPI())
	return server.URL
}

// PublishableKey is one of a kind of instance, "live" or "test". The host that it names does not exist: the issuer is set
// beside it.
func PublishableKey(kind string) string {
	return "pk_" + kind + "_" + base64.StdEncoding.EncodeToString([]byte("clerk.example.com$"))
}
