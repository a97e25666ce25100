// Package resource is what Clerk writes of users, organizations, memberships,
// roles and permissions, as Go types: for the double of Clerk and for the
// builders of package clerktest, which make such objects. Programs that read what
// Clerk wrote leave it to the database ([clerk.Event], [clerk.Page]).
package resource

import (
	"encoding/json"

	"clerksync/shared/clerk"
)

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

	PasswordEnabled       bool         `json:"password_enabled"`
	PasswordLastUpdatedAt clerk.Millis `json:"password_last_updated_at,omitzero"`
	TwoFactorEnabled      bool         `json:"two_factor_enabled"`
	TOTPEnabled           bool         `json:"totp_enabled"`
	BackupCodeEnabled     bool         `json:"backup_code_enabled"`
	MFAEnabledAt          clerk.Millis `json:"mfa_enabled_at"`
	MFADisabledAt         clerk.Millis `json:"mfa_disabled_at"`

	Banned        bool `json:"banned"`
	Locked        bool `json:"locked"`
	Deprovisioned bool `json:"deprovisioned,omitempty"`
	// LockoutExpiresInSeconds is a duration, the one time in Clerk's resources
	// that is not in milliseconds.
	LockoutExpiresInSeconds       *int64 `json:"lockout_expires_in_seconds"`
	VerificationAttemptsRemaining *int64 `json:"verification_attempts_remaining"`

	LastSignInAt clerk.Millis `json:"last_sign_in_at"`
	// LastActiveAt is precise to the day.
	LastActiveAt    clerk.Millis `json:"last_active_at"`
	LegalAcceptedAt clerk.Millis `json:"legal_accepted_at"`
	CreatedAt       clerk.Millis `json:"created_at"`
	UpdatedAt       clerk.Millis `json:"updated_at"`

	DeleteSelfEnabled         bool `json:"delete_self_enabled"`
	CreateOrganizationEnabled bool `json:"create_organization_enabled"`
	// CreateOrganizationsLimit is null for the instance's default and 0 for
	// no limit.
	CreateOrganizationsLimit *int64 `json:"create_organizations_limit"`

	// SCIM is present only in webhooks about users that a directory provisions.
	SCIM json.RawMessage `json:"scim,omitempty"`
}

// NewUser is a user without anything to be known by.
func NewUser(id string, at clerk.Millis) User {
	return User{
		ID: id, Object: "user", ImageURL: "https://img.clerk.example/" + id,
		EmailAddresses: []EmailAddress{}, PhoneNumbers: []PhoneNumber{},
		Web3Wallets: []json.RawMessage{}, Passkeys: []json.RawMessage{}, ExternalAccounts: []json.RawMessage{},
		SAMLAccounts: []json.RawMessage{}, EnterpriseAccounts: []json.RawMessage{},
		PublicMetadata: Empty, PrivateMetadata: Empty, UnsafeMetadata: Empty,
		CreatedAt: at, UpdatedAt: at, DeleteSelfEnabled: true, CreateOrganizationEnabled: true,
	}
}

// Public is what a membership or an invitation says about the user.
func (u User) Public() PublicUserData {
	data := PublicUserData{
		UserID: u.ID, FirstName: u.FirstName, LastName: u.LastName, ImageURL: u.ImageURL, HasImage: u.HasImage,
		Identifier: u.Username, Username: u.Username, Banned: u.Banned, Deprovisioned: u.Deprovisioned,
	}
	if email, ok := u.PrimaryEmail(); ok {
		data.Identifier = new(email.EmailAddress)
	} else if len(u.PhoneNumbers) > 0 {
		data.Identifier = new(u.PhoneNumbers[0].PhoneNumber)
	}
	return data
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
	CreatedAt            clerk.Millis      `json:"created_at"`
	UpdatedAt            clerk.Millis      `json:"updated_at"`
}

// NewEmail is an address that was proved by a code, or is still to be.
func NewEmail(id, address string, verified bool, at clerk.Millis) EmailAddress {
	return EmailAddress{
		ID: id, Object: "email_address", EmailAddress: address, LinkedTo: []json.RawMessage{},
		Verification: newVerification("email_code", verified), CreatedAt: at, UpdatedAt: at,
	}
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
	CreatedAt               clerk.Millis      `json:"created_at"`
	UpdatedAt               clerk.Millis      `json:"updated_at"`
}

// NewPhone is a number that was proved by a code, or is still to be.
func NewPhone(id, number string, verified bool, at clerk.Millis) PhoneNumber {
	return PhoneNumber{
		ID: id, Object: "phone_number", PhoneNumber: number, LinkedTo: []json.RawMessage{},
		Verification: newVerification("phone_code", verified), CreatedAt: at, UpdatedAt: at,
	}
}

// Verification is how an address, a number or an account was proved.
type Verification struct {
	Object string `json:"object,omitempty"`
	// Status is unverified, verified, failed or expired, and for OAuth also
	// transferable.
	Status string `json:"status"`
	// Strategy is email_code, email_link, phone_code, ticket, admin, saml, scim
	// or from_oauth_…, among others.
	Strategy string       `json:"strategy"`
	Attempts *int64       `json:"attempts"`
	ExpireAt clerk.Millis `json:"expire_at"`
}

func newVerification(strategy string, verified bool) *Verification {
	v := &Verification{Object: "verification_otp", Status: "verified", Strategy: strategy, Attempts: new(int64(1))}
	if !verified {
		v.Status = "unverified"
	}
	return v
}

// Empty is metadata without anything in it.
var Empty = json.RawMessage("{}")

// OrNull is null for the empty string.
func OrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
