package clerkdouble

import (
	"encoding/json"
	"slices"
	"strings"

	"clerksync/shared/devstack/clerkdouble/resource"
)

type (
	organizationRow = row[resource.Organization]
	membershipRow   = row[resource.OrganizationMembership]
)

var memberColumns = []string{"created_at", "phone_number", "email_address", "first_name", "last_name", "username"}

func (a *API) listOrganizations(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, fail := q.page("created_at", "name", "members_count")
	if fail != nil {
		return nil, fail
	}
	counted, fail := q.flag("include_members_count")
	if fail != nil {
		return nil, fail
	}
	var tests []func(*organizationRow) bool
	ids, fail := q.choice("organization_id")
	if fail != nil {
		return nil, fail
	}
	if !ids.empty() {
		tests = append(tests, func(r *organizationRow) bool { return ids.allows(r.id) })
	}
	users, fail := q.choice("user_id")
	if fail != nil {
		return nil, fail
	}
	if users.with != nil {
		joined := c.organizationsOf(users.with)
		tests = append(tests, func(r *organizationRow) bool { return joined[r.id] })
	}
	if users.without != nil {
		joined := c.organizationsOf(users.without)
		tests = append(tests, func(r *organizationRow) bool { return !joined[r.id] })
	}
	if wanted := q.values.Get("query"); wanted != "" {
		lower := strings.ToLower(wanted)
		tests = append(tests, func(r *organizationRow) bool {
			return r.id == wanted || strings.Contains(strings.ToLower(r.value.Name), lower) ||
				strings.Contains(strings.ToLower(orEmpty(r.value.Slug)), lower)
		})
	}

	rows := filtered(c.organizations.sorted, tests)
	switch p.orderBy {
	case "name":
		rows = ordered(rows, func(r *organizationRow) sortKey { return textKey(&r.value.Name) })
	case "members_count":
		rows = ordered(rows, func(r *organizationRow) sortKey { return sortKey{is: true, number: *c.membersCount(r.id)} })
	}
	return appendList(b, cut(rows, p, nil), len(rows), func(b []byte, r *organizationRow) []byte {
		return c.appendOrganization(b, r, counted)
	}), nil
}

// appendOrganization writes an organization, with the number of its members if
// that was asked for.
func (c *Instance) appendOrganization(b []byte, r *organizationRow, counted *bool) []byte {
	if counted != nil && *counted {
		return appendOrganization(b, r.value, c.membersCount(r.id))
	}
	return appendOrganization(b, r.value, nil)
}

func (c *Instance) membersCount(organizationID string) *int64 {
	return new(int64(len(c.memberships.groups[membershipsOfOrganization].rows[organizationID])))
}

// organizationsOf are the ids of all organizations that any of the users is in.
func (c *Instance) organizationsOf(users map[string]bool) map[string]bool {
	joined := map[string]bool{}
	for id := range users {
		for _, m := range c.memberships.groups[membershipsOfUser].rows[id] {
			joined[m.value.Organization.ID] = true
		}
	}
	return joined
}

// organization finds an organization by the id or slug in a path.
func (c *Instance) organization(q *query) (*organizationRow, *failure) {
	given := q.path("organization_id")
	if r, ok := c.organizations.byID[given]; ok {
		return r, nil
	}
	for _, r := range c.organizations.sorted {
		if orEmpty(r.value.Slug) == given {
			return r, nil
		}
	}
	return nil, notThere("organization", given)
}

func (a *API) readOrganization(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	counted, fail := q.flag("include_members_count")
	if fail != nil {
		return nil, fail
	}
	r, fail := c.organization(q)
	if fail != nil {
		return nil, fail
	}
	return c.appendOrganization(b, r, counted), nil
}

