package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// asUser runs f in a request of a user.
func asUser(tb testing.TB, conn *pgx.Conn, user string, f func(pgx.Tx) error) {
	tb.Helper()
	err := pgx.BeginFunc(tb.Context(), conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(tb.Context(), `select set_config('request.jwt.claims', json_build_object('sub', $1::text)::text, true), set_config('role', 'authenticated', true)`, user); err != nil {
			return err
		}
		return f(tx)
	})
	if err != nil {
		tb.Fatalf("as %s: %v", user, err)
	}
}

// visible is what a user reads, in one line.
func visible(t *testing.T, conn *pgx.Conn, user, column, table string) (got string) {
	t.Helper()
	asUser(t, conn, user, func(tx pgx.Tx) error {
		return tx.QueryRow(t.Context(), fmt.Sprintf(`select coalesce(string_agg(%[1]s, ' ' order by %[1]s), '') from %[2]s`, column, table)).Scan(&got)
	})
	return got
}

// Who sees whom: the same whether fellows are listed, hashed or looked for row by row.
func TestPolicies_ShowFellowsOfLiveOrganizations(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, `
		-- No statistics but those that are asked for.
		alter table public.organization_memberships set (autovacuum_enabled = false);
		alter table public.users_public set (autovacuum_enabled = false);
		insert into public.users (clerk_id, sync_version, deleted_at) values
			('user_alone', '2.000000000000000.000000000000000.3.', null), ('user_bob', '2.000000000000000.000000000000000.3.', null), ('user_cleo', '2.000000000000000.000000000000000.3.', null), ('user_dan', '2.000000000000000.000000000000000.3.', null), ('user_eve', '2.000000000000000.000000000000000.3.', null),
			('user_gone', '9', now()), ('user_zoe', '2.000000000000000.000000000000000.3.', null);
		insert into public.organizations (clerk_org_id, sync_version, deleted_at) values
			('org_1', '2.000000000000000.000000000000000.3.', null), ('org_2', '2.000000000000000.000000000000000.3.', null), ('org_gone', '9', now());
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, deleted_at, sync_version) values
			('m1', 'org_1', 'user_bob', null, '0'), ('m2', 'org_1', 'user_cleo', null, '0'), ('m3', 'org_1', 'user_dan', now(), '9'),
			('m4', 'org_2', 'user_cleo', null, '0'), ('m5', 'org_2', 'user_dan', null, '0'),
			-- Its organization is deleted, and the membership not ended yet.
			('m6', 'org_gone', 'user_eve', null, '0'), ('m7', 'org_gone', 'user_bob', null, '0'),
			-- Its user is deleted, and the membership not ended yet.
			('m8', 'org_1', 'user_gone', null, '0'), ('m9', 'org_2', 'user_eve', now(), '9')`)
	want := map[string][4]string{
		"user_alone":   {"user_alone", "", "", ""},
		"user_bob":     {"user_bob user_cleo user_gone", "org_1", "m1 m2 m8", "user_bob"},
		"user_cleo":    {"user_bob user_cleo user_dan user_gone", "org_1 org_2", "m1 m2 m4 m5 m8", "user_cleo"},
		"user_dan":     {"user_cleo user_dan", "org_2", "m4 m5", "user_dan"},
		"user_eve":     {"user_eve", "", "", "user_eve"},
		"user_gone":    {"user_gone", "", "", "user_gone"},
		"user_unknown": {"", "", "", "user_unknown"},
		"":             {"", "", "", ""},
	}
	matrix := func(t *testing.T, crowd, by string) {
		t.Helper()
		for _, user := range []string{"user_bob", "user_cleo", "user_dan"} {
			if got := asked(t, conn, fmt.Sprintf(`{"sub":%q}`, user), `case when clerk.crowd_from() is null then 'list' else clerk.fellows_by() end`); got != by {
				t.Fatalf("%s: the fellows of %s are found by %s, want %s", crowd, user, got, by)
			}
		}
		for user, w := range want {
			w[0] = strings.TrimSpace(w[0])
			got := visible(t, conn, user, "clerk_id", "(select clerk_id from public.users_public where clerk_id not like 'user_c0%') as p")
			if got != w[0] {
				t.Errorf("%s: %q sees users_public %q, want %q", crowd, user, got, w[0])
			}
			if got := visible(t, conn, user, "clerk_org_id", "public.organizations"); got != w[1] {
				t.Errorf("%s: %q sees organizations %q, want %q", crowd, user, got, w[1])
			}
			if got := visible(t, conn, user, "clerk_membership_id", "(select clerk_membership_id from public.organization_memberships where clerk_membership_id not like 'c0%') as m"); got != w[2] {
				t.Errorf("%s: %q sees memberships %q, want %q", crowd, user, got, w[2])
			}
			if got, fellows := visible(t, conn, user, "f", "(select f from clerk.my_fellow_ids() as f where f not like 'user_c0%') as f"), w[0]; got != fellows && fellows != "" {
				t.Errorf("%s: my_fellow_ids of %q are %q, want %q", crowd, user, got, fellows)
			}
		}
	}
	matrix(t, "few", "list")

	// The same callers in a crowd: 1,600 more members of each organization.
	exec(t, conn, `
		insert into public.users (clerk_id, sync_version) select 'user_c0' || n, '2.000000000000000.000000000000000.3.' from generate_series(1, 1600) as n;
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id)
		select 'c0' || o || n, o, 'user_c0' || n from generate_series(1, 1600) as n, unnest('{org_1,org_2,org_gone}'::text[]) as o`)
	for _, user := range []string{"user_bob", "user_cleo", "user_dan"} {
		if got := asked(t, conn, fmt.Sprintf(`{"sub":%q}`, user), `clerk.crowd_from() is not null and cardinality(clerk.near_fellow_ids()) = 1`); got != "true" {
			t.Fatalf("%s has no crowd of fellows", user)
		}
	}
	sees := func(crowd string) {
		t.Helper()
		var n int
		asUser(t, conn, "user_bob", func(tx pgx.Tx) error {
			return tx.QueryRow(t.Context(), `select count(*) from public.users_public`).Scan(&n)
		})
		if n != 1603 {
			t.Errorf("%s: a member sees %d users, want 1603", crowd, n)
		}
	}
	matrix(t, "crowd", "hash")
	sees("crowd")
	exec(t, conn, `analyze public.organization_memberships`)
	exec(t, conn, `analyze public.users_public`)
	matrix(t, "crowd that is most of the copy", "row")
	sees("crowd that is most of the copy")
}

