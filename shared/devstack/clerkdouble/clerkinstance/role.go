package clerkinstance

import (
	"fmt"
	"slices"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// systemPermissions are Clerk's own, and whether a plain member has them.
var systemPermissions = []struct {
	key    string
	member bool
}{
	{"org:sys_profile:manage", false},
	{"org:sys_profile:delete", false},
	{"org:sys_memberships:read", true},
	{"org:sys_memberships:manage", false},
	{"org:sys_domains:read", true},
	{"org:sys_domains:manage", false},
	{"org:sys_billing:read", true},
	{"org:sys_billing:manage", false},
	{"org:sys_entconns:manage", false},
}

func (c *Instance) addSystemRoles() {
	var all, some []resource.Permission
	for _, p := range systemPermissions {
		// Nothing that is given here can fail to encode.
		permission, _ := c.createPermission(p.key, p.key, "system")
		all = append(all, permission)
		if p.member {
			some = append(some, permission)
		}
	}
	_, _ = c.createRole(AdminRole, "Admin", true, all)
	_, _ = c.createRole(MemberRole, "Member", false, some)
}

// CreatePermission makes a permission with a key such as "org:invoices:approve".
func (c *Instance) CreatePermission(key, name string) (resource.Permission, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createPermission(key, name, "user")
}

func (c *Instance) createPermission(key, name, kind string) (resource.Permission, error) {
	id := c.newID("perm_")
	now, stated := c.advance(id)
	p := resource.Permission{
		ID: id, Object: "permission", Name: name, Key: key, Description: "Made by the Clerk double", Type: kind,
		CreatedAt: now, UpdatedAt: now,
	}
	c.permissions.put(p)
	return p, c.publish(clerk.PermissionCreated, id, stated, p)
}

// UpdatePermission changes a permission, everywhere it is granted.
func (c *Instance) UpdatePermission(id string, change func(*resource.Permission)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := update(c, &c.permissions, id, clerk.PermissionUpdated, change); err != nil {
		return err
	}
	p, _ := c.permissions.get(id)
	for _, role := range c.roles.all() {
		role.Permissions = slices.Clone(role.Permissions)
		for i := range role.Permissions {
			if role.Permissions[i].ID == id {
				role.Permissions[i] = p
			}
		}
		c.roles.put(role)
	}
	return nil
}

// DeletePermission takes a permission from every role that grants it and ends it.
func (c *Instance) DeletePermission(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.permissions.get(id); !ok {
		return notFound("permission", id)
	}
	isIt := func(p resource.Permission) bool { return p.ID == id }
	for roleID, role := range c.roles.all() {
		if !slices.ContainsFunc(role.Permissions, isIt) {
			continue
		}
		if err := c.updateRole(roleID, func(r *resource.Role) { r.Permissions = slices.DeleteFunc(r.Permissions, isIt) }); err != nil {
			return err
		}
	}
	c.permissions.remove(id)
	return c.bury(clerk.PermissionDeleted, "permission", id, resource.DeletedObject{})
}

// CreateRole makes a role with a key such as "org:treasurer".
func (c *Instance) CreateRole(key, name string, permissions ...resource.Permission) (resource.Role, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createRole(key, name, false, permissions)
}

func (c *Instance) createRole(key, name string, creator bool, permissions []resource.Permission) (resource.Role, error) {
	id := c.newID("role_")
	now, stated := c.advance(id)
	r := resource.Role{
		ID: id, Object: "role", Name: name, Key: key, IsCreatorEligible: creator,
		Permissions: append([]resource.Permission{}, permissions...), CreatedAt: now, UpdatedAt: now,
	}
	c.roles.put(r)
	return r, c.publish(clerk.RoleCreated, id, stated, r)
}

// UpdateRole changes a role. Its members' memberships keep the permissions they
// were last stated with, and no event is sent about them: Clerk promises none.
func (c *Instance) UpdateRole(id string, change func(*resource.Role)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.updateRole(id, change)
}

func (c *Instance) updateRole(id string, change func(*resource.Role)) error {
	return update(c, &c.roles, id, clerk.RoleUpdated, func(r *resource.Role) {
		r.Permissions = slices.Clone(r.Permissions)
		change(r)
	})
}

// DeleteRole ends a role that no membership has.
func (c *Instance) DeleteRole(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, err := c.roles.find(id)
	if err != nil {
		return err
	}
	if held := c.memberships.groups[membershipsOfRole].rows[r.Key]; len(held) > 0 {
		return fmt.Errorf("deleting role %s: %w by membership %s", r.Key, ErrInUse, held[0].id)
	}
	c.roles.remove(id)
	return c.bury(clerk.RoleDeleted, "role", id, resource.DeletedObject{})
}

func (c *Instance) roleByKey(key string) (resource.Role, error) {
	for _, r := range c.roles.all() {
		if r.Key == key {
			return r, nil
		}
	}
	return resource.Role{}, notFound("role", key)
}
