package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/clerk"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/secret"
	"clerksync/shared/supabase/management"
)

// Options say what is to be set up. All but those that say otherwise are required.
type Options struct {
	SecretKey      secret.Value
	PublishableKey string
	// Issuer and KeySet are for an instance that does not follow from the publishable key; "": they do.
	Issuer, KeySet string
	Clerk          *clerk.Backend
	Supabase       *management.Client
	// Project is the reference of the Supabase project.
	Project string
	// DatabaseURL is a connection string of the database's owner; zero: it is made of what Supabase says of the pooler and
	// of OwnerPassword.
	DatabaseURL secret.Value
	// OwnerPassword is asked for when the owner has to connect, at most once; nil: it is not to be had, and the plan says
	// what would be done.
	OwnerPassword func(context.Context) (secret.Value, error)
	// By is how the owner's work in the database is done where DatabaseURL is zero.
	By Way
	// CACert is DATABASE_CA_CERT; may be "".
	CACert string
	// ReplaceProviders has other Clerk instances that the project trusts removed, once ours is proved.
	ReplaceProviders bool
	// Role is where a session token comes from.
	Role RoleOptions
	// Fill makes the first full sync with the writer's connection string.
	Fill func(ctx context.Context, writer secret.Value) error
	// Preview says in a sentence what Fill would write, to a migrated database; nil: it is not said.
	Preview func(ctx context.Context, writer secret.Value) (string, error)
	// Warn is told what works and should be otherwise.
	Warn  func(text string)
	File  EnvFile
	State StateFile
	// Secret is what deployed functions read; nil: nothing is deployed. SecretKeys are the settings that they read.
	Secret     SecretStore
	SecretKeys []string
	// WebhookURL is where those functions receive webhooks; "": it is not known.
	WebhookURL string
	// LocalConfig is the supabase/config.toml of a local project, "" without one.
	LocalConfig string
}

// Setup is what is to be set up. Its steps share what they find out. Make it with [New].
type Setup struct {
	Options
	issuer, keySet string
	// known is what [Setup.learn] has found.
	known *instance
	// role is what is known of session tokens.
	role roleLook
	// owner is a connection string once it is made.
	owner secret.Value
	// login is the short-lived one of [ByLogin]; its zero value is none.
	login ownerLogin

	// interrupted is called before and after each effect; nil but in tests.
	interrupted func() error
}

// instance is what Clerk says of itself.
type instance struct {
	clerk.Instance
	keys keyset.Set
}

// New checks the options that can be checked without a network.
func New(o Options) (*Setup, error) {
	s := &Setup{Options: o, issuer: strings.TrimSuffix(o.Issuer, "/"), keySet: o.KeySet}
	key, err := clerk.ParsePublishableKey(o.PublishableKey)
	if err != nil {
		return nil, fmt.Errorf("CLERK_PUBLISHABLE_KEY: %w", err)
	}
	if s.issuer == "" {
		s.issuer = "https://" + key.FrontendAPI
	}
	if s.keySet == "" {
		s.keySet = s.issuer + "/.well-known/jwks.json"
	}
	if key.Kind != o.Clerk.Kind() {
		return nil, fmt.Errorf("the keys are of two instances: CLERK_SECRET_KEY is of a %s instance, CLERK_PUBLISHABLE_KEY of a %s one; copy both from the API keys page of one instance", o.Clerk.Kind().Environment(), key.Kind.Environment())
	}
	if o.Warn == nil {
		s.Warn = func(string) {}
	}
	if !slices.Contains(Ways(), o.By) && o.By != "" {
		return nil, fmt.Errorf("%q is no way into the database", o.By)
	}
	return s, management.CheckRef(o.Project)
}

// Steps are all there are, in their order.
func (s *Setup) Steps() []Step {
	steps := []Step{
		{ID: "keys", Title: "Clerk's keys", look: s.lookKeys},
		{ID: "project", Title: "the Supabase project", look: s.lookProject},
		{ID: "database", Title: "the database", look: s.lookDatabase},
		{ID: "provider", Title: "third-party auth: Supabase trusts Clerk's tokens", look: s.lookProvider},
		{ID: "role", Title: "the claim role in session tokens", look: s.lookRole},
		{ID: "local", Title: "third-party auth of the local project", look: s.lookLocal},
		{ID: "secret", Title: "the settings of the deployed functions", look: s.lookSecret},
		{ID: "rows", Title: "the first rows", look: s.lookRows},
	}
	return slices.DeleteFunc(steps, func(step Step) bool {
		return step.ID == "local" && s.LocalConfig == "" || step.ID == "secret" && s.Secret == nil
	})
}

// effect makes one change.
func (s *Setup) effect(do func() error) error {
	if s.interrupted == nil {
		return do()
	}
	if err := s.interrupted(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return s.interrupted()
}

// learn asks Clerk, once, which instance the keys are of.
func (s *Setup) learn(ctx context.Context) (*instance, error) {
	if s.known != nil {
		return s.known, nil
	}
	found, err := s.Clerk.Instance(ctx)
	if err != nil {
		return nil, err
	}
	text, err := s.Clerk.JWKS(ctx)
	if err != nil {
		return nil, err
	}
	own, err := keyset.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the public keys of the secret key's instance: %w", err)
	}
	source, err := keyset.NewSource(keyset.SourceOptions{URL: s.keySet})
	if err != nil {
		return nil, err
	}
	published, err := source.Keys(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("fetching the instance's public keys (a production domain serves nothing before its DNS records are verified): %w", err)
	}
	if !slices.ContainsFunc(own.Keys, published.Holds) {
		return nil, errors.New("the keys are of two instances: " + s.keySet + " does not have the keys of the secret key's instance " + found.ID +
			"; copy CLERK_SECRET_KEY and CLERK_PUBLISHABLE_KEY from the API keys page of one instance")
	}
	s.known = &instance{found, published}
	return s.known, nil
}
