package clerktest

import (
	"encoding/json"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// OrganizationBuilder describes one state of an organization. Every method
// returns a changed copy.
type OrganizationBuilder struct{ organization resource.Organization }

// Organization returns an organization of that name, without a slug, created
// and updated at Epoch.
func Organization(id, name string) OrganizationBuilder {
	return OrganizationBuilder{resource.NewOrganization(id, name, clerk.MillisOf(Epoch))}
}

// With changes anything that has no method of its own.
func (b OrganizationBuilder) With(change func(*resource.Organization)) OrganizationBuilder {
	change(&b.organization)
	return b
}

// Name sets the name.
func (b OrganizationBuilder) Name(name string) OrganizationBuilder {
	return b.With(func(o *resource.Organization) { o.Name = name })
}

// Slug sets the slug.
func (b OrganizationBuilder) Slug(slug string) OrganizationBuilder {
	return b.With(func(o *resource.Organization) { o.Slug = new(slug) })
}

// PublicMetadata sets the public metadata, given as JSON text.
func (b OrganizationBuilder) PublicMetadata(object string) OrganizationBuilder {
	return b.With(func(o *resource.Organization) { o.PublicMetadata = json.RawMessage(object) })
}

// UpdatedAt sets the moment of the last change.
func (b OrganizationBuilder) UpdatedAt(at time.Time) OrganizationBuilder {
	return b.With(func(o *resource.Organization) { o.UpdatedAt = clerk.MillisOf(at) })
}

// Resource returns the organization in this state.
func (b OrganizationBuilder) Resource() resource.Organization { return b.organization }

// Event returns the body of an organization.created or organization.updated
// event, stated at that moment.
func (b OrganizationBuilder) Event(eventType string, at time.Time, options ...EnvelopeOption) []byte {
	return Wrap(eventType, at, b.organization, options...)
}

// Deleted returns the body of the organization.deleted event.
func (b OrganizationBuilder) Deleted(at time.Time, options ...EnvelopeOption) []byte {
	gone := resource.DeletedObject{ID: b.organization.ID, Object: "organization", Deleted: true, Slug: b.organization.Slug}
	return Wrap(clerk.OrganizationDeleted, at, gone, options...)
}

// MembershipBuilder describes one state of a membership. Every method returns
// a changed copy.
type MembershipBuilder struct {
	membership resource.OrganizationMembership
}

// Membership returns the membership of a user in an organization, with the role
// "org:member", created and updated at Epoch. It carries both as they are now.
func Membership(id string, organization OrganizationBuilder, user UserBuilder) MembershipBuilder {
	m := resource.NewMembership(id, organization.organization, user.user.Public(), clerk.MillisOf(Epoch))
	m.Role, m.RoleName, m.Permissions = "org:member", "Member", []string{"org:sys_memberships:read"}
	return MembershipBuilder{m}
}

// With changes anything that has no method of its own.
func (b MembershipBuilder) With(change func(*resource.OrganizationMembership)) MembershipBuilder {
	b.membership.Permissions = slices.Clone(b.membership.Permissions)
	change(&b.membership)
	return b
}

// Role sets the role's key, such as "org:admin", and the permissions it gives.
func (b MembershipBuilder) Role(key string, permissions ...string) MembershipBuilder {
	return b.With(func(m *resource.OrganizationMembership) {
		m.Role, m.RoleName = key, key
		m.Permissions = append([]string{}, permissions...)
	})
}

// UpdatedAt sets the moment of the last change.
func (b MembershipBuilder) UpdatedAt(at time.Time) MembershipBuilder {
	return b.With(func(m *resource.OrganizationMembership) { m.UpdatedAt = clerk.MillisOf(at) })
}

// CreatedAt sets the moment of joining.
func (b MembershipBuilder) CreatedAt(at time.Time) MembershipBuilder {
	return b.With(func(m *resource.OrganizationMembership) { m.CreatedAt = clerk.MillisOf(at) })
}

// Resource returns the membership in this state.
func (b MembershipBuilder) Resource() resource.OrganizationMembership {
	return b.With(func(*resource.OrganizationMembership) {}).membership
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
func Role(id, key string, permissions ...resource.Permission) resource.Role {
	return resource.Role{
		ID: id, Object: "role", Name: key, Key: key, Permissions: append([]resource.Permission{}, permissions...),
		CreatedAt: clerk.MillisOf(Epoch), UpdatedAt: clerk.MillisOf(Epoch),
	}
}

// Permission returns a permission with a key such as "org:invoices:approve",
// created and updated at Epoch. Give it to Wrap.
func Permission(id, key string) resource.Permission {
	return resource.Permission{
		ID: id, Object: "permission", Name: key, Key: key, Type: "user",
		CreatedAt: clerk.MillisOf(Epoch), UpdatedAt: clerk.MillisOf(Epoch),
	}
}
