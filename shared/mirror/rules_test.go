package mirror_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/mirror"
)

var (
	ines  = clerktest.User("user_ines").Email("ines@example.com").Name("Inès", "Moreau")
	tomas = clerktest.User("user_tomas").Name("Tomás", "Ruiz")
	acme  = clerktest.Organization("org_acme", "Acme")
)

// text is a time as to_jsonb writes it for the server's time zone, UTC.
func text(moment time.Time) string {
	return moment.UTC().Format("2006-01-02T15:04:05.999999") + "+00:00"
}

func TestApply_CopiesAUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(mirror.Applied, ines.ExternalID("ext-1").Username("ines").Phone("+33600000000").
		PublicMetadata(`{"plan":"pro"}`).Event(clerk.UserCreated, at(0)))

	b.has("users", "user_ines", map[string]any{
		"external_id": "ext-1", "email": "ines@example.com", "email_verified": true, "phone": "+33600000000",
		"phone_verified": true, "username": "ines", "first_name": "Inès", "last_name": "Moreau",
		"avatar_url": "https://img.clerk.example/user_ines", "metadata": map[string]any{"plan": "pro"},
		"unsafe_metadata": map[string]any{}, "banned": false, "created_at": text(clerktest.Epoch),
		"updated_at": text(clerktest.Epoch), "deleted_at": nil, "is_placeholder": false,
	})
	b.has("users_public", "user_ines", map[string]any{
		"username": "ines", "first_name": "Inès", "last_name": "Moreau", "avatar_url": "https://img.clerk.example/user_ines",
	})
}

func TestApply_TakesThePrimaryEmailByItsID(t *testing.T) {
	t.Parallel()
	second := clerktest.User("user_1").Email("first@example.com").Email("second@example.com").PrimaryEmail("second@example.com")
	tests := []struct {
		name     string
		user     clerktest.UserBuilder
		email    any
		verified any
	}{
		{"first in the list", ines, "ines@example.com", true},
		{"second in the list", second, "second@example.com", true},
		// Addresses without a primary one: none of them is, whatever their order.
		{"none is primary", second.With(func(u *resource.User) { u.PrimaryEmailAddressID = nil }), nil, nil},
		// The id names an address that the list does not have.
		{"dangling id", second.With(func(u *resource.User) { u.PrimaryEmailAddressID = new("idn_gone") }), nil, nil},
		{"unverified", second.With(func(u *resource.User) {
			for i := range u.EmailAddresses {
				u.EmailAddresses[i].Verification = &resource.Verification{Status: "unverified"}
			}
		}), "second@example.com", false},
		// Reserved addresses carry no verification at all.
		{"no verification", second.With(func(u *resource.User) {
			for i := range u.EmailAddresses {
				u.EmailAddresses[i].Verification = nil
			}
		}), "second@example.com", false},
		{"no addresses", tomas, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.want(mirror.Applied, test.user.Event(clerk.UserCreated, at(0)))
			b.has("users", test.user.Resource().ID, map[string]any{"email": test.email, "email_verified": test.verified})
		})
	}
}

func TestApply_KeepsNumbersExactly(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const metadata = `{"big":9007199254740993,"long":12345678901234567890.123456789,"tiny":1E-30}`
	b.want(mirror.Applied, ines.PublicMetadata(metadata).Event(clerk.UserCreated, at(0)))
	b.has("users", "user_ines", map[string]any{"metadata": map[string]any{
		"big": json.Number("9007199254740993"), "long": json.Number("12345678901234567890.123456789"),
		"tiny": json.Number("0.000000000000000000000000000001"),
	}})
}

func TestApply_KeepsARoleWithItsPrefixAsClerkWritesIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for i, role := range []string{"org:admin", "org:content_manager", "basic_member"} {
		id := "orgmem_" + string(rune('a'+i))
		b.want(mirror.Applied, clerktest.Membership(id, acme, ines).Role(role, "org:posts:read", "org:sys_memberships:manage").
			Event(clerk.OrganizationMembershipCreated, at(i)))
		b.has("organization_memberships", id, map[string]any{
			"role": role, "permissions": []any{"org:posts:read", "org:sys_memberships:manage"},
			"clerk_org_id": "org_acme", "clerk_user_id": "user_ines",
		})
	}
}

