package fullsync_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/backendapi"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// complete are objects of every kind with all that Clerk can say of them, as its
// Backend API lists them.
func completePages(t *testing.T, w *world) map[clerk.Kind]clerk.Page {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	user, err := w.clerk.SignUp(clerkinstance.Person{FirstName: "Ada", LastName: "Lovelace", Username: "ada", Emails: []string{"ada@example.com"}, Phones: []string{"+15005550100"}})
	check(err)
	check(w.clerk.UpdateUser(user.ID, func(u *resource.User) {
		u.ExternalID = new("external")
		u.PublicMetadata, u.PrivateMetadata, u.UnsafeMetadata = json.RawMessage(`{"public":1}`), json.RawMessage(`{"private":1}`), json.RawMessage(`{"unsafe":1}`)
		u.Banned, u.Locked, u.PasswordEnabled, u.TwoFactorEnabled = true, true, true, true
		u.LastSignInAt, u.LastActiveAt = u.CreatedAt, u.CreatedAt
		u.PrimaryPhoneNumberID = new(u.PhoneNumbers[0].ID)
	}))
	organization, err := w.clerk.CreateOrganization(user.ID, "Acme", "acme")
	check(err)
	check(w.clerk.UpdateOrganization(organization.ID, func(o *resource.Organization) {
		o.ImageURL = new("https://img.example/acme")
		o.PublicMetadata, o.PrivateMetadata = json.RawMessage(`{"public":1}`), json.RawMessage(`{"private":1}`)
		o.MaxAllowedMemberships, o.AdminDeleteEnabled = 7, true
	}))
	permission, err := w.clerk.CreatePermission("org:bills:read", "Read bills")
	check(err)
	check(w.clerk.UpdatePermission(permission.ID, func(p *resource.Permission) { p.Description = "Read what was billed" }))
	role, err := w.clerk.CreateRole("org:treasurer", "Treasurer", permission)
	check(err)
	check(w.clerk.UpdateRole(role.ID, func(r *resource.Role) {
		r.Description, r.IsCreatorEligible = new("Pays"), true
		r.Permissions[0].Description = "Read what was billed"
	}))
	var membership string
	for id := range w.clerk.Snapshot().Memberships {
		membership = id
	}
	check(w.clerk.UpdateMembership(membership, role.Key, func(m *resource.OrganizationMembership) {
		m.PublicMetadata, m.PrivateMetadata = json.RawMessage(`{"public":1}`), json.RawMessage(`{"private":1}`)
	}))

	backend := w.backend()
	ids := map[clerk.Kind]string{
		clerk.KindUser: user.ID, clerk.KindOrganization: organization.ID, clerk.KindMembership: membership,
		clerk.KindRole: role.ID, clerk.KindPermission: permission.ID,
	}
	pages := map[clerk.Kind]clerk.Page{}
	lists := map[clerk.Kind]func(context.Context, clerk.ListQuery) (clerk.Page, error){
		clerk.KindUser: func(ctx context.Context, _ clerk.ListQuery) (clerk.Page, error) {
			return backend.Users(ctx, clerk.UserQuery{Limit: 100})
		},
		clerk.KindOrganization: backend.Organizations, clerk.KindMembership: backend.Memberships,
	}
	for _, o := range clerk.Objects() {
		if o.Path != "" {
			lists[o.Kind] = func(ctx context.Context, q clerk.ListQuery) (clerk.Page, error) { return backend.List(ctx, o.Kind, q) }
		}
	}
	for kind, list := range lists {
		page, err := list(t.Context(), clerk.ListQuery{Limit: 100})
		check(err)
		pages[kind] = page.Select(func(i clerk.Item) bool { return i.ID == ids[kind] })
	}
	return pages
}

// The double, Go's list of fields, the rules and the tables agree: whatever one of them
// has forgotten fails here.
func TestObjects_AgreeFromTheDoubleToTheColumn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, backendapi.Options{})
	pages := completePages(t, w)
	if _, err := w.owner.Exec(t.Context(), `update clerk_sync.settings set store_private_metadata = true`); err != nil {
		t.Fatal(err)
	}

	var known []string
	for _, o := range clerk.Objects() {
		known = append(known, string(o.Kind)+" "+o.Event+" "+o.Plural)
		if len(pages[o.Kind].Items) != 1 {
			t.Fatalf("the double lists %d objects of the kind %s for one", len(pages[o.Kind].Items), o.Kind)
		}
		whole := rowsOf(t, w.owner, o, string(pages[o.Kind].Project(o.Projection()).Resources))
		if diff := cmp.Diff(rowsOf(t, w.owner, o, string(pages[o.Kind].Resources)), whole); diff != "" {
			t.Errorf("%s: the fields listed in package clerk leave out what the rules read (-all +listed):\n%s", o.Kind, diff)
		}
		empty, _ := columns(t, w.owner, o, string(pages[o.Kind].Resources), false)
		if len(empty) != 0 {
			t.Errorf("%s: columns %v are not filled by anything that the double says", o.Kind, empty)
		}
		if _, kept := columns(t, w.owner, o, string(pages[o.Kind].Resources), true); len(kept) != 0 {
			t.Errorf("%s: a tombstone keeps %v", o.Kind, kept)
		}
		for _, field := range o.Fields {
			without := remove(t, pages[o.Kind].Resources, strings.Split(field, "."))
			if without == string(pages[o.Kind].Resources) {
				t.Errorf("%s: the double says no %s", o.Kind, field)
			}
			if rows := rowsOf(t, w.owner, o, without); rows == whole {
				t.Errorf("%s: %s is listed in package clerk, and the rules do not read it", o.Kind, field)
			}
		}
	}
	var stated []string
	rows, err := w.owner.Query(t.Context(), `select o.object || ' ' || o.event || ' ' || regexp_replace(o.relation::text, '^.*[.](organization_)?(?=roles|permissions)', '') from clerk_sync.objects as o order by o.position`)
	if err == nil {
		stated, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(stated, known); diff != "" {
		t.Errorf("clerk.Objects and clerk_sync.objects (-database +Go):\n%s", diff)
	}
}

