package testdb

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"testing"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/need"
	"clerksync/shared/testkit/pgbouncer"
)

// NeedPooler skips t where there is no PgBouncer, or fails it when CI=true: what would be
// found by [DB.Pooled] or [NewPooler], before a server is started for nothing.
func NeedPooler(t testing.TB) {
	t.Helper()
	_, err := pgbouncer.Find()
	need.Success(t, err, pgbouncer.ErrNotFound)
}

// Pooled is the same URL through a PgBouncer in transaction mode that all tests
// of the binary share. Without PgBouncer t is skipped, or fails when CI=true.
func (db *DB) Pooled(t testing.TB, connString string) string {
	t.Helper()
	pooler, err := sharedPooler(db.server)
	need.Success(t, err, pgbouncer.ErrNotFound)
	u, err := url.Parse(connString)
	if err != nil {
		t.Fatal("reading the connection string: it is no URL")
	}
	u.Host = net.JoinHostPort(pooler.Host(), strconv.Itoa(pooler.Port()))
	return u.String()
}

// sharedPooler answers the pooler, started if need be.
func sharedPooler(server *postgres.Server) (*pgbouncer.Pooler, error) {
	shared.Lock()
	defer shared.Unlock()
	if shared.pooler != nil {
		return shared.pooler, nil
	}
	pooler, err := pgbouncer.Start(context.Background(), pgbouncer.Options{
		Host:         server.Host(),
		Port:         server.Port(),
		AuthUser:     postgres.Superuser,
		AuthPassword: server.Password(),
	})
	if err != nil {
		return nil, err
	}
	shared.pooler = pooler
	return pooler, nil
}
