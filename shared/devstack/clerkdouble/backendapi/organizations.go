package backendapi

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

type (
	organization    = resource.Organization
	organizationRow = clerkinstance.Row[organization]
	membership      = resource.OrganizationMembership
	membershipList  = clerkinstance.List[membership]
	membershipRow   = clerkinstance.Row[membership]
)

var memberColumns = []string{"created_at", "phone_number", "email_address", "first_name", "last_name", "username"}

func listOrganizations(v clerkinstance.View, q *query, b []byte) []byte {
	p := q.page("created_at", "name", "members_count")
	counted := q.flag("include_members_count")
	ids, users := q.choice("organization_id"), q.choice("user_id")
	if q.failure != nil {
		return nil
	}
	var tests []func(organizationRow) bool
	if !ids.empty() {
		tests = append(tests, func(r organizationRow) bool { return ids.allows(r.ID()) })
	}
	if !users.empty() {
		joined := choice{organizationsOf(v, users.with), organizationsOf(v, users.without)}
		tests = append(tests, func(r organizationRow) bool { return joined.allows(r.ID()) })
	}
	if wanted := q.values.Get("query"); wanted != "" {
		tests = append(tests, func(r organizationRow) bool {
			return r.ID() == wanted || mentioned(wanted, r.Value().Name, orEmpty(r.Value().Slug))
		})
	}

	found := v.Organizations().Where(tests...)
	switch p.orderBy {
	case "name":
		found = found.By(func(r organizationRow) clerkinstance.Key { return clerkinstance.TextKey(&r.Value().Name) })
	case "members_count":
		found = found.By(func(r organizationRow) clerkinstance.Key {
			return clerkinstance.NumberKey(int64(v.Members(r.ID()).Len()))
		})
	}
	return appendList(b, found, p, func(r organizationRow) *organization { return withCount(v, r, counted) })
}

// withCount is an organization, with the number of its members if that was asked
// for.
func withCount(v clerkinstance.View, r organizationRow, counted *bool) *organization {
	if counted == nil || !*counted {
		return r.Value()
	}
	o := *r.Value()
	o.MembersCount = new(int64(v.Members(o.ID).Len()))
	return &o
}

// organizationsOf are the ids of all organizations that any of the users is in,
// nil for no users.
func organizationsOf(v clerkinstance.View, users map[string]bool) map[string]bool {
	if users == nil {
		return nil
	}
	joined := map[string]bool{}
	for id := range users {
		for m := range v.MembershipsOf(id).All() {
			joined[m.Value().Organization.ID] = true
		}
	}
	return joined
}

// findOrganization finds one by the id or slug in a path.
func findOrganization(v clerkinstance.View, q *query) (organizationRow, bool) {
	given := q.path("organization_id")
	if r, ok := v.Organizations().Find(given); ok {
		return r, true
	}
	for r := range v.Organizations().All() {
		if orEmpty(r.Value().Slug) == given {
			return r, true
		}
	}
	q.refuse(notThere("organization", given))
	return organizationRow{}, false
}

func readOrganization(v clerkinstance.View, q *query, b []byte) []byte {
	counted := q.flag("include_members_count")
	r, ok := findOrganization(v, q)
	if !ok {
		return nil
	}
	return resource.Append(b, withCount(v, r, counted))
}

const maxNameLength = 256

var slugPattern = regexp.MustCompile(`^[a-z0-9-]+$`)

// createOrganization makes an organization, whose creator becomes its admin. Without a creator it has no members. By which
// codes Clerk refuses a slug or a creator is not published.
func (a *API) createOrganization(q *query, b []byte) []byte {
	name, slug, creator := q.text("name"), q.text("slug"), q.text("created_by")
	switch {
	case strings.TrimSpace(name) == "":
		q.refuse(unprocessable("form_param_missing", "is missing", "name", "must be included."))
	case utf8.RuneCountInString(name) > maxNameLength:
		q.refuse(unprocessable("form_param_max_length_exceeded", "exceeds maximum length", "name", fmt.Sprintf("should not exceed %d characters.", maxNameLength)))
	case strings.ContainsAny(name, "<>") || strings.Contains(name, "://"):
		q.refuse(unprocessable("form_param_value_invalid", "is invalid", "name", "may not contain URLs or HTML."))
	case slug != "" && !slugPattern.MatchString(slug):
		q.refuse(unprocessable("form_param_format_invalid", "is invalid", "slug", "can only contain lowercase letters, digits and dashes."))
	}
	if q.failure != nil {
		return nil
	}
	if slug != "" && a.slugTaken(slug) {
		return q.refuse(unprocessable("form_identifier_exists", "already exists", "slug", "is taken. Please try another."))
	}
	o, err := a.instance.CreateOrganization(creator, name, slug)
	if errors.Is(err, clerkinstance.ErrNotFound) {
		return q.refuse(unprocessable("form_param_value_invalid", "is invalid", "created_by", "is not a user of this instance."))
	}
	if err != nil {
		return q.refuse(broken(err))
	}
	return resource.Append(b, &o)
}

