package pgbouncer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/devstack/process"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
)

// upstream is a server for one test.
func upstream(t *testing.T, options postgres.Options) *postgres.Server {
	t.Helper()
	options.InMemory = true
	server, err := postgres.Start(t.Context(), options)
	need.Success(t, err, postgres.ErrNotFound)
	t.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			t.Errorf("stopping PostgreSQL: %v", err)
		}
	})
	return server
}

// start puts a pooler in front of a server whose superuser it may ask.
func start(t *testing.T, server *postgres.Server, options pgbouncer.Options) *pgbouncer.Pooler {
	t.Helper()
	options.Port = server.Port()
	if options.Users == nil {
		options.AuthUser, options.AuthPassword = postgres.Superuser, server.Password()
		options.Admit = func(role string) { server.URL("postgres", role, "") }
	}
	pooler, err := pgbouncer.Start(t.Context(), options)
	need.Success(t, err, pgbouncer.ErrNotFound)
	t.Cleanup(func() {
		if err := pooler.Kill(); err != nil {
			t.Errorf("Kill = %v", err)
		}
	})
	return pooler
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := dial(t, url)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	return conn
}

// dial connects in the way that works behind a transaction pooler.
func dial(t *testing.T, url string) (*pgx.Conn, error) {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

// querier is a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func backend(t *testing.T, conn querier) int {
	t.Helper()
	var pid int
	if err := conn.QueryRow(t.Context(), "select pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatalf("asking for the backend: %v", err)
	}
	return pid
}

func TestStart_PoolsTransactions(t *testing.T) {
	t.Parallel()
	pooler := start(t, upstream(t, postgres.Options{}), pgbouncer.Options{DefaultPoolSize: 2})
	url := pooler.URL("postgres", postgres.Superuser, "")
	first, second := connect(t, url), connect(t, url)

	// Both stay connected and take turns with one backend.
	shared := backend(t, first)
	if got := backend(t, second); got != shared {
		t.Errorf("second client's backend = %d, want the first's, %d", got, shared)
	}
	// What one sets for its session, the other finds.
	if _, err := first.Exec(t.Context(), "set application_name to 'leaked'; set work_mem to '77kB'", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	var leaked string
	if err := second.QueryRow(t.Context(), "show work_mem").Scan(&leaked); err != nil || leaked != "77kB" {
		t.Errorf("work_mem of the second client = %q, %v; want the first's, 77kB", leaked, err)
	}
	// Inside a transaction a client keeps its backend, and the other gets another.
	tx, err := first.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := backend(t, tx); got != shared {
		t.Errorf("backend of the transaction = %d, want %d", got, shared)
	}
	other := backend(t, second)
	if other == shared {
		t.Errorf("two clients use backend %d at once", shared)
	}
	if again := backend(t, tx); again != shared {
		t.Errorf("backend later in the transaction = %d, want %d", again, shared)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestStart_PoolsSessionsWhenAsked(t *testing.T) {
	t.Parallel()
	pooler := start(t, upstream(t, postgres.Options{}), pgbouncer.Options{PoolMode: "session"})
	url := pooler.URL("postgres", postgres.Superuser, "")
	first, second := connect(t, url), connect(t, url)
	if a, b := backend(t, first), backend(t, second); a == b {
		t.Errorf("two sessions share backend %d, want one each", a)
	}
}

func TestStart_InEveryMode(t *testing.T) {
	t.Parallel()
	server := upstream(t, postgres.Options{})
	for name, mode := range map[string]process.Mode{"namespace": process.Namespace, "other user": process.OtherUser} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := process.Identify(t.Context(), mode); err != nil && mode == process.Namespace {
				t.Skipf("this machine forbids user namespaces, which the other mode is for: %v", err)
			}
			pooler := start(t, server, pgbouncer.Options{Mode: mode})
			backend(t, connect(t, pooler.URL("postgres", postgres.Superuser, "")))
		})
	}
}

