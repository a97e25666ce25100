package clerk

import "encoding/json"

// User is Clerk's user, the same in webhooks and in the Backend API. Pointers
// are null where Clerk has no value; a Millis of zero is null as well. Lists
// that no program here reads stay raw JSON.
type User struct {
	ID         string  `json:"id"`
	Object     string  `json:"object"`
	ExternalID *string `json:"external_id"`

	PrimaryEmailAddressID *string `json:"primary_email_address_id"`
	PrimaryPhoneNumberID  *string `json:"primary_phone_number_id"`
	PrimaryWeb3WalletID   *string `json:"primary_web3_wallet_id"`

	Username  *string `json:"username"`
	FirstName *string `json:"first_name"`
	LastName  *string `json:"last_name"`
	Locale    *string `json:"locale,omitempty"`
	ImageURL  string  `json:"image_url"`
	HasImage  bool    `json:"has_image"`

	EmailAddresses     []EmailAddress    `json:"email_addresses"`
	PhoneNumbers       []PhoneNumber     `json:"phone_numbers"`
	Web3Wallets        []json.RawMessage `json:"web3_wallets"`
	Passkeys           []json.RawMessage `json:"passkeys"`
	ExternalAccounts   []json.RawMessage `json:"external_accounts"`
	SAMLAccounts       []json.RawMessage `json:"saml_accounts"`
	EnterpriseAccounts []json.RawMessage `json:"enterprise_accounts"`

	// PublicMetadata may be read by the user's browser and written only by the
	// team's backend; PrivateMetadata never leaves the backend. Anyone signed in
	// may write their own UnsafeMetadata: never authorize by it.
	PublicMetadata  json.RawMessage `json:"public_metadata"`
	PrivateMetadata json.RawMessage `json:"private_metadata"`
	UnsafeMetadata  json.RawMessage `json:"unsafe_metadata"`

	PasswordEnabled       bool   `json:"password_enabled"`
	PasswordLastUpdatedAt Millis `json:"password_last_updated_at,omitzero"`
	TwoFactorEnabled      bool   `json:"two_factor_enabled"`
	TOTPEnabled           bool   `json:"totp_enabled"`
	BackupCodeEnabled     bool   `json:"backup_code_enabled"`
	MFAEnabledAt          Millis `json:"mfa_enabled_at"`
	MFADisabledAt         Millis `json:"mfa_disabled_at"`

	Banned        bool `json:"banned"`
	Locked        bool `json:"locked"`
	Deprovisioned bool `json:"deprovisioned,omitempty"`
	// LockoutExpiresInSeconds is a duration, the one time in Clerk's resources
	// that is not in milliseconds.
	LockoutExpiresInSeconds       *int64 `json:"lockout_expires_in_seconds"`
	VerificationAttemptsRemaining *int64 `json:"verification_attempts_remaining"`

	LastSignInAt Millis `json:"last_sign_in_at"`
	// LastActiveAt is precise to the day.
	LastActiveAt    Millis `json:"last_active_at"`
	LegalAcceptedAt Millis `json:"legal_accepted_at"`
	CreatedAt       Millis `json:"created_at"`
	UpdatedAt       Millis `json:"updated_at"`

	DeleteSelfEnabled         bool `json:"delete_self_enabled"`
	CreateOrganizationEnabled bool `json:"create_organization_enabled"`
	// CreateOrganizationsLimit is null for the instance's default and 0 for
	// no limit.
	CreateOrganizationsLimit *int64 `json:"create_organizations_limit"`

	// SCIM is present only in webhooks about users that a directory provisions.
	SCIM json.RawMessage `json:"scim,omitempty"`
}

// PrimaryEmail returns the address that primary_email_address_id names. It
// reports false if none is named or the named one is not listed: the order of
// the list says nothing, so no other address stands in.
func (u User) PrimaryEmail() (EmailAddress, bool) {
	if u.PrimaryEmailAddressID == nil {
		return EmailAddress{}, false
	}
	for _, address := range u.EmailAddresses {
		if address.ID == *u.PrimaryEmailAddressID {
			return address, true
		}
	}
	return EmailAddress{}, false
}

// EmailAddress is one of a user's addresses, verified or not.
type EmailAddress struct {
	ID           string `json:"id"`
	Object       string `json:"object"`
	EmailAddress string `json:"email_address"`
	Reserved     bool   `json:"reserved"`
	// Verification is null for an address that was never put to the test.
	Verification         *Verification     `json:"verification"`
	LinkedTo             []json.RawMessage `json:"linked_to"`
	MatchesSSOConnection bool              `json:"matches_sso_connection"`
	CreatedAt            Millis            `json:"created_at"`
	UpdatedAt            Millis            `json:"updated_at"`
}

// PhoneNumber is one of a user's numbers, verified or not.
type PhoneNumber struct {
	ID     string `json:"id"`
	Object string `json:"object"`
	// PhoneNumber is in E.164 form, with the leading "+".
	PhoneNumber             string            `json:"phone_number"`
	ReservedForSecondFactor bool              `json:"reserved_for_second_factor"`
	DefaultSecondFactor     bool              `json:"default_second_factor"`
	Reserved                bool              `json:"reserved"`
	Verification            *Verification     `json:"verification"`
	LinkedTo                []json.RawMessage `json:"linked_to"`
	CreatedAt               Millis            `json:"created_at"`
	UpdatedAt               Millis            `json:"updated_at"`
}

// Verification is how an address, a number or an account was proved.
type Verification struct {
	Object string `json:"object,omitempty"`
	// Status is unverified, verified, failed or expired, and for OAuth also
	// transferable.
	Status string `json:"status"`
	// Strategy is email_code, email_link, phone_code, ticket, admin, saml, scim
	// or from_oauth_…, among others.
	Strategy string `json:"strategy"`
	Attempts *int64 `json:"attempts"`
	ExpireAt Millis `json:"expire_at"`
}
