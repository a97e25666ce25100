package tokens

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"clerksync/shared/devstack/clerkdouble/clerkinstance"
	"clerksync/shared/devstack/clerkdouble/resource"
)

// The classes that the header's cat names (Clerk JavaScript,
// backend/src/tokens/jwtCategories.ts).
const (
	sessionCategory  = "cl_B7d4PD111AAA"
	templateCategory = "cl_B7d4PD222AAA"
	machineCategory  = "cl_B7d4PD333AAA"
)

const (
	// tokenLifetime is that of session tokens, and of templates that name none.
	tokenLifetime = time.Minute
	// tokenSkew is how long before its making a session token is valid.
	tokenSkew = 10 * time.Second
	// templateSkew is that of templates.
	templateSkew = 5 * time.Second
)

// Options describe a session token. Only UserID or SessionID is required.
type Options struct {
	// UserID is a live user. The token is of the user's latest session, which is
	// opened, with its event, where there is none. It may be empty if SessionID is
	// set.
	UserID string
	// SessionID is a live session, of that user.
	SessionID string
	// Version is 1 or 2; 0 means 2, which Clerk has made since API version
	// 2025-04-10.
	Version int
	// OrganizationID is the active organization, of which the user is a member;
	// "" for none.
	OrganizationID string
	// AuthorizedParty is azp; "" leaves it out, as where there was no Origin.
	AuthorizedParty string
	// Status is sts; "" means active, which version 1 leaves unsaid.
	Status string
	// FactorAges is fva; nil means the session's age in minutes and -1.
	FactorAges []int
	// Actor is act, for impersonation; nil leaves it out.
	Actor map[string]any
	// Plan is pla, of version 2; "" means u:free, or o:free with an organization.
	Plan string
	// UserFeatures are features of the user's own plan, which stand behind those
	// of the organization in fea.
	UserFeatures []string
	// Claims are the instance's custom ones. Those that Clerk makes itself cannot
	// be overridden.
	Claims map[string]any
	// WithoutRole leaves out "role": "authenticated", which is a custom claim once
	// Clerk's Supabase integration is active. A role in Claims stays.
	WithoutRole bool
	// At is the moment of the making; zero means now.
	At time.Time
	// Lifetime is from At to exp; 0 means a minute.
	Lifetime time.Duration
}

// reservedClaims are what custom claims of a session token cannot override: the
// default claims of both versions.
var reservedClaims = []string{
	"act", "azp", "exp", "fea", "fva", "iat", "iss", "jti", "nbf", "o", "org_id", "org_permissions", "org_role", "org_slug",
	"pla", "sid", "sts", "sub", "v",
}

// SessionToken makes a session token, as Clerk's front end gets one every
// minute. See [Options] for what it says.
//
// Permissions are those that the user's role grants now, without Clerk's own
// (sys_…), which tokens never carry. In version 2 fea names every feature that
// the instance has permissions of, and fpm is 0 for those that the role has none
// of.
func (m *Mint) SessionToken(o Options) (string, error) {
	if o.Version == 0 {
		o.Version = 2
	}
	if o.Version != 1 && o.Version != 2 {
		return "", fmt.Errorf("making a session token: there is no version %d", o.Version)
	}
	claims, err := m.sessionClaims(o)
	if err != nil {
		return "", fmt.Errorf("making a session token: %w", err)
	}
	return m.Sign(map[string]any{"cat": sessionCategory}, claims)
}

func (m *Mint) sessionClaims(o Options) (map[string]any, error) {
	p, err := m.instance.Presence(o.UserID, o.SessionID, o.OrganizationID)
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	if !o.WithoutRole {
		claims["role"] = "authenticated"
	}
	maps.Copy(claims, o.Claims)
	for _, name := range reservedClaims {
		delete(claims, name)
	}

	at := m.moment(o.At)
	addTimes(claims, at, cmp.Or(o.Lifetime, tokenLifetime), tokenSkew)
	claims["iss"] = m.issuer
	claims["sub"], claims["sid"] = p.Session.UserID, p.Session.ID
	if claims["fva"] = o.FactorAges; o.FactorAges == nil {
		claims["fva"] = []int{max(0, int(at.Sub(p.Session.CreatedAt.Time())/time.Minute)), -1}
	}
	if o.AuthorizedParty != "" {
		claims["azp"] = o.AuthorizedParty
	}
	if o.Actor != nil {
		claims["act"] = o.Actor
	}
	if o.Status != "" {
		claims["sts"] = o.Status
	}
	if o.Version == 1 {
		addOrganizationV1(claims, p)
		return claims, nil
	}
	claims["v"], claims["jti"], claims["sts"] = 2, newTokenID(), cmp.Or(o.Status, "active")
	addOrganizationV2(claims, p, o)
	return claims, nil
}

