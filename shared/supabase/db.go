package supabase

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrClosed is returned for calls on a closed [DB].
var ErrClosed = errors.New("the database was closed")

// DB runs queries on a small pool of connections. It makes no connection and starts nothing before its first query, and
// is safe for concurrent use.
//
// Before each query it asks its source for the configuration and, when that has changed, takes a new pool; queries under
// way end on the old one, which closes behind them.
//
// A query that certainly never reached the server is tried once more: when a connection that stood idle turns out to be
// gone, or one breaks while it is made. Whatever may have reached the server is left to the caller, who knows whether
// doing it twice does harm. A refused password is not tried again for a minute, unless the configuration changes:
// Supabase blocks logins of the whole project after repeated failures.
//
// The errors are those of [Explain]. Queries are limited by their context alone; give it a deadline with a cause
// (context.WithTimeoutCause), which the error then names.
type DB struct {
	source  func(context.Context) (*Config, error)
	refresh func(context.Context) (bool, error)
	now     func() time.Time

	mu      sync.Mutex
	pool    *pool // nil until the first query
	closed  bool
	retired sync.WaitGroup // pools that are closing
}

// DBOption changes a DB.
type DBOption func(*DB)

// WithRefresh has f called when the password is refused, to read the configuration anew where the old one may be kept
// for a while. When it reports a change, the login is tried again with what the source then gives. It has the form of
// config.Source's method Refresh, and is expected to limit itself as that does.
func WithRefresh(f func(context.Context) (changed bool, err error)) DBOption {
	return func(db *DB) { db.refresh = f }
}

// Open returns a DB that connects as source says. source is called before every query and so must be cheap while
// nothing changes; [Fixed] and [Watch] make one.
func Open(source func(context.Context) (*Config, error), options ...DBOption) *DB {
	db := &DB{
		source:  source,
		refresh: func(context.Context) (bool, error) { return false, nil },
		now:     time.Now,
	}
	for _, o := range options {
		o(db)
	}
	return db
}

// Fixed is a source of one configuration that does not change.
func Fixed(c *Config) func(context.Context) (*Config, error) {
	return func(context.Context) (*Config, error) { return c, nil }
}

// Watch is a source that reads options before every query and parses them when they are others than before. changed,
// which may be nil, is called with every new configuration, to log it and its warnings.
func Watch(options func(context.Context) (Options, error), changed func(*Config)) func(context.Context) (*Config, error) {
	var mu sync.Mutex
	var last *Config
	return func(ctx context.Context) (*Config, error) {
		o, err := options(ctx)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		if last != nil && last.options == o {
			return last, nil
		}
		c, err := Parse(o)
		if err != nil {
			return nil, err
		}
		last = c
		if changed != nil {
			changed(c)
		}
		return c, nil
	}
}

// Query runs a query and waits for its first row, so that whatever is wrong with the query itself is in err. As with
// pgx, the rows must be closed or read to their end; they are never nil, and carry err too.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	for try := 1; ; try++ {
		p, conn, err := db.acquire(ctx)
		if err != nil {
			return &failedRows{err: err}, err
		}
		inner, err := conn.Query(ctx, sql, args...)
		r := &rows{Rows: inner, pool: p, conn: conn, ctx: ctx}
		if err = r.fetchFirst(err); err == nil {
			return r, nil
		}
		if again(ctx, err, try) {
			continue
		}
		err = p.explain(ctx, "querying", err)
		return &failedRows{err: err}, err
	}
}

// QueryRow runs a query of which one row is wanted. Its errors are returned by Scan, pgx.ErrNoRows among them.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	r, err := db.Query(ctx, sql, args...)
	return row{rows: r, err: err}
}

// Exec runs a statement that returns no rows. Without arguments it may be several, separated by semicolons.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	for try := 1; ; try++ {
		p, conn, err := db.acquire(ctx)
		if err != nil {
			return pgconn.CommandTag{}, err
		}
		tag, err := conn.Exec(ctx, sql, args...)
		p.release(conn)
		if err == nil || !again(ctx, err, try) {
			return tag, p.explain(ctx, "executing", err)
		}
	}
}

// Close closes the connections once the queries under way have ended. Later calls return [ErrClosed].
func (db *DB) Close() {
	db.mu.Lock()
	db.closed = true
	db.retire()
	db.mu.Unlock()
	db.retired.Wait()
}

