package backendapi

import (
	"slices"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

type (
	user     = resource.User
	userList = clerkinstance.List[user]
	// userRow is a user who costs nothing before the value is asked for.
	userRow = clerkinstance.Row[user]
)

var userColumns = []string{
	"created_at", "updated_at", "email_address", "web3wallet", "first_name", "last_name", "phone_number", "username",
	"last_active_at", "last_sign_in_at",
}

func listUsers(v clerkinstance.View, q *query, b []byte) []byte {
	p := q.page(userColumns...)
	q.startingAfter(&p)
	found := selectUsers(v, q)
	if q.failure != nil {
		return nil
	}
	if p.orderBy != "created_at" {
		found = found.By(func(r userRow) clerkinstance.Key { return userKey(r, p.orderBy) })
	}
	if p.after != "" {
		// Also the id of a user who does not pass the filters.
		after, ok := found.Find(p.after)
		if !ok {
			return q.refuse(unprocessable("form_resource_not_found", "is missing", "starting_after", "names no user"))
		}
		found = found.Behind(after, p.descending)
	}
	return appendPage(b, found, p, userRow.Value)
}

func countUsers(v clerkinstance.View, q *query, b []byte) []byte {
	found := selectUsers(v, q)
	return resource.Append(b, &struct {
		Object string `json:"object"`
		Total  int    `json:"total_count"`
	}{"total_count", found.Len()})
}

func readUser(v clerkinstance.View, q *query, b []byte) []byte {
	r, ok := v.Users().Find(q.path("user_id"))
	if !ok {
		return q.refuse(notThere("user", q.path("user_id")))
	}
	return resource.Append(b, r.Value())
}

// selectUsers are the users that a query's filters leave, in the table's order.
func selectUsers(v clerkinstance.View, q *query) userList {
	after, until := q.span("created_at")
	ids, organizations := q.choice("user_id"), q.choice("organization_id")
	tests := userTests(q)
	if q.failure != nil {
		return v.Users()
	}
	if ids.without != nil {
		tests = append(tests, func(r userRow) bool { return !ids.without[r.ID()] })
	}
	for id := range organizations.without {
		members := membersOf(v, map[string]bool{id: true})
		tests = append(tests, func(r userRow) bool { return !members[r.ID()] })
	}
	found := v.Users()
	switch members := membersOf(v, organizations.with); {
	case ids.with != nil:
		found = found.Of(ids.with)
		if organizations.with != nil {
			tests = append(tests, func(r userRow) bool { return members[r.ID()] })
		}
	case organizations.with != nil:
		found = found.Of(members)
	}
	return found.Made(after, until).Where(tests...)
}

// membersOf are the ids of all users who are in any of the organizations.
func membersOf(v clerkinstance.View, organizations map[string]bool) map[string]bool {
	members := map[string]bool{}
	for id := range organizations {
		for m := range v.Members(id).All() {
			members[m.Value().PublicUserData.UserID] = true
		}
	}
	return members
}

// userTests are the filters that have to look at every user.
func userTests(q *query) (tests []func(userRow) bool) {
	add := func(passes func(*user) bool) {
		tests = append(tests, func(r userRow) bool { return passes(r.Value()) })
	}
	if external := q.choice("external_id"); !external.empty() {
		add(func(u *user) bool { return external.allows(orEmpty(u.ExternalID)) })
	}
	for name, of := range map[string]func(*user) []string{
		"email_address": emails, "phone_number": phones, "username": username,
		// No user has these here.
		"web3_wallet": none, "provider_user_id": none,
	} {
		if wanted := q.list(name); len(wanted) > 0 {
			add(func(u *user) bool {
				return slices.ContainsFunc(of(u), func(s string) bool { return s != "" && slices.Contains(wanted, s) })
			})
		}
	}
	for name, in := range map[string]func(*user) []string{
		"email_address_query": emails, "phone_number_query": phones, "username_query": username, "name_query": names,
		"query": func(u *user) []string {
			return slices.Concat(emails(u), phones(u), names(u), username(u), []string{u.ID})
		},
	} {
		if wanted := q.values.Get(name); wanted != "" {
			add(func(u *user) bool { return mentioned(wanted, in(u)...) })
		}
	}
	if banned := q.flag("banned"); banned != nil {
		add(func(u *user) bool { return u.Banned == *banned })
	}
	for name, moment := range map[string]func(*user) clerk.Millis{
		"last_active_at":  func(u *user) clerk.Millis { return u.LastActiveAt },
		"last_sign_in_at": func(u *user) clerk.Millis { return u.LastSignInAt },
	} {
		if after, until := q.span(name); after != nil || until != nil {
			add(func(u *user) bool {
				return (after == nil || moment(u) > *after) && (until == nil || moment(u) < *until)
			})
		}
	}
	return tests
}

func emails(u *user) []string {
	list := make([]string, len(u.EmailAddresses))
	for i, e := range u.EmailAddresses {
		list[i] = e.EmailAddress
	}
	return list
}

func phones(u *user) []string {
	list := make([]string, len(u.PhoneNumbers))
	for i, p := range u.PhoneNumbers {
		list[i] = p.PhoneNumber
	}
	return list
}

func username(u *user) []string { return []string{orEmpty(u.Username)} }

func names(u *user) []string { return []string{orEmpty(u.FirstName), orEmpty(u.LastName)} }

func none(*user) []string { return nil }

// userKey is what a user has in a column.
func userKey(r userRow, column string) clerkinstance.Key {
	switch column {
	case "created_at":
		return clerkinstance.TimeKey(r.CreatedAt())
	case "updated_at":
		return clerkinstance.TimeKey(r.UpdatedAt())
	}
	u := r.Value()
	switch column {
	case "email_address":
		if email, ok := u.PrimaryEmail(); ok {
			return clerkinstance.TextKey(&email.EmailAddress)
		}
	case "phone_number":
		if len(u.PhoneNumbers) > 0 {
			return clerkinstance.TextKey(&u.PhoneNumbers[0].PhoneNumber)
		}
	case "first_name":
		return clerkinstance.TextKey(u.FirstName)
	case "last_name":
		return clerkinstance.TextKey(u.LastName)
	case "username":
		return clerkinstance.TextKey(u.Username)
	case "last_active_at":
		return clerkinstance.TimeKey(u.LastActiveAt)
	case "last_sign_in_at":
		return clerkinstance.TimeKey(u.LastSignInAt)
	}
	return clerkinstance.Key{}
}
