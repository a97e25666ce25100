package configurerls

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/finding"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
)

type tableCommand struct {
	Table   connect.Table `arg:"" help:"The table, as SQL names it."`
	Pattern pattern       `help:"A rule for every command." placeholder:"NAME"`
	Select  *rule         `help:"Who reads, in place of what the pattern says." placeholder:"RULE"`
	Insert  *rule         `help:"Who adds rows." placeholder:"RULE"`
	Update  *rule         `help:"Who changes rows." placeholder:"RULE"`
	Delete  *rule         `help:"Who deletes rows." placeholder:"RULE"`
	Require []restriction `help:"A restriction besides the rules; can be repeated." placeholder:"RESTRICTION"`

	OwnerColumn   console.Once  `help:"Column that holds the owner's Clerk id, without quotes (default: picked)." placeholder:"COLUMN"`
	OrgColumn     console.Once  `help:"Column that holds the organization's Clerk id (default: picked)." placeholder:"COLUMN"`
	Published     console.Once  `help:"Column, or column and value, that says that a row is published (default: picked)." placeholder:"COLUMN[=VALUE]"`
	Organizations source        `help:"Where a pattern takes the caller's organizations from: mirrored (the copy; the default), active (the token's one), both (the active one, if the copy agrees)." placeholder:"SOURCE"`
	Roles         console.Names `help:"Organization roles that write, in the pattern role-based." placeholder:"ROLE,..."`
	Permissions   console.Names `help:"Organization permissions that write, in the pattern role-based." placeholder:"PERMISSION,..."`
	AppRoles      console.Names `help:"The application's own roles that read and write, in the pattern role-based." placeholder:"ROLE,..."`
	Claim         console.Once  `help:"Claim of the token that holds the application's roles, such as metadata.role." placeholder:"PATH"`
	Anon          bool          `help:"Open to everyone what the pattern opens to signed-in users, and what is published."`
	PublicColumns console.Names `help:"Columns that everybody signed in may read, in the pattern public-profile." placeholder:"COLUMN,..."`
	Bucket        console.Once  `help:"Bucket of storage.objects." placeholder:"NAME"`

	Replace   bool `help:"Remove other permissive policies, which would open what these close."`
	NoDefault bool `help:"Leave the columns' defaults as they are."`
	NoIndex   bool `help:"Make no index."`
	NoService bool `help:"Grant nothing to service_role."`
	exposedFlag
	Drop bool `help:"Remove what this command made."`

	Migration bool         `help:"Write the SQL to a migration file and print its path." xor:"output"`
	Dir       console.Path `help:"Folder of the migration file (default: supabase/migrations)." placeholder:"DIR"`
	Apply     bool         `help:"Show what changes, then do it in one transaction." xor:"output"`
	Yes       bool         `help:"With --apply: remove without asking."`
}

// The limits of the steps. The statements of an application are limited one by one as
// well, by package rls.
const (
	planLimit  = time.Minute
	applyLimit = 30 * time.Minute
)

// migrationsDir is where Supabase's tool looks for migrations.
const migrationsDir = "supabase/migrations"

// Help is the text below the flags' list in "clerksync configure-rls table --help".
func (tableCommand) Help() string {
	return `Without --migration and --apply it prints SQL to review, and changes nothing. Run again after it was applied it finds
nothing to do.

Examples:
  clerksync configure-rls public.notes --pattern owner
  clerksync configure-rls public.posts --pattern published-or-own --anon \
    --migration
  clerksync configure-rls public.docs --pattern organization \
    --delete 'member(org:admin) or owner' --apply
  clerksync configure-rls public.invoices --pattern role-based \
    --permissions org:invoices:manage --apply
  clerksync configure-rls public.notes --require active-session \
    --require 'second-factor(10):write' --apply
  clerksync configure-rls storage.objects --bucket avatars --pattern owner
  clerksync configure-rls public.notes --drop --apply

Patterns:

` + explained(rls.Patterns()) + `
Rules, joined by "and", "or" and parentheses; "and" binds tighter. Without a pattern a command that is not named is nobody's.

` + explained(rls.Words()) + `
Restrictions hold for everyone who is signed in, whatever the rules say; with ":write" behind them, for writing only. Given alone
they are added to the policies that are there.

` + explained(rls.Restrictions())
}

