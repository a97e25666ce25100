package devstack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/mirror"
	"clerksync/shared/testkit/testdb"
)

// small is a copy of a small instance, told event by event, and that instance.
func small(t *testing.T, options ...testdb.Option) (*pgx.Conn, *clerkinstance.Instance, map[string]string) {
	t.Helper()
	db := testdb.New(t, options...)
	store := mirror.New(db.Conn(t, db.Writer()))
	instance := clerkinstance.New(clerkinstance.Options{Seed: 1, Emit: func(e clerkinstance.Event) {
		event, err := clerk.ParseEvent(e.Body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Apply(t.Context(), mirror.Delivery{SvixID: e.SvixID, Event: event}); err != nil {
			t.Fatal(err)
		}
	}})
	ids := map[string]string{}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ines, err := instance.SignUp(clerkinstance.Person{FirstName: "Inès", Emails: []string{"old@example.com", "ines@example.com"}, Primary: 1})
	check(err)
	check(instance.UpdateUser(ines.ID, func(u *resource.User) {
		u.PublicMetadata = []byte(`{"big": 9007199254740993, "rate": 1.50, "deep": [{"a": null}]}`)
	}))
	gone, err := instance.SignUp(clerkinstance.Person{FirstName: "Gone", Phones: []string{"+15005550100"}})
	check(err)
	org, err := instance.CreateOrganization(ines.ID, "Acme", "acme")
	check(err)
	left, err := instance.Join(org.ID, gone.ID, clerkinstance.MemberRole)
	check(err)
	check(instance.DeleteUser(gone.ID, false))
	for id, m := range instance.Snapshot().Memberships {
		if m.PublicUserData.UserID == ines.ID {
			ids["membership"] = id
		}
	}
	ids["user"], ids["deleted user"], ids["organization"], ids["ended membership"] = ines.ID, gone.ID, org.ID, left.ID
	return db.Conn(t, db.Superuser()), instance, ids
}

func TestDiff_FindsNoneInAFaithfulCopy(t *testing.T) {
	t.Parallel()
	for schemas, where := range map[string]testdb.Option{
		"public": testdb.WithSchema("public"), "app data": testdb.WithSchema("app data"), "app and claims": testdb.Elsewhere(),
	} {
		conn, instance, _ := small(t, where)
		differences, err := devstack.Diff(t.Context(), conn, instance.Snapshot(), nil)
		if err != nil || len(differences) > 0 {
			t.Errorf("%s: Diff = %v, %v, want no difference", schemas, differences, err)
		}
	}
}

// Each row is one fault in a copy that was faithful before it. A comparison that
// overlooks one would call a broken copy equal.
func TestDiff_FindsEveryKindOfFault(t *testing.T) { //nolint:tparallel // the faults take turns in one database
	t.Parallel()
	tests := []struct {
		name  string
		fault string // with $id of the object
		id    string
		want  []string // table and field
	}{
		{"another first name", `update users set first_name = 'Ines' where clerk_id = $id`, "user", []string{"users.first_name", "users_public.first_name"}},
		{"the projection alone", `update users_public set username = 'x' where clerk_id = $id`, "user", []string{"users_public.username"}},
		{"the first address for the primary one", `update users set email = 'old@example.com' where clerk_id = $id`, "user", []string{"users.email"}},
		{"not verified", `update users set email_verified = false where clerk_id = $id`, "user", []string{"users.email_verified"}},
		{"a number that was rounded", `update users set metadata = jsonb_set(metadata, '{big}', '9007199254740992') where clerk_id = $id`, "user", []string{"users.metadata"}},
		{"an absent null", `update users set metadata = metadata #- '{deep,0,a}' where clerk_id = $id`, "user", []string{"users.metadata"}},
		{"a millisecond", `update users set updated_at = updated_at + '1 ms' where clerk_id = $id`, "user", []string{"users.updated_at"}},
		{"a microsecond", `update users set created_at = created_at + '1 us' where clerk_id = $id`, "user", []string{"users.created_at"}},
		{"banned", `update users set banned = true where clerk_id = $id`, "user", []string{"users.banned"}},
		{"still a placeholder", `update users set sync_version = '1' || substr(sync_version, 2) where clerk_id = $id`, "user", []string{"users.is_placeholder"}},
		{"deleted here only", `update users set deleted_at = now(), sync_version = '9' where clerk_id = $id`, "user", []string{"users.row"}},
		{"missing", `delete from users where clerk_id = $id`, "user", []string{"organization_memberships.row", "users.row", "users_public.row"}},
		{"personal data in a tombstone", `update users set phone = '+15005550100' where clerk_id = $id`, "deleted user", []string{"users.phone"}},
		{"a tombstone of another time", `update users set deleted_at = deleted_at - '1 ms'::interval where clerk_id = $id`, "deleted user", []string{"users.deleted_at"}},
		{"no tombstone", `delete from users where clerk_id = $id`, "deleted user", []string{"organization_memberships.row", "users.row", "users_public.row"}},
		{"alive again", `update users set deleted_at = null, sync_version = '0' where clerk_id = $id`, "deleted user", []string{"users.row"}},
		{"one too many", `insert into users (clerk_id) values ('user_more' || $id)`, "user", []string{"users.row", "users_public.row"}},
		{"another slug", `update organizations set slug = null where clerk_org_id = $id`, "organization", []string{"organizations.slug"}},
		{"another limit", `update organizations set max_allowed_memberships = 6 where clerk_org_id = $id`, "organization", []string{"organizations.max_allowed_memberships"}},
		{"another role", `update organization_memberships set role = 'org:member' where clerk_membership_id = $id`, "membership", []string{"organization_memberships.role"}},
		{"fewer permissions", `update organization_memberships set permissions = permissions[2:] where clerk_membership_id = $id`, "membership", []string{"organization_memberships.permissions"}},
		{"a membership that lives on", `update organization_memberships set deleted_at = null, sync_version = '0' where clerk_membership_id = $id`, "ended membership", []string{"organization_memberships.row"}},
		{"a role that grants less", `update clerk.organization_roles set permission_ids = '{}' where key = 'org:admin' and $id <> ''`, "user", []string{"clerk.organization_roles.permission_ids"}},
		{"a permission of another name", `update clerk.organization_permissions set name = 'x' where key = 'org:sys_profile:delete' and $id <> ''`, "user", []string{"clerk.organization_permissions.name"}},
	}
	conn, instance, ids := small(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(t.Context())
			tag, err := tx.Exec(t.Context(), strings.ReplaceAll(test.fault, "$id", "'"+ids[test.id]+"'"))
			if err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("%s: %d rows, %v, want one", test.fault, tag.RowsAffected(), err)
			}
			differences, err := devstack.Diff(t.Context(), tx, instance.Snapshot(), nil)
			if err != nil {
				t.Fatalf("Diff = %v", err)
			}
			var got []string
			for _, d := range differences {
				if d.Clerk == d.Copy {
					t.Errorf("%s: both sides are told as the same", d)
				}
				got = append(got, d.Table+"."+d.Field)
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("after %q: -want +got\n%s", test.fault, diff)
			}
		})
	}
}

