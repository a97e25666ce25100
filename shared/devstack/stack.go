// Package devstack runs the whole product on one machine: a Postgres that looks
// like Supabase's, migrated; the webhook handler behind a local server; and,
// unless a real Clerk instance is configured, everything that is needed to point
// a double of one at it (the packages in clerkdouble).
//
//	stack, err := devstack.Start(ctx, devstack.Options{Lookup: os.LookupEnv})
//	defer stack.Stop(ctx)
//	sender, err := svix.NewSender(svix.SenderOptions{Endpoints: stack.Endpoints()})
//	instance := clerkinstance.New(clerkinstance.Options{Emit: sender.Send})
//	mint, err := stack.ServeBackend(instance) // at stack.BackendURL(), for stack.SecretKey(); keys at stack.JWKSURL()
//
// It is what "clerksync dev" runs. The same configuration that the functions
// read decides what is real: with DATABASE_URL that database is used and
// migrated, with any CLERK_… setting the gateway waits for real webhooks.
//
// [Diff] compares a copy with the state of a double, row by row and field by
// field.
//
// With Options.Queued events go through a queue of this process (package queue):
// the functions' own sender and consumer, at AWS's batch size.
//
// Limits: for one developer's machine.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/svix"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/devstack/postgres"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/webhook"
	"clerksync/sql/migrate"
)

const (
	// startLimit is for PostgreSQL to be there; the first time it is fetched.
	startLimit = 6 * time.Minute
	// migrateLimit is for all migrations together.
	migrateLimit = 2 * time.Minute
	// connectLimit is for a connection that looks at the tables.
	connectLimit = 10 * time.Second
	// poolSize is enough for several deliveries at a time.
	poolSize = 4
)

// Options describe a stack. Only Lookup is required.
type Options struct {
	// Lookup reads the configuration (see package config).
	Lookup config.Lookup
	// Addr is where the gateway listens; "" means a free port on 127.0.0.1.
	Addr string
	// Postgres is the main version to start, 15 or 17; 0 takes what is found.
	Postgres int
	// DataDir keeps the embedded database between runs; "" throws it away.
	DataDir string
	// Logger gets what the handler and the server have to say, if it is of the
	// configured level; nil drops it.
	Logger func(slog.Level) *slog.Logger
	// Progress is told about each step that takes time, before it is taken.
	Progress func(step string)
	// Observe is told about every webhook request, from several goroutines.
	Observe func(Request)
	// Queued, unless it is nil, has events go through a queue, as IngestMode=queued
	// does on AWS.
	Queued *Queued
}

// Stack is a running stack.
type Stack struct {
	settings settings
	gateway  *gateway
	db       *supabase.DB
	store    *mirror.Store
	// queued is nil where events are applied at once.
	queued *queued
	// server is nil where the database is given. shown and envFile are for people.
	server         *postgres.Server
	shown, envFile string
	// given describes the database there.
	given string
	// reader connects as somebody who may read the tables, if there is one.
	reader *pgx.ConnConfig
	// stopping is closed when Stop begins.
	stopping chan struct{}
	// Warnings are what works but should be otherwise.
	Warnings []string
}

// Start starts a stack and returns once the gateway answers. What it started is
// stopped again if it fails.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Observe == nil {
		o.Observe = func(Request) {}
	}
	s := &Stack{stopping: make(chan struct{})}
	if s.settings, err = readSettings(ctx, o.Lookup); err != nil {
		return nil, err
	}
	logger := slog.New(slog.DiscardHandler)
	if o.Logger != nil {
		logger = o.Logger(s.settings.config.LogLevel)
	}
	listener, err := listen(ctx, o.Addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, listener.Close(), s.stopQueue(context.WithoutCancel(ctx)), s.stopDatabase(context.WithoutCancel(ctx)))
		}
	}()

	connection, err := s.openDatabase(ctx, o)
	if err != nil {
		return nil, err
	}
	s.Warnings = append(s.Warnings, connection.Warnings...)
	s.db = supabase.Open(supabase.Fixed(connection))
	s.store = mirror.New(s.db)
	watched := watch{store: s.store, report: o.Observe}
	if o.Queued != nil {
		if err := s.startQueue(ctx, *o.Queued, logger); err != nil {
			return nil, err
		}
		watched.store = s.queued.sender
	}
	handler, err := webhook.New(webhook.Options{
		Store:    watched,
		Observer: watched,
		Configure: func(ctx context.Context) (webhook.Configuration, error) {
			c, err := s.settings.source.Ingest(ctx)
			return webhook.Configuration{Secrets: c.SigningSecrets, InstanceID: c.InstanceID}, err
		},
		Refresh: s.settings.source.Refresh,
		Logger:  logger,
	})
	if err != nil {
		return nil, err
	}
	s.gateway = serve(listener, handler, s.ping, logger)
	return s, nil
}

