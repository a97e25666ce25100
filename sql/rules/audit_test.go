package rules_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/testkit/testdb"
)

// recorded is what the audit log says since a record, oldest first: who, then
// what, then which fields.
func recorded(t *testing.T, owner *pgx.Conn, since int64) []string {
	t.Helper()
	return lines(t, owner, `
		select concat_ws(' ', l.actor_kind, l.user_id, 'as ' || l.impersonator, 'in ' || l.org_id,
		         'role ' || l.role, 'because ' || l.cause, '|')
		       || ' ' || what
		from (`+whatSQL+`) as l where l.id > $1 order by l.id`, since)
}

// recordedWhat is the same without who.
func recordedWhat(t *testing.T, owner *pgx.Conn, since int64) []string {
	t.Helper()
	return lines(t, owner, `select l.what from (`+whatSQL+`) as l where l.id > $1 order by l.id`, since)
}

const whatSQL = `
	select *, concat_ws(' ', l.action, case when l.table_schema = 'public' then '' else l.table_schema || '.' end || l.table_name,
	         l.row_id, '-> ' || l.new_row_id, l.changed::text) as what
	from clerk_sync.audit_log as l`

// lastRecord is where recorded goes on.
func lastRecord(t *testing.T, owner *pgx.Conn) (id int64) {
	t.Helper()
	if err := owner.QueryRow(t.Context(), `select coalesce(max(id), 0) from clerk_sync.audit_log`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

func wantRecorded(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
		t.Errorf("%s is recorded as (-want +got):\n%s", what, diff)
	}
}

// asRequest runs SQL as PostgREST does: a transaction with role and claims.
func asRequest(t *testing.T, conn *pgx.Conn, role, claims, sql string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`, role, claims); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), sql)
		return err
	})
	if err != nil {
		t.Fatalf("as %s with %s: %s: %v", role, claims, sql, err)
	}
}

const notesDDL = `
	create table public.notes (id int primary key, body text);
	grant select, insert, update, delete on public.notes to anon, authenticated, service_role;
	select clerk_sync.audit_table('public.notes');`

func TestAudit_RecordsWhoWrote(t *testing.T) {
	t.Parallel()
	const write = `insert into public.notes values (1); delete from public.notes`
	tests := []struct{ name, login, role, claims, want string }{
		{"token version 2", "authenticator", "authenticated", `{"sub":"user_1","role":"authenticated","v":2,"o":{"id":"org_1","rol":"admin"}}`, "user user_1 in org_1 role authenticated |"},
		{"token version 1", "authenticator", "authenticated", `{"sub":"user_1","org_id":"org_1"}`, "user user_1 in org_1 role authenticated |"},
		{"no active organization", "authenticator", "authenticated", `{"sub":"user_1","o":{}}`, "user user_1 role authenticated |"},
		{"impersonated", "authenticator", "authenticated", `{"sub":"user_1","act":{"sub":"user_staff","iss":"https://dashboard.clerk.com"}}`, "user user_1 as user_staff role authenticated |"},
		{"signed out", "authenticator", "anon", `{"role":"anon"}`, "anonymous role anon |"},
		{"a token without a user", "authenticator", "authenticated", `{"role":"authenticated"}`, "anonymous role authenticated |"},
		{"an empty user", "authenticator", "authenticated", `{"sub":"","act":"x","o":[1]}`, "anonymous role authenticated |"},
		{"claims that are no JSON", "authenticator", "authenticated", `{"sub":"user_1"`, "anonymous role authenticated |"},
		{"claims that are no object", "authenticator", "authenticated", `["user_1"]`, "anonymous role authenticated |"},
		{"claims that jsonb cannot hold", "authenticator", "authenticated", `{"sub":"user_\u0000"}`, "anonymous role authenticated |"},
		{"no claims at all", "authenticator", "authenticated", ``, "anonymous role authenticated |"},
		{"the service key", "authenticator", "service_role", `{"role":"service_role"}`, "service role service_role |"},
		{"a user's token with the service's role", "authenticator", "service_role", `{"role":"service_role","sub":"user_1"}`, "service user_1 role service_role |"},
		// Whoever logs in otherwise can set the same claims, and is not believed.
		{"the SQL editor", "", "none", ``, "database |"},
		{"forged claims", "", "none", `{"sub":"user_victim"}`, "database |"},
		{"a role taken on with forged claims", "", "authenticated", `{"sub":"user_victim","o":{"id":"org_1"}}`, "database role authenticated |"},
		{"the service's role taken on", "", "service_role", `{"role":"service_role"}`, "database role service_role |"},
	}
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			owner := db.Conn(t, db.Owner())
			exec(t, owner, notesDDL)
			sessions := map[string]*pgx.Conn{"": db.Conn(t, db.Owner()), "authenticator": db.Conn(t, db.As("authenticator"))}
			for _, test := range tests {
				before := lastRecord(t, owner)
				asRequest(t, sessions[test.login], test.role, test.claims, write)
				wantRecorded(t, test.name, recorded(t, owner, before), test.want+" insert notes 1", test.want+" delete notes 1")
			}
			wantRecorded(t, "the logins", lines(t, owner, `select distinct login || ' ' || (actor_kind = 'database') from clerk_sync.audit_log order by 1`),
				"authenticator false", "supabase_postgres true")
		})
	}
}

// What a user sets off is the user's: in a function with its owner's rights, in a
// trigger, in a cascade.
func TestAudit_RecordsWhoSetItOff(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, api := db.Conn(t, db.Owner()), db.Conn(t, db.As("authenticator"))
	exec(t, owner, notesDDL+`
		create table public.lines (id int primary key, note int not null references public.notes on delete cascade);
		create function public.scribble() returns void language sql security definer set search_path = '' as
			'insert into public.notes values (1), (2); insert into public.lines values (10, 1), (11, 1), (20, 2)';
		grant execute on function public.scribble() to authenticated;
		select clerk_sync.audit_table('public.lines')`)
	asRequest(t, api, "authenticated", `{"sub":"user_1"}`, `select public.scribble(); delete from public.notes where id = 1`)
	const user = "user user_1 role authenticated | "
	wantRecorded(t, "a function and a cascade", recorded(t, owner, 0),
		user+"insert notes 1", user+"insert notes 2", user+"insert lines 10", user+"insert lines 11", user+"insert lines 20",
		user+"delete notes 1", user+"delete lines 10", user+"delete lines 11")
}

// event is a webhook message about a user, stated at a second.
func event(kind string, second int64, data string) string {
	return fmt.Sprintf(`{"type":%q,"timestamp":%d,"data":%s}`, kind, 2000000000000+second*1000, data)
}

// applyEvent hands a message to the rules as the webhook function does.
func applyEvent(t *testing.T, conn *pgx.Conn, svixID, event string) string {
	t.Helper()
	return lines(t, conn, `select outcome from clerk_sync.apply_event($1, $2::jsonb)`, pgx.QueryExecModeExec, svixID, event)[0]
}

func TestAudit_RecordsWhatTheSyncDid(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer, api := db.Conn(t, db.Owner()), db.Conn(t, db.Writer()), db.Conn(t, db.As("authenticator"))
	var at int64
	step := func(what string, do func(), want ...string) {
		t.Helper()
		do()
		wantRecorded(t, what, recorded(t, owner, at), want...)
		at = lastRecord(t, owner)
	}
	apply := func(conn *pgx.Conn, svixID, event, want string) func() {
		return func() {
			t.Helper()
			if got := applyEvent(t, conn, svixID, event); got != want {
				t.Errorf("%s is %s, want %s", svixID, got, want)
			}
		}
	}
	user := func(name string, updated, active int64) string {
		return fmt.Sprintf(`{"id":"user_1","first_name":%q,"public_metadata":{"plan":"pro"},"created_at":1000,"updated_at":%d,"last_active_at":%d}`, name, 2000000000000+updated, active)
	}

	step("a new user", apply(writer, "msg_1", event("user.created", 1, user("Ada", 1, 5)), "applied"),
		"sync because msg_1 | insert users user_1")
	step("a changed name", apply(writer, "msg_2", event("user.updated", 2, user("Grace", 2, 5)), "applied"),
		"sync because msg_2 | update users user_1 {first_name}")
	step("the same message again", apply(writer, "msg_2", event("user.updated", 2, user("Grace", 2, 5)), "duplicate"))
	step("an older message", apply(writer, "msg_0", event("user.updated", 1, user("Ada", 1, 5)), "stale"))
	step("what says nothing new", apply(writer, "msg_3", event("user.updated", 3, user("Grace", 3, 999999)), "applied"))
	step("a membership before its organization", apply(writer, "msg_4", event("organizationMembership.created", 4,
		`{"id":"orgmem_1","role":"org:admin","organization":{"id":"org_1","name":"Acme"},"public_user_data":{"user_id":"user_1"},"created_at":1000,"updated_at":1000}`), "applied"),
		"sync because msg_4 | insert organizations org_1", "sync because msg_4 | insert organization_memberships orgmem_1")
	step("the organization itself", apply(writer, "msg_5", event("organization.created", 5,
		`{"id":"org_1","name":"Acme","slug":"acme","created_at":1000,"updated_at":2000000000000}`), "applied"),
		"sync because msg_5 | update organizations org_1 {created_at,slug}")
	step("a role of the instance", apply(writer, "msg_6", event("role.created", 6,
		`{"id":"role_1","key":"org:admin","permissions":[{"id":"perm_1","key":"org:x:y"}],"updated_at":1000}`), "applied"),
		"sync because msg_6 | insert clerk.organization_permissions perm_1", "sync because msg_6 | insert clerk.organization_roles role_1")
	step("through the Data API", func() {
		asRequest(t, api, "service_role", `{"role":"service_role"}`,
			`select public.apply_clerk_event('msg_7', '`+event("user.updated", 7, user("Edge", 7, 5))+`')`)
	}, "service role service_role because msg_7 | update users user_1 {first_name}")
	step("by hand, and what follows in the same transaction", func() {
		exec(t, owner, `
			begin; set local clerk_sync.cause = 'ticket 12';
			select clerk_sync.apply_event('msg_8', '`+event("user.updated", 8, user("Hand", 8, 5))+`');
			update public.users set first_name = null; commit;
			update public.users set first_name = 'x'`)
	}, "database because msg_8 | update users user_1 {first_name}",
		"database because ticket 12 | update users user_1 {first_name}", "database | update users user_1 {first_name}")
	step("a rejected event", func() {
		exec(t, owner, `alter table public.users add constraint no_ada check (first_name <> 'Ada')`)
		apply(writer, "msg_9", event("user.updated", 9, user("Ada", 9, 5)), "rejected")()
	})
	step("a replayed event", func() {
		exec(t, owner, `alter table public.users drop constraint no_ada`)
		lines(t, writer, `select outcome from clerk_sync.replay_event('msg_9')`)
	}, "sync because msg_9 | update users user_1 {first_name}")
	step("a deleted user", apply(writer, "msg_10", event("user.deleted", 10, `{"id":"user_1","deleted":true}`), "applied"),
		"sync because msg_10 | update users user_1 {created_at,deleted_at,first_name,metadata}",
		"sync because msg_10 | update organization_memberships orgmem_1 {created_at,deleted_at,role}")
}

func TestAudit_RecordsWhatAFullSyncDid(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	run := lines(t, writer, `select clerk_sync.begin_run('me', '15 minutes', 'ins_1', 'test', false, false) ->> 'run_id'`)[0]
	page := func(stated int64, users ...string) {
		t.Helper()
		var ids []string
		for i := range users {
			ids = append(ids, fmt.Sprintf("user_%02d", i))
		}
		lines(t, writer, `select unchanged::text from clerk_sync.apply_page(`+run+`, 'me', 'span', 0, 1, 'user', $1::jsonb, $2, $3::text[], array_fill(10::bigint, array[cardinality($3::text[])]), 0)`,
			pgx.QueryExecModeExec, list(users...), stated, ids)
	}
	var first, second []string
	var want []string
	// More than a few: these take the other way through the trigger.
	for i := range 20 {
		id := fmt.Sprintf("user_%02d", i)
		first = append(first, userAs(id, "Name", 10))
		second = append(second, userAs(id, map[bool]string{true: "New", false: "Name"}[i < 12], 10))
		want = append(want, "sync because run_"+run+" | insert users "+id)
	}
	page(2000000000000, first...)
	wantRecorded(t, "a page of new users", recorded(t, owner, 0), want...)

	at := lastRecord(t, owner)
	page(2000000001000, second...)
	want = nil
	for i := range 12 {
		want = append(want, fmt.Sprintf("sync because run_%s | update users user_%02d {first_name}", run, i))
	}
	wantRecorded(t, "a page of which some are changed", recorded(t, owner, at), want...)

	at = lastRecord(t, owner)
	page(2000000002000, second...)
	lines(t, writer, `select drift::text from clerk_sync.preview_page('user', $1::jsonb, 2000000003000, '{user_00}', '{20}', 0)`,
		pgx.QueryExecModeExec, list(userAs("user_00", "Preview", 20)))
	wantRecorded(t, "an unchanged page, and a preview", recorded(t, owner, at))

	exec(t, owner, `insert into clerk_sync.sync_absences values (`+run+`, 'user', 'user_03', '2100-01-01')`)
	lines(t, writer, `select taken::text from clerk_sync.delete_absent(`+run+`, 'me', 'user', 10)`)
	wantRecorded(t, "what was absent", recorded(t, owner, at),
		"sync because run_"+run+" | update users user_03 {created_at,deleted_at,first_name}")

	at = lastRecord(t, owner)
	exec(t, owner, `update public.users set deleted_at = now() - interval '1 year', sync_version = '9' where clerk_id = 'user_03'`)
	lines(t, writer, `select clerk_sync.purge()::text`)
	wantRecorded(t, "a purged tombstone", recorded(t, owner, at),
		"database | update users user_03 {deleted_at}", "sync because purge | delete users user_03")
	if got := lines(t, writer, `select current_setting('clerk_sync.cause', true)`)[0]; got != "" {
		t.Errorf("the cause after it all is %q, want none", got)
	}
}

// Each with its own tables: what is written, and what the log then says.
func TestAudit_WorksOnTablesOfEveryKind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, ddl, write string
		want             []string
	}{
		{
			"mixed case and hostile names",
			`create schema "My ""Schema%s"; create table "My ""Schema%s"."Odd 'Table$$" ("I d%I" int primary key, "select" text, "a,b{}" int, "%1$s" text);
			 select clerk_sync.audit_table('"My ""Schema%s"."Odd ''Table$$"')`,
			`insert into "My ""Schema%s"."Odd 'Table$$" values (1); update "My ""Schema%s"."Odd 'Table$$" set "select" = 'x', "a,b{}" = 2, "%1$s" = 'y'`,
			[]string{`insert My "Schema%s.Odd 'Table$$ 1`, `update My "Schema%s.Odd 'Table$$ 1 {%1$s,"a,b{}",select}`},
		},
		{
			"columns named as in the trigger's own statements",
			`create table public.t (told int primary key, before text, keys text, rows text, t text, o text, n text, name text, position text,
			   ignored text, action text, audited_at text, audited_id text, at int, key float, "old" text, "new" text);
			 select clerk_sync.audit_table('public.t', '{ignored}')`,
			`insert into public.t (told) select generate_series(1, 2);
			 update public.t set t = 'x', n = 'x', o = 'x', action = 'x', keys = 'x', ignored = 'x', audited_at = 'x' where told = 1;
			 alter table public.t drop key;
			 update public.t set t = 'y', n = 'y', o = 'y', before = 'y', rows = 'y', position = 'y', ignored = 'y' where told = 1;
			 update public.t set ignored = 'z'`,
			[]string{"insert t 1", "insert t 2", "update t 1 {action,audited_at,keys,n,o,t}", "update t 1 {before,n,o,position,rows,t}"},
		},
		{
			"composite key",
			`create table public.t (b text, a int, note text, primary key (a, b)); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values ('x "y"', 1), (', ', 2); update public.t set note = 'n' where a = 1; update public.t set a = 3 where a = 2; delete from public.t where a = 3`,
			[]string{`insert t [1, "x \"y\""]`, `insert t [2, ", "]`, `update t [1, "x \"y\""] {note}`, `update t [2, ", "] -> [3, ", "] {a}`, `delete t [3, ", "]`},
		},
		{
			"keys moved up, few and many",
			`create table public.t (id int primary key deferrable, note text); select clerk_sync.audit_table('public.t')`,
			`insert into public.t select generate_series(1, 3); update public.t set id = id + 1;
			 insert into public.t select generate_series(5, 10); delete from public.t where id in (9, 10);
			 insert into public.t values (20), (21), (22); update public.t set id = id + 1, note = 'x'`,
			[]string{
				"insert t 1", "insert t 2", "insert t 3", "update t 1 -> 2 {id}", "update t 2 -> 3 {id}", "update t 3 -> 4 {id}",
				"insert t 5", "insert t 6", "insert t 7", "insert t 8", "insert t 9", "insert t 10", "delete t 9", "delete t 10", "insert t 20", "insert t 21", "insert t 22",
				"update t 2 -> 3 {id,note}", "update t 3 -> 4 {id,note}", "update t 4 -> 5 {id,note}", "update t 5 -> 6 {id,note}", "update t 6 -> 7 {id,note}",
				"update t 7 -> 8 {id,note}", "update t 8 -> 9 {id,note}", "update t 20 -> 21 {id,note}", "update t 21 -> 22 {id,note}", "update t 22 -> 23 {id,note}",
			},
		},
		{
			"generated columns and identity",
			`create table public.t (id bigint generated always as identity primary key, cents int, euros numeric generated always as (cents / 100.0) stored); select clerk_sync.audit_table('public.t')`,
			`insert into public.t (cents) values (100); update public.t set cents = 200`,
			[]string{"insert t 1", "update t 1 {cents,euros}"},
		},
		{
			"partitioned, written through the parent and by the partition's name",
			`create table public.t (id int, at timestamptz, note text, primary key (id, at)) partition by range (at);
			 create table public.t_old (note text, id int not null, at timestamptz not null); alter table public.t attach partition public.t_old for values from (minvalue) to ('2026-01-01Z');
			 create table public.t_new partition of public.t for values from ('2026-01-01Z') to (maxvalue) partition by list (id);
			 create table public.t_new_rest partition of public.t_new default;
			 select clerk_sync.audit_table('public.t')`,
			`set timezone = 'Asia/Tokyo'; insert into public.t values (1, '2025-06-01Z'), (2, '2026-06-01Z'); insert into public.t_old values ('n', 3, '2025-06-01Z');
			 update public.t set note = 'x' where id < 3; update public.t_new_rest set note = 'y'; update public.t set at = '2026-06-01Z' where id = 1; delete from public.t;
			 insert into public.t select i, '2025-06-01Z' from generate_series(1, 9) as i; truncate public.t_new; truncate public.t`,
			[]string{
				`insert t [1, "2025-06-01T00:00:00+00:00"]`, `insert t [2, "2026-06-01T00:00:00+00:00"]`, `insert t [3, "2025-06-01T00:00:00+00:00"]`,
				`update t [1, "2025-06-01T00:00:00+00:00"] {note}`, `update t [2, "2026-06-01T00:00:00+00:00"] {note}`, `update t [2, "2026-06-01T00:00:00+00:00"] {note}`,
				`update t [1, "2025-06-01T00:00:00+00:00"] -> [1, "2026-06-01T00:00:00+00:00"] {at}`,
				`delete t [3, "2025-06-01T00:00:00+00:00"]`, `delete t [2, "2026-06-01T00:00:00+00:00"]`, `delete t [1, "2026-06-01T00:00:00+00:00"]`,
				`insert t [1, "2025-06-01T00:00:00+00:00"]`, `insert t [2, "2025-06-01T00:00:00+00:00"]`, `insert t [3, "2025-06-01T00:00:00+00:00"]`,
				`insert t [4, "2025-06-01T00:00:00+00:00"]`, `insert t [5, "2025-06-01T00:00:00+00:00"]`, `insert t [6, "2025-06-01T00:00:00+00:00"]`,
				`insert t [7, "2025-06-01T00:00:00+00:00"]`, `insert t [8, "2025-06-01T00:00:00+00:00"]`, `insert t [9, "2025-06-01T00:00:00+00:00"]`,
				// Each table that was emptied, by its own name.
				"truncate t_new", "truncate t_new_rest", "truncate t", "truncate t_old", "truncate t_new", "truncate t_new_rest",
			},
		},
		{
			"a row that a partition's trigger swallows on its way",
			`create table public.t (id int, at int, note text, primary key (id, at)) partition by list (at);
			 create table public.t1 partition of public.t for values in (1); create table public.t2 partition of public.t for values in (2);
			 create function public.swallow() returns trigger language plpgsql as 'begin if new.id = 2 then return null; end if; return new; end';
			 create trigger swallow before insert on public.t2 for each row execute function public.swallow();
			 select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (2, 1), (3, 2); update public.t set at = 2, note = 'x'`,
			[]string{"insert t [2, 1]", "insert t [3, 2]", "delete t [2, 1]", "update t [3, 2] {note}"},
		},
		{
			"upsert",
			`create table public.t (id int primary key, note text); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1, 'a'), (2, 'b');
			 insert into public.t values (1, 'a'), (2, 'c'), (3, 'd') on conflict (id) do update set note = excluded.note;
			 insert into public.t values (1, 'z') on conflict do nothing`,
			[]string{"insert t 1", "insert t 2", "update t 2 {note}", "insert t 3"},
		},
		{
			"merge",
			`create table public.t (id int primary key, note text); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1, 'a'), (2, 'b');
			 merge into public.t using (values (1, 'x'), (2, null), (3, 'y')) as s (id, note) on t.id = s.id
			   when matched and s.note is null then delete when matched then update set note = s.note when not matched then insert values (s.id, s.note)`,
			[]string{"insert t 1", "insert t 2", "delete t 2", "update t 1 {note}", "insert t 3"},
		},
		{
			"several writes of one table in one statement",
			`create table public.t (id int primary key, a text, b text); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1), (2); with x as (update public.t set a = 'x' where id = 1 returning id) update public.t set b = 'y' where id = 2`,
			[]string{"insert t 1", "insert t 2", "update t 2 {b}", "update t 1 {a}"},
		},
		{
			"what was not changed, or only shows differently",
			`create table public.t (id int primary key, n numeric, j jsonb, f float8, c char(5), a int[]); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1, 1.0, null, 0.1, 'x', '{1}'); update public.t set n = n, c = 'x  ';
			 set extra_float_digits = -10; update public.t set n = 1.00; update public.t set j = 'null'; update public.t set f = 0.1 + 1e-16; update public.t set a = '[0:0]={1}'; update public.t set j = null`,
			[]string{"insert t 1", "update t 1 {n}", "update t 1 {j}", "update t 1 {f}", "update t 1 {a}", "update t 1 {j}"},
		},
		{
			"types that have no equality, and those of the user's own",
			`create type public.mood as enum ('sad', 'glad'); create domain public.code as text check (value <> ''); create type public.pair as (a int, b json);
			 create table public.t (id public.code primary key, p point, j json, m public.mood, pr public.pair, b bytea, r tstzrange, i interval);
			 select clerk_sync.audit_table('public.t')`,
			`insert into public.t values ('k', '(1,2)', '{"a":"\u0000"}', 'sad', '(1,"{}")', '\x00', '[2026-01-01,2026-02-01)', '1 mon');
			 update public.t set p = '(1,3)'; update public.t set j = '{"a": "\u0000"}'; update public.t set m = 'glad', pr = '(1,[])', i = '30 days'; update public.t set b = '\x0000', r = 'empty'; delete from public.t`,
			[]string{"insert t k", "update t k {p}", "update t k {j}", "update t k {i,m,pr}", "update t k {b,r}", "delete t k"},
		},
		{
			"JSON that may be null, among types that JSON shows exactly",
			`create table public.t (id int primary key, j jsonb); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1); update public.t set j = 'null'; update public.t set j = null; update public.t set j = j`,
			[]string{"insert t 1", "update t 1 {j}", "update t 1 {j}"},
		},
		{
			"a key whose type has a cast to JSON, which would run with the rights of the log",
			`create type public.mood as enum ('sad', 'glad'); create table public.t (m public.mood, n int, note text, primary key (m, n));
			 create function public.spy(public.mood) returns json language plpgsql as 'begin raise exception ''run by %'', current_user; end';
			 create cast (public.mood as json) with function public.spy(public.mood); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values ('sad', 1); update public.t set note = 'x'; insert into public.t select 'glad', generate_series(1, 9); delete from public.t where m = 'glad' and n > 1`,
			[]string{
				`insert t ["sad", 1]`, `update t ["sad", 1] {note}`, `insert t ["glad", 1]`, `insert t ["glad", 2]`, `insert t ["glad", 3]`, `insert t ["glad", 4]`, `insert t ["glad", 5]`,
				`insert t ["glad", 6]`, `insert t ["glad", 7]`, `insert t ["glad", 8]`, `insert t ["glad", 9]`, `delete t ["glad", 2]`, `delete t ["glad", 3]`, `delete t ["glad", 4]`,
				`delete t ["glad", 5]`, `delete t ["glad", 6]`, `delete t ["glad", 7]`, `delete t ["glad", 8]`, `delete t ["glad", 9]`,
			},
		},
		{
			"columns added, renamed, dropped and retyped later, also of the key",
			`create table public.t (id int primary key, a text, b text); select clerk_sync.audit_table('public.t', '{b}')`,
			`insert into public.t values (1, 'a', 'b'); alter table public.t drop a; alter table public.t add c text; alter table public.t rename id to key; alter table public.t alter key type text;
			 update public.t set c = 'x', b = 'y'; alter table public.t drop b; update public.t set c = 'z';
			 alter table public.t drop constraint t_pkey; update public.t set c = 'w'; insert into public.t values ('n'); delete from public.t`,
			[]string{"insert t 1", "update t 1 {c}", "update t 1 {c}", "update t {c}", "insert t", "delete t", "delete t"},
		},
		{
			"rows of megabytes",
			`create table public.t (id int primary key, doc text, note text, j jsonb not null default '{}'); alter table public.t alter doc set storage external; select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1, repeat('x', 5000000), 'a'); update public.t set note = 'b'; update public.t set doc = doc || 'y'; update public.t set doc = ''; delete from public.t`,
			[]string{"insert t 1", "update t 1 {note}", "update t 1 {doc}", "update t 1 {doc}", "delete t 1"},
		},
		{
			"keys as long as an index allows",
			`create table public.t (id text primary key, note text); select clerk_sync.audit_table('public.t')`,
			`insert into public.t select string_agg(md5(i::text), '') from generate_series(1, 80) as i; update public.t set id = 'b' || id; update public.t set id = 'short'`,
			[]string{"insert t " + longKey, "update t " + longKey + " -> b" + longKey + " {id}", "update t b" + longKey + " -> short {id}"},
		},
		{
			"inherited tables, through the parent",
			`create table public.t (id int primary key, note text); create table public.child (extra text) inherits (public.t); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1); insert into public.child values (2, null, 'x'); update public.t set note = 'y'`,
			[]string{"insert t 1", "update t 1 {note}", "update t 2 {note}"},
		},
		{
			"unlogged, and a trigger of the user's own that changes the row",
			`create unlogged table public.t (id int primary key, note text, touched int default 0); create function public.touch() returns trigger language plpgsql as 'begin new.touched = new.touched + 1; return new; end';
			 create trigger touch before update on public.t for each row execute function public.touch(); select clerk_sync.audit_table('public.t')`,
			`insert into public.t values (1); update public.t set note = 'x'; truncate public.t`,
			[]string{"insert t 1", "update t 1 {note,touched}", "truncate t"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			owner := db.Conn(t, db.Owner())
			exec(t, owner, test.ddl)
			exec(t, db.Conn(t, db.Owner()), test.write)
			want := strings.ReplaceAll(strings.Join(test.want, "\n"), longKey, lines(t, owner, `select string_agg(md5(i::text), '') from generate_series(1, 80) as i`)[0])
			if diff := cmp.Diff(want, strings.Join(recordedWhat(t, owner, 0), "\n")); diff != "" {
				t.Errorf("%s\nis recorded as (-want +got):\n%s", test.write, diff)
			}
		})
	}
}

