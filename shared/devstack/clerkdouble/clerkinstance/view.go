package clerkinstance

import (
	"slices"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// View shows an instance, which stands still until the view is closed.
type View struct{ c *Instance }

// View stops the instance to look at it.
func (c *Instance) View() View {
	c.mu.RLock()
	return View{c}
}

// Close lets the instance go on.
func (v View) Close() { v.c.mu.RUnlock() }

// Users are all of them, as are the lists that follow.
func (v View) Users() List[resource.User] { return v.c.users.whole() }

// Organizations are all of them.
func (v View) Organizations() List[resource.Organization] { return v.c.organizations.whole() }

// Memberships are all of them, each as it was last stated: see [View.Current].
func (v View) Memberships() List[resource.OrganizationMembership] { return v.c.memberships.whole() }

// Roles are all of them.
func (v View) Roles() List[resource.Role] { return v.c.roles.whole() }

// Permissions are all of them.
func (v View) Permissions() List[resource.Permission] { return v.c.permissions.whole() }

// MembershipsOf are those of a user.
func (v View) MembershipsOf(userID string) List[resource.OrganizationMembership] {
	return v.c.memberships.group(membershipsOfUser, userID)
}

// Members are the memberships of an organization.
func (v View) Members(organizationID string) List[resource.OrganizationMembership] {
	return v.c.memberships.group(membershipsOfOrganization, organizationID)
}

// IsMember tells whether a user is in an organization.
func (v View) IsMember(organizationID, userID string) bool {
	return v.c.isMember(organizationID, userID)
}

// Current is a membership with its parents as they are now.
func (v View) Current(m *resource.OrganizationMembership) resource.OrganizationMembership {
	return v.c.current(*m)
}

// Sessions are the open ones of everybody.
func (v View) Sessions() List[Session] { return v.c.sessions.whole() }

// Session finds an open session.
func (v View) Session(id string) (Session, bool) { return v.c.sessions.get(id) }

// Now is the moment on the instance's clock.
func (c *Instance) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

// Presence is who a token is about.
type Presence struct {
	Session Session
	User    resource.User
	// Membership and Role are what the user is in the organization that was asked
	// for, nil without one. Permissions are all of the instance.
	Membership  *resource.OrganizationMembership
	Role        *resource.Role
	Permissions []resource.Permission
}

// Presence finds an open session by its id or, where that is "", the latest one of
// a user, or opens one. organizationID may be "".
func (c *Instance) Presence(userID, sessionID, organizationID string) (Presence, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.sessionFor(userID, sessionID)
	if err != nil {
		return Presence{}, err
	}
	p := Presence{Session: s}
	// A live session has a live user.
	p.User, _ = c.users.get(s.UserID)
	if organizationID == "" {
		return p, nil
	}
	held := c.memberships.in(membershipsOfUser, s.UserID)
	i := slices.IndexFunc(held, func(m resource.OrganizationMembership) bool { return m.Organization.ID == organizationID })
	if i < 0 {
		return Presence{}, notFound("membership of user "+s.UserID+" in organization", organizationID)
	}
	role, err := c.roleByKey(held[i].Role)
	if err != nil {
		return Presence{}, err
	}
	p.Membership, p.Role = new(c.current(held[i])), &role
	for _, permission := range c.permissions.all() {
		p.Permissions = append(p.Permissions, permission)
	}
	return p, nil
}
