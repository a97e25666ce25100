package rules_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/testkit/testdb"
)

func TestCopyState_TellsWhatTheCopyKnows(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	exec(t, db.Conn(t, db.Owner()), `
		insert into public.users (clerk_id, email, sync_version, deleted_at) values
			('user_live', 'a@example.com', '2.000000000000000.000000000000000.3.', null), ('user_told', null, '1.000000000000000.000000000000000.3.', null), ('user_ensured', null, '0', null),
			('user_gone', null, '9', now());
		insert into public.organizations (clerk_org_id, name, sync_version, deleted_at) values
			('org_live', 'Acme', '2.000000000000000.000000000000000.3.', null), ('org_told', null, '1.000000000000000.000000000000000.3.', null), ('org_gone', null, '9', now());
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, deleted_at, sync_version) values
			('m1', 'org_live', 'user_live', 'org:member', now(), '9'),
			('m2', 'org_live', 'user_live', 'org:admin', null, '2.000000000000000.000000000000000.3.'),
			('m3', 'org_told', 'user_live', 'org:member', now(), '9'),
			('m4', 'org_live', 'user_told', null, null, '2.000000000000000.000000000000000.3.')`)
	conn := db.Conn(t, db.Diagnostics())
	type state struct{ User, Organization, Membership, Role string }
	tests := []struct {
		user, org any
		want      state
	}{
		{"user_live", nil, state{User: "live"}},
		// Left and joined again: the membership that lives counts.
		{"user_live", "org_live", state{"live", "live", "live", "org:admin"}},
		// What a removed member had as a role is no role.
		{"user_live", "org_told", state{"live", "placeholder", "deleted", ""}},
		{"user_live", "org_gone", state{"live", "deleted", "absent", ""}},
		{"user_told", "org_live", state{"placeholder", "live", "live", ""}},
		{"user_ensured", "org_unknown", state{"placeholder", "absent", "absent", ""}},
		{"user_gone", nil, state{User: "deleted"}},
		{"user_unknown", nil, state{User: "absent"}},
		{nil, nil, state{User: "absent"}},
		{"' or true --", "", state{"absent", "absent", "absent", ""}},
	}
	for _, test := range tests {
		var text string
		if err := conn.QueryRow(t.Context(), `select clerk_sync.copy_state($1, $2)::text`, test.user, test.org).Scan(&text); err != nil {
			t.Fatal(err)
		}
		var got state
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got != test.want {
			t.Errorf("copy_state(%v, %v) = %+v, want %+v", test.user, test.org, got, test.want)
		}
		if strings.Contains(text, "example.com") || strings.Contains(text, "Acme") {
			t.Errorf("copy_state(%v, %v) tells personal data: %s", test.user, test.org, text)
		}
	}
}

func TestCopyState_TellsWhenAWebhookWasLastReceived(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn, owner := db.Conn(t, db.Diagnostics()), db.Conn(t, db.Owner())
	const last = `select coalesce(clerk_sync.copy_state('user_1', null) ->> 'last_event_at', 'never')`
	if got := lines(t, conn, last); got[0] != "never" {
		t.Errorf("before the first webhook: %s, want never", got[0])
	}
	exec(t, owner, `insert into clerk_sync.webhook_events (svix_id, type, outcome, received_at) values
		('msg_1', 'user.created', 'applied', '2026-01-02T03:04:05Z'), ('msg_2', 'user.created', 'ignored', '2026-01-01T00:00:00Z')`)
	if got := lines(t, conn, `select ((clerk_sync.copy_state('user_1', null) ->> 'last_event_at')::timestamptz = '2026-01-02T03:04:05Z')::text`); got[0] != "true" {
		t.Errorf("last_event_at is that of the newest message: %s, want true", got[0])
	}
}

func TestCopyState_ReadsTheCopyWhereItIs(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithSchema(`The "Copy"`))
	exec(t, db.Conn(t, db.Owner()), `insert into "The ""Copy""".users (clerk_id) values ('user_1')`)
	if got := lines(t, db.Conn(t, db.Diagnostics()), `select clerk_sync.copy_state('user_1', null) ->> 'user'`); got[0] != "placeholder" {
		t.Errorf("state = %s, want placeholder", got[0])
	}
}

// Who may not read the settings learns from them where things are.
func TestSchemas_AreThoseThatWereChosen(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.WithSchema("app"), testdb.WithHelpers("claims"))
	for _, login := range []string{db.Owner(), db.Writer(), db.Diagnostics()} {
		if got := lines(t, db.Conn(t, login), `select exposed || ' ' || helpers from clerk_sync.schemas()`); got[0] != "app claims" {
			t.Errorf("schemas = %s, want app and claims", got[0])
		}
	}
}

// The diagnostics reach two functions of the schema and nothing else there, and
// nobody new reaches the one that reads the copy.
func TestDiagnosticsRole_MayExecuteTwoFunctions(t *testing.T) {
	t.Parallel()
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			conn := db.Conn(t, db.Superuser())
			got := lines(t, conn, `
				select p.oid::regprocedure::text from pg_proc p
				where p.pronamespace in ('clerk_sync'::regnamespace, 'clerk'::regnamespace)
				  and has_function_privilege('clerksync_diagnostics', p.oid, 'execute')
				  and not has_function_privilege('authenticated', p.oid, 'execute')
				order by 1`)
			if diff := cmp.Diff([]string{"clerk_sync.copy_state(text,text)", "clerk_sync.schemas()"}, got); diff != "" {
				t.Errorf("functions that clerksync_diagnostics may execute (-want +got):\n%s", diff)
			}
			got = lines(t, conn, `
				select r.rolname::text from pg_roles r
				where r.rolname in ('anon', 'authenticated', 'service_role', 'clerksync_writer', 'clerksync_diagnostics')
				  and has_function_privilege(r.oid, 'clerk_sync.copy_state(text,text)', 'execute')
				order by 1`)
			if fmt.Sprint(got) != "[clerksync_diagnostics]" {
				t.Errorf("roles that may execute copy_state: %v, want clerksync_diagnostics alone", got)
			}
			got = lines(t, conn, `
				select c.oid::regclass::text from pg_class c
				where c.relnamespace = 'clerk_sync'::regnamespace and c.relkind in ('r', 'v', 'S')
				  and case when c.relkind = 'S' then has_sequence_privilege('clerksync_diagnostics', c.oid, 'usage')
				           else has_any_column_privilege('clerksync_diagnostics', c.oid, 'select') end`)
			if len(got) != 0 {
				t.Errorf("clerksync_diagnostics may read %v", got)
			}
		})
	}
}
