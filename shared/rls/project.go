package rls

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// projection is the public half of a private table: a table of some of its
// columns, kept by triggers, with readers of its own. A policy decides about
// rows, not about columns.
func (b *builder) projection() catalog.Name {
	return catalog.Name{Schema: b.spec.Table.Schema, Table: shorten(b.spec.Table.Table + "_public")}
}

// projectionMark begins the comment on a projection.
func (b *builder) projectionMark() string { return mark + "projection of " + b.spec.Table.String() }

// project makes the projection that is asked for, and removes one that is not.
func (b *builder) project() error {
	target := b.projection()
	there, err := catalog.ReadTable(b.ctx, b.tx, target)
	missing := errors.Is(err, catalog.ErrNotFound)
	if err != nil && !missing {
		return err
	}
	comment := ""
	if !missing {
		if err := b.tx.QueryRow(b.ctx, "select coalesce(obj_description($1::text::regclass, 'pg_class'), '')", target.SQL()).Scan(&comment); err != nil {
			return err
		}
	}
	ours := strings.HasPrefix(comment, b.projectionMark())
	if len(b.spec.PublicColumns) == 0 || b.spec.Drop {
		if ours {
			b.unproject(target)
		}
		return nil
	}
	columns, ok := b.publicColumns()
	if !ok {
		return nil
	}
	if b.table.Kind == catalog.Partitioned {
		b.find(finding.Finding{
			ID: "rls.projection.partitioned", Status: finding.Warn, Title: "Rows written straight to a partition are missed",
			Detail: "The triggers that keep the projection fire for what is written through the table, not for what names a partition.",
			Remedy: fmt.Sprintf("Write to %s only.", b.spec.Table),
		})
	}
	if !missing && !ours {
		b.find(finding.Finding{
			ID: "rls.projection.taken", Status: finding.Fail, Object: target.String(), Title: "The projection's name is taken",
			Detail: "There is a table of this name that was not made as a projection of " + b.spec.Table.String() + ".",
			Remedy: fmt.Sprintf("alter table %s rename to %s;", target, catalog.QuoteIdentifier(shorten(target.Table+"_own"))),
		})
		return nil
	}
	reader := single(wordSignedIn)
	if b.spec.Anon {
		reader = single(wordEveryone)
	}
	wanted := fmt.Sprintf("%s (%s) for %s", b.projectionMark(), strings.Join(columns, ", "), reader)
	triggers := b.projectionTriggers(target, columns)
	// The comment has columns and readers; what else could have been changed is looked at.
	intact := ours && comment == wanted && there.RowSecurity && len(there.Policies) == 1
	for _, t := range triggers {
		intact = intact && slices.ContainsFunc(b.table.Triggers, func(have catalog.Trigger) bool { return have.Name == t.name && have.Enabled })
	}
	if intact {
		return nil
	}
	if ours {
		b.unproject(target)
	}
	b.makeProjection(target, columns, reader, wanted, triggers)
	return nil
}

// publicColumns are the key and what was asked for, in the table's order.
func (b *builder) publicColumns() ([]string, bool) {
	key := b.table.PrimaryKey()
	if len(key) == 0 {
		b.fail("rls.projection.key", "The table has no primary key", "A projection needs one, to know which row is which.",
			fmt.Sprintf("alter table %s add primary key (…);", b.spec.Table))
		return nil, false
	}
	for _, name := range b.spec.PublicColumns {
		if _, ok := b.table.Column(name); !ok {
			b.noColumn("rls.projection.column", name, "Name others with --public-columns.")
			return nil, false
		}
	}
	var columns []string
	for _, c := range b.table.Columns {
		if slices.Contains(key, c.Name) || slices.Contains(b.spec.PublicColumns, c.Name) {
			columns = append(columns, c.Name)
		}
	}
	return columns, true
}

type projectionTrigger struct{ name, definition string }

// projectionTriggers keep the projection, whoever writes to the table.
func (b *builder) projectionTriggers(target catalog.Name, columns []string) []projectionTrigger {
	call := fmt.Sprintf("execute function clerk_sync.project_rows(%s, %s, %s, %s)", catalog.QuoteLiteral(target.Schema),
		catalog.QuoteLiteral(target.Table), catalog.QuoteLiteral(catalog.ArrayText(b.table.PrimaryKey()...)), catalog.QuoteLiteral(catalog.ArrayText(columns...)))
	var triggers []projectionTrigger
	for _, t := range []struct{ event, referencing string }{
		{"insert", "referencing new table as written "},
		{"update", "referencing old table as removed new table as written "},
		{"delete", "referencing old table as removed "},
		{"truncate", ""},
	} {
		name := "clerksync_public_" + t.event
		triggers = append(triggers, projectionTrigger{name, fmt.Sprintf("create trigger %s after %s on %s\n  %sfor each statement\n  %s",
			name, t.event, b.spec.Table, t.referencing, call)})
	}
	return triggers
}

func (b *builder) makeProjection(target catalog.Name, columns []string, reader Rule, comment string, triggers []projectionTrigger) {
	var definitions []string
	for _, name := range columns {
		c, _ := b.table.Column(name)
		definitions = append(definitions, "  "+catalog.QuoteIdentifier(name)+" "+c.Type)
	}
	b.add("create table %s (\n%s,\n  primary key (%s)\n)", target, strings.Join(definitions, ",\n"), catalog.QuoteIdentifiers(b.table.PrimaryKey()))
	b.add("comment on table %s is %s", target, catalog.QuoteLiteral(comment))
	b.add("alter table %s enable row level security", target)
	// Projects of before 2026 grant everything on a new table.
	b.add("revoke all on %s from public, %s, %s, %s", target, platform.Anon, platform.Authenticated, platform.ServiceRole)
	roles := []string{platform.Authenticated}
	if reader.word == wordEveryone {
		roles = []string{platform.Anon, platform.Authenticated}
	}
	service := ""
	if !b.spec.WithoutService {
		service = ", " + platform.ServiceRole
	}
	b.add("grant select on %s to %s%s", target, strings.Join(roles, ", "), service)
	p := catalog.Policy{Name: "clerksync_select", Command: catalog.Select, Permissive: true, Roles: roles, Using: reader.sql(b.binding), Comment: mark + reader.String()}
	b.add("%s", createPolicy(p, target.String()))
	b.add("comment on policy %s on %s is %s", p.Name, target, catalog.QuoteLiteral(p.Comment))
	for _, t := range triggers {
		b.add("%s", t.definition)
	}
	list := catalog.QuoteIdentifiers(columns)
	b.add("insert into %s (%s)\nselect %s from %s\non conflict do nothing", target, list, list, b.spec.Table)
}

// unproject removes a projection; what it holds is in the table itself.
func (b *builder) unproject(target catalog.Name) {
	for _, t := range b.table.Triggers {
		if strings.HasPrefix(t.Name, "clerksync_public_") {
			b.remove("drop trigger %s on %s", t.Name, b.spec.Table)
		}
	}
	b.remove("drop table %s", target)
}
