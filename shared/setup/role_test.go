package setup_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/tokens"
	"clerksync/shared/secret"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/accounts"
)

// development is a world without a database, which the role does not need.
func development(t *testing.T) *world {
	t.Helper()
	return &world{Accounts: accounts.NewAPIs(t, accounts.TestKey), folder: t.TempDir()}
}

// roleStep are the steps of a set-up that are about the role: one.
func roleStep(s *setup.Setup) []setup.Step {
	return slices.DeleteFunc(s.Steps(), func(step setup.Step) bool { return step.ID != "role" })
}

// look agrees to what the step would do and has it done. It returns the plan's entry, and what was told last.
func look(t *testing.T, s *setup.Setup) (planned, last setup.Entry, err error) {
	t.Helper()
	plan, err := setup.Look(t.Context(), roleStep(s))
	if err != nil {
		return plan[0], last, err
	}
	err = setup.Carry(t.Context(), roleStep(s), plan, setup.Carrying{Report: func(e setup.Entry, _ string) { last = e }})
	return plan[0], last, err
}

// state is what the state file says.
func (w *world) state(t *testing.T) setup.State {
	t.Helper()
	state, err := setup.NewStateFile(w.folder).Read()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func (w *world) endsNoSessionOf(t *testing.T, sessions int) {
	t.Helper()
	if n, state := w.Sessions(), w.state(t); n != sessions || len(state.Sessions) != 0 {
		t.Errorf("%d sessions are open, and the state names %+v; want %d and none", n, state.Sessions, sessions)
	}
}

func TestRole_IsSeenInATokenOfANamedUser(t *testing.T) {
	t.Parallel()
	w := development(t)
	planned, last, err := look(t, w.setup(t))
	if err != nil || len(planned.Writes) != 1 || !strings.Contains(planned.Writes[0], w.User) || last.Status != setup.Done {
		t.Errorf("planned %+v, ended as %+v, %v, want one write for the user, and done", planned, last, err)
	}
	w.endsNoSessionOf(t, 0)

	// The second time it asks for no user, and Clerk for no token.
	w.forbidWrites(t)
	planned, last, err = look(t, w.setup(t, func(o *setup.Options) {
		o.Role.User = func(context.Context) (string, error) { return "", errors.New("asked") }
	}))
	if err != nil || planned.Status != setup.Done || last.Status != setup.Done {
		t.Errorf("the second time: %+v, %+v, %v, want done", planned, last, err)
	}
	w.InterceptClerk.Store(nil)

	// It may be gone: asked to look anew, the step finds out.
	w.WithoutRole.Store(true)
	anew := func(o *setup.Options) { o.Role.Anew = true }
	if _, last, err = look(t, w.setup(t, anew)); err != nil || last.Status != setup.Left {
		t.Errorf("looked at anew: %+v, %v, want left", last, err)
	}
	if planned, _, _ = look(t, w.setup(t, func(o *setup.Options) { o.Role = setup.RoleOptions{} })); planned.Status != setup.Unknown {
		t.Errorf("after the claim was missing: %+v, want unknown", planned)
	}
}

func TestRole_IsLeftToAPersonWhereATokenLacksIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.WithoutRole.Store(true)
	plan, err := setup.Look(t.Context(), w.setup(t).Steps())
	if err != nil || plan.Done() {
		t.Fatalf("Look = %+v, %v", plan, err)
	}
	// What comes behind it is done all the same.
	var last []string
	s := w.setup(t)
	if plan, err = setup.Look(t.Context(), s.Steps()); err != nil {
		t.Fatal(err)
	}
	err = setup.Carry(t.Context(), s.Steps(), plan, setup.Carrying{Pause: time.Millisecond, Report: func(e setup.Entry, what string) {
		if what == "" {
			last = append(last, string(e.Status)+" "+e.Step)
		}
		if e.Status == setup.Left && !strings.Contains(e.Detail, "dashboard.clerk.com/setup/supabase") {
			t.Errorf("it does not say what to do: %s", e.Detail)
		}
	}})
	if want := []string{"done keys", "done project", "done database", "done provider", "left role", "done rows"}; err != nil || !slices.Equal(last, want) {
		t.Errorf("Carry = %v with %v, want %v", err, last, want)
	}
	w.endsNoSessionOf(t, 0)

	// A person who has done it is believed by a second token.
	var told []string
	_, entry, err := look(t, w.setup(t, func(o *setup.Options) {
		o.Role.Again = func(_ context.Context, what string) (bool, error) {
			if n := w.Sessions(); n != 0 {
				t.Errorf("%d sessions are open while a person is asked", n)
			}
			told = append(told, what)
			w.WithoutRole.Store(len(told) < 2)
			return true, nil
		}
	}))
	if err != nil || entry.Status != setup.Done || len(told) != 2 || !strings.Contains(told[0], "dashboard.clerk.com/setup/supabase") {
		t.Errorf("after it was activated: %+v, %v, told %q, want done at the third token", entry, err, told)
	}
	w.endsNoSessionOf(t, 0)
}

