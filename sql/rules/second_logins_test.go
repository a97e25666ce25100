package rules_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// Whatever a function may do with one login of a pair it may do with the other,
// and nothing more.
func TestSecondLogins_AreLikeTheFirst(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Superuser())
	for _, first := range []string{migrate.WriterRole, migrate.DiagnosticsRole} {
		of := func(sql string) []string {
			t.Helper()
			return lines(t, owner, sql, first+"_b")
		}
		ofFirst := func(sql string) []string {
			t.Helper()
			return lines(t, owner, sql, first)
		}
		for what, sql := range map[string]string{
			"settings": `select unnest(s.setconfig) from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where r.rolname = $1 order by 1`,
			"functions": `select p.oid::regprocedure::text from pg_proc p
				where p.pronamespace in ('clerk_sync'::regnamespace, 'clerk'::regnamespace, 'public'::regnamespace) and has_function_privilege($1, p.oid, 'execute') order by 1`,
			"tables": `select c.oid::regclass::text from pg_class c
				where c.relnamespace in ('clerk_sync'::regnamespace, 'clerk'::regnamespace, 'public'::regnamespace) and c.relkind in ('r', 'v')
				  and has_table_privilege($1, c.oid, 'select, insert, update, delete') order by 1`,
			"roles that it may become": `select r.rolname from pg_roles r where pg_has_role($1, r.oid, 'member') and r.rolname !~ '^clerksync_' order by 1`,
			"attributes": `select format('login %s, super %s, createrole %s, createdb %s, bypassrls %s, replication %s',
				rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication) from pg_roles where rolname = $1`,
		} {
			if diff := cmp.Diff(ofFirst(sql), of(sql)); diff != "" {
				t.Errorf("%s of %s (-first +second):\n%s", what, first, diff)
			}
		}
	}
}

func TestSecondLogins_WorkLikeTheFirst(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Superuser())
	writer := db.Conn(t, db.As(migrate.WriterRole+"_b"))
	if got := applyEvent(t, writer, "msg_1", event("user.created", 1, `{"id":"user_1","updated_at":1}`)); got != "applied" {
		t.Errorf("apply_event = %s, want applied", got)
	}
	if got := lines(t, owner, `select actor_kind || ' ' || cause from clerk_sync.audit_log where table_name = 'users'`); !cmp.Equal(got, []string{"sync msg_1"}) {
		t.Errorf("the audit log says %v, want sync msg_1", got)
	}
	diagnostics := db.Conn(t, db.As(migrate.DiagnosticsRole+"_b"))
	if got := lines(t, diagnostics, `select clerk_sync.copy_state('user_1', null) ->> 'user'`); !cmp.Equal(got, []string{"live"}) {
		t.Errorf("copy_state = %v, want live", got)
	}
	for role, want := range map[string]bool{"anon": true, "authenticated": true, "service_role": false} {
		_, err := diagnostics.Exec(t.Context(), "begin; set local role "+role+"; rollback")
		if (err == nil) != want {
			t.Errorf("becoming %s: %v, want it allowed: %t", role, err, want)
		}
		if err != nil {
			exec(t, diagnostics, "rollback")
		}
	}
}
