package resource

import (
	"encoding/json"

	"clerksync/shared/clerk"
)

// Organization is Clerk's organization, the same in webhooks and in the Backend
// API, where the counts appear only on request.
type Organization struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	Name   string `json:"name"`
	// Slug is null in instances that switched slugs off.
	Slug                                 *string `json:"slug"`
	ImageURL                             *string `json:"image_url"`
	HasImage                             bool    `json:"has_image"`
	MembersCount                         *int64  `json:"members_count,omitempty"`
	PendingInvitationsCount              *int64  `json:"pending_invitations_count,omitempty"`
	MissingMemberWithElevatedPermissions *bool   `json:"missing_member_with_elevated_permissions,omitempty"`
	// MaxAllowedMemberships is 0 for no limit.
	MaxAllowedMemberships int64           `json:"max_allowed_memberships"`
	AdminDeleteEnabled    bool            `json:"admin_delete_enabled"`
	PublicMetadata        json.RawMessage `json:"public_metadata"`
	PrivateMetadata       json.RawMessage `json:"private_metadata"`
	// CreatedBy is the id of a user, who may be gone by now.
	CreatedBy    *string      `json:"created_by"`
	RoleSetKey   *string      `json:"role_set_key,omitempty"`
	LastActiveAt clerk.Millis `json:"last_active_at,omitzero"`
	CreatedAt    clerk.Millis `json:"created_at"`
	UpdatedAt    clerk.Millis `json:"updated_at"`
}

// NewOrganization is an organization of that name, without a slug.
func NewOrganization(id, name string, at clerk.Millis) Organization {
	return Organization{
		ID: id, Object: "organization", Name: name, ImageURL: new("https://img.clerk.example/" + id), AdminDeleteEnabled: true,
		PublicMetadata: Empty, PrivateMetadata: Empty, CreatedAt: at, UpdatedAt: at,
	}
}

// OrganizationMembership is one user in one organization. Its own id is its
// identity: a user who leaves and joins again has a new membership.
type OrganizationMembership struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	// Role is the role's key with its "org:" prefix. Old payloads also carry
	// "admin" and "basic_member".
	Role     string `json:"role"`
	RoleName string `json:"role_name"`
	// Permissions are full keys, system permissions ("org:sys_…") included.
	Permissions     []string        `json:"permissions"`
	PublicMetadata  json.RawMessage `json:"public_metadata"`
	PrivateMetadata json.RawMessage `json:"private_metadata"`
	Organization    Organization    `json:"organization"`
	PublicUserData  PublicUserData  `json:"public_user_data"`
	CreatedAt       clerk.Millis    `json:"created_at"`
	UpdatedAt       clerk.Millis    `json:"updated_at"`
}

// NewMembership is a membership without a role; it carries its parents as they are
// now.
func NewMembership(id string, o Organization, u PublicUserData, at clerk.Millis) OrganizationMembership {
	return OrganizationMembership{
		ID: id, Object: "organization_membership", PublicMetadata: Empty, PrivateMetadata: Empty,
		Organization: o, PublicUserData: u, CreatedAt: at, UpdatedAt: at,
	}
}

// PublicUserData is the part of a user that a membership carries.
type PublicUserData struct {
	UserID    string  `json:"user_id"`
	FirstName *string `json:"first_name"`
	LastName  *string `json:"last_name"`
	ImageURL  string  `json:"image_url"`
	HasImage  bool    `json:"has_image"`
	// Identifier is whatever the user signs in with: an email address, a phone
	// number or a username.
	Identifier    *string `json:"identifier"`
	Username      *string `json:"username"`
	Banned        bool    `json:"banned"`
	Deprovisioned bool    `json:"deprovisioned"`
}

// Role is a role that memberships can have.
type Role struct {
	ID                string       `json:"id"`
	Object            string       `json:"object"`
	Name              string       `json:"name"`
	Key               string       `json:"key"`
	Description       *string      `json:"description"`
	IsCreatorEligible bool         `json:"is_creator_eligible"`
	Permissions       []Permission `json:"permissions"`
	CreatedAt         clerk.Millis `json:"created_at"`
	UpdatedAt         clerk.Millis `json:"updated_at"`
}

// Permission is a permission that roles can hold.
type Permission struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Name        string `json:"name"`
	Key         string `json:"key"`
	Description string `json:"description"`
	// Type is "system" for Clerk's own permissions.
	Type      string       `json:"type"`
	CreatedAt clerk.Millis `json:"created_at"`
	UpdatedAt clerk.Millis `json:"updated_at"`
}
