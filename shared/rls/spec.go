package rls

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"clerksync/shared/rls/catalog"
)

// Patterns, by name.
const (
	PatternOwner          = "owner"
	PatternPublicProfile  = "public-profile"
	PatternOrganization   = "organization"
	PatternRoleBased      = "role-based"
	PatternPublishedOrOwn = "published-or-own"
	PatternReadOnly       = "read-only"
)

// Patterns lists the patterns with what each means, in the order in which they are explained.
func Patterns() []Word {
	return []Word{
		{PatternOwner, "", "users read and write their own rows"},
		{PatternPublicProfile, "", "signed-in users (with anon: everyone) read, users write their own row; with public columns the table itself stays private and a projection of those is read"},
		{PatternOrganization, "", "members of the row's organization read and write"},
		{PatternRoleBased, "", "members read, some roles or permissions write; or application roles do both"},
		{PatternPublishedOrOwn, "", "signed-in users (with anon: everyone) read what is published, users read and write their own rows"},
		{PatternReadOnly, "", "signed-in users (with anon: everyone) read, only the service writes"},
	}
}

// Organizations says where the caller's organizations are taken from.
type Organizations string

// The sources of organizations.
const (
	// Mirrored: every organization that the caller belongs to now, from the copy.
	Mirrored Organizations = "mirrored"
	// Active: the one that is active in the caller's token.
	Active Organizations = "active"
	// Both: the active one, while the copy says that the caller belongs to it.
	Both Organizations = "both"
)

// Restriction is a condition that every request of a signed-in user has to meet
// besides the rules.
type Restriction struct {
	// Name is one of the names that [Restrictions] lists.
	Name string
	// Minutes limits the age of a second factor; 0 does not.
	Minutes int
	// WritesOnly leaves reading as it is.
	WritesOnly bool
}

// The restrictions.
const (
	activeSession  = "active-session"
	secondFactor   = "second-factor"
	notImpersonate = "no-impersonation"
)

// Restrictions lists the restrictions with what each means.
func Restrictions() []Word {
	return []Word{
		{activeSession, "", "no session task is pending"},
		{secondFactor, "minutes?", "the session passed a second factor, at most so many minutes ago"},
		{notImpersonate, "", "nobody acts as the user"},
	}
}

// ParseRestriction reads "second-factor", "second-factor(10)" or, for writes
// only, "second-factor:write".
func ParseRestriction(text string) (Restriction, error) {
	name, write, scoped := strings.Cut(text, ":")
	if scoped && write != "write" {
		return Restriction{}, fmt.Errorf("restriction %q: after the colon only write can follow", text)
	}
	r := Restriction{Name: name, WritesOnly: scoped}
	if before, inside, found := strings.Cut(name, "("); found {
		r.Name = before
		if _, err := fmt.Sscanf(inside, "%d)", &r.Minutes); err != nil || fmt.Sprintf("%d)", r.Minutes) != inside ||
			r.Name != secondFactor || r.Minutes < 1 || r.Minutes > 525_600 { // a year
			return Restriction{}, fmt.Errorf("restriction %q: only second-factor takes a number, of minutes from 1 to 525600", text)
		}
	}
	if !slices.ContainsFunc(Restrictions(), func(w Word) bool { return w.Name == r.Name }) {
		return Restriction{}, fmt.Errorf("there is no restriction %q; there are %s, %s and %s", text, activeSession, secondFactor, notImpersonate)
	}
	return r, nil
}

// String is the restriction as [ParseRestriction] reads it.
func (r Restriction) String() string {
	text := r.Name
	if r.Minutes > 0 {
		text += fmt.Sprintf("(%d)", r.Minutes)
	}
	if r.WritesOnly {
		text += ":write"
	}
	return text
}

// sql is the restriction as a condition.
func (r Restriction) sql(helpers catalog.Helpers) string {
	switch r.Name {
	case activeSession:
		return helpers.Fill("(select {{helpers}}.session_is_active())")
	case secondFactor:
		if r.Minutes > 0 {
			return fmt.Sprintf(helpers.Fill("(select {{helpers}}.has_second_factor(%d))"), r.Minutes)
		}
		return helpers.Fill("(select {{helpers}}.has_second_factor())")
	default:
		return helpers.Fill("not (select {{helpers}}.is_impersonated())")
	}
}

