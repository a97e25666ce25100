package supabase_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/supabase"
)

func pgError(code, message string) error {
	return fmt.Errorf("running it: %w", &pgconn.PgError{Severity: "FATAL", Code: code, Message: message})
}

func TestExplain_NamesWhatServersAndPoolersReport(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		in        error
		want      error // nil: no known condition
		transient bool
	}{
		// Supavisor, with its codes.
		{"unknown tenant", pgError("XX000", "(ENOTFOUND) tenant/user postgres."+ref+" not found"), supabase.ErrTenantNotFound, false},
		{"unknown tenant, older text", pgError("XX000", "Tenant or user not found"), supabase.ErrTenantNotFound, false},
		{"no tenant named", pgError("XX000", "(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname required)"), supabase.ErrTenantNotFound, false},
		{"unknown role", pgError("XX000", "(EAUTHQUERY) user not found in the database"), supabase.ErrTenantNotFound, false},
		{"too many clients", pgError("XX000", "(EMAXCONN) max client connections reached, limit: 200"), supabase.ErrPoolerFull, true},
		{"too many clients, older text", pgError("XX000", "Max client connections reached"), supabase.ErrPoolerFull, true},
		{"too many sessions", pgError("XX000", "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15"), supabase.ErrSessionPoolFull, true},
		{"too many sessions, older text", pgError("XX000", "MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size"), supabase.ErrSessionPoolFull, true},
		{"nothing to check out", pgError("XX000", "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms in Transaction mode"), supabase.ErrPoolStarved, true},
		{"wrong password", pgError("28P01", `password authentication failed for user "postgres"`), supabase.ErrPassword, false},
		{"too many wrong passwords", pgError("XX000", "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily blocked"), supabase.ErrLoginBlocked, true},
		{"encryption enforced", pgError("XX000", "(ESSLREQUIRED) SSL connection is required for user: postgres"), supabase.ErrTLSRequired, false},
		{"address not allowed", pgError("XX000", "(EADDRNOTALLOWED) address not in tenant allow_list: {10, 0, 0, 1}"), supabase.ErrAddressRefused, false},
		{"banned", pgError("XX000", "(EBANNED) tenant is banned: abuse"), supabase.ErrLoginRefused, false},
		{"backend gone", pgError("08006", "(EDBHANDLEREXITED) connection to database closed. Check logs for more information"), supabase.ErrConnectionLost, true},
		{"slow login", pgError("08006", "(EAUTHTIMEOUT) timeout while waiting for message"), supabase.ErrConnectTimeout, true},
		{"prepared statement of another", pgError("42P05", "(EPREPAREDDUP) prepared statement already exists"), supabase.ErrPreparedStatement, false},
		{"code that is not known here", pgError("XX000", "(ESOMETHINGNEW) who knows"), supabase.ErrPooler, true},

		// PgBouncer.
		{"too many clients", pgError("08P01", "no more connections allowed (max_client_conn)"), supabase.ErrPoolerFull, true},
		{"waited for a server", pgError("08P01", "query_wait_timeout"), supabase.ErrPoolStarved, true},
		{"server down", pgError("08P01", "server login has been failing, cached error: connect failed (server_login_retry)"), supabase.ErrUnreachable, true},
		{"plain text refused", pgError("08P01", "SSL required"), supabase.ErrTLSRequired, false},
		{"setting refused", pgError("08P01", "unsupported startup parameter: statement_timeout"), supabase.ErrStartupParameter, false},
		{"no such database", pgError("3D000", "no such database: app"), supabase.ErrDatabaseUnknown, false},

		// Postgres.
		{"statement cache at a pooler", pgError("42P05", `prepared statement "stmtcache_1" already exists`), supabase.ErrPreparedStatement, false},
		{"statement lost at a pooler", pgError("26000", `prepared statement "stmtcache_1" does not exist`), supabase.ErrPreparedStatement, false},
		{"plain text refused by pg_hba.conf", pgError("28000", `no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", no encryption`), supabase.ErrTLSRequired, false},
		{"address refused by pg_hba.conf", pgError("28000", `no pg_hba.conf entry for host "10.0.0.1", user "u", database "d", SSL encryption`), supabase.ErrLoginRefused, false},
		{"role without login", pgError("28000", `role "anon" is not permitted to log in`), supabase.ErrLoginRefused, false},
		{"no slots", pgError("53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute"), supabase.ErrServerFull, true},
		{"disk full", pgError("53100", "could not extend file"), supabase.ErrServerFull, true},
		{"read-only", pgError("25006", "cannot execute INSERT in a read-only transaction"), supabase.ErrReadOnly, true},
		{"shutting down", pgError("57P01", "terminating connection due to administrator command"), supabase.ErrRestarting, true},
		{"crashed", pgError("57P02", "terminating connection because of crash of another server process"), supabase.ErrRestarting, true},
		{"starting", pgError("57P03", "the database system is starting up"), supabase.ErrRestarting, true},
		{"statement timeout", pgError("57014", "canceling statement due to statement timeout"), supabase.ErrTimeout, true},
		{"lock timeout", pgError("55P03", "canceling statement due to lock timeout"), supabase.ErrConflict, true},
		{"deadlock", pgError("40P01", "deadlock detected"), supabase.ErrConflict, true},
		{"serialization", pgError("40001", "could not serialize access due to concurrent update"), supabase.ErrConflict, true},
		{"connection exception", pgError("08003", "connection does not exist"), supabase.ErrConnectionLost, true},
		{"not migrated", pgError("3F000", `schema "clerk_sync" does not exist`), supabase.ErrNotMigrated, false},
		{"function missing", pgError("42883", "function clerk_sync.apply_event(text, jsonb) does not exist"), supabase.ErrNotMigrated, false},
		{"grant missing", pgError("42501", "permission denied for function apply_event"), supabase.ErrPermission, false},
		{"unknown database", pgError("3D000", `database "app" does not exist`), supabase.ErrDatabaseUnknown, false},

		// What says something about the work and nothing about the connection.
		{"constraint", pgError("23505", "duplicate key value violates unique constraint"), nil, false},
		{"bad value", pgError("22P02", "invalid input syntax for type json"), nil, false},
		{"syntax", pgError("42601", `syntax error at or near "selec"`), nil, false},
		{"something else", errors.New("boom"), nil, false},

		// The network.
		{"end of the connection", fmt.Errorf("reading: %w", io.ErrUnexpectedEOF), supabase.ErrConnectionLost, true},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, supabase.ErrConnectionLost, true},
		{"broken pipe", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, supabase.ErrConnectionLost, true},
		{"out of time", fmt.Errorf("waiting: %w", context.DeadlineExceeded), supabase.ErrTimeout, true},
		{"given up", fmt.Errorf("waiting: %w", context.Canceled), nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := supabase.Explain(tt.in)
			var condition *supabase.ConditionError
			if known := errors.As(got, &condition); known != (tt.want != nil) {
				t.Fatalf("Explain(%v) = %v, condition %v, want %v", tt.in, got, condition, tt.want)
			}
			if tt.want != nil && (!errors.Is(got, tt.want) || !strings.Contains(got.Error(), condition.Summary) || !strings.Contains(got.Error(), condition.Remedy)) {
				t.Errorf("Explain(%v) = %v, want %v with its remedy", tt.in, got, tt.want)
			}
			if !errors.Is(got, tt.in) {
				t.Errorf("Explain(%v) does not wrap it", tt.in)
			}
			for _, err := range []error{tt.in, got, fmt.Errorf("applying: %w", got)} {
				if supabase.IsTransient(err) != tt.transient {
					t.Errorf("IsTransient(%v) = %t, want %t", err, !tt.transient, tt.transient)
				}
			}
			if again := supabase.Explain(got); again.Error() != got.Error() {
				t.Errorf("explained twice: %v", again)
			}
		})
	}
}

