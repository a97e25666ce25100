package rls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// ErrSpec is matched by the errors of a [Spec] that cannot be meant.
var ErrSpec = errors.New("the request cannot be met")

// storageObjects is where Supabase Storage keeps what it asks policies about.
var storageObjects = catalog.Name{Schema: "storage", Table: "objects"}

// mark begins the comment of everything that this package makes.
const mark = "clerksync: "

// Plan leads from what a table has to what was asked for.
type Plan struct {
	// Table is what was found; its OID is 0 where there is no such table.
	Table catalog.Table `json:"-"`
	// Rules are those that will hold, one a command; none where only
	// restrictions were asked for.
	Rules map[catalog.Command]string `json:"rules,omitempty"`
	// Statements lead there, in order; none are needed where all is as asked.
	Statements []Statement `json:"statements"`
	// Findings are what was noticed. With a failure among them there are no statements.
	Findings []finding.Finding `json:"findings"`
}

// Statement is one statement of a plan, without its semicolon.
type Statement struct {
	SQL string `json:"sql"`
	// Removes marks what takes something away.
	Removes bool `json:"removes"`
}

// Blocked reports whether nothing can be done before a failure among the findings is mended.
func (p Plan) Blocked() bool { return finding.Failed(p.Findings) }

// SQL is the plan as a script to review and run, empty where nothing is to do.
func (p Plan) SQL() string {
	if len(p.Statements) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "-- Row level security for %s, written by clerksync.\n", oneLine(p.Table.Name.String()))
	for _, command := range catalog.Commands() {
		if rule, ok := p.Rules[command]; ok {
			fmt.Fprintf(&b, "--   %-6s  %s\n", command, rule)
		}
	}
	for i, s := range p.Statements {
		if i == 0 || !strings.HasPrefix(s.SQL, "comment on ") {
			b.WriteString("\n")
		}
		b.WriteString(s.SQL + ";\n")
	}
	return b.String()
}

// oneLine keeps a name with a line break from ending a comment.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, text)
}

// Build reads the table and plans. exposed are the schemas that the Data API
// serves, where the database does not say. tx is left as it was: what Build
// creates to see how the database writes a policy, it takes back. An error that
// matches [ErrSpec] is the caller's mistake.
func Build(ctx context.Context, tx pgx.Tx, spec Spec, exposed []string) (Plan, error) {
	if err := spec.Check(); err != nil {
		return Plan{}, err
	}
	b := builder{ctx: ctx, tx: tx, spec: spec}
	b.plan.Table.Name = spec.Table
	b.plan.Statements = []Statement{}
	if err := b.build(exposed); err != nil {
		return Plan{}, fmt.Errorf("planning row level security of %s: %w", spec.Table, err)
	}
	if b.plan.Blocked() {
		b.plan.Statements = []Statement{}
	}
	return b.plan, nil
}

// builder makes one plan.
type builder struct {
	ctx  context.Context
	tx   pgx.Tx
	spec Spec
	db   catalog.Database
	// table is what is there, as the plan's.
	table catalog.Table
	// rules are empty where only restrictions are asked for.
	rules   map[catalog.Command]Rule
	binding binding
	// columns are those that rules compare, in the order of their first use.
	columns []string
	plan    Plan
}