const longKey = "<long>"

func TestAudit_RecordsCopy(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, notesDDL)
	var rows [][]any
	var want []string
	for i := range 30 {
		rows = append(rows, []any{i, "x"})
		want = append(want, fmt.Sprintf("insert notes %d", i))
	}
	if _, err := owner.CopyFrom(t.Context(), pgx.Identifier{"public", "notes"}, []string{"id", "body"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	wantRecorded(t, "copy", recordedWhat(t, owner, 0), want...)
}

// What the log says of random writes is what a comparison of the rows says, few
// rows at a time and many, planned as in the writer's sessions.
func TestAudit_FollowsRandomChanges(t *testing.T) {
	t.Parallel()
	// Each literal is stored as something else than the others of its column.
	tables := map[string]map[string][]string{
		"simple": {
			"a": {"null", "''", "'x'", "'null'", "'é'"}, "b": {"null", "0", "1"}, "c": {"null", "true", "false"},
			"d": {"null", "'2026-01-01Z'", "'infinity'"}, "e": {"null", "1.0", "1.00", "'NaN'"}, "f": {"null", "'{}'", "'{a,b}'", "'{\"a,b\"}'"},
			"g": {"'{}'", "'[]'", "'null'", "'{\"a\":1}'", "'{\"a\":1.0}'"},
		},
		"mixed": {
			"a": {"null", "''", "'x'"}, "b": {"null", "'-0'", "0", "1e-300", "'NaN'"}, "c": {"null", "'null'", "'{}'", "'{ }'"},
			"d": {"null", "'null'", "'{}'"}, "e": {"null", "'(0,0)'", "'(0,1)'"}, "f": {"null", "'\\x'", "'\\x00'"}, "g": {"null", "'1 day'", "'24 hours'"},
		},
	}
	types := map[string]string{
		"simple": "a text, b int, c bool, d timestamptz, e numeric, f text[], g jsonb not null",
		"mixed":  "a varchar, b float8, c json, d jsonb, e point, f bytea, g interval",
	}
	fields := []string{"a", "b", "c", "d", "e", "f", "g"}
	for name, pool := range tables {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const seed = 20260101
			random := rand.New(rand.NewPCG(seed, 1))
			db := testdb.New(t)
			owner := db.Conn(t, db.Owner())
			exec(t, owner, `create table public.t (id text primary key, `+types[name]+`); select clerk_sync.audit_table('public.t', '{g}');
				set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off; set plan_cache_mode = force_generic_plan`)
			model := map[string]map[string]string{}
			for round := range 150 {
				// The rows of one statement, each new or known.
				rows := map[string]map[string]string{}
				for range 1 + random.IntN([]int{3, 30}[random.IntN(2)]) {
					row := map[string]string{}
					for _, field := range fields {
						row[field] = pool[field][random.IntN(len(pool[field]))]
					}
					rows[fmt.Sprintf("row_%02d", random.IntN(40))] = row
				}
				ids := slices.Sorted(func(yield func(string) bool) {
					for id := range rows {
						if !yield(id) {
							return
						}
					}
				})
				var sql string
				var want []string
				if random.IntN(5) == 0 {
					sql = `delete from public.t where id = any ('{` + strings.Join(ids, ",") + `}')`
					for _, id := range ids {
						if model[id] != nil {
							want = append(want, "delete t "+id)
							delete(model, id)
						}
					}
				} else {
					var values, sets []string
					for _, id := range ids {
						value := []string{"'" + id + "'"}
						var changed []string
						for _, field := range fields {
							value = append(value, rows[id][field])
							if field != "g" && model[id] != nil && model[id][field] != rows[id][field] {
								changed = append(changed, field)
							}
						}
						values = append(values, "("+strings.Join(value, ", ")+")")
						switch {
						case model[id] == nil:
							want = append(want, "insert t "+id)
						case changed != nil:
							want = append(want, "update t "+id+" {"+strings.Join(changed, ",")+"}")
						}
						model[id] = rows[id]
					}
					for _, field := range fields {
						sets = append(sets, field+" = excluded."+field)
					}
					sql = `insert into public.t values ` + strings.Join(values, ", ") + ` on conflict (id) do update set ` + strings.Join(sets, ", ")
				}
				before := lastRecord(t, owner)
				exec(t, owner, sql)
				got := recordedWhat(t, owner, before)
				slices.Sort(got)
				slices.Sort(want)
				if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
					t.Fatalf("seed %d, round %d: %s\nis recorded as (-want +got):\n%s", seed, round, sql, diff)
				}
			}
		})
	}
}

