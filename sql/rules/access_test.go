package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// Who may do what, whole: in projects that grant everything by default as in
// those that grant nothing.
func TestMigrations_GrantExactlyWhatIsMeant(t *testing.T) {
	t.Parallel()
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			conn := db.Conn(t, db.Superuser())
			got := lines(t, conn, `
				select r.rolname || ' ' || p.privilege || ' ' || c.oid::regclass
				from pg_class c
				cross join (values ('anon'), ('authenticated'), ('service_role'), ('clerksync_writer'), ('clerksync_diagnostics')) r (rolname)
				cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'), ('REFERENCES'), ('TRIGGER')) p (privilege)
				where c.relnamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace)
				  and c.relkind in ('r', 'v')
				  and has_table_privilege(r.rolname, c.oid, p.privilege)
				  and not (r.rolname = 'clerksync_diagnostics' and has_table_privilege('authenticated', c.oid, p.privilege))
				order by 1`)
			want := []string{
				"authenticated SELECT clerk.fellows", "authenticated SELECT clerk.fellows_by_user",
				"authenticated SELECT organization_memberships", "authenticated SELECT organizations",
				"authenticated SELECT users", "authenticated SELECT users_public",
				"service_role SELECT clerk.organization_permissions", "service_role SELECT clerk.organization_roles",
				"service_role SELECT clerk.role_permissions",
				"service_role SELECT clerk_sync.audit_log",
				"service_role SELECT organization_memberships", "service_role SELECT organizations",
				"service_role SELECT users", "service_role SELECT users_public",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("table privileges (-want +got):\n%s", diff)
			}

			// Privileges on single columns, where there is none on the table.
			got = lines(t, conn, `
				select r.rolname || ' ' || p.privilege || ' ' || c.oid::regclass || '.' || a.attname
				from pg_class c
				join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
				cross join (values ('anon'), ('authenticated'), ('service_role'), ('clerksync_writer')) r (rolname)
				cross join (values ('SELECT'), ('INSERT'), ('UPDATE'), ('REFERENCES')) p (privilege)
				where c.relnamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace)
				  and c.relkind in ('r', 'v')
				  and has_column_privilege(r.rolname, c.oid, a.attnum, p.privilege)
				  and not has_table_privilege(r.rolname, c.oid, p.privilege)
				order by 1`)
			want = []string{"authenticated INSERT users.clerk_id"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("column privileges (-want +got):\n%s", diff)
			}

			got = lines(t, conn, `
				select r.rolname || ' ' || p.oid::regprocedure
				from pg_proc p
				cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
				where p.pronamespace in ('public'::regnamespace, 'clerk_sync'::regnamespace)
				  and has_function_privilege(r.rolname, p.oid, 'execute')
				order by 1`)
			want = []string{
				"authenticated ensure_user()",
				"service_role apply_clerk_event(text,jsonb)",
				"service_role apply_clerk_event_text(text,text)",
				"service_role clerk_sync.apply_event(text,jsonb,text,text)",
				"service_role clerk_sync.apply_event_text(text,text)",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("functions that API roles may execute (-want +got):\n%s", diff)
			}

			// All others of the helpers may be part of a team's policy, for any role.
			got = lines(t, conn, `
				select p.oid::regprocedure::text || ' ' || string_agg(r.rolname, ' ' order by r.rolname)
				from pg_proc p
				cross join (values ('anon'), ('authenticated'), ('service_role')) r (rolname)
				where p.pronamespace = 'clerk'::regnamespace and has_function_privilege(r.rolname, p.oid, 'execute')
				group by p.oid having count(*) < 3 order by 1`)
			want = []string{"clerk.by_key(text) authenticated", "clerk.crowd_from() authenticated", "clerk.crowd_to() authenticated", "clerk.fellows_by() authenticated", "clerk.first_fellow() authenticated", "clerk.leaving_fellow_ids() authenticated", "clerk.near_fellow_ids() authenticated"}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("helpers that not every API role may execute (-want +got):\n%s", diff)
			}

			if owned := lines(t, conn, `
				select c.oid::regclass::text from pg_class c
				where pg_get_userbyid(c.relowner) in ('clerksync_writer', 'clerksync_diagnostics')`); len(owned) != 0 {
				t.Errorf("the login roles own %v", owned)
			}
		})
	}
}

