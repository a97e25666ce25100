package probe

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
)

// try is one thing that a persona tries.
type try struct {
	// before runs as the connected role.
	before []string
	sql    string
	// needs are the privileges that the statement asks for itself.
	needs []need
	// omitted are the columns that an insert leaves to their defaults.
	omitted []string
	// asks are the policies that Postgres asks, in its order.
	asks []ask
}

// need is a privilege on some columns, or on the whole table.
type need struct {
	privilege string
	columns   []string
}

// ask is one question to the policies: may this row pass?
type ask struct {
	command catalog.Command
	// check asks with check, not using.
	check bool
	// row is the row as text, made answers it where it has to be found out first:
	// empty where that cannot be done.
	row  string
	made func(context.Context) (string, error)
	// filter: rows that fail it are passed over in silence.
	filter bool
}

// probeTable fills the cells of a table.
func (p *prober) probeTable(ctx context.Context, t *plan, report *TableReport) error {
	report.Findings = append(report.Findings, t.aboutColumns()...)
	s, err := p.set(ctx, t, report)
	if err != nil || s == nil {
		return err
	}
	report.Columns = t.columns
	if err := p.must(ctx, "setting the scene", "set constraints all immediate", "savepoint clerksync_probe"); err != nil {
		return err
	}
	for _, persona := range p.personas {
		for _, command := range Commands() {
			if !s.has(command) {
				continue
			}
			cell, err := p.cell(ctx, s, persona, command)
			if err != nil {
				return fmt.Errorf("%s as %s: %w", command, persona.ID, err)
			}
			report.Cells = append(report.Cells, cell)
		}
	}
	p.judge(s, report)
	if p.options.Explain {
		if err := p.explain(ctx, s, report); err != nil {
			return err
		}
	}
	return p.must(ctx, "clearing the scene", "rollback to savepoint clerksync_probe", "release savepoint clerksync_probe")
}

// maxTimeouts is after how many attempts that ran into a limit no more are made.
const maxTimeouts = 5

// limited notes an attempt that ran into a limit.
func (s *scene) limited(persona Persona, refused *refusal) {
	if refused != nil && timedOut(refused.Err.Code) {
		s.timeouts[persona.Role]++
	}
}

// timedOut reports whether a code is the statement's or the lock's limit.
func timedOut(code string) bool { return code == "57014" || code == "55P03" }

// has reports whether a command makes sense for the table.
func (s *scene) has(command CommandID) bool {
	switch command {
	case ForgeOwner, GiveOwner:
		return s.columns.Owner != ""
	case ForgeOrganization, GiveOrganization:
		return s.columns.Organization != ""
	case ForgeParent:
		return len(s.strangersParents) > 0
	case UpdateOwn, UpdateOther:
		return s.harmless(roleRights{}) != ""
	case UpsertOwn, UpsertOther:
		return len(s.key) > 0 && !slices.ContainsFunc(s.key, func(c string) bool {
			column, _ := s.Column(c)
			return column.Generated || s.alwaysGenerated(c)
		})
	default:
		return true
	}
}

