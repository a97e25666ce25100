package supabase

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNoSession is returned by [Config.Session] for a connection string from which the way around its transaction
// pooler cannot be told.
var ErrNoSession = errors.New("migrations need a session of their own, which this connection string does not give")

// Session returns the configuration of a connection that keeps its session, for migrations and everything else that a
// transaction pooler breaks: port 5432 of the same host in place of 6543. On the shared pooler that is session mode. On
// db.<ref>.supabase.co it is Postgres itself, reachable over IPv6 only unless the project has the IPv4 add-on. Strings
// that lead to a session already, or to an unknown server, serve as they are.
//
// Scripts of several statements run as they are in Exec without arguments. Connecting is limited to ten seconds.
func (c *Config) Session() (*pgx.ConnConfig, error) {
	cc := c.Connection()
	if c.Pooler != Transaction {
		return cc, nil
	}
	if c.kind != sharedPooler && c.kind != projectHost {
		return nil, fmt.Errorf("%w: %s is a transaction pooler, and where its server is reached directly cannot be told; give a direct or session connection string in DATABASE_URL for this command",
			ErrNoSession, c.address())
	}
	cc.Port = sessionPort
	return cc, nil
}

// Connection returns the configuration of one connection as the string has it, which may lead through a transaction
// pooler: for what is done in transactions that leave nothing behind in the session. Statements are as in
// [Config.Session], and so is the limit of connecting.
func (c *Config) Connection() *pgx.ConnConfig {
	cc := c.pool.ConnConfig.Copy()
	cc.DefaultQueryExecMode = pgx.QueryExecModeExec
	cc.StatementCacheCapacity, cc.DescriptionCacheCapacity = 0, 0
	cc.ConnectTimeout = sessionConnectLimit
	return cc
}

// poolConfig makes pgx's configuration. pgx wants it to come from a string and reads the environment beside it: so the
// string says everything that the environment could add, the password is kept out of it, and what came in nevertheless is
// removed again.
func (c *Config) poolConfig(password, channelBinding string, tlsConfig *tls.Config) (*pgxpool.Config, error) {
	var s strings.Builder
	for _, kv := range [][2]string{
		{"host", c.Host},
		{"port", strconv.Itoa(int(c.Port))},
		{"user", c.User},
		{"dbname", c.Database},
		{"channel_binding", channelBinding},
		{"sslmode", "disable"},
		{"passfile", ""},
		{"sslcert", ""},
		{"sslkey", ""},
		{"sslrootcert", ""},
		{"sslcertmode", "allow"},
		{"sslnegotiation", "postgres"},
		{"target_session_attrs", "any"},
		{"require_auth", ""},
		{"min_protocol_version", ""},
		{"max_protocol_version", ""},
		{"connect_timeout", "0"},
	} {
		fmt.Fprintf(&s, "%s='%s' ", kv[0], strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(kv[1]))
	}
	pc, err := pgxpool.ParseConfig(s.String())
	if err != nil {
		// pgx's text quotes its string, which is ours: without the password.
		return nil, fmt.Errorf("DATABASE_URL: the driver refuses it, perhaps over a PG… variable such as PGSERVICE in the environment: %w", err)
	}

	cc := pc.ConnConfig
	cc.Password = password
	cc.TLSConfig = tlsConfig
	cc.Fallbacks = nil
	cc.ValidateConnect = nil
	clear(cc.RuntimeParams)
	maps.Copy(cc.RuntimeParams, map[string]string{"application_name": c.appName()})
	cc.ConnectTimeout = connectLimit
	cc.DialFunc = (&net.Dialer{}).DialContext
	cc.LookupFunc = c.lookup
	cc.DefaultQueryExecMode = c.Mode
	if c.Mode != pgx.QueryExecModeCacheStatement {
		cc.StatementCacheCapacity = 0
	}
	if c.Mode != pgx.QueryExecModeCacheDescribe {
		cc.DescriptionCacheCapacity = 0
	}

	pc.MaxConns = max(c.options.MaxConns, 1)
	pc.MinConns, pc.MinIdleConns = 0, 0
	pc.MaxConnIdleTime = maxIdleTime
	pc.MaxConnLifetime = maxLifetime
	pc.MaxConnLifetimeJitter = maxLifetime / 5
	pc.HealthCheckPeriod = maxIdleTime / 3
	pc.PingTimeout = pingLimit
	return pc, nil
}

// idleSince reports whether a connection last used at t has been idle for long enough to be checked, by the wall clock:
// the monotonic one may stand still while a sandbox is frozen.
func idleSince(t, now time.Time) bool {
	idle := now.Round(0).Sub(t.Round(0))
	return idle > pingAfter || idle < 0
}
