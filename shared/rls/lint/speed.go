package lint

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// access is how a condition of a policy finds its rows.
type access struct {
	// plain: a test that no index is expected to serve.
	plain bool
	// served: an index finds the rows.
	served bool
	// without are columns that an index would help, hidden those whose index is not used.
	without, hidden []string
}

// policyIndexes finds policies that read the whole table for the rows of one caller.
func (l *linter) policyIndexes() {
	for r, p := range l.policies {
		if !mine(r.Schema) || !r.table() || !r.RowSecurity || !p.Permissive || !p.api() || p.Command == "insert" || len(p.using.Tokens) == 0 {
			continue
		}
		root, _ := p.using.whole()
		a := p.using.accessOf(root, r)
		if a.served || a.plain {
			continue
		}
		for _, c := range a.without {
			l.add(r.Schema, finding.Finding{
				ID: "policy_column_unindexed", Status: finding.Warn, Object: r.nameOf(c),
				Title:  "A policy looks rows up by a column without an index",
				Detail: fmt.Sprintf("Every statement reads the whole table to find the caller's rows by %s.", catalog.QuoteIdentifier(c)),
				Remedy: fmt.Sprintf("create index concurrently on %s (%s);", r, catalog.QuoteIdentifier(c)),
			})
		}
		for _, c := range a.hidden {
			l.add(r.Schema, finding.Finding{
				ID: "policy_in_subselect", Status: finding.Warn, Object: p.on(r),
				Title:  "A policy is written so that no index can serve it",
				Detail: fmt.Sprintf("%s in (select …) is tested for each row of the whole table; = any (array(select …)) looks the rows up.", catalog.QuoteIdentifier(c)),
				Remedy: alterPolicy(p, r, p.using.withArrays(r), ""),
			})
		}
	}
}

func (e expression) accessOf(n node, r *relation) access {
	switch n.op {
	case "and":
		all := access{plain: true}
		for _, c := range n.children {
			a := e.accessOf(c, r)
			if a.served {
				return access{served: true}
			}
			if !a.plain {
				all.plain = false
				all.without, all.hidden = append(all.without, a.without...), append(all.hidden, a.hidden...)
			}
		}
		return all
	case "or":
		all := access{served: true}
		for _, c := range n.children {
			a := e.accessOf(c, r)
			if a.plain {
				return access{plain: true}
			}
			all.served = all.served && a.served
			all.without, all.hidden = append(all.without, a.without...), append(all.hidden, a.hidden...)
		}
		return all
	case "not":
		return access{plain: true}
	}
	return e.lookup(n, r)
}

// lookup judges "column = value", "column = any (array(…))" and "column in
// (select …)", where the value is the same for the whole statement.
func (e expression) lookup(n node, r *relation) access {
	column, rest := -1, n
	for i := n.from; i <= n.to; i++ {
		if e.Tokens[i].Is("=") && e.Outer[i] == e.Outer[n.from] || e.Tokens[i].Is("in") && e.Outer[i] == e.Outer[n.from] {
			left, right := node{from: n.from, to: i - 1}, node{from: i + 1, to: n.to}
			if column = e.onlyColumn(left, r); column >= 0 {
				rest = right
			} else if column = e.onlyColumn(right, r); column >= 0 {
				rest = left
			}
			break
		}
	}
	if column < 0 || !e.claimOrSelect(rest) || e.dependsOnRow(rest, r) {
		return access{plain: true}
	}
	name, _ := e.column(column, r)
	switch c := r.column(name); {
	case e.atDepth(n, "in"):
		return access{hidden: []string{name}}
	case r.leads(c):
		return access{served: true}
	default:
		return access{without: []string{name}}
	}
}

// withArrays is a clause whose "column in (select …)" are "column = any (array(select …))".
func (e expression) withArrays(r *relation) string {
	var edits []edit
	for i, t := range e.Tokens {
		if t.Is("in") && e.subselect(i+1) && !e.correlated(i+1, r) && len(e.selects(i)) == 0 {
			end := e.Tokens[e.Pair[i+1]].End
			edits = append(edits, edit{t.Start, e.Tokens[i+1].End, "= any (array("}, edit{end, end, ")"})
		}
	}
	return e.with(edits)
}

