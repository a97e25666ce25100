// Package configurerls is the command configure-rls: row level security of tables,
// written, proved and linted, and the audit log.
package configurerls

// Command is configure-rls, as kong reads it.
type Command struct {
	Table tableCommand `cmd:"" default:"withargs" help:"Print, write or apply the policies of a table; \"table\" may be left out."`
	Test  testCommand  `cmd:"" help:"Show who may do what with tables, by trying it in a transaction that is rolled back."`
	Lint  lintCommand  `cmd:"" help:"Look for what is wrong with policies, grants, functions and views."`
	Audit auditCommand `cmd:"" help:"Record who changes which fields of which row, and show it."`
}

// Help is the text below the flags' list in "clerksync configure-rls --help".
func (Command) Help() string {
	return `Row level security for the tables of an application whose users sign in with Clerk.

Examples:
  clerksync configure-rls public.notes --pattern owner
  clerksync configure-rls public.notes --pattern owner --apply
  clerksync configure-rls test public.notes
  clerksync configure-rls lint
  clerksync configure-rls audit public.invoices

The first prints SQL to review and changes nothing. "clerksync configure-rls table --help" explains the patterns, the rules
and every flag.

A table is named as in SQL: notes, public.notes, '"Notes"', 'app."Weird.Name"'. One that has the name of a command here is named with its
schema: public.test.

It needs DATABASE_URL, of the role that owns the project.`
}
