package clerkinstance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// log collects an instance's events.
type log struct{ events []clerkinstance.Event }

func (l *log) emit(e clerkinstance.Event) { l.events = append(l.events, e) }

func (l *log) types() []string {
	types := make([]string, len(l.events))
	for i, e := range l.events {
		types[i] = e.Type
	}
	return types
}

// since returns the types of what do made happen.
func (l *log) since(do func()) []string {
	before := len(l.events)
	do()
	return l.types()[before:]
}

// ticking is a clock that moves by step at every look.
func ticking(step time.Duration) func() time.Time {
	at := time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(step)
		return at
	}
}

// live returns an instance after some traffic, and all of its events.
func live(t *testing.T, o clerkinstance.Options, steps int) (*clerkinstance.Instance, *log) {
	t.Helper()
	l := &log{}
	o.Emit = l.emit
	if o.Now == nil {
		o.Now = ticking(time.Millisecond)
	}
	instance := clerkinstance.New(o)
	traffic := clerkinstance.NewTraffic(instance, o.Seed)
	if err := traffic.SignUps(10); err != nil {
		t.Fatalf("SignUps(10) = %v", err)
	}
	for i := range steps {
		if err := traffic.Step(); err != nil {
			t.Fatalf("step %d = %v", i, err)
		}
	}
	return instance, l
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func TestInstance_RepeatsItsHistoryForASeed(t *testing.T) {
	t.Parallel()
	_, first := live(t, clerkinstance.Options{Seed: 7, Salt: 1}, 500)
	_, second := live(t, clerkinstance.Options{Seed: 7, Salt: 1}, 500)
	if diff := cmp.Diff(first.events, second.events); diff != "" {
		t.Errorf("two histories of seed 7, salt 1 differ: -first +second\n%s", diff)
	}
	for name, other := range map[string]clerkinstance.Options{
		"another seed": {Seed: 8, Salt: 1},
		// Two runs of one seed into one copy must not share ids.
		"another salt": {Seed: 7, Salt: 2},
	} {
		_, l := live(t, other, 500)
		seen := map[string]bool{}
		for _, e := range first.events {
			seen[e.SvixID], seen[e.ObjectID] = true, true
		}
		for _, e := range l.events {
			if seen[e.SvixID] || seen[e.ObjectID] {
				t.Errorf("%s: %s about %s has an id of seed 7, salt 1", name, e.Type, e.ObjectID)
				break
			}
		}
	}
}

// Whoever applies every event in order must end with the instance's own state:
// nothing may change without an event, or otherwise than the event says.
func TestInstance_StateFollowsFromItsEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		instance, l := live(t, clerkinstance.Options{Seed: seed}, 500)
		got := clerkinstance.Snapshot{
			InstanceID: instance.ID(), Users: map[string]resource.User{}, Organizations: map[string]resource.Organization{},
			Memberships: map[string]resource.OrganizationMembership{}, Roles: map[string]resource.Role{},
			Permissions: map[string]resource.Permission{}, Deleted: map[string]time.Time{},
		}
		for _, e := range l.events {
			apply(t, &got, e)
		}
		want := instance.Snapshot()
		// A role repeats its permissions as they were when it was stated.
		for id, role := range want.Roles {
			want.Roles[id] = withPermissionIDs(role)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: -state +events\n%s", seed, diff)
		}
	}
}

// apply is the plainest mirror there is.
func apply(t *testing.T, s *clerkinstance.Snapshot, e clerkinstance.Event) {
	t.Helper()
	switch e.Type {
	case clerk.UserCreated, clerk.UserUpdated:
		s.Users[e.ObjectID] = data[resource.User](t, e)
	case clerk.OrganizationCreated, clerk.OrganizationUpdated:
		o := data[resource.Organization](t, e)
		o.MembersCount = nil // only counted in organization.created
		s.Organizations[e.ObjectID] = o
	case clerk.OrganizationMembershipCreated, clerk.OrganizationMembershipUpdated:
		s.Memberships[e.ObjectID] = data[resource.OrganizationMembership](t, e)
	case clerk.RoleCreated, clerk.RoleUpdated:
		s.Roles[e.ObjectID] = withPermissionIDs(data[resource.Role](t, e))
	case clerk.PermissionCreated, clerk.PermissionUpdated:
		s.Permissions[e.ObjectID] = data[resource.Permission](t, e)
	case clerk.UserDeleted, clerk.OrganizationDeleted, clerk.OrganizationMembershipDeleted, clerk.RoleDeleted, clerk.PermissionDeleted:
		s.Deleted[e.ObjectID] = e.StatedAt
		delete(s.Users, e.ObjectID)
		delete(s.Organizations, e.ObjectID)
		delete(s.Memberships, e.ObjectID)
		delete(s.Roles, e.ObjectID)
		delete(s.Permissions, e.ObjectID)
		for id, m := range s.Memberships {
			if m.PublicUserData.UserID == e.ObjectID || m.Organization.ID == e.ObjectID {
				s.Deleted[id] = e.StatedAt
				delete(s.Memberships, id)
			}
		}
	}
}

