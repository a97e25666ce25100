package testdb

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/sql/migrate"
)

// dropTries are a millisecond apart.
const dropTries = 200

// maxConnections is enough for parallel tests that each run a pool.
const maxConnections = "200"

// recipe is what a template is built from.
type recipe struct {
	regime   postgres.Regime
	migrated bool
	schema   string
	helpers  string
}

func (r recipe) String() string {
	if !r.migrated {
		return r.regime.String() + ", not migrated"
	}
	return r.regime.String() + ", schemas " + r.schema + " and " + r.helpers
}

func (r recipe) options() migrate.Options {
	return migrate.Options{Schema: r.schema, Helpers: r.helpers}
}

// name is the template's, in a server whose templates are all of this binary's migrations.
func (r recipe) name() string {
	return fmt.Sprintf("template_%x", sha256.Sum256([]byte(r.String())))[:40]
}

// cluster is the server of this test binary and what was built in it.
type cluster struct {
	server *postgres.Server

	// building serialises templates and clones: PostgreSQL refuses to clone a
	// database that anybody is connected to, and cloning two at a time is no
	// faster than one after the other.
	building  sync.Mutex
	templates map[string]error

	// office is the connection of [cluster.admin]: one for each statement would cost
	// more than most statements.
	office struct {
		sync.Mutex
		conn *pgx.Conn
	}
}

// shared is started by the first test that needs it.
var shared struct {
	sync.Mutex
	cluster *cluster
	err     error
	pooler  *pgbouncer.Pooler
}

// sharedCluster answers the server, started if need be. A start that failed is
// not tried again: every test would wait for the same failure.
func sharedCluster(t testing.TB) *cluster {
	t.Helper()
	major, err := requestedMajor()
	if err != nil {
		t.Fatal(err)
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		// Not the test's context: the server outlives the test that asked first.
		ctx, cancel := context.WithTimeoutCause(context.Background(), startTimeout, limit("starting PostgreSQL", startTimeout))
		defer cancel()
		server, err := postgres.Start(ctx, postgres.Options{
			Major:    major,
			InMemory: true,
			Fresh:    cache(),
			Settings: map[string]string{
				"max_connections": maxConnections,
				// Nothing is ever recovered; keep the log from filling memory.
				"max_wal_size": "256MB",
				// Hundreds of databases live for a second each. What depends on statistics
				// makes its own.
				"autovacuum": "off", "jit": "off",
			},
		})
		if err != nil {
			shared.err = err
		} else {
			shared.cluster = &cluster{server: server, templates: map[string]error{}}
		}
	}
	need.Success(t, shared.err, postgres.ErrNotFound)
	return shared.cluster
}

// stopShared stops what the tests of this binary started.
func stopShared() error {
	shared.Lock()
	defer shared.Unlock()
	ctx, cancel := context.WithTimeoutCause(context.Background(), cloneTimeout, limit("stopping", cloneTimeout))
	defer cancel()
	var err error
	if shared.pooler != nil {
		// No test is left whose transactions it could wait for.
		err = shared.pooler.Kill()
		shared.pooler = nil
	}
	if shared.cluster != nil {
		err = errors.Join(err, shared.cluster.server.Stop(ctx))
		shared.cluster = nil
	}
	return err
}

// template answers the name of the template of a recipe, built if need be.
func (c *cluster) template(ctx context.Context, r recipe) (string, error) {
	name := r.name()
	c.building.Lock()
	defer c.building.Unlock()
	err, built := c.templates[name]
	if !built {
		// Not bound to the test that asked first: others wait for the result.
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), templateTimeout, limit("building a template", templateTimeout))
		defer cancel()
		err = c.build(ctx, r, name)
		c.templates[name] = err
	}
	return name, err
}

func (c *cluster) build(ctx context.Context, r recipe, name string) error {
	if err := c.admin(ctx, "create database "+name); err != nil {
		return err
	}
	err := c.as(ctx, name, postgres.Superuser, func(conn *pgx.Conn) error {
		return postgres.Stubs(ctx, conn, r.regime)
	})
	if err != nil {
		return err
	}
	if r.migrated {
		if err := migrateAs(ctx, c.server.URL(name, postgres.Owner, ""), r.options()); err != nil {
			return err
		}
	}
	// A stray connection would make every clone fail.
	return c.admin(ctx, "alter database "+name+" allow_connections false")
}

// clone copies a template. The session of a connection that was just closed, or
// of a vacuum, may still hold it for a moment.
func (c *cluster) clone(ctx context.Context, template, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, cloneTimeout, limit("cloning a database", cloneTimeout))
	defer cancel()
	c.building.Lock()
	defer c.building.Unlock()
	for {
		// As files: through the log every page would be written twice.
		err := c.admin(ctx, fmt.Sprintf("create database %s template %s strategy file_copy owner %s", quote(name), template, postgres.Owner))
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "55006" { // object_in_use
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// drop removes a database and ends the sessions in it. Those that end by themselves at this
// moment, as those do that a test has just closed, are waited for first: where it finds any,
// drop database waits for a tenth of a second, and all tests with it.
func (c *cluster) drop(ctx context.Context, name string) error {
	for range dropTries {
		var sessions int
		err := c.manage(ctx, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = $1", name).Scan(&sessions)
		})
		if err != nil {
			return fmt.Errorf("ending the sessions of %s: %w", name, err)
		}
		if sessions == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
	return c.admin(ctx, "drop database if exists "+quote(name)+" with (force)")
}

// admin runs one statement as the superuser in no database of a test.
func (c *cluster) admin(ctx context.Context, sql string) error {
	return c.manage(ctx, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("running %q: %w", sql, err)
		}
		return nil
	})
}

// manage lends the superuser's connection.
func (c *cluster) manage(ctx context.Context, do func(*pgx.Conn) error) error {
	c.office.Lock()
	defer c.office.Unlock()
	if c.office.conn == nil || c.office.conn.IsClosed() {
		conn, err := pgx.Connect(ctx, c.server.URL(ServerDatabase, postgres.Superuser, ""))
		if err != nil {
			return fmt.Errorf("connecting as %s: %w", postgres.Superuser, err)
		}
		c.office.conn = conn
	}
	return do(c.office.conn)
}

func (c *cluster) as(ctx context.Context, database, role string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, c.server.URL(database, role, ""))
	if err != nil {
		return fmt.Errorf("connecting to %s as %s: %w", database, role, err)
	}
	err = do(conn)
	return errors.Join(err, conn.Close(ctx))
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