// explained lists words with their meanings, indented, so that the help keeps
// the lines, and within the 80 columns of a page for man.
func explained(words []rls.Word) string {
	const column, width = 32, 41
	var b strings.Builder
	for _, w := range words {
		term, line := w.Name, ""
		if optional, ok := strings.CutSuffix(w.Args, "?"); ok {
			term += "[(" + optional + ")]"
		} else if w.Args != "" {
			term += "(" + w.Args + ")"
		}
		for word := range strings.FieldsSeq(w.Means) {
			if line != "" && len(line)+1+len(word) > width {
				fmt.Fprintf(&b, "    %-*s%s\n", column, term, line)
				term, line = "", ""
			}
			line = strings.TrimSpace(line + " " + word)
		}
		fmt.Fprintf(&b, "    %-*s%s\n", column, term, line)
	}
	return b.String()
}

// pattern is one of rls.Patterns.
type pattern string

// Choices are the patterns there are.
func (pattern) Choices() []string {
	var names []string
	for _, w := range rls.Patterns() {
		names = append(names, w.Name)
	}
	return names
}

// UnmarshalText is called while the command line is parsed.
func (p *pattern) UnmarshalText(text []byte) error {
	if !slices.Contains(p.Choices(), string(text)) {
		return fmt.Errorf("there is no pattern %q; there are %s", text, console.List(p.Choices()))
	}
	*p = pattern(text)
	return nil
}

// source is where a pattern takes the caller's organizations from.
type source rls.Organizations

// Choices are the sources there are.
func (source) Choices() []string {
	return []string{string(rls.Mirrored), string(rls.Active), string(rls.Both)}
}

// UnmarshalText is called while the command line is parsed.
func (s *source) UnmarshalText(text []byte) error {
	if !slices.Contains(s.Choices(), string(text)) {
		return fmt.Errorf("there is no source %q; there are %s", text, console.List(s.Choices()))
	}
	*s = source(text)
	return nil
}

type rule struct{ rls.Rule }

// UnmarshalText is called while the command line is parsed.
func (r *rule) UnmarshalText(text []byte) error {
	var err error
	r.Rule, err = rls.ParseRule(string(text))
	return err
}

type restriction struct{ rls.Restriction }

// UnmarshalText is called while the command line is parsed.
func (r *restriction) UnmarshalText(text []byte) error {
	var err error
	r.Restriction, err = rls.ParseRestriction(string(text))
	return err
}

// Validate checks what the types of the flags do not.
func (cmd tableCommand) Validate() error {
	if cmd.Table == (connect.Table{}) {
		return nil // which is said by who asks for it
	}
	return errors.Join(
		console.Refuse(cmd.Dir != "" && !cmd.Migration, "--dir is where --migration writes to"),
		console.Refuse(cmd.Yes && !cmd.Apply, "--yes belongs to --apply"),
		console.Refuse(cmd.Drop && (cmd.OwnerColumn != "" || cmd.OrgColumn != "" || cmd.Published != "" || cmd.Organizations != "" || cmd.Claim != "" || cmd.Anon ||
			cmd.Replace || cmd.NoDefault || cmd.NoIndex || cmd.NoService), "--drop takes what was made away: apart from --bucket it has nothing to choose"),
		cmd.spec().Check())
}

func (cmd tableCommand) spec() rls.Spec {
	spec := rls.Spec{
		Table: cmd.Table.Name, Pattern: string(cmd.Pattern), Rules: map[catalog.Command]rls.Rule{},
		OwnerColumn: string(cmd.OwnerColumn), OrganizationColumn: string(cmd.OrgColumn), Published: string(cmd.Published),
		Organizations: rls.Organizations(cmd.Organizations),
		Roles:         cmd.Roles, Permissions: cmd.Permissions, AppRoles: cmd.AppRoles, Claim: string(cmd.Claim),
		Anon: cmd.Anon, PublicColumns: cmd.PublicColumns, Bucket: string(cmd.Bucket),
		Replace: cmd.Replace, WithoutDefault: cmd.NoDefault, WithoutIndex: cmd.NoIndex, WithoutService: cmd.NoService, Drop: cmd.Drop,
	}
	for command, given := range map[catalog.Command]*rule{
		catalog.Select: cmd.Select, catalog.Insert: cmd.Insert, catalog.Update: cmd.Update, catalog.Delete: cmd.Delete,
	} {
		if given != nil {
			spec.Rules[command] = given.Rule
		}
	}
	for _, r := range cmd.Require {
		spec.Require = append(spec.Require, r.Restriction)
	}
	return spec
}

// plannedTable is the outcome as JSON.
type plannedTable struct {
	Table string `json:"table"`
	rls.Plan
	// SQL is the whole as a script.
	SQL string `json:"sql"`
	// Migration is the file that holds the script.
	Migration string `json:"migration,omitempty"`
	Applied   bool   `json:"applied"`
}

