package migrate_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/testkit/pgbouncer"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// What docs/security.md says that the diagnostics' password lets its holder do, and
// does not: each sentence tried by a session. It changes the roles, so that it has a
// server of its own.
func TestDiagnosticsLogin_MayWhatTheDocsSay(t *testing.T) {
	t.Parallel()
	testdb.NeedPooler(t)
	server := testdb.NewServer(t, nil)
	pooler := testdb.NewPooler(t, server, pgbouncer.Options{})
	connect := func(url string) *pgx.Conn {
		t.Helper()
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	owner := connect(server.URL(testdb.ServerDatabase, postgres.Owner, ""))
	exec(t, owner, `
		insert into public.users (clerk_id, email, sync_version) select 'user_' || n, n || '@example.com', '2.000000000000000.000000000000000.3.' from unnest('{ada,bob}'::text[]) as n;
		create table public.notes (owner text default clerk.user_id(), body text);
		alter table public.notes enable row level security;
		create policy own on public.notes to authenticated using (owner = clerk.user_id()) with check (owner = clerk.user_id());
		grant select, insert on public.notes to authenticated`)

	const (
		readOnly = "25006"
		denied   = "42501"
		ada      = `set local role authenticated; set local request.jwt.claims = '{"sub":"user_ada","role":"authenticated"}';`
		bob      = `set local role authenticated; set local request.jwt.claims = '{"sub":"user_bob","role":"authenticated"}';`
		unknown  = `set local role authenticated; set local request.jwt.claims = '{"sub":"user_made_up","role":"authenticated"}';`
		anyOrg   = `set local role authenticated; set local request.jwt.claims = '{"sub":"user_ada","role":"authenticated","v":2,"fea":"o:notes","o":{"id":"org_any","rol":"admin","per":"delete","fpm":"1"}}';`
		undone   = `set transaction read write;`
	)
	for _, login := range []string{migrate.DiagnosticsRole, migrate.DiagnosticsRole + "_b"} {
		for how, url := range map[string]string{
			"direct": server.URL(testdb.ServerDatabase, login, ""), "pooled": pooler.URL(testdb.ServerDatabase, login, ""),
		} {
			conn := connect(url)
			for _, test := range []struct {
				says, sql, code string
				want            string
			}{
				{"it reads no table as itself", `select count(*)::text from public.users`, denied, ""},
				{"it reads as any user", ada + `select coalesce(string_agg(email, ' '), 'nothing') from public.users`, "", "ada@example.com"},
				{"and as any other", bob + `select coalesce(string_agg(email, ' '), 'nothing') from public.users`, "", "bob@example.com"},
				{"in any organization", anyOrg + `select clerk.org_id() || ' ' || clerk.org_role()`, "", "org_any org:admin"},
				{"with any permission of a token", anyOrg + `select clerk.has_org_permission('org:notes:delete')::text`, "", "true"},
				{"as anon", `set local role anon; select current_user::text`, "", "anon"},
				{"it writes nothing by default", ada + `insert into public.notes (body) values ('x') returning owner`, readOnly, ""},
				{"nor a row of the copy", unknown + `select public.ensure_user()::text`, readOnly, ""},
				{"nor a temporary table", `create temporary table t (x int); select 'made'`, readOnly, ""},
				{"undone, it writes as any user", undone + ada + `insert into public.notes (body) values ('x') returning owner`, "", "user_ada"},
				{"and as one that Clerk never had", undone + unknown + `select public.ensure_user()::text`, "", "user_made_up"},
				{"it changes its own defaults", undone + `alter role ` + login + ` set default_transaction_read_only = off; select 'done'`, "", "done"},
				{"and its own password", undone + `alter role ` + login + ` password 'x'; select 'done'`, "", "done"},
				{"not its connection limit", undone + `alter role ` + login + ` connection limit -1; select 'done'`, denied, ""},
				{"it never becomes service_role", `set local role service_role; select 'done'`, denied, ""},
				{"nor the writer", `set local role clerksync_writer; select 'done'`, denied, ""},
				{"nor the owner", `set local role supabase_postgres; select 'done'`, denied, ""},
				{"nor who the Data API is", `set local role authenticator; select 'done'`, denied, ""},
				{"nor a sync function", undone + `select clerk_sync.apply_event('msg', '{}')::text`, denied, ""},
				{"it executes copy_state", `select clerk_sync.copy_state('user_ada', null) ->> 'user'`, "", "live"},
				{"and schemas", `select exposed from clerk_sync.schemas()`, "", "public"},
			} {
				results, err := conn.PgConn().Exec(t.Context(), "begin;"+test.sql).ReadAll()
				if _, rollback := conn.Exec(t.Context(), "rollback"); rollback != nil {
					t.Fatal(rollback)
				}
				code := ""
				if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
					code = pgErr.Code
				} else if err != nil {
					t.Fatal(err)
				}
				got := ""
				if last := len(results) - 1; err == nil && len(results[last].Rows) == 1 {
					got = string(results[last].Rows[0][0])
				}
				if code != test.code || got != test.want {
					t.Errorf("%s, %s: %s: %q, %v; want %q and SQLSTATE %q", login, how, test.says, got, err, test.want, test.code)
				}
			}
		}
	}

	// Its connections are limited, and the limit is its own.
	var last error
	opened := 0
	for range 30 {
		conn, err := pgx.Connect(t.Context(), server.URL(testdb.ServerDatabase, migrate.DiagnosticsRole, ""))
		if last = err; err != nil {
			break
		}
		defer conn.Close(context.Background())
		opened++
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](last); !ok || pgErr.Code != "53300" || opened < 15 || opened > 20 {
		t.Errorf("%d more connections and then %v, want fewer than 20 in all and then SQLSTATE 53300", opened, last)
	}

	// A default that its holder has undone for good is found.
	config, err := pgx.ParseConfig(server.URL(testdb.ServerDatabase, postgres.Owner, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify: %v", err)
	}
	holder := connect(pooler.URL(testdb.ServerDatabase, migrate.DiagnosticsRole+"_b", ""))
	exec(t, holder, `begin; set transaction read write; alter role current_user set default_transaction_read_only = off; commit`)
	exec(t, connect(server.URL(testdb.ServerDatabase, postgres.Superuser, "")), `alter role clerksync_diagnostics connection limit -1`)
	for _, remedy := range []string{
		"alter role clerksync_diagnostics_b set default_transaction_read_only = on", "alter role clerksync_diagnostics connection limit 20",
	} {
		wantRefused(t, config, migrate.ErrRole, remedy)
		if err := migrate.Verify(t.Context(), config, migrate.Options{}); !errors.Is(err, migrate.ErrRole) {
			t.Errorf("Verify: %v, want ErrRole", err)
		}
		exec(t, owner, remedy)
	}
	if err := migrate.Verify(t.Context(), config, migrate.Options{}); err != nil {
		t.Errorf("Verify after the remedies: %v", err)
	}
}