// openDatabase starts or takes the database, migrates it and returns how the
// handler connects.
func (s *Stack) openDatabase(ctx context.Context, o Options) (*supabase.Config, error) {
	database := s.settings.config.Database
	if !s.settings.databaseGiven {
		return s.startPostgres(ctx, o)
	}
	connection, err := supabase.Parse(supabase.Options{
		URL: database.URL, CACert: database.CACert, ProjectRef: database.ProjectRef, MaxConns: poolSize, AppName: "dev",
	})
	if err != nil {
		return nil, err
	}
	if s.reader, err = connection.Session(); err != nil {
		return nil, err
	}
	s.given = fmt.Sprintf("%s@%s/%s", connection.User, net.JoinHostPort(connection.Host, strconv.Itoa(int(connection.Port))), connection.Database)
	o.Progress("checking the migrations of " + s.given)
	return connection, s.migrateGiven(ctx, o)
}

// startPostgres starts a server whose database looks like a Supabase project.
func (s *Stack) startPostgres(ctx context.Context, o Options) (*supabase.Config, error) {
	o.Progress("starting PostgreSQL")
	starting, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("PostgreSQL was not there within %s", startLimit))
	defer cancel()
	var err error
	s.server, err = postgres.Start(starting, postgres.Options{Major: o.Postgres, DataDir: o.DataDir, Fsync: o.DataDir != ""})
	if err != nil {
		return nil, err
	}

	o.Progress("migrating the database")
	migrating, cancel := migrationLimit(ctx)
	defer cancel()
	if s.reader, err = pgx.ParseConfig(s.server.URL(databaseName, postgres.Superuser, "")); err != nil {
		return nil, fmt.Errorf("preparing a connection: %w", err)
	}
	err = s.connected(migrating, func(conn *pgx.Conn) error { return postgres.Stubs(migrating, conn, postgres.Explicit) })
	if err != nil {
		return nil, err
	}
	owner, err := pgx.ParseConfig(s.server.URL(databaseName, postgres.Owner, ""))
	if err != nil {
		return nil, fmt.Errorf("preparing a connection: %w", err)
	}
	if _, err := migrate.Up(migrating, owner, migrate.Options{}); err != nil {
		return nil, err
	}
	if s.shown, err = s.server.ShownURL(databaseName, postgres.Superuser); err != nil {
		return nil, err
	}
	s.envFile, err = s.server.Write("stack.env",
		"DATABASE_URL="+s.server.URL(databaseName, postgres.Superuser, "")+"\nDIAGNOSTICS_DATABASE_URL="+s.DiagnosticsURL().Reveal()+"\n")
	if err != nil {
		return nil, err
	}
	return supabase.Parse(supabase.Options{
		URL: secret.New(s.server.URL(databaseName, "clerksync_writer", "")), MaxConns: poolSize, AppName: "dev",
	})
}

// databaseName is what Supabase calls every project's database.
const databaseName = "postgres"

// migrateGiven applies what is pending, if the login may. The runtime role may
// not even look, and needs not: it is set up by whoever migrated.
func (s *Stack) migrateGiven(ctx context.Context, o Options) error {
	ctx, cancel := migrationLimit(ctx)
	defer cancel()
	states, err := migrate.Plan(ctx, s.reader, migrate.Options{})
	if denied(err) {
		s.Warnings = append(s.Warnings, "DATABASE_URL: this login may not read the migrations, so they are taken to be up to date")
		s.reader = nil
		return nil
	}
	if err != nil {
		return explain(err)
	}
	pending := 0
	for _, state := range states {
		if state.AppliedAt.IsZero() {
			pending++
		}
	}
	if pending == 0 {
		return nil
	}
	o.Progress(fmt.Sprintf("applying %d migrations to %s", pending, s.given))
	_, err = migrate.Up(ctx, s.reader, migrate.Options{})
	return explain(err)
}