func TestApply_ReadsEnvelopeTimesInSecondsAndMilliseconds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(10), clerktest.Seconds()))
	// The same update time: what Clerk stated later counts, in either unit.
	b.want(mirror.Stale, ines.Name("Old", "").Event(clerk.UserUpdated, at(9)))
	b.want(mirror.Applied, ines.Name("New", "").Event(clerk.UserUpdated, at(11)))
	b.want(mirror.Stale, ines.Name("Old", "").Event(clerk.UserUpdated, at(10), clerktest.Seconds()))
	b.has("users", "user_ines", map[string]any{"first_name": "New"})
}

func TestApply_NewestWins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	b.want(mirror.Applied, ines.Name("Third", "").UpdatedAt(at(3)).Event(clerk.UserUpdated, at(3)))
	b.want(mirror.Stale, ines.Name("Second", "").UpdatedAt(at(2)).Event(clerk.UserUpdated, at(2)))
	// Stated later about an older state, as a replayed message with a transformation may be.
	b.want(mirror.Stale, ines.Name("Second", "").UpdatedAt(at(2)).Event(clerk.UserUpdated, at(9)))
	b.has("users", "user_ines", map[string]any{"first_name": "Third"})
}

func TestApply_ConvergesForTwoEventsOfOneMillisecond(t *testing.T) {
	t.Parallel()
	one := ines.Name("One", "").Event(clerk.UserUpdated, at(1))
	two := ines.Name("Two", "").Event(clerk.UserUpdated, at(1))
	created := ines.Name("Zero", "").Event(clerk.UserCreated, at(1))
	var first string
	for i, order := range [][][]byte{{created, one, two}, {two, one, created}, {one, created, two}, {two, created, one}} {
		b := newBench(t)
		for _, body := range order {
			b.send(body)
		}
		got := dump(t.Context(), t, b.owner)
		if i == 0 {
			first = got
		}
		if got != first {
			t.Errorf("order %d ends in\n%swant\n%s", i, got, first)
		}
		if name := b.row("users", "user_ines")["first_name"]; name == "Zero" {
			t.Errorf("order %d: created beats updated of the same millisecond", i)
		}
	}
}

func TestApply_AnswersDuplicateAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.sendAs("msg_1", ines.Event(clerk.UserCreated, at(0)))
	before := dump(t.Context(), t, b.owner)
	// Even if the body were another: the id is what was recorded.
	got := b.sendAs("msg_1", ines.Name("Other", "").UpdatedAt(at(5)).Event(clerk.UserUpdated, at(5)))
	if got.Outcome != mirror.Duplicate {
		t.Errorf("second delivery of msg_1 = %+v, want duplicate", got)
	}
	if after := dump(t.Context(), t, b.owner); after != before {
		t.Errorf("the duplicate changed the copy from\n%sto\n%s", before, after)
	}
}

func TestApply_WritesNoRowForWhatItSaysAlready(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := ines.Event(clerk.UserCreated, at(0))
	b.want(mirror.Applied, body)
	written := func() string {
		return scalar[string](b, `select xmin::text || ctid::text from public.users`) +
			scalar[string](b, `select xmin::text || ctid::text from public.users_public`)
	}
	before := written()
	b.want(mirror.Applied, body) // a new message with the same content
	if after := written(); after != before {
		t.Errorf("the row was rewritten: %s became %s", before, after)
	}
}

