package clerkdouble

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// The Backend API writes resources by hand: a page of 500 takes a millisecond,
// and nothing has to be kept in memory or made invalid. The members are those
// that encoding/json writes for the same types, which the tests compare; SCIM is
// left out, since only webhooks carry it.

// appendUser writes a user.
func appendUser(b []byte, u *resource.User) []byte {
	b = text(append(b, `{"id":`...), u.ID)
	b = text(append(b, `,"object":`...), u.Object)
	b = textOrNull(append(b, `,"external_id":`...), u.ExternalID)
	b = textOrNull(append(b, `,"primary_email_address_id":`...), u.PrimaryEmailAddressID)
	b = textOrNull(append(b, `,"primary_phone_number_id":`...), u.PrimaryPhoneNumberID)
	b = textOrNull(append(b, `,"primary_web3_wallet_id":`...), u.PrimaryWeb3WalletID)
	b = textOrNull(append(b, `,"username":`...), u.Username)
	b = textOrNull(append(b, `,"first_name":`...), u.FirstName)
	b = textOrNull(append(b, `,"last_name":`...), u.LastName)
	if u.Locale != nil {
		b = text(append(b, `,"locale":`...), *u.Locale)
	}
	b = text(append(b, `,"image_url":`...), u.ImageURL)
	b = strconv.AppendBool(append(b, `,"has_image":`...), u.HasImage)
	b = append(b, `,"email_addresses":[`...)
	for i := range u.EmailAddresses {
		b = appendEmail(comma(b, i), &u.EmailAddresses[i])
	}
	b = append(b, `],"phone_numbers":[`...)
	for i := range u.PhoneNumbers {
		b = appendPhone(comma(b, i), &u.PhoneNumbers[i])
	}
	b = append(b, ']')
	b = rawList(append(b, `,"web3_wallets":`...), u.Web3Wallets)
	b = rawList(append(b, `,"passkeys":`...), u.Passkeys)
	b = rawList(append(b, `,"external_accounts":`...), u.ExternalAccounts)
	b = rawList(append(b, `,"saml_accounts":`...), u.SAMLAccounts)
	b = rawList(append(b, `,"enterprise_accounts":`...), u.EnterpriseAccounts)
	b = raw(append(b, `,"public_metadata":`...), u.PublicMetadata)
	b = raw(append(b, `,"private_metadata":`...), u.PrivateMetadata)
	b = raw(append(b, `,"unsafe_metadata":`...), u.UnsafeMetadata)
	b = strconv.AppendBool(append(b, `,"password_enabled":`...), u.PasswordEnabled)
	if u.PasswordLastUpdatedAt != 0 {
		b = moment(append(b, `,"password_last_updated_at":`...), u.PasswordLastUpdatedAt)
	}
	b = strconv.AppendBool(append(b, `,"two_factor_enabled":`...), u.TwoFactorEnabled)
	b = strconv.AppendBool(append(b, `,"totp_enabled":`...), u.TOTPEnabled)
	b = strconv.AppendBool(append(b, `,"backup_code_enabled":`...), u.BackupCodeEnabled)
	b = moment(append(b, `,"mfa_enabled_at":`...), u.MFAEnabledAt)
	b = moment(append(b, `,"mfa_disabled_at":`...), u.MFADisabledAt)
	b = strconv.AppendBool(append(b, `,"banned":`...), u.Banned)
	b = strconv.AppendBool(append(b, `,"locked":`...), u.Locked)
	if u.Deprovisioned {
		b = append(b, `,"deprovisioned":true`...)
	}
	b = numberOrNull(append(b, `,"lockout_expires_in_seconds":`...), u.LockoutExpiresInSeconds)
	b = numberOrNull(append(b, `,"verification_attempts_remaining":`...), u.VerificationAttemptsRemaining)
	b = moment(append(b, `,"last_sign_in_at":`...), u.LastSignInAt)
	b = moment(append(b, `,"last_active_at":`...), u.LastActiveAt)
	b = moment(append(b, `,"legal_accepted_at":`...), u.LegalAcceptedAt)
	b = moment(append(b, `,"created_at":`...), u.CreatedAt)
	b = moment(append(b, `,"updated_at":`...), u.UpdatedAt)
	b = strconv.AppendBool(append(b, `,"delete_self_enabled":`...), u.DeleteSelfEnabled)
	b = strconv.AppendBool(append(b, `,"create_organization_enabled":`...), u.CreateOrganizationEnabled)
	b = numberOrNull(append(b, `,"create_organizations_limit":`...), u.CreateOrganizationsLimit)
	return append(b, '}')
}

func appendEmail(b []byte, e *resource.EmailAddress) []byte {
	b = text(append(b, `{"id":`...), e.ID)
	b = text(append(b, `,"object":`...), e.Object)
	b = text(append(b, `,"email_address":`...), e.EmailAddress)
	b = strconv.AppendBool(append(b, `,"reserved":`...), e.Reserved)
	b = appendVerification(append(b, `,"verification":`...), e.Verification)
	b = rawList(append(b, `,"linked_to":`...), e.LinkedTo)
	b = strconv.AppendBool(append(b, `,"matches_sso_connection":`...), e.MatchesSSOConnection)
	b = moment(append(b, `,"created_at":`...), e.CreatedAt)
	b = moment(append(b, `,"updated_at":`...), e.UpdatedAt)
	return append(b, '}')
}

