package clerkdouble

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
	"clerksync/shared/secret"
)

// JWTTemplate makes tokens for others than Clerk's own verifiers. Name is
// required.
type JWTTemplate struct {
	Name string
	// Claims are the template's. A text that is nothing but a shortcode gets its
	// value, of {{user.id}}, {{user.external_id}}, {{user.username}},
	// {{user.primary_email_address}}, {{org.id}}, {{org.slug}} and {{org.role}};
	// every other shortcode is null. In longer texts they stay as they are.
	Claims map[string]any
	// Lifetime is from making to exp; 0 means a minute.
	Lifetime time.Duration
	// AllowedClockSkew is from nbf to making; 0 means 5 seconds.
	AllowedClockSkew time.Duration
	// SigningKey, if set, signs in place of the instance's key, by HS256 and
	// without a kid: the template of Clerk's former Supabase integration has the
	// project's JWT secret there.
	SigningKey secret.Value
}

// SetJWTTemplate adds a template, or changes the one of that name.
func (c *Instance) SetJWTTemplate(t JWTTemplate) error {
	if t.Name == "" {
		return fmt.Errorf("setting a JWT template: it has no name")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.templates[t.Name] = t
	return nil
}

// templateClaims are what a template cannot override, and what it may not have
// (Clerk docs, JWT templates): it never makes what Clerk would take for a session
// token.
var templateClaims = []string{"azp", "exp", "fea", "iat", "iss", "jti", "nbf", "o", "pla", "sid", "sts", "sub", "v"}

// TemplateToken makes a token of a template. Of the options those count that say
// whose it is, when and for whom: UserID, SessionID, OrganizationID (for the
// template's shortcodes), Issuer, AuthorizedParty, At and Lifetime, if that is not
// 0.
func (c *Instance) TemplateToken(name string, o TokenOptions) (string, error) {
	t, claims, err := c.templateClaims(name, o)
	if err != nil {
		return "", fmt.Errorf("making a token of template %s: %w", name, err)
	}
	header := map[string]any{"cat": templateCategory}
	if t.SigningKey.IsZero() {
		return c.Sign(header, claims)
	}
	header["alg"], header["typ"] = "HS256", "JWT"
	return encodeToken(header, claims, func(text []byte) ([]byte, error) {
		mac := hmac.New(sha256.New, []byte(t.SigningKey.Reveal()))
		mac.Write(text)
		return mac.Sum(nil), nil
	})
}

func (c *Instance) templateClaims(name string, o TokenOptions) (JWTTemplate, map[string]any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ok := c.templates[name]
	if !ok {
		return t, nil, notFound("JWT template", name)
	}
	s, err := c.sessionFor(o.UserID, o.SessionID)
	if err != nil {
		return t, nil, err
	}
	var m *resource.OrganizationMembership
	if o.OrganizationID != "" {
		if m, err = c.membershipOf(o.OrganizationID, s.UserID); err != nil {
			return t, nil, err
		}
	}
	// A live session has a live user.
	u, _ := c.users.get(s.UserID)
	claims, _ := replaceShortcodes(maps.Clone(t.Claims), shortcodes(u, m)).(map[string]any)
	if claims == nil {
		claims = map[string]any{}
	}
	for _, claim := range templateClaims {
		delete(claims, claim)
	}
	at := o.At
	if at.IsZero() {
		at = c.now()
	}
	addTimes(claims, at, cmp.Or(o.Lifetime, t.Lifetime, tokenLifetime), cmp.Or(t.AllowedClockSkew, templateSkew))
	claims["iss"], claims["sub"], claims["jti"] = cmp.Or(o.Issuer, c.Issuer()), s.UserID, newTokenID()
	if o.AuthorizedParty != "" {
		claims["azp"] = o.AuthorizedParty
	}
	return t, claims, nil
}

// shortcodes are the values of those that are known.
func shortcodes(u resource.User, m *resource.OrganizationMembership) map[string]any {
	values := map[string]any{"user.id": u.ID}
	add := func(name string, value *string) {
		if value != nil {
			values[name] = *value
		}
	}
	add("user.external_id", u.ExternalID)
	add("user.username", u.Username)
	if email, ok := u.PrimaryEmail(); ok {
		values["user.primary_email_address"] = email.EmailAddress
	}
	if m != nil {
		values["org.id"], values["org.role"] = m.Organization.ID, m.Role
		add("org.slug", m.Organization.Slug)
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

// MachineTokenOptions describe a machine's token. MachineID is required.
type MachineTokenOptions struct {
	// MachineID begins with mch_.
	MachineID string
	// Scopes are the ids of the machines that it is for.
	Scopes []string
	// Issuer, At and Lifetime are as in TokenOptions.
	Issuer   string
	At       time.Time
	Lifetime time.Duration
}

// MachineToken makes a token of one machine for others (M2M) in its JWT form,
// signed by the same key as session tokens (Clerk JavaScript,
// backend/src/tokens/machine.ts).
func (c *Instance) MachineToken(o MachineTokenOptions) (string, error) {
	if !strings.HasPrefix(o.MachineID, "mch_") {
		return "", fmt.Errorf("making a machine token: %q is no machine's id, which begins with mch_", o.MachineID)
	}
	if o.At.IsZero() {
		o.At = c.now()
	}
	claims := map[string]any{
		"iss": cmp.Or(o.Issuer, c.Issuer()), "sub": o.MachineID, "jti": "mt_" + newTokenID(),
		"aud": o.Scopes, "scopes": strings.Join(o.Scopes, " "),
	}
	addTimes(claims, o.At, cmp.Or(o.Lifetime, tokenLifetime), 0)
	return c.Sign(map[string]any{"cat": machineCategory}, claims)
}
