package lint

import (
	"fmt"
	"strings"

	"clerksync/shared/rls/catalog"
)

// configure is the command that generates a table's policies.
func (l *linter) configure(r *relation) string {
	t := catalog.Table{Name: r.name()}
	for _, c := range r.Columns {
		t.Columns = append(t.Columns, catalog.Column{Name: c.Name, Default: c.Default, Generated: c.Generated})
	}
	return t.Configure(l.Helpers)
}

func enable(r *relation) string { return fmt.Sprintf("alter table %s enable row level security;", r) }

func dropPolicy(p *policy, r *relation) string {
	return fmt.Sprintf("drop policy %s on %s;", catalog.QuoteIdentifier(p.Name), r)
}

// alterPolicy replaces the clauses that a policy has.
func alterPolicy(p *policy, r *relation, using, check string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "alter policy %s on %s", catalog.QuoteIdentifier(p.Name), r)
	if using != "" {
		b.WriteString(" using (" + bare(using) + ")")
	}
	if check != "" {
		b.WriteString(" with check (" + bare(check) + ")")
	}
	return b.String() + ";"
}

// bare leaves out parentheses around the whole of an expression.
func bare(source string) string {
	e := parse(source, "")
	last := len(e.Tokens) - 1
	if last > 0 && e.Pair[0] == last && !e.subselect(0) {
		return strings.TrimSpace(source[e.Tokens[0].End:e.Tokens[last].Start])
	}
	return source
}

func revoke(privileges, on string, from []string) string {
	return fmt.Sprintf("revoke %s on %s from %s;", privileges, on, strings.Join(from, ", "))
}

func list(names []string) string { return strings.Join(names, ", ") }