// An organization and a user that are deleted give nothing at once, while their
// memberships still wait to be ended.
func TestMyOrgIDs_GiveNothingThatIsDeleted(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, `
		insert into public.users (clerk_id) values ('user_a'), ('user_b');
		insert into public.organizations (clerk_org_id) values ('org_1'), ('org_2');
		insert into clerk.organization_roles (clerk_role_id, key, permission_ids) values ('role_1', 'org:admin', '{p}');
		insert into clerk.organization_permissions (clerk_permission_id, key) values ('p', 'org:a:b');
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role)
		select 'm' || o || u, 'org_' || o, 'user_' || u, 'org:admin' from unnest('{1,2}'::text[]) as o, unnest('{a,b}'::text[]) as u`)
	calls := []string{`clerk.my_org_ids()`, `clerk.my_org_ids_with_role('{org:admin}')`, `clerk.my_org_ids_with_permission('org:a:b')`}
	expect := func(user, want string) {
		t.Helper()
		for _, call := range calls {
			if got := asked(t, conn, fmt.Sprintf(`{"sub":%q}`, user), `(select string_agg(o, ' ' order by o) from `+call+` as o)`); got != want {
				t.Errorf("%s: %s = %s, want %s", user, call, got, want)
			}
		}
	}
	expect("user_a", "org_1 org_2")
	exec(t, conn, `update public.organizations set deleted_at = now(), sync_version = '9' where clerk_org_id = 'org_1'`)
	expect("user_a", "org_2")
	exec(t, conn, `update public.users set deleted_at = now(), sync_version = '9' where clerk_id = 'user_a'`)
	expect("user_a", "null")
	expect("user_b", "org_2")
}