// Whatever the database has is compared: a column that is named as Clerk names it needs
// no word here, and one that nothing is known of is told.
func TestDiff_ComparesColumnsItWasNotToldOf(t *testing.T) {
	t.Parallel()
	conn, instance, ids := small(t)
	if err := instance.UpdateUser(ids["user"], func(u *resource.User) { u.HasImage = true }); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `alter table users add has_image boolean; alter table organizations add motto text`); err != nil {
		t.Fatal(err)
	}
	differences, err := devstack.Diff(t.Context(), conn, instance.Snapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []devstack.Difference{
		{Table: "users", ID: ids["user"], Field: "has_image", Clerk: "true", Copy: "null"},
		{Table: "organizations", ID: ids["organization"], Field: "motto", Clerk: "unknown", Copy: "null"},
	}
	if diff := cmp.Diff(want, differences); diff != "" {
		t.Errorf("Diff: -want +got\n%s", diff)
	}
}

// An event that was signed by hand made a user, and a full sync has ended it: the copy is
// as right as one that never knew it. What its tombstone still holds is told.
func TestDiff_TakesATombstoneOfAnUnknownIDForEqual(t *testing.T) {
	t.Parallel()
	conn, instance, ids := small(t)
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`insert into users (clerk_id, first_name) values ('user_2example', 'Example')`)
	exec(`insert into organization_memberships (clerk_membership_id, clerk_org_id, clerk_user_id) values ('orgmem_2example', '` + ids["organization"] + `', 'user_2example')`)
	exec(`select clerk_sync.tombstone_users('{user_2example}', now())`)
	differences, err := devstack.Diff(t.Context(), conn, instance.Snapshot(), nil)
	if err != nil || len(differences) > 0 {
		t.Errorf("Diff = %v, %v, want no difference", differences, err)
	}
	exec(`update users set email = 'left@example.com' where clerk_id = 'user_2example'`)
	exec(`update users_public set first_name = 'Left' where clerk_id = 'user_2example'`)
	differences, err = devstack.Diff(t.Context(), conn, instance.Snapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []devstack.Difference{
		{Table: "users", ID: "user_2example", Field: "email", Clerk: "null", Copy: `"left@example.com"`},
		{Table: "users_public", ID: "user_2example", Field: "first_name", Clerk: "null", Copy: `"Left"`},
	}
	if diff := cmp.Diff(want, differences); diff != "" {
		t.Errorf("Diff: -want +got\n%s", diff)
	}
}

// What Clerk has and the copy holds as deleted differs, in every table.
func TestDiff_TellsATombstoneOfWhatClerkHas(t *testing.T) {
	t.Parallel()
	conn, instance, ids := small(t)
	if _, err := conn.Exec(t.Context(), `select clerk_sync.tombstone_users(array[$1], now())`, ids["user"]); err != nil {
		t.Fatal(err)
	}
	differences, err := devstack.Diff(t.Context(), conn, instance.Snapshot(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []devstack.Difference{
		{Table: "users", ID: ids["user"], Field: "row", Clerk: "live", Copy: "deleted"},
		{Table: "organization_memberships", ID: ids["membership"], Field: "row", Clerk: "live", Copy: "deleted"},
	} {
		if !slices.Contains(differences, want) {
			t.Errorf("Diff = %v, want %v in it", differences, want)
		}
	}
}

func TestDiff_LeavesOutWhatIsForeign(t *testing.T) {
	t.Parallel()
	conn, instance, _ := small(t)
	if _, err := conn.Exec(t.Context(), `insert into users (clerk_id) values ('user_known'), ('user_new')`); err != nil {
		t.Fatal(err)
	}
	differences, err := devstack.Diff(t.Context(), conn, instance.Snapshot(), func(id string) bool { return id == "user_known" })
	if err != nil {
		t.Fatal(err)
	}
	want := []devstack.Difference{
		{Table: "users", ID: "user_new", Field: "row", Clerk: "absent", Copy: "live"},
		{Table: "users_public", ID: "user_new", Field: "row", Clerk: "absent", Copy: "live"},
	}
	if diff := cmp.Diff(want, differences); diff != "" {
		t.Errorf("Diff: -want +got\n%s", diff)
	}
}
