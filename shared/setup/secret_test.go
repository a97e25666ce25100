package setup_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"

	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/accounts"
)

// deployedSecret is what functions read.
type deployedSecret struct {
	mu     sync.Mutex
	held   map[string]string
	writes int
	fails  error
}

func (d *deployedSecret) Name() string { return "clerksync" }

func (d *deployedSecret) Read(context.Context) (map[string]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.held), d.fails
}

func (d *deployedSecret) Merge(_ context.Context, values map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		d.held = map[string]string{}
	}
	maps.Copy(d.held, values)
	d.writes++
	return nil
}

func (d *deployedSecret) Remove(_ context.Context, values map[string]string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.held, func(key, value string) bool { v, named := values[key]; return named && v == value })
	return nil
}

// deployedWhole checks that functions have what they need, and nothing else was touched.
func (w *world) deployedWhole(t *testing.T) {
	t.Helper()
	file := w.settings(t)
	for _, key := range []string{"CLERK_SECRET_KEY", "CLERK_PUBLISHABLE_KEY", "CLERK_INSTANCE_ID", "DATABASE_URL", "DIAGNOSTICS_DATABASE_URL"} {
		if w.deployed.held[key] == "" || w.deployed.held[key] != file[key] {
			t.Errorf("the functions' %s is not that of the file", key)
		}
	}
	if w.deployed.held["TEAM_KEY"] != "theirs" || len(w.deployed.held) != 6 {
		t.Errorf("the secret has %d settings, want five and the team's own", len(w.deployed.held))
	}
}

func TestSetup_StoresWhatFunctionsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deployed = &deployedSecret{held: map[string]string{"TEAM_KEY": "theirs"}}
	if err := os.WriteFile(w.file(), []byte("SUPABASE_ACCESS_TOKEN="+accounts.AccessToken+"\nAN_APPS_KEY=x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := mustRun(t, w.setup(t))
	found := false
	for _, e := range plan {
		found = found || e.Step == "secret" && e.Status == setup.Open
	}
	if !found {
		t.Errorf("the plan has no open step secret: %+v", plan)
	}
	w.deployedWhole(t)
	writes := w.deployed.writes
	if plan := mustRun(t, w.setup(t)); !plan.Done() || w.deployed.writes != writes {
		t.Errorf("the second time: %+v, %d writes", plan, w.deployed.writes-writes)
	}
}

// The owner may do everything: a file that still has its string is no reason to hand it to functions.
func TestSetup_StoresNoOwnersString(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deployed = &deployedSecret{}
	if err := os.WriteFile(w.file(), []byte("DATABASE_URL='"+w.Owner+"'\nCLERK_SECRET_KEY="+w.SecretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := w.setup(t, func(o *setup.Options) { o.DatabaseURL = secret.New(w.Owner) })
	steps := s.Steps()
	only := steps[:0:0]
	for _, step := range steps {
		if step.ID == "secret" {
			only = append(only, step)
		}
	}
	plan, err := setup.Look(t.Context(), only)
	if err != nil {
		t.Fatal(err)
	}
	if err := setup.Carry(t.Context(), only, plan, setup.Carrying{}); err == nil || !strings.Contains(err.Error(), "without --only") || len(w.deployed.held) != 0 {
		t.Errorf("%v, stored %d settings; want a refusal and none", err, len(w.deployed.held))
	}
}

func TestSetup_EndsWhereTheSecretCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.deployed = &deployedSecret{fails: errors.New("access denied")}
	if _, err := run(t, w.setup(t)); err == nil || !strings.Contains(err.Error(), "secret: access denied") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(w.file()); err == nil {
		t.Error("something was written before the plan was whole")
	}
}
