package clerkinstance

import (
	"fmt"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// The keys of Clerk's own roles.
const (
	AdminRole  = "org:admin"
	MemberRole = "org:member"
)

// CreateOrganization makes an organization whose creator becomes its admin. One
// without a creator ("") has no members.
func (c *Instance) CreateOrganization(creatorID, name, slug string) (resource.Organization, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var creator resource.User
	var members int64
	if creatorID != "" {
		var err error
		if creator, err = c.users.find(creatorID); err != nil {
			return resource.Organization{}, err
		}
		members = 1
	}
	id := c.newID("org_")
	now, stated := c.advance(id)
	o := newOrganization(id, name, slug, creatorID, now)
	o.MembersCount = new(members)
	if err := c.publish(clerk.OrganizationCreated, id, stated, o); err != nil {
		return resource.Organization{}, err
	}
	o.MembersCount = nil
	c.organizations.put(o)
	if creatorID == "" {
		return o, nil
	}
	_, err := c.join(o, creator, AdminRole)
	return o, err
}

func newOrganization(id, name, slug, creatorID string, now clerk.Millis) resource.Organization {
	o := resource.NewOrganization(id, name, now)
	o.Slug, o.CreatedBy, o.MaxAllowedMemberships = resource.OrNull(slug), resource.OrNull(creatorID), 5
	return o
}

// UpdateOrganization changes an organization; what it points to is to be
// replaced, not written through.
func (c *Instance) UpdateOrganization(id string, change func(*resource.Organization)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return update(c, &c.organizations, id, clerk.OrganizationUpdated, change)
}

// DeleteOrganization ends an organization with its memberships and invitations,
// the latter without an event. announce is as in [Instance.DeleteUser].
func (c *Instance) DeleteOrganization(id string, announce bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := c.organizations.find(id)
	if err != nil {
		return err
	}
	held := c.memberships.in(membershipsOfOrganization, id)
	for _, i := range c.invitations.in(invitationsOfOrganization, id) {
		c.invitations.remove(i.ID)
		delete(c.stamps, i.ID)
	}
	c.organizations.remove(id)
	if err := c.bury(clerk.OrganizationDeleted, "organization", id, resource.DeletedObject{Slug: o.Slug}); err != nil {
		return err
	}
	return c.endMemberships(held, c.deleted[id], announce)
}

// Join makes a user a member. One who was a member before gets a
// new membership id.
func (c *Instance) Join(organizationID, userID, roleKey string) (resource.OrganizationMembership, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.joinByID(organizationID, userID, roleKey)
}

func (c *Instance) joinByID(organizationID, userID, roleKey string) (resource.OrganizationMembership, error) {
	o, err := c.organizations.find(organizationID)
	if err != nil {
		return resource.OrganizationMembership{}, err
	}
	u, err := c.users.find(userID)
	if err != nil {
		return resource.OrganizationMembership{}, err
	}
	return c.join(o, u, roleKey)
}

func (c *Instance) join(o resource.Organization, u resource.User, roleKey string) (resource.OrganizationMembership, error) {
	role, err := c.roleByKey(roleKey)
	if err != nil {
		return resource.OrganizationMembership{}, err
	}
	if c.isMember(o.ID, u.ID) {
		return resource.OrganizationMembership{}, fmt.Errorf("joining %s to %s: %w", u.ID, o.ID, ErrMember)
	}
	id := c.newID("orgmem_")
	now, stated := c.advance(id)
	m := resource.NewMembership(id, o, u.Public(), now)
	assign(&m, role)
	if err := c.publish(clerk.OrganizationMembershipCreated, id, stated, m); err != nil {
		return resource.OrganizationMembership{}, err
	}
	c.memberships.put(m)
	return m, nil
}

// isMember looks through whichever is shorter, the organization's members or the
// user's memberships.
func (c *Instance) isMember(organizationID, userID string) bool {
	members := c.memberships.groups[membershipsOfOrganization].rows[organizationID]
	memberships := c.memberships.groups[membershipsOfUser].rows[userID]
	if len(members) < len(memberships) {
		return slices.ContainsFunc(members, func(r *row[resource.OrganizationMembership]) bool { return r.value.PublicUserData.UserID == userID })
	}
	return slices.ContainsFunc(memberships, func(r *row[resource.OrganizationMembership]) bool { return r.value.Organization.ID == organizationID })
}

// UpdateMembership changes the metadata of a membership, or its role by key if
// that is not "".
func (c *Instance) UpdateMembership(id, roleKey string, change func(*resource.OrganizationMembership)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var role *resource.Role
	if roleKey != "" {
		found, err := c.roleByKey(roleKey)
		if err != nil {
			return err
		}
		role = &found
	}
	return update(c, &c.memberships, id, clerk.OrganizationMembershipUpdated, func(m *resource.OrganizationMembership) {
		*m = c.current(*m)
		if role != nil {
			assign(m, *role)
		}
		if change != nil {
			change(m)
		}
	})
}

// Leave ends one membership.
func (c *Instance) Leave(membershipID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.memberships.find(membershipID)
	if err != nil {
		return err
	}
	_, stated := c.advance(membershipID)
	return c.endMemberships([]resource.OrganizationMembership{m}, stated, true)
}

// endMemberships ends memberships at one moment. The event carries the whole
// membership, as it was.
func (c *Instance) endMemberships(held []resource.OrganizationMembership, at time.Time, announce bool) error {
	for _, m := range held {
		last := c.current(m)
		c.memberships.remove(m.ID)
		delete(c.stamps, m.ID)
		c.deleted[m.ID] = at
		if !announce {
			continue
		}
		if err := c.publish(clerk.OrganizationMembershipDeleted, m.ID, at, last); err != nil {
			return err
		}
	}
	return nil
}

// current is a membership with its parents as they are now; a parent that is
// gone stays as it was last told.
func (c *Instance) current(m resource.OrganizationMembership) resource.OrganizationMembership {
	if r, ok := c.organizations.byID[m.Organization.ID]; ok {
		m.Organization = *r.value
	}
	// Of a seeded user whom nothing has touched, it tells the truth already.
	if r, ok := c.users.byID[m.PublicUserData.UserID]; ok && r.value != nil {
		m.PublicUserData = r.value.Public()
	}
	return m
}

// assign gives a membership a role with the permissions it grants now.
func assign(m *resource.OrganizationMembership, role resource.Role) {
	m.Role, m.RoleName = role.Key, role.Name
	m.Permissions = make([]string, len(role.Permissions))
	for i, p := range role.Permissions {
		m.Permissions[i] = p.Key
	}
	slices.Sort(m.Permissions)
}
