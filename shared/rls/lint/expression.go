package lint

import (
	"slices"
	"strings"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/sqltext"
)

// expression is SQL that can be asked what it does: a policy's clause as the
// database writes it, a default, a view, a function's body.
//
// What the database writes itself is regular: every operator has its own
// parentheses, relations come with their schema, and inside of a sub-select
// every column comes with its relation.
type expression struct {
	sqltext.SQL
	helpers catalog.Helpers
}

func parse(source string, helpers catalog.Helpers) expression {
	return expression{sqltext.Parse(source), helpers}
}

// call is the call of a function.
type call struct {
	schema, name string // schema is empty where the text has none
	start        int    // its first token
	open, end    int    // its parentheses
}

// isAuth reports whether a call is of one of Supabase's functions.
func (c call) isAuth(name string) bool { return c.schema == "auth" && c.name == name }

// helper reports whether a call is of one of clerksync's functions.
func (e expression) helper(c call, name string) bool { return e.helpers.Is(c.schema) && c.name == name }

func (c call) String() string {
	if c.schema == "" {
		return c.name + "()"
	}
	return c.schema + "." + c.name + "()"
}

// calls are the calls of functions, in their order.
func (e expression) calls() []call {
	var calls []call
	for i, end := range e.Pair {
		if schema, name, start, ok := e.Call(i); ok && end > i {
			calls = append(calls, call{schema, name, start, i, end})
		}
	}
	return calls
}

// selects are the sub-selects around a token, the innermost first: the places of
// their opening parentheses.
func (e expression) selects(i int) []int {
	var found []int
	for open := e.Outer[i]; open >= 0; open = e.Outer[open] {
		if e.subselect(open) {
			found = append(found, open)
		}
	}
	return found
}

// subselect reports whether a parenthesis opens a sub-select that ends.
func (e expression) subselect(open int) bool { return e.Subselect(open) && e.Pair[open] >= 0 }

// column reports whether a token is the name of a column of the policy's own
// table: with the table inside of a sub-select, bare elsewhere.
func (e expression) column(i int, r *relation) (string, bool) {
	t := e.At(i)
	if !t.IsIdentifier() || e.At(i+1).Is("(") || e.At(i+1).Is(".") {
		return "", false
	}
	before := e.At(i - 1)
	if before.Is("as") || before.Is("::") {
		return "", false
	}
	if before.Is(".") {
		if !e.At(i-2).IsIdentifier() || e.At(i-2).Text != r.Name || e.At(i-3).Is(".") || e.At(i-3).Is("from") || e.At(i-3).Is("join") {
			return "", false
		}
	} else if len(e.selects(i)) > 0 {
		return "", false
	}
	return t.Text, r.column(t.Text) != nil
}

// correlated reports whether a sub-select depends on the row at hand.
func (e expression) correlated(open int, r *relation) bool {
	for i := open; i < e.Pair[open]; i++ {
		if e.At(i - 1).Is(".") {
			if _, ok := e.column(i, r); ok {
				return true
			}
		}
	}
	return false
}

