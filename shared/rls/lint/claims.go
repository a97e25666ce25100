package lint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/internal/sqltext"
	"clerksync/sql/platform"
)

// dotted matches a path that somebody wrote as one name.
var dotted = regexp.MustCompile(`^(o|org|act|metadata|public_metadata|private_metadata|unsafe_metadata|user_metadata|app_metadata)\.[a-z_.]+$`)

// versionOne are claims of session tokens before version 2, and where version 2 has them.
var versionOne = map[string]string{
	"org_id": "{{helpers}}.org_id()", "org_role": "{{helpers}}.org_role()", "org_slug": "{{helpers}}.claim('{o,slg}')", "org_permissions": "{{helpers}}.has_org_permission(…)",
}

// supabaseOnly are claims that Supabase Auth puts into a token, and Clerk does not.
var supabaseOnly = []string{"aal", "amr", "app_metadata", "is_anonymous", "session_id"}

// claimPaths finds claims that no Clerk token has, and comparisons that cannot be true.
func (l *linter) claimPaths() {
	// A policy's two clauses are one place: what one of them reads excuses the other.
	read := map[string][]claim{}
	for at := range l.places {
		read[at.object] = append(read[at.object], at.claims()...)
	}
	for at := range l.places {
		claims := read[at.object]
		reads := func(first string) bool {
			return slices.ContainsFunc(claims, func(c claim) bool { return c.first() == first })
		}
		for _, c := range at.claims() {
			for _, part := range c.path {
				if dotted.MatchString(part) {
					keys := strings.Split(part, ".")
					l.add(at.schema, finding.Finding{
						ID: "claim_path_dotted", Status: finding.Fail, Object: at.object,
						Title:  "A claim is looked up by a path that is taken for a name",
						Detail: fmt.Sprintf("->> '%s' looks for one claim of that whole name, which no token has: it is always null.", part),
						Remedy: fmt.Sprintf("Write the path as #>> '{%s}', or %s.", strings.Join(keys, ","), l.Helpers.Fill(helper(keys))),
					})
				}
			}
			first := c.first()
			if replacement, old := versionOne[first]; old && !reads("o") {
				l.add(at.schema, finding.Finding{
					ID: "claim_version_one", Status: finding.Warn, Object: at.object,
					Title:  "A claim is read that only old session tokens have",
					Detail: fmt.Sprintf("%s is null in tokens of version 2, Clerk's own since April 2025, which keep the organization under \"o\".", first),
					Remedy: fmt.Sprintf("Use (select %s), which reads both versions.", l.Helpers.Fill(replacement)),
				})
			}
			if slices.Contains(supabaseOnly, first) {
				l.add(at.schema, finding.Finding{
					ID: "claim_absent", Status: finding.Warn, Object: at.object,
					Title:  "A claim is read that Clerk's tokens do not have",
					Detail: fmt.Sprintf("Only Supabase Auth sets %s; for a Clerk user it is null unless somebody added it to the session token.", first),
					Remedy: l.Helpers.Fill(absentRemedy(first)),
				})
			}
			if setting := at.setting(c); setting != "" && !at.readsAll() {
				l.add(at.schema, finding.Finding{
					ID: "claim_setting", Status: finding.Warn, Object: at.object,
					Title:  "A setting is read that the Data API no longer makes",
					Detail: fmt.Sprintf("In requests of the Data API current_setting('%s') is empty: the claims are in request.jwt.claims.", setting),
					Remedy: fmt.Sprintf("Use (select %s.claim('{%s}')).", l.Helpers, first),
				})
			}
		}
		if at.what == "policy" {
			l.rolePrefix(at)
		}
	}
}

// helper is how a claim is read, for [catalog.Helpers.Fill].
func helper(keys []string) string {
	switch strings.Join(keys, ".") {
	case "o.id":
		return "(select {{helpers}}.org_id())"
	case "o.rol":
		return "(select {{helpers}}.org_role())"
	default:
		return "(select {{helpers}}.claim('{" + strings.Join(keys, ",") + "}'))"
	}
}

