package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/rls/catalog"
)

// truth is what one policy says about one row to one persona.
type truth struct{ using, check answer }

// answer is an expression's value: true, false or null; code is set where it
// fails.
type answer struct {
	asked bool // the policy has such a clause
	value string
	code  string
	text  string
}

// watched reports whether row level security holds for a persona's role.
func (s *scene) watched(persona Persona) bool {
	rights := s.Roles[persona.Role]
	return s.RowSecurity && !rights.Bypasses && (!rights.Owns || s.Forced)
}

// decide finds out why an attempt ended as it did.
func (p *prober) decide(ctx context.Context, s *scene, persona Persona, t try, refused *refusal, done bool) ([]Decision, error) {
	rights := s.Roles[persona.Role]
	if refused != nil {
		d, err := p.refusal(ctx, s, persona, t, refused)
		return []Decision{d}, err
	}
	switch {
	case done && !s.RowSecurity:
		return []Decision{{By: ByRLSOff}}, nil
	case done && !s.watched(persona):
		return []Decision{{By: ByBypass}}, nil
	}
	var list []Decision
	for i, a := range t.asks {
		if !done && !a.filter {
			continue
		}
		d, err := p.verdict(ctx, s, persona, rights, a)
		if err != nil {
			return nil, err
		}
		if !done {
			if d.By != ByPolicy {
				return []Decision{d}, nil
			}
			continue
		}
		// What let it through is told of the command itself, and of a returned row.
		if i == 0 || len(t.asks) == 2 && !a.filter || a.check {
			if d.By != ByPolicy {
				d = Decision{By: ByUnknown}
			}
			list = merge(list, d)
		}
	}
	if done {
		return list, nil
	}
	return []Decision{{By: ByUnknown, Detail: "a trigger or a rule may have dropped it"}}, nil
}

// refusal explains an error.
func (p *prober) refusal(ctx context.Context, s *scene, persona Persona, t try, refused *refusal) (Decision, error) {
	rights := s.Roles[persona.Role]
	said := p.said(refused)
	inside := refused.Err.Where != "" && strings.Contains(refused.Err.Where, "PL/pgSQL")
	switch {
	case timedOut(refused.Err.Code):
		return Decision{By: ByTimeout, Detail: said}, nil
	// A row that with check refuses and a missing privilege have one code; the routine
	// that raises it tells them apart.
	case refused.Err.Code == "42501" && refused.Err.Routine == "ExecWithCheckOptions" && !inside:
		for _, a := range t.asks {
			if a.filter {
				continue
			}
			d, err := p.verdict(ctx, s, persona, rights, a)
			if err != nil {
				return Decision{}, err
			}
			if d.By != ByPolicy {
				return d, nil
			}
		}
		return Decision{By: ByUnknown, Detail: said}, nil
	case refused.Err.Code == "42501" && !inside:
		if missing := s.missing(rights, t); len(missing) > 0 {
			return Decision{By: ByGrant, Missing: missing}, nil
		}
	case strings.HasPrefix(refused.Err.Code, "23") && !inside:
		detail := said
		if refused.Err.ConstraintName != "" {
			detail = catalog.QuoteIdentifier(refused.Err.ConstraintName)
		}
		return Decision{By: ByConstraint, Detail: detail}, nil
	}
	d, err := p.failing(ctx, s, persona, rights, t, refused.Err.Code)
	if err != nil || d.By != "" {
		return d, err
	}
	return Decision{By: ByStatement, Detail: said}, nil
}

// failing looks for the policies that fail with a code when they are evaluated.
func (p *prober) failing(ctx context.Context, s *scene, persona Persona, rights roleRights, t try, code string) (Decision, error) {
	if !s.watched(persona) {
		return Decision{}, nil
	}
	for _, a := range t.asks {
		row, err := a.about(ctx)
		if err != nil {
			return Decision{}, err
		}
		if row == "" {
			row = s.own().whole // it fails for every row, more often than not
		}
		truths, err := p.evaluate(ctx, s, persona, row)
		if err != nil {
			return Decision{}, err
		}
		d := Decision{By: ByPolicyError, Command: a.command, Clause: a.clause()}
		for i, policy := range s.Policies {
			answer := a.of(policy, truths[i])
			if !applies(policy, a.command, rights) || answer.code != code {
				continue
			}
			d.Policies = append(d.Policies, policy.Name)
			d.Detail = answer.text
			if note := s.helpers.Fill(explainCode(code, policy.Using+policy.Check)); note != "" {
				d.Detail += "; " + note
			}
		}
		if len(d.Policies) > 0 {
			return d, nil
		}
	}
	return Decision{}, nil
}

