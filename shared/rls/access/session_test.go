package access_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"clerksync/shared/finding"
	"clerksync/shared/rls/access"
	"clerksync/shared/secret"
	"clerksync/shared/supabase"
	"clerksync/shared/testkit/testdb"
)

// open connects as the function does.
func open(t *testing.T, dsn string, connections int32) *supabase.DB {
	t.Helper()
	c, err := supabase.Parse(supabase.Options{URL: secret.New(dsn), AppName: "test", MaxConns: connections})
	if err != nil {
		t.Fatal(err)
	}
	db := supabase.Open(supabase.Fixed(c))
	t.Cleanup(db.Close)
	return db
}

// awaitQuiet waits until no transaction is open in the database but the asking one.
func awaitQuiet(t *testing.T, db *testdb.DB) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Second, errors.New("limit of the test"))
	defer cancel()
	conn := db.Conn(t, db.Superuser())
	for {
		var open []string
		err := conn.QueryRow(ctx, `select coalesce(array_agg(state || ' ' || usename || ': ' || left(query, 200)), '{}') from pg_stat_activity
			where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null`).Scan(&open)
		if err != nil {
			t.Fatalf("waiting for transactions to end: %v", err)
		}
		if len(open) == 0 {
			return
		}
	}
}

const slow = `
	create function public.slow() returns boolean language plpgsql as 'begin perform pg_sleep(30); return true; end'; grant execute on function public.slow to authenticated;
	do $$ begin for i in 1..6 loop
		execute format('create table public.slow_%s (id int); alter table public.slow_%1$s enable row level security; grant select on public.slow_%1$s to authenticated;
			insert into public.slow_%1$s values (1); create policy p on public.slow_%1$s using (public.slow())', i);
	end loop; end $$;`

func TestLook_LeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"direct": false, "pooled": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := project(t, notes+slow)
			dsn := db.Diagnostics()
			if pooled {
				dsn = db.Pooled(t, dsn)
			}
			// One connection: each look needs the one of the look before.
			pool := open(t, dsn, 1)
			look(t, pool, alice, "notes")
			var role, claims, path string
			err := pool.QueryRow(t.Context(), `select current_user::text, coalesce(current_setting('request.jwt.claims', true), ''), current_setting('search_path')`).Scan(&role, &claims, &path)
			if err != nil || role != "clerksync_diagnostics" || claims != "" || path == `""` {
				t.Errorf("afterwards the connection is %s with claims %q and path %q, %v", role, claims, path, err)
			}

			// The caller goes away in the middle of a slow policy.
			ctx, cancel := context.WithCancelCause(t.Context())
			gone := errors.New("the caller went away")
			go func() {
				watch := db.Conn(t, db.Superuser())
				for asleep := false; !asleep && t.Context().Err() == nil; {
					_ = watch.QueryRow(t.Context(), `select exists (select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep')`).Scan(&asleep)
				}
				cancel(gone)
			}()
			view, err := access.Look(ctx, pool, access.Options{Claims: json.RawMessage(alice), Role: "authenticated", Tables: names(t, "notes", "slow_1", "slow_2")})
			if err != nil {
				t.Fatalf("Look: %v", err)
			}
			wantFinding(t, "before", found(t, view, "rls.public.notes"), finding.Pass, "2 of about 3")
			wantFinding(t, "after", found(t, view, "rls.public.slow_2"), finding.Skip, "The caller went away.")
			look(t, pool, alice, "notes")
			awaitQuiet(t, db)
		})
	}
}

// Each table is stopped after its own limit, all of them after that of the look;
// what was seen before is told.
func TestLook_EndsInTimeWithWhatItHas(t *testing.T) {
	t.Parallel()
	db := project(t, notes+slow)
	view := look(t, open(t, db.Diagnostics(), 1), alice, "notes", "slow_1", "slow_2", "slow_3", "slow_4", "slow_5", "slow_6")
	wantFinding(t, "notes", found(t, view, "rls.public.notes"), finding.Pass, "2 of about 3")
	wantFinding(t, "slow_1", found(t, view, "rls.public.slow_1"), finding.Fail, "longer than 2s")
	wantFinding(t, "slow_6", found(t, view, "rls.public.slow_6"), finding.Skip, "Looking at the database took longer than 6s.")
	awaitQuiet(t, db)
}

func TestLook_SaysWhyItCouldNotBegin(t *testing.T) {
	t.Parallel()
	testdb.Major(t)
	db := open(t, "postgresql://clerksync_diagnostics:hunter2@127.0.0.1:1/postgres?sslmode=disable", 1)
	_, err := access.Look(t.Context(), db, access.Options{Claims: json.RawMessage(alice), Role: "authenticated"})
	if !errors.Is(err, supabase.ErrConnectionRefused) || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("Look = %v, want ErrConnectionRefused without the password", err)
	}
	for _, f := range access.Unavailable(err, nil) {
		wantFinding(t, f.ID, f, finding.Skip, "nothing listens at this host and port")
	}
}

func TestLook_ABrokenConnectionSkipsTheRest(t *testing.T) {
	t.Parallel()
	db := project(t, notes+`
		create function public.die() returns boolean language sql security definer as 'select pg_terminate_backend(pg_backend_pid())'; grant execute on function public.die to authenticated;
		create table public.deadly (id int); alter table public.deadly enable row level security; grant select on public.deadly to authenticated;
		insert into public.deadly values (1); create policy p on public.deadly using (public.die())`)
	pool := open(t, db.Diagnostics(), 1)
	view := look(t, pool, alice, "notes", "deadly", "users")
	wantFinding(t, "notes", found(t, view, "rls.public.notes"), finding.Pass, "2 of about 3")
	for _, id := range []string{"rls.public.deadly", "rls.public.users"} {
		wantFinding(t, id, found(t, view, id), finding.Skip, "ended the connection")
	}
	wantFinding(t, "afterwards", found(t, look(t, pool, alice, "notes"), "rls.public.notes"), finding.Pass)
}

func TestLook_CallersDoNotGetInEachOthersWay(t *testing.T) {
	t.Parallel()
	db := project(t, notes+`insert into public.notes (owner_id) select 'user_' || n from generate_series(1, 8) as n, generate_series(1, n)`)
	pool := open(t, db.Pooled(t, db.Diagnostics()), 4)
	var callers sync.WaitGroup
	for n := 1; n <= 8; n++ {
		callers.Go(func() {
			for range 5 {
				claims := fmt.Sprintf(`{"sub":"user_%d"}`, n)
				view, err := access.Look(t.Context(), pool, access.Options{Claims: json.RawMessage(claims), Role: "authenticated", Tables: names(t, "notes")})
				if err != nil || view.Tables[0].Visible != int64(n) {
					t.Errorf("caller %d: %+v, %v, want %d rows", n, view.Tables, err, n)
				}
			}
		})
	}
	callers.Wait()
	awaitQuiet(t, db)
}
