package rules_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/testdb"
	"clerksync/sql/migrate"
)

// PostgreSQL looks for types and relations in the caller's temporary schema before
// any other, also under an empty search path, unless the path names pg_temp. What
// stands before pg_temp has to be PostgreSQL's own: other schemas may be open to
// callers that create objects.
func TestFunctions_SearchTheTemporarySchemaLast(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"public", "Copy of Clerk"} {
		for name, regime := range regimes {
			t.Run(schema+"/"+name, func(t *testing.T) {
				t.Parallel()
				db := testdb.New(t, testdb.WithRegime(regime), testdb.WithSchema(schema))
				conn := db.Conn(t, db.Superuser())
				makeGuardedTables(t, db.Conn(t, db.Owner()))
				got := lines(t, conn, `
					select format('%s: %s', p.oid::regprocedure, coalesce(path.setting, 'no search_path'))
					from pg_proc as p
					left join lateral (select s as setting from unnest(p.proconfig) as s where s like 'search\_path=%') as path on true
					where (p.pronamespace in (select n.oid from pg_namespace as n where n.nspname in ($1, 'clerk', 'clerk_sync'))
					       -- What was installed on tables of other schemas.
					       or p.oid in (select t.tgfoid from pg_trigger as t where t.tgname like 'clerksync\_%'))
					  and path.setting is distinct from 'search_path=pg_catalog, pg_temp'
					order by 1`, schema)
				if len(got) != 0 {
					t.Errorf("functions whose search_path is not pg_catalog, pg_temp:\n%s", strings.Join(got, "\n"))
				}

				// The query does see what is installed on tables.
				want := []string{"clerk_sync.audit_rows()", "clerk_sync.project_rows()"}
				if diff := cmp.Diff(want, lines(t, conn, `
					select distinct t.tgfoid::regprocedure::text from pg_trigger as t
					where t.tgrelid in ('app.orders'::regclass, 'app.profiles'::regclass) and t.tgname like 'clerksync\_%' order by 1`)); diff != "" {
					t.Errorf("functions behind the triggers of guarded tables (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// makeGuardedTables makes tables of an application, audited by clerksync and with a
// projection kept by it.
func makeGuardedTables(t *testing.T, owner *pgx.Conn) {
	t.Helper()
	exec(t, owner, `
		create schema app;
		-- The audit log has one way for rows of simple types and another for the rest.
		create table app.orders (id bigint primary key, note text, tags text[], data jsonb not null default '{}');
		create table app.measures (id int, part int, value double precision, primary key (id, part)) partition by list (part);
		create table app.measures_one partition of app.measures for values in (1);
		create table app.profiles (owner_id text primary key, handle text, birthday date);
		-- Ours write pg_catalog before every relation; this one stands for one that does not.
		create function app.relations() returns bigint language sql security definer set search_path = pg_catalog, pg_temp as 'select count(*) from pg_class';
		grant execute on function app.relations() to public;
		select clerk_sync.audit_table('app.orders');
		select clerk_sync.audit_table('app.measures', '{value}')`)
	spec := rls.Spec{Table: catalog.Name{Schema: "app", Table: "profiles"}, Pattern: rls.PatternPublicProfile, PublicColumns: []string{"handle"}}
	plan, err := rls.Preview(t.Context(), owner, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := rls.Apply(t.Context(), owner, spec, nil, plan); err != nil {
		t.Fatalf("%+v: %v", plan.Findings, err)
	}
}

// trap fills the temporary schema of its session with everything that a function
// could take for PostgreSQL's own or for ours: a domain for every type, a view for
// every relation, and a few functions. Each says as whom it was run, in a warning:
// that outlives a rollback and reaches the session whatever becomes of the call.
const trap = `
create function pg_temp.ran(what pg_catalog.text) returns boolean language plpgsql as $$
begin
  raise warning 'trap ran as %: %', current_user, what;
  return true;
end $$;
-- Never looked for in the temporary schema, wherever that stands in the path.
create function pg_temp.now() returns pg_catalog.timestamptz language sql as $$ select pg_catalog.now() from (select pg_temp.ran('now()')) as r $$;
create function pg_temp.current_setting(pg_catalog.text, boolean) returns pg_catalog.text language sql as
  $$ select pg_catalog.current_setting($1, $2) from (select pg_temp.ran('current_setting()')) as r $$;
do $$
declare
  one record;
begin
  for one in
    select t.typname, t.typtype
    from pg_catalog.pg_type as t
    where t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace and t.typtype in ('b', 'r', 'm', 'p') and t.typcategory <> 'A'
    order by t.typtype <> 'p'
  loop
    if one.typtype = 'p' then
      execute pg_catalog.format('create type pg_temp.%I as (it int)', one.typname);
    else
      execute pg_catalog.format('create domain pg_temp.%1$I as pg_catalog.%1$I check (pg_temp.ran(%1$L))', one.typname);
    end if;
  end loop;
  for one in
    select c.relname, pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum)
                        filter (where n.nspname = 'pg_catalog' and t.typtype <> 'p' and t.typname <> '_pg_statistic') as columns
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    join pg_catalog.pg_type as t on t.oid = a.atttypid
    where n.nspname !~ '^(pg_toast|pg_temp|information_schema$)' and c.relkind in ('r', 'v', 'p')
    group by c.relname
    union
    -- What triggers call the rows that they are shown.
    select t, null from pg_catalog.unnest('{told,before,written,removed}'::pg_catalog.name[]) as t
  loop
    if one.columns is not null then
      execute pg_catalog.format('create view pg_temp.%1$I as select %2$s from pg_catalog.%1$I where pg_temp.ran(%1$L)', one.relname, one.columns);
    else
      execute pg_catalog.format('create view pg_temp.%1$I as select pg_temp.ran(%1$L) as ran', one.relname);
    end if;
  end loop;
end $$;
grant select on all tables in schema pg_temp to public;`

// sample is a call that a function answers without an error.
type sample struct{ function, sql string }

const (
	trappedUser         = `{"id":"user_t1","first_name":"Ada","email_addresses":[],"public_metadata":{},"private_metadata":{"a":1},"created_at":1900000000000,"updated_at":1900000000000}`
	trappedOrganization = `{"id":"org_t1","name":"Acme","created_at":1900000000000,"updated_at":1900000000000}`
	trappedMembership   = `{"id":"orgmem_t1","role":"org:member","permissions":["org:a:b"],"created_at":1900000000000,"updated_at":1900000000000,` +
		`"organization":{"id":"org_t2","name":"Other"},"public_user_data":{"user_id":"user_t2"}}`
	trappedRole       = `{"id":"role_t1","key":"org:member","permissions":[{"id":"perm_t2","key":"org:c:d"}],"created_at":1900000000000,"updated_at":1900000000000}`
	trappedPermission = `{"id":"perm_t1","key":"org:a:b","created_at":1900000000000,"updated_at":1900000000000}`
)

// samples are for every function that a login may call, in an order in which they
// work: a full sync begins before its pages are applied.
func samples() []sample {
	var list []sample
	add := func(function string, calls ...string) {
		for _, call := range calls {
			list = append(list, sample{function, "select * from " + function + "(" + call + ")"})
		}
	}
	said := func(id, kind, data string) string {
		return fmt.Sprintf("'%s', '%s'", id, event(kind, 1, data))
	}
	for _, function := range []string{"clerk_sync.apply_event", "public.apply_clerk_event"} {
		add(function,
			said("msg_1", "user.created", trappedUser), said("msg_2", "organization.created", trappedOrganization),
			said("msg_3", "organizationMembership.created", trappedMembership), said("msg_4", "role.created", trappedRole),
			said("msg_5", "permission.updated", trappedPermission), said("msg_6", "email.created", `{"id":"ema_1"}`),
			said("msg_7", "user.updated", `{}`), said("msg_8", "organizationMembership.deleted", trappedMembership),
			said("msg_9", "user.deleted", `{"id":"user_t1"}`), said("msg_10", "organization.deleted", `{"id":"org_t1"}`),
			said("msg_11", "role.deleted", `{"id":"role_t1"}`), said("msg_12", "permission.deleted", `{"id":"perm_t1"}`))
	}
	add("clerk_sync.apply_events", fmt.Sprintf(`'{msg_20,msg_21,msg_22}', '[%s,%s,%s]'`,
		event("user.created", 2, strings.ReplaceAll(trappedUser, "user_t1", "user_t3")),
		event("organizationMembership.created", 2, strings.ReplaceAll(trappedMembership, "orgmem_t1", "orgmem_t2")),
		event("user.updated", 2, `{}`)))
	for _, function := range []string{"clerk_sync.apply_event_text", "public.apply_clerk_event_text"} {
		add(function, `'`+function+`', '`+event("user.updated", 3, strings.ReplaceAll(trappedUser, "user_t1", "user_t5"))+`'`, `'`+function+`_2', '{"a":"\u0000"'`)
	}
	add("clerk_sync.reject_event", `'msg_30', '\x00', 'not_json'`)
	add("clerk_sync.replay_event", `'msg_7'`)
	add("clerk_sync.try_event", `'msg_7'`)
	add("clerk_sync.recent_events", ``, `null, null, 50, null, null, 'user', 'user_t1', 'user'`)
	add("clerk_sync.events_since", `null`, `null, 5, null, '2020-01-01', 'user', 'user_t1', 'user'`, `'{"seen":"1:1:"}'`)
	add("clerk_sync.event", `'msg_7'`)
	add("clerk_sync.signatures", `'2020-01-01'`)
	add("clerk_sync.event_types", `'2020-01-01'`)

	add("clerk_sync.tombstone_users", `'{user_t4}', '2030-01-01'`)
	add("clerk_sync.tombstone_organizations", `'{org_t4}', '2030-01-01'`)
	add("clerk_sync.end_memberships", `'{orgmem_t2}', '2030-01-01'`)

	// The first run of a fresh database.
	const run = `1, 'trap'`
	add("clerk_sync.expected_instance", ``, `true`)
	add("clerk_sync.begin_run", `'trap', '15 minutes', 'ins_1', 'manual', true, false`)
	add("clerk_sync.renew_run", run+`, '15 minutes'`)
	add("clerk_sync.keep_cuts", run+`, '[]'`)
	add("clerk_sync.plan_windows", run+`, '[{"to_ms":10},{"from_ms":10}]', 'user'`)
	for i, object := range []string{"user", "organization", "organization_membership", "role", "permission"} {
		resource := strings.ReplaceAll([]string{trappedUser, trappedOrganization, trappedMembership, trappedRole, trappedPermission}[i], "_t", "_p")
		id := []string{"user", "org", "orgmem", "role", "perm"}[i] + "_p1"
		page := fmt.Sprintf(`'%s', '[%s]', 1900000000000, '{%s}', '{1900000000000}', 1900000000000`, object, resource, id)
		add("clerk_sync.preview_page", page)
		add("clerk_sync.apply_page", run+`, 'span', 0, 1, `+page)
		add("clerk_sync.suspects", `1, '`+object+`', 0, null, '{other}', 10, 'a', 'z', '1970-01-01'`)
		add("clerk_sync.witnesses", `1, '`+object+`', '{other}', 5, 6, 5`)
		add("clerk_sync.pending_objects", `1, '`+object+`'`)
		if i < 3 {
			add("clerk_sync.undated", `'`+object+`', '2100-01-01', '', 10`)
		}
		add("clerk_sync.note_absences", run+`, '`+object+`', '{`+id+`}', '2100-01-01'`)
		part := `"object":"` + object + `","phase":"span","pass":0`
		add("clerk_sync.finish_window", run+`, '{`+part+`,"position":1,"listed":1,"tally":{"unchanged":0,"stale":0,"deleted_here":0},
			"rest":{`+part+`,"position":7,"from_ms":3,"after_id":"`+id+`"}}'`)
		add("clerk_sync.is_live", `'`+object+`', '`+id+`'`)
	}
	add("clerk_sync.run_windows", `1`)
	add("clerk_sync.children_of", `'{user_p1}', '{org_p1}'`)
	add("clerk_sync.pending_deletions", `1`)
	for _, object := range []string{"organization_membership", "user", "organization", "role", "permission"} {
		add("clerk_sync.delete_absent", run+`, '`+object+`', 100`)
	}
	add("clerk_sync.end_run", run+`, 'complete', null, 0, '{}'`)
	add("clerk_sync.recent_runs", ``)
	add("clerk_sync.last_event_at", ``)
	add("clerk_sync.migrated", ``)
	add("clerk_sync.status", ``)
	add("clerk_sync.purge", ``)
	add("clerk_sync.copy_state", `'user_p1', 'org_p1'`)
	add("clerk_sync.schemas", ``)
	for _, object := range []string{"user", "organization", "organization_membership"} {
		add("clerk_sync.count_objects", `'`+object+`'`)
	}
	for _, function := range []string{"count_events", "last_runs", "count_endings", "count_held_back", "memberships_left", "end_some_memberships"} {
		add("clerk_sync."+function, ``)
	}

	for _, function := range []string{
		"claims", "user_id", "org_id", "org_role", "my_org_ids", "my_fellow_ids", "near_fellow_ids", "crowd_from", "crowd_to", "first_fellow", "fellows_by", "leaving_fellow_ids", "session_is_active", "has_second_factor", "is_impersonated", "org_permissions",
	} {
		add("clerk."+function, ``)
	}
	add("clerk.by_key", `'user_a'`)
	add("clerk.has_second_factor", `10`)
	add("clerk.claim", `'{metadata,role}'`)
	add("clerk.claim_values", `'{metadata,role}'`)
	add("clerk.has_org_permission", `'org:a:b'`)
	add("clerk.my_org_ids_with_role", `'{org:member}'`)
	add("clerk.my_org_ids_with_permission", `'org:a:b'`)
	add("public.ensure_user", ``)
	return list
}

// attacker is a login that lays the trap, with the roles that it then takes on.
type attacker struct {
	name  string
	login string
	roles []string
	// further are statements beside the calls, by role.
	further map[string][]string
	// pooled: the calls are those of another client of the same login, which is given
	// the attacker's backend by a transaction pooler.
	pooled bool
	// harmless are roles whose functions name nothing that could be shadowed, so that
	// an empty path would not betray them.
	harmless []string
}

func attackers() []attacker {
	reads := map[string][]string{"authenticated": {
		`select * from public.users`, `select * from public.users_public`, `select * from public.organizations`, `select * from public.organization_memberships`,
		`insert into app.profiles (owner_id, handle) values ('user_t9', 'ada')`, `update app.profiles set handle = 'eve'`, `delete from app.profiles`,
	}}
	diagnostics := attacker{roles: []string{"", "anon", "authenticated"}, further: reads, harmless: []string{""}}
	list := []attacker{
		{name: "the API", login: "authenticator", roles: []string{"anon", "authenticated", "service_role"}, further: reads},
		{name: "a login that may insert", login: inserter, roles: []string{""}, further: map[string][]string{"": {
			`insert into app.orders (id, note, tags) values (1, 'a', '{b}')`,
			`insert into app.orders (id) select generate_series(2, 100)`,
			`insert into app.measures values (1, 1, 0.5)`,
			`insert into app.measures_one values (2, 1, 0.5)`,
			`select app.relations()`,
		}}},
	}
	for _, pooled := range []bool{false, true} {
		for _, suffix := range []string{"", "_b"} {
			how := map[bool]string{true: " through a pooler"}[pooled]
			list = append(list, attacker{name: migrate.WriterRole + suffix + how, login: migrate.WriterRole + suffix, roles: []string{""}, pooled: pooled})
			d := diagnostics
			d.login, d.pooled = migrate.DiagnosticsRole+suffix, pooled
			d.name = d.login + how
			list = append(list, d)
		}
	}
	return list
}

// inserter stands for a login of the application's own, made for each database.
const inserter = "inserter"

func TestFunctions_RunNothingOfTheCallersTemporarySchema(t *testing.T) {
	t.Parallel()
	for _, a := range attackers() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			for role, result := range attack(t, a, false) {
				for _, warning := range slices.Compact(result.warnings) {
					t.Errorf("role %q: %s", role, warning)
				}
				for _, err := range result.errors {
					t.Errorf("role %q: a sample fails: %v", role, err)
				}
			}
		})
	}
}

// The same attack on the same functions under an empty path, so that the test above
// is known to find it.
func TestFunctions_WouldRunItUnderAnEmptyPath(t *testing.T) {
	t.Parallel()
	for _, a := range attackers() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			results := attack(t, a, true)
			for _, role := range a.roles {
				asOwner := slices.DeleteFunc(slices.Clone(results[role].warnings), func(w string) bool {
					return !strings.Contains(w, "ran as "+postgres.Owner+":")
				})
				if slices.Contains(a.harmless, role) {
					continue
				}
				// A domain is always among what ran; a relation where a function leaves out its schema.
				ran := func(what string) bool {
					return slices.ContainsFunc(asOwner, func(w string) bool { return strings.Contains(w, ": "+what+" in ") })
				}
				if !ran("jsonb") && !ran("text") || a.login == inserter && !ran("pg_class") {
					t.Errorf("role %q: too little ran as the functions' owner; all warnings:\n%s", role, strings.Join(slices.Compact(results[role].warnings), "\n"))
				}
				t.Logf("role %q: code of the caller ran %d times as the functions' owner", role, len(asOwner))
			}
		})
	}
}

// outcome is what the calls of a role brought.
type outcome struct {
	warnings []string
	errors   []error
}

// attack lays the trap and calls everything that each role may call.
func attack(t *testing.T, a attacker, emptyPath bool) map[string]outcome {
	t.Helper()
	var db *testdb.DB
	if a.login == inserter {
		// Registered before the database is made, and so run after it is dropped: only
		// then does nothing depend on the role.
		t.Cleanup(func() {
			if t.Failed() {
				return // the database is kept then, and refers to the role
			}
			conn, err := pgx.Connect(context.Background(), db.Server().URL(testdb.ServerDatabase, postgres.Superuser, ""))
			if err != nil {
				t.Error(err)
				return
			}
			_, err = conn.Exec(context.Background(), "drop role "+a.login)
			if err = errors.Join(err, conn.Close(context.Background())); err != nil {
				t.Error(err)
			}
		})
	}
	db = testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	owner := db.Conn(t, db.Owner())
	makeGuardedTables(t, owner)
	exec(t, owner, `grant usage on schema app to authenticated`)
	if a.login == inserter {
		// The end of a database's name tells it from others, and is short enough for a role.
		a.login += "_" + db.Name()[max(0, len(db.Name())-40):]
		exec(t, admin, fmt.Sprintf(`create role %[1]s login; grant usage on schema app to %[1]s; grant insert on app.orders, app.measures, app.measures_one to %[1]s`, a.login))
	}
	// Old enough for purge to remove, so that the triggers of deletions fire as well.
	exec(t, admin, `
		set session_replication_role = replica;
		insert into public.users (clerk_id, sync_version, deleted_at) values ('user_old', '9', now() - interval '5 years');
		insert into clerk_sync.audit_log (at, actor_kind, login, table_schema, table_name, action) values (now() - interval '5 years', 'sync', 'x', 'public', 'users', 'insert');
		set session_replication_role = origin;
		insert into clerk_sync.webhook_events (svix_id, type, outcome, received_at) values ('msg_old', 'user.created', 'applied', now() - interval '5 years');
		update clerk_sync.settings set store_private_metadata = true`)
	if emptyPath {
		exec(t, admin, `do $$ declare f record; begin
			for f in select p.oid::regprocedure as name from pg_proc as p
			         where p.pronamespace in ('public'::regnamespace, 'clerk'::regnamespace, 'clerk_sync'::regnamespace, 'app'::regnamespace) loop
			  execute format('alter function %s set search_path = ''''', f.name);
			end loop; end $$`)
	}

	var said struct {
		sync.Mutex
		warnings []string
	}
	connect := func() *pgx.Conn {
		url := db.As(a.login)
		if a.pooled {
			url = db.Pooled(t, url)
		}
		config, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			said.Lock()
			defer said.Unlock()
			said.warnings = append(said.warnings, n.Message)
		}
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	conn := connect()
	// The default of the diagnostics stops no attacker.
	exec(t, conn, `set default_transaction_read_only = off`)
	if _, err := conn.Exec(t.Context(), trap); err != nil {
		t.Fatalf("laying the trap: %v", err)
	}
	if a.pooled {
		backend := lines(t, conn, `select pg_catalog.pg_backend_pid()::pg_catalog.text`)
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		conn = connect()
		if diff := cmp.Diff(backend, lines(t, conn, `select pg_catalog.pg_backend_pid()::pg_catalog.text`)); diff != "" {
			t.Fatalf("the client after the attacker is given another backend:\n%s", diff)
		}
	}

	results := map[string]outcome{}
	for _, role := range a.roles {
		said.Lock()
		said.warnings = nil
		said.Unlock()
		var result outcome
		for _, sql := range callsOf(t, admin, a, role) {
			if err := inRole(t, conn, role, sql); err != nil {
				result.errors = append(result.errors, fmt.Errorf("%s: %w", sql, err))
			}
			said.Lock()
			for i, w := range said.warnings {
				said.warnings[i] = w + " in " + sql
			}
			result.warnings = append(result.warnings, said.warnings...)
			said.warnings = nil
			said.Unlock()
		}
		results[role] = result
	}
	return results
}

// callsOf are statements that reach every function which a role may call. A function
// without a sample fails the test.
func callsOf(t *testing.T, admin *pgx.Conn, a attacker, role string) []string {
	t.Helper()
	as := role
	if as == "" {
		as = a.login
	}
	callable := map[string]bool{}
	for _, name := range lines(t, admin, `
		select format('%s.%s', n.nspname, p.proname)
		from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
		where n.nspname in ('public', 'clerk', 'clerk_sync') and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
		  and has_schema_privilege($1::text, n.oid, 'usage') and has_function_privilege($1::text, p.oid, 'execute')`, as) {
		if callable[name] {
			t.Errorf("%s is overloaded: each needs a sample", name)
		}
		callable[name] = true
	}
	var calls []string
	sampled := map[string]bool{}
	for _, s := range samples() {
		sampled[s.function] = true
		if callable[s.function] {
			calls = append(calls, s.sql)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(callable)) {
		if !sampled[name] {
			t.Errorf("%s may call %s: there is no sample of a call", as, name)
		}
	}
	calls = append(calls, a.further[role]...)
	if len(calls) == 0 {
		t.Errorf("%s may call nothing", as)
	}
	return calls
}

// inRole runs a statement as a request does. What it runs beside the statement names
// no type and no relation.
func inRole(t *testing.T, conn *pgx.Conn, role, sql string) error {
	t.Helper()
	const claims = `{"sub":"user_t9","role":"authenticated","v":2,"o":{"id":"org_1","rol":"admin","per":"read,edit","fpm":"3"},"fea":"o:invoices","fva":[1,1],"act":{"sub":"user_staff"}}`
	return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		if role != "" {
			if _, err := tx.Exec(t.Context(), "set local role "+role); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(t.Context(), `select pg_catalog.set_config('request.jwt.claims', '`+claims+`', true)`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), sql)
		return err
	})
}
