package setup_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/supabase/management"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/managementdouble"
)

// uninstall is that of a person who gives everything.
func (w *world) uninstall(t *testing.T, change ...func(*setup.UninstallOptions)) *setup.Uninstall {
	t.Helper()
	client, err := management.New(management.Options{Token: secret.New(accounts.AccessToken), URL: w.API})
	if err != nil {
		t.Fatal(err)
	}
	o := setup.UninstallOptions{
		State: setup.NewStateFile(w.folder), Folder: w.folder, Supabase: client, Project: accounts.Project,
		OwnerPassword: func(context.Context) (secret.Value, error) { return secret.New(accounts.OwnerPassword), nil },
		Secrets:       func(string) setup.SecretStore { return w.deployed },
	}
	for _, f := range change {
		f(&o)
	}
	return setup.NewUninstall(o)
}

func withData(o *setup.UninstallOptions) { o.DropData = true }

func removeAll(t *testing.T, u *setup.Uninstall) (setup.Plan, error) {
	t.Helper()
	plan, err := setup.Look(t.Context(), u.Steps())
	if err != nil {
		return plan, err
	}
	return plan, setup.Carry(t.Context(), u.Steps(), plan, setup.Carrying{Pause: time.Millisecond})
}

// setUp sets everything up, beside what a team has.
func setUp(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.deployed = &deployedSecret{held: map[string]string{"TEAM_KEY": "theirs", "CLERK_SECRET_KEY": "theirs before"}}
	if err := os.WriteFile(w.file(), []byte("# The team's.\nTEAM_KEY=theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, w.setup(t))
	return w
}

// owner runs SQL as the database's owner.
func (w *world) owner(t *testing.T, sql string, into ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if len(into) == 0 {
		_, err = conn.Exec(t.Context(), sql)
	} else {
		err = conn.QueryRow(t.Context(), sql).Scan(into...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// gone checks that nothing is left but what is a team's.
func (w *world) gone(t *testing.T, copied bool) {
	t.Helper()
	text, err := os.ReadFile(w.file())
	if err != nil || string(text) != "# The team's.\nTEAM_KEY=theirs\n" {
		t.Errorf("the file has %q, %v, want the team's lines", text, err)
	}
	entries, err := os.ReadDir(w.folder)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v, want the file alone", entries, err)
	}
	if providers := w.Supabase.Providers(accounts.Project); len(providers) != 0 {
		t.Errorf("the project trusts %+v", providers)
	}
	// What was there before has this program's value, and is not its to take.
	if want := []string{"CLERK_SECRET_KEY", "TEAM_KEY"}; !slices.Equal(slices.Sorted(maps.Keys(w.deployed.held)), want) {
		t.Errorf("the secret has %v, want %v", slices.Sorted(maps.Keys(w.deployed.held)), want)
	}
	var schemas, roles int
	w.owner(t, `select (select count(*) from pg_namespace where nspname in ('clerk_sync', 'clerk')), (select count(*) from pg_roles where rolname like 'clerksync%')`, &schemas, &roles)
	if want := map[bool]int{true: 6, false: 0}[copied]; schemas+roles != want {
		t.Errorf("%d schemas and %d roles are left, want %d in all", schemas, roles, want)
	}
}

func TestUninstall_RemovesWhatSetupHasMadeAndKeepsTheCopy(t *testing.T) {
	t.Parallel()
	w := setUp(t)
	logins := w.settings(t)
	plan, err := removeAll(t, w.uninstall(t))
	if err != nil || plan.Writes() != 5 {
		t.Fatalf("%+v, %v, want five writes", plan, err)
	}
	w.gone(t, true)
	for _, key := range []string{"DATABASE_URL", "DIAGNOSTICS_DATABASE_URL"} {
		if conn, err := pgx.Connect(t.Context(), logins[key]); err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s still works", key)
		}
	}
	var users int
	if w.owner(t, "select count(*) from public.users", &users); users != accounts.Users {
		t.Errorf("the copy has %d users, want %d", users, accounts.Users)
	}
	if plan, err := removeAll(t, w.uninstall(t)); err != nil || !plan.Done() {
		t.Errorf("the second time: %+v, %v, want nothing to do", plan, err)
	}

	// And all of it can be had again.
	if err := os.Remove(w.file()); err != nil {
		t.Fatal(err)
	}
	mustRun(t, w.setup(t))
	w.whole(t)
}

func TestUninstall_LooksAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := setUp(t)
	before, err := os.ReadFile(filepath.Join(w.folder, ".clerksync", "setup.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.forbidWrites(t)
	if plan, err := setup.Look(t.Context(), w.uninstall(t, withData).Steps()); err != nil || plan.Writes() != 7 {
		t.Errorf("Look = %+v, %v, want seven writes", plan, err)
	}
	// Without a password and a token it says what it has not looked at, and would keep what tells of it.
	plan, err := setup.Look(t.Context(), w.uninstall(t, func(o *setup.UninstallOptions) { o.OwnerPassword, o.Supabase = nil, nil }).Steps())
	var unknown []string
	for _, e := range plan {
		if e.Status == setup.Unknown {
			unknown = append(unknown, e.Step)
		}
		if e.Step == "record" && e.Status != setup.Done {
			t.Errorf("the record would go: %+v", e)
		}
	}
	if err != nil || !slices.Equal(unknown, []string{"provider", "database"}) {
		t.Errorf("unknown is %v, %v, want provider and database", unknown, err)
	}
	after, err := os.ReadFile(filepath.Join(w.folder, ".clerksync", "setup.json"))
	if err != nil || string(after) != string(before) {
		t.Errorf("the state was changed: %v", err)
	}
	w.owner(t, "select 1 from public.users limit 1", new(int))
}

func TestUninstall_LeavesWhatWasChangedSince(t *testing.T) {
	t.Parallel()
	w := setUp(t)
	if err := setup.NewEnvFile(w.file()).Set(map[string]string{"SUPABASE_URL": "https://api.example.com"}); err != nil {
		t.Fatal(err)
	}
	w.deployed.held["CLERK_PUBLISHABLE_KEY"] = "theirs now"
	plan, err := removeAll(t, w.uninstall(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.settings(t); len(got) != 2 || got["SUPABASE_URL"] != "https://api.example.com" || got["TEAM_KEY"] != "theirs" {
		t.Errorf("the file has %v", slices.Sorted(maps.Keys(got)))
	}
	if w.deployed.held["CLERK_PUBLISHABLE_KEY"] != "theirs now" || len(w.deployed.held) != 3 {
		t.Errorf("the secret has %v", slices.Sorted(maps.Keys(w.deployed.held)))
	}
	said := ""
	for _, e := range plan {
		said += e.Detail + "\n"
	}
	for _, want := range []string{"which stay: SUPABASE_URL", "which stay: CLERK_PUBLISHABLE_KEY"} {
		if !strings.Contains(said, want) || strings.Contains(said, "theirs now") {
			t.Errorf("the plan says %s, want %q and no value", said, want)
		}
	}
}

// The provider that another has registered stays, as does one of two of the same issuer.
func TestUninstall_RemovesNoProviderOfAnothers(t *testing.T) {
	t.Parallel()
	w := setUp(t)
	for _, issuer := range []string{w.Clerk, "https://clerk.other.example"} {
		if _, err := w.Supabase.Register(t.Context(), accounts.Project, managementdouble.Registration{OIDCIssuerURL: issuer}); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := removeAll(t, w.uninstall(t))
	if err != nil || plan[0].Status != setup.Left || len(w.Supabase.Providers(accounts.Project)) != 3 {
		t.Errorf("%+v, %v, want what is not certain left", plan[0], err)
	}
	if state, err := setup.NewStateFile(w.folder).Read(); err != nil || len(state.Providers) != 1 {
		t.Errorf("the state names %+v, %v, want it kept", state.Providers, err)
	}
}

func TestUninstall_DropsTheCopyWhereNothingOfTheTeamsStandsOnIt(t *testing.T) {
	t.Parallel()
	w := setUp(t)
	w.owner(t, "create view public.team as select clerk_id from public.users")
	plan, err := setup.Look(t.Context(), w.uninstall(t, withData).Steps())
	if err == nil || !strings.Contains(err.Error(), "view public.team") || plan[len(plan)-1].Status != setup.Blocked {
		t.Fatalf("%+v, %v, want a refusal that names the view", plan, err)
	}
	// One that is made after the plan was shown.
	w.owner(t, "drop view public.team")
	u := w.uninstall(t, withData)
	if plan, err = setup.Look(t.Context(), u.Steps()); err != nil {
		t.Fatal(err)
	}
	w.owner(t, "create view public.team as select clerk_id from public.users")
	if err := setup.Carry(t.Context(), u.Steps(), plan, setup.Carrying{}); err == nil || !strings.Contains(err.Error(), "view public.team") {
		t.Errorf("%v, want a refusal", err)
	}
	w.owner(t, "select 1 from public.team limit 1", new(int))
	w.owner(t, "drop view public.team")
	if _, err := removeAll(t, w.uninstall(t, withData)); err != nil {
		t.Fatal(err)
	}
	w.gone(t, false)
	if plan, err := removeAll(t, w.uninstall(t, withData)); err != nil || !plan.Done() {
		t.Errorf("the second time: %+v, %v, want nothing to do", plan, err)
	}
}

// Killed before and after every effect, one after the other, it goes on each time.
func TestUninstall_GoesOnAfterAnEndAnywhere(t *testing.T) {
	t.Parallel()
	w := setUp(t)
	kills := 0
	for moment := 1; ; moment = moment%2 + 1 {
		u := w.uninstall(t, withData)
		moments := 0
		setup.InterruptUninstall(u, func() error {
			if moments++; moments == moment {
				return errKilled
			}
			return nil
		})
		_, err := removeAll(t, u)
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("after %d ends: %v", kills, err)
		}
		if kills++; kills > 40 {
			t.Fatal("it does not come to an end")
		}
		if _, err := setup.NewStateFile(w.folder).Read(); err != nil {
			t.Errorf("after %d ends: %v", kills, err)
		}
		w.hidesSecrets(t)
	}
	if kills < 12 {
		t.Errorf("it was killed %d times, want before and after everything", kills)
	}
	w.gone(t, false)
}
