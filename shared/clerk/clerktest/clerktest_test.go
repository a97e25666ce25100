package clerktest_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	svix "github.com/svix/svix-webhooks/go"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
	"clerksync/shared/devstack/clerkdouble/resource"
)

func TestBuilders_WriteTheMembersOfTheGoldenEvents(t *testing.T) {
	t.Parallel()
	user := clerktest.User("user_1").Email("ines@example.com")
	organization := clerktest.Organization("org_1", "Harbour Lights")
	at := clerktest.Epoch
	tests := []struct {
		golden string
		body   []byte
		// Members that Clerk sends in some places and not in others.
		optional []string
	}{
		{"user.created", user.Event(clerk.UserCreated, at), []string{"locale", "password_last_updated_at"}},
		{"user.deleted", user.Deleted(at), nil},
		{"user.deleted--external-id", user.ExternalID("hl-1").Deleted(at), nil},
		{"organization.created", organization.Event(clerk.OrganizationCreated, at), []string{
			"members_count", "pending_invitations_count", "missing_member_with_elevated_permissions", "role_set_key", "last_active_at",
		}},
		{"organization.deleted", organization.Slug("harbour-lights").Deleted(at), nil},
		{"organizationMembership.created", clerktest.Membership("orgmem_1", organization, user).Event(clerk.OrganizationMembershipCreated, at), nil},
		{"organizationMembership.deleted", clerktest.Membership("orgmem_1", organization, user).Deleted(at), nil},
		{"role.created", clerktest.Wrap(clerk.RoleCreated, at, clerktest.Role("role_1", "org:treasurer")), nil},
		{"role.deleted", clerktest.Deletion(clerk.RoleDeleted, "role", "role_1", at), nil},
		{"permission.created", clerktest.Wrap(clerk.PermissionCreated, at, clerktest.Permission("perm_1", "org:invoices:approve")), nil},
	}
	for _, test := range tests {
		t.Run(test.golden, func(t *testing.T) {
			t.Parallel()
			event, err := clerk.ParseEvent(test.body)
			if err != nil {
				t.Fatalf("ParseEvent(%s) = error %v", test.body, err)
			}
			if got, want := event.Type, clerktest.TypeOf(test.golden); got != want {
				t.Errorf("type = %s, want %s", got, want)
			}
			want := slices.DeleteFunc(members(t, clerktest.Event(t, test.golden)), func(name string) bool {
				return slices.Contains(test.optional, name)
			})
			if diff := cmp.Diff(want, members(t, test.body)); diff != "" {
				t.Errorf("members of data in %s: -golden +built\n%s", test.body, diff)
			}
		})
	}
}

// members returns the sorted names of the members of an event's data.
func members(t *testing.T, body []byte) []string {
	t.Helper()
	var event struct{ Data map[string]json.RawMessage }
	if err := json.Unmarshal(body, &event); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(event.Data))
}

func TestBuilders_ReturnCopies(t *testing.T) {
	t.Parallel()
	at := clerktest.Epoch
	user := clerktest.User("user_1").Email("a@example.com").Phone("+15005550101")
	organization := clerktest.Organization("org_1", "Harbour Lights")
	membership := clerktest.Membership("orgmem_1", organization, user).Role("org:admin", "org:invoices:approve")
	state := func() []byte {
		return slices.Concat(user.Event(clerk.UserCreated, at), organization.Event(clerk.OrganizationCreated, at), membership.Event(clerk.OrganizationMembershipCreated, at))
	}
	before := state()

	user.Email("b@example.com").PrimaryEmail("b@example.com").Phone("+15005550102").Username("ines").Name("Ines", "").UpdatedAt(at.Add(time.Hour))
	user.With(func(u *resource.User) { u.EmailAddresses[0].EmailAddress = "changed@example.com" })
	organization.Name("Other").Slug("other").PublicMetadata(`{"a":1}`)
	membership.Role("org:member").UpdatedAt(at.Add(time.Hour))
	membership.With(func(m *resource.OrganizationMembership) { m.Permissions[0] = "changed" })
	resource := user.Resource()
	resource.EmailAddresses[0].EmailAddress = "changed@example.com"

	if after := state(); !bytes.Equal(before, after) {
		t.Errorf("deriving from builders changed them:\nbefore %s\nafter  %s", before, after)
	}
}

func TestEnvelopeOptions_ChangeTheEnvelope(t *testing.T) {
	t.Parallel()
	at := clerktest.Epoch.Add(250 * time.Millisecond)
	tests := []struct {
		name    string
		options []clerktest.EnvelopeOption
		want    clerk.Event
	}{
		{"none", nil, clerk.Event{InstanceID: clerktest.InstanceID, StatedAt: at}},
		{"seconds", []clerktest.EnvelopeOption{clerktest.Seconds()}, clerk.Event{InstanceID: clerktest.InstanceID, StatedAt: clerktest.Epoch}},
		{"no timestamp", []clerktest.EnvelopeOption{clerktest.NoTimestamp()}, clerk.Event{InstanceID: clerktest.InstanceID}},
		{"other instance", []clerktest.EnvelopeOption{clerktest.Instance("ins_2")}, clerk.Event{InstanceID: "ins_2", StatedAt: at}},
		{"no instance", []clerktest.EnvelopeOption{clerktest.Instance("")}, clerk.Event{StatedAt: at}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := clerk.ParseEvent(clerktest.User("user_1").Event(clerk.UserCreated, at, test.options...))
			if err != nil {
				t.Fatal(err)
			}
			got.JSON = nil
			test.want.Type, test.want.ObjectID = clerk.UserCreated, "user_1"
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

func TestSign_SatisfiesTheSvixLibrary(t *testing.T) {
	t.Parallel()
	verifier, err := svix.NewWebhook(clerktest.Secret)
	if err != nil {
		t.Fatal(err)
	}
	body := clerktest.Event(t, "user.created")
	if err := verifier.Verify(body, clerktest.Sign(clerktest.Secret, "msg_1", time.Now(), body)); err != nil {
		t.Errorf("the Svix library refuses what Sign made: %v", err)
	}
}