// Run is the command.
func (cmd tableCommand) Run(ctx context.Context, c console.Console) error {
	with := connect.WithConnection
	if cmd.Apply {
		with = connect.WithSession
	}
	return advise(ctx, with(ctx, c, func(conn *pgx.Conn) error { return cmd.run(ctx, c, conn) }))
}

func (cmd tableCommand) run(ctx context.Context, c console.Console, conn *pgx.Conn) error {
	var plan rls.Plan
	err := connect.Within(ctx, "planning", planLimit, func(ctx context.Context) (err error) {
		plan, err = rls.Preview(ctx, conn, cmd.spec(), cmd.Exposed)
		return err
	})
	if err != nil {
		return err
	}
	result := plannedTable{Table: cmd.Table.String(), Plan: plan, SQL: plan.SQL()}
	if result.Findings == nil {
		result.Findings = []finding.Finding{}
	}
	if !c.JSON {
		err = c.OnStderr().Findings(plan.Findings)
	}
	switch {
	case err != nil:
	case plan.Blocked():
		err = console.Hint(
			fmt.Errorf("%s: %s to mend first; nothing was changed", cmd.Table, console.Count(finding.Count(plan.Findings, finding.Fail), "failure", "failures")),
			"each failure says what to do about it; then run the same command again",
		)
	case len(plan.Statements) == 0:
		c.Say("clerksync: nothing to do, %s is as asked", console.Printable(cmd.Table.String()))
	case cmd.Apply:
		err = cmd.apply(ctx, c, conn, plan)
		result.Applied = err == nil
	case cmd.Migration:
		result.Migration, err = cmd.write(c, result.SQL)
	default:
		c.Say("clerksync: nothing was changed; --apply does it, --migration writes it to a file")
	}
	if c.JSON {
		return errors.Join(c.Encode(result), err)
	}
	return errors.Join(cmd.print(c, result), err)
}

// print writes what is data: the path of a file, or the script.
func (cmd tableCommand) print(c console.Console, result plannedTable) error {
	text := result.SQL
	switch {
	case cmd.Apply:
		return nil
	case cmd.Migration && result.Migration == "":
		return nil
	case cmd.Migration:
		text = result.Migration + "\n"
	}
	if shown := console.Harmless(text); c.StdoutTTY && shown != text {
		c.Say("clerksync: warning: what cannot be printed is shown as ?; piped or written to a file it is exact")
		text = shown
	}
	_, err := fmt.Fprint(c.Stdout, text)
	return err
}

func (cmd tableCommand) write(c console.Console, text string) (string, error) {
	path, wrote, err := writeMigration(string(cmp.Or(cmd.Dir, migrationsDir)), cmd.Table.Name, text, time.Now())
	if err != nil || wrote {
		return path, err
	}
	c.Say("clerksync: nothing to write, %s says the same; the database does not have it yet", console.Printable(path))
	return "", nil
}

// apply shows what changes and does that.
func (cmd tableCommand) apply(ctx context.Context, c console.Console, conn *pgx.Conn, plan rls.Plan) error {
	difference(c.OnStderr(), plan)
	if slices.ContainsFunc(plan.Statements, func(s rls.Statement) bool { return s.Removes }) && !cmd.Yes {
		unasked := console.Hint(
			console.Usage(errors.New("something would be removed, and there is no terminal to ask at; nothing was changed")),
			"look at what is marked with − and give --yes",
		)
		if err := c.Confirm(ctx, "Lines marked with − are removed.", unasked); err != nil {
			return err
		}
	}
	if err := connect.Within(ctx, "applying", applyLimit, func(ctx context.Context) error {
		return rls.Apply(ctx, conn, cmd.spec(), cmd.Exposed, plan)
	}); err != nil {
		return err
	}
	c.Say("clerksync: applied %s to %s", console.Count(len(plan.Statements), "statement", "statements"), console.Printable(cmd.Table.String()))
	return nil
}

// difference writes the statements of a plan, those that take away marked with −.
func difference(p console.Paper, plan rls.Plan) {
	for _, s := range plan.Statements {
		colour, sign := "32", "+"
		if s.Removes {
			colour, sign = "31", "−"
		}
		for line := range strings.Lines(console.Harmless(s.SQL) + ";") {
			fmt.Fprintln(p, p.Paint(colour, sign+" "+strings.TrimRight(line, "\n")))
			sign = " "
		}
	}
}
