package main_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/clerk/clerktest"
)

// message is one event of a burst.
type message struct {
	svixID string
	body   []byte
}

// burst makes the events of an import: people and what they belong to, and now and
// then somebody who is changed or removed again. The same calls make the same
// events.
type burst struct {
	random                            *rand.Rand
	at                                time.Time
	sent                              int
	users, organizations, memberships int // with the ids 0 … n-1
}

func newBurst() *burst {
	return &burst{random: rand.New(rand.NewPCG(1, 2)), at: clerktest.Epoch}
}

func user(n int) clerktest.UserBuilder {
	return clerktest.User(fmt.Sprintf("user_%08d", n)).
		Email(fmt.Sprintf("person%d@example.com", n)).
		Name(fmt.Sprintf("First%d", n), fmt.Sprintf("Last%d", n)).
		Username(fmt.Sprintf("person%d", n)).
		PublicMetadata(`{"plan":"team","seats":12}`)
}

func organization(n int) clerktest.OrganizationBuilder {
	return clerktest.Organization(fmt.Sprintf("org_%08d", n), fmt.Sprintf("Organization %d", n)).Slug(fmt.Sprintf("organization-%d", n))
}

// membership n is always of the same user and organization, which are there when it
// is made.
func membership(n int) clerktest.MembershipBuilder {
	return clerktest.Membership(fmt.Sprintf("orgmem_%08d", n), organization(n%(n/8+1)), user(31*n%(n+1)))
}

// next makes n events, each newer than all before it.
func (w *burst) next(n int) []message {
	messages := make([]message, n)
	for i := range messages {
		w.at = w.at.Add(time.Millisecond)
		w.sent++
		messages[i] = message{fmt.Sprintf("msg_%08d", w.sent), w.event(w.at)}
	}
	return messages
}

func (w *burst) event(at time.Time) []byte {
	share := w.random.IntN(100)
	switch {
	case w.users == 0 || share < 50:
		w.users++
		return user(w.users-1).CreatedAt(at).UpdatedAt(at).Event(clerk.UserCreated, at)
	case w.organizations == 0 || share < 55:
		w.organizations++
		return organization(w.organizations-1).Event(clerk.OrganizationCreated, at)
	case w.memberships == 0 || share < 85:
		w.memberships++
		return membership(w.memberships-1).CreatedAt(at).UpdatedAt(at).Event(clerk.OrganizationMembershipCreated, at)
	case share < 93:
		return user(w.random.IntN(w.users)).Name(fmt.Sprintf("First%d", w.sent), "Changed").UpdatedAt(at).Event(clerk.UserUpdated, at)
	case share < 97:
		changed := membership(w.random.IntN(w.memberships))
		return changed.Role("org:admin", "org:sys_memberships:manage").UpdatedAt(at).Event(clerk.OrganizationMembershipUpdated, at)
	default:
		return user(w.random.IntN(w.users)).Deleted(at)
	}
}