func withPermissionIDs(r resource.Role) resource.Role {
	ids := make([]resource.Permission, len(r.Permissions))
	for i, p := range r.Permissions {
		ids[i].ID = p.ID
	}
	r.Permissions = ids
	return r
}

func data[T any](t *testing.T, e clerkinstance.Event) T {
	t.Helper()
	var body struct{ Data T }
	if err := json.Unmarshal(e.Body, &body); err != nil {
		t.Fatalf("reading a %s event: %v", e.Type, err)
	}
	return body.Data
}

func TestInstance_EventsAreClerks(t *testing.T) {
	t.Parallel()
	instance, l := live(t, clerkinstance.Options{Seed: 3}, 500)
	id := regexp.MustCompile(`^(user|org|orgmem|orginv|role|perm|sess|ema|sms)_3[0-9A-Za-z]{26}$`)
	seen := map[string]bool{}
	for _, e := range l.events {
		parsed, err := clerk.ParseEvent(e.Body)
		if err != nil {
			t.Fatalf("ParseEvent(%s) = %v", e.Body, err)
		}
		parsed.JSON = nil
		want := clerk.Event{Type: e.Type, ObjectID: e.ObjectID, InstanceID: instance.ID(), StatedAt: e.StatedAt}
		if diff := cmp.Diff(want, parsed); diff != "" {
			t.Fatalf("event %s: -emitted +parsed\n%s", e.SvixID, diff)
		}
		if !id.MatchString(e.ObjectID) {
			t.Errorf("%s is about %q, want an id of Clerk's shape", e.Type, e.ObjectID)
		}
		if seen[e.SvixID] {
			t.Errorf("message id %s was used twice", e.SvixID)
		}
		seen[e.SvixID] = true
	}
}

// With a clock that stands still everything happens in one millisecond, and yet
// no two updates of one object may be beyond all order.
func TestInstance_OrdersWhatHappensInOneMillisecond(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, time.June, 15, 9, 0, 0, 0, time.UTC)
	_, l := live(t, clerkinstance.Options{Seed: 5, Now: func() time.Time { return at }}, 2000)

	last := map[string]int64{}
	shared := 0
	for _, e := range l.events {
		var body struct {
			Timestamp int64
			Data      struct {
				UpdatedAt int64 `json:"updated_at"`
			}
		}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			t.Fatal(err)
		}
		before, known := last[e.ObjectID]
		updating := e.Type != clerk.UserCreated && known
		if updating && body.Timestamp == before {
			shared++
		}
		if known && body.Timestamp < before {
			t.Errorf("%s of %s is stated at %d, before what was said about it earlier (%d)", e.Type, e.ObjectID, body.Timestamp, before)
		}
		if body.Data.UpdatedAt > body.Timestamp {
			t.Errorf("%s of %s was updated at %d, after it was stated (%d)", e.Type, e.ObjectID, body.Data.UpdatedAt, body.Timestamp)
		}
		last[e.ObjectID] = body.Timestamp
	}
	updated := map[string]bool{}
	for _, e := range l.events {
		// Creation comes before everything and deletion is final.
		if strings.HasSuffix(e.Type, ".created") || strings.HasSuffix(e.Type, ".deleted") {
			continue
		}
		key := fmt.Sprint(e.ObjectID, e.StatedAt.UnixMilli())
		if updated[key] {
			t.Errorf("%s of %s: another update was stated in the same millisecond", e.Type, e.ObjectID)
		}
		updated[key] = true
	}
	if shared == 0 {
		t.Error("no update shared its millisecond with the creation: the hardest tie is not played")
	}
}

