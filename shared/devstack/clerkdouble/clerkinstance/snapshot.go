package clerkinstance

import (
	"iter"
	"maps"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// Snapshot is the state of an instance at one moment. The maps are the
// caller's own, what they hold is shared and must not be written to.
type Snapshot struct {
	InstanceID string

	// What lives, by id. A membership holds the permissions and the parents as
	// they were last stated about it; the role says what it grants now.
	Users         map[string]resource.User
	Organizations map[string]resource.Organization
	Memberships   map[string]resource.OrganizationMembership
	Roles         map[string]resource.Role
	Permissions   map[string]resource.Permission

	// Deleted maps the ids of all kinds to the stated moment of their end.
	Deleted map[string]time.Time
}

// Snapshot returns the state now.
func (c *Instance) Snapshot() Snapshot {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Snapshot{
		InstanceID:    c.id,
		Users:         c.users.copy(),
		Organizations: c.organizations.copy(),
		Memberships:   c.memberships.copy(),
		Roles:         c.roles.copy(),
		Permissions:   c.permissions.copy(),
		Deleted:       maps.Clone(c.deleted),
	}
}

// IDs are those of all that lives.
func (s Snapshot) IDs() map[string]bool {
	ids := map[string]bool{}
	for _, live := range []iter.Seq[string]{
		maps.Keys(s.Users), maps.Keys(s.Organizations), maps.Keys(s.Memberships), maps.Keys(s.Roles), maps.Keys(s.Permissions),
	} {
		for id := range live {
			ids[id] = true
		}
	}
	return ids
}

// events counts the events so far.
func (c *Instance) events() int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.published
}
