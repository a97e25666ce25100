package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
	"clerksync/sql/platform"
)

// Plan is how the database would run a command over the whole table under row
// level security.
type Plan struct {
	Persona PersonaID `json:"persona"`
	Command CommandID `json:"command"`
	// SeqScanOff: the plan that avoids sequential scans at any price.
	SeqScanOff bool `json:"seq_scan_off"`
	// Text is the plan as EXPLAIN prints it.
	Text string `json:"text"`
}

// node is a node of a plan.
type node struct {
	Type         string `json:"Node Type"`
	Relation     string `json:"Relation Name"`
	Schema       string `json:"Schema"`
	Relationship string `json:"Parent Relationship"`
	Subplan      string `json:"Subplan Name"`
	Filter       string `json:"Filter"`
	Plans        []node `json:"Plans"`
}

// explain adds plans and what is wrong with them.
func (p *prober) explain(ctx context.Context, s *scene, report *TableReport) error {
	column := s.harmless(s.Roles[platform.Authenticated])
	if column == "" {
		return nil // a table without columns of its own to write
	}
	statements := []struct {
		command CommandID
		sql     string
	}{
		{Select, "select * from " + s.SQL()},
		{UpdateOwn, "update " + s.SQL() + " set " + quote(column) + " = " + quote(column)},
		{DeleteOwn, "delete from " + s.SQL()},
	}
	told := map[string]bool{}
	for _, persona := range p.personas {
		if persona.ID != Owner && persona.ID != Member {
			continue
		}
		for _, statement := range statements {
			// The second plan tells a table that is too small for an index from one that has none.
			for _, off := range []bool{false, true} {
				var before []string
				if off {
					before = []string{request.Set("enable_seqscan", "off")}
				}
				text, root, err := p.planOf(ctx, persona, before, statement.sql)
				if err != nil {
					return err
				}
				if text == "" {
					continue // refused, as its cell says
				}
				shape := planNumbers.ReplaceAllString(text, "")
				if key := string(statement.command) + shape; !told[key] {
					told[key] = true
					report.Plans = append(report.Plans, Plan{persona.ID, statement.command, off, text})
				}
				for _, f := range s.inspect(root, off) {
					if key := f.ID + planNumbers.ReplaceAllString(f.Detail, ""); !told[key] {
						told[key] = true
						report.finding(f)
					}
				}
			}
		}
	}
	return nil
}

// planOf explains one statement: as text for people, and as a tree.
func (p *prober) planOf(ctx context.Context, persona Persona, before []string, sql string) (string, node, error) {
	results, refused, err := p.run(ctx, p.become(persona), before, "explain (verbose, costs) "+sql)
	if err != nil || refused != nil {
		return "", node{}, err
	}
	var lines []string
	for _, row := range results[len(results)-1].Rows {
		lines = append(lines, string(row[0]))
	}
	results, refused, err = p.run(ctx, p.become(persona), before, "explain (format json, verbose, costs) "+sql)
	if err != nil || refused != nil {
		return "", node{}, err
	}
	var trees []struct{ Plan node }
	if err := json.Unmarshal(bytes.Join(results[len(results)-1].Rows[0], nil), &trees); err != nil || len(trees) == 0 {
		return "", node{}, fmt.Errorf("reading a plan: %w", err)
	}
	return p.scrubber.Replace(strings.Join(lines, "\n")) + "\n", trees[0].Plan, nil
}

var (
	hashed    = regexp.MustCompile(`hashed SubPlan (\d+)`)
	constants = regexp.MustCompile(`'(?:[^']|'')*'`)
	// Costs, and the numbers of what is planned apart.
	planNumbers = regexp.MustCompile(`\(cost=[^)]*\)|\$\d+|(?:InitPlan|SubPlan) \d+`)
	settingsIn  = regexp.MustCompile(`current_setting\(`)
)