// explainCode says in a sentence what stands behind a code, for [catalog.Helpers.Fill].
func explainCode(code, expression string) string {
	switch {
	case code == "22P02" && strings.Contains(expression, "uid()"):
		return "auth.uid() casts the sub claim to uuid, and a Clerk id is none: compare a text column with (select {{helpers}}.user_id())"
	case code == "42P17":
		return "the policy reads a table whose policies lead back to it: read it in a security definer function, such as {{helpers}}.my_org_ids()"
	default:
		return ""
	}
}

// about answers the row that the question is about.
func (a ask) about(ctx context.Context) (string, error) {
	if a.made == nil {
		return a.row, nil
	}
	return a.made(ctx)
}

func (a ask) clause() string {
	if a.check {
		return "with check"
	}
	return "using"
}

// of picks a policy's answer to the question: with check falls back to using.
func (a ask) of(policy catalog.Policy, t truth) answer {
	if a.check && policy.Check != "" {
		return t.check
	}
	return t.using
}

// applies reports whether a policy is for a command of a role that has these rights.
func applies(policy catalog.Policy, command catalog.Command, rights roleRights) bool {
	return policy.Applies(command, rights.Is...)
}

// verdict puts the answers of all policies together, as Postgres does: one permissive
// policy has to be true and every restrictive one, and null is not true.
func (p *prober) verdict(ctx context.Context, s *scene, persona Persona, rights roleRights, a ask) (Decision, error) {
	row, err := a.about(ctx)
	if err != nil {
		return Decision{}, err
	}
	if row == "" {
		return Decision{By: ByUnknown, Command: a.command, Clause: a.clause(), Detail: "the row could not be made without policies either"}, nil
	}
	truths, err := p.evaluate(ctx, s, persona, row)
	if err != nil {
		return Decision{}, err
	}
	d := Decision{Command: a.command, Clause: a.clause()}
	var passed, failed, restrictive []string
	for i, policy := range s.Policies {
		answer := a.of(policy, truths[i])
		if !applies(policy, a.command, rights) || !answer.asked {
			continue
		}
		ok := answer.value == "true"
		switch {
		case policy.Permissive && ok:
			passed = append(passed, policy.Name)
		case policy.Permissive:
			failed = append(failed, policy.Name)
		case !ok:
			restrictive = append(restrictive, policy.Name)
		}
	}
	switch {
	case len(passed)+len(failed) == 0:
		d.By, d.Clause = ByNoPolicy, ""
	case len(passed) == 0:
		d.By, d.Policies = ByFalse, failed
	case len(restrictive) > 0:
		d.By, d.Policies = ByRestrictive, restrictive
	default:
		d.By, d.Policies = ByPolicy, passed
	}
	slices.Sort(d.Policies)
	return d, nil
}

// evaluate asks every policy of the table about a row, as the persona. The row is
// handed in by value, so neither grants nor policies of the table itself are in
// the way, while those of other tables hold.
func (p *prober) evaluate(ctx context.Context, s *scene, persona Persona, row string) ([]truth, error) {
	key := func(row string) string { return string(persona.ID) + "\x00" + row }
	if known, ok := s.truths[key(row)]; ok {
		return known, nil
	}
	rows := []string{row}
	if slices.ContainsFunc(s.rows, func(r probeRow) bool { return r.whole == row }) {
		rows = rows[:0]
		for _, r := range s.rows {
			rows = append(rows, r.whole) // they will be asked about, too
		}
	}
	var expressions []string
	for _, policy := range s.Policies {
		for _, e := range []string{policy.Using, policy.Check} {
			_, broken := s.broken[key(e)]
			if e != "" && !broken && !slices.Contains(expressions, e) {
				expressions = append(expressions, e)
			}
		}
	}
	var values [][]string
	var refused *refusal
	if len(expressions) > 0 {
		var err error
		if values, refused, err = p.ask(ctx, s, p.become(persona), rows, expressions); err != nil {
			return nil, err
		}
	}
	for i, r := range rows {
		answers := map[string]answer{}
		for j, e := range expressions {
			if refused == nil {
				answers[e] = answer{asked: true, value: values[i][j]}
				continue
			}
			a, known := s.broken[key(e)]
			if !known {
				var err error
				if a, err = p.askAlone(ctx, s, persona, r, e); err != nil {
					return nil, err
				}
			}
			answers[e] = a
			// What is refused by its form fails for every row.
			if strings.HasPrefix(a.code, "42") {
				s.broken[key(e)] = a
			}
		}
		truths := make([]truth, len(s.Policies))
		for i, policy := range s.Policies {
			truths[i] = truth{using: answers[policy.Using], check: answers[policy.Check]}
			if a, broken := s.broken[key(policy.Using)]; broken {
				truths[i].using = a
			}
			if a, broken := s.broken[key(policy.Check)]; broken {
				truths[i].check = a
			}
		}
		s.truths[key(r)] = truths
	}
	return s.truths[key(row)], nil
}

