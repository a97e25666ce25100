package rls

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/rls/catalog"
)

// ErrRule is matched by every error of [ParseRule].
var ErrRule = errors.New("not a rule")

// Rule says who may do something to a row: one of the words of [Words], with
// arguments in parentheses where it takes some, joined by "and", "or" and
// parentheses. "and" binds tighter.
//
// The zero Rule is "nobody".
type Rule struct {
	// join is "and" or "or" of terms; empty for a single word.
	join  string
	terms []Rule
	word  string
	args  []string
}

// Word is one of the words of a rule.
type Word struct {
	// Name is the word itself.
	Name string
	// Args says what it takes in parentheses: "" nothing, else a description that
	// ends in "?" where it may be left out.
	Args string
	// Means is the rule in a sentence.
	Means string
}

// The words of rules.
const (
	wordOwner            = "owner"
	wordFellow           = "fellow"
	wordMember           = "member"
	wordPermission       = "permission"
	wordActiveOrg        = "active-org"
	wordActivePermission = "active-permission"
	wordAppRole          = "app-role"
	wordPublished        = "published"
	wordSignedIn         = "signed-in"
	wordEveryone         = "everyone"
	wordNobody           = "nobody"
)

// organizationWords are those that compare the row's organization.
var organizationWords = []string{wordMember, wordPermission, wordActiveOrg, wordActivePermission}

// Words are all words, in the order in which they are explained.
func Words() []Word {
	return []Word{
		{wordOwner, "", "the row's owner column holds the caller's Clerk id"},
		{wordFellow, "", "the caller is the row's owner or shares an organization with the owner"},
		{wordMember, "roles?", "the caller belongs to the row's organization, with one of the roles if some are named; from the copy"},
		{wordPermission, "permissions", "the caller's role in the row's organization grants one of the permissions; from the copy"},
		{wordActiveOrg, "roles?", "the row's organization is active in the caller's token, with one of the roles if some are named"},
		{wordActivePermission, "permissions", "the row's organization is active in the caller's token, which grants one of the permissions"},
		{wordAppRole, "roles", "a claim of the token that users cannot edit holds one of the roles"},
		{wordPublished, "", "the row is published"},
		{wordSignedIn, "", "the caller is signed in"},
		{wordEveryone, "", "anybody, also without a token"},
		{wordNobody, "", "nobody but the service"},
	}
}

// maxRule is the length of a rule's text in bytes.
const maxRule = 2000

// ParseRule reads a rule, such as "published or owner" or
// "member(org:admin) and (owner or app-role(editor))".
func ParseRule(text string) (Rule, error) {
	if len(text) > maxRule {
		return Rule{}, fmt.Errorf("%w: it has %d bytes, more than %d", ErrRule, len(text), maxRule)
	}
	p := parser{tokens: tokenize(text)}
	rule, err := p.or()
	if err == nil && len(p.tokens) > 0 {
		err = fmt.Errorf("%q is left over", p.tokens[0])
	}
	if err != nil {
		return Rule{}, fmt.Errorf("%w: %q: %w", ErrRule, text, err)
	}
	return rule, nil
}

// tokenize cuts a text into words, parentheses and commas.
func tokenize(text string) []string {
	var tokens []string
	for field := range strings.FieldsSeq(text) {
		for field != "" {
			i := strings.IndexAny(field, "(),")
			switch i {
			case 0:
				tokens, field = append(tokens, field[:1]), field[1:]
			case -1:
				tokens, field = append(tokens, field), ""
			default:
				tokens, field = append(tokens, field[:i]), field[i:]
			}
		}
	}
	return tokens
}