func absentRemedy(name string) string {
	switch name {
	case "aal", "amr":
		return "Use (select {{helpers}}.has_second_factor())."
	case "session_id":
		return "Clerk's name for it is sid: (select {{helpers}}.claim('{sid}'))."
	case "is_anonymous":
		return "Clerk has no anonymous users: let the policy be for authenticated."
	default:
		return "Put what decides into Clerk's public metadata and a claim of the session token: (select {{helpers}}.claim('{metadata,role}'))."
	}
}

// setting is the setting of a single claim that is read, or nothing.
func (e expression) setting(c claim) string {
	for i := c.start; i <= c.end; i++ {
		if t := e.Tokens[i]; t.Kind == sqltext.Literal && strings.HasPrefix(t.Text, "request.jwt.claim.") {
			return t.Text
		}
	}
	return ""
}

// readsAll: the claims are read in the way that works, too.
func (e expression) readsAll() bool {
	return slices.ContainsFunc(e.Tokens, func(t sqltext.Token) bool { return t.Kind == sqltext.Literal && t.Text == "request.jwt.claims" }) || e.callsTo("auth.jwt()")
}

// rolePrefix finds a role that is compared with a text of the other form:
// the helper org_role() always has "org:", the claim o.rol never.
func (l *linter) rolePrefix(at place) {
	for _, leaf := range at.leaves() {
		var claims []claim
		for _, c := range at.claims() {
			if c.start >= leaf.from && c.end <= leaf.to {
				claims = append(claims, c)
			}
		}
		if len(claims) != 1 || len(claims[0].path) != 2 || claims[0].path[1] != "rol" || at.has(leaf.from, leaf.to, "||") {
			continue
		}
		c := claims[0]
		prefixed := at.Tokens[c.start].IsIdentifier() && l.Helpers.Is(at.Tokens[c.start].Text)
		var other []string
		compared := false
		for i := leaf.from; i <= leaf.to; i++ {
			t := at.Tokens[i]
			if t.Kind != sqltext.Literal || i >= c.start && i <= c.end || t.Text == "" || at.calledWith(i) {
				continue
			}
			compared = true
			if strings.HasPrefix(t.Text, "org:") != prefixed && !strings.HasPrefix(t.Text, "{") && !strings.ContainsAny(t.Text, "%_") {
				other = append(other, t.Text)
			} else {
				other = nil
				break
			}
		}
		if !compared || len(other) == 0 {
			continue
		}
		f := finding.Finding{
			ID: "org_role_prefix", Status: finding.Fail, Object: at.object,
			Title:  "A role of the organization is compared with a text that it never has",
			Detail: fmt.Sprintf("%s.org_role() always has its prefix, and '%s' has none.", l.Helpers, strings.Join(other, "', '")),
			Remedy: fmt.Sprintf("Compare with 'org:%s'.", other[0]),
		}
		if !prefixed {
			f.Detail = fmt.Sprintf("The claim o.rol comes without the prefix of '%s'.", strings.Join(other, "', '"))
			f.Remedy = l.Helpers.Fill("Use (select {{helpers}}.org_role()), which has it in tokens of both versions.")
		}
		l.add(at.schema, f)
	}
}

// calledWith reports whether a token is an argument of a function.
func (e expression) calledWith(i int) bool {
	_, _, _, ok := e.Call(e.Outer[i])
	return ok
}

// unsafeMetadata finds policies that trust what a user writes in the browser.
func (l *linter) unsafeMetadata() {
	for r, p := range l.policies {
		var where []string
		for _, e := range p.clauses() {
			if e.readsUnsafe() {
				where = append(where, "The policy reads unsafe_metadata, which users write")
			}
		}
		for _, oid := range p.Functions {
			if f := l.function[oid]; f != nil && mine(f.Schema) && (f.body.readsUnsafe() || f.body.readsClaim("user_metadata")) {
				where = append(where, fmt.Sprintf("The policy calls %s, which reads what users write", f))
			}
		}
		if len(where) == 0 {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "unsafe_metadata", Status: finding.Fail, Object: p.on(r),
			Title:  "A policy trusts what users can write themselves",
			Detail: where[0] + "; they change it from the browser, and may give themselves any right.",
			Remedy: "Move what decides to Clerk's public metadata, which only the backend writes: the column metadata of the copy, or a claim of the session token.",
		})
	}
}

