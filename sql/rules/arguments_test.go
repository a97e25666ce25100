package rules_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/testkit/testdb"
)

func wantState(t *testing.T, err error, want string) {
	t.Helper()
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != want {
		t.Errorf("%v, want SQLSTATE %s", err, want)
	}
}

// A row of another version than the rules know could be one that no statement ever
// changes again, or a deleted one that looks live.
func TestSyncVersion_IsOfItsForm(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, `insert into public.users (clerk_id) values ('user_1')`)
	for _, change := range []string{
		`sync_version = '2'`, `sync_version = '3.000000000000000.000000000000000.1.'`, `sync_version = '8'`, `sync_version = ''`,
		`sync_version = '2.1.1.1.'`, `sync_version = '9'`, `deleted_at = now()`, `sync_version = '9.'`,
		`sync_version = '2.000000000000000.000000000000000.4.'`, `sync_version = e'9\n', deleted_at = now()`, `sync_version = '8.1', deleted_at = now()`,
		`sync_version = '8.000000000000001'`,
	} {
		_, err := owner.Exec(t.Context(), `update public.users set `+change)
		wantState(t, err, "23514")
	}
	for _, change := range []string{
		`sync_version = '1.000000000000000.000000000000000.3.'`, `sync_version = '2.000000000000001.000000000000002.1.0123456789abcdef0123456789abcdef'`,
		`sync_version = '8.000000000000001', deleted_at = now()`, `sync_version = '9'`, `sync_version = '0', deleted_at = null`,
	} {
		exec(t, owner, `update public.users set `+change)
	}
	for _, table := range []string{"public.organizations", "public.organization_memberships", "clerk.organization_roles", "clerk.organization_permissions"} {
		if found := lines(t, owner, `select conname::text from pg_constraint where conrelid = $1::regclass and pg_get_constraintdef(oid) like '%sync_version ~%deleted_at%'`, table); len(found) != 1 {
			t.Errorf("%s has no constraint on sync_version", table)
		}
	}
}

func TestRules_CheckTheirArguments(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	const user = `'[{"id":"user_1","updated_at":1}]'`
	for _, call := range []string{
		`clerk_sync.apply_users(` + user + `, array[1], '{3}', '9')`, `clerk_sync.apply_users(` + user + `, array[1], '{3}', '0')`,
		`clerk_sync.apply_users(` + user + `, array[1], '{9}')`, `clerk_sync.apply_users(` + user + `, array[1], '{null}')`,
		`clerk_sync.apply_users(` + user + `, array[-1])`, `clerk_sync.apply_users(` + user + `, array[100000000000000])`,
		`clerk_sync.apply_organizations('[{"id":"org_1"}]', array[1], '{3}', 'x')`,
	} {
		_, err := owner.Exec(t.Context(), `select * from `+call)
		wantState(t, err, "22023")
	}
	for _, call := range []string{
		`clerk_sync.begin_run('me', '100 years', 'ins_1', 'test', false, false)`, `clerk_sync.begin_run('me', null, 'ins_1', 'test', false, false)`,
		`clerk_sync.begin_run('me', '-1 minute', 'ins_1', 'test', false, false)`, `clerk_sync.renew_run(1, 'me', '16 minutes')`,
		`clerk_sync.apply_page(null, null, null, null, null, 'users', '[]', 1, '{}', '{}', 1)`, `clerk_sync.suspects(null, 'session', null, null, '{}', 1)`,
	} {
		_, err := writer.Exec(t.Context(), `select * from `+call)
		wantState(t, err, "22023")
	}
	// What only the rules themselves call is not the runtime role's to call.
	for _, function := range []string{
		"apply_users(" + user + ", array[1])", "apply_organizations('[]', array[1])", "apply_memberships('[]', array[1])", "apply_roles('[]', array[1])",
		"apply_permissions('[]', array[1])", "tombstone_memberships('[]', '{}', '{}', '{}')", "tombstone_roles('{}', now())", "tombstone_permissions('{}', now())",
		"compare_page('user', '[]', 1, '{}', '{}', 1)",
	} {
		_, err := writer.Exec(t.Context(), `select * from clerk_sync.`+function)
		wantState(t, err, "42501")
	}
	if rows := lines(t, owner, `select clerk_id from public.users`); len(rows) != 0 {
		t.Errorf("the refused calls wrote %s", strings.Join(rows, ", "))
	}
}

// Any login of the database can take an advisory lock of any number: no function of
// ours waits for one.
func TestRules_TakeNoAdvisoryLock(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	if found := lines(t, owner, `
		select p.oid::regprocedure::text from pg_proc p
		where p.pronamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace) and p.prosrc ilike '%advisory%lock%(%'`); len(found) != 0 {
		t.Errorf("%v take an advisory lock", found)
	}
}

// The same page sent twice at once: the second waits for the first, and counts nothing
// again.
func TestApplyPage_OfAWindowTakesTurns(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, first, second := db.Conn(t, db.Superuser()), db.Conn(t, db.Writer()), db.Conn(t, db.Writer())
	run := lines(t, first, `select clerk_sync.begin_run('me', '15 minutes', 'ins_1', 'test', false, false) ->> 'run_id'`)[0]
	page := `select created::text from clerk_sync.apply_page(` + run + `, 'me', 'span', 0, 1, 'user', '[{"id":"user_1","created_at":1,"updated_at":1}]', 1000, '{user_1}', '{1}', 1)`
	exec(t, first, "begin")
	if got := lines(t, first, page); got[0] != "1" {
		t.Fatalf("the first call created %s", got[0])
	}
	answer := make(chan string, 1)
	go func() {
		var created string
		if err := second.QueryRow(t.Context(), page).Scan(&created); err != nil {
			created = err.Error()
		}
		answer <- created
	}()
	awaitLock(t, owner, second, first)
	exec(t, first, "commit")
	if got := <-answer; got != "0" {
		t.Errorf("the second call created %s", got)
	}
	if got := lines(t, owner, `select tally::text from clerk_sync.run_windows`)[0]; !strings.Contains(got, `"created": 1`) {
		t.Errorf("the window counted %s", got)
	}
}
