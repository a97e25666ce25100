package supabase

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConditionError is a known state of the connection, the pooler or the server. The conditions are the ErrX variables
// of this package; find the one behind an error with errors.Is, or with errors.As where its code or remedy is wanted.
type ConditionError struct {
	// Code is stable: it may stand in metrics and be searched for.
	Code string
	// Summary says what is the matter, Remedy what to do about it.
	Summary, Remedy string
	// Transient conditions pass by themselves: the same call may succeed later.
	Transient bool
}

// Error returns the summary.
func (e *ConditionError) Error() string {
	return e.Summary
}

// The known conditions. Texts and codes of the poolers are those of Supavisor 2.9 and PgBouncer 1.18 to 1.25.
var (
	ErrTenantNotFound = &ConditionError{
		"tenant_not_found", "the pooler does not know this project or role",
		"compare host and user with the project's Connect dialog: the host's number (aws-0, aws-1, …) and region, and the user <role>.<project ref>; a paused project, and for a quarter of an hour one that was just restored, answers the same",
		false,
	}
	ErrPassword = &ConditionError{
		"password_refused", "password refused",
		"correct the password in the connection string, percent-encoded; it is not tried again at once, since Supabase blocks an address after repeated failures",
		false,
	}
	ErrLoginBlocked = &ConditionError{
		"login_blocked", "the pooler blocks logins after too many failures",
		"correct the password wherever it is used, then wait two minutes: each further attempt prolongs the block",
		true,
	}
	ErrLoginRefused = &ConditionError{
		"login_refused", "the server does not let this role in",
		"check that the role exists, has LOGIN and may connect to this database and from this address",
		false,
	}
	ErrAddressRefused = &ConditionError{
		"address_refused", "the project's network restrictions exclude this address",
		"allow the address in the project's database settings, or leave from one that is allowed, as through a NAT gateway",
		false,
	}
	ErrPoolerFull = &ConditionError{
		"pooler_full", "the pooler has its maximum of clients",
		"bound the functions by their reserved concurrency or lower it, close other clients, or use a larger compute size",
		true,
	}
	ErrSessionPoolFull = &ConditionError{
		"session_pool_full", "the pooler's session mode has no connection left",
		"use the transaction pooler's port 6543 in the connection string",
		true,
	}
	ErrPoolStarved = &ConditionError{
		"pool_starved", "no server connection became free in the pooler",
		"look for long transactions in pg_stat_activity, or enlarge the pool in the project's database settings",
		true,
	}
	ErrPooler = &ConditionError{
		"pooler_error", "the pooler reports an error of its own",
		"try again; if it stays, look up the code in Supabase's documentation",
		true,
	}
	ErrServerFull = &ConditionError{
		"server_full", "Postgres is out of connections or memory",
		"close other clients, lower the pool sizes, or use a larger compute size",
		true,
	}
	ErrTLSRequired = &ConditionError{
		"tls_required", "the server wants an encrypted connection",
		"use sslmode=verify-full with DATABASE_CA_CERT",
		false,
	}
	ErrTLSNotOffered = &ConditionError{
		"tls_not_offered", "the server does not offer encryption",
		"check host and port; a local server without TLS takes sslmode=disable",
		false,
	}
	ErrCertificate = &ConditionError{
		"certificate_refused", "the server's certificate does not verify",
		"set DATABASE_CA_CERT to the certificate from the project's database settings, and check that the connection string has the host name and not an address",
		false,
	}
	ErrCertificateTime = &ConditionError{
		"certificate_time", "a certificate is not valid at this machine's time",
		"check this machine's clock first; if it is right, the server's certificate or DATABASE_CA_CERT has expired: take the current one from the project's database settings",
		false,
	}
	ErrHostUnknown = &ConditionError{
		"host_unknown", "the host name does not resolve",
		"check it for typing errors; the names of deleted and long paused projects disappear",
		false,
	}
	ErrIPv6Only = &ConditionError{
		"ipv6_only", "the host is not reachable from this network",
		"put the shared pooler's string into DATABASE_URL (Connect dialog of the project, transaction pooler, port 6543), or give the project the IPv4 add-on or this program a network with IPv6; db.<ref>.supabase.co itself has an IPv6 address only",
		false,
	}
	ErrUnreachable = &ConditionError{
		"unreachable", "the host is not reachable",
		"check the function's subnet, routes and security group, and whether the server is up",
		true,
	}
	ErrConnectionRefused = &ConditionError{
		"connection_refused", "nothing listens at this host and port",
		"check both, and whether the server is up; db.<ref>.supabase.co refuses an address for half an hour after two wrong passwords",
		true,
	}
	ErrConnectTimeout = &ConditionError{
		"connect_timeout", "the server did not let us in within the limit",
		"check host, port and the function's route to the internet; a busy pooler answers late too",
		true,
	}
	ErrConnectionLost = &ConditionError{
		"connection_lost", "the connection broke",
		"try again: servers and poolers close connections when they restart or are idle",
		true,
	}
	ErrRestarting = &ConditionError{
		"restarting", "the server is shutting down or starting",
		"try again in a moment",
		true,
	}
	ErrReadOnly = &ConditionError{
		"read_only", "the database takes no writes",
		"look at the project's disk (full disks are switched to read-only) and check that the connection string is no replica's",
		true,
	}
	ErrTimeout = &ConditionError{
		"timeout", "a statement or a request ran out of time",
		"look for locks and slow statements in pg_stat_activity",
		true,
	}
	ErrConflict = &ConditionError{
		"conflict", "the transaction collided with another one",
		"try again",
		true,
	}
	ErrPreparedStatement = &ConditionError{
		"prepared_statement", "a prepared statement met a transaction pooler",
		"leave default_query_exec_mode out of the connection string, or set it to exec",
		false,
	}
	ErrStartupParameter = &ConditionError{
		"startup_parameter", "the pooler refuses a setting of the connection",
		"remove the parameter from the connection string",
		false,
	}
	ErrDatabaseUnknown = &ConditionError{
		"database_unknown", "there is no such database",
		"check the end of the connection string; on Supabase it is /postgres",
		false,
	}
	ErrNotMigrated = &ConditionError{
		"not_migrated", "a schema, table or function is missing",
		"run clerksync migrate against this database, with this version of clerksync",
		false,
	}
	ErrPermission = &ConditionError{
		"permission_denied", "the role may not do this",
		"connect as the role that clerksync migrate made for it, and run clerksync migrate again if grants were changed",
		false,
	}
)

