package testdb_test

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestNew_DatabasesAreApart(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	names := map[string]bool{}
	for i := range 12 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithoutMigrations())
			conn := db.Conn(t, db.Owner())
			// Fails in a database that another test has used.
			if _, err := conn.Exec(t.Context(), "create table mine (n int)"); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if names[db.Name()] {
				t.Errorf("database %s is used twice", db.Name())
			}
			names[db.Name()] = true
		})
	}
}

func TestNew_IsMigratedAsTheOwner(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"public", "clerk_mirror"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithSchema(schema))
			config, err := pgx.ParseConfig(db.Owner())
			if err != nil {
				t.Fatal(err)
			}
			if err := migrate.Verify(t.Context(), config, migrate.Options{Schema: schema}); err != nil {
				t.Errorf("Verify of a new database = %v", err)
			}
			conn := db.Conn(t, db.Owner())
			owner := value[string](t, conn, "select relowner::regrole::text from pg_class where oid = to_regclass($1)", schema+".users")
			if owner != postgres.Owner {
				t.Errorf("owner of %s.users = %s, want %s", schema, owner, postgres.Owner)
			}
		})
	}
}

func TestNew_RegimesShowInTheCatalogue(t *testing.T) {
	t.Parallel()
	for regime, want := range map[postgres.Regime][]string{
		postgres.Legacy:   {"S", "f", "r"},
		postgres.Explicit: {},
	} {
		db := testdb.New(t, testdb.WithRegime(regime), testdb.WithoutMigrations())
		conn := db.Conn(t, db.Owner())
		got := value[[]string](t, conn, `
			select coalesce(array_agg(defaclobjtype::text order by defaclobjtype::text collate "C"), '{}')
			from pg_default_acl
			where defaclnamespace = 'public'::regnamespace and defaclrole = $1::text::regrole`, postgres.Owner)
		if !slices.Equal(got, want) {
			t.Errorf("default privileges in public, %s = %v, want %v", regime, got, want)
		}
	}
}

func TestDB_ConnectsAsItsRoles(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	for name, test := range map[string]struct{ url, user, login string }{
		"superuser":     {db.Superuser(), "postgres", "postgres"},
		"owner":         {db.Owner(), postgres.Owner, postgres.Owner},
		"writer":        {db.Writer(), "clerksync_writer", "clerksync_writer"},
		"diagnostics":   {db.Diagnostics(), "clerksync_diagnostics", "clerksync_diagnostics"},
		"authenticator": {db.As("authenticator"), "authenticator", "authenticator"},
		"anon":          {db.As("anon"), "anon", "authenticator"}, // cannot log in
		"authenticated": {db.As("authenticated"), "authenticated", "authenticator"},
		"service_role":  {db.As("service_role"), "service_role", "authenticator"},
	} {
		conn := db.Conn(t, test.url)
		user, login := value[string](t, conn, "select current_user::text"), value[string](t, conn, "select session_user::text")
		if user != test.user || login != test.login {
			t.Errorf("%s: current_user = %s, session_user = %s; want %s, %s", name, user, login, test.user, test.login)
		}
		if got := value[string](t, conn, "select current_database()::text"); got != db.Name() {
			t.Errorf("%s: database = %s, want %s", name, got, db.Name())
		}
	}
}

func TestDB_PooledSharesBackends(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	db := testdb.New(t)
	url := db.Pooled(t, db.Writer())
	first, second := db.Conn(t, url), db.Conn(t, url)
	a, b := value[int](t, first, "select pg_backend_pid()"), value[int](t, second, "select pg_backend_pid()")
	if a != b {
		t.Errorf("two pooled clients have backends %d and %d, want one", a, b)
	}
	if got := value[string](t, first, "select current_user || ' in ' || current_database()"); got != "clerksync_writer in "+db.Name() {
		t.Errorf("pooled connection: %s, want clerksync_writer in %s", got, db.Name())
	}
}