// cell lets one persona try one command. Which policies a command asks, and in which
// order, is PostgreSQL's (its docs, CREATE POLICY, "Policies Applied by Command Type"):
// what a where clause reads has to pass those for select as well, an update has to
// pass them twice, and so has an insert that returns its row.
func (p *prober) cell(ctx context.Context, s *scene, persona Persona, command CommandID) (Cell, error) {
	rights := s.Roles[persona.Role]
	var t try
	switch command {
	case Select:
		return p.selectCell(ctx, s, persona)
	case Insert, InsertReturning:
		t = p.insertTry(s, persona, s.fresh[persona.self], command == InsertReturning)
	case ForgeOwner:
		t = p.insertTry(s, persona, s.fresh[p.forged(persona.self)], false)
	case ForgeOrganization:
		t = p.insertTry(s, persona, s.fresh[p.foreign(persona.self)], false)
	case ForgeParent:
		t = p.insertTry(s, persona, over(s.fresh[persona.self], s.strangersParents), false)
	case UpdateOwn, UpdateOther:
		row := s.own()
		if command == UpdateOther {
			row = s.other()
		}
		column := s.harmless(rights)
		t = p.updateTry(s, persona, row, column, row.columns[column])
	case GiveOwner:
		to := p.cast.stranger
		if s.foreign[s.columns.Owner] {
			to = p.cast.asUUID(to)
		}
		t = p.updateTry(s, persona, s.own(), s.columns.Owner, to)
	case GiveOrganization:
		to := p.cast.orgB
		if s.foreign[s.columns.Organization] {
			to = p.cast.asUUID(to)
		}
		t = p.updateTry(s, persona, s.own(), s.columns.Organization, to)
	case DeleteOwn, DeleteOther:
		row := s.own()
		if command == DeleteOther {
			row = s.other()
		}
		t = try{
			sql:   "delete from " + s.SQL() + " where " + row.where,
			needs: []need{{"delete", nil}, {"select", s.key}},
			asks:  []ask{{command: catalog.Delete, row: row.whole, filter: true}, {command: catalog.Select, row: row.whole, filter: true}},
		}
	case UpsertOwn:
		t = p.upsertTry(s, persona, s.own())
	case UpsertOther:
		t = p.upsertTry(s, persona, s.other())
	}
	if s.timeouts[persona.Role] >= maxTimeouts {
		return Cell{Persona: persona.ID, Command: command, Outcome: Error, Text: "not tried", Decisions: []Decision{{By: ByData, Detail: "this role ran into limits before"}}}, nil
	}
	results, refused, err := p.run(ctx, p.become(persona), t.before, t.sql)
	if err != nil {
		return Cell{}, err
	}
	s.limited(persona, refused)
	cell := Cell{Persona: persona.ID, Command: command}
	cell.Outcome, cell.Text, cell.SQLState = outcome(refused)
	done := false
	switch {
	case refused != nil && refused.Step <= len(t.before)+1:
		cell.Outcome, cell.Text = Error, "not tried"
		cell.Decisions = []Decision{{By: ByData, Detail: p.said(refused)}}
		return cell, nil
	case refused != nil:
	case results[len(results)-1].CommandTag.RowsAffected() > 0:
		cell.Text, done = "ok", true
	default:
		cell.Outcome, cell.Text = Deny, "none"
	}
	cell.Decisions, err = p.decide(ctx, s, persona, t, refused, done)
	return cell, err
}

// run goes back to the scene, sets it further as the connected role, becomes
// somebody and runs one statement.
func (p *prober) run(ctx context.Context, become string, before []string, sql string) ([]*pgconn.Result, *refusal, error) {
	statements := append([]string{"rollback to savepoint clerksync_probe"}, before...)
	return p.script(ctx, append(statements, become, sql)...)
}

// outcome names a refusal; without one it is still to be named.
func outcome(refused *refusal) (Outcome, string, string) {
	switch {
	case refused == nil:
		return Allow, "", ""
	case refused.Err.Code == "42501":
		return Deny, "deny 42501", refused.Err.Code
	default:
		return Error, "error " + refused.Err.Code, refused.Err.Code
	}
}

