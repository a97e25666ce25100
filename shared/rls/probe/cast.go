package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
)

var (
	permissionText = regexp.MustCompile(`'(org:[a-z0-9_-]+:[a-z0-9_:-]+)'`)
	roleText       = regexp.MustCompile(`'(org:[a-z0-9_-]+)'`)
	claimText      = regexp.MustCompile(`claim(?:_values)?\('\{([^{}']+)\}'`)
	listText       = regexp.MustCompile(`(?:ARRAY\[|= |&& )'((?:[^']|'')+)'::text`)
)

const maxRoles = 5

// readHints reads from policies what roles, permissions and claims they ask for.
func readHints(policies []catalog.Policy) hints {
	h := hints{claim: []string{"metadata", "role"}, value: "admin"}
	known := map[string]bool{roleAdmin: true, roleMember: true}
	found := false
	for _, policy := range policies {
		for _, text := range []string{policy.Using, policy.Check} {
			for _, m := range permissionText.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(h.permissions, m[1]) {
					h.permissions = append(h.permissions, m[1])
				}
			}
			for _, m := range roleText.FindAllStringSubmatch(text, -1) {
				if !known[m[1]] && len(h.roles) < maxRoles {
					known[m[1]] = true
					h.roles = append(h.roles, m[1])
				}
			}
			if m := claimText.FindStringSubmatch(text); m != nil && !found {
				h.claim = strings.Split(m[1], ",")
				found = true
				for _, v := range listText.FindAllStringSubmatch(text, -1) {
					if !strings.HasPrefix(v[1], "org:") && !strings.HasPrefix(v[1], "{") {
						h.value = strings.ReplaceAll(v[1], "''", "'")
						break
					}
				}
			}
		}
	}
	if len(h.permissions) == 0 {
		h.permissions = []string{"org:probe:read"}
	}
	slices.Sort(h.permissions)
	slices.Sort(h.roles)
	return h
}

// makeCast draws ids that nobody has, of Clerk's form, and what hides them in
// texts for people.
func (p *prober) makeCast() error {
	var seed [8]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return fmt.Errorf("drawing random ids: %w", err)
	}
	p.maker.salt = int64(binary.BigEndian.Uint64(seed[:]) >> 12) // fits a float, as JSON has numbers
	p.maker.long = strings.ToLower(rand.Text()[:10])
	var hide []string
	id := func(prefix, name string) string {
		text := prefix + "_" + (rand.Text() + rand.Text())[:27]
		hide = append(hide, text, "<"+name+">")
		return text
	}
	uuid := func() string {
		var b [16]byte
		_, _ = rand.Read(b[:]) // it never fails; see crypto/rand
		b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
		text := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		hide = append(hide, text, "<uuid>")
		return text
	}
	c := &p.cast
	c.owner, c.member, c.admin, c.removed = id("user", "owner"), id("user", "member"), id("user", "admin"), id("user", "removed")
	c.other, c.otherAdmin, c.stranger, c.stranger2 = id("user", "other"), id("user", "other admin"), id("user", "stranger"), id("user", "stranger")
	c.orgA, c.orgB = id("org", "own organization"), id("org", "other organization")
	c.supabase, c.strangerUUID, c.strangerUUID2 = uuid(), uuid(), uuid()
	c.orgUUIDs = [2]string{uuid(), uuid()}
	c.extra = map[string]string{}
	for _, role := range p.hints.roles {
		c.extra[role] = id("user", role)
	}
	hide = append(hide, p.maker.long, "…")
	p.scrubber = strings.NewReplacer(hide...)
	return nil
}

// asUUID is what stands for a Clerk id in a column that cannot hold one.
func (c cast) asUUID(id string) string {
	switch id {
	case c.owner:
		return c.supabase
	case c.stranger:
		return c.strangerUUID
	case c.stranger2:
		return c.strangerUUID2
	case c.orgA:
		return c.orgUUIDs[0]
	case c.orgB:
		return c.orgUUIDs[1]
	case "", null, c.supabase:
		return id
	default:
		return c.strangerUUID2
	}
}

// clean is a refusal without the run's own ids. The values of a detail are left
// out: they could be somebody's.
func (p *prober) clean(refused *pgconn.PgError) error {
	return fmt.Errorf("%s (SQLSTATE %s)", p.scrubber.Replace(refused.Message), refused.Code)
}

// said are the database's words about a refusal, unless they could be about
// somebody's row.
func (p *prober) said(refused *refusal) string {
	if p.borrowed {
		return "SQLSTATE " + refused.Err.Code
	}
	return p.clean(refused.Err).Error()
}

type member struct{ user, org, role, deleted string }

