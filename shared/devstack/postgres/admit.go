package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// admitLimit is for giving a role its password, others of which change at the same time.
const admitLimit = 30 * time.Second

// admit gives a role the server's password, once. It comes in over the socket, so that
// it works also where no password is known any more, as in a kept folder.
func (s *Server) admit(ctx context.Context, role string) error {
	s.admitting.Lock()
	defer s.admitting.Unlock()
	if s.admitted[role] {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, admitLimit, limit("give a role its password", admitLimit))
	defer cancel()
	config, err := pgx.ParseConfig("")
	if err != nil {
		return fmt.Errorf("giving a role its password: %w", err)
	}
	config.Host, config.Port, config.User, config.Password, config.Database = s.socket, uint16(s.port), Superuser, "", "postgres"
	config.TLSConfig, config.Fallbacks = nil, nil
	config.RuntimeParams = map[string]string{
		// The password is in no log, whatever the server's settings say and wherever it fails.
		"log_statement": "none", "log_min_duration_statement": "-1", "log_min_error_statement": "panic", "log_min_duration_sample": "-1",
		"log_transaction_sample_rate": "0", "password_encryption": "scram-sha-256", "default_transaction_read_only": "off",
		// Where the rest of the server loses its last commits in a crash, this one stays.
		"synchronous_commit": "on",
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("giving a role its password: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	for {
		err := s.give(ctx, conn, role)
		// The same role is being changed elsewhere, which Postgres answers so.
		if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "XX000" {
			select {
			case <-ctx.Done():
				return fmt.Errorf("giving a role its password: %w: %w", context.Cause(ctx), err)
			case <-time.After(time.Millisecond):
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("giving a role its password: %w", err)
		}
		return nil
	}
}

func (s *Server) give(ctx context.Context, conn *pgx.Conn, role string) error {
	var known bool
	if err := conn.QueryRow(ctx, "select exists (select from pg_roles where rolname = $1 and rolcanlogin)", role).Scan(&known); err != nil || !known {
		return err // the caller says what it was doing
	}
	// A utility statement takes no parameter.
	_, err := conn.Exec(ctx, "alter role "+pgx.Identifier{role}.Sanitize()+" password '"+strings.ReplaceAll(s.password, "'", "''")+"'")
	s.admitted[role] = err == nil
	return err // the caller says what it was doing
}
