package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// judge says what decides about the rows of a table that was read.
func (l *look) judge(r relation, t *Table, guarded bool, parts [][]part) finding.Finding {
	if t.Decision != "" {
		return l.failing(r, t)
	}
	f := finding.Finding{Status: finding.Pass, Title: l.rows(t)}
	role := l.caller.role
	switch {
	case r.Kind == catalog.View:
		t.Decision = ByView
		l.judgeView(r, &f)
	case r.Kind == catalog.MaterializedView || r.Kind == catalog.Foreign:
		t.Decision = ByRLSOff
		f.Status = finding.Warn
		f.Detail = fmt.Sprintf("A %s has no row level security: whoever may select from it sees every row.", r.Kind)
		f.Remedy = fmt.Sprintf("revoke all on %s from anon, authenticated;\nThen offer a function or a view in its place.", r.Name)
	case !guarded && l.facts.RoleBypasses:
		t.Decision = ByRLSOff
		f.Status = finding.Fail
		f.Detail = fmt.Sprintf("%s bypasses row level security, so every row is visible.", role)
		f.Remedy = fmt.Sprintf("alter role %s nobypassrls;", role)
	case !guarded && r.RowSecurity:
		t.Decision = ByRLSOff
		f.Status = finding.Fail
		f.Detail = fmt.Sprintf("%s owns the table, and row level security does not hold for the owner.", role)
		f.Remedy = fmt.Sprintf("alter table %s owner to postgres;", r.Name)
	case !guarded:
		t.Decision = ByRLSOff
		f.Status, f.Title = finding.Fail, "Row level security is off: "+lower(l.rows(t))
		f.Detail = fmt.Sprintf("Everybody who may select from the table sees all of it, and %s may.", role)
		if len(r.Policies) > 0 {
			f.Detail += " Its policies have no effect."
		}
		f.Remedy = fmt.Sprintf("alter table %s enable row level security;", r.Name)
		if len(r.Policies) == 0 {
			f.Remedy += "\nAnd say who may do what: " + r.Configure(l.database.Helpers)
		}
	case permissive(t.Policies) == 0:
		l.noPolicy(r, t, &f)
	default:
		t.Decision = ByPolicy
		l.byPolicy(r, t, parts, &f)
	}
	if !r.Select {
		f.Detail = strings.TrimSpace(fmt.Sprintf("%s %s may select only the columns %s: a request for all of them (select=*) answers %s.", f.Detail, role, catalog.QuoteIdentifiers(r.Readable), codeNoPrivilege))
	}
	return f
}

// rows says how many are visible.
func (l *look) rows(t *Table) string {
	n := fmt.Sprint(t.Visible)
	if t.Visible == 0 {
		n = "No"
	}
	of := ""
	switch {
	case t.More:
		n = fmt.Sprintf("More than %d", t.Visible)
	case t.Total != nil && t.TotalMore:
		of = fmt.Sprintf(" of more than %d", *t.Total)
	case t.Total != nil:
		of = fmt.Sprintf(" of %d", *t.Total)
	case t.Estimate > t.Visible:
		of = fmt.Sprintf(" of about %d", t.Estimate)
	}
	if t.Visible == 0 && of != "" {
		return fmt.Sprintf("None%s rows is visible", of)
	}
	return fmt.Sprintf("%s%s %s visible", n, of, plural(rowsNamed(t), "row is", "rows are"))
}

// rowsNamed is the number that the word row follows.
func rowsNamed(t *Table) int64 {
	switch {
	case t.More || t.TotalMore:
		return MaxRows
	case t.Total != nil:
		return *t.Total
	case t.Estimate > t.Visible:
		return t.Estimate
	case t.Visible == 0:
		return 1 // no row is
	default:
		return t.Visible
	}
}

func lower(text string) string { return strings.ToLower(text[:1]) + text[1:] }