// members are who belongs to which organization, in the copy.
func (p *prober) members() []member {
	c := p.cast
	list := []member{
		{c.owner, c.orgA, roleMember, null},
		{c.member, c.orgA, roleMember, null},
		{c.admin, c.orgA, roleAdmin, null},
		{c.removed, c.orgA, roleAdmin, "2001-01-01"},
		{c.otherAdmin, c.orgB, roleAdmin, null},
		{c.stranger, c.orgB, roleMember, null},
		{c.stranger2, c.orgB, roleMember, null},
	}
	for _, role := range slices.Sorted(maps.Keys(c.extra)) {
		list = append(list, member{c.extra[role], c.orgA, role, null})
	}
	return list
}

// membership is the id of a persona's membership.
func membership(user string) string { return "orgmem_" + strings.TrimPrefix(user, "user_") }

// Versions of rows of the copy, as SQL: told by Clerk, and deleted. A persona's row must
// look like one that the sync rules wrote.
const (
	told    = "'2.000000000000000.000000000000000.3.'"
	deleted = "'9'"
)

// populate writes the personas into the copy, if there is one.
func (p *prober) populate(ctx context.Context) error {
	if p.database.Copy == "" {
		return nil
	}
	c := p.cast
	in := func(table string) string { return catalog.Name{Schema: p.database.Copy, Table: table}.SQL() }
	helper := func(table string) string { return catalog.Name{Schema: string(p.database.Helpers), Table: table}.SQL() }
	users := []string{"(" + literal(c.other) + ", " + told + ")"}
	organizations := fmt.Sprintf("(%s, %s, %[5]s), (%[3]s, %[4]s, %[5]s)", literal(c.orgA), literal(c.owner), literal(c.orgB), literal(c.stranger), told)
	var memberships []string
	for _, m := range p.members() {
		users = append(users, "("+literal(m.user)+", "+told+")")
		permissions := "'{}'"
		if m.role == roleAdmin {
			permissions = literal("{" + strings.Join(p.hints.permissions, ",") + "}")
		}
		version := told
		if m.deleted != null {
			version = deleted
		}
		memberships = append(memberships, fmt.Sprintf("(%s, %s, %s, %s, %s, %s, %s)",
			literal(membership(m.user)), literal(m.org), literal(m.user), literal(m.role), permissions, literal(m.deleted), version))
	}
	var permissions, ids []string
	for i, key := range p.hints.permissions {
		id := fmt.Sprintf("perm_%s%d", p.maker.long, i)
		ids = append(ids, id)
		permissions = append(permissions, "("+literal(id)+", "+literal(key)+", "+told+")")
	}
	var roles []string
	for i, key := range append([]string{roleAdmin, roleMember}, p.hints.roles...) {
		grants := "{}"
		if key == roleAdmin {
			grants = "{" + strings.Join(ids, ",") + "}"
		}
		roles = append(roles, fmt.Sprintf("(%s, %s, %s, %s)", literal(fmt.Sprintf("role_%s%d", p.maker.long, i)), literal(key), literal(grants), told))
	}
	err := p.must(ctx, "writing the personas into the copy in schema "+p.database.Copy,
		"insert into "+in("users")+" (clerk_id, sync_version) values "+strings.Join(users, ", "),
		"insert into "+in("organizations")+" (clerk_org_id, created_by, sync_version) values "+organizations,
		"insert into "+in("organization_memberships")+" (clerk_membership_id, clerk_org_id, clerk_user_id, role, permissions, deleted_at, sync_version) values "+strings.Join(memberships, ", "),
		"insert into "+helper("organization_permissions")+" (clerk_permission_id, key, sync_version) values "+strings.Join(permissions, ", "),
		"insert into "+helper("organization_roles")+" (clerk_role_id, key, permission_ids, sync_version) values "+strings.Join(roles, ", "))
	if request.Code(err) == "42501" {
		return fmt.Errorf("%w: %w; connect as the role that ran clerksync's migrations", ErrPrivileges, err)
	}
	return err
}

// inCopy answers the keys of the row that somebody has in a table of the copy.
func (p *prober) inCopy(name catalog.Name, who subject) (map[string]string, bool) {
	if p.database.Copy == "" || name.Schema != p.database.Copy {
		return nil, false
	}
	user, org := who.user, who.organization
	if user == "" {
		user = p.cast.owner
	}
	if org == "" {
		org = p.cast.orgA
	}
	switch name.Table {
	case "users", "users_public":
		return map[string]string{"clerk_id": user}, true
	case "organizations":
		return map[string]string{"clerk_org_id": org}, true
	case "organization_memberships":
		return map[string]string{"clerk_membership_id": membership(user), "clerk_org_id": org, "clerk_user_id": user}, true
	}
	return nil, false
}