func (e expression) readsUnsafe() bool {
	return slices.ContainsFunc(e.Tokens, func(t sqltext.Token) bool { return t.IsIdentifier() && t.Text == "unsafe_metadata" }) || e.readsClaim("unsafe_metadata")
}

func (e expression) readsClaim(name string) bool {
	return slices.ContainsFunc(e.claims(), func(c claim) bool { return slices.Contains(c.path, name) })
}

// mayBeAbsent are claims whose absence is the ordinary case, so that a test which
// null passes is meant.
var mayBeAbsent = []string{"act", "fva", "sts"}

// nullLetsThrough finds permissive policies that a caller without the claim passes.
func (l *linter) nullLetsThrough() {
	for r, p := range l.policies {
		if !p.Permissive || !p.api() || slices.Equal(p.Roles, []string{platform.Anon}) {
			continue
		}
		for _, e := range p.clauses() {
			root, _ := e.whole()
			if test := e.passedByNull(root); test != "" {
				l.add(r.Schema, finding.Finding{
					ID: "policy_null_passes", Status: finding.Warn, Object: p.on(r),
					Title:  "Who lacks a claim passes a policy",
					Detail: fmt.Sprintf("%s is true when the token has no such claim, or when there is no token, and no other condition is joined to it with \"and\".", strings.Join(strings.Fields(test), " ")),
					Remedy: "Test for what has to be there, with \"=\", which null does not pass; or join the owner's test to it with \"and\".",
				})
				break
			}
		}
	}
}

// passedByNull is the first test that null passes and that is enough by itself.
func (e expression) passedByNull(n node) string {
	switch n.op {
	case "and":
		return "" // the other side has to hold, too
	case "or":
		for _, c := range n.children {
			if test := e.passedByNull(c); test != "" {
				return test
			}
		}
		return ""
	case "not":
		// not (claims ? 'x'), not (coalesce(claim, …) = …), not (claim is not null)
		inner := n.children[0]
		if inner.op == "" && e.claimIn(inner) && (e.has(inner.from, inner.to, "?") || e.has(inner.from, inner.to, "coalesce") || e.endsWith(inner, "is", "not", "null")) {
			return "not (" + e.Text(inner.from, inner.to) + ")"
		}
		return ""
	}
	if len(e.Tokens) == 0 || !e.claimIn(n) {
		return ""
	}
	switch {
	case e.endsWith(n, "is", "null"), e.endsWith(n, "is", "not", "true"), e.atDepth(n, "distinct") && !e.atDepth(n, "not"):
		return e.Text(n.from, n.to)
	case e.atDepth(n, "<>") && e.has(n.from, n.to, "coalesce"):
		return e.Text(n.from, n.to)
	default:
		return ""
	}
}

// claimIn reports whether a test is about a claim that ought to be there.
func (e expression) claimIn(n node) bool {
	return slices.ContainsFunc(e.claims(), func(c claim) bool {
		return c.start >= n.from && c.end <= n.to && !slices.Contains(mayBeAbsent, c.first()) && !e.from(c.start)
	})
}

// from reports whether a token is in a sub-select that reads a table: what the
// claim is compared with there decides, not the claim.
func (e expression) from(i int) bool {
	return slices.ContainsFunc(e.selects(i), func(open int) bool { return e.has(open, e.Pair[open], "from") })
}

func (e expression) endsWith(n node, words ...string) bool {
	for i, w := range words {
		if !e.At(n.to - len(words) + 1 + i).Is(w) {
			return false
		}
	}
	return true
}

// atDepth reports whether a test itself holds a word, outside of its parentheses.
func (e expression) atDepth(n node, text string) bool {
	for i := n.from; i <= n.to; i++ {
		if e.Tokens[i].Is("(") && e.Pair[i] > i {
			i = e.Pair[i]
		} else if e.Tokens[i].Is(text) {
			return true
		}
	}
	return false
}