func TestTraffic_PlaysEverythingAMirrorMeets(t *testing.T) {
	t.Parallel()
	instance, l := live(t, clerkinstance.Options{Seed: 1}, 4000)
	types := l.types()
	for _, want := range []string{
		clerk.UserCreated, clerk.UserUpdated, clerk.UserDeleted,
		clerk.OrganizationCreated, clerk.OrganizationUpdated, clerk.OrganizationDeleted,
		clerk.OrganizationMembershipCreated, clerk.OrganizationMembershipUpdated, clerk.OrganizationMembershipDeleted,
		clerk.RoleCreated, clerk.RoleUpdated, clerk.RoleDeleted,
		clerk.PermissionCreated, clerk.PermissionUpdated, clerk.PermissionDeleted,
		clerk.OrganizationInvitationCreated, clerk.OrganizationInvitationAccepted, clerk.OrganizationInvitationRevoked,
		clerk.SessionCreated, clerk.SessionEnded, clerk.EmailCreated, clerk.SMSCreated,
	} {
		if !slices.Contains(types, want) {
			t.Errorf("4000 steps made no %s", want)
		}
	}

	kinds := map[string]func(resource.User) bool{
		"phone only": func(u resource.User) bool {
			return len(u.EmailAddresses) == 0 && u.Username == nil && u.PrimaryPhoneNumberID != nil
		},
		"username only": func(u resource.User) bool {
			return len(u.EmailAddresses) == 0 && len(u.PhoneNumbers) == 0 && u.Username != nil
		},
		"no names": func(u resource.User) bool { return u.FirstName == nil && u.LastName == nil },
		"primary not first": func(u resource.User) bool {
			email, ok := u.PrimaryEmail()
			return ok && email.ID != u.EmailAddresses[0].ID
		},
		"addresses but no primary": func(u resource.User) bool { return len(u.EmailAddresses) > 0 && u.PrimaryEmailAddressID == nil },
		"unverified address": func(u resource.User) bool {
			email, ok := u.PrimaryEmail()
			return ok && email.Verification.Status == "unverified"
		},
		"banned":      func(u resource.User) bool { return u.Banned },
		"locked":      func(u resource.User) bool { return u.Locked },
		"external id": func(u resource.User) bool { return u.ExternalID != nil },
		"a number beyond 2^53": func(u resource.User) bool {
			return regexp.MustCompile(`[0-9]{16,}`).Match(u.PublicMetadata)
		},
	}
	users := instance.Snapshot().Users
	for name, is := range kinds {
		found := false
		for _, u := range users {
			found = found || is(u)
		}
		if !found {
			t.Errorf("among %d users is none of kind %q", len(users), name)
		}
	}

	// Somebody left an organization and came back with another membership id.
	memberships := map[string]string{}
	rejoined := 0
	for _, e := range l.events {
		if e.Type == clerk.OrganizationMembershipCreated {
			m := data[resource.OrganizationMembership](t, e)
			pair := m.Organization.ID + m.PublicUserData.UserID
			if earlier, ok := memberships[pair]; ok && earlier != m.ID {
				rejoined++
			}
			memberships[pair] = m.ID
		}
	}
	if rejoined == 0 {
		t.Error("4000 steps let nobody rejoin an organization")
	}
}