func TestLoginRoles_CanDoNothingElse(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	tests := []struct{ role, sql string }{
		{"clerksync_writer", `select * from public.users`},
		{"clerksync_writer", `insert into public.users (clerk_id) values ('user_1')`},
		{"clerksync_writer", `select * from clerk_sync.webhook_events`},
		{"clerksync_writer", `update clerk_sync.settings set instance_id = 'ins_x'`},
		{"clerksync_writer", `select * from clerk_sync.audit_log`},
		{"clerksync_writer", `select clerk_sync.unaudit_table('public.users')`},
		{"clerksync_writer", `select clerk_sync.dispatch_event('{}', null)`},
		{"clerksync_writer", `set role service_role`},
		{"clerksync_writer", `set role authenticated`},
		{"clerksync_writer", `create table public.mine (id int)`},
		{"clerksync_diagnostics", `set role service_role`},
		{"clerksync_diagnostics", `select clerk_sync.apply_event('msg', '{}')`},
		{"clerksync_diagnostics", `select * from public.users`}, // only as a user would
		{"service_role", `insert into public.users (clerk_id) values ('user_1')`},
		{"service_role", `select * from clerk_sync.webhook_events`},
		{"service_role", `delete from clerk_sync.audit_log`},
		{"service_role", `insert into clerk_sync.audit_log (actor_kind, login, table_schema, table_name, action) values ('sync', 'me', 'public', 'users', 'insert')`},
		{"service_role", `select clerk_sync.recent_audit()`},
		{"service_role", `select clerk_sync.audit_table('public.users')`},
		{"authenticated", `select clerk_sync.apply_event('msg', '{}')`},
		{"authenticated", `select public.apply_clerk_event('msg', '{}')`},
		{"authenticated", `select public.apply_clerk_event_text('msg', '{}')`},
		{"clerksync_writer", `select public.apply_clerk_event_text('msg', '{}')`},
		{"clerksync_writer", `select from clerk_sync.batch_lock for update`},
		{"authenticated", `select * from clerk.role_permissions`},
		{"anon", `select * from public.users`},
		{"anon", `select * from public.users_public`},
	}
	for _, test := range tests {
		t.Run(test.role+"/"+test.sql, func(t *testing.T) {
			t.Parallel()
			conn := db.Conn(t, db.As(test.role))
			_, err := conn.Exec(t.Context(), test.sql)
			if err == nil || !strings.Contains(err.Error(), "42501") {
				t.Errorf("%s: %s: error %v, want 42501 (insufficient privilege)", test.role, test.sql, err)
			}
		})
	}
}

func TestWrapper_LetsOnlyServiceRoleApplyEvents(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.As("service_role"))
	var outcome string
	err := conn.QueryRow(t.Context(), `select outcome from public.apply_clerk_event('msg_1', $1::text::jsonb)`,
		`{"type":"user.created","data":{"id":"user_1","updated_at":1716883200000}}`).Scan(&outcome)
	if err != nil || outcome != "applied" {
		t.Errorf("apply_clerk_event as service_role = %q, %v, want applied", outcome, err)
	}
}