// conditionOf finds the condition behind an error, or nil.
func conditionOf(err error) *ConditionError {
	var known *ConditionError
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &pg):
		return serverCondition(pg)
	case errors.As(err, &connect):
		return connectCondition(err, connect.Config.Host)
	default:
		return connectionCondition(err)
	}
}

// serverCondition knows what Postgres and the poolers report. The poolers' own errors come first: they share SQLSTATEs
// that say little, XX000 and 08P01.
func serverCondition(pg *pgconn.PgError) *ConditionError {
	if c := poolerCondition(pg.Message); c != nil {
		return c
	}
	switch pg.Code {
	case "28P01":
		return ErrPassword
	case "28000":
		if strings.Contains(pg.Message, "no encryption") || strings.Contains(pg.Message, "SSL off") {
			return ErrTLSRequired
		}
		return ErrLoginRefused
	case "3D000":
		return ErrDatabaseUnknown
	case "3F000", "42P01", "42883":
		return ErrNotMigrated
	case "42501":
		return ErrPermission
	case "42P05", "26000":
		return ErrPreparedStatement
	case "25006":
		return ErrReadOnly
	case "57P01", "57P02", "57P03":
		return ErrRestarting
	case "57014", "25P03", "57P05":
		return ErrTimeout
	case "40001", "40P01", "55P03":
		return ErrConflict
	}
	if len(pg.Code) == 5 {
		switch pg.Code[:2] {
		case "53":
			return ErrServerFull
		case "08":
			return ErrConnectionLost
		}
	}
	return nil
}

