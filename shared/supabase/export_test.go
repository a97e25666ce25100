package supabase

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// PoolConfig is what pgx gets.
func PoolConfig(c *Config) *pgxpool.Config {
	return c.pool.Copy()
}

// LimitConnect shortens the limit to connect, for tests that run into it.
func LimitConnect(c *Config, d time.Duration) {
	c.pool.ConnConfig.ConnectTimeout = d
}

// SetClock replaces the clock by which refused passwords are held off.
func SetClock(db *DB, now func() time.Time) {
	db.now = now
}
