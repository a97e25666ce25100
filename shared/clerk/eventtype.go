package clerk

// The event types that Clerk sends: the 45 of Clerk OpenAPI webhooks 2025-04-15
// and, last, four that only other sources of Clerk's name. Clerk calls the
// catalog in each instance's dashboard the only authoritative list, so a type
// that is not here is no error.
const (
	// Users.
	UserCreated = "user.created"
	UserUpdated = "user.updated"
	UserDeleted = "user.deleted"

	// Organizations.
	OrganizationCreated = "organization.created"
	OrganizationUpdated = "organization.updated"
	OrganizationDeleted = "organization.deleted"

	// Memberships, each with the full membership, also when deleted.
	OrganizationMembershipCreated = "organizationMembership.created"
	OrganizationMembershipUpdated = "organizationMembership.updated"
	OrganizationMembershipDeleted = "organizationMembership.deleted"

	// Invitations to an organization; url holds a live ticket.
	OrganizationInvitationCreated  = "organizationInvitation.created"
	OrganizationInvitationAccepted = "organizationInvitation.accepted"
	OrganizationInvitationRevoked  = "organizationInvitation.revoked"

	// Domains of an organization.
	OrganizationDomainCreated = "organizationDomain.created"
	OrganizationDomainUpdated = "organizationDomain.updated"
	OrganizationDomainDeleted = "organizationDomain.deleted"

	// Roles.
	RoleCreated = "role.created"
	RoleUpdated = "role.updated"
	RoleDeleted = "role.deleted"

	// Permissions.
	PermissionCreated = "permission.created"
	PermissionUpdated = "permission.updated"
	PermissionDeleted = "permission.deleted"

	// Sessions, each with the user embedded or null.
	SessionCreated = "session.created"
	SessionPending = "session.pending"
	SessionEnded   = "session.ended"
	SessionRemoved = "session.removed"
	SessionRevoked = "session.revoked"

	// Messages that Clerk sends; they hold one-time codes and magic links.
	EmailCreated = "email.created"
	SMSCreated   = "sms.created"

	// Waitlist.
	WaitlistEntryCreated = "waitlistEntry.created"
	WaitlistEntryUpdated = "waitlistEntry.updated"

	// Billing.
	SubscriptionCreated             = "subscription.created"
	SubscriptionUpdated             = "subscription.updated"
	SubscriptionActive              = "subscription.active"
	SubscriptionPastDue             = "subscription.pastDue"
	SubscriptionItemAbandoned       = "subscriptionItem.abandoned"
	SubscriptionItemActive          = "subscriptionItem.active"
	SubscriptionItemCanceled        = "subscriptionItem.canceled"
	SubscriptionItemEnded           = "subscriptionItem.ended"
	SubscriptionItemFreeTrialEnding = "subscriptionItem.freeTrialEnding"
	SubscriptionItemIncomplete      = "subscriptionItem.incomplete"
	SubscriptionItemPastDue         = "subscriptionItem.pastDue"
	SubscriptionItemUpcoming        = "subscriptionItem.upcoming"
	SubscriptionItemUpdated         = "subscriptionItem.updated"
	PaymentAttemptCreated           = "paymentAttempt.created"
	PaymentAttemptUpdated           = "paymentAttempt.updated"

	// Disputed: in Clerk's JavaScript SDK or its agent skill, not in the catalog.
	SubscriptionItemCreated = "subscriptionItem.created"
	InvitationCreated       = "invitation.created"
	InvitationAccepted      = "invitation.accepted"
	InvitationRevoked       = "invitation.revoked"
)