type parser struct{ tokens []string }

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) take(token string) bool {
	if p.peek() != token {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

func (p *parser) or() (Rule, error)  { return p.joined("or", p.and) }
func (p *parser) and() (Rule, error) { return p.joined("and", p.single) }

func (p *parser) joined(join string, next func() (Rule, error)) (Rule, error) {
	rule, err := next()
	for err == nil && p.take(join) {
		var term Rule
		if term, err = next(); err == nil {
			rule = combine(join, rule, term)
		}
	}
	return rule, err
}

// combine joins rules, without repeating the same one and without nesting what
// is joined alike.
func combine(join string, rules ...Rule) Rule {
	all := Rule{join: join}
	for _, rule := range rules {
		terms := []Rule{rule}
		if rule.join == join {
			terms = rule.terms
		}
		for _, term := range terms {
			if !slices.ContainsFunc(all.terms, func(have Rule) bool { return have.String() == term.String() }) {
				all.terms = append(all.terms, term)
			}
		}
	}
	if len(all.terms) == 1 {
		return all.terms[0]
	}
	return all
}

func (p *parser) single() (Rule, error) {
	if p.take("(") {
		rule, err := p.or()
		if err == nil && !p.take(")") {
			err = errors.New(`a ")" is missing`)
		}
		return rule, err
	}
	name := p.peek()
	i := slices.IndexFunc(Words(), func(w Word) bool { return w.Name == name })
	switch {
	case name == "":
		return Rule{}, errors.New("it ends too soon")
	case i < 0:
		return Rule{}, fmt.Errorf("there is no rule %q; there are %s", name, nameList(Words()))
	}
	p.tokens = p.tokens[1:]
	args, err := p.arguments()
	if err != nil {
		return Rule{}, fmt.Errorf("%s: %w", name, err)
	}
	return newWord(Words()[i], args)
}

func newWord(word Word, args []string) (Rule, error) {
	switch {
	case word.Args == "" && len(args) > 0:
		return Rule{}, fmt.Errorf("%s takes nothing in parentheses", word.Name)
	case word.Args != "" && !strings.HasSuffix(word.Args, "?") && len(args) == 0:
		return Rule{}, fmt.Errorf("%s needs %s in parentheses", word.Name, word.Args)
	}
	for i, arg := range args {
		checked, err := checkArgument(word.Name, arg)
		if err != nil {
			return Rule{}, err
		}
		args[i] = checked
	}
	return Rule{word: word.Name, args: args}, nil
}

func (p *parser) arguments() ([]string, error) {
	if !p.take("(") {
		return nil, nil
	}
	var args []string
	for {
		arg := p.peek()
		if arg == "" || strings.ContainsAny(arg, "(),") {
			return nil, errors.New("what stands in parentheses is not a list of names")
		}
		p.tokens = p.tokens[1:]
		args = append(args, arg)
		if p.take(")") {
			return args, nil
		}
		if !p.take(",") {
			return nil, errors.New(`a ")" is missing`)
		}
	}
}

// checkArgument returns a role or permission as Clerk writes it.
func checkArgument(word, arg string) (string, error) {
	if arg == "" {
		return "", fmt.Errorf("%s: a name is empty", word)
	}
	for _, r := range arg {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_:-.", r) {
			continue
		}
		return "", fmt.Errorf("%s(%s): %q cannot be part of a name", word, arg, r)
	}
	switch word {
	case wordMember, wordActiveOrg:
		if !strings.HasPrefix(arg, "org:") {
			arg = "org:" + arg
		}
	case wordPermission, wordActivePermission:
		if parts := strings.Split(arg, ":"); len(parts) != 3 || parts[0] != "org" || slices.Contains(parts, "") {
			return "", fmt.Errorf("%s(%s): a permission is written org:<feature>:<permission>", word, arg)
		}
		if word == wordActivePermission && strings.HasPrefix(arg, "org:sys_") {
			return "", fmt.Errorf("%s(%s): tokens never carry system permissions; permission(%s) asks the copy", word, arg, arg)
		}
	}
	return arg, nil
}

// nameList names the words that there are.
func nameList(words []Word) string { return catalog.List(words, func(w Word) string { return w.Name }) }

// String is the rule as [ParseRule] reads it.
func (r Rule) String() string {
	switch {
	case r.join == "" && r.word == "":
		return wordNobody
	case r.join == "" && len(r.args) == 0:
		return r.word
	case r.join == "":
		return r.word + "(" + strings.Join(r.args, ", ") + ")"
	}
	return catalog.Join(r.terms, " "+r.join+" ", func(term Rule) string {
		if term.join != "" && r.join == "and" {
			return "(" + term.String() + ")"
		}
		return term.String()
	})
}

// uses reports whether one of the words is in the rule.
func (r Rule) uses(words ...string) bool {
	return slices.Contains(words, r.word) || slices.ContainsFunc(r.terms, func(t Rule) bool { return t.uses(words...) })
}

// anyUses reports whether one of the words is in some of the rules.
func anyUses(rules map[catalog.Command]Rule, words ...string) bool {
	for _, rule := range rules {
		if rule.uses(words...) {
			return true
		}
	}
	return false
}

// each calls f for every word of the rule.
func (r Rule) each(f func(word string, args []string)) {
	if r.join == "" {
		f(r.word, r.args)
	}
	for _, term := range r.terms {
		term.each(f)
	}
}

// reduce returns the rule that remains when whatever is not kept is nobody's,
// and what is nobody's or everyone's is worked out.
func (r Rule) reduce(keep func(word string) bool) Rule {
	if r.join == "" {
		if r.word == "" || !keep(r.word) {
			return Rule{word: wordNobody}
		}
		return r
	}
	// For "or" everyone decides and nobody adds nothing; for "and" the other way round.
	decides, adds := wordEveryone, wordNobody
	if r.join == "and" {
		decides, adds = wordNobody, wordEveryone
	}
	var rest []Rule
	for _, term := range r.terms {
		term = term.reduce(keep)
		switch term.word {
		case decides:
			return Rule{word: decides}
		case adds:
		default:
			rest = append(rest, term)
		}
	}
	if len(rest) == 0 {
		return Rule{word: adds}
	}
	return combine(r.join, rest...)
}

func always(string) bool { return true }

// IsNobody reports whether the rule lets nobody through.
func (r Rule) IsNobody() bool { return r.reduce(always).word == wordNobody }

// binding is what the words of a rule stand for in one table.
type binding struct {
	owner        string // SQL of the owner column
	organization string // SQL of the organization
	published    string // SQL of the condition
	claim        []string
	helpers      catalog.Helpers
}

// sql writes a reduced rule as a condition on a row. What does not depend on the
// row is whole inside a sub-select: the database works that out once, and
// anything around it once a row. Lists are "= any (array(select …))", which looks
// rows up by an index; "in (select …)" reads the whole table (Supabase docs, RLS
// performance and best practices). Every test is an equality, which null does not
// pass: a token without the claim is denied, never let through.
func (r Rule) sql(b binding) string {
	if r.join != "" {
		return catalog.Join(r.terms, " "+r.join+" ", func(term Rule) string {
			text := term.sql(b)
			if term.join != "" || strings.Contains(text, " or ") || strings.Contains(text, " and ") {
				return "(" + text + ")"
			}
			return text
		})
	}
	helper := b.helpers.String() + "."
	switch r.word {
	case wordOwner:
		return b.owner + " = (select " + helper + "user_id())"
	case wordFellow:
		return b.owner + " = any (array(select " + helper + "my_fellow_ids()))"
	case wordMember:
		if len(r.args) == 0 {
			return b.organization + " = any (array(select " + helper + "my_org_ids()))"
		}
		return b.organization + " = any (array(select " + helper + "my_org_ids_with_role(" + array(r.args) + ")))"
	case wordPermission:
		return catalog.Join(r.args, " or ", func(p string) string {
			return b.organization + " = any (array(select " + helper + "my_org_ids_with_permission(" + catalog.QuoteLiteral(p) + ")))"
		})
	case wordActiveOrg:
		active := b.organization + " = (select " + helper + "org_id())"
		if len(r.args) == 0 {
			return active
		}
		return active + " and (select " + helper + "org_role() = any (" + array(r.args) + "))"
	case wordActivePermission:
		granted := catalog.Join(r.args, " or ", func(p string) string {
			return "(select " + helper + "has_org_permission(" + catalog.QuoteLiteral(p) + "))"
		})
		if len(r.args) > 1 {
			granted = "(" + granted + ")"
		}
		return b.organization + " = (select " + helper + "org_id()) and " + granted
	case wordAppRole:
		return "(select " + helper + "claim_values(" + array(b.claim) + ") && " + array(r.args) + ")"
	case wordPublished:
		return b.published
	case wordSignedIn:
		return "(select " + helper + "user_id() is not null)"
	case wordEveryone:
		return "true"
	default:
		return "false"
	}
}

func array(texts []string) string {
	return "array[" + catalog.List(texts, catalog.QuoteLiteral) + "]"
}
