package setup_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/fullsync"
	"clerksync/shared/mirror"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/supabase"
	"clerksync/shared/supabase/management"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// world is what there is outside, and a folder to work in.
type world struct {
	*accounts.Accounts
	folder string
	// deployed is what functions read; nil: nothing is deployed.
	deployed *deployedSecret
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return &world{Accounts: accounts.NewDevelopment(t), folder: t.TempDir()}
}

func (w *world) file() string { return filepath.Join(w.folder, ".env") }

// options are those of a person who gives everything.
func (w *world) options(t *testing.T) setup.Options {
	t.Helper()
	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: secret.New(w.SecretKey), URL: w.Clerk + "/v1", Share: 1})
	if err != nil {
		t.Fatal(err)
	}
	client, err := management.New(management.Options{Token: secret.New(accounts.AccessToken), URL: w.API})
	if err != nil {
		t.Fatal(err)
	}
	o := setup.Options{
		SecretKey: secret.New(w.SecretKey), PublishableKey: w.PublishableKey, Issuer: w.Clerk,
		Clerk: backend, Supabase: client, Project: accounts.Project,
		OwnerPassword: func(context.Context) (secret.Value, error) { return secret.New(accounts.OwnerPassword), nil },
		Role:          setup.RoleOptions{User: func(context.Context) (string, error) { return w.User, nil }},
		Fill:          filled(backend),
		File:          setup.NewEnvFile(w.file()), State: setup.NewStateFile(w.folder),
	}
	if w.deployed != nil {
		o.Secret, o.SecretKeys = w.deployed, []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_INSTANCE_ID", "DATABASE_URL", "DIAGNOSTICS_DATABASE_URL"}
	}
	return o
}

func filled(backend *clerk.Backend) func(context.Context, secret.Value) error {
	return func(ctx context.Context, writer secret.Value) error {
		parsed, err := supabase.Parse(supabase.Options{URL: writer})
		if err != nil {
			return err
		}
		db := supabase.Open(supabase.Fixed(parsed))
		defer db.Close()
		_, err = fullsync.Run(ctx, fullsync.Options{Clerk: backend, Store: mirror.New(db), Trigger: "cli"})
		return err
	}
}

func (w *world) setup(t *testing.T, change ...func(*setup.Options)) *setup.Setup {
	t.Helper()
	o := w.options(t)
	for _, f := range change {
		f(&o)
	}
	s, err := setup.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run looks, agrees to everything, and carries it out.
func run(t *testing.T, s *setup.Setup) (setup.Plan, error) {
	t.Helper()
	plan, err := setup.Look(t.Context(), s.Steps())
	if err != nil {
		return plan, err
	}
	return plan, setup.Carry(t.Context(), s.Steps(), plan, setup.Carrying{Pause: time.Millisecond, Wait: 100 * time.Millisecond})
}

func mustRun(t *testing.T, s *setup.Setup) setup.Plan {
	t.Helper()
	plan, err := run(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// settings are those in the file.
func (w *world) settings(t *testing.T) map[string]string {
	t.Helper()
	values, err := setup.NewEnvFile(w.file()).Read()
	if err != nil {
		t.Fatal(err)
	}
	return values
}