// The log holds names of fields, and nothing that was ever in one.
func TestAudit_HoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Superuser()), db.Conn(t, db.Writer())
	user := func(n int) string {
		return fmt.Sprintf(`{"id":"user_1","first_name":"PLANTED%[1]d","last_name":"PLANTED%[1]d","username":"PLANTED%[1]d","external_id":"PLANTED%[1]d","image_url":"PLANTED%[1]d",
			"public_metadata":{"PLANTED%[1]d":"PLANTED"},"unsafe_metadata":{"PLANTED%[1]d":"PLANTED"},"private_metadata":{"PLANTED":1},
			"primary_email_address_id":"e","email_addresses":[{"id":"e","email_address":"PLANTED%[1]d"}],
			"primary_phone_number_id":"p","phone_numbers":[{"id":"p","phone_number":"PLANTED%[1]d"}],"created_at":1000,"updated_at":%[1]d}`, n)
	}
	for n := range 3 {
		applyEvent(t, writer, fmt.Sprintf("msg_%d", n), event("user.updated", int64(n), user(n)))
	}
	results(t, db.Conn(t, db.Owner()), `clerk_sync.apply_users($1::jsonb, array[3000000000000])`, list(user(9)))
	applyEvent(t, writer, "msg_9", event("user.deleted", 1e9, `{"id":"user_1"}`))
	exec(t, owner, `delete from public.users`)
	if got := lines(t, owner, `select count(*)::text from clerk_sync.audit_log`)[0]; got != "6" {
		t.Fatalf("%s records of six changes", got)
	}
	if found := lines(t, owner, `select l::text from clerk_sync.audit_log as l where l::text ilike '%planted%'`); len(found) != 0 {
		t.Errorf("values in the audit log: %v", found)
	}
	// The tables' own rows did hold them.
	if exists := lines(t, owner, `select e.svix_id from clerk_sync.webhook_events as e where e.svix_id = 'msg_1' and e.outcome = 'applied'`); len(exists) != 1 {
		t.Error("the planted values never reached the copy")
	}
}

