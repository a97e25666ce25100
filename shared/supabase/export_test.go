package supabase

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolConfig is what pgx gets.
func PoolConfig(c *Config) *pgxpool.Config {
	return c.pool.Copy()
}

// SetNetwork replaces what resolves names and finds routes.
func SetNetwork(c *Config, lookup func(context.Context, string) ([]string, error), route func(context.Context, netip.AddrPort) error) {
	c.network = network{lookup: lookup, route: route}
}

// SetDial replaces what connects.
func SetDial(c *Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.pool.ConnConfig.DialFunc = dial
}

// Route is how a route is found.
var Route = route

// LimitConnect shortens the limit to connect, for tests that run into it.
func LimitConnect(c *Config, d time.Duration) {
	c.pool.ConnConfig.ConnectTimeout = d
}

// SetClock replaces the clock by which refused passwords are held off.
func SetClock(db *DB, now func() time.Time) {
	db.now = now
}
