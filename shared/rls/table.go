package rls

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// grants are the privileges that each role of the Data API is to have.
func (b *builder) grants() map[string][]string {
	wanted := map[string][]string{public: nil, platform.Anon: nil, platform.Authenticated: nil}
	for _, command := range catalog.Commands() {
		if !b.rules[command].IsNobody() {
			wanted[platform.Authenticated] = append(wanted[platform.Authenticated], string(command))
		}
	}
	if !b.anonRule(b.rules[catalog.Select]).IsNobody() {
		wanted[platform.Anon] = []string{string(catalog.Select)}
	}
	return wanted
}

// grantUsage lets the roles enter the schema.
func (b *builder) grantUsage() {
	if len(b.rules) == 0 || b.spec.Bucket != "" {
		return
	}
	var missing []string
	wanted := b.grants()
	for _, role := range []string{platform.Anon, platform.Authenticated} {
		if len(wanted[role]) > 0 && !b.db.MayUse(role, b.spec.Table.Schema) {
			missing = append(missing, role)
		}
	}
	if !b.spec.WithoutService && !b.db.MayUse(platform.ServiceRole, b.spec.Table.Schema) {
		missing = append(missing, platform.ServiceRole)
	}
	if len(missing) > 0 {
		b.add("grant usage on schema %s to %s", catalog.QuoteIdentifier(b.spec.Table.Schema), strings.Join(missing, ", "))
	}
}

func (b *builder) enable() {
	if !b.table.RowSecurity && b.spec.Bucket == "" {
		b.add("alter table %s enable row level security", b.spec.Table)
	}
}

// grantTable leaves each role with exactly the privileges that its rules need:
// TRUNCATE, for one, goes past every policy. Column privileges are somebody's
// finer choice and stay.
func (b *builder) grantTable() {
	if b.spec.Bucket != "" || b.isCopy() && b.spec.Table.Table != usersPublic {
		return
	}
	wanted := b.grants()
	for _, role := range callers {
		var grant, revoke, columns []string
		for _, g := range b.table.Grants {
			switch {
			case g.Role != role || slices.Contains(wanted[role], g.Privilege):
			case g.Column == "":
				revoke = append(revoke, g.Privilege)
			default:
				revoke = append(revoke, fmt.Sprintf("%s (%s)", g.Privilege, catalog.QuoteIdentifier(g.Column)))
			}
		}
		for _, privilege := range wanted[role] {
			finer := slices.ContainsFunc(b.table.Grants, func(g catalog.Grant) bool {
				return g.Role == role && g.Privilege == privilege && g.Column != ""
			})
			switch {
			case b.table.Granted(role, privilege):
			case finer:
				columns = append(columns, privilege)
			default:
				grant = append(grant, privilege)
			}
		}
		if len(revoke) > 0 {
			b.remove("revoke %s on %s from %s", strings.Join(revoke, ", "), b.spec.Table, role)
		}
		if len(grant) > 0 {
			b.add("grant %s on %s to %s", strings.Join(grant, ", "), b.spec.Table, role)
		}
		if len(columns) > 0 {
			b.find(finding.Finding{
				ID: "rls.grants.columns", Status: finding.Warn, Title: "Some columns only",
				Detail: fmt.Sprintf("%s may %s some columns of the table, and that is left as it is.", role, strings.Join(columns, ", ")),
				Remedy: fmt.Sprintf("For all columns: grant %s on %s to %s;", strings.Join(columns, ", "), b.spec.Table, role),
			})
		}
	}
	if b.spec.WithoutService || b.isCopy() {
		return
	}
	var grant []string
	for _, command := range catalog.Commands() {
		if !b.table.Granted(platform.ServiceRole, string(command)) {
			grant = append(grant, string(command))
		}
	}
	if len(grant) > 0 {
		b.add("grant %s on %s to %s", strings.Join(grant, ", "), b.spec.Table, platform.ServiceRole)
	}
	b.grantSequences(wanted)
}

// grantSequences lets who inserts take numbers for serial columns.
func (b *builder) grantSequences(wanted map[string][]string) {
	var roles []string
	if slices.Contains(wanted[platform.Authenticated], string(catalog.Insert)) {
		roles = append(roles, platform.Authenticated)
	}
	if !b.spec.WithoutService {
		roles = append(roles, platform.ServiceRole)
	}
	for _, column := range b.table.Columns {
		if column.Serial == nil {
			continue
		}
		sequence, err := catalog.ReadTable(b.ctx, b.tx, *column.Serial)
		if err != nil {
			continue // dropped since; the verification after applying would tell
		}
		var missing []string
		for _, role := range roles {
			if !sequence.Granted(role, "usage") {
				missing = append(missing, role)
			}
		}
		if len(missing) > 0 {
			b.add("grant usage on sequence %s to %s", column.Serial, strings.Join(missing, ", "))
		}
	}
}

