package access

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
	"clerksync/sql/platform"
)

// What is asked of one table.
const (
	maxPolicies = 20
	maxValues   = 12
	maxValue    = 200  // characters of a value
	maxUsing    = 4000 // bytes of an expression in a report
	maxSample   = 100  // rows that policies are asked about one by one
	maxRow      = 8000 // bytes of such a row
)

// table finds out what the caller gets of one relation, and why.
func (l *look) table(ctx context.Context, r relation) (result, error) {
	t := &Table{Name: r.Name.String(), Estimate: r.Estimate}
	f := finding.Finding{}
	switch r.Kind {
	case catalog.Ordinary, catalog.Partitioned, catalog.View, catalog.MaterializedView, catalog.Foreign:
	default:
		f = finding.Finding{Status: finding.Skip, Title: fmt.Sprintf("It is no table but a %s", r.Kind), Detail: "Rows are read from tables and views."}
		return result{finding: f}, nil
	}

	if !r.Usage || !r.Select && len(r.Readable) == 0 {
		f = l.notGranted(r, t)
	} else {
		var err error
		if f, err = l.readRows(ctx, r, t); err != nil {
			return result{}, err
		}
	}
	l.callsUID(r, &f)
	l.notExposed(r, t, &f)
	t.Detail = f.Detail
	return result{f, t}, nil
}

// notGranted is a table that the role may not read at all.
func (l *look) notGranted(r relation, t *Table) finding.Finding {
	t.Decision, t.Code = ByGrant, codeNoPrivilege
	role := l.caller.role
	f := finding.Finding{Status: finding.Fail}
	if role == platform.Anon || l.unasked {
		// Many tables are none of its business.
		f.Status = finding.Warn
	}
	var remedies []string
	if !r.Usage {
		f.Title = fmt.Sprintf("%s may not use the schema %s", role, catalog.QuoteIdentifier(r.Schema))
		f.Detail = fmt.Sprintf("The right usage on schema %s is missing.", catalog.QuoteIdentifier(r.Schema))
		t.Message = "permission denied for schema " + r.Schema
		remedies = append(remedies, fmt.Sprintf("grant usage on schema %s to %s;", catalog.QuoteIdentifier(r.Schema), role))
	}
	if !r.Select && len(r.Readable) == 0 {
		if r.Usage {
			f.Title = fmt.Sprintf("%s may not read the table", role)
			f.Detail = fmt.Sprintf("The right select on %s is missing.", r.Name)
			t.Message = "permission denied for table " + r.Name.Table
		} else {
			f.Detail += fmt.Sprintf(" So is select on %s.", r.Name)
		}
		remedies = append(remedies, fmt.Sprintf("grant select on %s to %s;", r.Name, role))
	}
	if (r.Kind == catalog.Ordinary || r.Kind == catalog.Partitioned) && !r.RowSecurity {
		// The grant alone would open every row to everybody.
		remedies = append([]string{fmt.Sprintf("alter table %s enable row level security;", r.Name)}, remedies...)
		remedies = append(remedies, fmt.Sprintf("-- Then say who may read which rows: clerksync configure-rls %s --pattern …", r.Name))
	}
	f.Remedy = strings.Join(remedies, "\n")
	if role == platform.Anon {
		f.Detail += " That is as it should be where only signed-in users read: send a token whose role claim is authenticated."
	} else {
		f.Detail += fmt.Sprintf(" The Data API answers 403 with SQLSTATE %s before any policy is asked.", codeNoPrivilege)
	}
	return f
}

