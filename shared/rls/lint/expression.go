package lint

import (
	"slices"
	"strings"

	"clerksync/shared/rls/catalog"
)

// expression is SQL that can be asked what it does: a policy's clause as the
// database writes it, a default, a view, a function's body.
//
// What the database writes itself is regular: every operator has its own
// parentheses, relations come with their schema, and inside of a sub-select
// every column comes with its relation.
type expression struct {
	source string
	tokens []token
	// pair is the other parenthesis of a parenthesis, -1 elsewhere or without one.
	pair []int
	// outer is the parenthesis that a token is directly in, -1 at the top.
	outer []int
}

func parse(source string) expression {
	e := expression{source: source, tokens: tokenize(source)}
	e.pair = make([]int, len(e.tokens))
	e.outer = make([]int, len(e.tokens))
	var open []int
	for i, t := range e.tokens {
		e.pair[i], e.outer[i] = -1, -1
		if len(open) > 0 {
			e.outer[i] = open[len(open)-1]
		}
		switch {
		case t.is("("):
			open = append(open, i)
		case t.is(")") && len(open) > 0:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			e.pair[i], e.pair[last] = last, i
			e.outer[i] = e.outer[last]
		}
	}
	return e
}

// at is the token at a place, or one that is nothing.
func (e expression) at(i int) token {
	if i < 0 || i >= len(e.tokens) {
		return token{kind: mark}
	}
	return e.tokens[i]
}

// text is the source from one token up to and with another.
func (e expression) text(from, to int) string {
	return e.source[e.tokens[from].start:e.tokens[to].end]
}

// call is the call of a function.
type call struct {
	schema, name string // schema is empty where the text has none
	start        int    // its first token
	open, end    int    // its parentheses
}

func (c call) is(schema, name string) bool { return c.schema == schema && c.name == name }

func (c call) String() string {
	if c.schema == "" {
		return c.name + "()"
	}
	return c.schema + "." + c.name + "()"
}

// notFunctions stand before parentheses and call nothing.
var notFunctions = []string{
	"all", "and", "any", "array", "as", "by", "case", "check", "distinct", "else", "exists", "filter", "from", "if", "in", "into", "is", "on",
	"or", "not", "over", "returning", "select", "some", "then", "using", "values", "when", "where", "while", "with",
}

// calls are the calls of functions, in their order.
func (e expression) calls() []call {
	var calls []call
	for i, t := range e.tokens {
		if !t.is("(") || e.pair[i] < 0 || !e.at(i-1).identifier() {
			continue
		}
		c := call{name: e.tokens[i-1].text, start: i - 1, open: i, end: e.pair[i]}
		if e.at(i-2).is(".") && e.at(i-3).identifier() {
			c.schema, c.start = e.tokens[i-3].text, i-3
		} else if e.tokens[i-1].kind == word && slices.Contains(notFunctions, c.name) {
			continue
		}
		calls = append(calls, c)
	}
	return calls
}

// selects are the sub-selects around a token, the innermost first: the places of
// their opening parentheses.
func (e expression) selects(i int) []int {
	var found []int
	for open := e.outer[i]; open >= 0; open = e.outer[open] {
		if e.subselect(open) {
			found = append(found, open)
		}
	}
	return found
}

// subselect reports whether a parenthesis opens a sub-select.
func (e expression) subselect(open int) bool {
	return e.at(open).is("(") && e.pair[open] >= 0 && (e.at(open+1).is("select") || e.at(open+1).is("with"))
}

// column reports whether a token is the name of a column of the policy's own
// table: with the table inside of a sub-select, bare elsewhere.
func (e expression) column(i int, r *relation) (string, bool) {
	t := e.at(i)
	if !t.identifier() || e.at(i+1).is("(") || e.at(i+1).is(".") {
		return "", false
	}
	before := e.at(i - 1)
	if before.is("as") || before.is("::") {
		return "", false
	}
	if before.is(".") {
		if !e.at(i-2).identifier() || e.at(i-2).text != r.Name || e.at(i-3).is(".") || e.at(i-3).is("from") || e.at(i-3).is("join") {
			return "", false
		}
	} else if len(e.selects(i)) > 0 {
		return "", false
	}
	return t.text, r.column(t.text) != nil
}

// correlated reports whether a sub-select depends on the row at hand.
func (e expression) correlated(open int, r *relation) bool {
	for i := open; i < e.pair[open]; i++ {
		if e.at(i - 1).is(".") {
			if _, ok := e.column(i, r); ok {
				return true
			}
		}
	}
	return false
}

