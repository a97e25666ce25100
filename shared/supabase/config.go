// Package supabase connects to a Supabase project's Postgres, through its poolers or directly, and says in plain
// words why it cannot.
//
//	db := supabase.Open(func(ctx context.Context) (*supabase.Config, error) {
//		return supabase.Parse(supabase.Options{URL: url, CACert: ca, AppName: "webhook-ingest"})
//	})
//	defer db.Close()
//	err := db.QueryRow(ctx, "select 1").Scan(&one)
//
// [Parse] checks a connection string and turns it into a [Config]: which pooler it leads to, how the connection is
// encrypted, and which of pgx's ways to run a query is safe there. [Open] makes a [DB] that connects when it is first
// used and follows a configuration that changes. [Config.Session] gives the connection that migrations need. [Explain]
// names the known errors of Postgres, Supavisor and PgBouncer, and [IsTransient] tells which of them pass.
//
// [Management] asks Supabase's Management API, which is HTTP and has nothing to do with the database, whose tokens a
// project trusts.
//
// # Behind a transaction pooler
//
// Each statement, or each transaction, may run on another server connection. So nothing may be left in the session: no
// SET, no prepared statements, no temporary tables, no session advisory locks, no LISTEN. Settings belong into the
// transaction, as set_config(name, value, true).
//
// Queries therefore run in pgx's mode "exec": one round trip with an unnamed statement, its parameters sent as text
// for the server to infer their types. It prepares nothing and caches nothing, so that neither another client of the
// pooler nor a migration can get in its way, and it is as fast as the modes that cache. It is used without a pooler
// too: one behaviour to know and to test. Pass jsonb as json.RawMessage or string, and never as []byte, which arrives as
// bytea.
//
// Errors and warnings name hosts, users and databases, never a password.
package supabase

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"clerksync/shared/netaddr"
	"clerksync/shared/secret"
)

// Options is what a connection is made from. Two Options compare equal with == when they lead to the same Config.
type Options struct {
	// URL is the connection string, postgresql://user:password@host:port/database.
	URL secret.Value
	// CACert is PEM text of the certificate authorities to trust. Supabase's own is not among a system's.
	CACert string
	// ProjectRef, if set, must be the project that URL leads to.
	ProjectRef string
	// MaxConns is the size of the pool. 0 means 1, which is what a Lambda function can use.
	MaxConns int32
	// Setting is the name of the setting that holds URL, for errors and warnings. Empty: DATABASE_URL.
	Setting string
	// Function says that instances of a function connect, as many as there are requests: what holds for one program and
	// breaks for them is an error then, and no warning.
	Function bool
	// AppName is the part of the program that connects. Postgres shows it as application_name "clerksync/<AppName>",
	// except behind Supabase's shared transaction pooler, which shows itself.
	AppName string
}

// Pooler is what stands between the program and Postgres.
type Pooler int

// The kinds of pooler.
const (
	// Unknown may be a server or a pooler: everything is done as a transaction pooler needs it.
	Unknown Pooler = iota
	// Direct is Postgres itself.
	Direct
	// Session is a pooler that gives each client a server connection of its own.
	Session
	// Transaction is a pooler that lends a server connection for one transaction at a time.
	Transaction
)

// String returns the kind in lower case.
func (p Pooler) String() string {
	switch p {
	case Direct:
		return "direct"
	case Session:
		return "session pooler"
	case Transaction:
		return "transaction pooler"
	case Unknown:
		return "unknown"
	default:
		return "Pooler(" + strconv.Itoa(int(p)) + ")"
	}
}

// Encryption is how far the connection is protected.
type Encryption string

// The degrees of encryption.
const (
	// Plain is not encrypted. It is possible to the own machine only.
	Plain Encryption = "plain"
	// Unverified is encrypted, but the server may be anyone.
	Unverified Encryption = "encrypted, server not verified"
	// Verified is encrypted, and the server's certificate is checked for its host name.
	Verified Encryption = "encrypted and verified"
)