// moment is when a token is made.
func (m *Mint) moment(wanted time.Time) time.Time {
	if wanted.IsZero() {
		return m.instance.Now()
	}
	return wanted
}

// addTimes adds iat, exp and nbf, in seconds.
func addTimes(claims map[string]any, at time.Time, lifetime, skew time.Duration) {
	claims["iat"] = at.Unix()
	claims["exp"] = at.Unix() + int64(lifetime/time.Second)
	claims["nbf"] = at.Unix() - int64(skew/time.Second)
}

// grant is a permission in its parts, org:<feature>:<name>.
type grant struct{ feature, name string }

// granted are the permissions of a list that tokens carry, in order.
func granted(permissions []resource.Permission) []grant {
	var grants []grant
	for _, p := range permissions {
		feature, name, ok := strings.Cut(strings.TrimPrefix(p.Key, "org:"), ":")
		if ok && p.Type != "system" {
			grants = append(grants, grant{feature, name})
		}
	}
	slices.SortFunc(grants, func(a, b grant) int {
		return cmp.Or(strings.Compare(a.feature, b.feature), strings.Compare(a.name, b.name))
	})
	return grants
}

func addOrganizationV1(claims map[string]any, p clerkinstance.Presence) {
	if p.Membership == nil {
		return
	}
	permissions := []string{}
	for _, g := range granted(p.Role.Permissions) {
		permissions = append(permissions, "org:"+g.feature+":"+g.name)
	}
	claims["org_id"], claims["org_role"], claims["org_permissions"] = p.Membership.Organization.ID, p.Role.Key, permissions
	if slug := p.Membership.Organization.Slug; slug != nil {
		claims["org_slug"] = *slug
	}
}

// addOrganizationV2 adds fea, pla and o (Clerk docs, session tokens). per are the
// names of all permissions that are granted, and each feature has a number in
// fpm whose bit i stands for the i-th of them.
func addOrganizationV2(claims map[string]any, p clerkinstance.Presence, o Options) {
	claims["pla"] = cmp.Or(o.Plan, "u:free")
	var features, fea []string
	if p.Membership != nil {
		claims["pla"] = cmp.Or(o.Plan, "o:free")
		for _, g := range granted(p.Permissions) {
			features = append(features, g.feature)
		}
		features = slices.Compact(features)
	}
	for _, feature := range features {
		fea = append(fea, "o:"+feature)
	}
	for _, feature := range o.UserFeatures {
		fea = append(fea, "u:"+feature)
	}
	if len(fea) > 0 {
		claims["fea"] = strings.Join(fea, ",")
	}
	if p.Membership == nil {
		return
	}
	organization := map[string]any{"id": p.Membership.Organization.ID, "rol": strings.TrimPrefix(p.Role.Key, "org:")}
	if slug := p.Membership.Organization.Slug; slug != nil {
		organization["slg"] = *slug
	}
	if grants := granted(p.Role.Permissions); len(grants) > 0 {
		organization["per"], organization["fpm"] = encodePermissions(features, grants)
	}
	claims["o"] = organization
}

// encodePermissions returns per and fpm.
func encodePermissions(features []string, grants []grant) (per, fpm string) {
	var names []string
	for _, g := range grants {
		names = append(names, g.name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	masks := make([]string, len(features))
	for i, feature := range features {
		mask := new(big.Int)
		for bit, name := range names {
			if slices.Contains(grants, grant{feature, name}) {
				mask.SetBit(mask, bit, 1)
			}
		}
		masks[i] = mask.String()
	}
	return strings.Join(names, ","), strings.Join(masks, ",")
}

// newTokenID makes a jti. It is random, and not of the seed: how often tokens
// are asked for must not change the instance's history.
func newTokenID() string {
	id := make([]byte, 10)
	// Never fails (crypto/rand).
	_, _ = rand.Read(id)
	return hex.EncodeToString(id)
}
