package configurerls

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
)

type testCommand struct {
	Tables      []connect.Table `arg:"" name:"table" help:"The tables and views, as SQL names them."`
	Expect      console.Path    `help:"Compare with this file and print what changed." xor:"expectation" placeholder:"FILE"`
	Write       console.Path    `help:"Write the file for --expect." xor:"expectation" placeholder:"FILE"`
	Explain     bool            `help:"Show plans too, and what makes them slow."`
	OwnerColumn console.Once    `help:"Column that holds the owner's Clerk id, of one table (default: picked)." placeholder:"COLUMN"`
	OrgColumn   console.Once    `help:"Column that holds the organization's Clerk id, of one table (default: picked)." placeholder:"COLUMN"`
	Published   console.Once    `help:"Column that says that a row is published, of one table (default: picked)." placeholder:"COLUMN"`
	exposedFlag
}

// Help is the text below the flags' list in "clerksync configure-rls test --help".
func (testCommand) Help() string {
	return `It plays every kind of caller in one transaction that is rolled back, on rows that it makes itself, and prints who may do what
and what decided.

Examples:
  clerksync configure-rls test public.notes
  clerksync configure-rls test public.notes public.docs --write rls.expect
  clerksync configure-rls test public.notes public.docs --expect rls.expect
  clerksync configure-rls test public.notes --explain

The exit code is 1 where a hole was found; what may be meant is a warning. It is 3 where no hole was found and a table could not be
probed. With --expect it is 1 where anything differs from the file, for better or worse, and then only the differences are printed,
one a line. The file is text, to be read and kept beside the migrations; name the same tables as when it was written.

Sequences count on, and triggers fire: one that reaches outside the database really does.`
}

// Validate checks what the types of the flags do not.
func (cmd testCommand) Validate() error {
	return console.Refuse(len(cmd.names()) > 1 && cmd.columns() != (probe.Columns{}),
		"--owner-column, --org-column and --published are of one table: test the tables one by one")
}

// names are the tables, each once.
func (cmd testCommand) names() []catalog.Name {
	var names []catalog.Name
	for _, t := range cmd.Tables {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
}

func (cmd testCommand) columns() probe.Columns {
	return probe.Columns{Owner: string(cmd.OwnerColumn), Organization: string(cmd.OrgColumn), Published: string(cmd.Published)}
}

// probeLimit is for all tables together.
const probeLimit = 15 * time.Minute

// probed is the outcome as JSON.
type probed struct {
	probe.Report
	// Changes are there with --expect.
	Changes []probe.Change `json:"changes,omitzero"`
}

// Run is the command.
func (cmd testCommand) Run(ctx context.Context, c console.Console) error {
	return advise(ctx, cmd.run(ctx, c))
}

func (cmd testCommand) run(ctx context.Context, c console.Console) error {
	expected, err := cmd.expectation(ctx)
	if err != nil {
		return err
	}
	var report probe.Report
	err = connect.WithConnection(ctx, c, func(conn *pgx.Conn) error {
		return connect.Within(ctx, "probing", probeLimit, func(ctx context.Context) (err error) {
			report, err = probe.Run(ctx, conn, probe.Options{
				Tables: cmd.names(), Exposed: cmd.Exposed, Explain: cmd.Explain,
				Columns: map[catalog.Name]probe.Columns{cmd.Tables[0].Name: cmd.columns()},
			})
			return err
		})
	})
	if err != nil {
		return err
	}
	changes := []probe.Change(nil) // without --expect; with it, none is an empty list
	if expected != nil {
		if changes, err = probe.Compare(expected, report); err != nil {
			return err
		}
		changes = append([]probe.Change{}, changes...)
	}
	if err := cmd.print(c, report, changes); err != nil {
		return err
	}
	if err := unprobed(report); err != nil {
		return errors.Join(cmd.found(report, changes), err)
	}
	if err := cmd.write(c, report); err != nil {
		return err
	}
	return cmd.found(report, changes)
}

// found is an error where there is a hole, or with --expect a difference.
func (cmd testCommand) found(report probe.Report, changes []probe.Change) error {
	switch {
	case len(changes) > 0:
		return console.Hint(
			fmt.Errorf("%s from what %s expects", console.Count(len(changes), "difference", "differences"), cmd.Expect),
			"without --expect it shows what decided; if the differences are meant, --write the file anew",
		)
	case cmd.Expect != "":
		return nil
	default:
		return console.ToMend(report.Findings())
	}
}

// maxExpectation is more than a thousand tables take.
const maxExpectation = 64 << 20

// expectation reads the file of --expect, nil without one, and finds out whether
// it is one before anything is probed.
func (cmd testCommand) expectation(ctx context.Context) ([]byte, error) {
	if cmd.Expect == "" {
		return nil, nil
	}
	text, err := console.ReadText(ctx, string(cmd.Expect), maxExpectation)
	if err != nil {
		return nil, console.Usage(err)
	}
	if _, err := probe.Compare([]byte(text), probe.Report{}); err != nil {
		return nil, console.Usage(fmt.Errorf("%s: %w", cmd.Expect, err))
	}
	return []byte(text), nil
}

// print writes the report, or with --expect what changed. changes is nil without.
func (cmd testCommand) print(c console.Console, report probe.Report, changes []probe.Change) error {
	if c.JSON {
		return c.Encode(probed{report, changes})
	}
	if changes != nil {
		var b strings.Builder
		for _, change := range changes {
			b.WriteString(console.Printable(change.String()) + "\n")
		}
		if len(changes) == 0 {
			c.Say("clerksync: as expected")
		}
		_, err := io.WriteString(c.Stdout, b.String())
		return err
	}
	found := report.Findings()
	report.Tables = slices.Clone(report.Tables)
	for i := range report.Tables {
		report.Tables[i].Findings = nil
	}
	if _, err := io.WriteString(c.Stdout, console.Harmless(report.Text())); err != nil {
		return err
	}
	return c.OnStderr().Findings(found)
}

// unprobed is an error that names the tables about which nothing is known.
func unprobed(report probe.Report) error {
	var names []string
	for _, t := range report.Tables {
		if len(t.Cells) == 0 {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return console.Hint(
		console.Unknown(fmt.Errorf("%s could not be probed: %s", console.Count(len(names), "table", "tables"), strings.Join(names, ", "))),
		"each skip says why; name the other tables alone to have them judged",
	)
}

// write writes the file of --write.
func (cmd testCommand) write(c console.Console, report probe.Report) error {
	if cmd.Write == "" {
		return nil
	}
	if err := console.WriteFile(string(cmd.Write), string(report.Expectation())); err != nil {
		return fmt.Errorf("writing what is expected: %w", err)
	}
	c.Say("clerksync: wrote %s", console.Printable(string(cmd.Write)))
	return nil
}