// rowsOf applies a list to an empty copy, and returns everything that is there then; or
// how it was refused. All is taken back.
func rowsOf(t *testing.T, owner *pgx.Conn, o clerk.Object, resources string) string {
	t.Helper()
	var text string
	inEmptyCopy(t, owner, o, resources, func(tx pgx.Tx, refused error) {
		if text = fmt.Sprint(refused); refused != nil {
			return
		}
		err := tx.QueryRow(t.Context(), `
			select concat_ws(e'\n',
				(select string_agg((to_jsonb(r) - 'synced_at')::text, e'\n' order by clerk_id) from public.users r),
				(select string_agg((to_jsonb(r) - 'synced_at')::text, e'\n' order by clerk_org_id) from public.organizations r),
				(select string_agg((to_jsonb(r) - 'synced_at')::text, e'\n') from public.organization_memberships r),
				(select string_agg((to_jsonb(r) - 'synced_at')::text, e'\n') from clerk.organization_roles r),
				(select string_agg((to_jsonb(r) - 'synced_at')::text, e'\n') from clerk.organization_permissions r),
				(select string_agg(to_jsonb(r)::text, e'\n') from clerk_sync.private_metadata r))`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
	})
	return text
}

// columns are those of an object's row that hold nothing, or their default, and the
// others; of its tombstone if it is deleted. Its ids and the time of its end do not count.
func columns(t *testing.T, owner *pgx.Conn, o clerk.Object, resources string, deleted bool) (empty, filled []string) {
	t.Helper()
	inEmptyCopy(t, owner, o, resources, func(tx pgx.Tx, refused error) {
		if refused != nil {
			t.Fatal(refused)
		}
		id := firstID(t, resources)
		if deleted {
			if _, err := tx.Exec(t.Context(), `select clerk_sync.delete_objects($1, array[$2], now())`, o.Kind, id); err != nil {
				t.Fatal(err)
			}
		}
		var row string
		var own []string
		err := tx.QueryRow(t.Context(), `
			select (clerk_sync.stated_rows($1, array[$2]) -> $2)::text, array_remove(array['deleted_at', o.key, o.organization_key, o.user_key], null)
			from clerk_sync.objects as o where o.object = $1`, o.Kind, id).Scan(&row, &own)
		if err != nil {
			t.Fatal(err)
		}
		var columns map[string]any
		if err := json.Unmarshal([]byte(row), &columns); err != nil {
			t.Fatal(err)
		}
		for name, value := range columns {
			text, _ := json.Marshal(value)
			switch {
			case slices.Contains(own, name):
			case slices.Contains([]string{"null", "{}", "[]", "false"}, string(text)):
				empty = append(empty, name)
			default:
				filled = append(filled, name)
			}
		}
	})
	slices.Sort(empty)
	slices.Sort(filled)
	return empty, filled
}

func inEmptyCopy(t *testing.T, owner *pgx.Conn, o clerk.Object, resources string, look func(pgx.Tx, error)) {
	t.Helper()
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	inner, err := tx.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, refused := inner.Exec(t.Context(), `select * from clerk_sync.apply_objects($1, $2, 1900000000000)`, o.Kind, resources)
	if refused != nil {
		if err := inner.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look(tx, refused)
}

func firstID(t *testing.T, resources string) string {
	t.Helper()
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(resources), &list); err != nil {
		t.Fatal(err)
	}
	return list[0].ID
}

// remove takes a member out of every resource of a list, and out of every element where
// the way to it leads through a list.
func remove(t *testing.T, resources []byte, path []string) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(resources, &value); err != nil {
		t.Fatal(err)
	}
	found := false
	var walk func(value any, path []string)
	walk = func(value any, path []string) {
		switch value := value.(type) {
		case []any:
			for _, element := range value {
				walk(element, path)
			}
		case map[string]any:
			if len(path) > 1 {
				walk(value[path[0]], path[1:])
				return
			}
			_, there := value[path[0]]
			found = found || there
			delete(value, path[0])
		}
	}
	walk(value, path)
	text, err := json.Marshal(value)
	if err != nil || !found {
		return string(resources)
	}
	return string(text)
}
