// Package connect makes of settings what the commands work with: a database, a
// store, a connection that keeps its session, Clerk. It says on stderr what works but
// should be otherwise, and of an error what to do about it.
package connect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/mirror"
	"clerksync/shared/supabase"
)

// Source reads settings as a function does.
func Source(c console.Console) *config.Source {
	return config.NewSource(c.Lookup, config.SecretsManager(c.Lookup))
}

// MayHold reports whether a setting is in the environment, or a secret may have it.
func MayHold(c console.Console, key string) bool {
	value, _ := c.Lookup(key)
	secret, _ := c.Lookup(config.SecretIDKey)
	return value != "" || secret != ""
}

// Database reads DATABASE_URL, and says on stderr what works with it but
// should be otherwise.
func Database(ctx context.Context, c console.Console) (*supabase.Config, error) {
	database, err := Source(c).Database(ctx)
	if err != nil {
		return nil, Advise(err)
	}
	return Parse(c, database, 1)
}

// Parse is the connection to a database, by the name of this program.
func Parse(c console.Console, database config.Database, connections int32) (*supabase.Config, error) {
	parsed, err := supabase.Parse(supabase.Options{
		URL: database.URL, CACert: database.CACert, ProjectRef: database.ProjectRef, Setting: database.Setting,
		AppName: "cli", MaxConns: connections,
	})
	if err != nil {
		return nil, Advise(err)
	}
	for _, warning := range parsed.Warnings {
		c.Say("clerksync: warning: %s", warning)
	}
	return parsed, nil
}

// Session is the connection that migrations need: one session for all of
// them, not a transaction pooler.
func Session(ctx context.Context, c console.Console) (*supabase.Config, *pgx.ConnConfig, error) {
	parsed, err := Database(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	session, err := parsed.Session()
	if err != nil {
		return nil, nil, Advise(err)
	}
	if parsed.Port != session.Port {
		c.Say("clerksync: migrations need a session: using port %d instead of the transaction pooler's %d", session.Port, parsed.Port)
	}
	return parsed, session, nil
}

// Sync reads the settings of a full sync.
func Sync(ctx context.Context, c console.Console) (config.Sync, error) {
	settings, err := Source(c).Sync(ctx)
	return settings, Advise(err)
}

// Explain says in words why a connection cannot be made, and adds to that and to what the
// database refuses what to do next.
func Explain(err error) error {
	if _, connecting := errors.AsType[*pgconn.ConnectError](err); connecting {
		err = supabase.Explain(err)
	}
	return Advise(err)
}

// WithStore runs f on the copy that DATABASE_URL names.
func WithStore(ctx context.Context, c console.Console, f func(*mirror.Store) error) error {
	parsed, err := Database(ctx, c)
	if err != nil {
		return err
	}
	db := supabase.Open(supabase.Fixed(parsed))
	defer db.Close()
	return Advise(f(mirror.New(db)))
}

// AsOwner is [WithStore] for what only the owner may do, with what to do where the login is another: it may not do what.
func AsOwner(ctx context.Context, c console.Console, what string, f func(*mirror.Store) error) error {
	err := WithStore(ctx, c, f)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "42501" {
		return console.Hint(
			errors.New("this login may not "+what),
			"set DATABASE_URL to the owner's connection string: in a Supabase project that of postgres",
		)
	}
	return err
}

// closeLimit is for a connection to say good-bye.
const closeLimit = 5 * time.Second

// WithConnection runs f on one connection as DATABASE_URL has it, which may go
// through a transaction pooler.
func WithConnection(ctx context.Context, c console.Console, f func(*pgx.Conn) error) error {
	parsed, err := Database(ctx, c)
	if err != nil {
		return err
	}
	return connected(ctx, parsed.Connection(), f)
}

// WithSession runs f on a connection that keeps its session.
func WithSession(ctx context.Context, c console.Console, f func(*pgx.Conn) error) error {
	_, config, err := Session(ctx, c)
	if err != nil {
		return err
	}
	return connected(ctx, config, f)
}

func connected(ctx context.Context, config *pgx.ConnConfig, f func(*pgx.Conn) error) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return Explain(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), closeLimit, fmt.Errorf("closing the connection took longer than %s", closeLimit))
		defer cancel()
		_ = conn.Close(ctx) // everything was committed or taken back by now
	}()
	return f(conn)
}

// Clerk is the instance that the settings of a full sync name.
func Clerk(settings config.Sync) (*clerk.Backend, error) {
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: settings.SecretKey, URL: settings.APIURL, Share: settings.RateShare})
	return backend, Advise(err)
}