func TestApply_DeletedIsFinal(t *testing.T) {
	t.Parallel()
	membership := clerktest.Membership("orgmem_1", acme, ines)
	tests := []struct {
		name, table, id          string
		created, updated, delete []byte
	}{
		{
			"user", "users", "user_ines",
			ines.Event(clerk.UserCreated, at(0)),
			ines.UpdatedAt(at(9)).Event(clerk.UserUpdated, at(9)), ines.Deleted(at(5)),
		},
		{
			"organization", "organizations", "org_acme",
			acme.Event(clerk.OrganizationCreated, at(0)),
			acme.UpdatedAt(at(9)).Event(clerk.OrganizationUpdated, at(9)), acme.Deleted(at(5)),
		},
		{
			"membership", "organization_memberships", "orgmem_1",
			membership.Event(clerk.OrganizationMembershipCreated, at(0)),
			membership.UpdatedAt(at(9)).Event(clerk.OrganizationMembershipUpdated, at(9)), membership.Deleted(at(5)),
		},
	}
	for _, test := range tests {
		for _, order := range []struct {
			name   string
			bodies [][]byte
		}{
			{"in order", [][]byte{test.created, test.updated, test.delete}},
			{"late update", [][]byte{test.created, test.delete, test.updated}},
			{"delete first", [][]byte{test.delete, test.created, test.updated}},
			{"deleted twice", [][]byte{test.delete, test.created, test.delete, test.updated}},
		} {
			t.Run(test.name+"/"+order.name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				for _, body := range order.bodies {
					b.send(body)
				}
				want := map[string]any{"deleted_at": text(at(5)), "metadata": map[string]any{}}
				for _, emptied := range []string{
					"email", "phone", "first_name", "last_name", "avatar_url", "logo_url", "name", "slug",
					"username", "external_id", "role", "created_at", "updated_at",
				} {
					if _, ok := b.row(test.table, test.id)[emptied]; ok {
						want[emptied] = nil
					}
				}
				b.has(test.table, test.id, want)
			})
		}
	}
}

func TestApply_EmptiesAllPersonalDataOfADeletedUser(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.exec(`update clerk_sync.settings set keep_applied_payloads = true, store_private_metadata = true`)
	secret := clerktest.User("user_gone").Email("trace@example.com").Phone("+15550001111").Username("trace_name").
		Name("TraceFirst", "TraceLast").ExternalID("trace-ext").PublicMetadata(`{"note":"trace-meta"}`).
		With(func(u *resource.User) {
			u.PrivateMetadata = json.RawMessage(`{"note":"trace-private"}`)
			u.UnsafeMetadata = json.RawMessage(`{"note":"trace-unsafe"}`)
			u.ImageURL = "https://img.clerk.example/trace"
		})
	created := secret.Event(clerk.UserCreated, at(0))
	joined := clerktest.Membership("orgmem_1", acme, secret).Event(clerk.OrganizationMembershipCreated, at(1))
	b.want(mirror.Applied, created)
	b.want(mirror.Applied, joined)
	b.want(mirror.Rejected, secret.With(func(u *resource.User) { u.ID = "" }).Event(clerk.UserUpdated, at(1)))
	if n := scalar[int](b, everywhere, "%trace%"); n == 0 {
		t.Fatal("the search finds no personal data even before the delete")
	}
	b.exec(`delete from clerk_sync.webhook_events where object_id = ''`) // names nobody: only retention empties it

	b.want(mirror.Applied, secret.Deleted(at(2)))
	if n := scalar[int](b, everywhere, "%trace%"); n != 0 {
		t.Errorf("%d rows hold personal data of the deleted user", n)
	}
	// What comes late leaves nothing behind either.
	b.want(mirror.Stale, secret.UpdatedAt(at(9)).Event(clerk.UserUpdated, at(9)))
	b.want(mirror.Stale, clerktest.Membership("orgmem_2", acme, secret).Event(clerk.OrganizationMembershipCreated, at(9)))
	if n := scalar[int](b, everywhere, "%trace%"); n != 0 {
		t.Errorf("%d rows hold personal data of the deleted user after late events", n)
	}
}