// Config is a checked connection string. It is made by [Parse] and not changed afterwards.
type Config struct {
	Pooler     Pooler
	Mode       pgx.QueryExecMode
	Host       string // or the directory of a Unix socket
	Port       uint16
	User       string
	Database   string
	ProjectRef string // as far as the string names it
	Encryption Encryption
	// Warnings are what works but should be otherwise, one sentence each.
	Warnings []string

	options Options
	kind    hostKind
	network network
	pool    *pgxpool.Config
}

// Limits, each of which its error names.
const (
	connectLimit        = 5 * time.Second  // to one address: TCP, TLS and login
	sessionConnectLimit = 10 * time.Second // the same for migrations, where a person waits and no request does
	pingLimit           = time.Second      // to find out whether a connection that was idle is still there
	lookupLimit         = 3 * time.Second  // to resolve the host name
)

// Life of pooled connections. A Lambda sandbox is frozen between requests, and poolers hang up meanwhile: connections
// are kept for a burst of requests, not longer.
const (
	maxIdleTime = 45 * time.Second
	maxLifetime = 10 * time.Minute
	pingAfter   = time.Second
)

// Parse checks a connection string and reports every problem at once. It reads nothing but its argument: the PG…
// variables of the environment, password files and service files, which libpq and pgx would consult, have no say.
func Parse(o Options) (*Config, error) {
	c, err := parse(o)
	if err != nil {
		return nil, o.name(err)
	}
	return c, nil
}

// usualSetting is what every problem calls the setting that holds the connection string.
const usualSetting = "DATABASE_URL"

// name writes the setting's own name into a problem's text.
func (o Options) name(err error) error {
	if o.Setting == "" || o.Setting == usualSetting {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), usualSetting, o.Setting))
}

func parse(o Options) (*Config, error) {
	dsn, err := splitURL(strings.TrimSpace(o.URL.Reveal()))
	if err != nil {
		return nil, err
	}
	c := &Config{
		Host: dsn.host, Port: dsn.port, User: dsn.user, Database: dsn.database,
		options: o, kind: kindOf(dsn.host), network: network{lookup: lookupHost, route: route},
	}
	if c.Port == 0 {
		c.Port = 5432
	}
	if c.Database == "" {
		c.Database = "postgres"
	}

	p, err := readParams(dsn.params)
	problems := []error{err, c.checkHost(), c.checkUser(dsn), c.checkProject()}
	c.Pooler = c.detectPooler(p.pgbouncer)
	c.Mode, err = c.execMode(p.execMode)
	problems = append(problems, err, c.checkPooler())
	tlsConfig, err := c.encryption(p, o.CACert)
	problems = append(problems, err)
	if o.MaxConns < 0 {
		problems = append(problems, errors.New("MaxConns is negative"))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	c.warnAbout(p)
	if c.pool, err = c.poolConfig(dsn.password, p.channelBinding, tlsConfig); err != nil {
		return nil, err
	}
	return c, nil
}

// String describes the connection without its password.
func (c *Config) String() string {
	return fmt.Sprintf("%s (%s, %s)", c.address(), c.Pooler, c.Encryption)
}

// LogValue logs what String returns.
func (c *Config) LogValue() slog.Value {
	return slog.StringValue(c.String())
}

func (c *Config) address() string {
	host := net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port)))
	if c.kind == socket {
		host = c.Host
	}
	return fmt.Sprintf("%s@%s/%s", c.User, host, c.Database)
}

// problem writes what is wrong with the connection string.
func problem(format string, args ...any) error {
	return fmt.Errorf(usualSetting+": %s", fmt.Sprintf(format, args...))
}

func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, cmp.Or(c.options.Setting, usualSetting)+": "+fmt.Sprintf(format, args...))
}

// hostKind is whose host it is.
type hostKind int