// notExposed adds that requests do not come as far as this: 406 with PGRST106
// (PostgREST docs, Errors).
func (l *look) notExposed(r relation, t *Table, f *finding.Finding) {
	// Storage and Realtime reach their tables by themselves.
	if l.database.IsExposed(r.Schema) || r.Schema == "storage" || r.Schema == "realtime" {
		return
	}
	note := fmt.Sprintf("As far as the database says, the Data API does not serve the schema %s: requests answer 406 with PGRST106, and this holds for SQL alone.", catalog.QuoteIdentifier(r.Schema))
	f.Detail = strings.TrimSpace(f.Detail + " " + note)
	if f.Status == finding.Pass || t.Decision == ByGrant || t.Decision == ByRLSOff {
		f.Status = finding.Warn
	}
	const expose = "Add the schema to the exposed ones (Project Settings, Data API), if that is meant."
	switch {
	case r.Schema == "clerk_sync" || platform.Owns(r.Schema) || l.database.Helpers.Is(r.Schema):
		f.Remedy = "This schema is not for requests: leave it closed."
	case f.Remedy == "":
		f.Remedy = expose
	case t.Decision == ByGrant:
		f.Remedy = expose + "\n" + f.Remedy
	}
}

// callsUID adds that auth.uid() fails wherever the table has it: also where no
// row is there yet to fail for.
func (l *look) callsUID(r relation, f *finding.Finding) {
	if !l.uidFails {
		return
	}
	places := l.uses(r)
	if len(places) == 0 {
		return
	}
	note := fmt.Sprintf("auth.uid() fails for this user, and it stands in %s.", strings.Join(places, ", "))
	f.Detail = strings.TrimSpace(f.Detail + " " + note)
	if f.Status != finding.Fail {
		f.Status, f.Title, f.Remedy = finding.Fail, "auth.uid() fails for this user", l.advice(codeInvalidText, "auth.uid()")
	}
}

// readRows counts rows as the caller, and asks the policies about them.
func (l *look) readRows(ctx context.Context, r relation, t *Table) (finding.Finding, error) {
	// It does not hold for who bypasses it, nor for the owner unless it is forced
	// (PostgreSQL docs, Row Security Policies).
	guarded := r.RowSecurity && !l.facts.RoleBypasses && (!r.Owns || r.Forced)
	if guarded {
		for _, p := range r.Policies {
			if p.Applies(catalog.Select, l.facts.Is...) {
				t.Policies = append(t.Policies, Policy{Name: p.Name, Permissive: p.Permissive, Using: p.Using, Passes: -1})
			}
		}
	}
	parts, err := l.count(ctx, r, t)
	if err != nil {
		return finding.Finding{}, err
	}
	if l.facts.Bypasses && t.Decision == "" {
		if err := l.total(ctx, r, t); err != nil {
			return finding.Finding{}, err
		}
		if t.Visible == 0 && t.Total != nil && *t.Total > 0 && permissive(t.Policies) > 0 {
			if err := l.sample(ctx, r, t); err != nil {
				return finding.Finding{}, err
			}
		}
	}
	f := l.judge(r, t, guarded, parts)
	for i := range t.Policies {
		if len(t.Policies[i].Using) > maxUsing {
			t.Policies[i].Using = strings.ToValidUTF8(t.Policies[i].Using[:maxUsing], "") + "…"
		}
	}
	return f, nil
}

// counting selects how many rows the caller sees, up to one more than MaxRows,
// and for how many of them each expression is true. The source is the table, or
// what has its name and type, so that an expression finds in it what it expects.
func counting(source string, expressions ...string) string {
	inner, outer := []string{"1 as seen"}, []string{"count(*)::text"}
	for i, e := range expressions {
		inner = append(inner, fmt.Sprintf("(%s)::boolean as clerksync_%d", e, i))
		outer = append(outer, fmt.Sprintf("(count(*) filter (where clerksync_%d))::text", i))
	}
	return fmt.Sprintf("select %s from (select %s from %s limit %d) as clerksync_rows", strings.Join(outer, ", "), strings.Join(inner, ", "), source, MaxRows+1)
}