// everywhere counts rows of any table of ours whose text is like $1.
const everywhere = `select
	(select count(*) from public.users t where t::text ilike $1) +
	(select count(*) from public.users_public t where t::text ilike $1) +
	(select count(*) from public.organizations t where t::text ilike $1) +
	(select count(*) from public.organization_memberships t where t::text ilike $1) +
	(select count(*) from clerk_sync.private_metadata t where t::text ilike $1) +
	(select count(*) from clerk_sync.webhook_events t where t::text ilike $1 or encode(t.raw_body, 'escape') ilike $1)`

func TestApply_KnowsMembershipsByTheirOwnID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first, second := clerktest.Membership("orgmem_1", acme, ines), clerktest.Membership("orgmem_2", acme, ines)
	b.want(mirror.Applied, first.Event(clerk.OrganizationMembershipCreated, at(1)))
	b.want(mirror.Applied, second.Role("org:admin").Event(clerk.OrganizationMembershipCreated, at(3)))
	b.want(mirror.Applied, first.Deleted(at(2))) // late: she has joined again since
	b.has("organization_memberships", "orgmem_1", map[string]any{"deleted_at": text(at(2)), "role": nil})
	b.has("organization_memberships", "orgmem_2", map[string]any{"deleted_at": nil, "role": "org:admin"})
}

func TestApply_EndsMembershipsWithTheirParents(t *testing.T) {
	t.Parallel()
	for name, end := range map[string][]byte{"user": ines.Deleted(at(5)), "organization": acme.Deleted(at(5))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			here := clerktest.Membership("orgmem_here", acme, ines)
			b.want(mirror.Applied, here.Event(clerk.OrganizationMembershipCreated, at(1)))
			b.want(mirror.Applied, clerktest.Membership("orgmem_other", clerktest.Organization("org_other", "Other"), tomas).
				Event(clerk.OrganizationMembershipCreated, at(1)))
			b.want(mirror.Applied, end)
			b.has("organization_memberships", "orgmem_here", map[string]any{"deleted_at": text(at(5)), "role": nil})
			b.has("organization_memberships", "orgmem_other", map[string]any{"deleted_at": nil})
			// Neither a late one nor a new one comes to life under a dead parent.
			b.want(mirror.Stale, here.UpdatedAt(at(9)).Event(clerk.OrganizationMembershipUpdated, at(9)))
			b.want(mirror.Stale, clerktest.Membership("orgmem_late", acme, ines).Event(clerk.OrganizationMembershipCreated, at(9)))
			b.has("organization_memberships", "orgmem_late", map[string]any{"deleted_at": text(at(5)), "role": nil})
		})
	}
}

func TestApply_MakesPlaceholderParentsThatRealEventsSupersede(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	membership := clerktest.Membership("orgmem_1", acme.Slug("acme"), ines.Username("ines"))
	b.want(mirror.Applied, membership.UpdatedAt(at(8)).Event(clerk.OrganizationMembershipCreated, at(8)))
	b.has("users", "user_ines", map[string]any{
		"is_placeholder": true, "first_name": "Inès", "username": "ines",
		// The identifier may be an address, a number or a name: it is not taken for an email.
		"email": nil, "created_at": nil,
	})
	b.has("organizations", "org_acme", map[string]any{"is_placeholder": true, "name": "Acme", "slug": "acme"})

	// Older than the membership, and yet about the objects themselves.
	b.want(mirror.Applied, ines.Event(clerk.UserCreated, at(0)))
	b.want(mirror.Applied, acme.Name("Acme Inc").Event(clerk.OrganizationCreated, at(0)))
	b.has("users", "user_ines", map[string]any{"is_placeholder": false, "email": "ines@example.com"})
	b.has("organizations", "org_acme", map[string]any{"is_placeholder": false, "name": "Acme Inc"})

	// A later membership event does not turn them back.
	b.want(mirror.Applied, membership.UpdatedAt(at(9)).Event(clerk.OrganizationMembershipUpdated, at(9)))
	b.has("organizations", "org_acme", map[string]any{"is_placeholder": false, "name": "Acme Inc"})
}