func TestStart_ServesEveryDatabaseAndLaterRoles(t *testing.T) {
	t.Parallel()
	server := upstream(t, postgres.Options{})
	pooler := start(t, server, pgbouncer.Options{})
	direct := connect(t, server.URL("postgres", postgres.Superuser, ""))
	for _, sql := range []string{"create database later", "create role latecomer login", "create role group_of_roles"} {
		if _, err := direct.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	conn := connect(t, pooler.URL("later", "latecomer", ""))
	var got string
	if err := conn.QueryRow(t.Context(), "select current_user || ' in ' || current_database()").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "latecomer in later"; got != want {
		t.Errorf("through the pooler: %q, want %q", got, want)
	}
	for _, role := range []string{"nobody", "group_of_roles"} {
		if _, err := dial(t, pooler.URL("later", role, "")); err == nil {
			t.Errorf("connecting as %s = nil, want a refusal: it cannot log in", role)
		}
	}
}

func TestStart_AsksForPasswords(t *testing.T) {
	t.Parallel()
	const super = `of "the" superuser`
	server := upstream(t, postgres.Options{Password: super})
	pooler := start(t, server, pgbouncer.Options{Users: map[string]string{postgres.Superuser: super}})
	backend(t, connect(t, pooler.URL("postgres", postgres.Superuser, super)))

	for user, password := range map[string]string{postgres.Superuser: "wrong", "nobody": super} {
		_, err := dial(t, pooler.URL("postgres", user, password))
		if _, ok := errors.AsType[*pgconn.PgError](err); !ok {
			t.Errorf("connecting as %s with password %q = %v, want the pooler's refusal", user, password, err)
		}
	}
}

func TestStart_AsksTheServerForPasswords(t *testing.T) {
	t.Parallel()
	server := upstream(t, postgres.Options{})
	pooler := start(t, server, pgbouncer.Options{})
	backend(t, connect(t, pooler.URL("postgres", postgres.Superuser, "")))
	for _, database := range []string{"postgres", "pgbouncer"} {
		_, err := dial(t, pooler.URL(database, postgres.Superuser, "wrong"))
		if _, ok := errors.AsType[*pgconn.PgError](err); !ok {
			t.Errorf("connecting to %s with a wrong password = %v, want the pooler's refusal", database, err)
		}
	}
}

func TestStart_IgnoresWhatDriversSend(t *testing.T) {
	t.Parallel()
	pooler := start(t, upstream(t, postgres.Options{}), pgbouncer.Options{})
	url := pooler.URL("postgres", postgres.Superuser, "")
	backend(t, connect(t, url+"&extra_float_digits=3"))
	// Whatever else cannot be passed on is refused, as by Supabase's poolers.
	if _, err := dial(t, url+"&statement_timeout=3"); err == nil || !strings.Contains(err.Error(), "unsupported startup parameter") {
		t.Errorf("connecting with statement_timeout = %v, want a refusal", err)
	}
}

func TestKill_CutsClientsOff(t *testing.T) {
	t.Parallel()
	pooler := start(t, upstream(t, postgres.Options{}), pgbouncer.Options{})
	conn := connect(t, pooler.URL("postgres", postgres.Superuser, ""))
	backend(t, conn)
	if err := pooler.Kill(); err != nil {
		t.Fatalf("Kill = %v", err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a client is served after Kill")
	}
}

func TestStop_WaitsForTransactions(t *testing.T) {
	t.Parallel()
	server := upstream(t, postgres.Options{})
	pooler := start(t, server, pgbouncer.Options{})
	conn := connect(t, pooler.URL("postgres", postgres.Superuser, ""))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "create table written_late as select 1"); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error)
	go func() { stopped <- pooler.Stop(context.WithoutCancel(t.Context())) }()
	awaitLog(t, pooler, "got sigint")
	if err := tx.Commit(t.Context()); err != nil {
		t.Errorf("Commit while the pooler stops = %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Stop = %v", err)
	}
	direct := connect(t, server.URL("postgres", postgres.Superuser, ""))
	if _, err := direct.Exec(t.Context(), "table written_late"); err != nil {
		t.Errorf("what was committed while the pooler stopped: %v", err)
	}
}

func awaitLog(t *testing.T, pooler *pgbouncer.Pooler, text string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(strings.ToLower(pooler.Log()), text) {
		if time.Now().After(deadline) {
			t.Fatalf("the pooler did not log %q:\n%s", text, pooler.Log())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestStart_ReportsWhyItFailed(t *testing.T) {
	t.Parallel()
	_, err := pgbouncer.Find()
	need.Success(t, err, pgbouncer.ErrNotFound)
	_, err = pgbouncer.Start(t.Context(), pgbouncer.Options{Port: 1, AuthUser: "postgres", PoolMode: "nonsense"})
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("Start in mode nonsense = %v, want the pooler's complaint", err)
	}
}

func TestFind_SaysHowToGetIt(t *testing.T) {
	t.Setenv("PGBOUNCER", "/nonexistent/pgbouncer")
	_, err := pgbouncer.Find()
	if !errors.Is(err, pgbouncer.ErrNotFound) || !strings.Contains(err.Error(), "apt install pgbouncer") {
		t.Errorf("Find with PGBOUNCER set wrong = %v, want %v", err, pgbouncer.ErrNotFound)
	}
	if _, err := pgbouncer.Start(t.Context(), pgbouncer.Options{Port: 1}); !errors.Is(err, pgbouncer.ErrNotFound) {
		t.Errorf("Start without PgBouncer = %v, want %v", err, pgbouncer.ErrNotFound)
	}
}