func TestAudit_IsAppendOnly(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, notesDDL+`insert into public.notes values (1)`)
	for _, session := range []string{db.Owner(), db.Superuser(), db.As("service_role"), db.As("authenticated"), db.As("anon"), db.Writer(), db.Diagnostics()} {
		conn := db.Conn(t, session)
		// Which the diagnostics have by default, and can undo.
		exec(t, conn, `set default_transaction_read_only = off`)
		for _, sql := range []string{
			`update clerk_sync.audit_log set user_id = 'user_other'`, `update clerk_sync.audit_log set at = at - interval '1 day' where id = 1`,
			`delete from clerk_sync.audit_log`, `delete from clerk_sync.audit_log where id = 1`, `truncate clerk_sync.audit_log`,
			`truncate clerk_sync.audit_log restart identity cascade`,
			`insert into clerk_sync.audit_log (id, actor_kind, login, table_schema, table_name, action) values (1, 'sync', 'me', 'public', 'users', 'insert')
			 on conflict (id) do update set user_id = 'user_other'`,
			`merge into clerk_sync.audit_log as l using (values (1)) as s (id) on l.id = s.id when matched then delete`,
		} {
			if _, err := conn.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "42501") && !strings.Contains(err.Error(), "428C9") {
				t.Errorf("%s: %s: error %v, want 42501", conn.Config().User, sql, err)
			}
		}
	}
	super := db.Conn(t, db.Superuser())
	if _, err := super.Exec(t.Context(), `set session_replication_role = replica`); err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec(t.Context(), `delete from clerk_sync.audit_log`); err == nil || !strings.Contains(err.Error(), "append-only") {
		t.Errorf("a delete while triggers are silenced: %v, want a refusal", err)
	}
	wantRecorded(t, "everything after that", recordedWhat(t, owner, 0), "insert notes 1")
}

