package rls

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// usersPublic is the table of the copy whose readers are a choice.
const usersPublic = "users_public"

// bind finds the columns that the words of the rules stand for.
func (b *builder) bind() {
	uses := func(words ...string) bool { return anyUses(b.rules, words...) }
	storage := b.spec.Table == storageObjects
	if uses(wordOwner, wordFellow) {
		choice := b.table.OwnerColumn(b.db.Copy, b.db.Helpers)
		switch {
		case storage:
			// The text beside the deprecated uuid owner (Supabase Storage, migration 0018).
			choice = catalog.Choice{Column: "owner_id"}
		case b.isCopy():
			choice = catalog.Choice{Column: "clerk_id"}
		}
		b.binding.owner = b.subject("owner", "owner-column", "whose row it is", b.spec.OwnerColumn, choice)
	}
	if uses(organizationWords...) {
		if storage {
			// Storage has no column for it: the first folder of the path is the organization's id.
			b.binding.organization = "(storage.foldername(name))[1]"
		} else {
			b.binding.organization = b.subject("organization", "org-column", "which organization it belongs to",
				b.spec.OrganizationColumn, b.table.OrganizationColumn(b.db.Copy, b.db.Helpers))
		}
	}
	if insert := b.rules[catalog.Insert]; b.binding.organization != "" && insert.uses(organizationWords...) && !insert.uses(wordOwner) {
		b.checkAuthor(insert)
	}
	if uses(wordPublished) {
		b.binding.published = b.published()
	}
	if uses(wordAppRole) {
		b.binding.claim = strings.Split(b.spec.Claim, ".")
	}
}

// checkAuthor warns where members can write rows in each other's names.
func (b *builder) checkAuthor(insert Rule) {
	author := b.table.OwnerColumn(b.db.Copy, b.db.Helpers)
	if author.Column == "" {
		return
	}
	b.find(finding.Finding{
		ID: "rls.rules.author", Status: finding.Warn, Title: "Members can write rows in each other's names",
		Detail: fmt.Sprintf("%s says whose row it is, by %s, and no rule looks at it: whoever may insert can name somebody else.", catalog.QuoteIdentifier(author.Column), author.Why),
		Remedy: fmt.Sprintf("If that is not meant, add --insert '%s', and likewise for update.", combine("and", insert, single(wordOwner))),
	})
}

// subject settles on a column that holds Clerk ids, and answers it as SQL.
func (b *builder) subject(what, flag, means, given string, choice catalog.Choice) string {
	id := "rls.column." + what
	name := given
	if name == "" {
		name = choice.Column
	}
	if name == "" {
		detail := fmt.Sprintf("None of its columns looks like one that says %s. It has %s.", means, columnList(b.table))
		if len(choice.Others) > 0 {
			detail = fmt.Sprintf("Several columns could say %s: %s.", means, strings.Join(choice.Others, ", "))
		}
		remedy := fmt.Sprintf("Name it with --%s", flag)
		if len(choice.Others) == 0 {
			remedy += fmt.Sprintf(", or add one: alter table %s add column %s_id text not null;", b.spec.Table, map[string]string{"owner": "owner", "organization": "org"}[what])
		}
		b.fail(id, "It is not clear which column to compare", detail, remedy)
		return ""
	}
	column, ok := b.table.Column(name)
	if !ok {
		b.noColumn(id, name, fmt.Sprintf("Name another with --%s.", flag))
		return ""
	}
	if given == "" && choice.Why != "" {
		detail := fmt.Sprintf("%s says %s, by %s.", catalog.QuoteIdentifier(name), means, choice.Why)
		if len(choice.Others) > 0 {
			detail += fmt.Sprintf(" Possible too: %s.", strings.Join(choice.Others, ", "))
		}
		b.find(finding.Finding{ID: id, Status: finding.Pass, Title: "Column " + catalog.QuoteIdentifier(name) + " was picked", Detail: detail})
	}
	if !column.Text() {
		b.refuseType(what, column)
		return ""
	}
	if !column.NotNull && b.spec.Table != storageObjects && !b.isCopy() {
		b.find(finding.Finding{
			ID: "rls.column.null", Status: finding.Warn, Title: "Rows without " + catalog.QuoteIdentifier(name) + " are nobody's",
			Detail: "The column may be null, and null equals nothing: such rows are hidden from everyone but the service.",
			Remedy: fmt.Sprintf("alter table %s alter column %s set not null;", b.spec.Table, catalog.QuoteIdentifier(name)),
		})
	}
	b.columns = append(b.columns, name)
	return catalog.QuoteIdentifier(name)
}

func (b *builder) noColumn(id, name, remedy string) {
	b.fail(id, "There is no such column", fmt.Sprintf("The table has no column %s. It has %s.", catalog.QuoteIdentifier(name), columnList(b.table)), remedy)
}

