package rules_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/testkit/testdb"
)

// asked is the answer to an expression in a request with these claims.
func asked(t *testing.T, conn *pgx.Conn, claims, expression string) string {
	t.Helper()
	var got string
	err := conn.QueryRow(t.Context(), `
		with claims as materialized (select set_config('request.jwt.claims', $1, false))
		select coalesce((`+expression+`)::text, 'null') from claims`, claims).Scan(&got)
	if err != nil {
		t.Fatalf("claims %s: %s: %v", claims, expression, err)
	}
	return got
}

const granted = `(select string_agg(p, ' ' order by p) from clerk.org_permissions() as p)`

func TestHelpers_CountAWrongShapeAgainstTheCaller(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	tests := []struct{ expression, claims, want string }{
		{`clerk.session_is_active()`, `{"sub":"user_1","sts":"active"}`, "true"},
		{`clerk.session_is_active()`, `{"sub":"user_1"}`, "true"}, // a token older than the claim
		{`clerk.session_is_active()`, `{"sub":"user_1","sts":"pending"}`, "false"},
		{`clerk.session_is_active()`, `{"sub":"user_1","sts":["active"]}`, "false"},
		{`clerk.session_is_active()`, `{"sts":"active"}`, "false"}, // nobody
		{`clerk.session_is_active()`, ``, "false"},

		{`clerk.has_second_factor()`, `{"fva":[7,0]}`, "true"},
		{`clerk.has_second_factor()`, `{"fva":[7,-1]}`, "false"},
		{`clerk.has_second_factor()`, `{"fva":[7]}`, "false"},
		{`clerk.has_second_factor()`, `{"fva":"7,3"}`, "false"},
		{`clerk.has_second_factor()`, `{"fva":[7,"often"]}`, "false"},
		{`clerk.has_second_factor()`, `{"fva":[7,1e3]}`, "true"},
		{`clerk.has_second_factor()`, `{}`, "false"},
		{`clerk.has_second_factor(10)`, `{"fva":[7,10]}`, "true"},
		{`clerk.has_second_factor(10)`, `{"fva":[7,11]}`, "false"},
		{`clerk.has_second_factor(10)`, `{"fva":[7,99999999999999999999]}`, "false"},

		{`clerk.is_impersonated()`, `{"act":{"sub":"user_staff"}}`, "true"},
		{`clerk.is_impersonated()`, `{"act":"user_staff"}`, "true"}, // not Clerk's shape, and no harm in believing it
		{`clerk.is_impersonated()`, `{"act":null}`, "false"},
		{`clerk.is_impersonated()`, `{}`, "false"},

		{`clerk.claim('{metadata,role}')`, `{"metadata":{"role":"admin"}}`, "admin"},
		{`clerk.claim('{metadata,role}')`, `{"metadata":{"role":""}}`, "null"},
		{`clerk.claim('{metadata,role}')`, `{"metadata.role":"admin"}`, "null"},
		{`clerk.claim_values('{roles}')`, `{"roles":["admin","editor"]}`, "{admin,editor}"},
		{`clerk.claim_values('{roles}')`, `{"roles":"admin"}`, "{admin}"},
		{`clerk.claim_values('{roles}')`, `{"roles":""}`, "{}"},
		{`clerk.claim_values('{roles}')`, `{"roles":null}`, "{}"},
		{`clerk.claim_values('{roles}')`, `{"roles":{"admin":true}}`, "{}"},
		{`clerk.claim_values('{roles}')`, ``, "{}"},

		// Clerk's documentation: mask 3 is manage and read of the first, 2 read of the second.
		{granted, `{"fea":"o:dashboard,o:teams","o":{"per":"manage,read","fpm":"3,2"}}`, "org:dashboard:manage org:dashboard:read org:teams:read"},
		{granted, `{"org_id":"org_1","org_permissions":["org:teams:read"]}`, "org:teams:read"},
		{granted, `{"fea":"o:dashboard","o":{"per":"manage,read"}}`, "null"},
		{granted, `{"fea":"o:dashboard","o":{"per":"manage,read","fpm":"-1"}}`, "null"},
		{granted, `{"fea":"o:dashboard","o":{"per":"manage,read","fpm":"0x3"}}`, "null"},
		{granted, `{"fea":"u:gold","o":{"per":"manage","fpm":"1"}}`, "null"}, // the user's feature
		{granted, `{"fea":"uo:projects","o":{"per":"manage","fpm":"1"}}`, "org:projects:manage"},
		// After the features of the organization nobody miscounts.
		{granted, `{"fea":"o:repos,uo:projects,u:gold","o":{"per":"read,edit","fpm":"3,2"}}`, "org:projects:edit org:repos:edit org:repos:read"},
		// A feature of the user goes before: Clerk's libraries read these differently.
		{granted, `{"fea":"u:x,o:dash","o":{"per":"manage","fpm":"1"}}`, "null"},
		{granted, `{"fea":"u:x,o:dash","o":{"per":"manage","fpm":"0,1"}}`, "null"},
		{granted, `{"fea":"u:x,o:dash","o":{"per":"manage","fpm":"1,1"}}`, "org:dash:manage"},
		// A bit that per does not name: one library drops the feature.
		{granted, `{"fea":"o:dash,o:teams","o":{"per":"manage","fpm":"3,1"}}`, "org:teams:manage"},
		// Both forms in one token: the newer one speaks.
		{granted, `{"org_permissions":["org:teams:all"],"fea":"o:teams","o":{"per":"read","fpm":"1"}}`, "org:teams:read"},
		{granted, `{"org_permissions":"org:teams:all"}`, "null"},
		{granted, `{"fea":["o:teams"],"o":"x"}`, "null"},
		{`clerk.has_org_permission('org:teams:read')`, `{"fea":"o:teams","o":{"per":"read","fpm":"1"}}`, "true"},
		{`clerk.has_org_permission('org:teams:edit')`, `{"fea":"o:teams","o":{"per":"read","fpm":"1"}}`, "false"},
		{`clerk.has_org_permission('org:teams:read')`, ``, "false"},
	}
	for _, test := range tests {
		if got := asked(t, conn, test.claims, test.expression); got != test.want {
			t.Errorf("claims %s: %s = %s, want %s", test.claims, test.expression, got, test.want)
		}
	}
}