// selectCell counts the prober's rows that a persona sees.
func (p *prober) selectCell(ctx context.Context, s *scene, persona Persona) (Cell, error) {
	list, columns := s.readable(s.Roles[persona.Role])
	where := make([]string, 0, len(s.rows)+1)
	for _, row := range s.rows {
		where = append(where, "("+row.where+")")
	}
	self, hasSelf := s.selves[persona.self.user]
	if hasSelf {
		where = append(where, "("+self.where+")")
	}
	t := try{
		sql: fmt.Sprintf("select clerksync_key from (select %s as clerksync_key, %s from %s where %s) as seen",
			s.keyExpression(), list, s.SQL(), strings.Join(where, " or ")),
		needs: []need{{"select", slices.Concat(s.key, columns)}},
	}
	results, refused, err := p.run(ctx, p.become(persona), nil, t.sql)
	if err != nil {
		return Cell{}, err
	}
	s.limited(persona, refused)
	cell := Cell{Persona: persona.ID, Command: Select}
	cell.Outcome, cell.Text, cell.SQLState = outcome(refused)
	if refused != nil {
		for _, row := range s.rows {
			t.asks = append(t.asks, ask{command: catalog.Select, row: row.whole, filter: true})
		}
		cell.Decisions, err = p.decide(ctx, s, persona, t, refused, false)
		return cell, err
	}
	seen := map[string]bool{}
	for _, row := range results[len(results)-1].Rows {
		seen[string(row[0])] = true
	}
	cell.Self = hasSelf && seen[self.key]
	own, other := 0, 0
	// What was let through comes before what was not.
	rows := slices.Clone(s.rows)
	if hasSelf {
		rows = append(rows, self)
	}
	ordered := slices.SortedStableFunc(slices.Values(rows), func(a, b probeRow) int { return count(seen[b.key]) - count(seen[a.key]) })
	for _, row := range ordered {
		visible := seen[row.key]
		switch {
		case hasSelf && row.key == self.key:
		case row.own:
			own++
			cell.Own += count(visible)
		default:
			other++
			cell.Other += count(visible)
		}
		t.asks = []ask{{command: catalog.Select, row: row.whole, filter: true}}
		decisions, err := p.decide(ctx, s, persona, t, nil, visible)
		if err != nil {
			return Cell{}, err
		}
		for _, d := range decisions {
			cell.Decisions = merge(cell.Decisions, d)
		}
	}
	cell.Text = seenText(cell, own, other)
	if cell.Own+cell.Other == 0 && !cell.Self {
		cell.Outcome = Deny
	}
	return cell, nil
}

// readable is what a client asks for: every column, or those that its role may see.
func (s *scene) readable(rights roleRights) (list string, columns []string) {
	if granted := rights.Columns["select"]; !rights.mayAll("select") && len(granted) > 0 {
		return quoteAll(granted), granted
	}
	return "*", columnNames(s.Table)
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// seenText is "all", "none", "2 own", "1 own 1 other" and the like.
func seenText(c Cell, own, other int) string {
	var parts []string
	switch {
	case c.Own == own && c.Other == other && own+other > 0:
		return "all"
	case c.Own+c.Other == 0 && !c.Self:
		return "none"
	}
	if c.Own > 0 {
		parts = append(parts, fmt.Sprintf("%d own", c.Own))
	}
	if c.Other > 0 {
		parts = append(parts, fmt.Sprintf("%d other", c.Other))
	}
	if c.Self {
		parts = append(parts, "self")
	}
	return strings.Join(parts, " ")
}

// merge adds a decision, or its policies to those of one of the same kind.
func merge(list []Decision, d Decision) []Decision {
	for i, have := range list {
		if have.By == d.By && have.Command == d.Command && have.Clause == d.Clause && have.Detail == d.Detail {
			for _, name := range d.Policies {
				if !slices.Contains(have.Policies, name) {
					list[i].Policies = append(list[i].Policies, name)
				}
			}
			slices.Sort(list[i].Policies)
			return list
		}
	}
	return append(list, d)
}

// narrow leaves out what a role may not write and the row does not need.
func (s *scene) narrow(rights roleRights, values map[string]string) map[string]string {
	granted := rights.Columns["insert"]
	if rights.mayAll("insert") || len(granted) == 0 {
		return values
	}
	narrowed := maps.Clone(values)
	for name := range values {
		c, _ := s.Column(name)
		optional := c.Default != "" || c.Identity || !c.NotNull
		if optional && !slices.Contains(granted, name) && name != s.columns.Owner && name != s.columns.Organization {
			delete(narrowed, name)
		}
	}
	return narrowed
}

func (s *scene) omitted(values map[string]string) []string {
	var names []string
	for _, c := range s.Columns {
		if _, set := values[c.Name]; !set && !c.Generated && !c.Identity {
			names = append(names, c.Name)
		}
	}
	return names
}

func (p *prober) insertTry(s *scene, persona Persona, row map[string]string, returning bool) try {
	rights := s.Roles[persona.Role]
	values := s.narrow(rights, row)
	t := try{
		before:  s.clear(values, ""),
		sql:     insertSQL(s.plan, values, ""),
		needs:   []need{{"insert", slices.Sorted(maps.Keys(values))}},
		omitted: s.omitted(values),
	}
	added := p.asIf(s, persona, t.before, t.sql, over(s.own().columns, values))
	t.asks = []ask{{command: catalog.Insert, check: true, made: added}}
	if returning {
		list, columns := s.readable(rights)
		t.sql += " returning " + list
		t.needs = append(t.needs, need{"select", columns})
		t.asks = append(t.asks, ask{command: catalog.Select, made: added})
	}
	return t
}

func (p *prober) updateTry(s *scene, persona Persona, row probeRow, column, value string) try {
	t := try{
		sql:   "update " + s.SQL() + " as clerksync_row set " + quote(column) + " = " + literal(value) + " where " + row.where,
		needs: []need{{"update", []string{column}}, {"select", s.key}},
	}
	result := over(row.columns, map[string]string{column: value})
	if value != row.columns[column] {
		t.before = s.clear(result, row.where)
	}
	changed := p.asIf(s, persona, t.before, t.sql, result)
	t.asks = []ask{
		{command: catalog.Update, row: row.whole, filter: true},
		{command: catalog.Select, row: row.whole, filter: true},
		{command: catalog.Update, check: true, made: changed},
		{command: catalog.Select, made: changed},
	}
	return t
}

func (p *prober) upsertTry(s *scene, persona Persona, row probeRow) try {
	values := maps.Clone(s.narrow(s.Roles[persona.Role], s.fresh[persona.self]))
	for _, column := range s.key {
		values[column] = row.columns[column]
	}
	var sets []string
	for _, column := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(s.key, column) || len(values) == len(s.key) {
			sets = append(sets, quote(column)+" = excluded."+quote(column))
		}
	}
	columns := slices.Sorted(maps.Keys(values))
	insert := insertSQL(s.plan, values, "")
	t := try{
		before:  s.clear(values, row.where),
		sql:     insert + " on conflict (" + quoteAll(s.key) + ") do update set " + strings.Join(sets, ", "),
		needs:   []need{{"insert", columns}, {"update", columns}, {"select", s.key}},
		omitted: s.omitted(values),
	}
	proposed := p.asIf(s, persona, append(slices.Clone(t.before), "delete from "+s.SQL()+" where "+row.where), insert, over(row.columns, values))
	result := p.asIf(s, persona, t.before, t.sql, over(row.columns, values))
	t.asks = []ask{
		{command: catalog.Insert, check: true, made: proposed},
		{command: catalog.Select, made: proposed},
		{command: catalog.Update, row: row.whole},
		{command: catalog.Select, row: row.whole},
		{command: catalog.Update, check: true, made: result},
		{command: catalog.Select, made: result},
	}
	return t
}