func TestPurge_ForgetsOldRecordsABoundedNumberAtATime(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	exec(t, owner, `insert into clerk_sync.audit_log (at, actor_kind, login, table_schema, table_name, action, row_id)
		select now() - make_interval(days => d), 'database', 'me', 'public', 't', 'insert', d from unnest(array[1, 399, 401, 402, 403, 404, 405]) as d`)
	purge := func(most int, want string) {
		t.Helper()
		if got := lines(t, writer, fmt.Sprintf(`select clerk_sync.purge(%d) ->> 'audit_records'`, most))[0]; got != want {
			t.Errorf("purge(%d) removes %s records, want %s", most, got, want)
		}
	}
	purge(3, "3")
	wantRecorded(t, "after the first purge", recordedWhat(t, owner, 0), "insert t 1", "insert t 399", "insert t 401", "insert t 402")
	purge(3, "2")
	purge(3, "0")
	exec(t, owner, `update clerk_sync.settings set audit_retention = '30 days'`)
	purge(1000, "1")
	wantRecorded(t, "after a shorter retention", recordedWhat(t, owner, 0), "insert t 1")
	for _, retention := range []string{"0", "23 hours", "-1 day", "1000 years"} {
		if _, err := owner.Exec(t.Context(), `update clerk_sync.settings set audit_retention = '`+retention+`'`); err == nil || !strings.Contains(err.Error(), "settings_audit_retention") {
			t.Errorf("retention of %s: %v, want it refused by settings_audit_retention", retention, err)
		}
	}
}

