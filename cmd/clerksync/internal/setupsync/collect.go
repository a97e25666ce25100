package setupsync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/clerk"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
)

// Where frameworks keep what we call otherwise.
var otherNames = map[string][]string{
	"CLERK_PUBLISHABLE_KEY": {
		"NEXT_PUBLIC_CLERK_PUBLISHABLE_KEY", "VITE_CLERK_PUBLISHABLE_KEY", "EXPO_PUBLIC_CLERK_PUBLISHABLE_KEY",
		"PUBLIC_CLERK_PUBLISHABLE_KEY", "NUXT_PUBLIC_CLERK_PUBLISHABLE_KEY",
	},
	"SUPABASE_URL": {"NEXT_PUBLIC_SUPABASE_URL", "VITE_SUPABASE_URL", "EXPO_PUBLIC_SUPABASE_URL", "PUBLIC_SUPABASE_URL"},
}

// collect takes what is there already, and asks for the rest.
func (cmd Command) collect(ctx context.Context, c console.Console) (*setup.Setup, error) {
	path := cmp.Or(string(cmd.Into), ".env")
	file := setup.NewEnvFile(path)
	own, err := file.Read()
	if err != nil {
		return nil, err
	}
	local, err := setup.NewEnvFile(filepath.Join(filepath.Dir(path), ".env.local")).Read()
	if err != nil {
		return nil, err
	}
	lookup := func(key string) string {
		for _, name := range append([]string{key}, otherNames[key]...) {
			set, _ := c.Lookup(name)
			if value := cmp.Or(set, own[name], local[name]); value != "" {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}

	if lookup("CLERK_SECRET_KEY") == "" {
		pulled, err := connect.PullClerkKeys(ctx, c, filepath.Dir(path))
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			c.Say("clerksync: %v", err)
		case pulled["CLERK_SECRET_KEY"] != "":
			c.Say("clerksync: Clerk's keys come from Clerk's own CLI")
			// What is set here goes first; keys of two instances are refused below.
			given := local
			local = maps.Clone(pulled)
			maps.Copy(local, given)
		}
	}
	secretKey, err := connect.Hidden(ctx, c, lookup, "CLERK_SECRET_KEY", "Clerk secret key, from the API keys page of the Clerk dashboard")
	if err != nil {
		return nil, err
	}
	publishable := lookup("CLERK_PUBLISHABLE_KEY")
	switch {
	case publishable != "":
	case c.Keyboard() == nil:
		return nil, console.Usage(errors.New("CLERK_PUBLISHABLE_KEY is not set, and there is no terminal to ask at: copy it from the API keys page of the Clerk dashboard"))
	default:
		if publishable, err = c.Ask(ctx, "Clerk publishable key, from the same page: "); err != nil {
			return nil, err
		}
	}
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secretKey, URL: lookup("CLERK_API_URL")})
	if err != nil {
		return nil, fmt.Errorf("CLERK_SECRET_KEY: %w", err)
	}
	client, err := supabaseClient(ctx, c, lookup)
	if err != nil {
		return nil, err
	}
	project := cmp.Or(string(cmd.Project), lookup("SUPABASE_PROJECT_REF"), refOf(lookup("SUPABASE_URL")), linked(filepath.Dir(path)))
	if project == "" {
		if project, err = pick(ctx, c, client); err != nil {
			return nil, err
		}
	}
	localConfig := filepath.Join(filepath.Dir(path), "supabase", "config.toml")
	if _, err := os.Stat(localConfig); err != nil {
		localConfig = ""
	}
	deployed, err := connect.Deployed(ctx, c, string(cmd.Stack), string(cmd.SecretID))
	if err != nil {
		return nil, err
	}
	role, err := cmd.role(c, backend.Kind())
	if err != nil {
		return nil, err
	}
	caCert := lookup("DATABASE_CA_CERT")
	return setup.New(setup.Options{
		SecretKey: secretKey, PublishableKey: publishable, Issuer: lookup("CLERK_ISSUER"), KeySet: lookup("CLERK_JWKS_URL"),
		Clerk: backend, Supabase: client, Project: project,
		DatabaseURL: connect.OwnersString(own["DATABASE_URL"], lookup("DATABASE_URL")), OwnerPassword: connect.OwnerPassword(c, string(cmd.DatabasePasswordFile), cmd.Plan, setup.ByLogin, setup.BySQL), By: setup.Way(cmd.DatabaseBy), CACert: caCert,
		ReplaceProviders: cmd.ReplaceProvider, Role: role, Fill: fill(c, backend, caCert), Preview: preview(backend, caCert),
		Warn: func(text string) { c.Say("clerksync: warning: %s", text) },
		File: file, State: setup.NewStateFile(filepath.Dir(path)), LocalConfig: localConfig,
		Secret: deployed.Secret, SecretKeys: connect.DeployedKeys(), WebhookURL: deployed.WebhookURL,
	})
}

