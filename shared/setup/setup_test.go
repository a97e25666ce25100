package setup_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/supabase/management"
	"clerksync/shared/testkit/accounts"
	"clerksync/shared/testkit/histories"
	"clerksync/shared/testkit/managementdouble"
)

// whole checks that everything is as a set-up leaves it.
func (w *world) whole(t *testing.T) {
	t.Helper()
	settings := w.settings(t)
	wantKeys := []string{
		"CLERK_INSTANCE_ID", "CLERK_PUBLISHABLE_KEY", "CLERK_SECRET_KEY", "DATABASE_URL", "DIAGNOSTICS_DATABASE_URL", "SUPABASE_PROJECT_REF", "SUPABASE_URL",
	}
	if keys := slices.Sorted(maps.Keys(settings)); !slices.Equal(keys, wantKeys) {
		t.Errorf("the file has %v, want %v", keys, wantKeys)
	}
	if settings["CLERK_SECRET_KEY"] != w.SecretKey || settings["SUPABASE_URL"] != "https://"+accounts.Project+".supabase.co" {
		t.Errorf("the file has %v", slices.Sorted(maps.Values(settings)))
	}
	info, err := os.Stat(w.file())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has the mode %v, %v, want 0600", info, err)
	}
	providers := w.Supabase.Providers(accounts.Project)
	if len(providers) != 1 || *providers[0].OIDCIssuerURL != w.Clerk {
		t.Errorf("the project trusts %+v, want %s alone", providers, w.Clerk)
	}
	for key, role := range map[string]string{"DATABASE_URL": "clerksync_writer", "DIAGNOSTICS_DATABASE_URL": "clerksync_diagnostics"} {
		conn, err := pgx.Connect(t.Context(), settings[key])
		if err != nil {
			t.Errorf("%s does not work: %v", key, err)
			continue
		}
		var user string
		if err := conn.QueryRow(t.Context(), "select session_user").Scan(&user); err != nil || user != role {
			t.Errorf("%s logs in as %s, %v, want %s", key, user, err, role)
		}
		_ = conn.Close(t.Context())
	}
	var users int
	conn, err := pgx.Connect(t.Context(), w.Owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "select count(*) from public.users").Scan(&users); err != nil || users != 20 {
		t.Errorf("the copy has %d users, %v, want 20", users, err)
	}
	state, err := setup.NewStateFile(w.folder).Read()
	if want := []setup.MadeProvider{{Project: accounts.Project, Issuer: w.Clerk}}; err != nil || !slices.Equal(state.Providers, want) {
		t.Errorf("the state names %+v, %v, want %+v", state.Providers, err, want)
	}
	if n := w.Sessions(); n != 0 || len(state.Sessions) != 0 || len(state.Roles) != 1 || state.Roles[0].Instance != w.Instance.ID() {
		t.Errorf("%d sessions are open, and the state names %+v and %+v, want none and the role of %s", n, state.Sessions, state.Roles, w.Instance.ID())
	}
	entries, err := os.ReadDir(w.folder)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if want := []string{".clerksync", ".env"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the folder has %v, %v, want %v", names, err, want)
	}
	w.hidesSecrets(t)
}

// hidesSecrets checks that no secret is in the state, and none in the file that does not belong there.
func (w *world) hidesSecrets(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.folder, ".clerksync", "setup.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, hidden := range []string{w.SecretKey, accounts.AccessToken, "p@ss", "postgresql:", "eyJ"} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("the state holds %q", hidden)
		}
	}
	text, err = os.ReadFile(w.file())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, hidden := range []string{accounts.AccessToken, "p@ss", "p%40ss", "eyJ"} {
		if strings.Contains(string(text), hidden) {
			t.Errorf("the file holds %q", hidden)
		}
	}
}