// inspect looks for what a policy makes the database do for each row.
func (s *scene) inspect(root node, off bool) []finding.Finding {
	var list []finding.Finding
	object := s.Name.String()
	var walk func(n node)
	walk = func(n node) {
		// users_public_read_fellows goes row by row for those callers alone to whom most rows
		// are visible.
		if n.Relation != "" && s.reads(n) && n.Filter != "" && !strings.Contains(n.Filter, s.helpers.Fill("{{helpers}}.crowd_from()")) {
			filter := constants.ReplaceAllString(n.Filter, "''")
			once := hashed.FindAllStringSubmatch(filter, -1)
			for _, child := range n.Plans {
				if child.Relationship != "SubPlan" {
					continue
				}
				isHashed := slices.ContainsFunc(once, func(m []string) bool { return child.Subplan == "SubPlan "+m[1] })
				if !isHashed {
					list = append(list, finding.Finding{
						ID: "rls.probe.per_row", Status: finding.Warn, Object: object, Title: "A policy runs a query for each row",
						Detail: "A correlated subquery stands in the filter: " + n.Filter,
						Remedy: s.helpers.Fill("Turn it around: organization = any (array(select {{helpers}}.my_org_ids())) is evaluated once and uses the index."),
					})
				}
			}
			if name := s.called(filter); name != "" {
				list = append(list, finding.Finding{
					ID: "rls.probe.per_row", Status: finding.Warn, Object: object, Title: "A policy calls a function for each row",
					Detail: name + " stands in the filter: " + n.Filter,
					Remedy: s.helpers.Fill("Wrap the call: (select {{helpers}}.user_id()) in place of {{helpers}}.user_id() is evaluated once; a function that takes columns of the row cannot be wrapped, so turn it around into one that returns ids."),
				})
			}
			// Older servers do not print what is looked up in a hashed subquery.
			if off && n.Type == "Seq Scan" && (s.mentionsColumn(filter) || len(once) > 0) {
				list = append(list, finding.Finding{
					ID: "rls.probe.no_index", Status: finding.Warn, Object: object, Title: "A policy finds no index that it could use",
					Detail: "The whole table is read although that was to be avoided: " + n.Filter,
					Remedy: s.indexFor(filter),
				})
			}
		}
		for _, child := range n.Plans {
			walk(child)
		}
	}
	walk(root)
	return list
}

// reads reports whether a node reads the table or one of its partitions.
func (s *scene) reads(n node) bool {
	is := func(name catalog.Name) bool {
		return n.Relation == name.Table && (n.Schema == "" || n.Schema == name.Schema)
	}
	return is(s.Name) || slices.ContainsFunc(s.Children, func(c catalog.Child) bool { return is(c.Name) })
}

// called is a function of a policy that a filter calls.
func (s *scene) called(filter string) string {
	for _, f := range s.Functions {
		name := catalog.QuoteIdentifier(f.Name)
		at := regexp.MustCompile(`(?:^|[^\w"])` + regexp.QuoteMeta(name) + `\(`)
		if at.MatchString(filter) {
			return catalog.QuoteIdentifier(f.Schema) + "." + name
		}
	}
	// Supabase's helpers are so simple that only what they are made of is left.
	if settingsIn.MatchString(filter) {
		return "current_setting (auth.jwt() or auth.uid(), spelled out)"
	}
	return ""
}

func (s *scene) mentionsColumn(filter string) bool {
	return slices.ContainsFunc(s.Columns, func(c catalog.Column) bool { return mentions(filter, c.Name) })
}

func mentions(filter, column string) bool {
	return regexp.MustCompile(`(?:^|[^\w"])` + regexp.QuoteMeta(catalog.QuoteIdentifier(column)) + `(?:$|[^\w"(])`).MatchString(filter)
}

// indexFor proposes the index that is missing.
func (s *scene) indexFor(filter string) string {
	if hashed.MatchString(filter) {
		return "Write column = any (array(select …)) in place of column in (select …) or exists (…): the list is made once, and the column's index is used."
	}
	var missing []string
	for _, c := range s.Columns {
		if _, has := s.Leads(c.Name); !has && mentions(filter, c.Name) {
			missing = append(missing, fmt.Sprintf("create index on %s (%s);", s.Name, catalog.QuoteIdentifier(c.Name)))
		}
	}
	if len(missing) == 0 {
		return "Write the comparison so that the bare column stands on one side, and its alternatives (or) each with an index."
	}
	return strings.Join(missing, " ")
}