// populatedSQL is a copy of 20,000 users: an organization of 14,901, one of 2,000, small
// ones of ten, a user in a hundred of these, and one organization whose 15,000 former
// members have left it.
const populatedSQL = `
insert into public.users (clerk_id, sync_version) select 'user_' || md5(n::text), '2.000000000000000.000000000000000.3.' from generate_series(1, 20000) as n;
insert into public.organizations (clerk_org_id, sync_version)
select 'org_' || o, '2.000000000000000.000000000000000.3.' from generate_series(1, 2000) as o union all values ('org_large', '2.000000000000000.000000000000000.3.'), ('org_middle', '2.000000000000000.000000000000000.3.'), ('org_left', '2.000000000000000.000000000000000.3.');
insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, deleted_at, sync_version)
select kind || n, org, 'user_' || md5(n::text), case when org = 'org_left' then now() end, case when org = 'org_left' then '9' else '0' end from (
  select 'small', n, 'org_' || n / 10 + 1 from generate_series(101, 19990) as n
  union all select 'large', n, 'org_large' from generate_series(101, 15000) as n
  union all select 'middle', n, 'org_middle' from generate_series(18001, 20000) as n
  union all select 'left', n, 'org_left' from generate_series(101, 15100) as n
  union all values ('middle', 2, 'org_middle'), ('large', 3, 'org_large'), ('few', 5, 'org_1500'), ('left', 6, 'org_left')
) as m (kind, n, org);
insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id)
select 'many' || o, 'org_' || o, 'user_' || md5('4') from generate_series(100, 199) as o;
-- One who is left in it.
insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id)
select 'stayed' || n, 'org_left', 'user_' || md5(n::text) from unnest('{6,7}'::int[]) as n;`

var populatedCallers = []struct {
	name, user string
	sees       int
}{
	{"alone", "8", 1}, {"of 10", "5", 11}, {"of 2,000", "2", 2001}, {"of 2,000, itself last", "19995", 2001}, {"of 14,901", "3", 14901}, {"of 100 organizations", "4", 1001}, {"of what 15,000 left", "6", 2},
}

type planNode struct {
	Type    string     `json:"Node Type"`
	Table   string     `json:"Relation Name"`
	Rows    float64    `json:"Actual Rows"`
	Loops   float64    `json:"Actual Loops"`
	Removed float64    `json:"Rows Removed by Filter"`
	Recheck float64    `json:"Rows Removed by Index Recheck"`
	Plans   []planNode `json:"Plans"`
	Hit     int        `json:"Shared Hit Blocks"`
	Read    int        `json:"Shared Read Blocks"`
}

func (n planNode) each(f func(planNode)) {
	f(n)
	for _, child := range n.Plans {
		child.each(f)
	}
}