func TestSetup_GoesFromNothingToACopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan := mustRun(t, w.setup(t))
	var got []string
	for _, e := range plan {
		got = append(got, string(e.Status)+" "+e.Step)
		for _, what := range e.Writes {
			got = append(got, "  "+strings.NewReplacer(w.Clerk, "ISSUER", w.User, "USER").Replace(what))
		}
	}
	want := []string{
		"todo keys", "  write CLERK_INSTANCE_ID, CLERK_PUBLISHABLE_KEY, CLERK_SECRET_KEY into .env",
		"todo project", "  write SUPABASE_PROJECT_REF, SUPABASE_URL into .env",
		"todo database", "  apply the pending migrations to the database, all in one transaction",
		"  give the role clerksync_diagnostics a password and write its connection string into .env as DIAGNOSTICS_DATABASE_URL",
		"  give the role clerksync_writer a password and write its connection string into .env as DATABASE_URL",
		"todo provider", "  register ISSUER as third-party provider of the project",
		"todo role", "  open a session for the user USER in Clerk, look for the claim role in its token, and end the session",
		"todo rows", "  copy the users, organizations and memberships of Clerk into the database",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the plan (-want +got):\n%s", diff)
	}
	w.whole(t)

	// A second run changes nothing, and needs no password.
	before, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	second := mustRun(t, w.setup(t, func(o *setup.Options) { o.OwnerPassword = nil }))
	after, err := os.ReadFile(w.file())
	if !second.Done() || second.Writes() != 0 || err != nil || string(before) != string(after) {
		t.Errorf("the second run finds %+v, %v, want nothing to do", second, err)
	}
}

func TestLook_WritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forbidWrites(t)
	plan, err := setup.Look(t.Context(), w.setup(t, func(o *setup.Options) { o.OwnerPassword = nil }).Steps())
	if err != nil || plan.Writes() != 8 {
		t.Errorf("Look = %+v, %v, want eight writes", plan, err)
	}
	if entries, err := os.ReadDir(w.folder); err != nil || len(entries) != 0 {
		t.Errorf("the folder has %v, %v, want nothing", entries, err)
	}
}

// forbidWrites has every call fail the test that is no reading one.
func (w *world) forbidWrites(t *testing.T) {
	asked := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet {
			t.Errorf("Supabase was asked to %s %s", r.Method, r.URL.Path)
		}
		next.ServeHTTP(rw, r)
	}
	w.Intercept.Store(&asked)
	askedClerk := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet {
			t.Errorf("Clerk was asked to %s %s", r.Method, r.URL.Path)
		}
		next.ServeHTTP(rw, r)
	}
	w.InterceptClerk.Store(&askedClerk)
}

var errKilled = errors.New("killed")

// killed runs until the n-th moment before or after an effect, and reports whether it came to that.
func (w *world) killed(t *testing.T, n int, change ...func(*setup.Options)) bool {
	t.Helper()
	s := w.setup(t, change...)
	moments := 0
	setup.Interrupt(s, func() error {
		// What is dead does not clean up either.
		if moments++; moments >= n {
			return errKilled
		}
		return nil
	})
	_, err := run(t, s)
	if err != nil && !errors.Is(err, errKilled) {
		t.Fatalf("killed at moment %d: %v", n, err)
	}
	if _, err := setup.NewStateFile(w.folder).Read(); err != nil {
		t.Errorf("killed at moment %d: %v", n, err)
	}
	w.hidesSecrets(t)
	return err != nil
}

// Killed before and after every effect, one after the other, it goes on each time.
func TestSetup_GoesOnAfterAnEndAnywhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kills := 0
	// What is agreed to is one effect or two: the fourth moment is behind it. The look at a token has more, and a test of its own.
	noRole := func(o *setup.Options) { o.Role = setup.RoleOptions{} }
	for moment := 1; w.killed(t, moment, noRole); moment = moment%4 + 1 {
		if kills++; kills > 60 {
			t.Fatal("it does not come to an end")
		}
	}
	if kills < 16 {
		t.Errorf("it was killed %d times, want before and after everything", kills)
	}
	mustRun(t, w.setup(t))
	w.whole(t)
}

// Where the file has the owner's string and there is no password beside it, what needs the
// owner can be done after an end anywhere.
func TestSetup_KeepsTheOwnersStringForAsLongAsItIsNeeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := setup.NewEnvFile(w.file()).Set(map[string]string{"DATABASE_URL": w.Owner}); err != nil {
		t.Fatal(err)
	}
	fromFile := func(o *setup.Options) {
		o.OwnerPassword = nil
		if url := w.settings(t)["DATABASE_URL"]; !strings.Contains(url, "clerksync_") {
			o.DatabaseURL = secret.New(url)
		}
	}
	kills := 0
	for moment := 1; ; moment = moment%4 + 1 {
		s := w.setup(t, fromFile, func(o *setup.Options) { o.Role = setup.RoleOptions{} })
		moments := 0
		setup.Interrupt(s, func() error {
			if moments++; moments == moment {
				return errKilled
			}
			return nil
		})
		_, err := run(t, s)
		if err == nil {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatalf("after %d ends: %v", kills, err)
		}
		if kills++; kills > 60 {
			t.Fatal("it does not come to an end")
		}
	}
	mustRun(t, w.setup(t, fromFile))
	w.whole(t)
}

