package clerkdouble

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"clerksync/shared/clerk"
)

// Person is what somebody fills in to sign up. Everything may be left out;
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
func (c *Instance) SignUp(p Person) (clerk.User, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(p.Emails) > 0 && (p.Primary < 0 || p.Primary >= len(p.Emails)) {
		return clerk.User{}, fmt.Errorf("signing up: address %d of %d is to be the primary one", p.Primary, len(p.Emails))
	}

	id := c.newID("user_")
	now, stated := c.advance(id)
	u := newUser(id, now)
	u.ExternalID, u.Username = nullable(p.ExternalID), nullable(p.Username)
	u.FirstName, u.LastName = nullable(p.FirstName), nullable(p.LastName)
	u.PasswordEnabled = p.Username != ""
	for i, address := range p.Emails {
		email := newEmail(c.newID("idn_"), address, p.Unverified, now)
		u.EmailAddresses = append(u.EmailAddresses, email)
		if i == p.Primary {
			u.PrimaryEmailAddressID = new(email.ID)
		}
	}
	for i, number := range p.Phones {
		phone := newPhone(c.newID("idn_"), number, p.Unverified, now)
		u.PhoneNumbers = append(u.PhoneNumbers, phone)
		if i == 0 {
			u.PrimaryPhoneNumberID = new(phone.ID)
		}
	}

	if err := c.sendCodes(u, stated); err != nil {
		return clerk.User{}, err
	}
	if err := c.publish(clerk.UserCreated, id, stated, u); err != nil {
		return clerk.User{}, err
	}
	c.users.put(id, u)
	_, err := c.openSession(u, "")
	return u, err
}

// UpdateUser changes a user. Values that a user points to (names, the elements
// of lists and what they point to) are shared with earlier states: replace them
// and do not write through them.
func (c *Instance) UpdateUser(id string, change func(*clerk.User)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updateUser(id, change)
}

func (c *Instance) updateUser(id string, change func(*clerk.User)) error {
	u, ok := c.users.get(id)
	if !ok {
		return notFound("user", id)
	}
	u.EmailAddresses = slices.Clone(u.EmailAddresses)
	u.PhoneNumbers = slices.Clone(u.PhoneNumbers)
	change(&u)
	u.ID = id
	var stated time.Time
	u.UpdatedAt, stated = c.advance(id)
	if err := c.publish(clerk.UserUpdated, id, stated, u); err != nil {
		return err
	}
	c.users.put(id, u)
	return nil
}

// SignIn opens a session, which moves last_sign_in_at.
func (c *Instance) SignIn(userID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := clerk.MillisOf(c.now())
	err := c.updateUser(userID, func(u *clerk.User) { u.LastSignInAt, u.LastActiveAt = now, day(now) })
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
	u, ok := c.users.get(id)
	if !ok {
		return notFound("user", id)
	}
	held := c.memberships.in(membershipsOfUser, id)
	for _, s := range c.sessions.in(sessionsOfUser, id) {
		c.sessions.remove(s.ID)
		delete(c.stamps, s.ID)
	}
	c.users.remove(id)
	if err := c.bury(clerk.UserDeleted, "user", id, clerk.DeletedObject{ExternalID: u.ExternalID}); err != nil {
		return err
	}
	return c.endMemberships(held, c.deleted[id], announce)
}

// newUser is a user who has just signed up, without anything to be known by.
func newUser(id string, now clerk.Millis) clerk.User {
	return clerk.User{
		ID:                            id,
		Object:                        "user",
		ImageURL:                      "https://img.clerk.example/" + id,
		EmailAddresses:                []clerk.EmailAddress{},
		PhoneNumbers:                  []clerk.PhoneNumber{},
		Web3Wallets:                   []json.RawMessage{},
		Passkeys:                      []json.RawMessage{},
		ExternalAccounts:              []json.RawMessage{},
		SAMLAccounts:                  []json.RawMessage{},
		EnterpriseAccounts:            []json.RawMessage{},
		PublicMetadata:                empty,
		PrivateMetadata:               empty,
		UnsafeMetadata:                empty,
		VerificationAttemptsRemaining: new(int64(100)),
		LastSignInAt:                  now,
		LastActiveAt:                  day(now),
		CreatedAt:                     now,
		UpdatedAt:                     now,
		DeleteSelfEnabled:             true,
		CreateOrganizationEnabled:     true,
	}
}

func newEmail(id, address string, unverified bool, now clerk.Millis) clerk.EmailAddress {
	return clerk.EmailAddress{
		ID: id, Object: "email_address", EmailAddress: address, LinkedTo: []json.RawMessage{},
		Verification: verification("email_code", unverified), CreatedAt: now, UpdatedAt: now,
	}
}

func newPhone(id, number string, unverified bool, now clerk.Millis) clerk.PhoneNumber {
	return clerk.PhoneNumber{
		ID: id, Object: "phone_number", PhoneNumber: number, LinkedTo: []json.RawMessage{},
		Verification: verification("phone_code", unverified), CreatedAt: now, UpdatedAt: now,
	}
}

// publicUserData is what a membership or an invitation says about a user.
func publicUserData(u clerk.User) clerk.PublicUserData {
	data := clerk.PublicUserData{
		UserID: u.ID, FirstName: u.FirstName, LastName: u.LastName, ImageURL: u.ImageURL, HasImage: u.HasImage,
		Identifier: u.Username, Username: u.Username, Banned: u.Banned, Deprovisioned: u.Deprovisioned,
	}
	if email, ok := u.PrimaryEmail(); ok {
		data.Identifier = new(email.EmailAddress)
	} else if len(u.PhoneNumbers) > 0 {
		data.Identifier = new(u.PhoneNumbers[0].PhoneNumber)
	}
	return data
}

func verification(strategy string, unverified bool) *clerk.Verification {
	v := &clerk.Verification{Object: "verification_otp", Status: "verified", Strategy: strategy, Attempts: new(int64(1))}
	if unverified {
		v.Status = "unverified"
	}
	return v
}

// day is the precision that Clerk gives last_active_at.
func day(at clerk.Millis) clerk.Millis {
	return clerk.MillisOf(at.Time().Truncate(24 * time.Hour))
}