// Spec is what is asked for. Only Table is needed, together with one of Pattern,
// Rules, Require and Drop.
type Spec struct {
	Table catalog.Name
	// Pattern fills in the rules that Rules does not name.
	Pattern string
	// Rules are for one command each. Where there is no pattern, a command that
	// is not named is nobody's.
	Rules map[catalog.Command]Rule
	// Require are the restrictions. Where neither Pattern nor Rules is given, they
	// are added to the policies that are there, restrictions of other names included.
	Require []Restriction

	// OwnerColumn and OrganizationColumn are picked where they are empty.
	OwnerColumn, OrganizationColumn string
	// Published is a column, or column=value; picked where it is empty.
	Published string
	// Organizations is where the pattern takes them from; empty means [Mirrored].
	Organizations Organizations
	// Roles, Permissions and AppRoles are who writes in the pattern role-based.
	Roles, Permissions, AppRoles []string
	// Claim is the path of the claim that holds application roles, its steps
	// joined by dots.
	Claim string
	// Anon opens to everyone what the pattern opens to signed-in users, and what
	// is published.
	Anon bool
	// PublicColumns makes a projection of these columns, in the pattern public-profile.
	PublicColumns []string
	// Bucket limits policies on storage.objects to one bucket.
	Bucket string

	// Replace removes permissive policies of others, which would open what these close.
	Replace bool
	// WithoutDefault, WithoutIndex and WithoutService leave out the column's
	// default, the index, and the grants to service_role.
	WithoutDefault, WithoutIndex, WithoutService bool

	// Drop removes what this package made. Nothing else may be asked for then.
	Drop bool
}

// rules are those of the pattern with the given ones in their places, reduced;
// every command has one.
func (s Spec) rules() (map[catalog.Command]Rule, error) {
	rules, err := s.pattern()
	if err != nil {
		return nil, err
	}
	maps.Copy(rules, s.Rules)
	for _, command := range catalog.Commands() {
		rules[command] = rules[command].reduce(always)
	}
	return rules, nil
}

func single(word string) Rule { return Rule{word: word} }

func (s Spec) pattern() (map[catalog.Command]Rule, error) {
	owner := single(wordOwner)
	reader := single(wordSignedIn)
	if s.Anon {
		reader = single(wordEveryone)
	}
	switch s.Pattern {
	case "":
		return map[catalog.Command]Rule{}, nil
	case PatternOwner:
		return every(owner, owner), nil
	case PatternPublicProfile:
		if len(s.PublicColumns) > 0 {
			return every(owner, owner), nil
		}
		return every(reader, owner), nil
	case PatternOrganization:
		member := s.member()
		return every(member, member), nil
	case PatternRoleBased:
		return s.roleBased()
	case PatternPublishedOrOwn:
		return every(combine("or", single(wordPublished), owner), owner), nil
	case PatternReadOnly:
		return every(reader, single(wordNobody)), nil
	default:
		return nil, fmt.Errorf("there is no pattern %q; there are %s", s.Pattern, nameList(Patterns()))
	}
}

func every(read, write Rule) map[catalog.Command]Rule {
	return map[catalog.Command]Rule{catalog.Select: read, catalog.Insert: write, catalog.Update: write, catalog.Delete: write}
}

// member is the rule of the pattern's organizations.
func (s Spec) member() Rule {
	switch s.Organizations {
	case Active:
		return single(wordActiveOrg)
	case Both:
		return combine("and", single(wordActiveOrg), single(wordMember))
	default:
		return single(wordMember)
	}
}