// Masks go far beyond 64 bits; here for up to 120 permissions.
func TestOrgPermissions_ReadMasksOfAnySize(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	random := rand.New(rand.NewPCG(4, 9))
	for _, bits := range []int{1, 31, 32, 53, 54, 63, 64, 65, 120} {
		names, want := make([]string, bits), []string{}
		mask := new(big.Int)
		for bit := range bits {
			names[bit] = fmt.Sprintf("p%d", bit)
			// The highest bit always: it is the one that rounding would take.
			if bit == bits-1 || random.IntN(2) == 0 {
				mask.SetBit(mask, bit, 1)
				want = append(want, "org:f:"+names[bit])
			}
		}
		claims := fmt.Sprintf(`{"fea":"o:f","o":{"per":%q,"fpm":"%s"}}`, strings.Join(names, ","), mask)
		got := strings.Fields(asked(t, conn, claims, granted))
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d permissions, mask %s (-want +got):\n%s", bits, mask, diff)
		}
	}
}

func TestMyOrgIDs_ByRoleAndByPermissionOfToday(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, `
		insert into public.users (clerk_id) values ('user_a'), ('user_b');
		insert into public.organizations (clerk_org_id) values ('org_1'), ('org_2'), ('org_3'), ('org_4');
		insert into clerk.organization_permissions (clerk_permission_id, key) values ('perm_1', 'org:bills:read');
		insert into clerk.organization_roles (clerk_role_id, key, permission_ids) values
			('role_1', 'org:admin', '{perm_1}'), ('role_2', 'org:member', '{}');
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, permissions, deleted_at, sync_version) values
			('m1', 'org_1', 'user_a', 'org:admin', '{}', null, '0'),
			-- The role was stripped of it since the membership last changed.
			('m2', 'org_2', 'user_a', 'org:member', '{org:bills:read}', null, '0'),
			-- A role that nobody told us about yet.
			('m3', 'org_3', 'user_a', 'org:guest', '{org:bills:read}', null, '0'),
			('m4', 'org_4', 'user_a', 'org:admin', '{org:bills:read}', now(), '9'),
			('m5', 'org_2', 'user_b', 'org:admin', '{}', null, '0')`)
	const a = `{"sub":"user_a","o":{"id":"org_2","rol":"admin"}}`
	tests := []struct{ claims, call, want string }{
		{a, `clerk.my_org_ids_with_role('{org:admin}')`, "org_1"},
		{a, `clerk.my_org_ids_with_role('{org:admin,org:member}')`, "org_1 org_2"},
		{a, `clerk.my_org_ids_with_role('{admin}')`, "org_1"},
		{a, `clerk.my_org_ids_with_role('{adm,org:org:admin,""}')`, "null"},
		{a, `clerk.my_org_ids_with_role('{}')`, "null"},
		{a, `clerk.my_org_ids_with_role(null)`, "null"},
		{a, `clerk.my_org_ids_with_permission('org:bills:read')`, "org_1 org_3"},
		{a, `clerk.my_org_ids_with_permission('org:bills:write')`, "null"},
		{``, `clerk.my_org_ids_with_role('{org:admin}')`, "null"},
		{``, `clerk.my_org_ids_with_permission('org:bills:read')`, "null"},
	}
	for _, test := range tests {
		if got := asked(t, conn, test.claims, `(select string_agg(o, ' ' order by o) from `+test.call+` as o)`); got != test.want {
			t.Errorf("claims %s: %s = %s, want %s", test.claims, test.call, got, test.want)
		}
	}
}

