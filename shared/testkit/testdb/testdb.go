// Package testdb gives every test a database of its own that looks like a
// Supabase project and is migrated, on a real PostgreSQL.
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		db := testdb.New(t)
//		conn := db.Conn(t, db.Writer())
//
// The server is started by the first test that asks and shared by the test
// binary; each combination of migrations, schemas and regime is built once as a
// template, and a test's database is a clone of it, dropped when the test has
// passed. CLERKSYNC_TEST_POSTGRES=15 or 17 chooses the version; without it
// whatever is found serves. Without a PostgreSQL the test is skipped, or fails
// when CI=true.
//
// The server dies with the binary. Its
// temporary folder is removed by the next test binary, or at once where TestMain
// calls [Main].
//
// Limits: roles belong to the whole server, so a test that changes one of the
// roles changes it for the tests beside it, a password included: connection strings
// give their roles the server's.
package testdb

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
)

// versionVariable names the environment variable that chooses the version.
const versionVariable = "CLERKSYNC_TEST_POSTGRES"

// The limits of the steps that a test waits for.
const (
	startTimeout    = 6 * time.Minute // PostgreSQL may have to be fetched first
	templateTimeout = 2 * time.Minute
	cloneTimeout    = time.Minute
	connectTimeout  = 15 * time.Second
)

// DB is one test's database.
type DB struct {
	name   string
	server *postgres.Server
}

// Option changes what [New] makes.
type Option func(*recipe)

// WithRegime chooses what the project grants by itself; the default is
// [postgres.Explicit].
func WithRegime(regime postgres.Regime) Option {
	return func(r *recipe) { r.regime = regime }
}

// WithoutMigrations leaves the database as a fresh project has it.
func WithoutMigrations() Option {
	return func(r *recipe) { r.migrated = false }
}

// WithSchema puts the copy into another schema than public.
func WithSchema(schema string) Option {
	return func(r *recipe) { r.schema = schema }
}

// WithHelpers puts what policies call into another schema than clerk.
func WithHelpers(schema string) Option {
	return func(r *recipe) { r.helpers = schema }
}

// New makes a database for t and drops it when t has passed.
func New(t testing.TB, options ...Option) *DB {
	t.Helper()
	r := recipe{regime: postgres.Explicit, migrated: true, schema: "public", helpers: "clerk"}
	for _, option := range options {
		option(&r)
	}
	c := sharedCluster(t)

	template, err := c.template(t.Context(), r)
	if err != nil {
		t.Fatalf("building the template database (%s): %v", r, err)
	}
	db := &DB{name: databaseName(t.Name()), server: c.server}
	if err := c.clone(t.Context(), template, db.name); err != nil {
		t.Fatalf("making a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the test's database was %s on PostgreSQL %s", db.name, c.server.Version())
			return
		}
		// The test's own context is done by now.
		ctx, cancel := context.WithTimeoutCause(context.Background(), cloneTimeout, limit("dropping a database", cloneTimeout))
		defer cancel()
		if err := c.drop(ctx, db.name); err != nil {
			t.Errorf("removing the test's database: %v", err)
		}
	})
	return db
}

// Major is the main version of the PostgreSQL that tests run on. It starts the
// server, under the same conditions as [New].
func Major(t testing.TB) int {
	t.Helper()
	return sharedCluster(t).server.Major()
}

// Main runs the tests and then stops what they started, for a TestMain that
// wants nothing left behind:
//
//	func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }
func Main(m *testing.M) int {
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping what the tests started:", err)
	}
	return code
}

// Name is the database's name.
func (db *DB) Name() string { return db.name }

// Server is the server that all tests of this binary share: stopping it stops
// them too.
func (db *DB) Server() *postgres.Server { return db.server }

// Superuser connects as the superuser, which no Supabase user can.
func (db *DB) Superuser() string { return db.login(postgres.Superuser) }

// Owner connects as the owner of the project, who runs migrations.
func (db *DB) Owner() string { return db.login(postgres.Owner) }

// Writer connects as the role that the webhook and the full sync use.
func (db *DB) Writer() string { return db.login("clerksync_writer") }

// Diagnostics connects as the role that the diagnostics function uses.
func (db *DB) Diagnostics() string { return db.login("clerksync_diagnostics") }

// As connects as the given role. The roles of the Data API cannot log in; for
// anon, authenticated and service_role the connection is authenticator's and
// starts with their rights, which a pooler would not pass on.
func (db *DB) As(role string) string {
	switch role {
	case "anon", "authenticated", "service_role":
		return db.login("authenticator") + "&role=" + url.QueryEscape(role)
	default:
		return db.login(role)
	}
}

func (db *DB) login(role string) string { return db.server.URL(db.name, role, "") }

// Conn connects to a URL that this package made and closes the connection when
// t ends. Through the pooler it prepares no statements.
func (db *DB) Conn(t testing.TB, connString string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(connString)
	if err != nil {
		t.Fatalf("reading the connection string: %v", err)
	}
	if int(config.Port) != db.server.Port() {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), connectTimeout, limit("connecting", connectTimeout))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatalf("connecting as %s: %v", config.User, err)
	}
	t.Cleanup(func() {
		// A connection that the test broke cannot be closed properly.
		_ = conn.Close(context.Background())
	})
	return conn
}

func limit(step string, d time.Duration) error {
	return fmt.Errorf("%s took longer than %s", step, d)
}

var (
	databaseCount atomic.Int64
	unsafeName    = regexp.MustCompile(`[^a-z0-9]+`)
)

// databaseName tells a person which test a database belongs to. PostgreSQL cuts
// names at 63 bytes.
func databaseName(test string) string {
	safe := strings.Trim(unsafeName.ReplaceAllString(strings.ToLower(test), "_"), "_")
	return fmt.Sprintf("%.50s_%d", safe, databaseCount.Add(1))
}

// requestedMajor reads the environment; 0 is any version.
func requestedMajor() (int, error) {
	value := os.Getenv(versionVariable)
	if value == "" {
		return 0, nil
	}
	major, err := strconv.Atoi(value)
	if err != nil || major < postgres.MinMajor {
		return 0, fmt.Errorf("%s is %q: set it to a main version such as 15 or 17, or leave it out", versionVariable, value)
	}
	return major, nil
}
