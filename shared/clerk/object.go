package clerk

import (
	"slices"
	"strings"
)

// Kind names a kind of object as Clerk's Backend API does in "object".
type Kind string

// The kinds of objects that a copy holds.
const (
	KindUser         Kind = "user"
	KindOrganization Kind = "organization"
	KindMembership   Kind = "organization_membership"
	KindRole         Kind = "role"
	KindPermission   Kind = "permission"
)

// Object is what there is to know of a kind of object: the one place where its names,
// its events and the fields that the sync rules read are listed. The table
// clerk_sync.objects says the same to the database, and a test holds the two, the
// columns of the copy and the double of Clerk together.
type Object struct {
	Kind Kind
	// Plural names many of them, as reports and the copy's table do.
	Plural string
	// Path is where the Backend API lists a kind of which there are few: it is read as one
	// list, and once more to confirm. The other kinds are asked for in ways of their own.
	Path string
	// Event is what the types of its events begin with, before the dot.
	Event string
	// Fields are the members that the rules read, those of members with a dot
	// between. The rest would only be parsed again by the database, which takes
	// longer than everything that the rules do.
	Fields []string
	// Parents are the kinds of objects that it belongs to.
	Parents []Kind
}

// objects are in the order in which they are applied: parents before children.
var objects = []Object{
	{
		Kind: KindUser, Plural: "users", Event: "user",
		Fields: []string{
			"id", "external_id", "username", "first_name", "last_name", "image_url", "public_metadata", "private_metadata", "unsafe_metadata",
			"primary_email_address_id", "email_addresses.id", "email_addresses.email_address", "email_addresses.verification.status",
			"primary_phone_number_id", "phone_numbers.id", "phone_numbers.phone_number", "phone_numbers.verification.status",
			"banned", "locked", "password_enabled", "two_factor_enabled", "last_sign_in_at", "last_active_at", "created_at", "updated_at",
		},
	},
	{
		Kind: KindOrganization, Plural: "organizations", Event: "organization",
		Fields: []string{
			"id", "name", "slug", "image_url", "public_metadata", "private_metadata", "created_by", "max_allowed_memberships",
			"admin_delete_enabled", "created_at", "updated_at",
		},
	},
	{
		Kind: KindMembership, Plural: "organization_memberships", Event: "organizationMembership",
		Parents: []Kind{KindOrganization, KindUser},
		Fields: []string{
			"id", "role", "permissions", "public_metadata", "private_metadata", "created_at", "updated_at",
			// What its parents' placeholders are made of.
			"organization.id", "organization.name", "organization.slug", "organization.image_url", "organization.public_metadata",
			"organization.created_by", "organization.max_allowed_memberships", "organization.admin_delete_enabled",
			"organization.created_at", "organization.updated_at",
			"public_user_data.user_id", "public_user_data.first_name", "public_user_data.last_name", "public_user_data.image_url",
			"public_user_data.username", "public_user_data.banned",
		},
	},
	{
		Kind: KindRole, Plural: "roles", Path: "/organization_roles", Event: "role",
		Fields: []string{
			"id", "key", "name", "description", "is_creator_eligible", "created_at", "updated_at",
			// What its permissions' placeholders are made of.
			"permissions.id", "permissions.key", "permissions.name", "permissions.description", "permissions.type",
			"permissions.created_at", "permissions.updated_at",
		},
	},
	{
		Kind: KindPermission, Plural: "permissions", Path: "/organization_permissions", Event: "permission",
		Fields: []string{"id", "key", "name", "description", "type", "created_at", "updated_at"},
	},
}

// Objects returns what there is to know of every kind, parents before children. The
// slice is the caller's own.
func Objects() []Object { return slices.Clone(objects) }

// Object returns what there is to know of a kind; the zero Object for an unknown one.
func (k Kind) Object() Object {
	for _, o := range objects {
		if o.Kind == k {
			return o
		}
	}
	return Object{}
}

// Projection keeps what the rules read of an object.
func (o Object) Projection() Projection {
	all := Projection{}
	for _, field := range o.Fields {
		within := all
		names := strings.Split(field, ".")
		for _, name := range names[:len(names)-1] {
			if within[name] == nil {
				within[name] = Projection{}
			}
			within = within[name]
		}
		within[names[len(names)-1]] = nil
	}
	return all
}

// KindOfEvent returns the kind of object that events of a type are about, and whether
// the copy holds such objects.
func KindOfEvent(eventType string) (Kind, bool) {
	begin, _, found := strings.Cut(eventType, ".")
	if !found {
		return "", false
	}
	for _, o := range objects {
		if o.Event == begin {
			return o.Kind, true
		}
	}
	return "", false
}