// again reports whether a query that failed can be sent a second time without running twice.
func again(ctx context.Context, err error, try int) bool {
	return try == 1 && ctx.Err() == nil && pgconn.SafeToRetry(err)
}

// acquire returns a connection of the current pool. It tries again once after a break and once after a refused
// password, and whenever the pool was replaced meanwhile. No statement was sent by then: what repeats those is the
// caller's.
func (db *DB) acquire(ctx context.Context) (*pool, *pgxpool.Conn, error) {
	var refreshed, broke bool
	for {
		p, err := db.current(ctx)
		if err != nil {
			return nil, nil, err
		}
		if err = p.holdOff(db.now()); err == nil {
			var conn *pgxpool.Conn
			conn, err = p.Acquire(ctx)
			if err == nil {
				return p, conn, nil
			}
			err = p.explain(ctx, "connecting to "+p.config.address(), err)
			p.noteRefusal(err, db.now())
		}

		switch {
		case ctx.Err() != nil:
			return nil, nil, err
		case db.replaced(p):
			// The configuration changed, and the pool may have been closed, while we waited for it.
		case errors.Is(err, ErrPassword) && !refreshed:
			refreshed = true
			changed, refreshErr := db.refresh(ctx)
			if refreshErr != nil {
				return nil, nil, errors.Join(err, fmt.Errorf("reading the configuration anew: %w", refreshErr))
			}
			if !changed {
				return nil, nil, err
			}
		case errors.Is(err, ErrConnectionLost) && !broke:
			broke = true
		default:
			return nil, nil, err
		}
	}
}

// current returns the pool of the configuration in force.
func (db *DB) current(ctx context.Context) (*pool, error) {
	db.mu.Lock()
	closed := db.closed
	db.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	c, err := db.source(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the database's configuration: %w", err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil, ErrClosed
	}
	if db.pool != nil && db.pool.config.options == c.options {
		return db.pool, nil
	}
	p, err := newPool(c)
	if err != nil {
		return nil, err
	}
	db.retire()
	db.pool = p
	return p, nil
}

func (db *DB) replaced(p *pool) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.pool != p
}

// retire closes the current pool in the background, since that waits for the queries under way. It is called with the
// lock held.
func (db *DB) retire() {
	if old := db.pool; old != nil {
		db.retired.Go(old.Close)
		db.pool = nil
	}
}

// pool is a pgx pool and the configuration it was made from.
type pool struct {
	*pgxpool.Pool
	config   *Config
	lastUsed atomic.Int64 // Unix nanoseconds of the last release
	refusal  atomic.Pointer[refusal]
}

// refusal is a refused password.
type refusal struct {
	err error
	at  time.Time
}

// refusalPause is how long a refused password is not tried again. Supabase's pooler blocks all logins of a project
// after ten failures in 150 seconds, counted over all functions.
const refusalPause = time.Minute

func newPool(c *Config) (*pool, error) {
	p := &pool{config: c}
	p.lastUsed.Store(time.Now().UnixNano())
	pc := c.pool.Copy()
	pc.ShouldPing = func(_ context.Context, params pgxpool.ShouldPingParams) bool {
		return params.IdleDuration > pingAfter || idleSince(time.Unix(0, p.lastUsed.Load()), time.Now()) || !quiet(params.Conn.PgConn().Conn())
	}
	made, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		return nil, fmt.Errorf("making a connection pool: %w", err)
	}
	p.Pool = made
	return p, nil
}

func (p *pool) release(conn *pgxpool.Conn) {
	p.lastUsed.Store(time.Now().UnixNano())
	conn.Release()
}

// holdOff returns the error of a password that was refused a moment ago.
func (p *pool) holdOff(now time.Time) error {
	r := p.refusal.Load()
	if r == nil || now.Sub(r.at) >= refusalPause {
		return nil
	}
	return fmt.Errorf("not trying again for %s after this: %w", refusalPause, r.err)
}

func (p *pool) noteRefusal(err error, now time.Time) {
	if errors.Is(err, ErrPassword) {
		p.refusal.Store(&refusal{err: err, at: now})
	}
}

// explain names the error and, where the context ended, the limit that ended it.
func (p *pool) explain(ctx context.Context, doing string, err error) error {
	return explain(doing, err, context.Cause(ctx), p.config.options.Setting)
}
