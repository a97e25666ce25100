package clerktest

import (
	"encoding/json"
	"slices"
	"time"

	"clerksync/shared/clerk"
)

// OrganizationBuilder describes one state of an organization. Every method
// returns a changed copy.
type OrganizationBuilder struct{ organization clerk.Organization }

// Organization returns an organization of that name, without a slug, created
// and updated at Epoch.
func Organization(id, name string) OrganizationBuilder {
	empty := json.RawMessage("{}")
	return OrganizationBuilder{clerk.Organization{
		ID:                 id,
		Object:             "organization",
		Name:               name,
		ImageURL:           new("https://img.clerk.example/" + id),
		AdminDeleteEnabled: true,
		PublicMetadata:     empty,
		PrivateMetadata:    empty,
		CreatedAt:          clerk.MillisOf(Epoch),
		UpdatedAt:          clerk.MillisOf(Epoch),
	}}
}

// With changes anything that has no method of its own.
func (b OrganizationBuilder) With(change func(*clerk.Organization)) OrganizationBuilder {
	change(&b.organization)
	return b
}

// Name sets the name.
func (b OrganizationBuilder) Name(name string) OrganizationBuilder {
	return b.With(func(o *clerk.Organization) { o.Name = name })
}

// Slug sets the slug.
func (b OrganizationBuilder) Slug(slug string) OrganizationBuilder {
	return b.With(func(o *clerk.Organization) { o.Slug = new(slug) })
}

// PublicMetadata sets the public metadata, given as JSON text.
func (b OrganizationBuilder) PublicMetadata(object string) OrganizationBuilder {
	return b.With(func(o *clerk.Organization) { o.PublicMetadata = json.RawMessage(object) })
}

// UpdatedAt sets the moment of the last change.
func (b OrganizationBuilder) UpdatedAt(at time.Time) OrganizationBuilder {
	return b.With(func(o *clerk.Organization) { o.UpdatedAt = clerk.MillisOf(at) })
}

// Resource returns the organization in this state.
func (b OrganizationBuilder) Resource() clerk.Organization { return b.organization }

// Event returns the body of an organization.created or organization.updated
// event, stated at that moment.
func (b OrganizationBuilder) Event(eventType string, at time.Time, options ...EnvelopeOption) []byte {
	return Wrap(eventType, at, b.organization, options...)
}

// Deleted returns the body of the organization.deleted event.
func (b OrganizationBuilder) Deleted(at time.Time, options ...EnvelopeOption) []byte {
	gone := clerk.DeletedObject{ID: b.organization.ID, Object: "organization", Deleted: true, Slug: b.organization.Slug}
	return Wrap(clerk.OrganizationDeleted, at, gone, options...)
}

// MembershipBuilder describes one state of a membership. Every method returns
// a changed copy.
type MembershipBuilder struct {
	membership clerk.OrganizationMembership
}

// Membership returns the membership of a user in an organization, with the role
// "org:member", created and updated at Epoch. It carries both as they are now.
func Membership(id string, organization OrganizationBuilder, user UserBuilder) MembershipBuilder {
	empty := json.RawMessage("{}")
	return MembershipBuilder{clerk.OrganizationMembership{
		ID:              id,
		Object:          "organization_membership",
		Role:            "org:member",
		RoleName:        "Member",
		Permissions:     []string{"org:sys_memberships:read"},
		PublicMetadata:  empty,
		PrivateMetadata: empty,
		Organization:    organization.organization,
		PublicUserData:  user.public(),
		CreatedAt:       clerk.MillisOf(Epoch),
		UpdatedAt:       clerk.MillisOf(Epoch),
	}}
}

// With changes anything that has no method of its own.
func (b MembershipBuilder) With(change func(*clerk.OrganizationMembership)) MembershipBuilder {
	b.membership.Permissions = slices.Clone(b.membership.Permissions)
	change(&b.membership)
	return b
}

// Role sets the role's key, such as "org:admin", and the permissions it gives.
func (b MembershipBuilder) Role(key string, permissions ...string) MembershipBuilder {
	return b.With(func(m *clerk.OrganizationMembership) {
		m.Role, m.RoleName = key, key
		m.Permissions = append([]string{}, permissions...)
	})
}

// UpdatedAt sets the moment of the last change.
func (b MembershipBuilder) UpdatedAt(at time.Time) MembershipBuilder {
	return b.With(func(m *clerk.OrganizationMembership) { m.UpdatedAt = clerk.MillisOf(at) })
}

// CreatedAt sets the moment of joining.
func (b MembershipBuilder) CreatedAt(at time.Time) MembershipBuilder {
	return b.With(func(m *clerk.OrganizationMembership) { m.CreatedAt = clerk.MillisOf(at) })
}

// Resource returns the membership in this state.
func (b MembershipBuilder) Resource() clerk.OrganizationMembership {
	return b.With(func(*clerk.OrganizationMembership) {}).membership
}

// Event returns the body of a membership event, stated at that moment. The
// deleted one carries the full membership too.
func (b MembershipBuilder) Event(eventType string, at time.Time, options ...EnvelopeOption) []byte {
	return Wrap(eventType, at, b.membership, options...)
}

// Deleted returns the body of the organizationMembership.deleted event.
func (b MembershipBuilder) Deleted(at time.Time, options ...EnvelopeOption) []byte {
	return b.Event(clerk.OrganizationMembershipDeleted, at, options...)
}

// Role returns a role with a key such as "org:treasurer" and those permissions,
// created and updated at Epoch. Give it to Wrap.
func Role(id, key string, permissions ...clerk.Permission) clerk.Role {
	return clerk.Role{
		ID: id, Object: "role", Name: key, Key: key, Permissions: append([]clerk.Permission{}, permissions...),
		CreatedAt: clerk.MillisOf(Epoch), UpdatedAt: clerk.MillisOf(Epoch),
	}
}

// Permission returns a permission with a key such as "org:invoices:approve",
// created and updated at Epoch. Give it to Wrap.
func Permission(id, key string) clerk.Permission {
	return clerk.Permission{
		ID: id, Object: "permission", Name: key, Key: key, Type: "user",
		CreatedAt: clerk.MillisOf(Epoch), UpdatedAt: clerk.MillisOf(Epoch),
	}
}
