// Package configured diagnoses tokens with what the configuration says about
// the Clerk instance and the Supabase project.
//
//	diagnoser := configured.New(configured.Options{Configure: source.Diagnostics, Database: db, Logger: logger})
//	report, err := diagnoser.Diagnose(ctx, jwtdiag.Request{Token: token})
//
// What is not set is derived where that is possible: the issuer from the
// publishable key, the address of the key set from the issuer, the project from
// its URL or from the connection string. CLERK_JWT_KEY is taken instead of a key
// set, and then no keys are fetched. What is neither set nor derived is skipped
// by the diagnosis, which says so.
//
// The configuration is asked for at each request and followed when it changes.
// Keys and answers that were fetched outlive a change of anything else.
package configured

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/rls/access"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
)

// keySetPath is where a Clerk instance publishes its keys, below its issuer
// (Clerk docs, manual JWT verification).
const keySetPath = "/.well-known/jwks.json"

// Options say what a Diagnoser works with. Configure is required.
type Options struct {
	// Configure returns the configuration in force. It is called for every
	// request and should cache, as config.Source's method Diagnostics does.
	Configure func(context.Context) (config.Diagnostics, error)
	// Database is looked at where a configuration has one, also Offline; nil: never.
	Database access.Beginner
	// Offline leaves out whatever would be asked over HTTP. CLERK_JWT_KEY serves.
	Offline bool
	// Operator is that of jwtdiag.Options.
	Operator bool
	// Logger is told of every configuration that comes into use; nil: nobody is.
	Logger *slog.Logger
	// Now is the clock that tokens are judged by; nil: the system's.
	Now func() time.Time
}

// Diagnoser answers requests with the configuration in force. It is safe for
// concurrent use and calls nothing before the first request. Call New.
type Diagnoser struct {
	options Options

	mu      sync.Mutex
	current *diagnosis // nil before the first request
}

// diagnosis is a Diagnoser of a configuration and what it is made of.
type diagnosis struct {
	config     config.Diagnostics
	facts      facts
	keys       *keyset.Source
	management *management.Providers
	*jwtdiag.Diagnoser
}

// New returns a Diagnoser.
func New(o Options) *Diagnoser {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Diagnoser{options: o}
}

// Diagnose answers one request. Its error means that there is no usable
// configuration, and holds nothing of the request.
func (d *Diagnoser) Diagnose(ctx context.Context, r jwtdiag.Request) (jwtdiag.Report, error) {
	c, err := d.options.Configure(ctx)
	if err != nil {
		return jwtdiag.Report{}, fmt.Errorf("reading the configuration: %w", err)
	}
	x, err := d.follow(ctx, c)
	if err != nil {
		return jwtdiag.Report{}, err
	}
	return x.Diagnose(ctx, r), nil
}

// follow returns what diagnoses with a configuration.
func (d *Diagnoser) follow(ctx context.Context, c config.Diagnostics) (*diagnosis, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil && reflect.DeepEqual(d.current.config, c) {
		return d.current, nil
	}
	x, err := d.build(c)
	if err != nil {
		return nil, err
	}
	d.current = x
	d.options.Logger.InfoContext(ctx, "diagnostics configured", "issuer", x.facts.issuer, "keys", x.facts.keysFrom(), "instance_id", c.InstanceID,
		"project_ref", x.facts.project, "asks_supabase", x.management != nil, "looks_at_database", d.options.Database != nil && !c.Database.URL.IsZero())
	return x, nil
}

// build takes over from the current one what leads to the same addresses.
func (d *Diagnoser) build(c config.Diagnostics) (*diagnosis, error) {
	f, err := derive(c)
	if err != nil {
		return nil, err
	}
	x := &diagnosis{config: c, facts: f}
	options := jwtdiag.Options{
		Issuer: f.issuer, InstanceID: c.InstanceID, AuthorizedParties: c.AuthorizedParties,
		Offline: d.options.Offline, Operator: d.options.Operator, Now: d.options.Now,
		Failed: func(ctx context.Context, err error) {
			d.options.Logger.ErrorContext(ctx, "the database could not be looked at", "error", err)
		},
	}
	if d.options.Database != nil && !c.Database.URL.IsZero() {
		options.Database = d.options.Database
	}
	switch {
	case len(f.given.Keys) > 0:
		options.Keys = f.given.Static()
	case d.options.Offline || f.keySetURL == "":
	case d.current != nil && d.current.keys != nil && d.current.facts.keySetURL == f.keySetURL:
		x.keys, options.Keys = d.current.keys, d.current.keys
	default:
		if x.keys, err = keyset.NewSource(keyset.SourceOptions{URL: f.keySetURL}); err != nil {
			return nil, err
		}
		options.Keys = x.keys
	}
	switch {
	case d.options.Offline || c.AccessToken.IsZero() || f.project == "":
	case d.current != nil && d.current.management != nil && d.current.config.AccessToken == c.AccessToken &&
		d.current.facts.project == f.project && d.current.config.ManagementURL == c.ManagementURL:
		x.management, options.Providers = d.current.management, d.current.management
	default:
		if x.management, err = management.NewProviders(f.management(c)); err != nil {
			return nil, err
		}
		options.Providers = x.management
	}
	x.Diagnoser = jwtdiag.New(options)
	return x, nil
}