// poolerTexts are parts of messages, most telling first. Supavisor puts a code in parentheses before its text; its
// older texts and PgBouncer's have none.
var poolerTexts = []struct {
	text      string
	condition *ConditionError
}{
	{"(ENOTFOUND)", ErrTenantNotFound},
	{"(ENOIDENTIFIER)", ErrTenantNotFound},
	{"Tenant or user not found", ErrTenantNotFound},
	{"(EAUTHQUERY) user not found", ErrTenantNotFound},
	{"(EMAXCONNSESSION)", ErrSessionPoolFull},
	{"(EMAXCLIENTSESSION)", ErrSessionPoolFull},
	{"MaxClientsInSessionMode", ErrSessionPoolFull},
	{"max clients reached in session mode", ErrSessionPoolFull},
	{"(EMAXCONN)", ErrPoolerFull},
	{"(EMAXPROXYCONN)", ErrPoolerFull},
	{"Max client connections reached", ErrPoolerFull},
	{"no more connections allowed", ErrPoolerFull},
	{"(ECHECKOUTTIMEOUT)", ErrPoolStarved},
	{"unable to check out connection", ErrPoolStarved},
	{"query_wait_timeout", ErrPoolStarved},
	{"(EWRONGPASSWORD)", ErrPassword},
	{"(ECIRCUITBREAKER)", ErrLoginBlocked},
	{"(ESSLREQUIRED)", ErrTLSRequired},
	{"SSL required", ErrTLSRequired},
	{"(EADDRNOTALLOWED)", ErrAddressRefused},
	{"(EBANNED)", ErrLoginRefused},
	{"(EPREPARED", ErrPreparedStatement},
	{"(EMAXPREPARED", ErrPreparedStatement},
	{"(EPSSIMPLEQUERY)", ErrPreparedStatement},
	{"unsupported startup parameter", ErrStartupParameter},
	{"(EDBHANDLEREXITED)", ErrConnectionLost},
	{"(EPOOLTERMINATING)", ErrConnectionLost},
	{"(EAUTHTIMEOUT)", ErrConnectTimeout},
	{"no such database", ErrDatabaseUnknown},
	{"server login has been failing", ErrUnreachable},
	{"pgbouncer cannot connect to server", ErrUnreachable},
	{"cannot connect to server", ErrUnreachable},
	{"(E", ErrPooler},
}

func poolerCondition(message string) *ConditionError {
	for _, p := range poolerTexts {
		if strings.Contains(message, p.text) && (p.condition != ErrPooler || strings.HasPrefix(message, p.text)) {
			return p.condition
		}
	}
	return nil
}

// connectCondition knows what fails before the server has said anything.
func connectCondition(err error, host string) *ConditionError {
	var certificate *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var unknownCA x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	var noTLS tls.RecordHeaderError
	var dns *net.DNSError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ErrCertificateTime
	case errors.As(err, &certificate), errors.As(err, &unknownCA), errors.As(err, &wrongName):
		return ErrCertificate
	// pgx has this error without a name or a type.
	case errors.As(err, &noTLS), strings.Contains(err.Error(), "server refused TLS connection"):
		return ErrTLSNotOffered
	case errors.As(err, &dns) && dns.IsNotFound:
		return ErrHostUnknown
	case errors.As(err, &dns):
		return ErrUnreachable
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return ErrConnectionRefused
	case noRoute(err):
		if kindOf(host) == projectHost {
			return ErrIPv6Only
		}
		return ErrUnreachable
	case timedOut(err):
		return ErrConnectTimeout
	default:
		return connectionCondition(err)
	}
}

// connectionCondition knows how a connection that stood breaks.
func connectionCondition(err error) *ConditionError {
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case timedOut(err):
		return ErrTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, pgconn.ErrConnClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.As(err, &op):
		return ErrConnectionLost
	default:
		return nil
	}
}

func timedOut(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err) || errors.As(err, &netErr) && netErr.Timeout()
}
