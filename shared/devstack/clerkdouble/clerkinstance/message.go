package clerkinstance

import (
	"errors"
	"fmt"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// Objects whose events a mirror acknowledges and does not keep: sessions,
// invitations, and the messages that Clerk sends to people.

// Session is what a user opens by signing in.
type Session struct {
	Object    string         `json:"object"`
	ID        string         `json:"id"`
	UserID    string         `json:"user_id"`
	ClientID  string         `json:"client_id"`
	Actor     *string        `json:"actor"`
	Status    string         `json:"status"`
	ExpireAt  clerk.Millis   `json:"expire_at"`
	AbandonAt clerk.Millis   `json:"abandon_at"`
	CreatedAt clerk.Millis   `json:"created_at"`
	UpdatedAt clerk.Millis   `json:"updated_at"`
	User      *resource.User `json:"user"`
	// ActiveOrganization is an id, "" for none. Events do not tell it.
	ActiveOrganization string `json:"-"`
}

// OpenSession lets a user sign in, in an organization that the user is in, or in
// none ("").
func (c *Instance) OpenSession(userID, activeOrganization string) (Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, err := c.users.find(userID)
	if err != nil {
		return Session{}, err
	}
	return c.openSession(u, activeOrganization)
}

func (c *Instance) openSession(u resource.User, activeOrganization string) (Session, error) {
	id := c.newID("sess_")
	now, stated := c.advance(id)
	s := Session{
		Object: "session", ID: id, UserID: u.ID, ClientID: c.newID("client_"), Status: "active",
		ExpireAt:  clerk.MillisOf(stated.Add(7 * 24 * time.Hour)),
		AbandonAt: clerk.MillisOf(stated.Add(30 * 24 * time.Hour)),
		CreatedAt: now, UpdatedAt: now, ActiveOrganization: activeOrganization,
	}
	c.sessions.put(s)
	told := s
	told.User = &u
	return s, c.publish(clerk.SessionCreated, id, stated, told)
}

// sessionFor finds a live session by its id, or a user's latest, or opens one.
func (c *Instance) sessionFor(userID, sessionID string) (Session, error) {
	if sessionID != "" {
		s, ok := c.sessions.get(sessionID)
		if !ok || userID != "" && s.UserID != userID {
			return Session{}, notFound("session", sessionID)
		}
		return s, nil
	}
	if userID == "" {
		return Session{}, errors.New("no user and no session is named")
	}
	u, err := c.users.find(userID)
	if err != nil {
		return Session{}, err
	}
	if open := c.sessions.in(sessionsOfUser, userID); len(open) > 0 {
		return open[len(open)-1], nil
	}
	return c.openSession(u, "")
}

// SignOut ends a user's oldest session; a user without one is left alone.
func (c *Instance) SignOut(userID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, err := c.users.find(userID)
	if err != nil {
		return err
	}
	open := c.sessions.in(sessionsOfUser, userID)
	if len(open) == 0 {
		return nil
	}
	_, err = c.endSession(open[0], u, "ended", clerk.SessionEnded)
	return err
}

// RevokeSession ends a session from outside.
func (c *Instance) RevokeSession(id string) (Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.sessions.find(id)
	if err != nil {
		return Session{}, err
	}
	// A live session has a live user.
	u, _ := c.users.get(s.UserID)
	return c.endSession(s, u, "revoked", clerk.SessionRevoked)
}

// endSession forgets a live session and tells of it.
func (c *Instance) endSession(s Session, u resource.User, status, eventType string) (Session, error) {
	c.sessions.remove(s.ID)
	var stated time.Time
	s.UpdatedAt, stated = c.advance(s.ID)
	delete(c.stamps, s.ID)
	s.Status = status
	told := s
	told.User = &u
	return s, c.publish(eventType, s.ID, stated, told)
}

// CreateSvixApp gives the instance a Svix app and returns its id, with false if it had one.
func (c *Instance) CreateSvixApp() (app string, made bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.svixApp != "" {
		return c.svixApp, false
	}
	c.svixApp = c.newID("app_")
	return c.svixApp, true
}

// SvixApp is the id of the instance's Svix app, or "".
func (c *Instance) SvixApp() string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.svixApp
}

