package resource

// DeletedObject is all that Clerk says about a deleted user, organization,
// domain, role or permission: no times and nothing personal. A deleted
// membership is sent in full instead.
type DeletedObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
	// Slug may be set for an organization, ExternalID for a user that had one.
	Slug       *string `json:"slug,omitempty"`
	ExternalID *string `json:"external_id,omitempty"`
}