// over is a row with some columns changed.
func over(row, changes map[string]string) map[string]string {
	changed := maps.Clone(row)
	maps.Copy(changed, changes)
	return changed
}

// asIf is the row that a statement would leave if no policy held it back: run by
// the connected role with the persona's claims. Where a constraint refuses it, it
// is the row as it would be without triggers; where it fails all the same, empty.
func (p *prober) asIf(s *scene, persona Persona, before []string, sql string, otherwise map[string]string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		key := string(persona.ID) + "\x00" + sql
		if row, ok := s.asIfs[key]; ok {
			return row, nil
		}
		row, err := p.wouldBe(ctx, s, persona, before, sql, otherwise)
		s.asIfs[key] = row
		return row, err
	}
}

func (p *prober) wouldBe(ctx context.Context, s *scene, persona Persona, before []string, sql string, otherwise map[string]string) (string, error) {
	results, refused, err := p.run(ctx, persona.pretend(), before, sql+" returning (clerksync_row.*)::text")
	if err != nil {
		return "", err
	}
	if refused != nil && strings.HasPrefix(refused.Err.Code, "23") {
		fields := make([]string, len(s.Columns))
		for i, c := range s.Columns {
			fields[i] = literal(otherwise[c.Name])
		}
		results, refused, err = p.run(ctx, persona.pretend(), nil, "select row("+strings.Join(fields, ", ")+")::"+s.SQL()+"::text")
		if err != nil {
			return "", err
		}
	}
	if refused != nil || len(results[len(results)-1].Rows) == 0 {
		return "", nil
	}
	return string(results[len(results)-1].Rows[0][0]), nil
}