// sendCodes are the messages with one-time codes that go before a sign-up.
func (c *Instance) sendCodes(u resource.User, stated time.Time) error {
	for _, email := range u.EmailAddresses {
		code := fmt.Sprintf("%06d", c.rng.IntN(1e6))
		id := c.newID("ema_")
		err := c.publish(clerk.EmailCreated, id, stated, map[string]any{
			"object": "email", "id": id, "slug": "verification_code", "from_email_name": "notifications",
			"to_email_address": email.EmailAddress, "email_address_id": email.ID, "user_id": u.ID,
			"subject": code + " is your verification code",
			"body":    "<p>" + code + "</p>", "body_plain": code,
			"status": "queued", "data": map[string]any{"otp_code": code}, "delivered_by_clerk": true,
		})
		if err != nil {
			return err
		}
	}
	for _, phone := range u.PhoneNumbers {
		code := fmt.Sprintf("%06d", c.rng.IntN(1e6))
		id := c.newID("sms_")
		err := c.publish(clerk.SMSCreated, id, stated, map[string]any{
			"object": "sms_message", "id": id, "slug": "verification_code", "from_phone_number": "+15005550006",
			"to_phone_number": phone.PhoneNumber, "phone_number_id": phone.ID, "user_id": u.ID,
			"message": code + " is your verification code.",
			"status":  "queued", "data": map[string]any{"otp_code": code}, "delivered_by_clerk": true,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type invitation struct {
	Object           string                  `json:"object"`
	ID               string                  `json:"id"`
	EmailAddress     string                  `json:"email_address"`
	Role             string                  `json:"role"`
	RoleName         string                  `json:"role_name"`
	OrganizationID   string                  `json:"organization_id"`
	InviterID        string                  `json:"inviter_id"`
	Inviter          resource.PublicUserData `json:"public_inviter_data"`
	Status           string                  `json:"status"`
	UserID           string                  `json:"user_id,omitempty"`
	PublicMetadata   any                     `json:"public_metadata"`
	PrivateMetadata  any                     `json:"private_metadata"`
	URL              string                  `json:"url"`
	ExpiresAt        clerk.Millis            `json:"expires_at"`
	CreatedAt        clerk.Millis            `json:"created_at"`
	UpdatedAt        clerk.Millis            `json:"updated_at"`
	OrganizationData struct {
		ID       string  `json:"id"`
		Name     string  `json:"name"`
		Slug     *string `json:"slug"`
		ImageURL *string `json:"image_url"`
		HasImage bool    `json:"has_image"`
	} `json:"public_organization_data"`
}

// Invite invites an address into an organization and returns the invitation's
// id.
func (c *Instance) Invite(organizationID, inviterID, email, roleKey string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.organizations.find(organizationID)
	if err != nil {
		return "", err
	}
	inviter, err := c.users.find(inviterID)
	if err != nil {
		return "", err
	}
	role, err := c.roleByKey(roleKey)
	if err != nil {
		return "", err
	}
	id := c.newID("orginv_")
	now, stated := c.advance(id)
	i := invitation{
		Object: "organization_invitation", ID: id, EmailAddress: email, Role: role.Key, RoleName: role.Name,
		OrganizationID: o.ID, InviterID: inviterID, Inviter: inviter.Public(), Status: "pending",
		PublicMetadata: resource.Empty, PrivateMetadata: resource.Empty,
		URL:       "https://clerk.example/v1/tickets/accept?ticket=" + c.newID(""),
		ExpiresAt: clerk.MillisOf(stated.Add(30 * 24 * time.Hour)), CreatedAt: now, UpdatedAt: now,
	}
	i.OrganizationData.ID, i.OrganizationData.Name = o.ID, o.Name
	i.OrganizationData.Slug, i.OrganizationData.ImageURL = o.Slug, o.ImageURL
	c.invitations.put(i)
	return id, c.publish(clerk.OrganizationInvitationCreated, id, stated, i)
}

// Accept makes a user a member by an open invitation.
func (c *Instance) Accept(invitationID, userID string) (resource.OrganizationMembership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.invitations.find(invitationID)
	if err != nil {
		return resource.OrganizationMembership{}, err
	}
	m, err := c.joinByID(i.OrganizationID, userID, i.Role)
	if err != nil {
		return resource.OrganizationMembership{}, err
	}
	i.UserID = userID
	return m, c.closeInvitation(i, "accepted", clerk.OrganizationInvitationAccepted)
}

// Revoke takes an open invitation back.
func (c *Instance) Revoke(invitationID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, err := c.invitations.find(invitationID)
	if err != nil {
		return err
	}
	return c.closeInvitation(i, "revoked", clerk.OrganizationInvitationRevoked)
}

func (c *Instance) closeInvitation(i invitation, status, eventType string) error {
	c.invitations.remove(i.ID)
	var stated time.Time
	i.UpdatedAt, stated = c.advance(i.ID)
	delete(c.stamps, i.ID)
	i.Status = status
	return c.publish(eventType, i.ID, stated, i)
}
