package clerkdouble

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

type userRow = row[resource.User]

var userColumns = []string{
	"created_at", "updated_at", "email_address", "web3wallet", "first_name", "last_name", "phone_number", "username",
	"last_active_at", "last_sign_in_at",
}

func (a *API) listUsers(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	p, fail := q.page(userColumns...)
	if fail != nil {
		return nil, fail
	}
	if fail := q.startingAfter(&p); fail != nil {
		return nil, fail
	}
	rows, fail := c.selectUsers(q)
	if fail != nil {
		return nil, fail
	}
	var after *userRow
	if p.after != "" {
		// Also the id of somebody who was there when the last page was read.
		if after = c.users.byID[p.after]; after == nil {
			return nil, unprocessable("form_resource_not_found", "is missing", "starting_after", "names no user")
		}
	}
	if p.orderBy != "created_at" {
		rows = ordered(rows, func(r *userRow) sortKey { return c.userKey(r, p.orderBy) })
	}
	b = append(b, '[')
	for i, r := range cut(rows, p, after) {
		b = appendUser(comma(b, i), c.users.valueOf(r))
	}
	return append(b, ']'), nil
}

func (a *API) countUsers(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	rows, fail := c.selectUsers(q)
	if fail != nil {
		return nil, fail
	}
	b = strconv.AppendInt(append(b, `{"object":"total_count","total_count":`...), int64(len(rows)), 10)
	return append(b, '}'), nil
}

func (a *API) readUser(q *query, b []byte) ([]byte, *failure) {
	c := a.instance
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.users.byID[q.path("user_id")]
	if !ok {
		return nil, notThere("user", q.path("user_id"))
	}
	return appendUser(b, c.users.valueOf(r)), nil
}

// selectUsers are the users that a query's filters leave, in the table's order.
func (c *Instance) selectUsers(q *query) ([]*userRow, *failure) {
	after, until, fail := q.span("created_at")
	if fail != nil {
		return nil, fail
	}
	ids, fail := q.choice("user_id")
	if fail != nil {
		return nil, fail
	}
	organizations, fail := q.choice("organization_id")
	if fail != nil {
		return nil, fail
	}
	tests, fail := c.userTests(q)
	if fail != nil {
		return nil, fail
	}
	if ids.without != nil {
		tests = append(tests, func(r *userRow) bool { return !ids.without[r.id] })
	}
	for id := range organizations.without {
		members := c.members(map[string]bool{id: true})
		tests = append(tests, func(r *userRow) bool { return !members[r.id] })
	}

	rows := c.users.sorted
	switch {
	case ids.with != nil:
		rows = c.usersByID(ids.with)
		if organizations.with != nil {
			members := c.members(organizations.with)
			tests = append(tests, func(r *userRow) bool { return members[r.id] })
		}
	case organizations.with != nil:
		rows = c.usersByID(c.members(organizations.with))
	}
	return filtered(between(rows, after, until), tests), nil
}