// failing is a table that cannot be read.
func (l *look) failing(r relation, t *Table) finding.Finding {
	var expressions []string
	for _, p := range t.Policies {
		expressions = append(expressions, p.Using)
	}
	f := finding.Finding{Status: finding.Fail, Remedy: l.advice(t.Code, strings.Join(expressions, " "))}
	said := fmt.Sprintf("Postgres says: %s (SQLSTATE %s).", t.Message, t.Code)
	switch {
	case t.Decision == ByTimeout:
		f.Title = fmt.Sprintf("Reading the table takes longer than %s", statementLimit)
		f.Detail = "The select was stopped. A policy that is evaluated for each row, or a view, is the likely reason; the Data API stops requests of a role after its own limit, 3 s for anon and 8 s for authenticated on Supabase."
	case t.Code == codeLocked:
		f.Status = finding.Skip
		f.Title, f.Detail = "The table is locked", fmt.Sprintf("Another transaction held it for longer than %s.", lockLimit)
	case t.Code == codeRecursion:
		f.Title, f.Detail = "The policies of the table lead back to themselves", said
	case t.Code == codeInvalidText && strings.Contains(t.Message, "type uuid"):
		f.Title = "A Clerk id is compared as a uuid"
		f.Detail = said + " The Data API answers 400."
	default:
		f.Title, f.Detail = "Reading the table fails with "+t.Code, said
	}
	if names := refusedBy(t, t.Code); len(names) > 0 {
		f.Detail += fmt.Sprintf(" It comes from %s %s.", plural(int64(len(names)), "the policy", "the policies"), strings.Join(names, ", "))
	} else if len(t.Policies) > 0 && t.Decision == ByError && t.Code != codeLocked {
		f.Detail += fmt.Sprintf(" %s: %s.", plural(int64(len(t.Policies)), "The policy that applies", "The policies that apply"), policyNames(t.Policies))
	}
	if r.Kind == catalog.View && len(r.Reads) > 0 {
		f.Detail += " The view reads " + strings.Join(r.Reads, ", ") + "."
	}
	return f
}

func policyNames(policies []Policy) string {
	return catalog.List(policies, func(p Policy) string { return catalog.QuoteIdentifier(p.Name) })
}

// judgeView judges a view.
func (l *look) judgeView(r relation, f *finding.Finding) {
	reads := ""
	if len(r.Reads) > 0 {
		reads = " " + strings.Join(r.Reads, ", ")
	}
	if r.SecurityInvoker {
		f.Detail = fmt.Sprintf("The view reads%s as its caller: the policies there decide.", reads)
		return
	}
	f.Status = finding.Warn
	f.Detail = fmt.Sprintf("The view reads%s as its owner %s, not as its caller", reads, catalog.QuoteIdentifier(r.Owner))
	if r.OwnerBypasses {
		f.Detail += ", who bypasses row level security: every row that the view selects is visible."
	} else {
		f.Detail += ": policies there see the owner's rights."
	}
	f.Remedy = fmt.Sprintf("alter view %s set (security_invoker = true);\nThe caller then needs select on what it reads.", r.Name)
}

// noPolicy is a table whose row level security lets nothing through.
func (l *look) noPolicy(r relation, t *Table, f *finding.Finding) {
	role := l.caller.role
	t.Decision = ByNoPolicy
	f.Status, f.Title = finding.Warn, fmt.Sprintf("No policy lets %s read the table", role)
	f.Detail = "Row level security is on and no permissive policy for select applies, so no row is visible."
	var others []string
	for _, p := range r.Policies {
		kind := ""
		if !p.Permissive {
			kind = "restrictive, "
		}
		others = append(others, fmt.Sprintf("%s (%sfor %s to %s)", catalog.QuoteIdentifier(p.Name), kind, p.Command, strings.Join(p.Roles, ", ")))
	}
	if len(others) == 0 {
		f.Detail += " There is no policy at all."
	} else {
		f.Detail += " There are: " + strings.Join(others, "; ") + "."
	}
	f.Remedy = r.Configure(l.database.Helpers)
	if role == platform.Anon {
		f.Detail += " For callers who are not signed in that is usually meant: send a token whose role claim is authenticated."
	}
}