// probeView counts the rows of the tables below that come through a view.
func (p *prober) probeView(ctx context.Context, v *plan, report *TableReport) error {
	column, ofOwner := v.columns.Owner, true
	if column == "" {
		column, ofOwner = v.columns.Organization, false
	}
	if column == "" || v.foreign[column] {
		report.finding(finding.Finding{
			ID: "rls.probe.columns", Status: finding.Skip, Title: "No column of the view says whom a row belongs to",
			Detail: "Without one the prober's rows cannot be told apart in it.",
			Remedy: "Name the owner's or the organization's column, or probe the tables below: " + nameList(v.Bases) + ".",
		})
		return nil
	}
	for _, base := range v.Bases {
		if _, ok := p.inCopy(base, subject{}); ok {
			continue
		}
		t, err := p.plan(ctx, base)
		if err != nil {
			return err
		}
		s, err := p.set(ctx, t, report)
		if err != nil {
			return err
		}
		if s == nil {
			return nil
		}
	}
	if err := p.must(ctx, "setting the scene", "set constraints all immediate", "savepoint clerksync_probe"); err != nil {
		return err
	}
	report.Columns = Columns{Owner: v.columns.Owner, Organization: v.columns.Organization}
	own, others := p.cast.owner, []string{p.cast.stranger, p.cast.stranger2}
	if !ofOwner {
		own, others = p.cast.orgA, []string{p.cast.orgB}
	}
	in := catalog.List(append([]string{own}, others...), literal)
	sql := fmt.Sprintf("select clerksync_key from (select %s::text as clerksync_key, * from %s where %s::text in (%s)) as seen", quote(column), v.SQL(), quote(column), in)
	tally := func(results []*pgconn.Result) (mine, strangers int) {
		for _, row := range results[len(results)-1].Rows {
			if string(row[0]) == own {
				mine++
			} else {
				strangers++
			}
		}
		return mine, strangers
	}
	results, refused, err := p.run(ctx, request.Set("request.jwt.claims", ""), nil, sql)
	if err != nil {
		return err
	}
	if refused != nil {
		report.finding(finding.Finding{
			ID: "rls.probe.data", Status: finding.Skip, Title: "The view cannot be read", Detail: p.said(refused),
			Remedy: "Run a select on it as the owner of the project, and mend what that says.",
		})
		return nil
	}
	report.Own, report.Other = tally(results)
	for _, persona := range p.personas {
		results, refused, err := p.run(ctx, p.become(persona), nil, sql)
		if err != nil {
			return err
		}
		cell := Cell{Persona: persona.ID, Command: Select}
		cell.Outcome, cell.Text, cell.SQLState = outcome(refused)
		rights := v.Roles[persona.Role]
		needs := []need{{"select", columnNames(v.Table)}}
		switch missing := v.missing(rights, try{needs: needs}); {
		case refused == nil:
			cell.Own, cell.Other = tally(results)
			cell.Text = seenText(cell, report.Own, report.Other)
			if cell.Own+cell.Other == 0 {
				cell.Outcome = Deny
			}
			cell.Decisions = []Decision{v.through()}
		case refused.Err.Code == "42501" && len(missing) > 0:
			cell.Decisions = []Decision{{By: ByGrant, Missing: missing}}
		default:
			cell.Decisions = []Decision{{By: ByStatement, Detail: p.said(refused)}}
		}
		report.Cells = append(report.Cells, cell)
	}
	judgeView(v, report)
	return p.must(ctx, "clearing the scene", "rollback to savepoint clerksync_probe", "release savepoint clerksync_probe")
}

// through says as whom a view reads.
func (t *plan) through() Decision {
	switch {
	case t.SecurityInvoker:
		return Decision{By: ByViewCaller, Detail: nameList(t.Bases)}
	case t.OwnerBypasses:
		return Decision{By: ByViewOwner, Detail: catalog.QuoteIdentifier(t.Owner) + " bypasses row level security"}
	default:
		return Decision{By: ByViewOwner, Detail: catalog.QuoteIdentifier(t.Owner)}
	}
}

func nameList(names []catalog.Name) string { return catalog.List(names, catalog.Name.String) }