// setDefaults fills the compared columns from the caller's token, so that an
// insert need not name them.
func (b *builder) setDefaults() {
	insert := b.rules[catalog.Insert]
	if insert.IsNobody() || b.spec.Bucket != "" {
		return
	}
	fails := func(c catalog.Column) bool { return strings.Contains(c.Default, "auth.uid()") }
	report := func(status finding.Status, c catalog.Column, remedy string) {
		b.find(finding.Finding{
			ID: "rls.column.default", Status: status, Object: c.Name, Title: "The column's default fails for Clerk's users",
			Detail: "auth.uid() casts the Clerk id to uuid: 22P02 with every insert that leaves the column out.",
			Remedy: fmt.Sprintf("alter table %s alter column %s %s;", b.spec.Table, catalog.QuoteIdentifier(c.Name), remedy),
		})
	}
	for _, column := range b.table.Columns {
		if fails(column) && !slices.Contains(b.columns, column.Name) {
			report(finding.Warn, column, "drop default")
		}
	}
	for _, d := range []struct {
		quoted, call string
		used         bool
	}{
		{b.binding.owner, b.db.Helpers.String() + ".user_id()", insert.uses(wordOwner)},
		{b.binding.organization, b.db.Helpers.String() + ".org_id()", insert.uses(organizationWords...)},
	} {
		if !d.used {
			continue
		}
		i := slices.IndexFunc(b.table.Columns, func(c catalog.Column) bool { return catalog.QuoteIdentifier(c.Name) == d.quoted })
		column := b.table.Columns[i]
		switch {
		case column.Default != "" && !fails(column):
		case fails(column) && b.spec.WithoutDefault:
			report(finding.Fail, column, "set default "+d.call)
		case !b.spec.WithoutDefault:
			b.add("alter table %s alter column %s set default %s", b.spec.Table, d.quoted, d.call)
		}
	}
}

// indexComment is on every index made here.
const indexComment = mark + "for row level security"

// largeTable is the number of rows from which building an index takes long
// enough for the writers that wait to notice.
const largeTable = 1_000_000

// addIndexes makes sure that the compared columns lead an index.
func (b *builder) addIndexes() {
	if b.spec.WithoutIndex || b.spec.Bucket != "" || b.isCopy() {
		return
	}
	for _, column := range b.columns {
		if _, ok := b.table.Leads(column); ok {
			continue
		}
		name := shorten(fmt.Sprintf("%s_%s_clerksync_idx", b.spec.Table.Table, column))
		if i := slices.IndexFunc(b.table.Indexes, func(x catalog.TableIndex) bool { return x.Name == name }); i >= 0 {
			b.find(finding.Finding{
				ID: "rls.index.broken", Status: finding.Fail, Object: name, Title: "The index is there and cannot be used",
				Detail: "It is not valid, or not what it is meant to be; building it concurrently may have failed.",
				Remedy: fmt.Sprintf("drop index %s.%s;", catalog.QuoteIdentifier(b.spec.Table.Schema), catalog.QuoteIdentifier(name)),
			})
			continue
		}
		if b.table.Rows > largeTable {
			b.find(finding.Finding{
				ID: "rls.index.large", Status: finding.Warn, Object: column, Title: "Building the index will hold up writers",
				Detail: fmt.Sprintf("The table has about %d rows.", b.table.Rows),
				Remedy: fmt.Sprintf("Run this first, outside of a transaction: create index concurrently %s on %s (%s);", catalog.QuoteIdentifier(name), b.spec.Table, catalog.QuoteIdentifier(column)),
			})
		}
		b.add("create index %s on %s (%s)", catalog.QuoteIdentifier(name), b.spec.Table, catalog.QuoteIdentifier(column))
		b.add("comment on index %s.%s is %s", catalog.QuoteIdentifier(b.spec.Table.Schema), catalog.QuoteIdentifier(name), catalog.QuoteLiteral(indexComment))
	}
}

// closeChildren keeps callers from reading partitions and inheriting tables past
// the policies of the table, which hold for what is read through it alone.
func (b *builder) closeChildren() {
	for _, child := range b.table.Children {
		// A foreign table cannot have it; without privileges it needs none.
		if !child.RowSecurity && child.Kind != catalog.Foreign {
			b.add("alter table %s enable row level security", child.Name)
		}
		for _, role := range callers {
			if slices.ContainsFunc(child.Grants, func(g catalog.Grant) bool { return g.Role == role }) {
				b.remove("revoke all on %s from %s", child.Name, role)
			}
		}
	}
}

// drop removes what was made here. Row level security stays on: who wants the
// table open says so in words of their own.
func (b *builder) drop() error {
	if b.isCopy() {
		return b.restoreCopy()
	}
	left := 0
	for _, p := range b.table.Policies {
		if b.isOurs(p) {
			b.dropPolicy(p)
		} else if p.Permissive {
			left++
		}
	}
	if b.spec.Bucket != "" {
		return nil
	}
	for _, column := range b.table.Columns {
		if column.Default == b.db.Helpers.String()+".user_id()" || column.Default == b.db.Helpers.String()+".org_id()" {
			b.remove("alter table %s alter column %s drop default", b.spec.Table, catalog.QuoteIdentifier(column.Name))
		}
	}
	for _, index := range b.table.Indexes {
		if index.Comment == indexComment {
			b.remove("drop index %s.%s", catalog.QuoteIdentifier(b.spec.Table.Schema), catalog.QuoteIdentifier(index.Name))
		}
	}
	if err := b.project(); err != nil {
		return err
	}
	if left == 0 && b.table.RowSecurity {
		b.find(finding.Finding{
			ID: "rls.closed", Status: finding.Warn, Title: "The table will be closed",
			Detail: "Row level security stays on, and no policy is left: only the service sees rows.",
			Remedy: "Make policies of your own, or run configure-rls with another pattern.",
		})
	}
	return nil
}

// restoreCopy leads a table of the copy back to what the migrations made.
func (b *builder) restoreCopy() error {
	if b.spec.Table.Table == usersPublic {
		b.rules = every(single(wordFellow), single(wordNobody))
		b.bind()
	}
	wanted := b.policies()
	written, err := b.written(wanted)
	if err != nil || b.plan.Blocked() {
		return err
	}
	for _, p := range b.table.Policies {
		if b.isOurs(p) && !slices.ContainsFunc(written, func(w catalog.Policy) bool { return w.Name == p.Name }) && len(b.rules) == 0 {
			b.dropPolicy(p)
		}
	}
	if len(b.rules) > 0 {
		b.replacePolicies(wanted, written)
		b.grantTable()
	}
	return nil
}