func TestSetup_EndsTheSameHoweverItIsKilled(t *testing.T) {
	t.Parallel()
	for seed := range histories.Seeds(1) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w, random := newWorld(t), rand.New(rand.NewPCG(seed, 16))
			w.deployed = &deployedSecret{held: map[string]string{"TEAM_KEY": "theirs"}}
			for range random.IntN(6) + 1 {
				w.killed(t, random.IntN(30)+1)
			}
			mustRun(t, w.setup(t))
			w.whole(t)
			w.deployedWhole(t)
		})
	}
}

func TestSetup_IsRefusedWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := clerkinstance.New(clerkinstance.Options{Seed: 2})
	elsewhere := accounts.Serve(t, other)
	for _, tt := range []struct {
		name   string
		status string
		change func(*setup.Options)
		want   string
	}{
		{"paused project", "INACTIVE", nil, "is paused: restore it"},
		{"project that is being restored", "RESTORING", nil, "is being started"},
		{"project that goes", "GOING_DOWN", nil, "choose another"},
		{"project in another state", "UPGRADING", nil, "is not up (UPGRADING)"},
		{"absent project", "", func(o *setup.Options) { o.Project = "zyxwvutsrqponmlkjihg" }, "no such project"},
		{"keys of two instances", "", func(o *setup.Options) { o.Issuer = elsewhere }, "the keys are of two instances"},
		{"domain that serves nothing", "", func(o *setup.Options) { o.Issuer = w.API }, "DNS records are verified"},
		{"wrong database password", "", func(o *setup.Options) {
			o.OwnerPassword = func(context.Context) (secret.Value, error) { return secret.New("hidden-password"), nil }
		}, "password"},
	} {
		w.Supabase.SetStatus(accounts.Project, "ACTIVE_HEALTHY")
		if tt.status != "" {
			w.Supabase.SetStatus(accounts.Project, tt.status)
		}
		var change []func(*setup.Options)
		if tt.change != nil {
			change = append(change, tt.change)
		}
		plan, err := run(t, w.setup(t, change...))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if len(plan) == 0 || plan[len(plan)-1].Status != setup.Blocked {
			t.Errorf("%s: plan %+v, want it to end with what is blocked", tt.name, plan)
		}
	}
	o := w.options(t)
	o.PublishableKey = accounts.PublishableKey("live")
	if _, err := setup.New(o); err == nil || !strings.Contains(err.Error(), "two instances") {
		t.Errorf("New with a development key and a production publishable key = %v", err)
	}
	if entries, err := os.ReadDir(w.folder); err != nil || len(entries) != 0 {
		t.Errorf("the folder has %v, %v, want nothing", entries, err)
	}
}

func TestSetup_LeavesAnotherInstancesPinAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := os.WriteFile(w.file(), []byte("CLERK_INSTANCE_ID=ins_another\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, w.setup(t)); err == nil || !strings.Contains(err.Error(), "pins the instance ins_another") {
		t.Errorf("run = %v, want that another instance is pinned", err)
	}
}

func TestSetup_WritesNothingThatThePlanDidNotShow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.setup(t)
	mustRun(t, s)
	plan, err := setup.Look(t.Context(), s.Steps())
	if err != nil || !plan.Done() {
		t.Fatalf("Look = %+v, %v", plan, err)
	}
	// Another person removes the provider between plan and run.
	client := w.options(t).Supabase
	if err := client.Unregister(t.Context(), accounts.Project, w.Supabase.Providers(accounts.Project)[0].ID); err != nil {
		t.Fatal(err)
	}
	err = setup.Carry(t.Context(), s.Steps(), plan, setup.Carrying{})
	if !errors.Is(err, setup.ErrChanged) || len(w.Supabase.Providers(accounts.Project)) != 0 {
		t.Errorf("Carry = %v with %d providers, want ErrChanged and none", err, len(w.Supabase.Providers(accounts.Project)))
	}
}