// usersByID leaves out the ids that there is nobody for.
func (c *Instance) usersByID(ids map[string]bool) []*userRow {
	rows := make([]*userRow, 0, len(ids))
	for id := range maps.Keys(ids) {
		if r, ok := c.users.byID[id]; ok {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, before)
	return rows
}

// members are the ids of all users who are in any of the organizations.
func (c *Instance) members(organizations map[string]bool) map[string]bool {
	members := map[string]bool{}
	for id := range organizations {
		for _, m := range c.memberships.groups[membershipsOfOrganization].rows[id] {
			members[m.value.PublicUserData.UserID] = true
		}
	}
	return members
}

// userTests are the filters that have to look at every user.
func (c *Instance) userTests(q *query) (tests []func(*userRow) bool, fail *failure) {
	add := func(passes func(*resource.User) bool) {
		tests = append(tests, func(r *userRow) bool { return passes(c.users.valueOf(r)) })
	}
	external, fail := q.choice("external_id")
	if fail != nil {
		return nil, fail
	}
	if !external.empty() {
		add(func(u *resource.User) bool { return external.allows(orEmpty(u.ExternalID)) })
	}
	for _, identifier := range []struct {
		name string
		of   func(*resource.User) []string
	}{
		{"email_address", emails},
		{"phone_number", phones},
		{"username", func(u *resource.User) []string { return []string{orEmpty(u.Username)} }},
		// Nobody has these here.
		{"web3_wallet", noIdentifiers},
		{"provider_user_id", noIdentifiers},
	} {
		wanted, fail := q.list(identifier.name)
		if fail != nil {
			return nil, fail
		}
		if len(wanted) > 0 {
			add(func(u *resource.User) bool {
				return slices.ContainsFunc(identifier.of(u), func(s string) bool { return s != "" && slices.Contains(wanted, s) })
			})
		}
	}
	for _, search := range []struct {
		name string
		in   func(*resource.User) []string
	}{
		{"email_address_query", emails},
		{"phone_number_query", phones},
		{"username_query", func(u *resource.User) []string { return []string{orEmpty(u.Username)} }},
		{"name_query", names},
		{"query", func(u *resource.User) []string {
			return slices.Concat(emails(u), phones(u), names(u), []string{orEmpty(u.Username), u.ID})
		}},
	} {
		if wanted := strings.ToLower(q.values.Get(search.name)); wanted != "" {
			add(func(u *resource.User) bool {
				return slices.ContainsFunc(search.in(u), func(s string) bool { return strings.Contains(strings.ToLower(s), wanted) })
			})
		}
	}
	banned, fail := q.flag("banned")
	if fail != nil {
		return nil, fail
	}
	if banned != nil {
		add(func(u *resource.User) bool { return u.Banned == *banned })
	}
	for name, moment := range map[string]func(*resource.User) clerk.Millis{
		"last_active_at":  func(u *resource.User) clerk.Millis { return u.LastActiveAt },
		"last_sign_in_at": func(u *resource.User) clerk.Millis { return u.LastSignInAt },
	} {
		after, until, fail := q.span(name)
		if fail != nil {
			return nil, fail
		}
		if after != nil {
			add(func(u *resource.User) bool { return moment(u) > *after })
		}
		if until != nil {
			add(func(u *resource.User) bool { return moment(u) < *until })
		}
	}
	return tests, nil
}

func emails(u *resource.User) []string {
	list := make([]string, len(u.EmailAddresses))
	for i, e := range u.EmailAddresses {
		list[i] = e.EmailAddress
	}
	return list
}

func phones(u *resource.User) []string {
	list := make([]string, len(u.PhoneNumbers))
	for i, p := range u.PhoneNumbers {
		list[i] = p.PhoneNumber
	}
	return list
}

func names(u *resource.User) []string { return []string{orEmpty(u.FirstName), orEmpty(u.LastName)} }

func noIdentifiers(*resource.User) []string { return nil }

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// userKey is what a user has in a column.
func (c *Instance) userKey(r *userRow, column string) sortKey {
	switch column {
	case "created_at":
		return numberKey(int64(r.created))
	case "updated_at":
		return numberKey(int64(r.updated))
	}
	u := c.users.valueOf(r)
	switch column {
	case "email_address":
		if email, ok := u.PrimaryEmail(); ok {
			return textKey(&email.EmailAddress)
		}
	case "phone_number":
		if len(u.PhoneNumbers) > 0 {
			return textKey(&u.PhoneNumbers[0].PhoneNumber)
		}
	case "first_name":
		return textKey(u.FirstName)
	case "last_name":
		return textKey(u.LastName)
	case "username":
		return textKey(u.Username)
	case "last_active_at":
		return numberKey(int64(u.LastActiveAt))
	case "last_sign_in_at":
		return numberKey(int64(u.LastSignInAt))
	}
	return sortKey{}
}
