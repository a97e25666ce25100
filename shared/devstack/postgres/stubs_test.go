package postgres_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
)

// project is a database with the stubs, and a connection of its owner.
func project(t *testing.T, server *postgres.Server, name string, regime postgres.Regime) *pgx.Conn {
	t.Helper()
	mustExec(t, connect(t, server.URL("postgres", postgres.Superuser, "")), "create database "+name)
	super := connect(t, server.URL(name, postgres.Superuser, ""))
	for range 2 { // it can be repeated
		if err := postgres.Stubs(t.Context(), super, regime); err != nil {
			t.Fatalf("Stubs(%s) = %v", regime, err)
		}
	}
	return connect(t, server.URL(name, postgres.Owner, ""))
}

func refused(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && pgErr.Code == "42501"
}

func TestStubs_RegimesDifferInWhatIsGrantedByItself(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		server := startCopy(t, postgres.Options{Install: install})
		type privileges struct{ Table, Sequence, Function bool }
		for regime, want := range map[postgres.Regime]map[string]privileges{
			postgres.Legacy: {
				"anon":          {true, true, true},
				"authenticated": {true, true, true},
				"service_role":  {true, true, true},
				"bystander":     {false, false, true}, // PUBLIC may execute
			},
			postgres.Explicit: {
				"anon":          {},
				"authenticated": {},
				"service_role":  {},
				"bystander":     {},
			},
		} {
			owner := project(t, server, regime.String(), regime)
			mustExec(t, owner, "create table t (id serial)")
			mustExec(t, owner, "create function f() returns int language sql return 1")
			mustExec(t, owner, "do $$ begin create role bystander; exception when duplicate_object then null; end $$")

			got := map[string]privileges{}
			for role := range want {
				got[role] = privileges{
					Table:    value[bool](t, owner, "select has_table_privilege($1, 't', 'select, insert, update, delete')", role),
					Sequence: value[bool](t, owner, "select has_sequence_privilege($1, 't_id_seq', 'usage')", role),
					Function: value[bool](t, owner, "select has_function_privilege($1, 'f()', 'execute')", role),
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("privileges on new objects, %s (-want +got):\n%s", regime, diff)
			}
			inPublic := value[int](t, owner, "select count(*) from pg_default_acl where defaclnamespace = 'public'::regnamespace and defaclobjtype in ('r', 'S', 'f')")
			if want := map[postgres.Regime]int{postgres.Legacy: 3, postgres.Explicit: 0}[regime]; inPublic != want {
				t.Errorf("kinds of object with default privileges in public, %s = %d, want %d", regime, inPublic, want)
			}
		}
	})
}

func TestStubs_OwnerMayDoWhatSupabaseLetsItDo(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		server := startCopy(t, postgres.Options{Install: install})
		owner := project(t, server, "app", postgres.Explicit)
		for _, sql := range []string{
			"create schema private",
			"create table public.t (id int)",
			"create role app_writer login",
			"create role app_checker login bypassrls",
			"grant authenticated to app_writer",
			"set role authenticated",
			"reset role",
			"select auth.jwt()",
		} {
			// 15 leaves BYPASSRLS to superusers.
			if install.Major == 15 && sql == "create role app_checker login bypassrls" {
				continue
			}
			mustExec(t, owner, sql)
		}
		for _, sql := range []string{
			"create function auth.mine() returns int language sql return 1",
			"create table auth.mine (id int)",
			"create or replace function auth.uid() returns uuid language sql return null",
			"alter role postgres password 'x'",
			"create role boss superuser",
			"copy public.t from program 'true'",
		} {
			if _, err := owner.Exec(t.Context(), sql); !refused(err) {
				t.Errorf("%s as the owner = %v, want 42501", sql, err)
			}
		}
		if value[bool](t, owner, "select rolsuper from pg_roles where rolname = current_user") {
			t.Error("the owner is a superuser")
		}
	})
}

func TestStubs_HelpersReadTheClaims(t *testing.T) {
	t.Parallel()
	server := startCopy(t, postgres.Options{})
	owner := project(t, server, "app", postgres.Explicit)
	conn := connect(t, server.URL("app", "authenticator", ""))
	const uuid = "7b7a1c3e-0d0e-4a4e-9a57-3d9f2a9a1b11"

	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	claims := fmt.Sprintf(`{"sub":%q,"role":"authenticated","email":"jane@example.com"}`, uuid)
	if _, err := tx.Exec(t.Context(), "select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)", claims); err != nil {
		t.Fatal(err)
	}
	for expression, want := range map[string]string{
		"auth.uid()::text":      uuid,
		"auth.role()":           "authenticated",
		"auth.email()":          "jane@example.com",
		"auth.jwt() ->> 'role'": "authenticated",
		"current_user::text":    "authenticated",
	} {
		if got := value[string](t, conn, "select "+expression); got != want {
			t.Errorf("%s = %q, want %q", expression, got, want)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The setting now reads as an empty string, which must not count as claims.
	if got := value[*string](t, conn, "select auth.uid()::text"); got != nil {
		t.Errorf("auth.uid() after the transaction = %q, want null", *got)
	}
	// Clerk's ids are no UUIDs.
	_, err = owner.Exec(t.Context(), `select set_config('request.jwt.claims', '{"sub":"user_2abc"}', false); select auth.uid()`, pgx.QueryExecModeSimpleProtocol)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "22P02" {
		t.Errorf("auth.uid() of user_2abc = %v, want 22P02", err)
	}
}

func TestStubs_ForManyDatabasesAtOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, install postgres.Install) {
		server := startCopy(t, postgres.Options{Install: install})
		admin := connect(t, server.URL("postgres", postgres.Superuser, ""))
		results := make(chan error)
		const databases = 6
		for i := range databases {
			name := fmt.Sprintf("app_%d", i)
			mustExec(t, admin, "create database "+name)
			conn := connect(t, server.URL(name, postgres.Superuser, ""))
			go func() { results <- postgres.Stubs(t.Context(), conn, postgres.Regime(i%2)) }()
		}
		for range databases {
			if err := <-results; err != nil {
				t.Errorf("Stubs beside others = %v", err)
			}
		}
	})
}
