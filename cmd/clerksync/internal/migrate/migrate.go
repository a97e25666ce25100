// Package migrate is the command migrate: migrations, and the passwords of the roles
// that they make.
package migrate

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"clerksync/cmd/clerksync/internal/connect"
	"clerksync/cmd/clerksync/internal/console"
	"clerksync/sql/migrate"
)

// Command is migrate, as kong reads it.
type Command struct {
	Plan   planCommand   `cmd:"" help:"Show which migrations are applied and which are pending; writes nothing."`
	Up     upCommand     `cmd:"" help:"Apply what is pending, all in one transaction."`
	Verify verifyCommand `cmd:"" help:"Exit 0 and say nothing if the database has exactly these migrations, unchanged."`
	Export exportCommand `cmd:"" help:"Write the migrations as files for \"supabase db push\"."`
	Login  loginCommand  `cmd:"" help:"Give a runtime role a password and print its connection string; replace it without a gap."`
}

// Help is the text below the commands' list in "clerksync migrate --help".
func (Command) Help() string {
	return `The database is migrated before what writes to it is deployed. It needs DATABASE_URL, of the role that owns the project.

Examples:
  clerksync migrate plan
  clerksync migrate up
  clerksync migrate login writer`
}

type schemaFlag struct {
	Schema  console.Once `help:"Exposed schema that holds the copy; chosen once (default: public)." placeholder:"NAME"`
	Helpers console.Once `name:"helpers-schema" help:"Schema of what policies call; chosen once (default: clerk)." placeholder:"NAME"`
}

func (f schemaFlag) options() migrate.Options {
	return migrate.Options{Schema: string(f.Schema), Helpers: string(f.Helpers)}
}

// migrateFlag are the flags of what migrates, or says what would happen.
type migrateFlag struct {
	schemaFlag
	AsSuperuser bool `help:"Migrate as a superuser, who then owns what is made."`
}

func (f migrateFlag) options() migrate.Options {
	options := f.schemaFlag.options()
	options.AsSuperuser = f.AsSuperuser
	return options
}

type planCommand struct{ migrateFlag }

// Help is the text below the flags' list in "clerksync migrate plan --help".
func (planCommand) Help() string {
	return `Each migration stands with when it was applied, or as pending.

Examples:
  clerksync migrate plan
  clerksync --env-file .env migrate plan --json`
}

// plannedMigration is one line of the plan as JSON.
type plannedMigration struct {
	Migration string     `json:"migration"`
	Checksum  string     `json:"checksum"`
	AppliedAt *time.Time `json:"applied_at"`
}

func (cmd planCommand) Run(ctx context.Context, c console.Console) error {
	_, session, err := connect.Session(ctx, c)
	if err != nil {
		return err
	}
	states, err := migrate.Plan(ctx, session, cmd.options())
	if err != nil {
		return advise(err)
	}
	planned := make([]plannedMigration, len(states))
	for i, s := range states {
		planned[i] = plannedMigration{Migration: s.String(), Checksum: s.Checksum}
		if !s.AppliedAt.IsZero() {
			planned[i].AppliedAt = &s.AppliedAt
		}
	}
	return c.Print(planned, func(row func(...any)) {
		for _, p := range planned {
			state := "pending"
			if p.AppliedAt != nil {
				state = "applied " + p.AppliedAt.UTC().Format(time.RFC3339)
			}
			row(p.Migration, state)
		}
	})
}

type upCommand struct{ migrateFlag }

// Help is the text below the flags' list in "clerksync migrate up --help".
func (upCommand) Help() string {
	return `All that is pending is applied or nothing is, and a second run finds nothing to do. The schemas are chosen with the first.

Examples:
  clerksync migrate up
  clerksync migrate up --schema mirror --helpers-schema claims`
}