func TestApply_MirrorsRolesSoThatPermissionsCanBeJoined(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	read, write := clerktest.Permission("perm_read", "org:posts:read"), clerktest.Permission("perm_write", "org:posts:write")
	granted := func() string {
		return scalar[string](b, `
			select coalesce(string_agg(p.permission, ' ' order by p.permission), '')
			from public.organization_memberships m join clerk.role_permissions p using (role)
			where m.clerk_membership_id = 'orgmem_1'`)
	}
	role := func(eventType string, n int, permissions ...resource.Permission) []byte {
		r := clerktest.Role("role_editor", "org:editor", permissions...)
		r.UpdatedAt = clerk.MillisOf(at(n))
		return clerktest.Wrap(eventType, at(n), r)
	}
	b.want(mirror.Applied, clerktest.Membership("orgmem_1", acme, ines).Role("org:editor").Event(clerk.OrganizationMembershipCreated, at(0)))
	b.want(mirror.Applied, role(clerk.RoleUpdated, 2, read, write))
	if got, want := granted(), "org:posts:read org:posts:write"; got != want {
		t.Errorf("permissions of the membership = %q, want %q", got, want)
	}
	b.want(mirror.Stale, role(clerk.RoleCreated, 1, read))
	b.want(mirror.Applied, clerktest.Deletion(clerk.PermissionDeleted, "permission", "perm_write", at(3)))
	b.want(mirror.Applied, role(clerk.RoleUpdated, 4, read, write)) // still names it; it is gone
	if got, want := granted(), "org:posts:read"; got != want {
		t.Errorf("permissions after one is deleted = %q, want %q", got, want)
	}
	b.want(mirror.Applied, clerktest.Deletion(clerk.RoleDeleted, "role", "role_editor", at(5)))
	if got := granted(); got != "" {
		t.Errorf("permissions of a deleted role = %q, want none", got)
	}
}

// inapplicable are events that can never be applied, and the reasons.
var inapplicable = []struct {
	name, body, reason string
}{
	{"no id", `{"type":"user.created","data":{"updated_at":1}}`, "missing_id"},
	{"null id", `{"type":"user.created","data":{"id":null,"updated_at":1}}`, "malformed_id"},
	{"number as id", `{"type":"user.created","data":{"id":7,"updated_at":1}}`, "malformed_id"},
	{"endless id", `{"type":"user.created","data":{"id":"` + strings.Repeat("x", 300) + `","updated_at":1}}`, "malformed_id"},
	{"object as name", `{"type":"user.created","data":{"id":"user_1","first_name":{},"updated_at":1}}`, "malformed_field"},
	{"text as time", `{"type":"user.created","data":{"id":"user_1","updated_at":"yesterday"}}`, "malformed_field"},
	{"text as flag", `{"type":"user.created","data":{"id":"user_1","banned":"perhaps","updated_at":1}}`, "not_applicable"},
	{"emails no list", `{"type":"user.created","data":{"id":"user_1","email_addresses":"a@x","updated_at":1}}`, "malformed_field"},
	// Nothing to order it by.
	{"no time at all", `{"type":"user.created","data":{"id":"user_1"}}`, "missing_updated_at"},
	{"time before time", `{"type":"user.created","data":{"id":"user_1","updated_at":-5}}`, "timestamp_out_of_range"},
	{"time beyond time", `{"type":"user.created","data":{"id":"user_1","updated_at":1e30}}`, "timestamp_out_of_range"},
	{"no organization", `{"type":"organizationMembership.created","data":{"id":"orgmem_1","public_user_data":{"user_id":"user_1"},"updated_at":1}}`, "missing_parent"},
	{"no user", `{"type":"organizationMembership.updated","timestamp":1,"data":{"id":"orgmem_1","organization":{"id":"org_1"},"updated_at":1}}`, "missing_parent"},
	{"empty organization id", `{"type":"organizationMembership.created","data":{"id":"orgmem_1","organization":{"id":""},"public_user_data":{"user_id":"user_1"},"updated_at":1}}`, "missing_parent"},
	{"endless user id", `{"type":"organizationMembership.created","data":{"id":"orgmem_1","organization":{"id":"org_1"},"public_user_data":{"user_id":"` + strings.Repeat("x", 300) + `"},"updated_at":1}}`, "missing_parent"},
	{"permissions no list", `{"type":"organizationMembership.created","data":{"id":"orgmem_1","permissions":7,"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"},"updated_at":1}}`, "not_applicable"},
	// Valid JSON that Postgres cannot hold: found on the way in.
	{"number beyond numeric", `{"type":"user.created","data":{"id":"user_1","public_metadata":{"n":1e999999},"updated_at":1}}`, "not_storable"},
}

