package migrate

import (
	"errors"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/sql/migrate"
)

// next is what to do about what a migration ends with.
var next = []struct {
	about error
	do    string
}{
	{migrate.ErrPending, `"clerksync migrate plan" shows what is pending, and "clerksync migrate up" applies it`},
	{migrate.ErrUnreleased, `"clerksync migrate plan" shows what is there; once the schemas are dropped, "clerksync migrate up" and "clerksync sync-users" make the copy anew`},
	{migrate.ErrUnknown, `"clerksync --version" says which release this is: take the one that migrated the database, or a later one`},
	{migrate.ErrChanged, `"clerksync --version" says which release this is: take the one that applied the migration, unedited`},
	{migrate.ErrSchema, "give --schema and --helpers-schema as the database was migrated with them, or neither"},
	{migrate.ErrTaken, `make room, or choose another place with --schema or --helpers-schema; "clerksync migrate plan" tries it without a change`},
	{migrate.ErrUsed, "take it out of what uses it, as the database says, and run the same command again"},
	{migrate.ErrRole, `run what stands behind "mend it with" as the role that owns the project, and the same command again`},
	{migrate.ErrSuperuser, "take the string of the role that owns the project into DATABASE_URL"},
	{migrate.ErrNothingToRetire, `"clerksync migrate login --rotate" is what comes before --retire`},
}

// advise adds to an error what to do about it.
func advise(err error) error {
	for _, n := range next {
		if errors.Is(err, n.about) {
			return console.Hint(err, n.do)
		}
	}
	return connect.Explain(err)
}
