package probe

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/rls/catalog"
)

// maxCombinations bounds how many rows one rule is tried on.
const maxCombinations = 400

// solve finds values that a check constraint accepts, of one column or of
// several together, by asking the database which of the likely ones pass.
func (p *prober) solve(ctx context.Context, t *plan, refused *pgconn.PgError, values map[string]string) (bool, error) {
	var rule catalog.Constraint
	for _, c := range t.Constraints {
		if c.Kind == catalog.Check && c.Name == refused.ConstraintName {
			rule = c
		}
	}
	if rule.Name == "" {
		return p.solveDomain(ctx, t)
	}
	expression, ok := checkExpression(rule.Definition)
	if !ok {
		return false, nil
	}
	// What says whom the row belongs to is not up to the rule.
	bound := []string{t.columns.Owner, t.columns.Organization, t.columns.Published}
	var columns []string
	choices := [][]string{}
	for _, name := range rule.Columns {
		c, _ := t.Column(name)
		value, set := values[name]
		columns = append(columns, name)
		if slices.Contains(bound, name) {
			choices = append(choices, []string{value})
			continue
		}
		base, outer := t.typeOf(name)
		text := isText(base.Name)
		var list []string
		for n := range 3 {
			if v, ok := p.maker.value(t.shape, outer, n, t.inKey(name)); ok {
				list = append(list, v)
			}
		}
		if set {
			list = append([]string{value}, list...)
		}
		if !c.NotNull {
			list = append(list, null)
		}
		switch {
		case base.Kind == "e":
			list = append(list, base.Labels...)
		case text, numeric(base.Name):
			list = append(list, candidates(expression, text)...)
		}
		choices = append(choices, list)
	}
	passing, err := p.passing(ctx, t, expression, columns, choices)
	if err != nil || len(passing) == 0 {
		return false, err
	}
	if len(columns) == 1 {
		t.pinned[columns[0]] = nil
		for _, row := range passing {
			t.pinned[columns[0]] = append(t.pinned[columns[0]], row[0])
		}
		t.fill[columns[0]] = true
		return true, nil
	}
	for i, column := range columns {
		if !slices.Contains(bound, column) {
			t.fixed[column] = passing[0][i]
		}
	}
	return true, nil
}

func isText(base string) bool {
	return slices.Contains([]string{"text", "varchar", "bpchar", "citext", "name"}, base)
}

func numeric(base string) bool {
	return slices.Contains([]string{"int2", "int4", "int8", "numeric", "float4", "float8"}, base)
}

// checkExpression takes the expression out of CHECK (…) [NO INHERIT] [NOT VALID].
func checkExpression(definition string) (string, bool) {
	rest, ok := strings.CutPrefix(definition, "CHECK ")
	if !ok {
		return "", false
	}
	rest = strings.TrimSuffix(rest, " NOT VALID")
	return strings.TrimSuffix(rest, " NO INHERIT"), true
}

// passing answers the combinations that a rule of a table accepts.
func (p *prober) passing(ctx context.Context, t *plan, expression string, columns []string, choices [][]string) ([][]string, error) {
	combinations := [][]string{nil}
	for i := range columns {
		var longer [][]string
		for _, value := range choices[i] {
			for _, c := range combinations {
				longer = append(longer, append(slices.Clone(c), value))
			}
		}
		combinations = longer[:min(len(longer), maxCombinations)]
	}
	if len(combinations) == 0 {
		return nil, nil
	}
	ask := func(list [][]string) ([]int, *refusal, error) {
		// A name that cannot be a column's: an identifier is at most 63 bytes long, and
		// two columns never share one, so one more underscore always does.
		position := "clerksync_position"
		for slices.Contains(columns, position) {
			position += "_"
		}
		rows := make([]string, len(list))
		for i, c := range list {
			cells := make([]string, len(c))
			for j, value := range c {
				_, outer := t.typeOf(columns[j])
				cells[j] = literal(value) + "::" + outer.SQL
			}
			rows[i] = fmt.Sprintf("(%d, %s)", i, strings.Join(cells, ", "))
		}
		names := []string{quote(position)}
		for _, c := range columns {
			names = append(names, quote(c))
		}
		results, refused, err := p.attempt(ctx, fmt.Sprintf("select %s from (values %s) as %s (%s) where (%s) is not false order by 1",
			quote(position), strings.Join(rows, ", "), quote(t.Name.Table), strings.Join(names, ", "), expression))
		if err != nil || refused != nil {
			return nil, refused, err
		}
		var passed []int
		for _, row := range results[0].Rows {
			var i int
			if _, err := fmt.Sscan(string(row[0]), &i); err == nil {
				passed = append(passed, i)
			}
		}
		return passed, nil, nil
	}
	passed, refused, err := ask(combinations)
	if err != nil {
		return nil, fmt.Errorf("looking for values for %s: %w", t.Name, err)
	}
	var found [][]string
	if refused == nil {
		for _, i := range passed {
			found = append(found, combinations[i])
		}
		return found, nil
	}
	// One of them is no value of its type: one at a time.
	for _, c := range combinations[:min(len(combinations), maxCandidates)] {
		passed, _, err := ask([][]string{c})
		if err != nil {
			return nil, fmt.Errorf("looking for values for %s: %w", t.Name, err)
		}
		if len(passed) > 0 {
			found = append(found, c)
			if len(found) == 4 {
				break
			}
		}
	}
	return found, nil
}