func TestApply_RejectsWhatCanNeverBeApplied(t *testing.T) {
	t.Parallel()
	for _, test := range inapplicable {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			empty := dump(t.Context(), t, b.owner)
			got := b.sendAs("msg_1", []byte(test.body))
			if want := (mirror.Result{Outcome: mirror.Rejected, Reason: test.reason}); got != want {
				t.Errorf("Apply(%s) = %+v, want %+v", test.body, got, want)
			}
			if after := dump(t.Context(), t, b.owner); after != empty {
				t.Errorf("Apply(%s) left\n%s", test.body, after)
			}
			events, err := b.store.Events(t.Context(), mirror.EventFilter{Outcome: mirror.Rejected})
			if err != nil || len(events) != 1 || events[0].Reason != test.reason {
				t.Errorf("rejected events = %+v, %v, want one with reason %s", events, err, test.reason)
			}
		})
	}
}

// Clerk takes metadata up to 8 KB, which is room for four thousand brackets: a
// user must not be able to keep its own row from being copied.
func TestApply_TakesMetadataAsDeepAsClerkDoes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	nested := func(depth int) []byte {
		metadata := `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
		return ines.PublicMetadata(metadata).Event(clerk.UserCreated, at(0))
	}
	b.want(mirror.Applied, nested(4090))
	// Far beyond: kept and told, not retried for ever.
	got := b.send([]byte(`{"type":"user.created","data":{"id":"user_2","updated_at":1,"public_metadata":` +
		strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}}`))
	if got.Outcome != mirror.Rejected && got.Outcome != mirror.Applied {
		t.Errorf("Apply(9,000 levels) = %+v, want it applied or rejected", got)
	}
}

// The order must not depend on the session that an event happens to come through.
func TestApply_OrdersTheSameInAnySession(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	body := ines.With(func(u *resource.User) { u.LastSignInAt = clerk.MillisOf(at(7)) }).Event(clerk.UserUpdated, at(1))
	b.want(mirror.Applied, body)
	version := func() string { return scalar[string](b, `select sync_version from public.users`) }
	before := version()

	elsewhere := pool(t, b.db.Writer()+"&timezone=Asia/Tokyo&datestyle=SQL,DMY", 1)
	if _, err := mirror.New(elsewhere).Apply(t.Context(), delivery(t, "msg_tokyo", body)); err != nil {
		t.Fatal(err)
	}
	if after := version(); after != before {
		t.Errorf("the same statement is version %s in one session and %s in another", before, after)
	}
}

// Fellow members read a membership's version: it must not confirm a guess of what
// they may not read, such as the address behind the user's identifier.
func TestApply_MakesNoVersionOfWhatFellowsMayNotRead(t *testing.T) {
	t.Parallel()
	var versions []string
	for _, address := range []string{"ines@example.com", "other@example.com"} {
		b := newBench(t)
		membership := clerktest.Membership("orgmem_1", acme, ines).With(func(m *resource.OrganizationMembership) {
			m.PublicUserData.Identifier = &address
			m.PrivateMetadata = json.RawMessage(`{"for":"` + address + `"}`)
		})
		b.want(mirror.Applied, membership.Event(clerk.OrganizationMembershipCreated, at(0)))
		versions = append(versions, scalar[string](b, `select sync_version from public.organization_memberships`))
	}
	if versions[0] != versions[1] {
		t.Errorf("the version depends on the user's address: %v", versions)
	}
}
