package probe

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// Columns overrides which columns say whom a row belongs to. An empty one is
// picked from the table.
type Columns struct {
	Owner        string `json:"owner"`
	Organization string `json:"organization"`
	Published    string `json:"published"`
}

// plan is a table and how rows of it are made.
type plan struct {
	catalog.Table
	shape
	columns Columns
	helpers catalog.Helpers
	// on and off are the values of the published column.
	on, off string
	// foreign are the owner's and the organization's columns that are no text, so
	// that their values in the prober's rows are no Clerk ids.
	foreign map[string]bool
	// unfit are columns that only sound like the owner's or the organization's.
	unfit []string
	// key tells rows apart; empty where nothing but their place does.
	key []string
	// pinned are values that a column's own checks accept; fixed are those that
	// several columns or partitions demand together.
	pinned map[string][]string
	fixed  map[string]string
	// fill are columns that need a value although nothing in the catalogue says so.
	fill map[string]bool
	// links: nullable foreign keys get parents, too. everything: columns with a
	// default get values, too.
	links, everything bool
	// model is a present row that others are made after.
	model map[string]string
	// tried counts partitions that were tried.
	tried int
}

// plan reads a table and picks its columns.
func (p *prober) plan(ctx context.Context, name catalog.Name) (*plan, error) {
	if known, ok := p.plans[name]; ok {
		return known, nil
	}
	t, err := catalog.ReadTable(ctx, p.session, name)
	if err != nil {
		return nil, err
	}
	x, err := readShape(ctx, p.session, t)
	if err != nil {
		return nil, err
	}
	made := &plan{
		Table: t, shape: x, helpers: p.database.Helpers, links: true,
		foreign: map[string]bool{}, pinned: map[string][]string{}, fixed: map[string]string{}, fill: map[string]bool{},
	}
	if err := made.choose(p.options.Columns[name], p.database.Copy); err != nil {
		return nil, err
	}
	made.followPolicies()
	for _, k := range x.Keys {
		if !k.Partial && !slices.ContainsFunc(k.Columns, func(c string) bool { column, _ := t.Column(c); return !column.NotNull }) {
			made.key = k.Columns
			break
		}
	}
	p.plans[name] = made
	return made, nil
}

// choose settles which columns say whom rows belong to.
func (t *plan) choose(override Columns, copySchema string) error {
	pick := func(set string, choice catalog.Choice) (string, error) {
		if set == "" {
			if choice.Column == "" && len(choice.Others) > 0 {
				return choice.Others[0], nil
			}
			return choice.Column, nil
		}
		if _, ok := t.Column(set); !ok {
			return "", fmt.Errorf("%w: %s has no column %s", ErrColumn, t.Name, catalog.QuoteIdentifier(set))
		}
		return set, nil
	}
	var err error
	if t.columns.Owner, err = pick(override.Owner, t.OwnerColumn(copySchema, t.helpers)); err != nil {
		return err
	}
	if t.columns.Organization, err = pick(override.Organization, t.OrganizationColumn(copySchema, t.helpers)); err != nil {
		return err
	}
	if t.columns.Published, err = pick(override.Published, t.PublishedColumn()); err != nil {
		return err
	}
	for _, column := range []*string{&t.columns.Owner, &t.columns.Organization} {
		if *column == "" {
			continue
		}
		c, _ := t.Column(*column)
		switch base, _ := t.typeOf(*column); {
		case c.Generated:
			*column = ""
		case base.Name == "uuid":
			t.foreign[*column] = true
		case !c.Text() && base.Name != "bpchar":
			// A key of the application's own table of users, say: its parents decide.
			if !slices.ContainsFunc(t.Constraints, func(k catalog.Constraint) bool {
				return k.Kind == catalog.ForeignKey && slices.Contains(k.Columns, c.Name)
			}) {
				t.unfit = append(t.unfit, c.Name)
			}
			*column = ""
		}
	}
	if t.columns.Published != "" && !t.choosePublished(override.Published != "") {
		t.columns.Published = ""
	}
	return nil
}