func TestInstance_StatesWhatClerkStates(t *testing.T) {
	t.Parallel()
	l := &log{}
	c := clerkinstance.New(clerkinstance.Options{Seed: 1, Now: ticking(time.Second), Emit: l.emit})

	var ines, jo resource.User
	var org resource.Organization
	var joined resource.OrganizationMembership
	var invited string
	steps := []struct {
		name string
		do   func() error
		want []string
	}{
		{"sign up", func() (err error) {
			ines, err = c.SignUp(clerkinstance.Person{Emails: []string{"old@example.com", "ines@example.com"}, Primary: 1})
			return err
		}, []string{clerk.EmailCreated, clerk.EmailCreated, clerk.UserCreated, clerk.SessionCreated}},
		{"sign up by phone", func() (err error) {
			jo, err = c.SignUp(clerkinstance.Person{Phones: []string{"+15005550100"}, ExternalID: "crm-1"})
			return err
		}, []string{clerk.SMSCreated, clerk.UserCreated, clerk.SessionCreated}},
		{"sign in", func() error { return c.SignIn(ines.ID) }, []string{clerk.UserUpdated, clerk.SessionCreated}},
		{"sign out", func() error { return c.SignOut(ines.ID) }, []string{clerk.SessionEnded}},
		{"found", func() (err error) {
			org, err = c.CreateOrganization(ines.ID, "Acme", "acme")
			return err
		}, []string{clerk.OrganizationCreated, clerk.OrganizationMembershipCreated}},
		{"invite", func() (err error) {
			invited, err = c.Invite(org.ID, ines.ID, "jo@example.com", clerkinstance.MemberRole)
			return err
		}, []string{clerk.OrganizationInvitationCreated}},
		{"accept", func() (err error) {
			joined, err = c.Accept(invited, jo.ID)
			return err
		}, []string{clerk.OrganizationMembershipCreated, clerk.OrganizationInvitationAccepted}},
		{"promote", func() error { return c.UpdateMembership(joined.ID, clerkinstance.AdminRole, nil) }, []string{clerk.OrganizationMembershipUpdated}},
		{"leave", func() error { return c.Leave(joined.ID) }, []string{clerk.OrganizationMembershipDeleted}},
		{"rejoin", func() (err error) {
			before := joined.ID
			joined, err = c.Join(org.ID, jo.ID, clerkinstance.MemberRole)
			if joined.ID == before {
				t.Errorf("rejoining gave the old membership %s again", before)
			}
			return err
		}, []string{clerk.OrganizationMembershipCreated}},
		// Clerk promises no membership events here.
		{"delete a user", func() error { return c.DeleteUser(jo.ID, false) }, []string{clerk.UserDeleted}},
		{"delete an organization", func() error { return c.DeleteOrganization(org.ID, true) }, []string{clerk.OrganizationDeleted, clerk.OrganizationMembershipDeleted}},
	}
	for _, step := range steps {
		got := l.since(func() {
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
		})
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: -want +got events\n%s", step.name, diff)
		}
	}

	s := c.Snapshot()
	if len(s.Users) != 1 || len(s.Organizations) != 0 || len(s.Memberships) != 0 {
		t.Errorf("after all: %d users, %d organizations, %d memberships, want 1, 0, 0", len(s.Users), len(s.Organizations), len(s.Memberships))
	}
	if _, ok := s.Deleted[joined.ID]; !ok {
		t.Errorf("the membership %s of a deleted user is not among the deleted", joined.ID)
	}
	deleted := data[resource.DeletedObject](t, l.events[slices.IndexFunc(l.events, func(e clerkinstance.Event) bool { return e.Type == clerk.UserDeleted })])
	want := resource.DeletedObject{ID: jo.ID, Object: "user", Deleted: true, ExternalID: new("crm-1")}
	if diff := cmp.Diff(want, deleted); diff != "" {
		t.Errorf("user.deleted: -want +got\n%s", diff)
	}
}

func TestInstance_RefusesTheImpossible(t *testing.T) {
	t.Parallel()
	l := &log{}
	c := clerkinstance.New(clerkinstance.Options{Emit: l.emit})
	user := must[resource.User](t)(c.SignUp(clerkinstance.Person{Username: "kai"}))
	org := must[resource.Organization](t)(c.CreateOrganization(user.ID, "Acme", ""))
	member := c.Snapshot()
	var admin resource.Role
	for _, r := range member.Roles {
		if r.Key == clerkinstance.AdminRole {
			admin = r
		}
	}
	tests := []struct {
		name string
		do   func() error
		want error
	}{
		{"join twice", func() error { _, err := c.Join(org.ID, user.ID, clerkinstance.MemberRole); return err }, clerkinstance.ErrMember},
		{"join with an unknown role", func() error { _, err := c.Join(org.ID, user.ID, "org:nothing"); return err }, clerkinstance.ErrNotFound},
		{"delete a role in use", func() error { return c.DeleteRole(admin.ID) }, clerkinstance.ErrInUse},
		{"update nobody", func() error { return c.UpdateUser("user_x", func(*resource.User) {}) }, clerkinstance.ErrNotFound},
		{"delete nobody", func() error { return c.DeleteUser("user_x", true) }, clerkinstance.ErrNotFound},
		{"revoke nothing", func() error { return c.Revoke("orginv_x") }, clerkinstance.ErrNotFound},
	}
	for _, test := range tests {
		var err error
		events := l.since(func() { err = test.do() })
		if !errors.Is(err, test.want) {
			t.Errorf("%s = %v, want %v", test.name, err, test.want)
		}
		if len(events) > 0 {
			t.Errorf("%s was refused and still emitted %v", test.name, events)
		}
	}

	// Metadata that is no JSON can reach nobody, so it must not be in the state.
	err := c.UpdateUser(user.ID, func(u *resource.User) { u.PublicMetadata = json.RawMessage("{") })
	if err == nil {
		t.Error("UpdateUser with broken metadata = nil, want an error")
	}
	if got := string(c.Snapshot().Users[user.ID].PublicMetadata); got != "{}" {
		t.Errorf("after a refused update the metadata is %s, want {}", got)
	}
}