// Reading as a member costs what is read, whatever the size of the organization: no
// whole table, and pages that do not grow with the copy.
func TestPolicies_ReadByIndex(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner := db.Conn(t, db.Owner())
	exec(t, owner, populatedSQL)
	// As they came, and no longer in the order of their ids: a member "itself last" and all
	// fellows lie behind 18,000 strangers.
	exec(t, owner, `
		create temporary table came as select * from public.users_public;
		delete from public.users_public;
		insert into public.users_public select came.* from came join generate_series(1, 20000) as n on came.clerk_id = 'user_' || md5(n::text) order by n`)
	exec(t, owner, `vacuum full public.users_public`)
	conn := db.Conn(t, db.Owner())
	// pages is how many a statement may touch after VACUUM, of about 2,000 in the copy, some
	// of them many times: a hundred organizations are a hundred ways down three indexes.
	statements := []struct {
		sql   string
		pages int
	}{
		{`select * from public.users_public limit 1`, 5000},
		{`select * from public.users_public limit 100`, 7000},
		{`select * from public.users_public order by clerk_id limit 100`, 7000},
		{`select * from public.users_public where clerk_id = 'user_' || md5('10005')`, 2000},
		{`select * from public.users_public where clerk_id in (` + ids(100) + `)`, 3000},
		{`select * from public.organizations limit 100`, 1000},
		{`select * from public.organization_memberships limit 1`, 1000},
		{`select * from public.organization_memberships limit 100`, 1200},
		{`select * from public.organization_memberships where clerk_membership_id = 'large10005'`, 1000},
	}
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			exec(t, owner, `vacuum analyze public.users_public`)
			exec(t, owner, `vacuum analyze public.organizations`)
			exec(t, owner, `vacuum analyze public.organization_memberships`)
			exec(t, owner, `vacuum analyze public.users`)
		}
		for _, caller := range populatedCallers {
			user := "user_" + asked(t, owner, "", "md5('"+caller.user+"')")
			for _, s := range statements {
				var text []byte
				asUser(t, conn, user, func(tx pgx.Tx) error {
					return tx.QueryRow(t.Context(), "explain (analyze, buffers, timing off, format json) "+s.sql).Scan(&text)
				})
				var plans []struct{ Plan planNode }
				if err := json.Unmarshal(text, &plans); err != nil {
					t.Fatal(err)
				}
				root := plans[0].Plan
				var touched float64
				root.each(func(n planNode) {
					if !slices.Contains([]string{"users_public", "organization_memberships", "organizations"}, n.Table) {
						return
					}
					touched += n.Loops * (n.Rows + n.Removed + n.Recheck)
					// To begin at the start of a table whose rows are mostly the caller's is no
					// fault; to pass over most of it is.
					if n.Type == "Seq Scan" && n.Loops*(n.Rows+n.Removed) > 2500 {
						t.Errorf("statistics %s, member %s: %s reads %s whole:\n%s", statistics, caller.name, s.sql, n.Table, text)
					}
				})
				most := 5000.0
				if statistics == "none" {
					// Nothing says yet that the organization is most of the copy, so its members are hashed.
					most = 16000
				}
				if pages := root.Hit + root.Read; pages > s.pages && statistics == "fresh" || touched > most {
					t.Errorf("statistics %s, member %s: %s touches %d pages, %.0f rows, want at most %d and %.0f:\n%s", statistics, caller.name, s.sql, pages, touched, s.pages, most, text)
				}
			}
		}
	}
	for _, caller := range populatedCallers {
		var n int
		asUser(t, conn, "user_"+asked(t, owner, "", "md5('"+caller.user+"')"), func(tx pgx.Tx) error {
			return tx.QueryRow(t.Context(), `select count(*) from public.users_public`).Scan(&n)
		})
		if n != caller.sees {
			t.Errorf("member %s sees %d users, want %d", caller.name, n, caller.sees)
		}
	}
}

// ids are those of users n, as literals.
func ids(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("'user_%032x'", i)
	}
	return strings.Join(list, ", ")
}

// The helpers count fellows as far as their bound, and pass over no tombstones.
func TestCrowd_IsCountedNoFurtherThanItsBound(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, populatedSQL)
	exec(t, conn, `analyze`)
	var got []int
	for _, caller := range populatedCallers {
		got = append(got, len(asked(t, conn, fmt.Sprintf(`{"sub":"user_%s"}`, asked(t, conn, "", "md5('"+caller.user+"')")),
			`(select string_agg('x', '') from unnest(clerk.near_fellow_ids()))`)))
	}
	// With the caller's own memberships.
	if diff := cmp.Diff([]int{1, 12, 1, 1, 1, 1101, 3}, got); diff != "" {
		t.Errorf("near_fellow_ids (-want +got):\n%s", diff)
	}
}

