package tokens

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/secret"
)

// Template makes tokens for others than Clerk's own verifiers. Name is
// required.
type Template struct {
	Name string
	// Claims are the template's. A text that is nothing but a shortcode gets its
	// value, of {{user.id}}, {{user.external_id}}, {{user.username}},
	// {{user.primary_email_address}}, {{org.id}}, {{org.slug}} and {{org.role}};
	// every other shortcode is null. In longer texts they stay as they are.
	Claims map[string]any
	// Lifetime is from making to exp; 0 means a minute.
	Lifetime time.Duration
	// SigningKey, if set, signs instead of the instance's key, by HS256 and
	// without a kid: the template of Clerk's former Supabase integration has the
	// project's JWT secret there.
	SigningKey secret.Value
}

// SetTemplate adds a template, or changes the one of that name.
func (m *Mint) SetTemplate(t Template) error {
	if t.Name == "" {
		return fmt.Errorf("setting a JWT template: it has no name")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.templates[t.Name] = t
	return nil
}

// templateClaims are what a template cannot override, and what it may not have
// (Clerk docs, JWT templates): it never makes what Clerk would take for a session
// token.
var templateClaims = []string{"azp", "exp", "fea", "iat", "iss", "jti", "nbf", "o", "pla", "sid", "sts", "sub", "v"}

// TemplateToken makes a token of a template. Of the options those count that say
// whose it is, when and for whom: UserID, SessionID, OrganizationID (for the
// template's shortcodes), AuthorizedParty, At and Lifetime, if that is not 0.
func (m *Mint) TemplateToken(name string, o Options) (string, error) {
	t, claims, err := m.templateClaims(name, o)
	if err != nil {
		return "", fmt.Errorf("making a token of template %s: %w", name, err)
	}
	header := map[string]any{"cat": templateCategory}
	if t.SigningKey.IsZero() {
		return m.Sign(header, claims)
	}
	header["alg"], header["typ"] = "HS256", "JWT"
	return sign(jwt.SigningMethodHS256, []byte(t.SigningKey.Reveal()), header, claims)
}

func (m *Mint) templateClaims(name string, o Options) (Template, map[string]any, error) {
	m.mu.Lock()
	t, ok := m.templates[name]
	m.mu.Unlock()
	if !ok {
		return t, nil, clerkinstance.ErrNotFound
	}
	p, err := m.instance.Presence(o.UserID, o.SessionID, o.OrganizationID)
	if err != nil {
		return t, nil, err
	}
	claims, _ := replaceShortcodes(maps.Clone(t.Claims), shortcodes(p)).(map[string]any)
	if claims == nil {
		claims = map[string]any{}
	}
	for _, claim := range templateClaims {
		delete(claims, claim)
	}
	addTimes(claims, m.moment(o.At), cmp.Or(o.Lifetime, t.Lifetime, tokenLifetime), templateSkew)
	claims["iss"], claims["sub"], claims["jti"] = m.issuer, p.Session.UserID, newTokenID()
	if o.AuthorizedParty != "" {
		claims["azp"] = o.AuthorizedParty
	}
	return t, claims, nil
}

// shortcodes are the values of those that are known.
func shortcodes(p clerkinstance.Presence) map[string]any {
	values := map[string]any{"user.id": p.User.ID}
	add := func(name string, value *string) {
		if value != nil {
			values[name] = *value
		}
	}
	add("user.external_id", p.User.ExternalID)
	add("user.username", p.User.Username)
	if email, ok := p.User.PrimaryEmail(); ok {
		values["user.primary_email_address"] = email.EmailAddress
	}
	if p.Membership != nil {
		values["org.id"], values["org.role"] = p.Membership.Organization.ID, p.Membership.Role
		add("org.slug", p.Membership.Organization.Slug)
	}
	return values
}

// replaceShortcodes returns a claim with its shortcodes replaced, at any depth.
func replaceShortcodes(claim any, values map[string]any) any {
	switch claim := claim.(type) {
	case string:
		name, begins := strings.CutPrefix(claim, "{{")
		if name, ends := strings.CutSuffix(name, "}}"); begins && ends {
			return values[strings.TrimSpace(name)]
		}
	case map[string]any:
		replaced := make(map[string]any, len(claim))
		for name, value := range claim {
			replaced[name] = replaceShortcodes(value, values)
		}
		return replaced
	case []any:
		replaced := make([]any, len(claim))
		for i, value := range claim {
			replaced[i] = replaceShortcodes(value, values)
		}
		return replaced
	}
	return claim
}

// MachineOptions describe a machine's token. MachineID is required.
type MachineOptions struct {
	// MachineID begins with mch_.
	MachineID string
	// Scopes are the ids of the machines that it is for.
	Scopes []string
	// At and Lifetime are as in [Options].
	At       time.Time
	Lifetime time.Duration
}

// MachineToken makes a token of one machine for others (M2M) in its JWT form,
// signed by the same key as session tokens (Clerk JavaScript,
// backend/src/tokens/machine.ts).
func (m *Mint) MachineToken(o MachineOptions) (string, error) {
	if !strings.HasPrefix(o.MachineID, "mch_") {
		return "", fmt.Errorf("making a machine token: %q is no machine's id, which begins with mch_", o.MachineID)
	}
	claims := map[string]any{
		"iss": m.issuer, "sub": o.MachineID, "jti": "mt_" + newTokenID(),
		"aud": o.Scopes, "scopes": strings.Join(o.Scopes, " "),
	}
	addTimes(claims, m.moment(o.At), cmp.Or(o.Lifetime, tokenLifetime), 0)
	return m.Sign(map[string]any{"cat": machineCategory}, claims)
}