// followPolicies puts rows where policies look for them: below the parent that a
// policy names, such as the bucket of a file.
func (t *plan) followPolicies() {
	for _, fk := range t.Constraints {
		if fk.Kind != catalog.ForeignKey || len(fk.Columns) != 1 {
			continue
		}
		column := fk.Columns[0]
		if column == t.columns.Owner || column == t.columns.Organization {
			continue
		}
		named := regexp.MustCompile(`\b` + regexp.QuoteMeta(catalog.QuoteIdentifier(column)) + `\)?(?:::\w+)? = '((?:[^']|'')*)'`)
		for _, policy := range t.Policies {
			if m := named.FindStringSubmatch(policy.Using + " " + policy.Check); m != nil {
				t.fixed[column] = strings.ReplaceAll(m[1], "''", "'")
				break
			}
		}
	}
}

// choosePublished finds the values of the published column, and reports whether
// it has any.
func (t *plan) choosePublished(asked bool) bool {
	column, _ := t.Column(t.columns.Published)
	base, _ := t.typeOf(t.columns.Published)
	switch base.Name {
	case "bool":
		t.on, t.off = "true", "false"
		return true
	case "timestamptz", "timestamp", "date":
		t.on, t.off = "2001-01-01", null
		if column.NotNull {
			t.off = "9999-01-01"
		}
		return true
	}
	// A column named "status" is often about something else: only what the table
	// itself says of published rows counts.
	rules := []string{column.Default}
	for _, c := range t.Constraints {
		if c.Kind == catalog.Check && slices.Contains(c.Columns, column.Name) {
			rules = append(rules, c.Definition)
		}
	}
	for _, policy := range t.Policies {
		if strings.Contains(policy.Using+policy.Check, catalog.QuoteIdentifier(column.Name)) {
			rules = append(rules, policy.Using, policy.Check)
		}
	}
	words := slices.Clone(base.Labels)
	for _, rule := range rules {
		for _, m := range quotedText.FindAllStringSubmatch(rule, -1) {
			words = append(words, m[1])
		}
	}
	for _, word := range []string{"published", "public", "live"} {
		if slices.Contains(words, word) {
			t.on = word
			break
		}
	}
	if t.on == "" {
		if !asked || base.Kind == "e" {
			return false
		}
		t.on = "published"
	}
	for _, word := range append([]string{"draft", "private", "unpublished", "hidden"}, base.Labels...) {
		if word != t.on && (slices.Contains(words, word) || len(words) == 1) {
			t.off = word
			return true
		}
	}
	t.off = "draft"
	return base.Kind != "e"
}

// single reports whether a user or an organization can have one row only.
func (t *plan) single() bool {
	var columns []string
	for _, c := range []string{t.columns.Owner, t.columns.Organization} {
		if c != "" {
			columns = append(columns, c)
		}
	}
	return len(columns) > 0 && t.unique(columns...)
}

// aboutColumns are findings about the columns that were picked.
func (t *plan) aboutColumns() []finding.Finding {
	var list []finding.Finding
	for _, c := range t.Columns {
		if !t.foreign[c.Name] && !slices.Contains(t.unfit, c.Name) {
			continue
		}
		list = append(list, finding.Finding{
			ID: "rls.probe.column_type", Status: finding.Warn, Object: t.Name.String() + "." + catalog.QuoteIdentifier(c.Name),
			Title:  "The column cannot hold a Clerk id",
			Detail: fmt.Sprintf("It is of the type %s, and Clerk's ids are texts, such as user_2abc and org_2abc; every write of one fails with 22P02.", c.Type),
			Remedy: fmt.Sprintf("alter table %s alter column %s type text;\nThe policies and foreign keys that use it have to be dropped before.", t.Name, catalog.QuoteIdentifier(c.Name)),
		})
	}
	if t.columns.Owner == "" && t.columns.Organization == "" {
		list = append(list, finding.Finding{
			ID: "rls.probe.columns", Status: finding.Warn, Object: t.Name.String(),
			Title:  "No column says whom a row belongs to",
			Detail: "Own and other rows differ in nothing but what they refer to through foreign keys.",
			Remedy: "Name the owner's or the organization's column, if there is one.",
		})
	}
	return list
}