func TestAuditTable_RefusesWhatItCannotAudit(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	super, owner := db.Conn(t, db.Superuser()), db.Conn(t, db.Owner())
	exec(t, super, `
		create extension file_fdw; create server files foreign data wrapper file_fdw;
		create foreign table public.abroad (id int) server files options (program 'true');
		create table public.theirs (id int primary key); create schema other; create table other.theirs (id int primary key);
		grant all on public.theirs, other.theirs to supabase_postgres; grant usage on schema other to supabase_postgres;
		create table public.parts (id int) partition by list (id);
		create foreign table public.parts_abroad partition of public.parts for values in (1) server files options (program 'true');
		alter table public.parts owner to supabase_postgres; alter foreign table public.parts_abroad owner to supabase_postgres;
		alter foreign table public.abroad owner to supabase_postgres`)
	exec(t, owner, `
		create table public.keyless (id int unique); create view public.looking as select 1 as id; create sequence public.counting;
		create materialized view public.kept as select 1 as id; create temp table fleeting (id int primary key);
		create table public.fine (id int primary key, note text); create type public.pair as (a int);
		create table public.root (id int primary key)`)
	exec(t, super, `create foreign table public.leaf () inherits (public.root) server files options (program 'true')`)
	tests := []struct{ call, code, text, hint string }{
		{`'public.missing'`, "42P01", "does not exist", ""},
		{`999999`, "42P01", "no such table", "schema"},
		{`null`, "42P01", "no such table", "schema"},
		{`'public.fine; drop table public.fine'`, "42602", "syntax", ""},
		{`'public.keyless'`, "55000", "public.keyless has no primary key", "alter table public.keyless add column"},
		{`'public.looking'`, "42809", "public.looking is no table but a view", "below the view"},
		{`'public.kept'`, "42809", "materialized view", ""},
		{`'public.abroad'`, "42809", "foreign table", "where it lives"},
		{`'public.counting'`, "42809", "sequence", ""},
		{`'public.fine_pkey'`, "42809", "index", ""},
		{`'public.pair'`, "42809", "thing of another kind", ""},
		{`'fleeting'`, "42809", "temporary", ""},
		{`'clerk_sync.audit_log'`, "22023", "cannot audit itself", ""},
		{`'pg_catalog.pg_class'`, "42501", "PostgreSQL itself", ""},
		{`'information_schema.sql_features'`, "42501", "PostgreSQL itself", ""},
		{`'public.theirs'`, "42501", "public.theirs belongs to postgres, not to supabase_postgres", "owner"},
		{`'other.theirs'`, "42501", "belongs to", ""},
		{`'public.parts'`, "55000", "no primary key", ""}, // nor can it have one
		{`'public.root'`, "42809", "foreign tables: public.leaf", "one by one"},
		{`'public.fine', '{note,Note,"a b"}'`, "42703", "no column 'Note', 'a b'", "as they are stored"},
	}
	for _, test := range tests {
		_, err := owner.Exec(t.Context(), `select clerk_sync.audit_table(`+test.call+`)`)
		pgErr := asPgError(t, err)
		if pgErr == nil || pgErr.Code != test.code || !strings.Contains(pgErr.Message, test.text) || !strings.Contains(pgErr.Hint, test.hint) {
			t.Errorf("audit_table(%s): %+v, want %s with %q and the hint %q", test.call, pgErr, test.code, test.text, test.hint)
		}
	}
	if left := lines(t, owner, `select tgname::text from pg_trigger where tgname ~ 'audit' and tgrelid in ('public.fine'::regclass, 'public.root'::regclass)`); len(left) != 0 {
		t.Errorf("triggers after refusals: %v", left)
	}
}