func (b *builder) build(exposed []string) error {
	var err error
	if b.db, err = catalog.ReadDatabase(b.ctx, b.tx, exposed); err != nil {
		return err
	}
	b.binding.helpers = b.db.Helpers
	b.table, err = catalog.ReadTable(b.ctx, b.tx, b.spec.Table)
	if errors.Is(err, catalog.ErrNotFound) {
		b.fail("rls.table.missing", "There is no such table", err.Error(), `Check schema and case; a name with capitals needs double quotes, as in '"Notes"'.`)
		return nil
	}
	if err != nil {
		return err
	}
	b.plan.Table = b.table
	b.checkTable()
	if b.plan.Blocked() {
		return nil
	}
	if b.spec.Drop {
		return b.drop()
	}
	if !b.db.HasHelpers {
		b.fail("rls.helpers", "The functions that policies call are missing", "The database was not migrated, or by an earlier release.", `Run "clerksync migrate up" first.`)
		return nil
	}
	if b.spec.Pattern != "" || len(b.spec.Rules) > 0 {
		if b.rules, err = b.spec.rules(); err != nil {
			return err
		}
		b.plan.Rules = map[catalog.Command]string{}
		for command, rule := range b.rules {
			b.plan.Rules[command] = rule.String()
		}
	}
	b.checkCopy()
	b.checkBlind()
	b.bind()
	if err := b.checkNames(); err != nil {
		return err
	}
	if b.plan.Blocked() {
		return nil
	}
	if len(b.rules) == 0 && !b.table.RowSecurity {
		b.fail("rls.disabled", "Row level security is off",
			"A restriction narrows what policies allow; switched on with restrictions alone the table would be closed to everybody.",
			"Choose who reads and writes in the same step, with --pattern or --select, --insert, --update and --delete.")
		return nil
	}
	wanted := b.policies()
	written, err := b.written(wanted)
	if err != nil || b.plan.Blocked() {
		return err
	}
	b.grantUsage()
	b.enable()
	b.replacePolicies(wanted, written)
	if len(b.rules) > 0 {
		b.grantTable()
		b.setDefaults()
		b.addIndexes()
		b.closeChildren()
		if err := b.project(); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) find(f finding.Finding) {
	if f.Object == "" {
		f.Object = b.spec.Table.String()
	}
	b.plan.Findings = append(b.plan.Findings, f)
}

func (b *builder) fail(id, title, detail, remedy string) {
	b.find(finding.Finding{ID: id, Status: finding.Fail, Title: title, Detail: detail, Remedy: remedy})
}

func (b *builder) add(format string, args ...any) {
	b.plan.Statements = append(b.plan.Statements, Statement{SQL: fmt.Sprintf(format, args...)})
}

func (b *builder) remove(format string, args ...any) {
	b.plan.Statements = append(b.plan.Statements, Statement{SQL: fmt.Sprintf(format, args...), Removes: true})
}

// checkTable finds out whether the relation can have policies of ours.
func (b *builder) checkTable() {
	t, name := b.table, b.spec.Table
	switch t.Kind {
	case catalog.Ordinary, catalog.Partitioned:
	case catalog.View:
		b.fail("rls.table.view", "A view has no policies of its own",
			"It shows what its tables' policies allow, and only where it reads as the caller; otherwise it reads as its owner, past every policy.",
			fmt.Sprintf("Run configure-rls on the tables it reads, and: alter view %s set (security_invoker = true);", name))
		return
	case catalog.MaterializedView:
		b.fail("rls.table.materialized_view", "A materialized view cannot have policies",
			"Whoever may read it reads all of it.",
			fmt.Sprintf("Move it to a schema that is not exposed, or: revoke all on table %s from public, anon, authenticated;", name))
		return
	case catalog.Foreign:
		b.fail("rls.table.foreign", "A foreign table cannot have policies",
			"Whoever may read it reads all of it.",
			fmt.Sprintf("Move it to a schema that is not exposed and read it through a function, or: revoke all on table %s from public, anon, authenticated;", name))
		return
	default:
		b.fail("rls.table.kind", "This is not a table", fmt.Sprintf("%s is a %s.", name, t.Kind), "Name a table.")
		return
	}
	switch {
	case name == storageObjects:
		return // Supabase lets a project's owner make policies here, and nothing else.
	case platform.Owns(name.Schema):
		b.fail("rls.table.platform", "The table belongs to the platform", "Schema "+name.Schema+" is Supabase's or Postgres' own.", "Name a table of your own.")
	case b.db.Helpers.Is(name.Schema) || name.Schema == "clerk_sync":
		b.fail("rls.table.private", "The table is not for applications", "Schema "+name.Schema+" is clerksync's own and is never exposed.", "Name a table of your own.")
	case t.Extension != "":
		b.fail("rls.table.extension", "The table belongs to an extension", "Extension "+t.Extension+" made it; an update of that would undo the change.", "Name a table of your own.")
	case t.Temporary:
		b.fail("rls.table.temporary", "The table is temporary", "It ends with its session.", "Name a table that stays.")
	case !t.Owned:
		b.fail("rls.table.owner", "Only the table's owner can change its policies",
			fmt.Sprintf("It belongs to %s; the connection is %s's.", t.Owner, b.db.User),
			fmt.Sprintf("Connect as %s, or: alter table %s owner to %s;", t.Owner, name, catalog.QuoteIdentifier(b.db.User)))
	case b.isPartition():
		b.fail("rls.table.partition", "This is a partition",
			fmt.Sprintf("Applications read %s, whose policies then decide.", t.Parents[0]),
			fmt.Sprintf("Run configure-rls on %s; it closes the partitions too.", t.Parents[0]))
	}
	if !b.db.IsExposed(name.Schema) {
		b.find(finding.Finding{
			ID: "rls.schema.exposed", Status: finding.Warn, Title: "The Data API does not serve the schema",
			Detail: fmt.Sprintf("Exposed are %s.", strings.Join(b.db.Exposed, ", ")),
			Remedy: fmt.Sprintf("Add %s to the exposed schemas in the project's API settings, or name them with --exposed if they are others.", name.Schema),
		})
	}
}

// isPartition: an inheriting table is no partition, and has policies of its own.
func (b *builder) isPartition() bool {
	if len(b.table.Parents) == 0 {
		return false
	}
	parent, err := catalog.ReadTable(b.ctx, b.tx, b.table.Parents[0])
	return err == nil && parent.Kind == catalog.Partitioned
}

// copied are the tables of the copy.
var copied = []string{"users", "users_public", "organizations", "organization_memberships"}

func (b *builder) isCopy() bool {
	return b.db.Copy != "" && b.spec.Table.Schema == b.db.Copy && slices.Contains(copied, b.spec.Table.Table)
}

// checkCopy keeps the copy as safe as it was made: who may read the projection of
// users is a choice, the rest is not.
func (b *builder) checkCopy() {
	if !b.isCopy() || len(b.rules) == 0 {
		return
	}
	const title = "The copy has its own policies"
	reader := b.rules[catalog.Select]
	switch {
	case b.spec.Table.Table != usersPublic:
		b.fail("rls.copy", title, "Its tables are written by clerksync only, and readable by those whom they concern.",
			"Restrictions can be added with --require; who reads users_public can be chosen; for anything else make a table of your own that refers to this one.")
	case !reader.IsNobody() && !slices.Contains([]string{wordFellow, wordSignedIn, wordEveryone}, reader.word), b.writable():
		b.fail("rls.copy", title, "users_public is written by clerksync only.",
			"Choose its readers with --select fellow, --select signed-in or --select everyone, and nothing else.")
	}
}

// checkBlind warns of writing without reading: Postgres looks for the rows of an
// UPDATE or DELETE, and returns what was inserted, under the policy for SELECT.
func (b *builder) checkBlind() {
	if !b.rules[catalog.Select].IsNobody() || !b.writable() {
		return
	}
	b.find(finding.Finding{
		ID: "rls.rules.blind", Status: finding.Warn, Title: "Rows can be written and not read",
		Detail: "Without a rule for select an update or delete finds no rows, and an insert that returns the row (.insert().select()) is refused with 42501.",
		Remedy: "Give a rule with --select, at least for the rows that the caller writes.",
	})
}

// writable reports whether the rules let anybody write.
func (b *builder) writable() bool {
	return slices.ContainsFunc(catalog.Writes(), func(command catalog.Command) bool { return !b.rules[command].IsNobody() })
}

// checkNames warns of roles and permissions that the copy does not know.
func (b *builder) checkNames() error {
	var roles, permissions []string
	for _, rule := range b.rules {
		rule.each(func(word string, args []string) {
			switch word {
			case wordMember, wordActiveOrg:
				roles = append(roles, args...)
			case wordPermission, wordActivePermission:
				permissions = append(permissions, args...)
			}
		})
	}
	for _, names := range []struct {
		what, table string
		asked       []string
	}{
		{"role", "organization_roles", roles},
		{"permission", "organization_permissions", permissions},
	} {
		if len(names.asked) == 0 {
			continue
		}
		table := catalog.Name{Schema: string(b.db.Helpers), Table: names.table}
		known, err := catalog.Collect(b.ctx, b.tx, pgx.RowTo[string], "select key from "+table.SQL()+" where deleted_at is null and key is not null order by key")
		if err != nil {
			return fmt.Errorf("reading %s: %w", table, err)
		}
		slices.Sort(names.asked)
		for _, name := range slices.Compact(names.asked) {
			// Before the first full sync the copy knows none at all, which says nothing.
			if len(known) > 0 && !slices.Contains(known, name) {
				b.find(finding.Finding{
					ID: "rls." + names.what + ".unknown", Status: finding.Warn, Object: name,
					Title:  fmt.Sprintf("The instance has no such %s", names.what),
					Detail: "Known are " + strings.Join(known, ", ") + ".",
					Remedy: fmt.Sprintf("Check the spelling; if the %s is new, a full sync brings it.", names.what),
				})
			}
		}
	}
	return nil
}