const (
	other        hostKind = iota
	sharedPooler          // aws-<n>-<region>.pooler.supabase.com: Supavisor, for every project
	projectHost           // db.<ref>.supabase.co: Postgres, and PgBouncer on 6543
	ownMachine            // loopback
	socket                // a Unix socket's directory
)

const (
	poolerSuffix  = ".pooler.supabase.com"
	projectPrefix = "db."
	projectSuffix = ".supabase.co"
)

// Ports of Supabase's hosts.
const (
	sessionPort     = 5432
	transactionPort = 6543
)

func kindOf(host string) hostKind {
	h := strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case strings.HasPrefix(h, "/"):
		return socket
	case strings.HasSuffix(h, poolerSuffix):
		return sharedPooler
	case strings.HasPrefix(h, projectPrefix) && strings.HasSuffix(h, projectSuffix) && strings.Count(h, ".") == 3:
		return projectHost
	// Docker's name for the machine the container runs on: where `sam local` reaches a local database.
	case netaddr.IsLoopback(h), h == "host.docker.internal":
		return ownMachine
	default:
		return other
	}
}

func (c *Config) checkHost() error {
	h := strings.ToLower(c.Host)
	switch {
	case h == "":
		return problem("names no host")
	case strings.HasSuffix(h, ".pooler.supabase.co"):
		return problem("the shared pooler's host ends in .pooler.supabase.com, not .co")
	case c.kind == other && strings.HasSuffix(h, projectSuffix) && strings.Count(h, ".") == 2:
		return problem("%s is the project's API host, which serves no Postgres: copy the connection string from the project's Connect dialog", c.Host)
	case (c.kind == sharedPooler || c.kind == projectHost) && c.Port != sessionPort && c.Port != transactionPort:
		return problem("%s serves ports %d (transaction pooler) and %d only, not %d", c.Host, transactionPort, sessionPort, c.Port)
	default:
		return nil
	}
}

func (c *Config) checkUser(dsn dsn) error {
	if dsn.user == "" {
		return problem("names no user")
	}
	var problems []error
	role, ref, suffixed := cutLast(dsn.user, ".")
	hostRef := c.hostRef()
	switch {
	case c.kind == sharedPooler && (!suffixed || role == "" || ref == ""):
		want := c.options.ProjectRef
		if want == "" {
			want = "<project ref>"
		}
		problems = append(problems, problem("the shared pooler tells projects apart by the user's name: write %s.%s in place of %s",
			strings.TrimSuffix(dsn.user, "."), want, dsn.user))
	case c.kind == projectHost && suffixed && ref == hostRef:
		problems = append(problems, problem("the user's suffix .%s belongs to the shared pooler only: write %s for %s", ref, role, c.Host))
	}

	lower := strings.ToLower(dsn.password)
	switch {
	case dsn.password == "" && (c.kind == sharedPooler || c.kind == projectHost):
		problems = append(problems, problem("has no password: it belongs between the user and the @, as in user:password@host"))
	case strings.Contains(lower, "your-password"), strings.Contains(lower, "your_password"):
		problems = append(problems, problem("still has the placeholder in the password's place"))
	case strings.HasPrefix(dsn.password, "[") && strings.HasSuffix(dsn.password, "]"), strings.HasPrefix(dsn.password, "<") && strings.HasSuffix(dsn.password, ">"):
		problems = append(problems, problem("the password stands in the brackets of the placeholder: remove them, or percent-encode them if they are meant"))
	}
	return errors.Join(problems...)
}

// hostRef is the project that the host's name holds.
func (c *Config) hostRef() string {
	if c.kind != projectHost {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(strings.TrimSuffix(c.Host, ".")), projectPrefix), projectSuffix)
}