func TestNewDatabase_IsMadeAnewAndMigrated(t *testing.T) {
	t.Parallel()
	server := testdb.StartServer(t, postgres.Options{InMemory: true})
	const name = "Measured here"
	url := server.URL(name, postgres.Owner, "")
	for _, round := range []string{"first", "second"} {
		testdb.NewDatabase(t, server, name)
		// Nobody closes this one before the database is dropped.
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if users := value[int](t, conn, "select count(*) from public.users"); users != 0 {
			t.Errorf("%s: %d users, want none", round, users)
		}
		if _, err := conn.Exec(t.Context(), `insert into public.users (clerk_id) values ('user_1')`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMajor_IsTheServers(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithoutMigrations())
	version := value[string](t, db.Conn(t, db.Owner()), "show server_version")
	if got := testdb.Major(t); !strings.HasPrefix(version, fmt.Sprint(got)) || got != db.Server().Major() {
		t.Errorf("Major = %d, Server().Major = %d; want that of %s", got, db.Server().Major(), version)
	}
}

// Its subtest has to end before it goes on.
func TestNew_DropsWhatATestHasUsed(t *testing.T) {
	witness := testdb.New(t, testdb.WithoutMigrations())
	conn := witness.Conn(t, witness.Superuser())
	var used string
	t.Run("passing", func(t *testing.T) {
		db := testdb.New(t, testdb.WithoutMigrations())
		used = db.Name()
		// Nobody closes this one before the database is dropped.
		if _, err := pgx.Connect(t.Context(), db.Owner()); err != nil {
			t.Fatal(err)
		}
		if !value[bool](t, conn, "select exists (select from pg_database where datname = $1)", used) {
			t.Errorf("database %s does not exist during its test", used)
		}
	})
	if value[bool](t, conn, "select exists (select from pg_database where datname = $1)", used) {
		t.Errorf("database %s exists after its test", used)
	}
}

// failVariable makes the next test play the one that fails.
const failVariable = "CLERKSYNC_TESTDB_TEST_FAILS"

func TestNew_NamesTheDatabaseOfAFailedTest(t *testing.T) {
	t.Parallel()
	if os.Getenv(failVariable) != "" {
		testdb.New(t, testdb.WithoutMigrations())
		t.FailNow()
	}
	testdb.Major(t) // skips where there is no server
	out, err := rerun(t, t.Name(), failVariable+"=yes")
	if want := "the test's database was testnew_namesthedatabaseofafailedtest_1 on PostgreSQL"; err == nil || !strings.Contains(out, want) {
		t.Errorf("a failing test said %v:\n%s\nwant %q", err, out, want)
	}
}

func TestNew_WithoutPostgresSkipsOrFailsInCI(t *testing.T) {
	t.Parallel()
	// A version that is neither installed nor to be fetched.
	const absent = "CLERKSYNC_TEST_POSTGRES=96"
	for _, test := range []struct {
		ci   string
		want string
		fail bool
	}{
		{"CI=", "--- SKIP", false},
		{"CI=true", "--- FAIL", true},
	} {
		out, err := rerun(t, "TestMajor_IsTheServers", absent, test.ci)
		if (err != nil) != test.fail || !strings.Contains(out, test.want) || !strings.Contains(out, "apt install postgresql") {
			t.Errorf("without a server, %s: %v\n%s\nwant %s and how to get one", test.ci, err, out, test.want)
		}
	}
}

func TestDB_PooledWithoutPgBouncerSkipsOrFailsInCI(t *testing.T) {
	t.Parallel()
	const absent = "PGBOUNCER=/nonexistent/pgbouncer"
	for _, test := range []struct {
		ci   string
		want string
		fail bool
	}{
		{"CI=", "--- SKIP", false},
		{"CI=true", "--- FAIL", true},
	} {
		// That no server is to be had is found out only by starting one.
		out, err := rerun(t, "TestDB_PooledSharesBackends", absent, test.ci, "CLERKSYNC_TEST_POSTGRES=96")
		if (err != nil) != test.fail || !strings.Contains(out, test.want) || !strings.Contains(out, "apt install pgbouncer") {
			t.Errorf("without PgBouncer, %s: %v\n%s\nwant %s and how to get it", test.ci, err, out, test.want)
		}
	}
}

func TestNew_RefusesAWrongVersion(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"newest", "9", "15.18"} {
		out, err := rerun(t, "TestMajor_IsTheServers", "CLERKSYNC_TEST_POSTGRES="+version)
		if err == nil || !strings.Contains(out, `CLERKSYNC_TEST_POSTGRES is "`+version+`"`) {
			t.Errorf("CLERKSYNC_TEST_POSTGRES=%s: %v\n%s\nwant a refusal", version, err, out)
		}
	}
}

// rerun runs one test of this binary with other variables.
func rerun(t *testing.T, test string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