// solveDomain finds values for the domains with checks that the table's columns
// are of, by themselves or as elements.
func (p *prober) solveDomain(ctx context.Context, t *plan) (bool, error) {
	mended := false
	for _, key := range slices.Sorted(maps.Keys(t.Types)) {
		domain := t.Types[key]
		if domain.Kind != "d" || len(t.domains[domain.OID]) > 0 {
			continue
		}
		rules := ""
		for d := domain; d.Kind == "d"; d = t.below(d) {
			rules += strings.Join(d.Checks, " ")
		}
		if rules == "" {
			continue
		}
		list := candidates(rules, isText(t.unwrap(domain).Name))
		if v, ok := p.maker.value(t.shape, domain, 0, false); ok {
			list = append([]string{v}, list...)
		}
		for _, value := range list {
			_, refused, err := p.attempt(ctx, "select "+literal(value)+"::"+domain.SQL)
			if err != nil {
				return false, fmt.Errorf("looking for values for %s: %w", t.Name, err)
			}
			if refused == nil {
				t.domains[domain.OID] = append(t.domains[domain.OID], value)
				mended = true
				if len(t.domains[domain.OID]) == 4 {
					break
				}
			}
		}
	}
	return mended, nil
}

var (
	rangeBound = regexp.MustCompile(`^FOR VALUES FROM \((.*)\) TO \((.*)\)$`)
	listBound  = regexp.MustCompile(`^FOR VALUES IN \((.*)\)$`)
)

// nextPartition fixes the columns that partitions are chosen by to values that
// the next one takes.
func (t *plan) nextPartition(over map[string]string) bool {
	for t.tried < len(t.Bounds) {
		levels := t.Bounds[t.tried]
		t.tried++
		fixed, ok := map[string]string{}, true
		for _, level := range levels {
			ok = ok && bind(fixed, level.Columns, level.Bound)
		}
		for column := range fixed {
			if _, forced := over[column]; forced || column == t.columns.Owner || column == t.columns.Organization {
				ok = false // those are not the partition's to choose
			}
		}
		if ok && len(fixed) > 0 {
			for column, value := range fixed {
				t.fixed[column] = value
				if column == t.columns.Published {
					t.columns.Published = ""
				}
			}
			return true
		}
	}
	return false
}

// bind sets the columns of one partition to its lower bound, or to the first of
// its values.
func bind(fixed map[string]string, columns []string, bound string) bool {
	if len(columns) == 0 {
		return bound == "DEFAULT"
	}
	var values []string
	switch {
	case bound == "DEFAULT", strings.HasPrefix(bound, "FOR VALUES WITH"):
		return true
	case listBound.MatchString(bound):
		values = splitConstants(listBound.FindStringSubmatch(bound)[1])[:1]
	case rangeBound.MatchString(bound):
		values = splitConstants(rangeBound.FindStringSubmatch(bound)[1])
	}
	if len(values) != len(columns) {
		return false
	}
	for i, value := range values {
		switch {
		case value == "MINVALUE", value == "MAXVALUE":
			return false
		case value == "NULL":
			fixed[columns[i]] = null
		case strings.HasPrefix(value, "'") && strings.HasSuffix(value, "'") && len(value) > 1:
			fixed[columns[i]] = strings.ReplaceAll(value[1:len(value)-1], "''", "'")
		default:
			fixed[columns[i]] = value
		}
	}
	return true
}

// splitConstants cuts a list at its commas, but for those in quotes.
func splitConstants(list string) []string {
	var parts []string
	quoted, start := false, 0
	for i := range len(list) {
		switch {
		case list[i] == '\'':
			quoted = !quoted
		case list[i] == ',' && !quoted:
			parts = append(parts, strings.TrimSpace(list[start:i]))
			start = i + 1
		}
	}
	return append(parts, strings.TrimSpace(list[start:]))
}