func (c *Config) checkProject() error {
	switch c.kind {
	case projectHost:
		c.ProjectRef = c.hostRef()
	case sharedPooler:
		_, c.ProjectRef, _ = cutLast(c.User, ".")
	default:
		return nil
	}
	if want := c.options.ProjectRef; want != "" && c.ProjectRef != "" && want != c.ProjectRef {
		return problem("leads to project %s, but SUPABASE_PROJECT_REF is %s: correct the one that is wrong", c.ProjectRef, want)
	}
	return nil
}

func (c *Config) detectPooler(pgbouncer bool) Pooler {
	switch {
	case c.kind == sharedPooler && c.Port == sessionPort:
		return Session
	case c.kind == projectHost && c.Port == sessionPort:
		return Direct
	case c.Port == transactionPort, pgbouncer:
		return Transaction
	default:
		return Unknown
	}
}

// checkPooler refuses what a function finds out about only under load. Session mode has as many places as the pool has
// server connections, 15 unless somebody changed it; whoever comes later is turned away (EMAXCONNSESSION).
func (c *Config) checkPooler() error {
	if c.options.Function && c.Pooler == Session {
		return problem("port %d of the shared pooler is session mode, where every running instance of a function holds one of about 15 server connections and the next is turned away: write port %d, the transaction pooler's",
			sessionPort, transactionPort)
	}
	return nil
}

// execMode decides how queries run. Named statements are where poolers fail: in cache_statement those that one client
// left behind collide with another's, and in describe_exec an answer may belong to another client's statement, without
// any error.
func (c *Config) execMode(asked string) (pgx.QueryExecMode, error) {
	switch asked {
	case "", "exec":
		return pgx.QueryExecModeExec, nil
	case "cache_describe":
		return pgx.QueryExecModeCacheDescribe, nil
	case "simple_protocol":
		return pgx.QueryExecModeSimpleProtocol, nil
	case "describe_exec":
		return 0, problem("default_query_exec_mode=describe_exec reads other clients' answers behind a transaction pooler: leave it out, or use exec")
	case "cache_statement":
		if c.Pooler == Direct || c.Pooler == Session {
			return pgx.QueryExecModeCacheStatement, nil
		}
		// PgBouncer can be set up to allow it (1.21, max_prepared_statements), but that cannot be seen from here, and
		// Supabase's poolers are not.
		return 0, problem("default_query_exec_mode=cache_statement needs prepared statements, which a transaction pooler loses: leave it out, or use exec")
	default:
		return 0, problem("default_query_exec_mode has an unknown value: leave it out, or use exec, cache_describe or simple_protocol")
	}
}

func (c *Config) warnAbout(p params) {
	if c.Pooler == Session {
		c.warn("port %d of the shared pooler is session mode, where every connection holds one of few server connections: functions belong on port %d", sessionPort, transactionPort)
	}
	if c.kind == projectHost {
		c.warn("%s is reachable over IPv6 only, unless the project has the IPv4 add-on: from an IPv4 network, as Lambda's is by default, use the shared pooler", c.Host)
	}
	if c.Pooler == Direct && c.options.Function {
		c.warn("port %d of %s is Postgres itself, where every running instance holds up to %d of the server's connections, busy or not (60 in all on the smallest compute sizes): keep the function's reserved concurrency well below that, or use a transaction pooler's port %d",
			sessionPort, c.Host, max(c.options.MaxConns, 1), transactionPort)
	}
	if len(p.dropped) > 0 {
		c.warn("not used, and left out: %s", strings.Join(p.dropped, ", "))
	}
	if len(p.session) > 0 {
		c.warn("left out, since a pooler refuses, ignores or shares session settings, and clerksync sets its own in each transaction: %s", strings.Join(p.session, ", "))
	}
}

var appNameJunk = regexp.MustCompile(`[^A-Za-z0-9._/-]`)

func (c *Config) appName() string {
	if c.options.AppName == "" {
		return "clerksync"
	}
	return "clerksync/" + appNameJunk.ReplaceAllString(c.options.AppName, "_")
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