// byPolicy says which policies let rows through, or why none does.
func (l *look) byPolicy(r relation, t *Table, parts [][]part, f *finding.Finding) {
	if t.Visible > 0 {
		var through []string
		for _, p := range t.Policies {
			switch {
			case !p.Permissive || p.Passes == 0:
			case p.Passes < 0:
				through = append(through, catalog.QuoteIdentifier(p.Name))
			default:
				through = append(through, fmt.Sprintf("%s (%d)", catalog.QuoteIdentifier(p.Name), p.Passes))
			}
		}
		f.Detail = fmt.Sprintf("Let through by %s.", strings.Join(through, ", "))
		return
	}
	if r.Empty || t.Total != nil && *t.Total == 0 {
		f.Title, f.Detail = "The table is empty", "There is no row that a policy could let through."
		f.Detail += l.wouldHold(t, parts)
		return
	}
	if t.Total == nil && t.Estimate == 0 {
		f.Title = "No row is visible, and the table is empty as far as is known"
		f.Detail = "Postgres last counted no rows." + l.wouldHold(t, parts)
		return
	}
	f.Status = finding.Warn
	reasons, remedy := l.reasons(t, parts)
	f.Detail, f.Remedy = strings.Join(reasons, " "), remedy
}

// wouldHold says of an empty table what would hold back rows all the same.
func (l *look) wouldHold(t *Table, parts [][]part) string {
	for i, p := range t.Policies {
		for j, v := range p.Values {
			if holds(parts[i][j], v) && (!p.Permissive || permissive(t.Policies) == 1) {
				return fmt.Sprintf(" The policy %s would hold back any: %s.", catalog.QuoteIdentifier(p.Name), l.told(parts[i][j], v))
			}
		}
	}
	return ""
}

// maxReasons is how many policies are told about.
const maxReasons = 6

// reasons say why no row is visible, what is certain first.
func (l *look) reasons(t *Table, parts [][]part) (reasons []string, remedy string) {
	var restrictive, allowing []string
	for i, p := range t.Policies {
		name := catalog.QuoteIdentifier(p.Name)
		var values []string
		certain := ""
		for j, v := range p.Values {
			text := l.told(parts[i][j], v)
			if holds(parts[i][j], v) && certain == "" {
				certain = text
				if remedy == "" {
					remedy = l.remedyFor(parts[i][j], v)
				}
				continue
			}
			values = append(values, text)
		}
		switch {
		case certain != "" && !p.Permissive:
			restrictive = append(restrictive, fmt.Sprintf("The restrictive policy %s holds back every row: %s, so no row can match.", name, certain))
		case !p.Permissive && p.Alone != nil && *p.Alone == 0:
			rows := "every row"
			if t.TotalMore || t.Sampled < *t.Total {
				rows = "each of the rows looked at"
			}
			restrictive = append(restrictive, fmt.Sprintf("The restrictive policy %s holds back %s: %s%s%s.", name, rows, plain(p.Using), where(values), alone(t, p)))
		case certain != "":
			allowing = append(allowing, fmt.Sprintf("The policy %s lets nothing through: %s, so no row can match.", name, certain))
		case !p.Permissive:
			allowing = append(allowing, fmt.Sprintf("The restrictive policy %s may hold back rows: %s%s%s.", name, plain(p.Using), where(values), alone(t, p)))
		case p.Alone != nil && *p.Alone > 0:
			allowing = append(allowing, fmt.Sprintf("The policy %s matches rows that others hold back: %s%s%s.", name, plain(p.Using), where(values), alone(t, p)))
		default:
			allowing = append(allowing, fmt.Sprintf("No row matches the policy %s: %s%s.", name, plain(p.Using), where(values)))
		}
	}
	switch {
	case remedy != "":
	case len(restrictive) > 0:
		remedy = "A row has to satisfy every restrictive policy besides a permissive one. If rows should be visible, correct what it asks for."
	default:
		remedy = "If rows should be visible, compare these values with what is stored in the columns: a Clerk id is text, such as user_2f0a…, and differs between a development and a production instance."
	}
	reasons = allowing
	if len(restrictive) > 0 {
		reasons = restrictive
	}
	if more := len(reasons) - maxReasons; more > 0 {
		reasons = append(reasons[:maxReasons:maxReasons], fmt.Sprintf("So it is with %d more %s.", more, plural(int64(more), "policy", "policies")))
	}
	return reasons, remedy
}

