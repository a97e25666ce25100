// Package startup is what every Lambda function of the product begins with: its
// configuration, its logger and metrics, and the database that it works on.
//
//	func newHandler(lookup config.Lookup, logs io.Writer) (*handler, func()) {
//		f := startup.New(lookup, logs, startup.Options[config.Sync]{
//			Name: "full-sync", Version: version, Read: (*config.Source).Sync,
//		})
//		return &handler{store: mirror.New(f.DB), configure: f.Configure, …}, f.DB.Close
//	}
//
// Nothing is connected to, and no secret read, before the first event.
//
// A request has one snapshot of the configuration: its handler calls
// [Function.Configure] where it begins, and all that comes after it, the database
// included, goes by what that returned, until a Refresh finds another secret.
package startup

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"clerksync/shared/config"
	"clerksync/shared/supabase"
	"clerksync/shared/telemetry"
)

// ErrNoDatabase is that of a query where a function that can do without a
// database has none.
var ErrNoDatabase = errors.New("no database is configured")

// Configuration is that of a function, a type of package config.
type Configuration interface {
	// Common is what every function has.
	Common() (config.Database, slog.Level)
}

// Options say which function begins. All but MaxConns and Checked are required.
type Options[C Configuration] struct {
	// Name is the function's; the server lists its connections under it.
	Name    string
	Version string
	// MaxConns is the most connections at a time; 0 means 1.
	MaxConns int32
	// Read reads everything that the function needs, so that everything that is
	// wrong with it is known at the start.
	Read func(*config.Source, context.Context) (C, error)
	// Checked adds what package config does not know of to what reads.
	Checked func(read func(context.Context) (C, error)) func(context.Context) (C, error)
}

// Function is what a function begins with. Call New.
type Function[C Configuration] struct {
	// Logger writes the version with each line, from the configured level on: info
	// until it is known.
	Logger *slog.Logger
	// Metrics are under the name that the function is deployed as, and outside of
	// Lambda under its own.
	Metrics *telemetry.Metrics
	DB      *supabase.DB

	source *config.Source
	read   func(context.Context) (C, error)
	level  slog.LevelVar
	latest atomic.Pointer[C] // nil: to be asked for
}

// startLimit bounds the check of the configuration at start, which reads the
// environment and calls nothing.
const startLimit = time.Second

// New builds it and checks the configuration as far as that needs no call. What is
// wrong with it is logged, and found again by the first event. What the function
// logs and measures goes to logs, a line each, which in Lambda is the standard
// output.
func New[C Configuration](lookup config.Lookup, logs io.Writer, o Options[C]) *Function[C] {
	f := &Function[C]{Metrics: telemetry.NewMetrics(logs, telemetry.FunctionName(lookup, o.Name))}
	f.Logger = telemetry.NewLogger(logs, &f.level).With("version", o.Version)
	// A secret with a connection string that no function can use replaces none that works.
	usable := func(d config.Database) error {
		_, err := supabase.Parse(options(d))
		return err
	}
	f.source = config.NewSource(lookup, config.SecretsManager(lookup), config.CheckDatabase(usable), config.OnStale(func(err error) {
		f.Logger.Error("serving the earlier configuration", "error", err)
	}))
	f.read = func(ctx context.Context) (C, error) { return o.Read(f.source, ctx) }
	if o.Checked != nil {
		f.read = o.Checked(f.read)
	}

	connect := supabase.Watch(func(ctx context.Context) (supabase.Options, error) {
		current, err := f.Current(ctx)
		database, _ := current.Common()
		if err == nil && database.URL.IsZero() {
			err = ErrNoDatabase
		}
		connection := options(database)
		connection.AppName, connection.MaxConns = o.Name, o.MaxConns
		return connection, err
	}, f.report)
	f.check(lookup, connect)
	f.DB = supabase.Open(connect, supabase.WithRefresh(f.Refresh))
	return f
}

func options(d config.Database) supabase.Options {
	return supabase.Options{URL: d.URL, CACert: d.CACert, ProjectRef: d.ProjectRef, Setting: d.Setting, Function: true}
}

// check logs everything that is wrong with the configuration, or what the
// function works with. With a secret named that has to wait for the first event.
func (f *Function[C]) check(lookup config.Lookup, connect func(context.Context) (*supabase.Config, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if id, ok := lookup(config.SecretIDKey); ok && id != "" {
		f.Logger.InfoContext(ctx, "started", "secret_id", id)
		return
	}
	if _, err := connect(ctx); err != nil && !errors.Is(err, ErrNoDatabase) {
		f.Logger.ErrorContext(ctx, "cannot serve until the configuration is mended", "error", err)
	}
}

// report logs a configuration that has come into use, and what should be
// otherwise with it.
func (f *Function[C]) report(c *supabase.Config) {
	f.Logger.Info("configured", "database", c)
	for _, warning := range c.Warnings {
		f.Logger.Warn("configuration", "warning", warning)
	}
}

// Configure returns the configuration in force, for a request that begins.
func (f *Function[C]) Configure(ctx context.Context) (C, error) {
	current, err := f.read(ctx)
	_, level := current.Common()
	f.level.Set(level)
	if err == nil {
		f.latest.Store(&current)
	}
	return current, err
}

// Current returns what Configure has returned, for what is done for that request.
func (f *Function[C]) Current(ctx context.Context) (C, error) {
	if latest := f.latest.Load(); latest != nil {
		return *latest, nil
	}
	return f.Configure(ctx)
}

// Refresh is that of [config.Source.Refresh]. What it finds is in force at once.
func (f *Function[C]) Refresh(ctx context.Context) (changed bool, err error) {
	if changed, err = f.source.Refresh(ctx); changed {
		f.latest.Store(nil)
	}
	return changed, err
}