// correlates reports whether a clause has a sub-select that depends on the row.
func (e expression) correlates(r *relation) bool {
	for i := range e.tokens {
		if e.subselect(i) && len(e.selects(i)) == 0 && e.correlated(i, r) {
			return true
		}
	}
	return false
}

// once reports whether what stands at a token is evaluated once for a whole
// statement: some sub-select around it does not depend on the row.
func (e expression) once(i int, r *relation) bool {
	return slices.ContainsFunc(e.selects(i), func(open int) bool { return !e.correlated(open, r) })
}

// reads are the relations that sub-selects read, as the database writes them:
// with their schema.
func (e expression) reads() []catalog.Name {
	var names []catalog.Name
	for i, t := range e.tokens {
		if t.is(".") && e.at(i-1).identifier() && e.at(i+1).identifier() && !e.at(i+2).is("(") && !e.at(i+2).is(".") &&
			(e.at(i-2).is("from") || e.at(i-2).is("join") || e.at(i-2).is(",") || e.at(i-2).is("(") || e.at(i-2).is("only")) {
			names = append(names, catalog.Name{Schema: e.tokens[i-1].text, Table: e.tokens[i+1].text})
		}
	}
	return names
}

// claim is something read from the claims of the request.
type claim struct {
	// path is empty where all of the claims are meant.
	path  []string
	start int // the first token of what reads it
	end   int // the last token of the path
}

func (c claim) first() string {
	if len(c.path) == 0 {
		return ""
	}
	return c.path[0]
}

// claims are the claims that an expression reads: through auth.jwt(),
// clerk.claims(), clerk.claim(…) and the setting itself.
func (e expression) claims() []claim {
	var found []claim
	for _, c := range e.calls() {
		switch {
		case c.is("auth", "jwt"), c.is("clerk", "claims"):
			found = append(found, e.follow(c, nil))
		case c.is("clerk", "claim"):
			found = append(found, claim{path: e.pathArgument(c), start: c.start, end: c.end})
		case (c.schema == "" || c.schema == "pg_catalog") && c.name == "current_setting" && e.at(c.open+1).kind == literal:
			setting := e.at(c.open + 1).text
			switch {
			case setting == "request.jwt.claims":
				found = append(found, e.follow(c, nil))
			case strings.HasPrefix(setting, "request.jwt.claim."):
				found = append(found, claim{path: []string{strings.TrimPrefix(setting, "request.jwt.claim.")}, start: c.start, end: c.end})
			}
		case c.is("clerk", "user_id"), c.is("auth", "uid"):
			found = append(found, claim{path: []string{"sub"}, start: c.start, end: c.end})
		case c.is("clerk", "org_id"):
			found = append(found, claim{path: []string{"o", "id"}, start: c.start, end: c.end})
		case c.is("clerk", "org_role"):
			found = append(found, claim{path: []string{"o", "rol"}, start: c.start, end: c.end})
		case c.is("auth", "role"):
			found = append(found, claim{path: []string{"role"}, start: c.start, end: c.end})
		case c.is("auth", "email"):
			found = append(found, claim{path: []string{"email"}, start: c.start, end: c.end})
		}
	}
	return found
}

// follow walks the operators behind claims: "-> 'o' ->> 'id'".
func (e expression) follow(c call, path []string) claim {
	found := claim{path: path, start: c.start, end: c.end}
	for i := c.end + 1; i < len(e.tokens); i++ {
		switch t := e.tokens[i]; {
		case t.is("->"), t.is("->>"):
			// Parentheses around a constant that is cast.
			for e.at(i + 1).is("(") {
				i++
			}
			next := e.at(i + 1)
			if next.kind != literal && next.kind != number {
				return found
			}
			i++
			found.path, found.end = append(found.path, next.text), i
		case t.is("#>"), t.is("#>>"):
			for e.at(i + 1).is("(") {
				i++
			}
			if e.at(i+1).kind != literal {
				return found
			}
			i++
			found.path, found.end = append(found.path, splitPath(e.at(i).text)...), i
		case t.is("::"):
			i = e.typeEnd(i)
		case t.is("as") && e.at(i+1).identifier():
			i++
		case t.is(")"):
			// nullif(…, '') and the like end here: what follows is about their result.
			if open := e.pair[i]; open > 0 && e.at(open-1).identifier() && !slices.Contains(notFunctions, e.at(open-1).text) {
				return found
			}
		case t.is(",") && e.at(i+1).kind == literal && e.at(i+1).text == "" && e.nullif(i):
			// nullif(current_setting(…), ''): the same claims.
			i++
			if e.at(i + 1).is("::") {
				i = e.typeEnd(i + 1)
			}
			if e.at(i + 1).is(")") {
				i++
			}
		default:
			return found
		}
	}
	return found
}

