package clerkdouble

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

// The shortest and the longest life of a token that may be asked for, in seconds
// (Clerk OpenAPI bapi, expires_in_seconds).
const minExpiresIn, maxExpiresIn = 30, 315360000

// createSession opens a session for a user, as Clerk does in development
// instances. Without active_organization_id it is in the organization that the
// user has joined last: so Clerk describes memberships (Clerk OpenAPI bapi,
// CreateOrganizationMembership).
func (a *API) createSession(q *query, b []byte) ([]byte, *failure) {
	if a.production() {
		return nil, errProduction
	}
	userID, fail := q.text("user_id")
	if fail != nil {
		return nil, fail
	}
	if userID == "" {
		return nil, unprocessable("form_param_missing", "is missing", "user_id", "must be included.")
	}
	organizationID, fail := q.text("active_organization_id")
	if fail != nil {
		return nil, fail
	}
	c := a.instance
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.users.get(userID)
	if !ok {
		return nil, notThere("user", userID)
	}
	if organizationID == "" {
		if held := c.memberships.in(membershipsOfUser, userID); len(held) > 0 && !a.options.OrganizationsDisabled {
			organizationID = held[len(held)-1].Organization.ID
		}
	} else if a.options.OrganizationsDisabled {
		return nil, errOrganizationsDisabled
	} else if _, err := c.membershipOf(organizationID, userID); err != nil {
		return nil, errNoMember
	}
	s, err := c.openSession(u, organizationID)
	if err != nil {
		return nil, broken(err)
	}
	return appendSession(b, &s), nil
}

// appendSession writes a session (Clerk OpenAPI bapi, Session).
func appendSession(b []byte, s *session) []byte {
	b = text(append(b, `{"object":"session","id":`...), s.ID)
	b = text(append(b, `,"client_id":`...), s.ClientID)
	b = text(append(b, `,"user_id":`...), s.UserID)
	b = text(append(b, `,"status":`...), s.Status)
	b = textOrNull(append(b, `,"last_active_organization_id":`...), resource.OrNull(s.activeOrganization))
	b = append(b, `,"actor":null`...)
	b = moment(append(b, `,"last_active_at":`...), s.CreatedAt)
	b = moment(append(b, `,"expire_at":`...), s.ExpireAt)
	b = moment(append(b, `,"abandon_at":`...), s.AbandonAt)
	b = moment(append(b, `,"created_at":`...), s.CreatedAt)
	b = moment(append(b, `,"updated_at":`...), s.UpdatedAt)
	return append(b, '}')
}

// createToken makes a token of a session, of a template if the path names one.
// It has no azp, since no browser asks, and the session's active organization, if
// the user is still in it.
func (a *API) createToken(q *query, b []byte) ([]byte, *failure) {
	lifetime, fail := q.expiresIn()
	if fail != nil {
		return nil, fail
	}
	o := TokenOptions{SessionID: q.path("session_id"), Issuer: a.options.Issuer, Lifetime: lifetime}
	c := a.instance
	c.mu.RLock()
	s, ok := c.sessions.get(o.SessionID)
	if _, err := c.membershipOf(s.activeOrganization, s.UserID); ok && err == nil {
		o.OrganizationID = s.activeOrganization
	}
	c.mu.RUnlock()
	if !ok {
		return nil, notThere("session", o.SessionID)
	}
	var token string
	var err error
	template := q.path("template_name")
	if template == "" {
		token, err = c.SessionToken(o)
	} else {
		token, err = c.TemplateToken(template, o)
	}
	switch {
	case errors.Is(err, ErrNotFound) && template != "":
		return nil, notThere("JWT template", template)
	case errors.Is(err, ErrNotFound):
		// It has ended a moment ago.
		return nil, notThere("session", o.SessionID)
	case err != nil:
		return nil, broken(err)
	}
	b = text(append(b, `{"object":"token","jwt":`...), token)
	return append(b, '}'), nil
}

// expiresIn reads expires_in_seconds, 0 for none.
func (q *query) expiresIn() (time.Duration, *failure) {
	const name = "expires_in_seconds"
	raw, ok := q.body[name]
	if !ok {
		return 0, nil
	}
	var seconds *int64
	switch {
	case json.Unmarshal(raw, &seconds) != nil:
		return 0, unprocessable("form_param_type_invalid", "is invalid", name, "must be an integer")
	case seconds == nil:
		return 0, nil
	case *seconds < minExpiresIn:
		return 0, unprocessable("form_param_value_invalid", "is invalid", name, fmt.Sprintf("can't be less than %d", minExpiresIn))
	case *seconds > maxExpiresIn:
		return 0, unprocessable("form_param_value_too_large", "Value too large", name, fmt.Sprintf("can't be greater than %d", maxExpiresIn))
	}
	return time.Duration(*seconds) * time.Second, nil
}

// production reports whether the API is that of a production instance.
func (a *API) production() bool {
	for key := range a.keys {
		if strings.HasPrefix(key, "sk_live_") {
			return true
		}
	}
	return false
}