// explain gives a failed connection a text to act upon; what migrations report
// themselves is one already.
func explain(err error) error {
	if _, failed := errors.AsType[*pgconn.ConnectError](err); failed {
		return supabase.Explain(err)
	}
	return err
}

func migrationLimit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, migrateLimit, fmt.Errorf("migrating took longer than %s", migrateLimit))
}

// denied reports SQLSTATE insufficient_privilege.
func denied(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == "42501"
}

// URL is the gateway's base address.
func (s *Stack) URL() string {
	host, port, err := net.SplitHostPort(s.gateway.addr.String())
	if err != nil {
		return "http://" + s.gateway.addr.String()
	}
	// A wildcard is no address that one can call.
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// WebhookURL is where webhooks go.
func (s *Stack) WebhookURL() string { return s.URL() + webhook.Path }

// Endpoints are what a double delivers to: the gateway under each of the live
// signing secrets.
func (s *Stack) Endpoints() []svix.Endpoint {
	endpoints := make([]svix.Endpoint, len(s.settings.config.SigningSecrets))
	for i, key := range s.settings.config.SigningSecrets {
		endpoints[i] = svix.Endpoint{URL: s.WebhookURL(), Secret: key}
	}
	return endpoints
}

// ServeBackend serves a double's Backend API and the public documents of its
// Frontend API on the gateway, to this machine only, from now on or in place of
// another's. Its rate limit is that of Clerk's development instances. It returns
// what makes the double's tokens, which are of [Stack.Issuer]. It fails where a
// real Clerk instance is configured.
func (s *Stack) ServeBackend(instance *clerkinstance.Instance) (*tokens.Mint, error) {
	if len(s.settings.clerkGiven) > 0 {
		return nil, fmt.Errorf("serving a double's Backend API: a real Clerk instance is configured by %s", strings.Join(s.settings.clerkGiven, ", "))
	}
	mint := tokens.New(instance, s.Issuer())
	mount(&s.gateway.frontend, mint.FrontendAPI())
	mount(&s.gateway.backend, backendapi.New(instance, backendapi.Options{
		SecretKeys: []string{s.settings.secretKey.Reveal()}, Limit: clerk.TestInstance.RateLimit(), Tokens: mint,
	}))
	return mint, nil
}

// ServeDiagnostics serves a handler at /diagnostics/jwt and below on the gateway,
// to this machine only, from now on or in place of another; nil takes it away.
func (s *Stack) ServeDiagnostics(handler http.Handler) { mount(&s.gateway.diagnostics, handler) }

// BackendURL is where ServeBackend serves, to be used as CLERK_API_URL.
func (s *Stack) BackendURL() string { return s.URL() + backendPath }

// Issuer is the iss of the double's tokens, to be used as CLERK_ISSUER: the
// gateway's own address, which no publishable key can hold. It is "" where a real
// Clerk instance is configured.
func (s *Stack) Issuer() string {
	if len(s.settings.clerkGiven) > 0 {
		return ""
	}
	return s.URL()
}

// JWKSURL is where ServeBackend serves the double's keys, to be used as
// CLERK_JWKS_URL. It is "" where a real Clerk instance is configured.
func (s *Stack) JWKSURL() string {
	if issuer := s.Issuer(); issuer != "" {
		return issuer + tokens.JWKSPath
	}
	return ""
}

// SecretKey is the key that ServeBackend accepts, made at every start. It is not
// set where a real Clerk instance is configured.
func (s *Stack) SecretKey() secret.Value { return s.settings.secretKey }

// RealClerk names the settings for which the gateway waits for the webhooks of a
// real instance; none means that a double is wanted.
func (s *Stack) RealClerk() []string { return s.settings.clerkGiven }

// Database describes the database in a few words, without a password.
func (s *Stack) Database() string {
	if s.server == nil {
		return s.given
	}
	return "PostgreSQL " + s.server.Version() + " on port " + strconv.Itoa(s.server.Port())
}

// EmbeddedURL is a superuser's connection string for the embedded database, to be
// shown: it names the file that has the password. It is "" where the database is given.
func (s *Stack) EmbeddedURL() string { return s.shown }

// EnvFile holds the connection strings of the embedded database, as DATABASE_URL and
// DIAGNOSTICS_DATABASE_URL, for this user alone. It is "" where the database is given.
func (s *Stack) EnvFile() string { return s.envFile }

// DiagnosticsURL is the connection string of the embedded database for the role that
// sees what users see. It is not set where the database is given.
func (s *Stack) DiagnosticsURL() secret.Value {
	if s.server == nil {
		return secret.Value{}
	}
	return secret.New(s.server.URL(databaseName, migrate.DiagnosticsRole, ""))
}

// Status counts the copy.
func (s *Stack) Status(ctx context.Context) (mirror.Status, error) { return s.store.Status(ctx) }

// ErrUnreadable says that the database login may not read the copy's tables.
var ErrUnreadable = errors.New("the login may not read the tables")

// Rows are the ids of everything that the copy holds, live or not. It is empty
// in a fresh database, and [ErrUnreadable] where the login may not look.
func (s *Stack) Rows(ctx context.Context) (map[string]bool, error) {
	var ids map[string]bool
	err := s.connected(ctx, func(conn *pgx.Conn) (err error) {
		ids, err = readIDs(ctx, conn)
		return err
	})
	return ids, err
}

// Unread is what the sync rules tell, of a copy whose tables the login may not read:
// how many rows it holds, and whether it has heard of an instance, by events or full
// syncs, whatever is left of that. It fails where one of them is not told.
func (s *Stack) Unread(ctx context.Context) (rows int64, heard bool, err error) {
	status, err := s.store.Status(ctx)
	if err != nil {
		return 0, false, err
	}
	if len(status.Missing) > 0 {
		return 0, false, fmt.Errorf("reading the status of the copy: it took too long to count %s", strings.Join(status.Missing, ", "))
	}
	for _, c := range []mirror.Counts{status.Users, status.Organizations, status.Memberships} {
		rows += c.Live + c.Placeholders + c.Tombstones
	}
	return rows, status.LastEventAt != nil || status.LastRun != nil, nil
}

// Diff is [Diff] of the stack's copy. It fails with [ErrUnreadable] where the
// login may not look.
func (s *Stack) Diff(ctx context.Context, want clerkinstance.Snapshot, foreign func(id string) bool) ([]Difference, error) {
	var differences []Difference
	err := s.connected(ctx, func(conn *pgx.Conn) (err error) {
		differences, err = Diff(ctx, conn, want, foreign)
		return err
	})
	return differences, err
}

// connected runs do on a connection of its own that may read the tables.
func (s *Stack) connected(ctx context.Context, do func(*pgx.Conn) error) error {
	if s.reader == nil {
		return ErrUnreadable
	}
	connecting, cancel := context.WithTimeoutCause(ctx, connectLimit, fmt.Errorf("no connection within %s", connectLimit))
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, s.reader)
	if err != nil {
		return fmt.Errorf("connecting to the database: %w", supabase.Explain(err))
	}
	// Rows that a policy hides from this login are an error and not an absence.
	if _, err = conn.Exec(ctx, "set row_security = off"); err == nil {
		err = do(conn)
	}
	if denied(err) {
		err = ErrUnreadable
	}
	// The connection is not needed any more, whether it closes well or not.
	_ = conn.Close(context.WithoutCancel(ctx))
	return err
}

