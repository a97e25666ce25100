package backendapi

import (
	"errors"
	"slices"
	"strings"

	"clerksync/shared/clerk"
	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/devstack/clerkdouble/tokens"
)

// session is how the API tells a session (Clerk OpenAPI bapi, Session).
type session struct {
	Object             string       `json:"object"`
	ID                 string       `json:"id"`
	ClientID           string       `json:"client_id"`
	UserID             string       `json:"user_id"`
	Status             string       `json:"status"`
	ActiveOrganization *string      `json:"last_active_organization_id"`
	Actor              *string      `json:"actor"`
	LastActiveAt       clerk.Millis `json:"last_active_at"`
	ExpireAt           clerk.Millis `json:"expire_at"`
	AbandonAt          clerk.Millis `json:"abandon_at"`
	CreatedAt          clerk.Millis `json:"created_at"`
	UpdatedAt          clerk.Millis `json:"updated_at"`
}

// createSession opens a session for a user, as Clerk does in development
// instances. Without active_organization_id it is in the organization that the
// user has joined last: so Clerk describes memberships (Clerk OpenAPI bapi,
// CreateOrganizationMembership).
func (a *API) createSession(q *query, b []byte) []byte {
	if a.production() {
		return q.refuse(errProduction)
	}
	userID := q.text("user_id")
	if userID == "" {
		q.refuse(unprocessable("form_param_missing", "is missing", "user_id", "must be included."))
	}
	organizationID := q.text("active_organization_id")
	if q.failure == nil {
		organizationID = a.chooseOrganization(q, userID, organizationID)
	}
	if q.failure != nil {
		return nil
	}
	s, err := a.instance.OpenSession(userID, organizationID)
	if err != nil {
		// The user has been deleted a moment ago, or there is no event of it.
		return q.refuse(failureOf(err, "user", userID))
	}
	return resource.Append(b, tell(&s))
}

func tell(s *clerkinstance.Session) *session {
	return &session{
		Object: "session", ID: s.ID, ClientID: s.ClientID, UserID: s.UserID, Status: s.Status,
		ActiveOrganization: resource.OrNull(s.ActiveOrganization), LastActiveAt: s.CreatedAt,
		ExpireAt: s.ExpireAt, AbandonAt: s.AbandonAt, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

// sessionStatuses are those that a list can be filtered by.
var sessionStatuses = []string{"abandoned", "active", "ended", "expired", "removed", "replaced", "revoked"}

// listSessions lists the live sessions of a user or of a client, of which Clerk wants one to be named. Those that have
// ended are cleaned up at once: Clerk does so at times of its own.
func listSessions(v clerkinstance.View, q *query, b []byte) []byte {
	// It has no order_by.
	q.values.Del("order_by")
	p := q.page()
	user, client, status := q.values.Get("user_id"), q.values.Get("client_id"), q.values.Get("status")
	if user == "" && client == "" {
		q.refuse(unprocessable("form_param_missing", "is missing", "user_id", "or client_id must be included."))
	}
	if status != "" && !slices.Contains(sessionStatuses, status) {
		q.refuse(unprocessable("form_param_value_invalid", "is invalid", "status", "is not one of "+strings.Join(sessionStatuses, ", ")))
	}
	paginated := q.flag("paginated")
	if q.failure != nil {
		return nil
	}
	found := v.Sessions().Where(func(r clerkinstance.Row[clerkinstance.Session]) bool {
		s := r.Value()
		return (user == "" || s.UserID == user) && (client == "" || s.ClientID == client) && (status == "" || s.Status == status)
	})
	value := func(r clerkinstance.Row[clerkinstance.Session]) *session { return tell(r.Value()) }
	if paginated != nil && *paginated {
		return appendList(b, found, p, value)
	}
	return appendPage(b, found, p, value)
}

// revokeSession ends a session.
func (a *API) revokeSession(q *query, b []byte) []byte {
	id := q.path("session_id")
	s, err := a.instance.RevokeSession(id)
	if err != nil {
		return q.refuse(failureOf(err, "session", id))
	}
	return resource.Append(b, tell(&s))
}

// chooseOrganization says which organization a new session is in, "" for none.
func (a *API) chooseOrganization(q *query, userID, wanted string) string {
	v := a.instance.View()
	defer v.Close()
	_, ok := v.Users().Find(userID)
	switch {
	case !ok:
		q.refuse(notThere("user", userID))
	case wanted != "" && a.options.OrganizationsDisabled:
		q.refuse(errOrganizationsDisabled)
	case wanted != "" && !v.IsMember(wanted, userID):
		q.refuse(errNoMember)
	case wanted == "" && !a.options.OrganizationsDisabled:
		for last := range v.MembershipsOf(userID).Page(0, 1, true).All() {
			return last.Value().Organization.ID
		}
	}
	return wanted
}

// createToken makes a token of a session, of a template if the path names one.
// It has no azp, since no browser asks, and the session's active organization, if
// the user is still in it.
func (a *API) createToken(q *query, b []byte) []byte {
	o := tokens.Options{SessionID: q.path("session_id"), Lifetime: q.expiresIn()}
	if a.options.WithoutRole != nil {
		o.WithoutRole = a.options.WithoutRole()
	}
	v := a.instance.View()
	s, ok := v.Session(o.SessionID)
	if v.IsMember(s.ActiveOrganization, s.UserID) {
		o.OrganizationID = s.ActiveOrganization
	}
	v.Close()
	if !ok {
		q.refuse(notThere("session", o.SessionID))
	}
	if q.failure != nil {
		return nil
	}
	var token string
	var err error
	template := q.path("template_name")
	if template == "" {
		// One that is not found has ended a moment ago.
		if token, err = a.options.Tokens.SessionToken(o); err != nil {
			return q.refuse(failureOf(err, "session", o.SessionID))
		}
	} else if token, err = a.options.Tokens.TemplateToken(template, o); err != nil {
		return q.refuse(failureOf(err, "JWT template", template))
	}
	return resource.Append(b, &struct {
		Object string `json:"object"`
		JWT    string `json:"jwt"`
	}{"token", token})
}

// failureOf says that an object is not there, or what happens to a double alone.
func failureOf(err error, kind, id string) *resource.Failure {
	if errors.Is(err, clerkinstance.ErrNotFound) {
		return notThere(kind, id)
	}
	return broken(err)
}
