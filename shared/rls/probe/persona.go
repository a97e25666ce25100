package probe

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"clerksync/sql/platform"
)

// PersonaID names a kind of caller; the ids never change.
type PersonaID string

// The kinds of callers. Those that are signed in have a token of version 2 with a
// session that is active and a second factor that was just passed, unless their
// name says otherwise.
const (
	Anonymous         PersonaID = "anonymous"
	NoRole            PersonaID = "no-role"
	Owner             PersonaID = "owner"
	OwnerV1           PersonaID = "owner-v1"
	OtherUser         PersonaID = "other-user"
	Member            PersonaID = "member"
	MemberV1          PersonaID = "member-v1"
	Admin             PersonaID = "admin"
	OtherOrganization PersonaID = "other-org-admin"
	NoOrganization    PersonaID = "no-active-org"
	Removed           PersonaID = "removed-member"
	Pending           PersonaID = "pending"
	Impersonated      PersonaID = "impersonated"
	NoSecondFactor    PersonaID = "no-second-factor"
	OldSecondFactor   PersonaID = "old-second-factor"
	ApplicationRole   PersonaID = "application-role"
	SelfMadeClaims    PersonaID = "self-made-claims"
	ServiceRole       PersonaID = "service-role"
	SupabaseUser      PersonaID = "supabase-uuid"
)

// Persona is a kind of caller.
type Persona struct {
	ID PersonaID `json:"id"`
	// Is says who it is in a sentence.
	Is string `json:"is"`
	// Role is what the Data API runs its requests as.
	Role string `json:"role"`
	// Alarm marks a caller whom no policy holds back.
	Alarm bool `json:"alarm,omitempty"`

	claims map[string]any
	// self is whom and where the persona's own new rows belong to.
	self subject
}

// subject is whom a row belongs to; either part may be empty.
type subject struct{ user, organization string }

// cast is everybody who plays a part, with ids that look like Clerk's.
type cast struct {
	owner, member, admin, removed, other, otherAdmin, supabase string
	stranger, stranger2                                        string
	orgA, orgB                                                 string
	// The uuids own rows whose columns cannot hold a Clerk id.
	strangerUUID, strangerUUID2 string
	orgUUIDs                    [2]string
	// extra plays the organization roles that policies name beside admin and member.
	extra map[string]string
}

// hints are what policies ask of callers beyond who they are.
type hints struct {
	// roles of organizations beside org:admin and org:member.
	roles []string
	// permissions of organizations, such as "org:invoices:manage".
	permissions []string
	// claim and value make an application role.
	claim []string
	value string
}

const (
	roleAdmin  = "org:admin"
	roleMember = "org:member"
)

// personas are all callers, in the order of every report.
func personas(c cast, h hints) []Persona {
	ownA := func(user string) subject { return subject{user, c.orgA} }
	v2 := func(user, org, role string, changes map[string]any) map[string]any {
		claims := sessionClaims(user)
		maps.Copy(claims, map[string]any{"v": 2, "sts": "active", "pla": "u:free", "jti": "jti_probe"})
		if org != "" {
			maps.Copy(claims, organizationClaims(org, role, h.permissions))
		}
		maps.Copy(claims, changes)
		return claims
	}
	v1 := func(user, role string) map[string]any {
		claims := sessionClaims(user)
		claims["org_id"], claims["org_slug"], claims["org_role"], claims["org_permissions"] = c.orgA, "probe", role, []string{}
		return claims
	}
	list := []Persona{
		{ID: Anonymous, Role: platform.Anon, Is: "a request without a token", claims: map[string]any{}},
		{ID: NoRole, Role: platform.Anon, Is: "the owner, with a token that lacks the role claim and so runs as anon", claims: v2(c.owner, c.orgA, roleMember, nil), self: ownA(c.owner)},
		{ID: Owner, Role: platform.Authenticated, Is: "the owner of the own rows, in their organization as a member", claims: v2(c.owner, c.orgA, roleMember, nil), self: ownA(c.owner)},
		{ID: OwnerV1, Role: platform.Authenticated, Is: "the owner, with a token of version 1", claims: v1(c.owner, roleMember), self: ownA(c.owner)},
		{ID: OtherUser, Role: platform.Authenticated, Is: "signed in, related to none of the rows, in no organization", claims: v2(c.other, "", "", nil), self: subject{user: c.other}},
		{ID: Member, Role: platform.Authenticated, Is: "a member of the own rows' organization, not their owner", claims: v2(c.member, c.orgA, roleMember, nil), self: ownA(c.member)},
		{ID: MemberV1, Role: platform.Authenticated, Is: "the member, with a token of version 1", claims: v1(c.member, roleMember), self: ownA(c.member)},
		{ID: Admin, Role: platform.Authenticated, Is: "an admin of the own rows' organization, with every permission that policies name", claims: v2(c.admin, c.orgA, roleAdmin, nil), self: ownA(c.admin)},
	}
	for _, role := range h.roles {
		list = append(list, Persona{
			ID: PersonaID("role " + role), Role: platform.Authenticated, Is: "in the own rows' organization with the role " + role,
			claims: v2(c.extra[role], c.orgA, role, nil), self: ownA(c.extra[role]),
		})
	}
	return append(list,
		Persona{ID: OtherOrganization, Role: platform.Authenticated, Is: "an admin of the organization of the other rows", claims: v2(c.otherAdmin, c.orgB, roleAdmin, nil), self: subject{c.otherAdmin, c.orgB}},
		Persona{ID: NoOrganization, Role: platform.Authenticated, Is: "the member, with no organization active in the token", claims: v2(c.member, "", "", nil), self: ownA(c.member)},
		Persona{ID: Removed, Role: platform.Authenticated, Is: "a former admin of the organization, whose token still names it", claims: v2(c.removed, c.orgA, roleAdmin, nil), self: ownA(c.removed)},
		Persona{ID: Pending, Role: platform.Authenticated, Is: "the owner, with a session whose sts is pending", claims: v2(c.owner, c.orgA, roleMember, map[string]any{"sts": "pending"}), self: ownA(c.owner)},
		Persona{ID: Impersonated, Role: platform.Authenticated, Is: "somebody of the staff who acts as the owner (act)", claims: v2(c.owner, c.orgA, roleMember, map[string]any{
			"act": map[string]any{"iss": "https://dashboard.clerk.com", "sid": "sess_probe", "sub": "user_staff"},
		}), self: ownA(c.owner)},
		Persona{ID: NoSecondFactor, Role: platform.Authenticated, Is: "the owner, without a second factor (fva)", claims: v2(c.owner, c.orgA, roleMember, map[string]any{"fva": []int{0, -1}}), self: ownA(c.owner)},
		Persona{ID: OldSecondFactor, Role: platform.Authenticated, Is: "the owner, with a second factor that was passed a week ago", claims: v2(c.owner, c.orgA, roleMember, map[string]any{"fva": []int{week, week}}), self: ownA(c.owner)},
		Persona{ID: ApplicationRole, Role: platform.Authenticated, Is: "unrelated, with the application's role " + h.value + " in the claim " + strings.Join(h.claim, "."), claims: v2(c.other, "", "", nested(h.claim, h.value)), self: subject{user: c.other}},
		Persona{ID: SelfMadeClaims, Role: platform.Authenticated, Is: "unrelated, with the owner's ids and an admin's role in claims that users edit themselves", claims: v2(c.other, "", "", selfMade(c, h)), self: subject{user: c.other}},
		Persona{ID: ServiceRole, Role: platform.ServiceRole, Alarm: true, Is: "unrelated, with service_role in the role claim: row level security is off for such a token", claims: v2(c.other, "", "", nil), self: subject{user: c.other}},
		Persona{ID: SupabaseUser, Role: platform.Authenticated, Is: "a user of Supabase Auth, whose sub is a uuid", claims: map[string]any{"sub": c.supabase, "aud": platform.Authenticated, "session_id": c.supabase}, self: subject{user: c.supabase}},
	)
}