func (s *Stack) ping(ctx context.Context) error {
	var one int
	return s.db.QueryRow(ctx, "select 1").Scan(&one)
}

// Failed yields an error when a part of the stack ends by itself.
func (s *Stack) Failed() <-chan error {
	failed := make(chan error, 1)
	var ended <-chan struct{}
	if s.server != nil {
		ended = s.server.Done()
	}
	go func() {
		select {
		case <-s.stopping:
		case err := <-s.gateway.failed:
			failed <- err
		case <-ended:
			if !closed(s.stopping) {
				failed <- fmt.Errorf("PostgreSQL has ended; the last lines of its log:\n%s", s.server.Log())
			}
		}
	}()
	return failed
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Stop stops everything, politely until ctx is done and by force then. Data in
// a DataDir stays. It is called once.
func (s *Stack) Stop(ctx context.Context) error {
	close(s.stopping)
	err := s.gateway.stop(ctx)
	return errors.Join(err, s.stopQueue(ctx), s.stopDatabase(ctx))
}

func (s *Stack) stopQueue(ctx context.Context) error {
	if s.queued == nil {
		return nil
	}
	return s.queued.stop(ctx)
}

func (s *Stack) stopDatabase(ctx context.Context) error {
	if s.db != nil {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			s.db.Close()
		}()
		select {
		case <-closed:
		case <-ctx.Done():
		}
	}
	if s.server != nil {
		return s.server.Stop(ctx)
	}
	return nil
}