// onlyColumn is the token of the column that a side of a comparison consists of,
// also when its type is changed; -1 where it is something else.
func (e expression) onlyColumn(n node, r *relation) int {
	for n.from < n.to && e.Tokens[n.from].Is("(") {
		if end := e.Pair[n.from]; end == n.to || e.At(end+1).Is("::") {
			n.from, n.to = n.from+1, end-1
		} else {
			break
		}
	}
	if _, ok := e.column(n.from, r); ok && (n.from == n.to || e.At(n.from+1).Is("::")) {
		return n.from
	}
	return -1
}

// claimOrSelect: the value comes from the caller.
func (e expression) claimOrSelect(n node) bool {
	return e.has(n.from, n.to, "select") || slices.ContainsFunc(e.claims(), func(c claim) bool { return c.start >= n.from && c.end <= n.to })
}

func (e expression) dependsOnRow(n node, r *relation) bool {
	for i := n.from; i <= n.to; i++ {
		if _, ok := e.column(i, r); ok {
			return true
		}
	}
	return false
}

// perRow finds what a policy does again for every row: sub-selects that depend
// on the row, and functions of the user's own that are not in a sub-select.
// Supabase's lint 0003 knows the functions of schema auth only.
func (l *linter) perRow() {
	for r, p := range l.policies {
		if !mine(r.Schema) && r.Schema != "storage" || !r.RowSecurity || !p.api() || p.Command == "insert" || len(p.using.Tokens) == 0 || l.opensPerRow(p) {
			continue
		}
		e, hashed := p.using, false
		var seen, advice []string
		if e.correlates(r) {
			if hashed = l.hashes(r); !hashed {
				seen = append(seen, "a sub-select that depends on the row")
			}
			advice = append(advice, "Turn the sub-select around: column = any (array(select …)), its condition about the caller only.")
		}
		wrap := false
		for _, c := range e.calls() {
			f := l.called(p, c)
			// An immutable function looks nothing up, and an SQL function without rights or
			// settings of its own is inlined: what it is made of is planned as if written here.
			if f == nil || f.Immutable || e.once(c.start, r) || f.Language == "sql" && !f.Definer && !f.Path {
				continue
			}
			seen = append(seen, f.String())
			if e.dependsOnRow(node{from: c.open, to: c.end}, r) {
				advice = append(advice, fmt.Sprintf("Let a function return the caller's ids, and write column = any (array(select …)) in place of %s.", c))
			} else {
				wrap = true
			}
		}
		if wrap {
			advice = append(advice, alterPolicy(p, r, l.wrappedOwn(p, p.using, r), ""))
		}
		var detail string
		if len(seen) > 0 {
			detail = fmt.Sprintf("For each row that a statement looks at it evaluates %s.", strings.Join(slices.Compact(seen), " and "))
		}
		if hashed {
			detail = strings.TrimSpace(detail + " As things are, every statement reads all that its sub-select can find and keeps it in memory; once that is too much, it will ask again for each row.")
		}
		if detail == "" {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "policy_per_row", Status: finding.Warn, Object: p.on(r),
			Title:  "A policy does work for every row",
			Detail: detail,
			Remedy: strings.Join(slices.Compact(advice), " "),
		})
	}
}

// opensPerRow: the policy has the form of users_public_read_fellows, which goes row by
// row for those callers alone to whom most rows are visible.
func (l *linter) opensPerRow(p *policy) bool {
	return slices.ContainsFunc(p.Functions, func(oid int64) bool {
		f := l.function[oid]
		return f != nil && l.Helpers.Is(f.Schema) && f.Name == "crowd_from"
	})
}

// called is the user's function that a policy calls at a place.
func (l *linter) called(p *policy, c call) *function {
	for _, oid := range p.Functions {
		if f := l.function[oid]; f != nil && f.Name == c.name && f.Schema == c.schema && mine(f.Schema) {
			return f
		}
	}
	return nil
}

// wrappedOwn is a clause with the calls that do not depend on the row in
// sub-selects of their own.
func (l *linter) wrappedOwn(p *policy, e expression, r *relation) string {
	var edits []edit
	for _, c := range e.calls() {
		if l.called(p, c) != nil && !e.once(c.start, r) && !e.dependsOnRow(node{from: c.open, to: c.end}, r) {
			edits = append(edits, e.inSubselect(c))
		}
	}
	return e.with(edits)
}