func TestSetup_StopsWhenTheProjectIsPausedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.setup(t)
	plan, err := setup.Look(t.Context(), s.Steps())
	if err != nil {
		t.Fatal(err)
	}
	w.Supabase.SetStatus(accounts.Project, "PAUSING")
	if err := setup.Carry(t.Context(), s.Steps(), plan, setup.Carrying{}); err == nil || !strings.Contains(err.Error(), "is paused") {
		t.Errorf("Carry = %v, want that the project is paused", err)
	}
	w.Supabase.SetStatus(accounts.Project, "ACTIVE_HEALTHY")
	mustRun(t, w.setup(t))
	w.whole(t)
}

func TestSetup_WaitsForSupabaseToHaveTheKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Supabase.ResolveLater(3)
	mustRun(t, w.setup(t))
	w.whole(t)
}

func TestSetup_SaysWhenSupabaseNeverGetsTheKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Supabase.ResolveLater(-1)
	for range 2 {
		if _, err := run(t, w.setup(t)); !errors.Is(err, setup.ErrStillWaiting) || !strings.Contains(err.Error(), "openid-configuration") {
			t.Errorf("run = %v, want ErrStillWaiting and where to look", err)
		}
	}
	if n := len(w.Supabase.Providers(accounts.Project)); n != 1 {
		t.Errorf("%d registrations, want the one of the first run", n)
	}
}

func TestSetup_ReplacesAnotherInstanceOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Supabase.Register(t.Context(), accounts.Project, managementdouble.Registration{OIDCIssuerURL: "https://old.clerk.accounts.dev"}); err != nil {
		t.Fatal(err)
	}
	plan := mustRun(t, w.setup(t))
	if n := len(w.Supabase.Providers(accounts.Project)); n != 2 {
		t.Errorf("%d providers, want the other one kept: %+v", n, plan)
	}
	// The order: the new one is proved before the old one goes.
	replace := func(o *setup.Options) { o.ReplaceProviders = true }
	mustRun(t, w.setup(t, replace))
	w.whole(t)
}

func TestSetup_KeepsTheOldProviderUntilTheNewOneIsProved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Supabase.Register(t.Context(), accounts.Project, managementdouble.Registration{OIDCIssuerURL: "https://old.clerk.accounts.dev"}); err != nil {
		t.Fatal(err)
	}
	w.Supabase.ResolveLater(-1)
	_, err := run(t, w.setup(t, func(o *setup.Options) { o.ReplaceProviders = true }))
	if !errors.Is(err, setup.ErrStillWaiting) || len(w.Supabase.Providers(accounts.Project)) != 2 {
		t.Errorf("run = %v with %d providers, want both while the new one is not proved", err, len(w.Supabase.Providers(accounts.Project)))
	}
}

// Two people at once: the younger registration goes, with the next run of either.
func TestSetup_RemovesASecondRegistration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		if _, err := w.Supabase.Register(t.Context(), accounts.Project, managementdouble.Registration{OIDCIssuerURL: w.Clerk}); err != nil {
			t.Fatal(err)
		}
	}
	first := w.Supabase.Providers(accounts.Project)[0].ID
	mustRun(t, w.setup(t))
	if got := w.Supabase.Providers(accounts.Project); len(got) != 1 || got[0].ID != first {
		t.Errorf("providers = %+v, want the older one", got)
	}
}

// An answer that is cut in half leaves open whether it worked: the next run looks.
func TestSetup_RegistersOnceThoughTheAnswerIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var cut atomic.Bool
	asked := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPost && !cut.Swap(true) {
			managementdouble.Halve(rw, r, next)
			return
		}
		next.ServeHTTP(rw, r)
	}
	w.Intercept.Store(&asked)
	if _, err := run(t, w.setup(t)); !errors.Is(err, management.ErrUnavailable) {
		t.Fatalf("run = %v, want that the answer was lost", err)
	}
	mustRun(t, w.setup(t))
	w.whole(t)
}

func TestSetup_TakesTheOwnersStringInPlaceOfAPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mustRun(t, w.setup(t, func(o *setup.Options) {
		o.OwnerPassword, o.DatabaseURL = nil, secret.New(w.Owner)
	}))
	w.whole(t)
}
