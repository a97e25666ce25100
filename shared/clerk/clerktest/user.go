package clerktest

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// UserBuilder describes one state of a user. Every method returns a changed
// copy, so one value can be the start of many histories.
type UserBuilder struct{ user resource.User }

// User returns a user with nothing but an id, created and updated at Epoch.
func User(id string) UserBuilder {
	return UserBuilder{resource.NewUser(id, clerk.MillisOf(Epoch))}
}

// With changes anything that has no method of its own.
func (b UserBuilder) With(change func(*resource.User)) UserBuilder {
	b.user.EmailAddresses = slices.Clone(b.user.EmailAddresses)
	b.user.PhoneNumbers = slices.Clone(b.user.PhoneNumbers)
	change(&b.user)
	return b
}

// Email adds a verified address. The first one becomes the primary.
func (b UserBuilder) Email(address string) UserBuilder {
	return b.With(func(u *resource.User) {
		added := resource.NewEmail(fmt.Sprintf("idn_%s_email%d", u.ID, len(u.EmailAddresses)+1), address, true, u.CreatedAt)
		u.EmailAddresses = append(u.EmailAddresses, added)
		if u.PrimaryEmailAddressID == nil {
			u.PrimaryEmailAddressID = new(added.ID)
		}
	})
}

// PrimaryEmail makes one of the addresses added by Email the primary; it
// panics if the user has no such address.
func (b UserBuilder) PrimaryEmail(address string) UserBuilder {
	return b.With(func(u *resource.User) {
		i := slices.IndexFunc(u.EmailAddresses, func(e resource.EmailAddress) bool { return e.EmailAddress == address })
		if i < 0 {
			panic(fmt.Sprintf("clerktest: %s has no address %s", u.ID, address))
		}
		u.PrimaryEmailAddressID = new(u.EmailAddresses[i].ID)
	})
}

// Phone adds a verified number. The first one becomes the primary.
func (b UserBuilder) Phone(number string) UserBuilder {
	return b.With(func(u *resource.User) {
		added := resource.NewPhone(fmt.Sprintf("idn_%s_phone%d", u.ID, len(u.PhoneNumbers)+1), number, true, u.CreatedAt)
		u.PhoneNumbers = append(u.PhoneNumbers, added)
		if u.PrimaryPhoneNumberID == nil {
			u.PrimaryPhoneNumberID = new(added.ID)
		}
	})
}

// Username sets the username.
func (b UserBuilder) Username(name string) UserBuilder {
	return b.With(func(u *resource.User) { u.Username = new(name) })
}

// Name sets the first and the last name; an empty one becomes null.
func (b UserBuilder) Name(first, last string) UserBuilder {
	return b.With(func(u *resource.User) { u.FirstName, u.LastName = resource.OrNull(first), resource.OrNull(last) })
}

// ExternalID sets the team's own id for the user.
func (b UserBuilder) ExternalID(id string) UserBuilder {
	return b.With(func(u *resource.User) { u.ExternalID = new(id) })
}

// PublicMetadata sets the public metadata, given as JSON text.
func (b UserBuilder) PublicMetadata(object string) UserBuilder {
	return b.With(func(u *resource.User) { u.PublicMetadata = json.RawMessage(object) })
}

// UpdatedAt sets the moment of the last change.
func (b UserBuilder) UpdatedAt(at time.Time) UserBuilder {
	return b.With(func(u *resource.User) { u.UpdatedAt = clerk.MillisOf(at) })
}

// CreatedAt sets the moment of creation.
func (b UserBuilder) CreatedAt(at time.Time) UserBuilder {
	return b.With(func(u *resource.User) { u.CreatedAt = clerk.MillisOf(at) })
}

// Resource returns the user in this state, as the Backend API would give it.
func (b UserBuilder) Resource() resource.User { return b.With(func(*resource.User) {}).user }

// Event returns the body of a user.created or user.updated event, stated at
// that moment.
func (b UserBuilder) Event(eventType string, at time.Time, options ...EnvelopeOption) []byte {
	return Wrap(eventType, at, b.user, options...)
}

// Deleted returns the body of the user.deleted event.
func (b UserBuilder) Deleted(at time.Time, options ...EnvelopeOption) []byte {
	gone := resource.DeletedObject{ID: b.user.ID, Object: "user", Deleted: true, ExternalID: b.user.ExternalID}
	return Wrap(clerk.UserDeleted, at, gone, options...)
}