// week is in minutes, as fva counts.
const week = 7 * 24 * 60

// sessionClaims are what tokens of both versions carry. Their times are the same in
// every run, and their end is in the year 2100: no policy that looks at it refuses.
func sessionClaims(user string) map[string]any {
	return map[string]any{
		"sub": user, "sid": "sess_probe", "iss": "https://clerk.example.com", "azp": "https://app.example.com",
		"iat": 1790000000, "nbf": 1789999990, "exp": 4102444800, "fva": []int{0, 0},
	}
}

// organizationClaims are o and fea of version 2; an admin has every permission.
func organizationClaims(org, role string, permissions []string) map[string]any {
	o := map[string]any{"id": org, "slg": "probe", "rol": strings.TrimPrefix(role, "org:")}
	claims := map[string]any{"o": o}
	if role != roleAdmin {
		return claims
	}
	var features, names []string
	masks := map[string]int{}
	for _, p := range permissions {
		parts := strings.SplitN(p, ":", 3)
		if !slices.Contains(features, parts[1]) {
			features = append(features, parts[1])
		}
		bit := slices.Index(names, parts[2])
		if bit < 0 {
			bit = len(names)
			names = append(names, parts[2])
		}
		masks[parts[1]] |= 1 << bit
	}
	fea, fpm := make([]string, len(features)), make([]string, len(features))
	for i, feature := range features {
		fea[i], fpm[i] = "o:"+feature, strconv.Itoa(masks[feature])
	}
	claims["fea"] = strings.Join(fea, ",")
	o["per"], o["fpm"] = strings.Join(names, ","), strings.Join(fpm, ",")
	return claims
}

// nested is a claim below others: {"metadata":{"role":"admin"}}.
func nested(path []string, value string) map[string]any {
	var inner any = value
	for _, key := range slices.Backward(path) {
		inner = map[string]any{key: inner}
	}
	claims, ok := inner.(map[string]any)
	if !ok {
		return nil
	}
	return claims
}

// selfMade is what a user can write about itself, under the names by which
// claims are wrongly trusted.
func selfMade(c cast, h hints) map[string]any {
	lie := map[string]any{
		"sub": c.owner, "user_id": c.owner, "owner_id": c.owner, "clerk_id": c.owner,
		"org_id": c.orgA, "organization_id": c.orgA, "tenant_id": c.orgA, "org_role": roleAdmin,
		"role": h.value, "roles": []string{h.value}, "is_admin": true, "admin": true,
		"o": map[string]any{"id": c.orgA, "rol": "admin"},
	}
	return map[string]any{"unsafe_metadata": lie, "unsafeMetadata": lie, "user_metadata": lie}
}

// claimsJSON is what the Data API puts into request.jwt.claims: the token's
// claims, with the role that it settled on.
func (p Persona) claimsJSON() string {
	claims := maps.Clone(p.claims)
	claims["role"] = p.Role
	text, err := json.Marshal(claims)
	if err != nil {
		return "{}" // strings, numbers, lists and maps of them: it cannot happen
	}
	return string(text)
}