// askAlone evaluates one expression. Where the persona cannot, the connected role
// does, with the persona's claims.
func (p *prober) askAlone(ctx context.Context, s *scene, persona Persona, row, expression string) (answer, error) {
	values, refused, err := p.ask(ctx, s, p.become(persona), []string{row}, []string{expression})
	if err != nil {
		return answer{}, err
	}
	if refused == nil {
		return answer{asked: true, value: values[0][0]}, nil
	}
	a := answer{asked: true, code: refused.Err.Code, text: p.said(refused)}
	if timedOut(a.code) {
		return a, nil
	}
	values, refused, err = p.ask(ctx, s, persona.pretend(), []string{row}, []string{expression})
	if err != nil {
		return answer{}, err
	}
	if refused == nil {
		a.value = values[0][0]
	}
	return a, nil
}

// ask evaluates expressions over rows.
func (p *prober) ask(ctx context.Context, s *scene, become string, rows, expressions []string) ([][]string, *refusal, error) {
	parts, literals := make([]string, len(expressions)), make([]string, len(rows))
	for i, e := range expressions {
		parts[i] = "(" + e + ")::boolean::text"
	}
	for i, row := range rows {
		literals[i] = literal(row) + "::" + s.SQL()
	}
	// The function's result is of the table's own type and has its name, as the
	// expressions expect of what they stand in.
	sql := fmt.Sprintf("select %s from unnest(array[%s]) as %s", strings.Join(parts, ", "), strings.Join(literals, ", "), quote(s.Name.Table))
	results, refused, err := p.run(ctx, become, nil, sql)
	if err != nil || refused != nil {
		return nil, refused, err
	}
	answered := results[len(results)-1].Rows
	if len(answered) != len(rows) {
		return nil, nil, fmt.Errorf("asking the policies of %s about %d rows: %d answers", s.Name, len(rows), len(answered))
	}
	values := make([][]string, len(rows))
	for i, fields := range answered {
		values[i] = make([]string, len(expressions))
		for j, field := range fields {
			values[i][j] = string(field)
		}
	}
	return values, nil, nil
}

// missing are the privileges that an attempt lacks, as GRANT writes them.
func (t *plan) missing(rights roleRights, attempt try) []string {
	var list []string
	if !rights.Usage {
		list = append(list, "usage on schema "+catalog.QuoteIdentifier(t.Schema))
	}
	for _, n := range attempt.needs {
		if rights.mayAll(n.privilege) {
			continue
		}
		var lacking []string
		for _, column := range n.columns {
			if !rights.may(n.privilege, column) && !slices.Contains(lacking, catalog.QuoteIdentifier(column)) {
				lacking = append(lacking, catalog.QuoteIdentifier(column))
			}
		}
		text := n.privilege
		switch {
		case len(rights.Columns[n.privilege]) == 0:
		case len(lacking) == 0:
			continue
		default:
			text += " (" + strings.Join(lacking, ", ") + ")"
		}
		text += " on " + t.Name.String()
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	if len(list) > 0 {
		return list
	}
	for _, column := range attempt.omitted {
		for _, sequence := range t.attribute(column).Sequences {
			if !slices.Contains(rights.Sequences, sequence) {
				list = append(list, "usage on the sequence of "+catalog.QuoteIdentifier(column))
			}
		}
	}
	return list
}
