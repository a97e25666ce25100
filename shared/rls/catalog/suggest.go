package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Suggestion is a table of the team's that has to do with users or organizations and has no
// policy yet that Clerk's tokens pass.
type Suggestion struct {
	Table Name `json:"table"`
	// Why names the columns or policies that say so.
	Why string `json:"why"`
	// Command writes policies for it, to be looked at before they are applied.
	Command string `json:"command"`
}

// mostSuggested bounds how many tables are read.
const mostSuggested = 300

// Suggest looks through the tables of the exposed schemas, those of the copy apart. more says
// that there are further tables, which were not looked at. It reads the catalogue alone: what
// a column without a telling name, default or foreign key holds, it cannot know.
func Suggest(ctx context.Context, q Querier, d Database) (list []Suggestion, more bool, err error) {
	names, err := Collect(ctx, q, pgx.RowToStructByPos[Name], `
		select n.nspname::text, c.relname::text
		from pg_catalog.pg_class as c join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
		where c.relkind in ('r', 'p') and not c.relispartition and n.nspname = any ($1)
		  and not (n.nspname = $2 and c.relname in ('users', 'users_public', 'organizations', 'organization_memberships'))
		order by 1, 2 limit $3`, d.Exposed, d.Copy, mostSuggested+1)
	if err != nil {
		return nil, false, fmt.Errorf("listing the tables: %w", err)
	}
	more = len(names) > mostSuggested
	for _, name := range names[:min(len(names), mostSuggested)] {
		t, err := ReadTable(ctx, q, name)
		if err != nil {
			return nil, more, err
		}
		if why := t.unprepared(d); why != "" {
			list = append(list, Suggestion{Table: name, Why: why, Command: t.Configure(d.Helpers)})
		}
	}
	return list, more, nil
}

// unprepared says what of a table speaks for policies by Clerk's ids; empty where it has
// them, or where nothing does.
func (t Table) unprepared(d Database) string {
	var uid []string
	for _, p := range t.Policies {
		conditions := p.Using + " " + p.Check
		if strings.Contains(conditions, "auth.uid()") {
			uid = append(uid, p.Name)
		} else if strings.Contains(conditions, d.Helpers.String()+".") || strings.Contains(conditions, "jwt") {
			return ""
		}
	}
	if uid != nil {
		return fmt.Sprintf("its policies %s call auth.uid(), which no Clerk id passes", Join(uid, ", ", func(s string) string { return s }))
	}
	var columns []string
	for _, choice := range []Choice{t.OwnerColumn(d.Copy, d.Helpers), t.OrganizationColumn(d.Copy, d.Helpers)} {
		column := choice.Column
		if column == "" && len(choice.Others) > 0 {
			column = choice.Others[0]
		}
		if column == "" || slices.Contains(columns, column) {
			continue
		}
		c, _ := t.Column(column)
		if !c.Text() {
			column += " (" + c.Type + ", and a Clerk id is text)"
		}
		columns = append(columns, column)
	}
	if columns == nil {
		return ""
	}
	return "it has the column " + strings.Join(columns, " and ")
}
