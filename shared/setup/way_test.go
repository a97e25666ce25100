package setup_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/setup"
	"clerksync/shared/testkit/accounts"
	"clerksync/sql/migrate"
)

// by is that of a person who has no database password.
func by(way setup.Way) func(*setup.Options) {
	return func(o *setup.Options) { o.OwnerPassword, o.By = nil, way }
}

func TestSetup_NeedsNoDatabasePassword(t *testing.T) {
	t.Parallel()
	for way, first := range map[setup.Way]string{setup.ByLogin: "have Supabase make a short-lived login", setup.BySQL: "apply the pending migrations"} {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			plan := mustRun(t, w.setup(t, by(way)))
			for _, e := range plan {
				if e.Step == "database" && (len(e.Writes) < 3 || !strings.HasPrefix(e.Writes[0], first)) {
					t.Errorf("the plan says %q, want it to begin with %q", e.Writes, first)
				}
			}
			w.whole(t)
			// What was made is the owner's, as it would be with the password.
			var owner string
			if w.owner(t, "select string_agg(distinct relowner::regrole::text, ', ') from pg_class where relnamespace = 'clerk_sync'::regnamespace", &owner); owner != postgres.Owner {
				t.Errorf("the copy is owned by %s, want %s", owner, postgres.Owner)
			}
			if plan := mustRun(t, w.setup(t, by(way))); !plan.Done() {
				t.Errorf("the second time: %+v, want nothing to do", plan)
			}
		})
	}
}

func TestSetup_MakesNoLoginBeforeThePlanIsAgreedTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forbidWrites(t)
	if plan, err := setup.Look(t.Context(), w.setup(t, by(setup.ByLogin)).Steps()); err != nil || plan.Writes() != 9 {
		t.Errorf("Look = %+v, %v, want nine writes", plan, err)
	}
}

func TestSetup_GoesOnAfterAnEndAnywhereWithoutAPassword(t *testing.T) {
	t.Parallel()
	for _, way := range []setup.Way{setup.ByLogin, setup.BySQL} {
		t.Run(string(way), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			kills := 0
			noRole := func(o *setup.Options) { o.Role = setup.RoleOptions{} }
			// A login lasts as long as its process: the sixth moment is behind it and the two effects of a password.
			for moment := 1; w.killed(t, moment, by(way), noRole); moment = moment%6 + 1 {
				if kills++; kills > 60 {
					t.Fatal("it does not come to an end")
				}
			}
			if kills < 10 {
				t.Errorf("it was killed %d times, want before and after everything", kills)
			}
			mustRun(t, w.setup(t, by(way)))
			w.whole(t)
		})
	}
}

func TestSetup_SaysWhatStopsAWayWithoutAPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owner(t, "create table public.users (id int)")
	_, err := run(t, w.setup(t, by(setup.BySQL)))
	if !errors.Is(err, migrate.ErrTaken) || !strings.Contains(err.Error(), "nothing was kept") {
		t.Errorf("a name that is taken, by SQL: %v", err)
	}
	var schemas int
	if w.owner(t, "select count(*) from pg_namespace where nspname = 'clerk_sync'", &schemas); schemas != 0 {
		t.Error("something was kept")
	}
	_, err = run(t, w.setup(t, by(setup.ByLogin)))
	if !errors.Is(err, migrate.ErrTaken) {
		t.Errorf("a name that is taken, by login: %v", err)
	}
	refuse := func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if strings.Contains(r.URL.Path, "/database/query") || strings.Contains(r.URL.Path, "/cli/") {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(http.StatusForbidden)
			_, _ = rw.Write([]byte(`{"message":"The account may not use this endpoint."}`))
			return
		}
		next.ServeHTTP(rw, r)
	}
	w.Intercept.Store(&refuse)
	for _, way := range []setup.Way{setup.ByLogin, setup.BySQL} {
		if _, err := run(t, w.setup(t, by(way))); err == nil || !strings.Contains(err.Error(), "database_write") || strings.Contains(err.Error(), accounts.AccessToken) {
			t.Errorf("%s with a token that may not: %v, want the permission named", way, err)
		}
	}
}
