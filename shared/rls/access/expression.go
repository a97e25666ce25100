package access

import (
	"slices"
	"strings"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/sqltext"
)

// part is a part of a policy's expression that depends on the caller alone.
type part struct {
	// text is the part as the database writes it.
	text string
	// sql is what to evaluate: a sub-select that may have many rows becomes an array.
	sql  string
	list bool // sql is an array
	// decisive: if the part is null, false or an empty list, so is the expression
	// false or null.
	decisive bool
}

// expression is SQL as the database writes it: every operator has its own
// parentheses, inside of a sub-select every column comes with its relation, and
// with an empty search path every relation and function comes with its schema.
type expression struct {
	sqltext.SQL
	query []int // the parenthesis of the innermost sub-select around a token, -1 outside
	table catalog.Table
}

func parse(source string, table catalog.Table) expression {
	e := expression{SQL: sqltext.Parse(source), table: table}
	e.query = make([]int, len(e.Tokens))
	for i, outer := range e.Outer {
		switch {
		case outer < 0:
			e.query[i] = -1
		case e.Subselect(outer):
			e.query[i] = outer
		default:
			e.query[i] = e.query[outer]
		}
	}
	return e
}

// maxExpression bounds what is taken apart, in bytes: looking for parts takes the
// longer the deeper parentheses are nested.
const maxExpression = 4096

// words that make the value of an expression depend on more than each of its parts.
var alternatives = []string{"or", "not", "case", "coalesce", "nullif", "is", "all", "distinct", "exists", "between", "greatest", "least"}

// parts are the largest parts that depend on the caller alone.
func (e expression) parts() []part {
	last := len(e.Tokens) - 1
	if last < 0 || len(e.Source) > maxExpression {
		return nil
	}
	if !e.reads(0, last) {
		if !e.calls(0, last) {
			return nil
		}
		return []part{{text: e.Source, sql: e.Source, decisive: true}}
	}
	var found []part
	var spans [][2]int
	for i := 0; i <= last; i++ {
		p, start, end, ok := e.partAt(i)
		if ok {
			found, spans = append(found, p), append(spans, [2]int{start, end})
			i = end
		}
	}
	// Under an "or" a part that is false decides nothing.
	strict := true
	for i, t := range e.Tokens {
		inside := slices.ContainsFunc(spans, func(s [2]int) bool { return s[0] <= i && i <= s[1] })
		if !inside && t.Kind == sqltext.Word && slices.Contains(alternatives, t.Text) {
			strict = false
		}
	}
	for i := range found {
		found[i].decisive = found[i].decisive && strict
	}
	return found
}

// partAt is the part whose parenthesis opens at a token.
func (e expression) partAt(i int) (p part, start, end int, ok bool) {
	if !e.Tokens[i].Is("(") || e.Pair[i] < 0 || e.reads(i, e.Pair[i]) {
		return part{}, 0, 0, false
	}
	start, end = i, e.Pair[i]
	before := e.At(i - 1)
	p.decisive = true
	switch {
	case (before.Is("any") || before.Is("all") || before.Is("some")) && e.At(i+1).Is("array"):
		return part{}, 0, 0, false // the array inside is the part
	case e.Subselect(i) && (before.Is("in") || before.Is("any") || before.Is("all") || before.Is("some")):
		p.text = e.Text(start, end)
		p.sql, p.list, p.decisive = "ARRAY"+p.text, true, !before.Is("all")
		return p, start, end, true
	case e.Subselect(i) && before.Is("array"):
		start = i - 1
		p.list = true
		p.decisive = e.At(i-2).Is("(") && (e.At(i-3).Is("any") || e.At(i-3).Is("some"))
	case e.Subselect(i) && before.Is("exists"):
		start = i - 1
	case e.Subselect(i):
	default:
		if _, _, first, ok := e.Call(i); ok {
			start = first
		}
	}
	if !e.calls(start, end) {
		return part{}, 0, 0, false
	}
	if !before.Is("exists") {
		end = e.casts(end)
	}
	p.text = e.Text(start, end)
	p.sql = p.text
	return p, start, end, true
}

// reads reports whether tokens read a row: a column of the table by its bare
// name, which stands outside of sub-selects only, anything with the table's name,
// or what belongs to a sub-select around them.
func (e expression) reads(from, to int) bool {
	for i := from; i <= to; i++ {
		t := e.Tokens[i]
		if !t.IsIdentifier() || e.At(i+1).Is("(") {
			continue
		}
		before := e.At(i - 1)
		switch {
		case before.Is("::") || before.Is("as") || before.Is("."):
		case e.At(i + 1).Is("."):
			if e.At(i+3).Is("(") || before.Is("from") || before.Is("join") || before.Is("only") {
				continue // a function, or a relation with its schema
			}
			if t.Text == e.table.Name.Table || e.query[i] < from {
				return true
			}
		case e.query[i] >= 0:
		case t.Text == e.table.Name.Table:
			return true // the row as a whole
		default:
			if _, column := e.table.Column(t.Text); column {
				return true
			}
		}
	}
	return false
}

// calls reports whether tokens ask for anything about the caller: a sub-select, a
// function that is not Postgres's own, or a setting.
func (e expression) calls(from, to int) bool {
	for i := from; i <= to; i++ {
		switch {
		case e.Subselect(i):
			return true
		case e.Tokens[i].Is("(") && e.At(i-1).IsIdentifier() && e.At(i-2).Is(".") && i-3 >= from:
			return true
		case e.Tokens[i].Is("(") && e.At(i-1).Is("current_setting") && i-1 >= from:
			return true
		}
	}
	return false
}

// casts is the last token of the casts that follow a token.
func (e expression) casts(end int) int {
	for e.At(end + 1).Is("::") {
		end = e.TypeEnd(end + 1)
	}
	return end
}

// callsUID reports whether auth.uid() is called.
func (e expression) callsUID() bool {
	for i := range e.Tokens {
		if schema, name, _, ok := e.Call(i); ok && schema == "auth" && name == "uid" {
			return true
		}
	}
	return false
}

// Functions that only take the claims apart, and those of Postgres that add
// nothing to them.
var claimFunctions = map[string][]string{
	"auth":        {"uid", "jwt", "role", "email"},
	"{{helpers}}": {"user_id", "org_id", "org_role", "claims", "claim", "claim_values", "org_permissions", "has_org_permission", "session_is_active", "has_second_factor", "is_impersonated"},
	"": {
		"coalesce", "nullif", "lower", "upper", "btrim", "split_part", "string_to_array", "starts_with", "concat", "regexp_replace",
		"array_length", "cardinality", "jsonb_typeof", "jsonb_array_elements_text", "jsonb_extract_path_text",
	},
}

// claimsOnly reports whether an expression is made of nothing but the caller's
// claims, so that its value is the caller's own.
func (e expression) claimsOnly(helpers catalog.Helpers) bool {
	for i, t := range e.Tokens {
		if t.Is("from") || t.Is("join") || t.Is("table") {
			return false
		}
		schema, name, _, ok := e.Call(i)
		if !ok || e.At(i-2).Is("::") || e.At(i-2).Is("character") { // varchar(20)
			continue
		}
		if helpers.Is(schema) {
			schema = "{{helpers}}"
		}
		setting := schema == "" && name == "current_setting" && e.At(i+1).Kind == sqltext.Literal && strings.HasPrefix(e.At(i+1).Text, "request.")
		if !setting && !slices.Contains(claimFunctions[schema], name) {
			return false
		}
	}
	return true
}
