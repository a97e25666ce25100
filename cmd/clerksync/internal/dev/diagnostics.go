package dev

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/config"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/configured"
	"clerksync/shared/jwtdiag/endpoint"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
)

const (
	// tokenPath is where the double makes a session token for whoever asks on this
	// machine.
	tokenPath = endpoint.Path + "/token"
	// tokenLimit is for making one.
	tokenLimit = 5 * time.Second
	// diagnosticsPoolSize is enough for a few people with a page each.
	diagnosticsPoolSize = 2
)

// serveDiagnostics serves the page that says what is the matter with a token, and
// with a double one that makes tokens.
func (d *development) serveDiagnostics(ctx context.Context, c console.Console) error {
	configure := d.diagnosticsConfig(c)
	d.diagnostics = supabase.Open(supabase.Watch(func(ctx context.Context) (supabase.Options, error) {
		s, err := configure(ctx)
		return supabase.Options{
			URL: s.Database.URL, CACert: s.Database.CACert, ProjectRef: s.Database.ProjectRef, Setting: s.Database.Setting, AppName: "dev", MaxConns: diagnosticsPoolSize,
		}, err
	}, nil))
	page, err := endpoint.New(endpoint.Options{
		Diagnose: d.diagnose(ctx, configure), Hosts: endpoint.Loopback(), Logger: d.logger,
		Page: func(context.Context) bool { return true },
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", page)
	if d.instance != nil {
		mux.HandleFunc("POST "+tokenPath, d.serveToken)
	}
	d.stack.ServeDiagnostics(mux)
	return nil
}

// diagnosticsConfig is the configuration of the diagnostics: the double's, or the
// settings; and the database that everything goes to.
func (d *development) diagnosticsConfig(c console.Console) func(context.Context) (config.Diagnostics, error) {
	source := connect.Source(c)
	embedded := d.stack.DiagnosticsURL()
	return func(ctx context.Context) (config.Diagnostics, error) {
		s, err := source.Diagnostics(ctx)
		switch {
		case err != nil:
			return config.Diagnostics{}, err
		case !embedded.IsZero():
			s.Database = config.Database{URL: embedded}
		case s.Database.URL.IsZero():
			if s.Database, err = source.Database(ctx); err != nil {
				return config.Diagnostics{}, err
			}
		}
		return s, nil
	}
}

// diagnose diagnoses with the double's keys in a project that trusts them, or
// with the settings.
func (d *development) diagnose(ctx context.Context, configure func(context.Context) (config.Diagnostics, error)) func(context.Context, jwtdiag.Request) (jwtdiag.Report, error) {
	// No user of this machine needs a token to see what is in a database of made-up
	// people, and the double would make it.
	operator := d.stack.EmbeddedURL() != "" && d.instance != nil
	if d.instance == nil {
		s, err := configure(ctx)
		if err == nil {
			err = configured.Check(s)
		}
		if err != nil {
			d.screen.Talk("clerksync: warning: tokens cannot be diagnosed: %s", console.Harmless(err.Error()))
		}
		return configured.New(configured.Options{Configure: configure, Database: d.diagnostics, Operator: operator, Logger: d.logger}).Diagnose
	}
	double := doubled{d.mint, d.stack.Issuer(), d.stack.JWKSURL()}
	diagnoser := jwtdiag.New(jwtdiag.Options{
		Issuer: d.stack.Issuer(), InstanceID: d.instance.ID(), Keys: double, Providers: double,
		Database: d.diagnostics, Operator: operator,
		Failed: func(ctx context.Context, err error) {
			d.logger.LogAttrs(ctx, slog.LevelWarn, "looking at the database for a token", slog.Any("error", err))
		},
	})
	return func(ctx context.Context, r jwtdiag.Request) (jwtdiag.Report, error) {
		return diagnoser.Diagnose(ctx, r), nil
	}
}

// doubled is a double as the diagnostics know it: its keys, and a project that
// trusts it and always has them.
type doubled struct {
	mint            *tokens.Mint
	issuer, jwksURL string
}

// Keys are those that the double publishes, read without a detour.
func (x doubled) Keys(context.Context, string) (keyset.Set, error) {
	set, err := keyset.Parse(x.mint.JWKS())
	set.Source, set.FetchedAt = x.jwksURL, time.Now()
	return set, err
}

// ThirdPartyAuth is the double alone.
func (x doubled) ThirdPartyAuth(context.Context) ([]management.ThirdPartyAuth, error) {
	return []management.ThirdPartyAuth{{OIDCIssuerURL: x.issuer, ResolvedJWKS: x.mint.JWKS(), ResolvedAt: time.Now()}}, nil
}

// serveToken makes a session token, in an organization if anybody is in one. It
// is worth nothing outside of this stack.
func (d *development) serveToken(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeoutCause(r.Context(), tokenLimit, fmt.Errorf("making a token took longer than %s", tokenLimit))
	defer cancel()
	token, err := d.makeToken(ctx)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		d.logger.LogAttrs(ctx, slog.LevelWarn, "making a token", slog.Any("error", err))
		w.WriteHeader(http.StatusServiceUnavailable)
		token = "there is no user to make a token for; try again when somebody has signed up"
	}
	// Whoever asked and hung up does not need the answer.
	_, _ = io.WriteString(w, token+"\n")
}

// makeToken asks as a back end would who is there, since in a large instance that
// is all that is needed.
func (d *development) makeToken(ctx context.Context) (string, error) {
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: d.stack.SecretKey(), URL: d.stack.BackendURL()})
	if err != nil {
		return "", err
	}
	options := tokens.Options{}
	memberships, err := backend.Memberships(ctx, clerk.ListQuery{Limit: 1})
	if err != nil {
		return "", err
	}
	if len(memberships.Items) > 0 {
		options.UserID, options.OrganizationID = memberships.Items[0].UserID, memberships.Items[0].OrganizationID
		return d.mint.SessionToken(options)
	}
	users, err := backend.Users(ctx, clerk.UserQuery{Limit: 1})
	if err != nil {
		return "", err
	}
	if len(users.Items) > 0 {
		options.UserID = users.Items[0].ID
	}
	return d.mint.SessionToken(options)
}
