// Package database opens the database that a function works on, and says in its
// log which one that is and what is wrong with the configuration.
//
//	source := config.NewSource(lookup, fetch, config.CheckDatabase(database.Check))
//	db := database.Open(database.Options{
//		Name: "webhook-ingest", Lookup: os.LookupEnv, Source: source, Logger: logger,
//		Configure: func(ctx context.Context) (config.Database, error) { … },
//	})
//
// Nothing is connected to, and no secret read, before the first query. Each
// query asks Configure again, so that a new password needs no new process.
package database

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"clerksync/shared/config"
	"clerksync/shared/supabase"
)

// ErrNone is for a function that can do without a database: its Configure
// returns it where none is set.
var ErrNone = errors.New("no database is configured")

// Options say whose database to open. All but MaxConns are required.
type Options struct {
	// Name is the function's; the server lists its connections under it.
	Name string
	// MaxConns is the most connections at a time; 0 means 1.
	MaxConns int32
	Lookup   config.Lookup
	Source   *config.Source
	// Configure reads, from Source, everything that the function needs, so that
	// everything that is wrong with it is known at the start.
	Configure func(context.Context) (config.Database, error)
	Logger    *slog.Logger
}

// startLimit bounds the check of the configuration at start, which reads the
// environment and calls nothing.
const startLimit = time.Second

// Open returns the database and checks the configuration as far as that needs
// no call. What is wrong with it is logged and found again by the first query.
func Open(o Options) *supabase.DB {
	connect := supabase.Watch(func(ctx context.Context) (supabase.Options, error) {
		current, err := o.Configure(ctx)
		connection := options(current)
		connection.AppName, connection.MaxConns = o.Name, o.MaxConns
		return connection, err
	}, func(c *supabase.Config) { report(o.Logger, c) })
	check(o.Logger, o.Lookup, connect)
	return supabase.Open(connect, supabase.WithRefresh(o.Source.Refresh))
}

// Check says what is wrong with a connection string that a function is to use.
// Given to the Source, it keeps a secret that was edited into something unusable
// from replacing what works.
func Check(d config.Database) error {
	_, err := supabase.Parse(options(d))
	return err
}

func options(d config.Database) supabase.Options {
	return supabase.Options{URL: d.URL, CACert: d.CACert, ProjectRef: d.ProjectRef, Setting: d.Setting, Function: true}
}

// check logs everything that is wrong with the configuration, or what the
// function works with. With a secret named that has to wait for the first event.
func check(logger *slog.Logger, lookup config.Lookup, connect func(context.Context) (*supabase.Config, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if id, ok := lookup(config.SecretIDKey); ok && id != "" {
		logger.InfoContext(ctx, "started", "secret_id", id)
		return
	}
	if _, err := connect(ctx); err != nil && !errors.Is(err, ErrNone) {
		logger.ErrorContext(ctx, "cannot serve until the configuration is mended", "error", err)
	}
}

// report logs a configuration that has come into use, and what should be
// otherwise with it.
func report(logger *slog.Logger, c *supabase.Config) {
	logger.Info("configured", "database", c)
	for _, warning := range c.Warnings {
		logger.Warn("configuration", "warning", warning)
	}
}