func (s Spec) roleBased() (map[catalog.Command]Rule, error) {
	byRole, byPermission := wordMember, wordPermission
	if s.Organizations == Active {
		byRole, byPermission = wordActiveOrg, wordActivePermission
	}
	var problems []error
	// writers are the words for those of the names that are given.
	writers := func(groups map[string][]string) []Rule {
		var rules []Rule
		for _, w := range Words() {
			if len(groups[w.Name]) == 0 {
				continue
			}
			rule, err := newWord(w, slices.Clone(groups[w.Name]))
			problems = append(problems, err)
			rules = append(rules, rule)
		}
		return rules
	}
	inOrganization := writers(map[string][]string{byRole: s.Roles, byPermission: s.Permissions})
	inApplication := writers(map[string][]string{wordAppRole: s.AppRoles})
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRule, err)
	}
	switch {
	case len(inOrganization)+len(inApplication) == 0:
		return nil, fmt.Errorf("pattern %s needs roles, permissions or application roles", PatternRoleBased)
	case len(inOrganization) == 0:
		return every(inApplication[0], inApplication[0]), nil
	}
	write := combine("or", inOrganization...)
	if s.Organizations == Both {
		write = combine("and", single(wordActiveOrg), write)
	}
	return every(combine("or", append([]Rule{s.member()}, inApplication...)...), combine("or", append([]Rule{write}, inApplication...)...)), nil
}

// Check finds what is wrong with a spec before a database is asked: everything at
// once, in an error that matches [ErrSpec].
func (s Spec) Check() error {
	var problems []error
	say := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	asked := s.Pattern != "" || len(s.Rules) > 0 || len(s.Require) > 0
	switch {
	case s.Drop && asked:
		say("removing the policies cannot be combined with a pattern, rules or restrictions")
	case !s.Drop && !asked:
		say("nothing is asked for: give a pattern, rules or restrictions")
	}
	if s.Pattern != PatternRoleBased && len(s.Roles)+len(s.Permissions)+len(s.AppRoles) > 0 {
		say("roles and permissions belong to the pattern %s; in a rule they stand in parentheses, as in member(org:admin)", PatternRoleBased)
	}
	if s.Pattern != PatternPublicProfile && len(s.PublicColumns) > 0 {
		say("public columns belong to the pattern %s", PatternPublicProfile)
	}
	if storage := s.Table == storageObjects; storage != (s.Bucket != "") {
		say("policies on %s are for one bucket, and a bucket belongs to no other table: give both or neither", storageObjects)
	}
	if strings.ContainsRune(s.Bucket, 0) || len(s.Bucket) > 100 {
		say("the name of a bucket has at most 100 bytes and no NUL")
	}
	rules, err := s.rules()
	if err != nil {
		problems = append(problems, err)
	}
	seen := map[string]bool{}
	for _, r := range s.Require {
		if seen[r.Name] {
			say("restriction %s is given twice", r.Name)
		}
		seen[r.Name] = true
	}
	for _, command := range catalog.Writes() {
		if rules[command].uses(wordEveryone) {
			say("%s: everyone would write, also who is not signed in; let a function with the service key do it, after its own checks", command)
		}
	}
	if anyUses(rules, wordAppRole) {
		if err := checkClaim(s.Claim); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSpec, errors.Join(problems...))
}

// checkClaim refuses claims that cannot hold an application role: what users write
// themselves, and the default claims of session tokens of both versions, which
// custom claims cannot override (Clerk docs, session tokens).
func checkClaim(path string) error {
	if path == "" {
		return errors.New("app-role needs the claim that holds the roles, such as metadata.role, " +
			`put into session tokens as {"metadata": "{{user.public_metadata}}"}`)
	}
	steps := strings.Split(path, ".")
	for _, step := range steps {
		switch {
		case step == "" || strings.ContainsRune(step, 0) || len(step) > 100:
			return fmt.Errorf("claim %q: write the names of its steps joined by dots", path)
		case step == "unsafe_metadata" || step == "unsafeMetadata" || step == "user_metadata":
			return fmt.Errorf("claim %q: users write %s themselves in the browser; use public metadata", path, step)
		}
	}
	if len(steps) == 1 && slices.Contains([]string{"role", "sub", "iss", "azp", "aud", "exp", "nbf", "iat", "jti", "sid", "sts", "v", "fva", "act", "o", "pla", "fea", "org_id", "org_role", "org_slug", "org_permissions"}, path) {
		return fmt.Errorf("claim %q has another meaning in a token; choose a name of your own (role is the database role and has to stay \"authenticated\")", path)
	}
	return nil
}
