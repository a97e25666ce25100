package clerkinstance

import (
	"fmt"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// Person is what a person fills in to sign up. Everything may be left out;
// Clerk asks for at least one of an address, a number and a username.
type Person struct {
	FirstName, LastName string
	Username            string
	// ExternalID is the team's own id for the user.
	ExternalID string
	// Emails are the addresses, of which Primary (an index) is the primary one.
	Emails  []string
	Primary int
	// Unverified leaves the addresses and numbers unproved.
	Unverified bool
	// Phones are numbers in E.164 form; the first is the primary one.
	Phones []string
}

// SignUp makes a user: the verification messages that Clerk sends (email.created
// and sms.created, with a code), user.created and session.created.
func (c *Instance) SignUp(p Person) (resource.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p.Emails) > 0 && (p.Primary < 0 || p.Primary >= len(p.Emails)) {
		return resource.User{}, fmt.Errorf("signing up: address %d of %d is to be the primary one", p.Primary, len(p.Emails))
	}

	id := c.newID("user_")
	now, stated := c.advance(id)
	u := newUser(id, now)
	u.ExternalID, u.Username = resource.OrNull(p.ExternalID), resource.OrNull(p.Username)
	u.FirstName, u.LastName = resource.OrNull(p.FirstName), resource.OrNull(p.LastName)
	u.PasswordEnabled = p.Username != ""
	for i, address := range p.Emails {
		email := resource.NewEmail(c.newID("idn_"), address, !p.Unverified, now)
		u.EmailAddresses = append(u.EmailAddresses, email)
		if i == p.Primary {
			u.PrimaryEmailAddressID = new(email.ID)
		}
	}
	for i, number := range p.Phones {
		phone := resource.NewPhone(c.newID("idn_"), number, !p.Unverified, now)
		u.PhoneNumbers = append(u.PhoneNumbers, phone)
		if i == 0 {
			u.PrimaryPhoneNumberID = new(phone.ID)
		}
	}

	if err := c.sendCodes(u, stated); err != nil {
		return resource.User{}, err
	}
	if err := c.publish(clerk.UserCreated, id, stated, u); err != nil {
		return resource.User{}, err
	}
	c.users.put(u)
	_, err := c.openSession(u, "")
	return u, err
}

// UpdateUser changes a user. Values that a user points to (names, the elements
// of lists and what they point to) are shared with earlier states: replace them
// and do not write through them.
func (c *Instance) UpdateUser(id string, change func(*resource.User)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updateUser(id, change)
}

func (c *Instance) updateUser(id string, change func(*resource.User)) error {
	return update(c, &c.users, id, clerk.UserUpdated, func(u *resource.User) {
		u.EmailAddresses = slices.Clone(u.EmailAddresses)
		u.PhoneNumbers = slices.Clone(u.PhoneNumbers)
		change(u)
	})
}

// SignIn opens a session, which moves last_sign_in_at.
func (c *Instance) SignIn(userID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clerk.MillisOf(c.now())
	err := c.updateUser(userID, func(u *resource.User) { u.LastSignInAt, u.LastActiveAt = now, day(now) })
	if err != nil {
		return err
	}
	u, _ := c.users.get(userID)
	_, err = c.openSession(u, "")
	return err
}

// DeleteUser ends a user with all memberships. Clerk does not promise an event
// for each membership; announce asks for them.
func (c *Instance) DeleteUser(id string, announce bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, err := c.users.find(id)
	if err != nil {
		return err
	}
	held := c.memberships.in(membershipsOfUser, id)
	for _, s := range c.sessions.in(sessionsOfUser, id) {
		c.sessions.remove(s.ID)
		delete(c.stamps, s.ID)
	}
	c.users.remove(id)
	if err := c.bury(clerk.UserDeleted, "user", id, resource.DeletedObject{ExternalID: u.ExternalID}); err != nil {
		return err
	}
	return c.endMemberships(held, c.deleted[id], announce)
}

// newUser is a user who has just signed up, without anything to be known by.
func newUser(id string, now clerk.Millis) resource.User {
	u := resource.NewUser(id, now)
	u.VerificationAttemptsRemaining, u.LastSignInAt, u.LastActiveAt = new(int64(100)), now, day(now)
	return u
}

// day is the precision that Clerk gives last_active_at.
func day(at clerk.Millis) clerk.Millis {
	return clerk.MillisOf(at.Time().Truncate(24 * time.Hour))
}