func (a *API) slugTaken(slug string) bool {
	v := a.instance.View()
	defer v.Close()
	for r := range v.Organizations().All() {
		if orEmpty(r.Value().Slug) == slug {
			return true
		}
	}
	return false
}

// deleteOrganization deletes an organization, by its id alone, with everything in it.
func (a *API) deleteOrganization(q *query, b []byte) []byte {
	gone := resource.DeletedObject{ID: q.path("organization_id"), Object: "organization", Deleted: true}
	v := a.instance.View()
	if r, ok := v.Organizations().Find(gone.ID); ok {
		gone.Slug = r.Value().Slug
	}
	v.Close()
	if err := a.instance.DeleteOrganization(gone.ID, true); err != nil {
		return q.refuse(failureOf(err, "organization", gone.ID))
	}
	return resource.Append(b, &gone)
}

// listMembers lists one organization's memberships.
func listMembers(v clerkinstance.View, q *query, b []byte) []byte {
	p := q.page(memberColumns...)
	organization, ok := findOrganization(v, q)
	users, roles := q.choice("user_id"), q.list("role")
	after, until := q.span("created_at")
	if !ok || q.failure != nil {
		return nil
	}
	var tests []func(membershipRow) bool
	if !users.empty() {
		tests = append(tests, func(r membershipRow) bool { return users.allows(r.Value().PublicUserData.UserID) })
	}
	if len(roles) > 0 {
		tests = append(tests, func(r membershipRow) bool { return slices.Contains(roles, r.Value().Role) })
	}
	return appendMemberships(b, v, v.Members(organization.ID()).Made(after, until).Where(tests...), p)
}

// listMemberships lists those of the whole instance, which has no filters.
func listMemberships(v clerkinstance.View, q *query, b []byte) []byte {
	return appendMemberships(b, v, v.Memberships(), q.page(memberColumns...))
}

func listUserMemberships(v clerkinstance.View, q *query, b []byte) []byte {
	// It has no order_by either; created_at is what page would choose.
	q.values.Del("order_by")
	p := q.page()
	id := q.path("user_id")
	if _, ok := v.Users().Find(id); !ok {
		return q.refuse(notThere("user", id))
	}
	return appendMemberships(b, v, v.MembershipsOf(id), p)
}

// appendMemberships writes a page of memberships, each with its parents as they
// are now. A parent that is gone has taken its memberships with it.
func appendMemberships(b []byte, v clerkinstance.View, found membershipList, p page) []byte {
	if p.orderBy != "created_at" {
		found = found.By(func(r membershipRow) clerkinstance.Key {
			u, _ := v.Users().Find(r.Value().PublicUserData.UserID)
			return userKey(u, p.orderBy)
		})
	}
	var current membership
	return appendList(b, found, p, func(r membershipRow) *membership {
		current = v.Current(r.Value())
		return &current
	})
}

func listRoles(v clerkinstance.View, q *query, b []byte) []byte {
	return listKeyed(b, q, v.Roles(), func(r *resource.Role) (name, key *string) { return &r.Name, &r.Key })
}

func listPermissions(v clerkinstance.View, q *query, b []byte) []byte {
	return listKeyed(b, q, v.Permissions(), func(p *resource.Permission) (name, key *string) { return &p.Name, &p.Key })
}

// listKeyed lists what has a name and a key, of which there are few.
func listKeyed[T any](b []byte, q *query, found clerkinstance.List[T], known func(*T) (name, key *string)) []byte {
	p := q.page("created_at", "name", "key")
	if wanted := q.values.Get("query"); wanted != "" {
		found = found.Where(func(r clerkinstance.Row[T]) bool {
			name, key := known(r.Value())
			return r.ID() == wanted || mentioned(wanted, *name, *key)
		})
	}
	if p.orderBy != "created_at" {
		found = found.By(func(r clerkinstance.Row[T]) clerkinstance.Key {
			name, key := known(r.Value())
			if p.orderBy == "name" {
				return clerkinstance.TextKey(name)
			}
			return clerkinstance.TextKey(key)
		})
	}
	return appendList(b, found, p, clerkinstance.Row[T].Value)
}
