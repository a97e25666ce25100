package configurerls

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
)

// exposedFlag is of the commands that look at what the Data API serves.
type exposedFlag struct {
	Exposed console.Names `help:"Schemas that the Data API serves, where the database does not say (default: public and the copy's)." placeholder:"SCHEMA,..."`
}

// advise adds to an error what to do about it, and makes it fit for a terminal.
func advise(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, advised := errors.AsType[*console.HintedError](err); !advised {
		err = hinted(ctx, err)
	}
	for _, wrong := range []error{rls.ErrSpec, probe.ErrColumn} {
		if errors.Is(err, wrong) {
			err = console.Usage(err)
		}
	}
	return err
}

func hinted(ctx context.Context, err error) error {
	hint := func(text string) error { return console.Hint(err, text) }
	code := ""
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		code = pgErr.Code
	}
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
		return hint("nothing is left half-done; run the same command again")
	case connecting:
		return err // which says itself what to do
	case errors.Is(err, catalog.ErrNotFound):
		return hint(`check schema and case; a name with capitals needs double quotes, as in '"Notes"'`)
	case errors.Is(err, rls.ErrAudit):
		return err // which has the database's own hint
	case errors.Is(err, rls.ErrChanged):
		return hint("run the same command again: it shows what is to be done now")
	// No such schema, table or function; what is the application's was found before.
	case code == "3F000" || code == "42P01" || code == "42883":
		return hint(`something of clerksync's is missing in the database: run "clerksync migrate up"`)
	case code == "42501":
		return hint("connect as the role that owns the tables: in a Supabase project that is postgres")
	case code == "55P03":
		return hint("others are using the table for longer than that; look for long transactions in pg_stat_activity and try again")
	case errors.Is(err, context.DeadlineExceeded) || code == "57014":
		return hint("look for locks and slow statements in pg_stat_activity, and try again")
	default:
		return err
	}
}