func TestRole_IsUnknownWhereNoTokenWasLookedAt(t *testing.T) {
	t.Parallel()
	for name, role := range map[string]setup.RoleOptions{
		"nothing is given":     {},
		"no user is named":     {User: func(context.Context) (string, error) { return "", nil }},
		"no token is given":    {Token: func(context.Context, error) (secret.Value, error) { return secret.Value{}, nil }},
		"anew, and no user is": {User: func(context.Context) (string, error) { return "", nil }, Anew: true},
	} {
		w := development(t)
		w.forbidWrites(t)
		planned, last, err := look(t, w.setup(t, func(o *setup.Options) { o.Role = role }))
		if err != nil || planned.Status != setup.Unknown || last.Status != setup.Unknown || !strings.Contains(last.Detail, "--role-user") {
			t.Errorf("%s: %+v, %+v, %v, want unknown and how to look", name, planned, last, err)
		}
	}
	// In production no session is opened, for no user.
	w := &world{Accounts: accounts.NewAPIs(t, accounts.SecretKey), folder: t.TempDir()}
	w.forbidWrites(t)
	if planned, _, err := look(t, w.setup(t)); err != nil || planned.Status != setup.Unknown || !strings.Contains(planned.Detail, "--token-file") {
		t.Errorf("in production: %+v, %v, want unknown and how to look", planned, err)
	}
	for role, want := range map[*setup.RoleOptions]string{
		{User: func(context.Context) (string, error) { return "user_unknown", nil }}:                              "no such object",
		{User: func(context.Context) (string, error) { return "", errors.New("hung up") }}:                        "hung up",
		{User: func(context.Context) (string, error) { return "jane@example.com", nil }}:                          "user_…",
		{Token: func(context.Context, error) (secret.Value, error) { return secret.Value{}, errors.New("gone") }}: "gone",
	} {
		w := development(t)
		w.forbidWrites(t)
		planned, _, err := look(t, w.setup(t, func(o *setup.Options) { o.Role = *role }))
		if err == nil || planned.Status != setup.Blocked || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "jane") {
			t.Errorf("%+v, %v, want blocked and %q", planned, err, want)
		}
	}
}

// pasted hands out tokens one after the other, and notes what is said of each.
func pasted(t *testing.T, told *[]string, list ...string) setup.RoleOptions {
	t.Helper()
	return setup.RoleOptions{Token: func(_ context.Context, refused error) (secret.Value, error) {
		why := ""
		if refused != nil {
			why = refused.Error()
		}
		*told = append(*told, why)
		if len(list) == 0 {
			return secret.Value{}, nil
		}
		next := list[0]
		list = list[1:]
		return secret.New(next), nil
	}}
}