func (cmd upCommand) Run(ctx context.Context, c console.Console) error {
	_, session, err := connect.Session(ctx, c)
	if err != nil {
		return err
	}
	applied, err := migrate.Up(ctx, session, cmd.options())
	if err != nil {
		return advise(err) // nothing was applied: they are one transaction
	}
	if len(applied) == 0 {
		c.Say("clerksync: nothing to do, the database is up to date")
	}
	names := make([]string, len(applied))
	for i, m := range applied {
		names[i] = m.String()
	}
	return c.Print(names, func(row func(...any)) {
		for _, name := range names {
			row(name, "applied")
		}
	})
}

type verifyCommand struct{ schemaFlag }

// Help is the text below the flags' list in "clerksync migrate verify --help".
func (verifyCommand) Help() string {
	return `It is for pipelines, before what needs the migrations is deployed. The exit code is 1 where something is pending, was changed, or
where the roles may do other things than they should.

Examples:
  clerksync migrate verify
  clerksync migrate verify && sam deploy`
}

func (cmd verifyCommand) Run(ctx context.Context, c console.Console) error {
	_, session, err := connect.Session(ctx, c)
	if err != nil {
		return err
	}
	if err := migrate.Verify(ctx, session, cmd.options()); err != nil {
		return advise(err)
	}
	return nil
}

type exportCommand struct {
	schemaFlag
	Dir console.Path `help:"Folder to write to (default: supabase/migrations)." placeholder:"DIR"`
}

// Help is the text below the flags' list in "clerksync migrate export --help".
func (exportCommand) Help() string {
	return `For projects whose migrations all go through Supabase's command line. A later release adds the files that are new, and leaves
those that are there.

Examples:
  clerksync migrate export
  clerksync migrate export --dir db/migrations --schema mirror`
}

// Run is the command.
func (cmd exportCommand) Run(ctx context.Context, c console.Console) error {
	cmd.Dir = cmp.Or(cmd.Dir, "supabase/migrations")
	options, err := cmd.schemas(ctx, c)
	if err != nil {
		return err
	}
	written, err := migrate.Export(string(cmd.Dir), options, time.Now())
	if err != nil {
		return advise(err)
	}
	if len(written) == 0 {
		c.Say("clerksync: nothing to do, %s has every migration", cmd.Dir)
	}
	return c.Print(written, func(row func(...any)) {
		for _, path := range written {
			row(path)
		}
	})
}

// schemas are those that the files are for: of the database that DATABASE_URL names,
// where it was migrated and the folder has no earlier files, which say it themselves.
func (cmd exportCommand) schemas(ctx context.Context, c console.Console) (migrate.Options, error) {
	options := cmd.options()
	there, err := migrate.Exported(string(cmd.Dir))
	if err != nil || there || !connect.MayHold(c, "DATABASE_URL") {
		return options, advise(err)
	}
	used, migrated, err := schemasInUse(ctx, c)
	switch {
	case err != nil && options.Schema != "" && options.Helpers != "":
		c.Say("clerksync: warning: whether the database has the same schemas is not known: %v", err)
		return options, nil
	case err != nil:
		return options, console.Hint(
			err,
			"to export for a database that was not migrated yet, unset DATABASE_URL; otherwise give its schemas with --schema and --helpers-schema",
		)
	case !migrated:
		return options, nil
	case cmp.Or(options.Schema, used.Schema) != used.Schema || cmp.Or(options.Helpers, used.Helpers) != used.Helpers:
		return options, advise(fmt.Errorf("%w: the database was migrated with the schemas %q (--schema) and %q (--helpers-schema)", migrate.ErrSchema, used.Schema, used.Helpers))
	}
	c.Say("clerksync: the files are for the schemas %q and %q, with which the database was migrated", used.Schema, used.Helpers)
	return used, nil
}

// schemasInUse asks the database of DATABASE_URL.
func schemasInUse(ctx context.Context, c console.Console) (migrate.Options, bool, error) {
	parsed, err := connect.Database(ctx, c)
	if err != nil {
		return migrate.Options{}, false, err
	}
	used, migrated, err := migrate.SchemasInUse(ctx, parsed.Connection())
	return used, migrated, advise(err)
}