// refuseType explains why a column cannot hold Clerk ids, and how to change it.
func (b *builder) refuseType(what string, column catalog.Column) {
	name, quoted := b.spec.Table, catalog.QuoteIdentifier(column.Name)
	f := finding.Finding{ID: "rls.column.type", Status: finding.Fail, Title: fmt.Sprintf("%s is %s and cannot hold a Clerk id", quoted, column.Type)}
	var steps []string
	for _, p := range b.table.Policies {
		if strings.Contains(p.Using+" "+p.Check, quoted) {
			// A column cannot change its type while a policy reads it.
			steps = append(steps, fmt.Sprintf("drop policy %s on %s;", catalog.QuoteIdentifier(p.Name), name))
		}
	}
	if column.Default != "" {
		steps = append(steps, fmt.Sprintf("alter table %s alter column %s drop default;", name, quoted))
	}
	for _, c := range b.table.Constraints {
		if c.Kind == catalog.ForeignKey && slices.Contains(c.Columns, column.Name) {
			steps = append(steps, fmt.Sprintf("alter table %s drop constraint %s;", name, catalog.QuoteIdentifier(c.Name)))
		}
	}
	steps = append(steps, fmt.Sprintf("alter table %s alter column %s type text using %s::text;", name, quoted, quoted))
	prefix, parent := "user_2abc", "users (clerk_id)"
	if what == "organization" {
		prefix, parent = "org_2abc", "organizations (clerk_org_id)"
	}
	switch column.Base {
	case "uuid":
		f.Detail = fmt.Sprintf("Clerk's ids are text such as %s. Compared with a uuid, or written into one, they fail with 22P02 "+
			"(invalid input syntax for type uuid), which the Data API answers with 400; so does auth.uid().", prefix)
		if what == "owner" {
			steps = append(steps, fmt.Sprintf("-- rows of users who came from Supabase Auth keep their old id until: update %s as t set %s = u.clerk_id from %s.users as u where u.external_id = t.%s;",
				name, quoted, catalog.QuoteIdentifier(b.db.Copy), quoted))
		}
		steps = append(steps, fmt.Sprintf("-- then, if every id is known: alter table %s add foreign key (%s) references %s.%s;", name, quoted, catalog.QuoteIdentifier(b.db.Copy), parent))
	case "citext":
		f.Detail = "citext compares without regard to case, and Clerk's ids differ by it: one user could read another's rows."
	case "bpchar":
		f.Detail = "A column of fixed length is padded with blanks, which the comparison with an id of another length does not see through."
	default:
		f.Detail = fmt.Sprintf("Clerk's ids are text such as %s.", prefix)
	}
	f.Remedy = strings.Join(steps, "\n")
	b.find(f)
}

// columnList names the first of the columns, with their types.
func columnList(t catalog.Table) string {
	const most = 12
	if len(t.Columns) == 0 {
		return "none"
	}
	list := catalog.List(t.Columns[:min(len(t.Columns), most)], func(c catalog.Column) string { return catalog.QuoteIdentifier(c.Name) + " " + c.Type })
	if len(t.Columns) > most {
		list += ", …"
	}
	return list
}

// published writes the condition that a row is published.
func (b *builder) published() string {
	name, value, given := strings.Cut(b.spec.Published, "=")
	if name == "" {
		name = b.table.PublishedColumn().Column
	}
	const id = "rls.column.published"
	column, ok := b.table.Column(name)
	quoted := catalog.QuoteIdentifier(name)
	if ok {
		b.columns = append(b.columns, name)
	}
	switch {
	case name == "":
		b.fail(id, "It is not clear which column says that a row is published",
			fmt.Sprintf("None of its columns has a usual name. It has %s.", columnList(b.table)),
			"Name it with --published column or --published column=value.")
		return ""
	case !ok:
		b.noColumn(id, name, "Name another with --published.")
		return ""
	case column.Base == "bool" && !given:
		return quoted
	case column.Base == "timestamptz" && !given:
		return quoted + " <= now()"
	case !given && name == "status":
		value = "published"
	case !given && name == "visibility":
		value = "public"
	case !given:
		b.fail(id, "The column needs a value", fmt.Sprintf("%s is %s: which of its values means published?", quoted, column.Type),
			fmt.Sprintf("Say it with --published %s=value.", name))
		return ""
	}
	if len(column.Labels) > 0 && !slices.Contains(column.Labels, value) {
		b.fail(id, "The column has no such value", fmt.Sprintf("%s knows %s.", quoted, strings.Join(column.Labels, ", ")),
			fmt.Sprintf("Say which means published, with --published %s=value.", name))
		return ""
	}
	return quoted + " = " + catalog.QuoteLiteral(value)
}
