package configurerls

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
)

type auditCommand struct {
	Tables auditTablesCommand `cmd:"" default:"withargs" help:"Begin or end to record the changes of tables, or list the audited ones; \"tables\" may be left out."`
	Log    auditLogCommand    `cmd:"" help:"Show what was recorded, the latest first."`
}

// Help is the text below the flags' list in "clerksync configure-rls audit --help".
func (auditCommand) Help() string {
	return `The audit log says who changed which fields of which row, and holds none of their values. The tables of the copy are audited from
the first; any other can be.

Examples:
  clerksync configure-rls audit
  clerksync configure-rls audit public.invoices --ignore updated_at
  clerksync configure-rls audit public.invoices --drop
  clerksync configure-rls audit log --table public.invoices --limit 20

A table that is called log is named with its schema: public.log.`
}

// auditLimit is for everything about the audit log: triggers are quickly made,
// and waiting for a table is limited by package rls.
const auditLimit = time.Minute

type auditTablesCommand struct {
	Tables []connect.Table `arg:"" optional:"" name:"table" help:"The tables, as SQL names them; without any, the audited ones are listed."`
	Ignore console.Names   `help:"Columns whose changes alone are not recorded, without quotes." placeholder:"COLUMN,..."`
	Drop   bool            `help:"End it; what was recorded stays."`
}

// Help is the text below the flags' list in "clerksync configure-rls audit tables --help".
func (auditTablesCommand) Help() string {
	return `Without tables the audited ones are listed. A table whose audit is begun anew is recorded as is asked now, with the columns that
--ignore names and no others left out.

Examples:
  clerksync configure-rls audit
  clerksync configure-rls audit public.invoices public.notes
  clerksync configure-rls audit public.invoices --ignore updated_at
  clerksync configure-rls audit public.invoices --drop`
}

// Validate checks what the types of the flags do not.
func (cmd auditTablesCommand) Validate() error {
	return errors.Join(
		console.Refuse(cmd.Drop && len(cmd.Ignore) > 0, "--drop ends it for every column: leave out --ignore"),
		console.Refuse(len(cmd.Tables) == 0 && (cmd.Drop || len(cmd.Ignore) > 0), "name the tables"))
}

// auditedTables are the audited tables as JSON.
type auditedTables struct {
	Tables []rls.AuditedTable `json:"tables"`
}

// Run is the command.
func (cmd auditTablesCommand) Run(ctx context.Context, c console.Console) error {
	var audited []rls.AuditedTable
	err := connect.WithConnection(ctx, c, func(conn *pgx.Conn) error {
		return connect.Within(ctx, "auditing", auditLimit, func(ctx context.Context) error {
			if err := cmd.change(ctx, conn); err != nil {
				return err
			}
			var err error
			audited, err = rls.AuditedTables(ctx, conn)
			return err
		})
	})
	if err != nil {
		return advise(ctx, err)
	}
	for _, t := range cmd.Tables {
		what := "is audited"
		if cmd.Drop {
			what = "is not audited any more; what was recorded stays"
		}
		c.Say("clerksync: %s %s", console.Printable(t.String()), what)
	}
	if len(cmd.Tables) > 0 && !c.JSON {
		return nil
	}
	return c.Print(auditedTables{append([]rls.AuditedTable{}, audited...)}, func(row func(...any)) {
		for _, t := range audited {
			row(t.String(), auditState(t))
		}
	})
}

func (cmd auditTablesCommand) change(ctx context.Context, conn *pgx.Conn) error {
	var tables []catalog.Name
	for _, t := range cmd.Tables {
		tables = append(tables, t.Name)
	}
	switch {
	case len(tables) == 0:
		return nil
	case cmd.Drop:
		return rls.Unaudit(ctx, conn, tables)
	default:
		return rls.Audit(ctx, conn, tables, cmd.Ignore)
	}
}