// nullif reports whether a token is directly in the parentheses of nullif.
func (e expression) nullif(i int) bool {
	return e.outer[i] > 0 && e.at(e.outer[i]-1).is("nullif")
}

// typeEnd is the last token of the type behind a "::".
func (e expression) typeEnd(i int) int {
	i++
	for e.at(i + 1).is(".") {
		i += 2
	}
	if e.at(i).is("character") || e.at(i).is("double") || e.at(i).is("bit") {
		if e.at(i+1).is("varying") || e.at(i+1).is("precision") {
			i++
		}
	}
	if e.at(i+1).is("(") && e.pair[i+1] > 0 {
		i = e.pair[i+1]
	}
	for e.at(i+1).is("[") && e.at(i+2).is("]") {
		i += 2
	}
	return i
}

// pathArgument reads the path that is given to clerk.claim.
func (e expression) pathArgument(c call) []string {
	var path []string
	for i := c.open + 1; i < c.end; i++ {
		if t := e.tokens[i]; t.kind == literal {
			if strings.HasPrefix(t.text, "{") {
				return splitPath(t.text)
			}
			path = append(path, t.text)
		}
	}
	return path
}

// splitPath reads a constant such as "{o,id}".
func splitPath(text string) []string {
	var path []string
	for part := range strings.SplitSeq(strings.Trim(text, "{}"), ",") {
		path = append(path, strings.Trim(strings.TrimSpace(part), `"`))
	}
	return path
}

// cast reports whether what ends at a token is cast to a type: "(…)::uuid",
// through parentheses, aliases and the sub-select around it.
func (e expression) cast(end int, to string) bool {
	for i := end + 1; i < len(e.tokens); i++ {
		switch t := e.tokens[i]; {
		case t.is("::"):
			if e.at(i + 1).is(to) {
				return true
			}
			i = e.typeEnd(i)
		case t.is("as") && e.at(i+1).is(to) && e.outer[i] > 0 && e.at(e.outer[i]-1).is("cast"):
			return true
		case t.is("as") && e.at(i+1).identifier():
			i++
		case t.is(")"):
			if open := e.pair[i]; open > 0 && e.at(open-1).identifier() && !slices.Contains(notFunctions, e.at(open-1).text) &&
				!e.at(open-1).is("cast") && !e.at(open-1).is("coalesce") && !e.at(open-1).is("nullif") {
				return false
			}
		case t.is(",") && e.nullif(i) && e.at(i+1).kind == literal:
			i++
		default:
			return false
		}
	}
	return false
}

// node is a clause taken apart at its ands and ors.
type node struct {
	op       string // "and", "or", "not", or "" for a leaf
	children []node
	from, to int // the tokens of a leaf, without parentheses around it
}

// tree takes the tokens from one up to and with another apart.
func (e expression) tree(from, to int) node {
	for from < to && e.tokens[from].is("(") && e.pair[from] == to && !e.subselect(from) {
		from, to = from+1, to-1
	}
	for _, op := range []string{"or", "and"} {
		if parts := e.split(from, to, op); len(parts) > 1 {
			n := node{op: op}
			for _, p := range parts {
				n.children = append(n.children, e.tree(p[0], p[1]))
			}
			return n
		}
	}
	if from < to && e.tokens[from].is("not") {
		return node{op: "not", children: []node{e.tree(from+1, to)}, from: from, to: to}
	}
	return node{from: from, to: to}
}

// split cuts at a word that is not in parentheses.
func (e expression) split(from, to int, at string) [][2]int {
	var parts [][2]int
	start := from
	for i := from; i <= to; i++ {
		switch {
		case e.tokens[i].is("(") && e.pair[i] > i:
			i = e.pair[i]
		case e.tokens[i].is("case"):
			return nil
		case e.tokens[i].is(at) && i > start:
			parts = append(parts, [2]int{start, i - 1})
			start = i + 1
		}
	}
	if start <= to {
		parts = append(parts, [2]int{start, to})
	}
	return parts
}

// whole is the tree of all of it.
func (e expression) whole() (node, bool) {
	if len(e.tokens) == 0 {
		return node{}, false
	}
	return e.tree(0, len(e.tokens)-1), true
}

// has reports whether the tokens of a range hold a word.
func (e expression) has(from, to int, text string) bool {
	for i := from; i <= to && i < len(e.tokens); i++ {
		if e.tokens[i].is(text) {
			return true
		}
	}
	return false
}