// count fills in what is visible, which policies let it through and what their
// parts are, and returns the parts, a list for each policy. What is refused is a
// decision.
func (l *look) count(ctx context.Context, r relation, t *Table) ([][]part, error) {
	expressions := usings(t)
	statements := []string{counting(r.SQL())}
	passes := -1
	if len(expressions) > 0 {
		passes = 2
		statements = append(statements, request.Set("statement_timeout", request.Milliseconds(passesLimit)), counting(r.SQL(), expressions...))
	}
	parts := make([][]part, len(t.Policies))
	place := map[string]int{} // of a part's statement
	for i, p := range t.Policies[:len(expressions)] {
		for _, part := range parse(p.Using, r.Table).parts() {
			_, known := place[part.sql]
			if !known && len(place) == maxValues {
				continue
			}
			if !known {
				place[part.sql] = len(statements)
				statements = append(statements, valueSQL(part))
			}
			parts[i] = append(parts[i], part)
		}
	}
	answers, refused, err := l.ask(ctx, r.Schema, statements...)
	if err != nil {
		return nil, err
	}
	if refused != nil { // of the role, which was taken a moment ago
		t.Code, t.Message, t.Decision = refused.Code, l.message(refused), ByError
		return parts, nil
	}
	for i := range parts {
		parts[i] = slices.DeleteFunc(parts[i], func(p part) bool {
			a := answers[place[p.sql]]
			if a.refused != nil && (a.refused.Code == codeNoColumn || a.refused.Code == codeNoTable || a.refused.Code == codeSyntax) {
				return true // it depends on the row after all
			}
			t.Policies[i].Values = append(t.Policies[i].Values, l.value(r, p, a))
			return false
		})
	}
	if counted := answers[0]; counted.refused != nil {
		t.Code, t.Message, t.Decision = counted.refused.Code, l.message(counted.refused), ByError
		if t.Code == codeCancelled {
			t.Decision = ByTimeout
		}
		return parts, nil
	}
	t.Visible = number(answers[0].text(0))
	t.More, t.Visible = t.Visible > MaxRows, min(t.Visible, MaxRows)
	if passes > 0 {
		err = l.passes(ctx, r, t, expressions, answers[passes])
	}
	return parts, err
}

// usings are the expressions of the policies that are asked, in their order.
func usings(t *Table) []string {
	var list []string
	for _, p := range t.Policies[:min(len(t.Policies), maxPolicies)] {
		list = append(list, cmp.Or(p.Using, "true"))
	}
	return list
}

// passes fills in how many of the visible rows each policy lets through.
func (l *look) passes(ctx context.Context, r relation, t *Table, expressions []string, counted answer) error {
	each := make([]string, len(expressions))
	switch {
	case t.Visible == 0:
	case counted.refused == nil:
		for i := range each {
			each[i] = counted.text(i + 1)
		}
	case counted.refused.Code != codeCancelled && len(expressions) > 1:
		// One of them asks for a column that the caller may not select by itself, or
		// fails where others let a row through before it is asked.
		var alone []string
		for _, e := range expressions {
			alone = append(alone, counting(r.SQL(), e))
		}
		answers, refused, err := l.ask(ctx, r.Schema, alone...)
		if err != nil {
			return err
		}
		for i, a := range answers {
			if refused == nil && a.refused == nil {
				each[i] = a.text(1)
			}
		}
	}
	for i, p := range t.Policies {
		switch {
		case i < len(each) && each[i] != "":
			t.Policies[i].Passes = min(number(each[i]), MaxRows)
		case t.Visible == 0, !p.Permissive, permissive(t.Policies) == 1:
			// Where there is no row, none passes; every visible row has passed what
			// restricts, and the only policy that allows.
			t.Policies[i].Passes = t.Visible
		}
	}
	return nil
}

