package rules_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/testkit/testdb"
)

// request runs a statement as the Data API would for a token with these claims,
// and keeps what it did. The code is "" if it went well.
func request(ctx context.Context, conn *pgx.Conn, role, claims, sql string) (code string, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)`, claims, role); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sql)
		return err
	})
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code, nil
	}
	return "", err
}

func TestEnsureUser_WritesExactlyTheCallersOwnPlaceholder(t *testing.T) {
	t.Parallel()
	const mine = `{"sub":"user_me","role":"authenticated"}`
	tests := []struct{ name, role, claims, sql, code string }{
		{"the function", "authenticated", mine, `select public.ensure_user()`, ""},
		{"the function twice", "authenticated", mine, `select public.ensure_user(); select public.ensure_user()`, ""},
		{"by hand", "authenticated", mine, `insert into public.users (clerk_id) values ('user_me')`, ""},
		{"by hand, read back", "authenticated", mine, `insert into public.users (clerk_id) values ('user_me') returning *`, ""},
		{"another user", "authenticated", mine, `insert into public.users (clerk_id) values ('user_you')`, "42501"},
		{"a second user beside", "authenticated", mine, `insert into public.users (clerk_id) values ('user_me'), ('user_you')`, "42501"},
		{"with an address", "authenticated", mine, `insert into public.users (clerk_id, email) values ('user_me', 'a@example.com')`, "42501"},
		{"with a version of its own", "authenticated", mine, `insert into public.users (clerk_id, sync_version) values ('user_me', '9')`, "42501"},
		{"as an upsert", "authenticated", mine, `insert into public.users (clerk_id) values ('user_me') on conflict (clerk_id) do update set clerk_id = 'user_you'`, "42501"},
		{"then changed", "authenticated", mine, `select public.ensure_user(); update public.users set email = 'a@example.com'`, "42501"},
		{"then deleted", "authenticated", mine, `select public.ensure_user(); delete from public.users where clerk_id = 'user_me'`, "42501"},
		{"no user", "authenticated", `{"role":"authenticated"}`, `select public.ensure_user()`, "PT401"},
		{"an empty id", "authenticated", `{"sub":""}`, `select public.ensure_user()`, "PT401"},
		// Supabase Auth stays on beside Clerk: its users come with the same role.
		{"a user of Supabase", "authenticated", `{"sub":"3b241101-e2bb-4255-8caf-4136c566a962"}`, `select public.ensure_user()`, "PT403"},
		{"a user of Supabase by hand", "authenticated", `{"sub":"3b241101-e2bb-4255-8caf-4136c566a962"}`, `insert into public.users (clerk_id) values ('3b241101-e2bb-4255-8caf-4136c566a962')`, "42501"},
		{"a machine", "authenticated", `{"sub":"mch_1"}`, `select public.ensure_user()`, "PT403"},
		{"anonymous", "anon", `{"role":"anon"}`, `select public.ensure_user()`, "42501"},
		{"anonymous by hand", "anon", mine, `insert into public.users (clerk_id) values ('user_me')`, "42501"},
	}
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			owner := db.Conn(t, db.Owner())
			for _, test := range tests {
				exec(t, owner, `delete from public.users`)
				code, err := request(t.Context(), owner, test.role, test.claims, test.sql)
				if err != nil || code != test.code {
					t.Errorf("%s: %s: SQLSTATE %q, %v, want %q", test.name, test.sql, code, err, test.code)
				}
				rows := lines(t, owner, `select concat_ws(' ', clerk_id, email, sync_version, is_placeholder) from public.users`)
				want := []string{"user_me 0 t"}
				if test.code != "" {
					want = nil
				}
				if fmt.Sprint(rows) != fmt.Sprint(want) {
					t.Errorf("%s: %s left %v, want %v", test.name, test.sql, rows, want)
				}
			}
		})
	}
}

// The row is there for the application's foreign key at once, and Clerk's own
// word replaces the placeholder whenever it comes, deletion included.
func TestEnsureUser_GivesWayToClerk(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, `create table public.notes (id int, owner_id text references public.users)`)
	const claims = `{"sub":"user_me","role":"authenticated"}`
	ensure := func() {
		t.Helper()
		if code, err := request(t.Context(), owner, "authenticated", claims, `select public.ensure_user()`); code != "" || err != nil {
			t.Fatalf("ensure_user: SQLSTATE %q, %v", code, err)
		}
	}
	ensure()
	exec(t, owner, `insert into public.notes values (1, 'user_me')`)
	steps := []struct{ event, want string }{
		{`{"type":"user.created","data":{"id":"user_me","updated_at":1716883200000,"username":"me"}}`, "me, live"},
		{`{"type":"user.deleted","data":{"id":"user_me","deleted":true}}`, "-, deleted"},
	}
	for i, step := range steps {
		exec(t, owner, fmt.Sprintf(`select clerk_sync.apply_event('msg_%d', '%s')`, i, step.event))
		ensure()
		got := lines(t, owner, `select concat(coalesce(username, '-'), ', ', case when deleted_at is null then 'live' else 'deleted' end) from public.users`)
		if fmt.Sprint(got) != fmt.Sprint([]string{step.want}) {
			t.Errorf("after %s and ensure_user the user is %v, want %s", step.event, got, step.want)
		}
	}
}

func TestEnsureUser_AgreesWithItselfAndTheWebhook(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	var running sync.WaitGroup
	for i := range 8 {
		conn := db.Conn(t, db.Owner())
		running.Go(func() {
			for j := range 20 {
				claims := fmt.Sprintf(`{"sub":"user_%d","role":"authenticated"}`, j)
				if i%2 == 0 {
					if code, err := request(t.Context(), conn, "authenticated", claims, `select public.ensure_user()`); code != "" || err != nil {
						t.Errorf("ensure_user: SQLSTATE %q, %v", code, err)
					}
					continue
				}
				_, err := conn.Exec(t.Context(), `select clerk_sync.apply_event($1, $2::text::jsonb)`, fmt.Sprintf("msg_%d_%d", i, j),
					fmt.Sprintf(`{"type":"user.created","data":{"id":"user_%d","updated_at":1716883200000,"username":"name"}}`, j))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if got := lines(t, owner, `select count(*) || ' ' || count(*) filter (where not is_placeholder) from public.users`); got[0] != "20 20" {
		t.Errorf("users and told ones: %s, want 20 20", got[0])
	}
}