func TestAuditTable_CanBeRepeatedAndTakenBack(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithSchema(`My "Mirror'`))
	owner := db.Conn(t, db.Owner())
	const ours = `My "Mirror'`
	audited := func() []string {
		t.Helper()
		return lines(t, owner, `select concat_ws(' ', table_schema, table_name, ignored, complete) from clerk_sync.audited_tables()`)
	}
	triggers := func() []string {
		t.Helper()
		return lines(t, owner, `select tgrelid::regclass || ' ' || pg_get_triggerdef(oid) from pg_trigger where tgfoid = 'clerk_sync.audit_rows()'::regprocedure and tgrelid::regclass::text ~ '^t' order by 1`)
	}
	mirrored := []string{
		ours + " organization_memberships {synced_at,sync_version,updated_at} t", ours + " organizations {synced_at,sync_version,updated_at,is_placeholder} t",
		ours + " users {synced_at,sync_version,updated_at,is_placeholder,last_active_at,last_sign_in_at} t",
		"clerk organization_permissions {synced_at,sync_version,updated_at} t", "clerk organization_roles {synced_at,sync_version,updated_at} t",
	}
	wantRecorded(t, "what the migration audits", audited(), mirrored...)

	exec(t, owner, `
		create table public.t (id int primary key, "Ö'{,}" text) partition by list (id); create table public.t1 partition of public.t for values in (1);
		select clerk_sync.audit_table('public.t', array['Ö''{,}']); select clerk_sync.audit_table('public.t', array['Ö''{,}'])`)
	once := triggers()
	if len(once) != 8 {
		t.Fatalf("triggers of a table and its partition: %v, want four each", once)
	}
	exec(t, owner, `select clerk_sync.audit_table('public.t', array['Ö''{,}'])`)
	wantRecorded(t, "the triggers after a repetition", triggers(), once...)
	wantRecorded(t, "the tables with one of the user's", audited(), append(slices.Clone(mirrored), `public t {"Ö'{,}"} t`)...)

	exec(t, owner, `create table public.t2 partition of public.t for values in (2)`)
	wantRecorded(t, "a partition that was added since", audited(), append(slices.Clone(mirrored), `public t {"Ö'{,}"} f`)...)
	exec(t, owner, `select clerk_sync.audit_table('public.t'); insert into public.t2 values (2)`)
	wantRecorded(t, "the tables after a refresh", audited(), append(slices.Clone(mirrored), `public t {} t`)...)
	exec(t, owner, `alter table public.t disable trigger clerksync_audit_insert`)
	wantRecorded(t, "a disabled trigger", audited(), append(slices.Clone(mirrored), `public t {} f`)...)
	exec(t, owner, `select clerk_sync.audit_table('public.t', null)`)
	wantRecorded(t, "the tables after another refresh", audited(), append(slices.Clone(mirrored), `public t {} t`)...)

	before := lastRecord(t, owner)
	for _, want := range []string{"true", "false"} {
		if got := lines(t, owner, `select clerk_sync.unaudit_table('public.t')::text`)[0]; got != want {
			t.Errorf("unaudit_table = %s, want %s", got, want)
		}
	}
	exec(t, owner, `insert into public.t values (1); update public.t set id = 1 where id = 1; delete from public.t; truncate public.t1`)
	wantRecorded(t, "what is written afterwards", recordedWhat(t, owner, before))
	wantRecorded(t, "the tables after all", audited(), mirrored...)
	if left := triggers(); len(left) != 0 {
		t.Errorf("triggers that stayed: %v", left)
	}
	if left := lines(t, owner, `select row_id from clerk_sync.audit_log where table_name = 't'`); len(left) != 1 {
		t.Errorf("records of the table that is not audited any more: %v, want the one", left)
	}
}