func appendPhone(b []byte, p *resource.PhoneNumber) []byte {
	b = text(append(b, `{"id":`...), p.ID)
	b = text(append(b, `,"object":`...), p.Object)
	b = text(append(b, `,"phone_number":`...), p.PhoneNumber)
	b = strconv.AppendBool(append(b, `,"reserved_for_second_factor":`...), p.ReservedForSecondFactor)
	b = strconv.AppendBool(append(b, `,"default_second_factor":`...), p.DefaultSecondFactor)
	b = strconv.AppendBool(append(b, `,"reserved":`...), p.Reserved)
	b = appendVerification(append(b, `,"verification":`...), p.Verification)
	b = rawList(append(b, `,"linked_to":`...), p.LinkedTo)
	b = moment(append(b, `,"created_at":`...), p.CreatedAt)
	b = moment(append(b, `,"updated_at":`...), p.UpdatedAt)
	return append(b, '}')
}

func appendVerification(b []byte, v *resource.Verification) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	if v.Object != "" {
		b = append(text(append(b, `"object":`...), v.Object), ',')
	}
	b = text(append(b, `"status":`...), v.Status)
	b = text(append(b, `,"strategy":`...), v.Strategy)
	b = numberOrNull(append(b, `,"attempts":`...), v.Attempts)
	b = moment(append(b, `,"expire_at":`...), v.ExpireAt)
	return append(b, '}')
}

// appendOrganization writes an organization; members is nil where the count was
// not asked for.
func appendOrganization(b []byte, o *resource.Organization, members *int64) []byte {
	b = text(append(b, `{"id":`...), o.ID)
	b = text(append(b, `,"object":`...), o.Object)
	b = text(append(b, `,"name":`...), o.Name)
	b = textOrNull(append(b, `,"slug":`...), o.Slug)
	b = textOrNull(append(b, `,"image_url":`...), o.ImageURL)
	b = strconv.AppendBool(append(b, `,"has_image":`...), o.HasImage)
	if members != nil {
		b = strconv.AppendInt(append(b, `,"members_count":`...), *members, 10)
	}
	b = strconv.AppendInt(append(b, `,"max_allowed_memberships":`...), o.MaxAllowedMemberships, 10)
	b = strconv.AppendBool(append(b, `,"admin_delete_enabled":`...), o.AdminDeleteEnabled)
	b = raw(append(b, `,"public_metadata":`...), o.PublicMetadata)
	b = raw(append(b, `,"private_metadata":`...), o.PrivateMetadata)
	b = textOrNull(append(b, `,"created_by":`...), o.CreatedBy)
	if o.RoleSetKey != nil {
		b = text(append(b, `,"role_set_key":`...), *o.RoleSetKey)
	}
	if o.LastActiveAt != 0 {
		b = moment(append(b, `,"last_active_at":`...), o.LastActiveAt)
	}
	b = moment(append(b, `,"created_at":`...), o.CreatedAt)
	b = moment(append(b, `,"updated_at":`...), o.UpdatedAt)
	return append(b, '}')
}

// appendMembership writes a membership with the parents it is given.
func appendMembership(b []byte, m *resource.OrganizationMembership, o *resource.Organization, u resource.PublicUserData) []byte {
	b = text(append(b, `{"id":`...), m.ID)
	b = text(append(b, `,"object":`...), m.Object)
	b = text(append(b, `,"role":`...), m.Role)
	b = text(append(b, `,"role_name":`...), m.RoleName)
	b = append(b, `,"permissions":[`...)
	for i, key := range m.Permissions {
		b = text(comma(b, i), key)
	}
	b = append(b, ']')
	b = raw(append(b, `,"public_metadata":`...), m.PublicMetadata)
	b = raw(append(b, `,"private_metadata":`...), m.PrivateMetadata)
	b = appendOrganization(append(b, `,"organization":`...), o, nil)
	b = text(append(b, `,"public_user_data":{"user_id":`...), u.UserID)
	b = textOrNull(append(b, `,"first_name":`...), u.FirstName)
	b = textOrNull(append(b, `,"last_name":`...), u.LastName)
	b = text(append(b, `,"image_url":`...), u.ImageURL)
	b = strconv.AppendBool(append(b, `,"has_image":`...), u.HasImage)
	b = textOrNull(append(b, `,"identifier":`...), u.Identifier)
	b = textOrNull(append(b, `,"username":`...), u.Username)
	b = strconv.AppendBool(append(b, `,"banned":`...), u.Banned)
	b = strconv.AppendBool(append(b, `,"deprovisioned":`...), u.Deprovisioned)
	b = moment(append(b, `},"created_at":`...), m.CreatedAt)
	b = moment(append(b, `,"updated_at":`...), m.UpdatedAt)
	return append(b, '}')
}

// comma separates the elements of a list.
func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func text(b []byte, s string) []byte {
	ascii := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] == '"' || s[i] == '\\' {
			// A string always has a JSON form.
			escaped, _ := json.Marshal(s)
			return append(b, escaped...)
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if !ascii {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return append(append(append(b, '"'), s...), '"')
}

func textOrNull(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return text(b, *s)
}

func numberOrNull(b []byte, n *int64) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, *n, 10)
}

func moment(b []byte, at clerk.Millis) []byte {
	if at == 0 {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(at), 10)
}

func raw(b []byte, value json.RawMessage) []byte {
	if len(value) == 0 {
		return append(b, "null"...)
	}
	return append(b, value...)
}

func rawList(b []byte, values []json.RawMessage) []byte {
	b = append(b, '[')
	for i, value := range values {
		b = raw(comma(b, i), value)
	}
	return append(b, ']')
}
