package configurerls

import (
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
	"clerksync/shared/rls/lint"
)

type lintCommand struct {
	Schema console.Names `help:"Report on these schemas only (default: all of your own)." placeholder:"SCHEMA,..."`
	Level  string        `help:"Show what is at least this grave: warn or error (default: ${default}). What could not be checked is always shown." enum:"warn,error" default:"warn" placeholder:"LEVEL"`
	exposedFlag
}

// Help is the text below the flags' list in "clerksync configure-rls lint --help".
func (lintCommand) Help() string {
	return `It reads the database in one transaction that writes nothing, and says of each finding what to do about it. It exits with 1 if
one of them is a failure, and with 3 if nothing could be checked.

Examples:
  clerksync configure-rls lint
  clerksync configure-rls lint --schema public,app --exposed public,app
  clerksync configure-rls lint --level error`
}

// lintLimit is for everything that is looked at.
const lintLimit = 5 * time.Minute

// linted is the outcome as JSON.
type linted struct {
	Findings []finding.Finding `json:"findings"`
}

// Run is the command.
func (cmd lintCommand) Run(ctx context.Context, c console.Console) error {
	return advise(ctx, connect.WithConnection(ctx, c, func(conn *pgx.Conn) error {
		var found []finding.Finding
		err := connect.Within(ctx, "linting", lintLimit, func(ctx context.Context) (err error) {
			found, err = lint.Run(ctx, conn, lint.Options{Exposed: cmd.Exposed, Schemas: cmd.Schema})
			return err
		})
		if err = errors.Join(err, missingSchemas(found)); err != nil {
			return err
		}
		return cmd.print(c, found)
	}))
}

// missingSchemas is an error where a schema was asked for that is not there: nothing would
// ever be found in it.
func missingSchemas(found []finding.Finding) error {
	var missing []string
	for _, f := range found {
		if f.ID == "lint.schema" {
			missing = append(missing, f.Object)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return console.Hint(console.Usage(fmt.Errorf("there is no %s in this database", strings.Join(missing, ", no "))), "give names letter by letter, without quotes")
}

// unchecked are the findings with which a run ends before its first check: in CI such
// a run would pass for ever.
var unchecked = []string{"lint.catalogue", "lint.roles"}

func (cmd lintCommand) print(c console.Console, found []finding.Finding) error {
	shown := []finding.Finding{}
	for _, f := range found {
		if f.Status == finding.Fail || f.Status == finding.Skip || f.Status == finding.Warn && cmd.Level == "warn" {
			shown = append(shown, f)
		}
	}
	var err error
	if c.JSON {
		err = c.Encode(linted{shown})
	} else {
		err = c.OnStdout().Findings(shown)
		c.Say("clerksync: %s", console.Sum(found))
	}
	switch {
	case err != nil:
		return err
	case finding.Failed(found):
		return console.ToMend(found)
	case slices.ContainsFunc(found, func(f finding.Finding) bool { return slices.Contains(unchecked, f.ID) }):
		return console.Hint(console.Unknown(errors.New("nothing could be checked")), "connect as the role that owns the project, to its database: each skip says what is missing")
	default:
		return nil
	}
}