// A deleted user whose memberships are ended in steps is no member for its fellows from
// the moment of the tombstone; a stranger learns nothing of it.
func TestPolicies_HideMembershipsThatAreStillBeingEnded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	exec(t, owner, `update clerk_sync.settings set memberships_at_once = 1`)
	for n := range 6 {
		for _, user := range []string{"user_gone", "user_fellow"} {
			applyEvent(t, writer, fmt.Sprintf("msg_%s_%d", user, n), event("organizationMembership.created", 1, fmt.Sprintf(
				`{"id":"orgmem_%[1]s_%[2]d","role":"org:admin","public_metadata":{"a":1},"updated_at":1,"organization":{"id":"org_%[2]d"},"public_user_data":{"user_id":%[1]q}}`, user, n)))
		}
	}
	applyEvent(t, writer, "msg_stranger", event("organizationMembership.created", 1,
		`{"id":"orgmem_stranger","role":"org:admin","updated_at":1,"organization":{"id":"org_elsewhere"},"public_user_data":{"user_id":"user_stranger"}}`))
	applyEvent(t, writer, "msg_gone", event("user.deleted", 9, `{"id":"user_gone"}`))
	if left := lines(t, owner, `select clerk_membership_id from public.organization_memberships where clerk_user_id = 'user_gone' and deleted_at is null`); len(left) == 0 {
		t.Fatal("every membership has ended at once: nothing is left to look at")
	}
	conn := db.Conn(t, db.As("authenticator"))
	for user, want := range map[string]int{"user_fellow": 6, "user_stranger": 1} {
		exec(t, conn, `begin; set local role authenticated; select set_config('request.jwt.claims', '{"sub":"`+user+`"}', true)`)
		seen := lines(t, conn, `select clerk_user_id from public.organization_memberships`)
		leaving := lines(t, conn, `select clerk.leaving_fellow_ids()`)
		exec(t, conn, "rollback")
		if len(seen) != want || slices.Contains(seen, "user_gone") {
			t.Errorf("%s sees memberships of %v, want its %d live fellows' only", user, seen, want)
		}
		if user == "user_stranger" && len(leaving) != 0 {
			t.Errorf("a stranger learns of %v", leaving)
		}
	}
}

// Nor are those hidden of a user who was only inferred to be gone and is back.
func TestPolicies_ShowWhatIsLeftOfAUserWhoIsBack(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	owner, writer := db.Conn(t, db.Owner()), db.Conn(t, db.Writer())
	exec(t, owner, `update clerk_sync.settings set memberships_at_once = 1`)
	for n := range 4 {
		for _, user := range []string{"user_back", "user_fellow"} {
			applyEvent(t, writer, fmt.Sprintf("msg_%s_%d", user, n), event("organizationMembership.created", 1, fmt.Sprintf(
				`{"id":"orgmem_%[1]s_%[2]d","role":"org:admin","updated_at":1,"organization":{"id":"org_%[2]d"},"public_user_data":{"user_id":%[1]q}}`, user, n)))
		}
	}
	exec(t, owner, `select clerk_sync.tombstone_users('{user_back}', to_timestamp(5), null, true)`)
	exec(t, owner, `select clerk_sync.apply_users('[{"id":"user_back","updated_at":1}]', '{9}')`)
	left := lines(t, owner, `select clerk_membership_id from public.organization_memberships where clerk_user_id = 'user_back' and deleted_at is null order by 1`)
	if len(left) != 3 {
		t.Fatalf("%v live, want three that are still to be ended", left)
	}
	conn := db.Conn(t, db.As("authenticator"))
	exec(t, conn, `begin; set local role authenticated; select set_config('request.jwt.claims', '{"sub":"user_fellow"}', true)`)
	seen := lines(t, conn, `select clerk_membership_id from public.organization_memberships where clerk_user_id = 'user_back' order by 1`)
	exec(t, conn, "rollback")
	if diff := cmp.Diff(left, seen); diff != "" {
		t.Errorf("what a fellow sees (-want +got):\n%s", diff)
	}
}