// seen is the sorted ids that a request with these claims reads.
func seen(t *testing.T, conn *pgx.Conn, claims, table, id string) []string {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err := tx.Exec(t.Context(), `select set_config('request.jwt.claims', $1, true), set_config('role', 'authenticated', true)`, claims); err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), fmt.Sprintf(`select %s from public.%s order by 1`, id, table))
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestPolicies_ShowNobodyAStrangersRow(t *testing.T) {
	t.Parallel()
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			conn := db.Conn(t, db.Owner())
			exec(t, conn, `
				insert into public.users (clerk_id) values ('user_a'), ('user_b'), ('user_c'), ('user_left');
				insert into public.organizations (clerk_org_id) values ('org_1'), ('org_2'), ('org_3');
				insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, deleted_at, sync_version) values
					('m1', 'org_1', 'user_a', null, '0'), ('m2', 'org_1', 'user_b', null, '0'), ('m3', 'org_2', 'user_c', null, '0'),
					('m4', 'org_1', 'user_left', now(), '9'), ('m5', 'org_3', 'user_a', now(), '9')`)
			tests := []struct {
				claims                                    string
				users, public, organizations, memberships []string
			}{
				{`{"sub":"user_a","role":"authenticated"}`, []string{"user_a"}, []string{"user_a", "user_b"}, []string{"org_1"}, []string{"m1", "m2"}},
				{`{"sub":"user_c"}`, []string{"user_c"}, []string{"user_c"}, []string{"org_2"}, []string{"m3"}},
				// Left: the organization is closed to it at once, whatever the token still says.
				{`{"sub":"user_left","o":{"id":"org_1","rol":"admin"}}`, []string{"user_left"}, []string{"user_left"}, nil, nil},
				{`{"sub":"user_unknown"}`, nil, nil, nil, nil},
				{`{"sub":""}`, nil, nil, nil, nil},
				{`{"sub":null}`, nil, nil, nil, nil},
				{`{}`, nil, nil, nil, nil},
				{``, nil, nil, nil, nil},
			}
			for _, test := range tests {
				got := [][]string{
					seen(t, conn, test.claims, "users", "clerk_id"),
					seen(t, conn, test.claims, "users_public", "clerk_id"),
					seen(t, conn, test.claims, "organizations", "clerk_org_id"),
					seen(t, conn, test.claims, "organization_memberships", "clerk_membership_id"),
				}
				want := [][]string{test.users, test.public, test.organizations, test.memberships}
				for i := range want {
					if strings.Join(got[i], " ") != strings.Join(want[i], " ") {
						t.Errorf("claims %s see %v, want %v", test.claims, got, want)
						break
					}
				}
			}
		})
	}
}

func TestHelpers_ReadBothTokenVersions(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	tests := []struct{ claims, user, org, role string }{
		{`{"sub":"user_1","v":2,"o":{"id":"org_1","rol":"admin","slg":"acme"}}`, "user_1", "org_1", "org:admin"},
		{`{"sub":"user_1","org_id":"org_1","org_role":"org:admin"}`, "user_1", "org_1", "org:admin"},
		{`{"sub":"user_1","org_id":"org_1","org_role":"admin"}`, "user_1", "org_1", "org:admin"},
		{`{"sub":"user_1","o":{"id":"org_1","rol":"org:admin"}}`, "user_1", "org_1", "org:admin"},
		{`{"sub":"user_1"}`, "user_1", "", ""},
		// No active organization in either form.
		{`{"sub":"user_1","org_id":null,"o":{}}`, "user_1", "", ""},
		{`{"sub":"user_1","org_id":"","org_role":""}`, "user_1", "", ""},
		// A name that only looks like a path.
		{`{"sub":"user_1","o.id":"org_1"}`, "user_1", "", ""},
		{``, "", "", ""},
	}
	for _, test := range tests {
		var user, org, role *string
		err := conn.QueryRow(t.Context(), `
			with claims as materialized (select set_config('request.jwt.claims', $1, false))
			select clerk.user_id(), clerk.org_id(), clerk.org_role() from claims`, test.claims).Scan(&user, &org, &role)
		if err != nil {
			t.Fatal(err)
		}
		got := [3]string{}
		for i, value := range []*string{user, org, role} {
			if value != nil {
				got[i] = *value
			}
		}
		if want := [3]string{test.user, test.org, test.role}; got != want {
			t.Errorf("claims %s: user, org, role = %q, want %q", test.claims, got, want)
		}
	}
}