// refOf is the reference in a project's API URL.
func refOf(address string) string {
	ref, ok := strings.CutSuffix(strings.TrimSuffix(address, "/"), ".supabase.co")
	if !ok {
		return ""
	}
	return strings.TrimPrefix(ref, "https://")
}

// linked is the project that the Supabase CLI was told to work with.
func linked(folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "supabase", ".temp", "project-ref")) //nolint:gosec // beside the file that the person names
	if err != nil || len(text) > 100 {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// maxToken bounds what is read as a token; a whole cookie string fits in.
const maxToken = 64 << 10

// role is where a session token comes from. Nothing is asked where that is not wanted, or not possible.
func (cmd Command) role(c console.Console, kind clerk.InstanceKind) (setup.RoleOptions, error) {
	production := kind == clerk.LiveInstance
	switch {
	case cmd.TokenFile != "":
		return setup.RoleOptions{Anew: true, Token: cmd.readToken(c)}, nil
	case cmd.RoleUser != "" && production:
		return setup.RoleOptions{}, console.Usage(errors.New("--role-user is for development instances: in production Clerk opens no session for a key; copy a token from the app and give it with --token-file"))
	case cmd.RoleUser != "":
		return setup.RoleOptions{Anew: true, User: func(context.Context) (string, error) { return string(cmd.RoleUser), nil }, Again: cmd.again(c)}, nil
	case cmd.Plan || cmd.Yes || c.Keyboard() == nil:
		return setup.RoleOptions{}, nil
	case production:
		return setup.RoleOptions{Token: func(ctx context.Context, refused error) (secret.Value, error) {
			what := "Session token"
			if refused == nil {
				c.Say("Whether session tokens have the claim role shows in one alone. Copy one from your app, signed in as anyone.")
			} else {
				c.Say("clerksync: %v", refused)
				what = "Another session token"
			}
			typed, err := c.AskHidden(ctx, what+" (not shown, kept nowhere; Enter goes on without): ", maxToken)
			return secret.New(strings.TrimSpace(typed)), err
		}}, nil
	}
	return setup.RoleOptions{Again: cmd.again(c), User: func(ctx context.Context) (string, error) {
		c.Say("Whether session tokens have the claim role shows in one alone. For a user that you name a session can be opened, and ended after a look at its token.")
		return c.Ask(ctx, "User, an id from the Users page of the Clerk dashboard (Enter goes on without): ")
	}}, nil
}

// readToken reads the file of --token-file, which has one token.
func (cmd Command) readToken(c console.Console) func(context.Context, error) (secret.Value, error) {
	read := false
	return func(ctx context.Context, refused error) (secret.Value, error) {
		if errors.Is(refused, setup.ErrNotThisToken) {
			return secret.Value{}, console.Usage(fmt.Errorf("--token-file: %w", refused))
		}
		if read {
			return secret.Value{}, nil // there is no other
		}
		read = true
		text, err := c.ReadGiven(ctx, string(cmd.TokenFile), maxToken)
		if text = strings.TrimSpace(text); err == nil && text == "" {
			err = console.Usage(errors.New("what --token-file names is empty"))
		}
		return secret.New(text), err
	}
}

// again has a person say when Clerk was told to add the claim; nil where no one is asked.
func (cmd Command) again(c console.Console) func(context.Context, string) (bool, error) {
	if cmd.Yes || c.Keyboard() == nil {
		return nil
	}
	return func(ctx context.Context, what string) (bool, error) {
		c.Say("clerksync: role: %s", what)
		answer, err := c.Ask(ctx, "Press Enter when that is done, to look at another token, or type skip: ")
		return answer == "", err
	}
}