// Check says what is wrong with a configuration beyond what package config has
// found: every problem at once, as errors that wrap config.ErrInvalid. It calls
// nothing.
func Check(c config.Diagnostics) error {
	_, err := derive(c)
	return err
}

// Addresses are what follows from a configuration: the issuer of the instance's tokens
// and where its keys are, empty where that is not known. Its errors are those of [Check].
func Addresses(c config.Diagnostics) (issuer, keySet string, err error) {
	f, err := derive(c)
	return f.issuer, f.keySetURL, err
}

// Checked returns a function that configures as the given one does, and fails
// with what [Check] finds, so that whoever else uses a part of the configuration
// learns of all its problems. A configuration is checked once.
func Checked(configure func(context.Context) (config.Diagnostics, error)) func(context.Context) (config.Diagnostics, error) {
	var mu sync.Mutex
	var last *config.Diagnostics
	var lastErr error
	return func(ctx context.Context) (config.Diagnostics, error) {
		c, err := configure(ctx)
		if err != nil {
			return c, err
		}
		mu.Lock()
		defer mu.Unlock()
		if last == nil || !reflect.DeepEqual(*last, c) {
			last, lastErr = &c, Check(c)
		}
		return c, lastErr
	}
}

// facts are what a configuration says, derived where it does not.
type facts struct {
	issuer string
	// given are the keys of CLERK_JWT_KEY; otherwise they are at keySetURL, if
	// that is known.
	given     keyset.Set
	keySetURL string
	project   string
}

// keysFrom says for people where the keys are from.
func (f facts) keysFrom() string {
	if f.given.Source != "" {
		return f.given.Source
	}
	return f.keySetURL
}

func (f facts) management(c config.Diagnostics) management.ProvidersOptions {
	return management.ProvidersOptions{Token: c.AccessToken, ProjectRef: f.project, URL: c.ManagementURL}
}

func derive(c config.Diagnostics) (facts, error) {
	f := facts{issuer: c.Issuer, keySetURL: c.JWKSURL, project: c.ProjectRef}
	var problems []error
	add := func(key string, err error) {
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", key, err))
		}
	}
	if c.PublishableKey != "" {
		key, err := clerk.ParsePublishableKey(c.PublishableKey)
		add("CLERK_PUBLISHABLE_KEY", err)
		if f.issuer == "" && err == nil {
			f.issuer = "https://" + key.FrontendAPI
		}
	}
	if c.PublicKey != "" {
		var err error
		f.given, err = keyset.FromPEM([]byte(c.PublicKey))
		f.given.Source = "the public key that was given"
		add("CLERK_JWT_KEY", err)
	}
	if f.keySetURL == "" && f.issuer != "" {
		f.keySetURL = f.issuer + keySetPath
	}
	if f.keySetURL != "" {
		_, err := keyset.NewSource(keyset.SourceOptions{URL: f.keySetURL})
		add("CLERK_JWKS_URL", err)
	}
	if !c.Database.URL.IsZero() {
		database, err := supabase.Parse(supabase.Options{URL: c.Database.URL, CACert: c.Database.CACert, ProjectRef: c.Database.ProjectRef, Setting: c.Database.Setting})
		if err != nil {
			problems = append(problems, err)
		}
		if f.project == "" && err == nil {
			f.project = database.ProjectRef
		}
	}
	if !c.AccessToken.IsZero() && f.project != "" {
		_, err := management.NewProviders(f.management(c))
		add("SUPABASE_ACCESS_TOKEN", err)
	}
	if len(problems) > 0 {
		return facts{}, fmt.Errorf("%w:\n%w", config.ErrInvalid, errors.Join(problems...))
	}
	return f, nil
}