// auditState says how completely a table is audited.
func auditState(t rls.AuditedTable) string {
	state := "every column"
	if len(t.Ignored) > 0 {
		state = "every column but " + console.Printable(strings.Join(t.Ignored, ", "))
	}
	if !t.Complete {
		state = "incomplete, a trigger is missing or switched off: audit it again; " + state
	}
	return state
}

type auditLogCommand struct {
	Table  *connect.Table `help:"Only this table." placeholder:"TABLE"`
	Row    console.Once   `help:"Only the row with this primary key; a JSON array if that has several columns." placeholder:"KEY"`
	User   console.Once   `help:"Only what this user did, by Clerk id." placeholder:"ID"`
	Limit  int            `help:"How many at most, up to 1000 (default: ${default})." default:"50" placeholder:"N"`
	Before *int64         `help:"Go on behind the record with this number." placeholder:"NUMBER"`
}

// Help is the text below the flags' list in "clerksync configure-rls audit log --help".
func (auditLogCommand) Help() string {
	return `A line has the number of the record, when it was, who did it and through what, what was done to which row, and the fields that
changed. Values are not recorded.

Examples:
  clerksync configure-rls audit log
  clerksync configure-rls audit log --table public.invoices --limit 20
  clerksync configure-rls audit log --table public.invoices --row 42
  clerksync configure-rls audit log --user user_2f0a1b --before 1234`
}

// Validate checks what the types of the flags do not.
func (cmd auditLogCommand) Validate() error {
	switch {
	case cmd.Limit < 1 || cmd.Limit > 1000:
		return fmt.Errorf("--limit is %d: give a number from 1 to 1000", cmd.Limit)
	case cmd.Before != nil && *cmd.Before < 1:
		return fmt.Errorf("--before is %d: give the number of a record", *cmd.Before)
	default:
		return nil
	}
}

// auditRecords are the records as JSON.
type auditRecords struct {
	Records []rls.AuditRecord `json:"records"`
}

// Run is the command.
func (cmd auditLogCommand) Run(ctx context.Context, c console.Console) error {
	query := rls.AuditQuery{RowID: string(cmd.Row), UserID: string(cmd.User), Most: cmd.Limit}
	if cmd.Before != nil {
		query.Before = *cmd.Before
	}
	if cmd.Table != nil {
		query.Table = cmd.Table.Name
	}
	var records []rls.AuditRecord
	err := connect.WithConnection(ctx, c, func(conn *pgx.Conn) error {
		return connect.Within(ctx, "reading the audit log", auditLimit, func(ctx context.Context) (err error) {
			records, err = rls.AuditLog(ctx, conn, query)
			return err
		})
	})
	if err != nil {
		return advise(ctx, err)
	}
	if err := c.Print(auditRecords{append([]rls.AuditRecord{}, records...)}, func(row func(...any)) {
		for _, r := range records {
			row(r.ID, r.At.UTC().Format(time.RFC3339), auditActor(r), r.Action+" "+r.Name.String(), auditRow(r), strings.Join(r.Changed, ", "))
		}
	}); err != nil {
		return err
	}
	switch {
	case len(records) == 0:
		c.Say("clerksync: nothing was recorded")
	case len(records) == cmd.Limit:
		c.Say("clerksync: --before %d shows what was before", records[len(records)-1].ID)
	}
	return nil
}

// auditActor says who did it, and what made them.
func auditActor(r rls.AuditRecord) string {
	who := r.Actor
	switch {
	case r.UserID != nil:
		who = *r.UserID
		if r.Impersonator != nil {
			who += " (really " + *r.Impersonator + ")"
		}
	case r.Actor == "database":
		who += " " + r.Login
	}
	if r.Cause != nil {
		who += " (" + *r.Cause + ")"
	}
	return who
}

// auditRow says which row it was.
func auditRow(r rls.AuditRecord) string {
	switch {
	case r.RowID == nil:
		return "-"
	case r.NewRowID != nil:
		return *r.RowID + " → " + *r.NewRowID
	default:
		return *r.RowID
	}
}
