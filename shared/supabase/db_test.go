package supabase_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) {
	os.Exit(testdb.Main(m))
}

func options(dsn string) supabase.Options {
	return supabase.Options{URL: secret.New(dsn), AppName: "test"}
}

// open connects as a function does, and closes with the test.
func open(t *testing.T, o supabase.Options) *supabase.DB {
	t.Helper()
	c, err := supabase.Parse(o)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	db := supabase.Open(supabase.Fixed(c))
	t.Cleanup(db.Close)
	return db
}

// soon bounds what a test waits for.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, errors.New("limit of the test"))
	t.Cleanup(cancel)
	return ctx
}

func one(t *testing.T, db *supabase.DB) error {
	t.Helper()
	var n int
	err := db.QueryRow(soon(t), "select $1::int", 1).Scan(&n)
	if err == nil && n != 1 {
		t.Errorf("select 1 = %d", n)
	}
	return err
}

func TestDB_CarriesValuesBothWays(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	td := testdb.New(t, testdb.WithoutMigrations())
	for name, dsn := range map[string]string{
		"direct":                   td.Owner(),
		"pooled":                   td.Pooled(t, td.Owner()),
		"pooled, cache_describe":   withParam(t, td.Pooled(t, td.Owner()), "default_query_exec_mode", "cache_describe"),
		"pooled, simple_protocol":  withParam(t, td.Pooled(t, td.Owner()), "default_query_exec_mode", "simple_protocol"),
		"pooled, with a parameter": withParam(t, td.Pooled(t, td.Owner()), "statement_timeout", "5000"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, options(dsn))
			doc := `{"n": 12345678901234567890, "s": "it's \"quoted\" \\ $1"}`
			at := time.Date(2026, 9, 1, 12, 30, 0, 0, time.UTC)
			var gotDoc, gotText string
			var gotAt time.Time
			var gotList []string
			var gotNull *string
			err := db.QueryRow(soon(t), "select $1::jsonb::text, $2::text, $3::timestamptz, $4::text[], $5::text",
				json.RawMessage(doc), "a'b\\c", at, []string{"x", `y,"z`}, nil).Scan(&gotDoc, &gotText, &gotAt, &gotList, &gotNull)
			if err != nil {
				t.Fatalf("QueryRow: %v", err)
			}
			if !strings.Contains(gotDoc, "12345678901234567890") || gotText != "a'b\\c" || !gotAt.Equal(at) || gotNull != nil {
				t.Errorf("got %s, %s, %s, %v", gotDoc, gotText, gotAt, gotNull)
			}
			if diff := cmp.Diff([]string{"x", `y,"z`}, gotList); diff != "" {
				t.Errorf("list (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDB_QueryReturnsEveryRow(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, options(td.Owner()))
	for _, n := range []int{0, 1, 2, 1000} {
		rows, err := db.Query(soon(t), "select generate_series(1, $1)", n)
		if err != nil {
			t.Fatalf("Query: %v", err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil || len(got) != n || n > 0 && (got[0] != 1 || got[n-1] != n) {
			t.Errorf("%d rows: got %d, %v", n, len(got), err)
		}
	}
	// Left early: the one connection of the pool must come back.
	rows, err := db.Query(soon(t), "select generate_series(1, 100000)")
	if err != nil || !rows.Next() {
		t.Fatalf("Query: %v", err)
	}
	rows.Close()
	rows.Close()
	if err := one(t, db); err != nil {
		t.Errorf("after rows left early: %v", err)
	}
}

func TestDB_ReportsErrorsWhereTheyBelong(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, options(td.Owner()))
	ctx := soon(t)

	if err := db.QueryRow(ctx, "select 1 where false").Scan(new(int)); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v, want pgx.ErrNoRows", err)
	}
	rows, err := db.Query(ctx, "select * from nowhere")
	if !errors.Is(err, supabase.ErrNotMigrated) || rows == nil || !errors.Is(rows.Err(), supabase.ErrNotMigrated) || rows.Next() {
		t.Errorf("missing table: %v, want ErrNotMigrated from Query and its rows", err)
	}
	if _, err := db.Exec(ctx, "select * from nowhere"); !errors.Is(err, supabase.ErrNotMigrated) {
		t.Errorf("missing table: Exec = %v, want ErrNotMigrated", err)
	}
	// Fails at the third row: after Query has returned.
	rows, err = db.Query(ctx, "select 1 / (3 - n) from generate_series(1, 5) n")
	if err != nil {
		t.Fatalf("Query: %v", err)
	}
	if _, err := pgx.CollectRows(rows, pgx.RowTo[int]); err == nil || !strings.Contains(err.Error(), "22012") {
		t.Errorf("division by zero in a later row: %v, want SQLSTATE 22012", err)
	}
	// The driver would quote the argument.
	if err := db.QueryRow(ctx, "select $1::jsonb", struct{ Email string }{"ada@example.com"}).Scan(new(string)); err == nil || strings.Contains(err.Error(), "ada@") {
		t.Errorf("argument of no known type: %v, want an error without its value", err)
	}
	if err := db.QueryRow(ctx, "select 'ada@example.com'").Scan(new(int)); err == nil || strings.Contains(err.Error(), "ada@") {
		t.Errorf("result of another type: %v, want an error without its value", err)
	}
	if err := one(t, db); err != nil {
		t.Errorf("after all these errors: %v", err)
	}
}

func TestDB_ShowsItsNameInPostgres(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	var got string
	if err := open(t, options(td.Owner())).QueryRow(soon(t), "select current_setting('application_name')").Scan(&got); err != nil || got != "clerksync/test" {
		t.Errorf("application_name = %q, %v, want clerksync/test", got, err)
	}
}

// Several functions share one pooler, whose server connections change hands with every statement. With pgx's default
// this fails within a few queries.
func TestDB_SharesATransactionPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	td := testdb.New(t, testdb.WithoutMigrations())
	dsn := td.Pooled(t, td.Owner())
	const clients, queries = 8, 100
	var wg sync.WaitGroup
	for c := range clients {
		db := open(t, options(dsn))
		wg.Go(func() {
			for q := range queries {
				want := fmt.Sprintf("%d/%d", c, q)
				var got string
				// A statement of its own for each client and of its own shape: an answer to another's would show.
				sql := fmt.Sprintf("select $1::text || '/' || $2::int::text %s", strings.Repeat(", 0", (c+q)%3))
				dest := []any{&got, nil, nil}[:1+(c+q)%3]
				if err := db.QueryRow(soon(t), sql, fmt.Sprint(c), q).Scan(dest...); err != nil || got != want {
					t.Errorf("client %d query %d: got %q, %v, want %q", c, q, got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestOpen_DoesNothingBeforeTheFirstQuery(t *testing.T) {
	t.Parallel()
	db := supabase.Open(func(context.Context) (*supabase.Config, error) {
		t.Error("the configuration was read")
		return nil, errors.New("not expected")
	})
	db.Close()
	if err := one(t, db); !errors.Is(err, supabase.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

func TestDB_ClosedRefuses(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, options(td.Owner()))
	if err := one(t, db); err != nil {
		t.Fatalf("before: %v", err)
	}
	db.Close()
	if err := one(t, db); !errors.Is(err, supabase.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
	db.Close()
}

func TestDB_NextQueryWorksAfterARestart(t *testing.T) {
	t.Parallel()
	s := testdb.StartServer(t, postgres.Options{})
	db := open(t, options(s.URL("postgres", postgres.Superuser, "")))
	for _, how := range []struct {
		name    string
		restart func(context.Context) error
	}{
		{"restart", s.Restart},
		{"crash and restart", func(ctx context.Context) error {
			if err := s.Kill(); err != nil {
				return err
			}
			return s.Restart(ctx)
		}},
	} {
		if err := one(t, db); err != nil {
			t.Fatalf("before the %s: %v", how.name, err)
		}
		if err := how.restart(soon(t)); err != nil {
			t.Fatalf("%s: %v", how.name, err)
		}
		// At once, on a connection whose other end is gone: nobody may see an error.
		if err := one(t, db); err != nil {
			t.Errorf("after the %s: %v", how.name, err)
		}
	}
}

func TestDB_DownIsTransient(t *testing.T) {
	t.Parallel()
	s := testdb.StartServer(t, postgres.Options{})
	dsn := s.URL("postgres", postgres.Superuser, "")
	used, unused := open(t, options(dsn)), open(t, options(dsn))
	if err := one(t, used); err != nil {
		t.Fatalf("before: %v", err)
	}
	if err := s.Kill(); err != nil {
		t.Fatalf("killing the server: %v", err)
	}
	for name, db := range map[string]*supabase.DB{"used before": used, "not used before": unused} {
		err := one(t, db)
		if !errors.Is(err, supabase.ErrConnectionRefused) || !supabase.IsTransient(err) {
			t.Errorf("%s: %v, want ErrConnectionRefused, transient", name, err)
		}
		if !strings.Contains(fmt.Sprint(err), "connecting to postgres@127.0.0.1:") {
			t.Errorf("%s: error does not say where to: %v", name, err)
		}
	}
}

// What was sent may have been done, so it is not sent again.
func TestDB_ABreakInMidQueryIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, options(td.Owner()))
	ctx := soon(t)
	if _, err := db.Exec(ctx, "create table t (n int)"); err != nil {
		t.Fatal(err)
	}
	_, err := db.Exec(ctx, "insert into t values (1); commit; select pg_terminate_backend(pg_backend_pid())")
	if !supabase.IsTransient(err) || !errors.Is(err, supabase.ErrRestarting) {
		t.Errorf("terminated in mid query: %v, want ErrRestarting, transient", err)
	}
	var n int
	if err := db.QueryRow(ctx, "select count(*) from t").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v, want the one that was inserted before the break", n, err)
	}
}

func TestDB_NamesTheLimitThatEnded(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, options(td.Owner()))
	if err := one(t, db); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("query limit of 50ms"))
	defer cancel()
	_, err := db.Exec(ctx, "select pg_sleep(60)")
	if !errors.Is(err, supabase.ErrTimeout) || !supabase.IsTransient(err) || !strings.Contains(err.Error(), "query limit of 50ms") {
		t.Errorf("Exec = %v, want ErrTimeout that names the limit", err)
	}
	if err := one(t, db); err != nil {
		t.Errorf("after the timeout: %v", err)
	}
}

// Somebody accepts the connection and never says a word, as behind a broken load balancer.
func TestDB_GivesUpOnASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, mode := range []string{"disable", "require"} {
		c, err := supabase.Parse(options("postgres://u:" + password + "@" + l.Addr().String() + "/db?sslmode=" + mode))
		if err != nil {
			t.Fatalf("Parse: %v", err)
		}
		supabase.LimitConnect(c, 100*time.Millisecond)
		db := supabase.Open(supabase.Fixed(c))
		defer db.Close()
		err = one(t, db)
		if !errors.Is(err, supabase.ErrConnectTimeout) || !supabase.IsTransient(err) || !strings.Contains(err.Error(), "limit of 100ms") {
			t.Errorf("sslmode=%s: %v, want ErrConnectTimeout that names the limit", mode, err)
		}
		checkHidden(t, err.Error())
	}
}

func TestDB_VerifiesTheServer(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	cert, key := ours.issue(t, "localhost")
	s := testdb.StartServer(t, postgres.Options{TLS: &postgres.TLS{Certificate: cert, Key: key}})
	plain := testdb.StartServer(t, postgres.Options{})
	for _, tt := range []struct {
		name   string
		server *postgres.Server
		host   string
		mode   string
		ca     string
		want   error
		inTLS  bool
	}{
		{"right authority and name", s, "localhost", "verify-full", ours.pem, nil, true},
		{"right authority, require", s, "localhost", "require", ours.pem, nil, true},
		{"another authority", s, "localhost", "verify-full", theirs.pem, supabase.ErrCertificate, false},
		{"another authority, require", s, "localhost", "require", theirs.pem, supabase.ErrCertificate, false},
		{"another name", s, "127.0.0.1", "verify-full", ours.pem, supabase.ErrCertificate, false},
		{"the system's authorities", s, "localhost", "verify-full", "", supabase.ErrCertificate, false},
		{"nothing verified", s, "127.0.0.1", "require", "", nil, true},
		{"plain text", s, "127.0.0.1", "disable", "", nil, false},
		// Never to fall back to plain text.
		{"server without encryption", plain, "localhost", "require", "", supabase.ErrTLSNotOffered, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := options(fmt.Sprintf("postgres://%s:%s@%s:%d/postgres?sslmode=%s", postgres.Superuser, tt.server.Password(), tt.host, tt.server.Port(), tt.mode))
			o.CACert = tt.ca
			var inTLS bool
			err := open(t, o).QueryRow(soon(t), "select ssl from pg_stat_ssl where pid = pg_backend_pid()").Scan(&inTLS)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("QueryRow = %v, want %v", err, tt.want)
			}
			if inTLS != tt.inTLS {
				t.Errorf("encrypted: %t, want %t", inTLS, tt.inTLS)
			}
			if err != nil {
				checkHidden(t, err.Error())
				if supabase.IsTransient(err) {
					t.Errorf("called transient: %v", err)
				}
			}
		})
	}
}

// awaitRefusals waits until a server has logged n refused logins, and fails when it logged more.
func awaitRefusals(t *testing.T, s *postgres.Server, n int) {
	t.Helper()
	ctx := soon(t)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		got := strings.Count(s.Log(), "password authentication failed for user")
		if got == n {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the server logged %d refused logins, want %d:\n%s", got, n, s.Log())
		}
	}
}

func TestDB_FollowsARotatedPassword(t *testing.T) {
	t.Parallel()
	s := testdb.StartServer(t, postgres.Options{Password: "first-password"})
	configured := atomic.Pointer[string]{}
	set := func(pw string) { configured.Store(&pw) }
	set("first-password")
	var warned atomic.Int32
	source := supabase.Watch(func(context.Context) (supabase.Options, error) {
		return options(s.URL("postgres", postgres.Superuser, *configured.Load())), nil
	}, func(*supabase.Config) { warned.Add(1) })

	var refreshes atomic.Int32
	db := supabase.Open(source, supabase.WithRefresh(func(context.Context) (bool, error) {
		refreshes.Add(1)
		set("second-password")
		return true, nil
	}))
	defer db.Close()
	if err := one(t, db); err != nil {
		t.Fatalf("first password: %v", err)
	}

	// The database's password changes, and every connection with it; the configuration that is kept does not know.
	ctx := soon(t)
	if _, err := db.Exec(ctx, "alter role postgres password 'second-password'"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := one(t, db); err != nil {
		t.Errorf("second password: %v", err)
	}
	if refreshes.Load() != 1 || warned.Load() != 2 {
		t.Errorf("%d refreshes and %d configurations, want 1 and 2", refreshes.Load(), warned.Load())
	}
}

func TestDB_DoesNotKnockAgainWithARefusedPassword(t *testing.T) {
	t.Parallel()
	s := testdb.StartServer(t, postgres.Options{Password: "right-password"})
	configured := atomic.Pointer[supabase.Options]{}
	set := func(pw string) {
		o := options(s.URL("postgres", postgres.Superuser, pw))
		configured.Store(&o)
	}
	set("wrong-password")
	db := supabase.Open(supabase.Watch(func(context.Context) (supabase.Options, error) { return *configured.Load(), nil }, nil))
	defer db.Close()
	now := atomic.Pointer[time.Time]{}
	start := time.Now()
	now.Store(&start)
	supabase.SetClock(db, func() time.Time { return *now.Load() })

	for range 5 {
		err := one(t, db)
		if !errors.Is(err, supabase.ErrPassword) || supabase.IsTransient(err) {
			t.Fatalf("wrong password: %v, want ErrPassword, not transient", err)
		}
		if strings.Contains(err.Error(), "wrong-password") {
			t.Errorf("the password is shown: %v", err)
		}
	}
	later := start.Add(time.Minute)
	now.Store(&later)
	if err := one(t, db); !errors.Is(err, supabase.ErrPassword) {
		t.Errorf("a minute later: %v, want ErrPassword", err)
	}
	// One for the five queries, one for the sixth.
	awaitRefusals(t, s, 2)
	// A changed configuration need not wait.
	set("right-password")
	if err := one(t, db); err != nil {
		t.Errorf("right password: %v", err)
	}
}

func TestDB_ChangesPoolsBehindQueriesUnderWay(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	name := atomic.Pointer[string]{}
	before, after := "before", "after"
	name.Store(&before)
	db := supabase.Open(supabase.Watch(func(context.Context) (supabase.Options, error) {
		o := options(td.Owner())
		o.AppName = *name.Load()
		return o, nil
	}, nil))
	defer db.Close()
	ctx := soon(t)

	rows, err := db.Query(ctx, "select current_setting('application_name') from generate_series(1, 3)")
	if err != nil {
		t.Fatal(err)
	}
	name.Store(&after)
	var got string
	if err := db.QueryRow(ctx, "select current_setting('application_name')").Scan(&got); err != nil || got != "clerksync/after" {
		t.Errorf("after the change: %q, %v, want clerksync/after", got, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if diff := cmp.Diff([]string{"clerksync/before", "clerksync/before", "clerksync/before"}, all); err != nil || diff != "" {
		t.Errorf("the query under way: %v (-want +got):\n%s", err, diff)
	}
	// The connection of the old pool goes once its query has ended.
	for {
		var n int
		err := db.QueryRow(ctx, "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'clerksync/before'").Scan(&n)
		if err != nil {
			t.Fatalf("waiting for the old connection to go: %v", err)
		}
		if n == 0 {
			break
		}
	}
}

func TestDB_SurvivesChangesUnderLoad(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	var generation atomic.Int32
	db := supabase.Open(supabase.Watch(func(context.Context) (supabase.Options, error) {
		o := options(td.Owner())
		o.AppName, o.MaxConns = fmt.Sprint(generation.Load()), 4
		return o, nil
	}, nil))
	defer db.Close()
	ctx := soon(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for i := range 40 {
				if i%8 == 0 {
					generation.Add(1)
				}
				if _, err := db.Exec(ctx, "select 1"); err != nil {
					t.Errorf("query during changes: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDB_PassesOnWhatTheSourceSays(t *testing.T) {
	t.Parallel()
	broken := errors.New("vault on fire")
	db := supabase.Open(supabase.Watch(func(context.Context) (supabase.Options, error) { return supabase.Options{}, broken }, nil))
	defer db.Close()
	if err := one(t, db); !errors.Is(err, broken) {
		t.Errorf("QueryRow = %v, want the source's error", err)
	}
	invalid := supabase.Open(supabase.Watch(func(context.Context) (supabase.Options, error) { return options("nonsense"), nil }, nil))
	defer invalid.Close()
	if err := one(t, invalid); err == nil || !strings.Contains(err.Error(), "DATABASE_URL") {
		t.Errorf("QueryRow = %v, want what Parse says", err)
	}
}

func TestDB_ExplainsAFullPooler(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	td := testdb.New(t, testdb.WithoutMigrations())
	p := testdb.NewPooler(t, td.Server(), pgbouncer.Options{MaxClientConn: 1})
	dsn := p.URL(td.Name(), postgres.Superuser, "")
	first, second := open(t, options(dsn)), open(t, options(dsn))
	if err := one(t, first); err != nil {
		t.Fatalf("first client: %v", err)
	}
	if err := one(t, second); !errors.Is(err, supabase.ErrPoolerFull) || !supabase.IsTransient(err) {
		t.Errorf("second client: %v, want ErrPoolerFull, transient", err)
	}
}

func TestDB_ExplainsAReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	db := open(t, options(td.Owner()))
	_, err := db.Exec(soon(t), "begin read only; create table t (n int)")
	if !errors.Is(err, supabase.ErrReadOnly) || !supabase.IsTransient(err) {
		t.Errorf("writing: %v, want ErrReadOnly, transient", err)
	}
	// The connection came back inside a transaction, so the pool must not hand it to the next.
	if _, err := db.Exec(soon(t), "create table t (n int)"); err != nil {
		t.Errorf("the next statement: %v", err)
	}
}

func TestSession_RunsScriptsAndKeepsItsSession(t *testing.T) {
	t.Parallel()
	td := testdb.New(t, testdb.WithoutMigrations())
	c, err := supabase.Parse(options(td.Owner()))
	if err != nil {
		t.Fatal(err)
	}
	cc, err := c.Session()
	if err != nil {
		t.Fatal(err)
	}
	ctx := soon(t)
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "create schema s; create table s.t (n int); insert into s.t select generate_series(1, 3); select pg_advisory_lock(7)"); err != nil {
		t.Fatalf("script: %v", err)
	}
	var n int
	var unlocked bool
	if err := conn.QueryRow(ctx, "select count(*), pg_advisory_unlock(7) from s.t").Scan(&n, &unlocked); err != nil || n != 3 || !unlocked {
		t.Errorf("%d rows, lock held: %t, %v; want 3 and the lock", n, unlocked, err)
	}
}

func withParam(t *testing.T, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}