func TestExplain_LeavesAlone(t *testing.T) {
	t.Parallel()
	if err := supabase.Explain(nil); err != nil {
		t.Errorf("Explain(nil) = %v", err)
	}
	if err := supabase.Explain(pgx.ErrNoRows); err != pgx.ErrNoRows { //nolint:errorlint // the very same
		t.Errorf("Explain(pgx.ErrNoRows) = %v", err)
	}
	if supabase.IsTransient(nil) || supabase.IsTransient(pgx.ErrNoRows) {
		t.Error("no error, or no rows, is called transient")
	}
}

// Postgres quotes the offending value in the message or beside it. A row of a user must not end up in a log.
func TestExplain_WithholdsData(t *testing.T) {
	t.Parallel()
	const email = "ada@example.com"
	for _, tt := range []struct {
		name string
		in   pgconn.PgError
		want string
	}{
		{
			"bad value",
			pgconn.PgError{Code: "22P02", Message: `invalid input syntax for type uuid: "` + email + `"`},
			"SQLSTATE 22P02",
		},
		{
			"constraint",
			pgconn.PgError{
				Code: "23505", Message: `duplicate key value violates unique constraint "users_pkey"`, Detail: "Key (email)=(" + email + ") already exists.",
				SchemaName: "public", TableName: "users", ConstraintName: "users_pkey",
			},
			"constraint users_pkey, table public.users",
		},
		{
			"raised by somebody's trigger",
			pgconn.PgError{Code: "P0001", Message: email + " is not welcome", Where: "PL/pgSQL function of " + email},
			"SQLSTATE P0001",
		},
		{
			"detail of a kept message",
			pgconn.PgError{Code: "42501", Message: "permission denied for table users", Detail: email, Hint: email, Where: email, InternalQuery: email},
			"permission denied for table users (SQLSTATE 42501)",
		},
	} {
		got := supabase.Explain(&tt.in).Error()
		if strings.Contains(got, email) || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q and no data", tt.name, got, tt.want)
		}
	}
}

