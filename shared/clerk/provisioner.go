package clerk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"clerksync/shared/secret"
)

// ErrDevelopmentOnly says that the call is for development instances, and that the key is of a production instance. Nothing
// was sent.
var ErrDevelopmentOnly = errors.New("this is for development instances only")

// Provisioner is all that is ever written to an instance of Clerk: its Svix app and the links into it, a session to look at
// the token of, and an organization that is made to be deleted. It shares key, URL, budget and counts with the Backend that
// it comes from, and its errors are the same. Its methods may be called from many goroutines.
//
// What creates something is sent again after a 429 alone. After any other failure Clerk may have created it, which the
// error says, or the context's end hides: it is the caller who finds out, before another call.
type Provisioner struct{ backend *Backend }

// NewProvisioner makes one that writes with the key of a Backend.
func NewProvisioner(b *Backend) *Provisioner { return &Provisioner{backend: b} }

// CreateSvixApp gives the instance a Svix app, which webhooks need, and returns a link as SvixURL does: POST
// /webhooks/svix. Clerk refuses an instance that has one with 400, by a code that it does not publish: ErrUnprocessable.
func (p *Provisioner) CreateSvixApp(ctx context.Context) (secret.Value, error) {
	return p.svix(ctx, "/webhooks/svix")
}

// SvixURL returns a link into the portal where the instance's webhook endpoints are kept: POST /webhooks/svix_url. It signs
// in whom it is shown to, so it is a credential. That there is no Svix app is ErrUnprocessable, as above.
func (p *Provisioner) SvixURL(ctx context.Context) (secret.Value, error) {
	return p.svix(ctx, "/webhooks/svix_url")
}

func (p *Provisioner) svix(ctx context.Context, path string) (secret.Value, error) {
	var link secret.Value
	err := p.backend.ask(ctx, question{method: http.MethodPost, template: path, path: path, once: true}, func(body []byte, _ time.Time) error {
		address := memberText(body, "svix_url")
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			return errors.New(`no "svix_url" that is an https address where one was expected`)
		}
		link = secret.New(address)
		return nil
	})
	return link, err
}

// CreateSession opens a session for a user, without a browser: POST /sessions. Clerk does so in development instances only
// (ErrDevelopmentOnly). It lasts for days: RevokeSession ends it. That there is no such user is ErrNotFound.
func (p *Provisioner) CreateSession(ctx context.Context, userID string) (Session, error) {
	const path = "/sessions"
	switch {
	case p.backend.kind == LiveInstance:
		return Session{}, fmt.Errorf("POST %s: %w", path, ErrDevelopmentOnly)
	case !idPattern.MatchString(userID):
		return Session{}, fmt.Errorf("POST %s: %w", path, errNotID)
	}
	return p.session(ctx, question{template: path, path: path, once: true, body: object(map[string]string{"user_id": userID})})
}

// RevokeSession ends a session, and with it the user's way to further tokens: POST /sessions/{id}/revoke. A session that
// Clerk no longer has is ErrNotFound.
func (p *Provisioner) RevokeSession(ctx context.Context, sessionID string) (Session, error) {
	about, err := below(http.MethodPost, "/sessions", sessionID, "/revoke")
	if err != nil {
		return Session{}, err
	}
	return p.session(ctx, about)
}

func (p *Provisioner) session(ctx context.Context, about question) (Session, error) {
	about.method = http.MethodPost
	var session Session
	err := p.backend.ask(ctx, about, func(body []byte, _ time.Time) error {
		var err error
		session, err = readSession(body)
		return err
	})
	return session, err
}

// SessionToken makes a token of a session, as its browser would get one, for a minute: POST /sessions/{id}/tokens. A
// session that there is not, or no longer, is ErrNotFound.
func (p *Provisioner) SessionToken(ctx context.Context, sessionID string) (secret.Value, error) {
	about, err := below(http.MethodPost, "/sessions", sessionID, "/tokens")
	if err != nil {
		return secret.Value{}, err
	}
	about.once, about.body = true, object(map[string]string{})
	var token secret.Value
	err = p.backend.ask(ctx, about, func(body []byte, _ time.Time) error {
		jwt := memberText(body, "jwt")
		if jwt == "" {
			return errors.New(`no "jwt" where one was expected`)
		}
		token = secret.New(jwt)
		return nil
	})
	return token, err
}

// CreateOrganization makes an organization and returns its id: POST /organizations. The user createdBy becomes its admin
// and has it for the active one from the next session on; "" makes one without members. Both come with webhook events, as
// its end does. An instance without organizations is ErrNotEnabled.
func (p *Provisioner) CreateOrganization(ctx context.Context, name, createdBy string) (string, error) {
	const path = "/organizations"
	wanted := map[string]string{"name": name}
	if createdBy != "" {
		wanted["created_by"] = createdBy
	}
	var id string
	about := question{method: http.MethodPost, template: path, path: path, once: true, body: object(wanted)}
	err := p.backend.ask(ctx, about, func(body []byte, _ time.Time) error {
		if id = memberText(body, "id"); id == "" {
			return errors.New("no organization with an id where one was expected")
		}
		return nil
	})
	return id, err
}

// DeleteOrganization deletes an organization with its memberships and invitations, for good: DELETE /organizations/{id}.
// One that there is not is ErrNotFound, which is also what becomes of a call whose first answer was lost.
func (p *Provisioner) DeleteOrganization(ctx context.Context, id string) error {
	about, err := below(http.MethodDelete, "/organizations", id, "")
	if err != nil {
		return err
	}
	return p.backend.ask(ctx, about, func(body []byte, _ time.Time) error {
		if memberText(body, "id") != id {
			return errors.New("another object than the one that was to be deleted")
		}
		return nil
	})
}

// object is the body of a request. Strings cannot fail to be encoded.
func object(members map[string]string) []byte {
	body, _ := json.Marshal(members)
	return body
}