func TestRecentAudit_Filters(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, api := db.Conn(t, db.Owner()), db.Conn(t, db.As("authenticator"))
	exec(t, owner, notesDDL+`create table public.other (id int primary key); select clerk_sync.audit_table('public.other'); insert into public.other values (1), (2)`)
	asRequest(t, api, "authenticated", `{"sub":"user_1"}`, `insert into public.notes values (1), (2); update public.notes set id = 3 where id = 1`)
	asRequest(t, api, "authenticated", `{"sub":"user_2"}`, `delete from public.notes where id = 2`)
	tests := []struct{ args, want string }{
		{``, "delete notes 2, update notes 1, insert notes 2, insert notes 1, insert other 2, insert other 1"},
		{`most => 2`, "delete notes 2, update notes 1"},
		{`most => -1`, "delete notes 2"},
		{`table_schema => 'public', table_name => 'notes'`, "delete notes 2, update notes 1, insert notes 2, insert notes 1"},
		{`table_schema => 'clerk', table_name => 'notes'`, ""},
		{`row_id => '1'`, "update notes 1, insert notes 1, insert other 1"},
		{`row_id => '3'`, "update notes 1"}, // by the id that it was given
		{`table_name => 'notes', row_id => '2'`, "delete notes 2, insert notes 2"},
		{`user_id => 'user_1'`, "update notes 1, insert notes 2, insert notes 1"},
		{`user_id => 'user_1', before => (select max(id) from clerk_sync.audit_log) - 1, most => 1`, "insert notes 2"},
		{`user_id => 'user_unknown'`, ""},
	}
	for _, test := range tests {
		got := strings.Join(lines(t, owner, `select action || ' ' || table_name || ' ' || row_id from clerk_sync.recent_audit(`+test.args+`)`), ", ")
		if got != test.want {
			t.Errorf("recent_audit(%s) = %q, want %q", test.args, got, test.want)
		}
	}
}

// Writers beside each other neither wait for the log nor mix up their causes.
func TestAudit_OfManyWritersAtOnce(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	const writers, rounds = 6, 20
	var working sync.WaitGroup
	for w := range writers {
		conn := db.Conn(t, db.Writer())
		working.Go(func() {
			for n := range rounds {
				// Everybody about one user of everybody's, and one of the writer's own.
				for _, id := range []string{"user_shared", fmt.Sprintf("user_%d", w)} {
					var outcome string
					err := conn.QueryRow(t.Context(), `select outcome from clerk_sync.apply_event($1, $2::jsonb)`, pgx.QueryExecModeExec,
						fmt.Sprintf("msg_%d_%d_%s", w, n, id), event("user.updated", int64(n*writers+w), fmt.Sprintf(`{"id":%q,"first_name":"%d %d","updated_at":1000}`, id, w, n))).Scan(&outcome)
					if err != nil {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			}
		})
	}
	working.Wait()
	wantRecorded(t, "the writers' own users", lines(t, owner, `
		select row_id || ' ' || count(*) || ' ' || bool_and(cause ~ ('^msg_' || substr(row_id, 6) || '_.*_' || row_id || '$'))
		from clerk_sync.audit_log where row_id <> 'user_shared' group by row_id order by 1`),
		"user_0 20 true", "user_1 20 true", "user_2 20 true", "user_3 20 true", "user_4 20 true", "user_5 20 true")
	// Of the shared one, each event that was applied and none that was stale.
	wantRecorded(t, "the shared user", lines(t, owner, `select cause from clerk_sync.audit_log where row_id = 'user_shared' order by 1`),
		lines(t, owner, `select svix_id from clerk_sync.webhook_events where object_id = 'user_shared' and outcome = 'applied' order by 1`)...)
}

func asPgError(t *testing.T, err error) *pgconn.PgError {
	t.Helper()
	pgErr, _ := errors.AsType[*pgconn.PgError](err)
	return pgErr
}