// What pgx meets before the server speaks. The errors are the kernel's; pgx wraps them on its own ways.
func TestExplain_NamesWhyAConnectionCannotBeMade(t *testing.T) {
	t.Parallel()
	const projectHost = "db." + ref + ".supabase.co"
	refusing := func(no syscall.Errno) func(*pgx.ConnConfig) {
		return func(cc *pgx.ConnConfig) {
			cc.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"2001:db8::1", "2001:db8::2"}, nil }
			cc.DialFunc = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", no)}
			}
		}
	}
	resolving := func(err error) func(*pgx.ConnConfig) {
		return func(cc *pgx.ConnConfig) {
			cc.LookupFunc = func(context.Context, string) ([]string, error) { return nil, err }
		}
	}
	for _, tt := range []struct {
		name, host string
		set        func(*pgx.ConnConfig)
		want       error
		transient  bool
	}{
		{"refused", projectHost, refusing(syscall.ECONNREFUSED), supabase.ErrConnectionRefused, true},
		{"no IPv6 route to the project's host", projectHost, refusing(syscall.ENETUNREACH), supabase.ErrIPv6Only, false},
		{"no IPv6 route to a host behind it", projectHost, refusing(syscall.EHOSTUNREACH), supabase.ErrIPv6Only, false},
		{"no IPv6 address to leave from", projectHost, refusing(syscall.EADDRNOTAVAIL), supabase.ErrIPv6Only, false},
		{"no IPv6 at all", projectHost, refusing(syscall.EAFNOSUPPORT), supabase.ErrIPv6Only, false},
		{"no route elsewhere", "pg.example.com", refusing(syscall.ENETUNREACH), supabase.ErrUnreachable, true},
		{"no such name", projectHost, resolving(&net.DNSError{Err: "no such host", Name: projectHost, IsNotFound: true}), supabase.ErrHostUnknown, false},
		{"resolver down", projectHost, resolving(&net.DNSError{Err: "server misbehaving", Name: projectHost, IsTemporary: true}), supabase.ErrUnreachable, true},
		{"expired, or this machine's clock is off", projectHost, resolving(x509.CertificateInvalidError{Reason: x509.Expired}), supabase.ErrCertificateTime, false},
		{"not for servers", projectHost, resolving(&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}}), supabase.ErrCertificate, false},
		{"timed out", projectHost, refusing(syscall.ETIMEDOUT), supabase.ErrConnectTimeout, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cc, err := mustParse(t, "postgres://u:PW@"+tt.host+"/postgres").Session()
			if err != nil {
				t.Fatal(err)
			}
			tt.set(cc)
			_, err = pgx.ConnectConfig(t.Context(), cc)
			got := supabase.Explain(err)
			if !errors.Is(got, tt.want) || supabase.IsTransient(got) != tt.transient {
				t.Errorf("Explain(%v) = %v, want %v, transient: %t", err, got, tt.want, tt.transient)
			}
			if waits, ok := errors.AsType[interface {
				error
				MayPass() bool
			}](fmt.Errorf("wrapped: %w", got)); !ok || waits.MayPass() != tt.transient {
				t.Errorf("MayPass of %v: found %t, want %t", got, ok, tt.transient)
			}
			if strings.Contains(got.Error(), "\n") {
				t.Errorf("more than one line: %q", got)
			}
			checkHidden(t, fmt.Sprintf("%v %+v", got, got))
		})
	}
}