// alone says what a policy would do by itself.
func alone(t *Table, p Policy) string {
	if p.Alone == nil {
		return ""
	}
	return fmt.Sprintf(" (by itself it lets %d of %d rows through)", *p.Alone, t.Sampled)
}

var columnAlias = regexp.MustCompile(` AS [a-z_]+\)`)

// plain writes an expression more like its author did, for a sentence.
func plain(expression string) string {
	return short(columnAlias.ReplaceAllString(strings.ReplaceAll(expression, "( SELECT ", "(select "), ")"))
}

func where(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return ", where " + strings.Join(values, " and ")
}

// told is a part and its value in words.
func (l *look) told(p part, v Value) string {
	expression := plain(v.Expression)
	switch {
	case v.Code != "":
		return fmt.Sprintf("%s fails with SQLSTATE %s", expression, v.Code)
	case v.Value == nil:
		return expression + " is NULL" + l.lack(p).why
	case p.list && *v.Value == "{}":
		return expression + " is empty" + l.lack(p).why
	case v.Withheld || *v.Value == "true" || *v.Value == "false":
		return expression + " is " + *v.Value
	default:
		return fmt.Sprintf("%s is '%s' for this caller", expression, *v.Value)
	}
}

// lack is why a part that reads the caller's claims, or the copy, is NULL or empty.
type lack struct {
	// reads are what such a part holds, for [catalog.Helpers.Fill].
	reads       []string
	why, remedy string
	// absent: the remedy is for what is not there, and not for what is false.
	absent bool
}

// lacks are told in this order: the first that a part reads.
var lacks = []lack{
	{
		reads:  []string{"'o.id'", "'o.rol'", "'o.slg'"},
		why:    " (the name is taken as one claim, not as a path)",
		remedy: "Write -> 'o' ->> 'id' in place of ->> 'o.id', or use (select {{helpers}}.org_id()).",
	},
	{
		reads: []string{"{{helpers}}.org_id()", "{{helpers}}.org_role()", "{{helpers}}.org_permissions()", "'o'", "'org_id'", "'org_role'", "{o,"},
		why:   " (no organization is active in the token)",
		remedy: "Make an organization active before the token is fetched (setActive), or take the caller's organizations from the copy: " +
			"organization = any (array(select {{helpers}}.my_org_ids())).",
		absent: true,
	},
	{
		reads:  []string{"{{helpers}}.my_org_ids"},
		why:    " (the copy knows no such membership of the caller)",
		remedy: `Look at mirror.user: a membership that the copy lacks is fetched with "clerksync sync-users".`,
	},
	{
		reads:  []string{"{{helpers}}.user_id()", "'sub'", "auth.uid()"},
		why:    " (the token names no user)",
		remedy: "Send a session token of a signed-in user.",
	},
}

func (l *look) lack(p part) lack {
	for _, x := range lacks {
		if slices.ContainsFunc(x.reads, func(text string) bool { return strings.Contains(p.text, l.database.Helpers.Fill(text)) }) {
			return x
		}
	}
	return lack{}
}

// remedyFor is what to do about a part that lets no row through.
func (l *look) remedyFor(p part, v Value) string {
	x := l.lack(p)
	if x.absent && v.Value != nil && !p.list {
		return ""
	}
	return l.database.Helpers.Fill(x.remedy)
}