func permissive(policies []Policy) int {
	n := 0
	for _, p := range policies {
		if p.Permissive {
			n++
		}
	}
	return n
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// total counts the rows that there are, as a role that sees them all.
func (l *look) total(ctx context.Context, r relation, t *Table) error {
	var n int64
	refused, err := l.own(ctx, func() error {
		return l.QueryRow(ctx, fmt.Sprintf("select count(*) from (select from %s limit %d) as clerksync_rows", r.SQL(), MaxRows+1)).Scan(&n)
	})
	if err != nil || refused != nil {
		return err
	}
	t.TotalMore, n = n > MaxRows, min(n, MaxRows)
	t.Total = &n
	return nil
}

// sample asks the policies about rows that the caller does not see, as the
// caller. The rows go from the connected role to the caller's by way of a setting
// of the transaction, and so never leave the database. Where that fails, as for a
// type that cannot be read from text, there is no sample.
func (l *look) sample(ctx context.Context, r relation, t *Table) error {
	var size int64
	refused, err := l.own(ctx, func() error {
		return l.QueryRow(ctx, fmt.Sprintf(
			"select length(set_config('clerksync.rows', coalesce(array_agg(one)::text, '{}'), true)) from (select one from %s as one where octet_length(one::text) <= %d limit %d) as clerksync_rows",
			r.SQL(), maxRow, maxSample)).Scan(&size)
	})
	if err != nil || refused != nil {
		return err
	}
	expressions := usings(t)
	answers, refused, err := l.ask(ctx, r.Schema,
		counting(fmt.Sprintf("unnest(current_setting('clerksync.rows')::%s[]) as %s", r.SQL(), catalog.QuoteIdentifier(r.Name.Table)), expressions...))
	if err != nil || refused != nil || answers[0].refused != nil {
		return err
	}
	t.Sampled = number(answers[0].text(0))
	for i := range expressions {
		n := number(answers[0].text(i + 1))
		t.Policies[i].Alone = &n
	}
	return nil
}

// valueSQL evaluates a part, without any row.
func valueSQL(p part) string {
	size := "null"
	if p.list {
		size = "cardinality(v)::text"
	}
	return fmt.Sprintf("select left(v::text, %d), %s, pg_typeof(v)::text from (select %s as v) as clerksync_value", maxValue+1, size, p.sql)
}

// value is what a part is to the caller. What is neither made of the caller's
// claims nor one of them stays in the database.
func (l *look) value(r relation, p part, a answer) Value {
	v := Value{Expression: short(p.text)}
	if a.refused != nil {
		v.Code = a.refused.Code
		return v
	}
	if len(a.row) == 0 || a.row[0] == nil {
		return v
	}
	text := *a.row[0]
	if len([]rune(text)) > maxValue {
		text = string([]rune(text)[:maxValue]) + "…"
	}
	own := a.text(2) == "boolean" || l.caller.own[text] || parse(p.text, r.Table).claimsOnly(l.database.Helpers)
	if p.list && !own {
		own = a.text(1) == "0"
		if elements, ok := elements(text); ok {
			own = !slices.ContainsFunc(elements, func(e string) bool { return !l.caller.own[e] })
		}
	}
	if !own {
		text, v.Withheld = "a value that is no claim of the token", true
		if p.list {
			n := number(a.text(1))
			text = fmt.Sprintf("%d %s, not all of them claims of the token", n, plural(n, "value", "values"))
		}
	}
	v.Value = &text
	return v
}

// elements reads an array as Postgres writes it, where nothing in it is quoted.
func elements(text string) ([]string, bool) {
	inner, opened := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if !opened || !closed || strings.ContainsAny(inner, `"{}\`) {
		return nil, false
	}
	if inner == "" {
		return nil, true
	}
	return strings.Split(inner, ","), true
}

// holds reports whether a policy certainly lets no row through, by a value that
// is null, false or empty.
func holds(p part, v Value) bool {
	switch {
	case !p.decisive || v.Code != "":
		return false
	case v.Value == nil:
		return true
	case p.list:
		return *v.Value == "{}"
	default:
		return *v.Value == "false"
	}
}

// refusedBy are the policies with a part that fails with a code.
func refusedBy(t *Table, code string) []string {
	var names []string
	for _, p := range t.Policies {
		if slices.ContainsFunc(p.Values, func(v Value) bool { return v.Code == code }) {
			names = append(names, catalog.QuoteIdentifier(p.Name))
		}
	}
	return names
}
