package catalog

import (
	"cmp"
	"slices"
	"strings"
)

// Choice is a column that was picked for a purpose.
type Choice struct {
	// Column is empty where none fits, or where several fit equally well.
	Column string
	// Why says what spoke for it.
	Why string
	// Others fit too, the best first.
	Others []string
}

// The names that columns usually have, the most telling first.
var (
	ownerNames = []string{
		"owner_id", "user_id", "clerk_user_id", "clerk_id", "owner_user_id", "owner", "author_id", "created_by",
		"created_by_id", "creator_id", "profile_id", "account_id", "member_id", "customer_id",
	}
	organizationNames = []string{
		"org_id", "organization_id", "clerk_org_id", "clerk_organization_id", "tenant_id", "team_id", "workspace_id", "company_id",
	}
	publishedNames = []string{"published", "is_published", "public", "is_public", "published_at", "status", "visibility"}
)

// plain is how many of the names, from the first, can mean nothing else.
const plain = 4

// OwnerColumn picks the column that holds the Clerk id of who a row belongs to,
// whatever its type; copySchema is the schema of the copy, or empty.
func (t Table) OwnerColumn(copySchema string, helpers Helpers) Choice {
	return t.choose(ownerNames, Name{Schema: copySchema, Table: "users"}, "clerk_id", []string{helpers.String() + ".user_id()", "->> 'sub'", "auth.uid()"})
}

// OrganizationColumn picks the column that holds the Clerk id of the
// organization that a row belongs to.
func (t Table) OrganizationColumn(copySchema string, helpers Helpers) Choice {
	return t.choose(organizationNames, Name{Schema: copySchema, Table: "organizations"}, "clerk_org_id", []string{helpers.String() + ".org_id()", "->> 'org_id'"})
}

// PublishedColumn picks the column that says whether a row is published.
func (t Table) PublishedColumn() Choice {
	return t.choose(publishedNames, Name{}, "", nil)
}

// Configure is the command that writes a table's policies: for the rows of an
// organization where only that is what the columns tell.
func (t Table) Configure(helpers Helpers) string {
	pattern := "owner"
	if t.OwnerColumn("", helpers).Column == "" && t.OrganizationColumn("", helpers).Column != "" {
		pattern = "organization"
	}
	return "clerksync configure-rls " + shellWord(t.Name.String()) + " --pattern " + pattern
}

// shellWord quotes a word for a shell where that is needed.
func shellWord(text string) string {
	plain := func(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '_' }
	if strings.ContainsFunc(text, func(c rune) bool { return !plain(c) }) {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

// choose weighs columns: a foreign key to the copy says more than a default, and
// that more than a name.
func (t Table) choose(names []string, parent Name, parentKey string, defaults []string) Choice {
	type candidate struct {
		name, why string
		weight    int
	}
	var found []candidate
	for _, column := range t.Columns {
		if column.Generated {
			continue
		}
		c := candidate{name: column.Name}
		if i := slices.Index(names, column.Name); i >= 0 {
			c.weight, c.why = len(names)-i, "its name"
		}
		if slices.ContainsFunc(defaults, func(d string) bool { return strings.Contains(column.Default, d) }) {
			c.weight, c.why = c.weight+100, "its default"
		}
		if parent.Schema != "" && t.refers(column.Name, parent, parentKey) {
			c.weight, c.why = c.weight+1000, "its foreign key to "+parent.String()
		}
		if c.weight > 0 {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return Choice{}
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.weight, a.weight) })
	// Tables on their way from Supabase Auth have the new column beside the old
	// uuid: one that can hold a Clerk id goes first, if its name leaves no doubt.
	if best, _ := t.Column(found[0].name); best.Base == "uuid" {
		i := slices.IndexFunc(found, func(c candidate) bool {
			column, _ := t.Column(c.name)
			return column.Text() && slices.Contains(names[:min(plain, len(names))], c.name)
		})
		if i > 0 {
			better := found[i]
			found = slices.Insert(slices.Delete(found, i, i+1), 0, better)
			found[0].weight = found[1].weight + 1
		}
	}
	choice := Choice{Column: found[0].name, Why: found[0].why}
	if len(found) > 1 && found[1].weight == found[0].weight {
		choice = Choice{Others: []string{found[0].name}}
	}
	for _, c := range found[1:] {
		choice.Others = append(choice.Others, c.name)
	}
	return choice
}

func (t Table) refers(column string, parent Name, key string) bool {
	return slices.ContainsFunc(t.Constraints, func(c Constraint) bool {
		return c.Kind == ForeignKey && c.References != nil && *c.References == parent &&
			slices.Equal(c.Columns, []string{column}) && slices.Equal(c.Referenced, []string{key})
	})
}