// correlates reports whether a clause has a sub-select that depends on the row.
func (e expression) correlates(r *relation) bool {
	for i := range e.Tokens {
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
	for i, t := range e.Tokens {
		if t.Is(".") && e.At(i-1).IsIdentifier() && e.At(i+1).IsIdentifier() && !e.At(i+2).Is("(") && !e.At(i+2).Is(".") &&
			(e.At(i-2).Is("from") || e.At(i-2).Is("join") || e.At(i-2).Is(",") || e.At(i-2).Is("(") || e.At(i-2).Is("only")) {
			names = append(names, catalog.Name{Schema: e.Tokens[i-1].Text, Table: e.Tokens[i+1].Text})
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

// reads is the claim that a call returns.
func (c call) reads(path ...string) claim { return claim{path, c.start, c.end} }

func (c claim) first() string {
	if len(c.path) == 0 {
		return ""
	}
	return c.path[0]
}

// claims are the claims that an expression reads: through auth.jwt(),
// the helpers claims(), claim(…) and their like, and the setting itself.
func (e expression) claims() []claim {
	var found []claim
	for _, c := range e.calls() {
		switch {
		case c.isAuth("jwt"), e.helper(c, "claims"):
			found = append(found, e.follow(c))
		case e.helper(c, "claim"):
			found = append(found, c.reads(e.pathArgument(c)...))
		case (c.schema == "" || c.schema == "pg_catalog") && c.name == "current_setting" && e.At(c.open+1).Kind == sqltext.Literal:
			setting := e.At(c.open + 1).Text
			switch {
			case setting == "request.jwt.claims":
				found = append(found, e.follow(c))
			case strings.HasPrefix(setting, "request.jwt.claim."):
				found = append(found, c.reads(strings.TrimPrefix(setting, "request.jwt.claim.")))
			}
		case e.helper(c, "user_id"), c.isAuth("uid"):
			found = append(found, c.reads("sub"))
		case e.helper(c, "org_id"):
			found = append(found, c.reads("o", "id"))
		case e.helper(c, "org_role"):
			found = append(found, c.reads("o", "rol"))
		case c.isAuth("role"), c.isAuth("email"):
			found = append(found, c.reads(c.name))
		}
	}
	return found
}

// follow walks the operators behind claims: "-> 'o' ->> 'id'".
func (e expression) follow(c call) claim {
	found := c.reads()
	for i := c.end + 1; i < len(e.Tokens); i++ {
		switch t := e.Tokens[i]; {
		case t.Is("->"), t.Is("->>"):
			// Parentheses around a constant that is cast.
			for e.At(i + 1).Is("(") {
				i++
			}
			next := e.At(i + 1)
			if next.Kind != sqltext.Literal && next.Kind != sqltext.Number {
				return found
			}
			i++
			found.path, found.end = append(found.path, next.Text), i
		case t.Is("#>"), t.Is("#>>"):
			for e.At(i + 1).Is("(") {
				i++
			}
			if e.At(i+1).Kind != sqltext.Literal {
				return found
			}
			i++
			found.path, found.end = append(found.path, splitPath(e.At(i).Text)...), i
		case t.Is("::"):
			i = e.TypeEnd(i)
		case t.Is("as") && e.At(i+1).IsIdentifier():
			i++
		case t.Is(")"):
			// nullif(…, '') and the like end here: what follows is about their result.
			if _, _, _, ok := e.Call(e.Pair[i]); ok {
				return found
			}
		case t.Is(",") && e.At(i+1).Kind == sqltext.Literal && e.At(i+1).Text == "" && e.nullif(i):
			// nullif(current_setting(…), ''): the same claims.
			i++
			if e.At(i + 1).Is("::") {
				i = e.TypeEnd(i + 1)
			}
			if e.At(i + 1).Is(")") {
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
	return e.Outer[i] > 0 && e.At(e.Outer[i]-1).Is("nullif")
}

// pathArgument reads the path that is given to the helper claim.
func (e expression) pathArgument(c call) []string {
	var path []string
	for i := c.open + 1; i < c.end; i++ {
		if t := e.Tokens[i]; t.Kind == sqltext.Literal {
			if strings.HasPrefix(t.Text, "{") {
				return splitPath(t.Text)
			}
			path = append(path, t.Text)
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
	for i := end + 1; i < len(e.Tokens); i++ {
		switch t := e.Tokens[i]; {
		case t.Is("::"):
			if e.At(i + 1).Is(to) {
				return true
			}
			i = e.TypeEnd(i)
		case t.Is("as") && e.At(i+1).Is(to) && e.Outer[i] > 0 && e.At(e.Outer[i]-1).Is("cast"):
			return true
		case t.Is("as") && e.At(i+1).IsIdentifier():
			i++
		case t.Is(")"):
			if _, name, _, ok := e.Call(e.Pair[i]); ok && !slices.Contains([]string{"cast", "coalesce", "nullif"}, name) {
				return false
			}
		case t.Is(",") && e.nullif(i) && e.At(i+1).Kind == sqltext.Literal:
			i++
		default:
			return false
		}
	}
	return false
}

// edit puts a text in the place of a part of the source.
type edit struct {
	start, end int
	text       string
}

// with is the source with edits, which are in its order; one inside of another is
// left out.
func (e expression) with(edits []edit) string {
	var b strings.Builder
	done := 0
	for _, x := range edits {
		if x.start >= done {
			b.WriteString(e.Source[done:x.start] + x.text)
			done = x.end
		}
	}
	return b.String() + e.Source[done:]
}

// inSubselect puts a call into a sub-select of its own.
func (e expression) inSubselect(c call) edit {
	start, end := e.Tokens[c.start].Start, e.Tokens[c.end].End
	return edit{start, end, "(select " + e.Source[start:end] + ")"}
}

// node is a clause taken apart at its ands and ors.
type node struct {
	op       string // "and", "or", "not", or "" for a leaf
	children []node
	from, to int // the tokens of a leaf, without parentheses around it
}

// tree takes the tokens from one up to and with another apart.
func (e expression) tree(from, to int) node {
	for from < to && e.Tokens[from].Is("(") && e.Pair[from] == to && !e.subselect(from) {
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
	if from < to && e.Tokens[from].Is("not") {
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
		case e.Tokens[i].Is("(") && e.Pair[i] > i:
			i = e.Pair[i]
		case e.Tokens[i].Is("case"):
			return nil
		case e.Tokens[i].Is(at) && i > start:
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
	if len(e.Tokens) == 0 {
		return node{}, false
	}
	return e.tree(0, len(e.Tokens)-1), true
}

// has reports whether the tokens of a range hold a word.
func (e expression) has(from, to int, text string) bool {
	for i := from; i <= to && i < len(e.Tokens); i++ {
		if e.Tokens[i].Is(text) {
			return true
		}
	}
	return false
}