// Clerk's older roles have no prefix. Token and copy, and both forms in a policy,
// let the same members pass.
func TestRoles_AreOneWithAndWithoutThePrefix(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	conn := db.Conn(t, db.Owner())
	exec(t, conn, `
		insert into public.users (clerk_id) values ('user_a');
		insert into public.organizations (clerk_org_id) values ('org_old'), ('org_new'), ('org_known'), ('org_none');
		insert into clerk.organization_permissions (clerk_permission_id, key) values ('perm_1', 'org:bills:read');
		insert into clerk.organization_roles (clerk_role_id, key, permission_ids) values
			('role_1', 'org:admin', '{perm_1}'), ('role_2', 'basic_member', '{perm_1}');
		insert into public.organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id, role, permissions) values
			('m1', 'org_old', 'user_a', 'admin', '{}'), ('m2', 'org_new', 'user_a', 'org:admin', '{}'),
			('m3', 'org_known', 'user_a', 'org:basic_member', '{}'),
			-- Without a role there is nothing to compare.
			('m4', 'org_none', 'user_a', null, '{}')`)
	const a = `{"sub":"user_a"}`
	tests := []struct{ call, want string }{
		{`clerk.my_org_ids_with_role(array['org:admin'])`, "org_new org_old"},
		{`clerk.my_org_ids_with_role(array['admin'])`, "org_new org_old"},
		{`clerk.my_org_ids_with_role(array['basic_member'])`, "org_known"},
		{`clerk.my_org_ids_with_role(array['', 'org:', null])`, "null"},
		{`clerk.my_org_ids_with_permission('org:bills:read')`, "org_known org_new org_old"},
	}
	for _, test := range tests {
		if got := asked(t, conn, a, `(select string_agg(o, ' ' order by o) from `+test.call+` as o)`); got != test.want {
			t.Errorf("%s = %s, want %s", test.call, got, test.want)
		}
	}
	for _, claims := range []string{`{"o":{"id":"org_old","rol":"admin"}}`, `{"org_id":"org_old","org_role":"admin"}`, `{"org_id":"org_old","org_role":"org:admin"}`} {
		if got := asked(t, conn, claims, `clerk.org_role()`); got != "org:admin" {
			t.Errorf("claims %s: org_role() = %s", claims, got)
		}
	}
	if got := asked(t, conn, a, `(select role from public.organization_memberships where clerk_membership_id = 'm1')`); got != "admin" {
		t.Errorf("the stored role is %s, want Clerk's own", got)
	}
}