func TestRole_IsSeenInATokenThatIsPasted(t *testing.T) {
	t.Parallel()
	w := &world{Accounts: accounts.NewAPIs(t, accounts.SecretKey), folder: t.TempDir()}
	user, err := w.Instance.SignUp(clerkinstance.Person{Username: "ines"})
	if err != nil {
		t.Fatal(err)
	}
	mint := func(mint *tokens.Mint, o tokens.Options) string {
		token, err := mint.SessionToken(o)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := mint(w.Mint, tokens.Options{UserID: user.ID, At: time.Now().Add(-time.Hour)})
	without := mint(w.Mint, tokens.Options{UserID: user.ID, WithoutRole: true})
	if err := w.Mint.SetTemplate(tokens.Template{Name: "mine", Claims: map[string]any{"role": "authenticated"}}); err != nil {
		t.Fatal(err)
	}
	template, err := w.Mint.TemplateToken("mine", tokens.Options{UserID: user.ID})
	if err != nil {
		t.Fatal(err)
	}
	other := clerkinstance.New(clerkinstance.Options{Seed: 9})
	stranger, err := other.SignUp(clerkinstance.Person{Username: "ines"})
	if err != nil {
		t.Fatal(err)
	}
	foreign := mint(tokens.New(other, w.Clerk), tokens.Options{UserID: stranger.ID})
	w.forbidWrites(t)
	before := w.Sessions()

	var told []string
	planned, last, err := look(t, w.setup(t, func(o *setup.Options) {
		o.Role = pasted(t, &told, "hunter2", foreign, template, w.SecretKey, without, "Bearer "+good)
	}))
	if err != nil || len(planned.Writes) != 1 || !strings.Contains(planned.Writes[0], "note in") || last.Status != setup.Done {
		t.Errorf("planned %+v, ended as %+v, %v, want a note, and done", planned, last, err)
	}
	for i, want := range []string{"", "not a session token of the instance", "not a session token of the instance", "it is a token of a Clerk JWT template", "it is", "dashboard.clerk.com/setup/supabase"} {
		if i >= len(told) || !strings.Contains(told[i], want) {
			t.Errorf("told %q, want %q at %d", told, want, i)
		}
	}
	for _, hidden := range []string{"hunter2", "eyJ", w.SecretKey} {
		if strings.Contains(strings.Join(told, " ")+planned.Detail+last.Detail, hidden) {
			t.Errorf("it tells a token: %q", told)
		}
	}
	w.endsNoSessionOf(t, before)
	w.hidesSecrets(t)

	// Anew, the last one that was given counts.
	told = nil
	planned, last, err = look(t, w.setup(t, func(o *setup.Options) {
		o.Role = pasted(t, &told, without)
		o.Role.Anew = true
	}))
	if err != nil || len(planned.Writes) != 1 || last.Status != setup.Left || len(w.state(t).Roles) != 0 {
		t.Errorf("anew: planned %+v, ended as %+v, %v, want left, and no note of before", planned, last, err)
	}
}

// Killed at each moment of the look, the next run leaves no session, and knows the role.
func TestRole_LeavesNoSessionWhereverTheLookIsKilled(t *testing.T) {
	t.Parallel()
	for _, lacking := range []bool{false, true} {
		w := development(t)
		w.WithoutRole.Store(lacking)
		// A session of the user's own is left alone, wherever it begins.
		if _, err := w.Instance.OpenSession(w.User, ""); err != nil {
			t.Fatal(err)
		}
		open := 0
		for moment := 1; ; moment++ {
			if err := os.RemoveAll(filepath.Join(w.folder, ".clerksync")); err != nil {
				t.Fatal(err)
			}
			s, moments := w.setup(t), 0
			setup.Interrupt(s, func() error {
				if moments++; moments >= moment {
					return errKilled
				}
				return nil
			})
			_, _, err := look(t, s)
			if err == nil {
				if moment < 13 {
					t.Errorf("the look has %d moments, want before and after six effects", moment-1)
				}
				break
			}
			if !errors.Is(err, errKilled) {
				t.Fatalf("killed at moment %d: %v", moment, err)
			}
			open = max(open, w.Sessions())
			w.hidesSecrets(t)
			if len(w.state(t).Roles) > 0 {
				// Its last moment: the next run finds it done.
				if !lacking && w.Sessions() != 1 {
					t.Errorf("killed at moment %d: the role is noted with %d sessions open", moment, w.Sessions())
				}
			}
			_, last, err := look(t, w.setup(t))
			if want := map[bool]setup.Status{false: setup.Done, true: setup.Left}[lacking]; err != nil || last.Status != want {
				t.Errorf("after an end at moment %d: %+v, %v, want %s", moment, last, err, want)
			}
			w.endsNoSessionOf(t, 1)
		}
		if open != 2 {
			t.Errorf("at most %d sessions were open, want two: the user's and ours", open)
		}
	}
}

// What is called while the session is open may fail in each way; the session is ended.
func TestRole_EndsTheSessionWhereTheLookFails(t *testing.T) {
	t.Parallel()
	lost := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
	refused := func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = rw.Write([]byte(`{"errors":[{"code":"forbidden","message":"no"}]}`))
	}
	foreign := func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"object":"token","jwt":"eyJhbGciOiJub25lIn0.e30."}`))
	}
	for name, tt := range map[string]struct {
		path string
		do   func(rw http.ResponseWriter, r *http.Request, next http.Handler)
		want string
	}{
		"the answer to the opening is lost": {"/v1/sessions", lost, "may have been carried out"},
		"the opening is refused":            {"/v1/sessions", refused, "answered 403"},
		"the token is lost":                 {"/tokens", lost, "may have been carried out"},
		"the token is refused":              {"/tokens", refused, "answered 403"},
		"the token is another's":            {"/tokens", foreign, "not a session token of the instance"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := development(t)
			var opened int
			asked := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, tt.path) {
					opened++
					tt.do(rw, r, next)
					return
				}
				next.ServeHTTP(rw, r)
			}
			w.InterceptClerk.Store(&asked)
			if _, _, err := look(t, w.setup(t)); err == nil || !strings.Contains(err.Error(), tt.want) || opened != 1 || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("look = %v after %d requests, want one and %q", err, opened, tt.want)
			}
			w.endsNoSessionOf(t, 0)
		})
	}
}

// Ctrl-C while the session is open ends it all the same; where Clerk refuses that, the next run does it.
func TestRole_EndsTheSessionAfterCtrlC(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{false, true} {
		w := development(t)
		ctx, cancel := context.WithCancel(t.Context())
		asked := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/tokens"):
				// Only a request that was read to its end tells that the client hangs up.
				_, _ = io.Copy(io.Discard, r.Body)
				cancel()
				<-r.Context().Done()
			case refused && strings.HasSuffix(r.URL.Path, "/revoke"):
				rw.WriteHeader(http.StatusForbidden)
			default:
				next.ServeHTTP(rw, r)
			}
		}
		w.InterceptClerk.Store(&asked)
		s := w.setup(t)
		plan, err := setup.Look(ctx, roleStep(s))
		if err != nil {
			t.Fatal(err)
		}
		if err := setup.Carry(ctx, roleStep(s), plan, setup.Carrying{}); !errors.Is(err, context.Canceled) || refused != strings.Contains(err.Error(), "the next run ends it") {
			t.Errorf("Carry = %v, want that it was cancelled", err)
		}
		w.InterceptClerk.Store(nil)
		if refused {
			// A run that is not told of a user ends it, too.
			planned, last, err := look(t, w.setup(t, func(o *setup.Options) { o.Role = setup.RoleOptions{} }))
			if err != nil || len(planned.Writes) != 1 || !strings.Contains(planned.Writes[0], "end the session") || last.Status != setup.Unknown {
				t.Errorf("the next run: %+v, %+v, %v", planned, last, err)
			}
		}
		w.endsNoSessionOf(t, 0)
	}
}

// A session that the user opens long after the end of a run is the user's own.
func TestRole_LeavesLaterSessionsAlone(t *testing.T) {
	t.Parallel()
	w := development(t)
	s := w.setup(t)
	moments := 0
	setup.Interrupt(s, func() error {
		if moments++; moments >= 3 {
			return errKilled // before the session is opened
		}
		return nil
	})
	if _, _, err := look(t, s); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	path := filepath.Join(w.folder, ".clerksync", "setup.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := w.state(t).Sessions[0].At
	text = []byte(strings.Replace(string(text), at.Format(time.RFC3339Nano), at.Add(-time.Hour).Format(time.RFC3339Nano), 1))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Instance.OpenSession(w.User, ""); err != nil {
		t.Fatal(err)
	}
	if _, last, err := look(t, w.setup(t)); err != nil || last.Status != setup.Done {
		t.Errorf("%+v, %v, want done", last, err)
	}
	w.endsNoSessionOf(t, 1)
}