// listMembers lists one organization's memberships.
func (a *API) listMembers(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, fail := q.page(memberColumns...)
	if fail != nil {
		return nil, fail
	}
	organization, fail := c.organization(q)
	if fail != nil {
		return nil, fail
	}
	var tests []func(*membershipRow) bool
	users, fail := q.choice("user_id")
	if fail != nil {
		return nil, fail
	}
	if !users.empty() {
		tests = append(tests, func(r *membershipRow) bool { return users.allows(r.value.PublicUserData.UserID) })
	}
	roles, fail := q.list("role")
	if fail != nil {
		return nil, fail
	}
	if len(roles) > 0 {
		tests = append(tests, func(r *membershipRow) bool { return slices.Contains(roles, r.value.Role) })
	}
	after, until, fail := q.span("created_at")
	if fail != nil {
		return nil, fail
	}
	rows := c.memberships.groups[membershipsOfOrganization].rows[organization.id]
	return c.appendMemberships(b, filtered(between(rows, after, until), tests), p), nil
}

// listMemberships lists those of the whole instance, which has no filters.
func (a *API) listMemberships(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, fail := q.page(memberColumns...)
	if fail != nil {
		return nil, fail
	}
	return c.appendMemberships(b, c.memberships.sorted, p), nil
}

func (a *API) listUserMemberships(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	// It has no order_by either; created_at is what page would choose.
	q.values.Del("order_by")
	p, fail := q.page()
	if fail != nil {
		return nil, fail
	}
	id := q.path("user_id")
	if _, ok := c.users.byID[id]; !ok {
		return nil, notThere("user", id)
	}
	return c.appendMemberships(b, c.memberships.groups[membershipsOfUser].rows[id], p), nil
}

// appendMemberships writes a page of memberships, each with its parents as they
// are now. A parent that is gone has taken its memberships with it.
func (c *Instance) appendMemberships(b []byte, rows []*membershipRow, p page) []byte {
	if p.orderBy != "created_at" {
		rows = ordered(rows, func(r *membershipRow) sortKey {
			return c.userKey(c.users.byID[r.value.PublicUserData.UserID], p.orderBy)
		})
	}
	return appendList(b, cut(rows, p, nil), len(rows), func(b []byte, r *membershipRow) []byte {
		m := r.value
		organization := c.organizations.byID[m.Organization.ID].value
		// Of a seeded user nobody has touched, it tells the truth already.
		public := m.PublicUserData
		if user := c.users.byID[public.UserID]; user.value != nil {
			public = user.value.Public()
		}
		return appendMembership(b, m, organization, public)
	})
}

func (a *API) listRoles(q *query, b []byte) ([]byte, *failure) {
	a.instance.mu.RLock()
	defer a.instance.mu.RUnlock()
	return listKeyed(q, b, a.instance.roles.sorted, func(r *resource.Role) (id, name, key string) { return r.ID, r.Name, r.Key })
}

func (a *API) listPermissions(q *query, b []byte) ([]byte, *failure) {
	a.instance.mu.RLock()
	defer a.instance.mu.RUnlock()
	return listKeyed(q, b, a.instance.permissions.sorted, func(p *resource.Permission) (id, name, key string) { return p.ID, p.Name, p.Key })
}

// listKeyed lists what has a name and a key, of which there are few.
func listKeyed[T any](q *query, b []byte, rows []*row[T], known func(*T) (id, name, key string)) ([]byte, *failure) {
	p, fail := q.page("created_at", "name", "key")
	if fail != nil {
		return nil, fail
	}
	if wanted := q.values.Get("query"); wanted != "" {
		lower := strings.ToLower(wanted)
		rows = filtered(rows, []func(*row[T]) bool{func(r *row[T]) bool {
			id, name, key := known(r.value)
			return id == wanted || strings.Contains(strings.ToLower(name), lower) || strings.Contains(strings.ToLower(key), lower)
		}})
	}
	switch p.orderBy {
	case "name":
		rows = ordered(rows, func(r *row[T]) sortKey { _, name, _ := known(r.value); return textKey(&name) })
	case "key":
		rows = ordered(rows, func(r *row[T]) sortKey { _, _, key := known(r.value); return textKey(&key) })
	}
	return appendList(b, cut(rows, p, nil), len(rows), func(b []byte, r *row[T]) []byte {
		// What was published before it was put has a JSON form.
		encoded, _ := json.Marshal(r.value)
		return append(b, encoded...)
	}), nil
}
