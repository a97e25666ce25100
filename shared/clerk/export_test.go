package clerk

// EventTypes are every event type named in this package, those of the catalog first.
var EventTypes = []string{
	UserCreated, UserUpdated, UserDeleted,
	OrganizationCreated, OrganizationUpdated, OrganizationDeleted,
	OrganizationMembershipCreated, OrganizationMembershipUpdated, OrganizationMembershipDeleted,
	OrganizationInvitationCreated, OrganizationInvitationAccepted, OrganizationInvitationRevoked,
	OrganizationDomainCreated, OrganizationDomainUpdated, OrganizationDomainDeleted,
	RoleCreated, RoleUpdated, RoleDeleted,
	PermissionCreated, PermissionUpdated, PermissionDeleted,
	SessionCreated, SessionPending, SessionEnded, SessionRemoved, SessionRevoked,
	EmailCreated, SMSCreated,
	WaitlistEntryCreated, WaitlistEntryUpdated,
	SubscriptionCreated, SubscriptionUpdated, SubscriptionActive, SubscriptionPastDue,
	SubscriptionItemAbandoned, SubscriptionItemActive, SubscriptionItemCanceled, SubscriptionItemEnded,
	SubscriptionItemFreeTrialEnding, SubscriptionItemIncomplete, SubscriptionItemPastDue, SubscriptionItemUpcoming, SubscriptionItemUpdated,
	PaymentAttemptCreated, PaymentAttemptUpdated,
	SubscriptionItemCreated,
	InvitationCreated, InvitationAccepted, InvitationRevoked,
}
