package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Runner runs a script of SQL as the database's owner, in a session of its own, where no connection is to be had: through an
// API. It decodes the rows of the last statement, objects by the names of their columns, into what rows points to; nil: they
// are not looked at. Its errors tell PostgreSQL's code by a method SQLState.
type Runner func(ctx context.Context, sql string, rows any) error

// PendingThrough lists the steps that a database lacks, and writes nothing. What would stop them shows when they are applied:
// unlike [Plan] it rehearses nothing.
func PendingThrough(ctx context.Context, run Runner) ([]Step, error) {
	d, err := this.readThrough(ctx, run)
	return d.pending(), err
}

func (r release) readThrough(ctx context.Context, run Runner) (database, error) {
	d := database{steps: slices.Clone(r.steps), names: chosen(Options{})}
	var present []struct {
		History  bool `json:"history"`
		Settings bool `json:"settings"`
	}
	if err := run(ctx, `select to_regclass('clerk_sync.migrations') is not null and to_regclass('clerk_sync.rules') is not null as history,
		to_regclass('clerk_sync.settings') is not null as settings`, &present); err != nil {
		return d, fmt.Errorf("reading the migration state: %w", err)
	}
	if len(present) != 1 {
		return d, errors.New("reading the migration state: the answer has no row")
	}
	if d.fresh = !present[0].History; d.fresh {
		return d, nil
	}
	var read []struct {
		History history `json:"history"`
	}
	if err := run(ctx, historySQL, &read); err != nil || len(read) != 1 {
		return d, errors.Join(errors.New("reading clerk_sync.migrations and clerk_sync.rules"), err)
	}
	if err := read[0].History.mark(d.steps, r.revision); err != nil || !present[0].Settings {
		return d, err
	}
	var used []struct {
		Exposed string `json:"exposed_schema"`
		Helpers string `json:"helpers_schema"`
	}
	if err := run(ctx, `select exposed_schema, helpers_schema from clerk_sync.settings`, &used); err != nil || len(used) != 1 {
		return d, errors.Join(errors.New("reading the schemas from clerk_sync.settings"), err)
	}
	d.names = names{exposed: used[0].Exposed, helpers: used[0].Helpers}
	return d, nil
}

// UpThrough applies what is pending, as one script that is one transaction.
func UpThrough(ctx context.Context, run Runner) error {
	d, err := this.readThrough(ctx, run)
	if err != nil || len(d.pending()) == 0 {
		return err
	}
	var script strings.Builder
	script.WriteString("begin;\n" + limits + ";\n" + lockSQL + ";\n" + historyDDL)
	for _, step := range d.pending() {
		script.WriteString("\n" + step.sql(d.names))
	}
	script.WriteString("\ncommit;\n")
	err = run(ctx, script.String(), nil)
	coded, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	switch {
	case ok && slices.Contains([]string{"42P07", "42710", "42723", "CS001"}, coded.SQLState()):
		return fmt.Errorf("migrating (nothing was kept): %w in schema %q or %q: \"clerksync migrate plan\" says which, over a connection of the owner's; --schema and --helpers-schema choose others: %w",
			ErrTaken, d.names.exposed, d.names.helpers, err)
	case err != nil:
		return fmt.Errorf("migrating (nothing was kept): %w", err)
	}
	return nil
}

// ResetPasswordThrough is [ResetPassword] without force. The script holds a SCRAM verifier, and no password.
func ResetPasswordThrough(ctx context.Context, run Runner, role string) (Credentials, error) {
	if role != WriterRole && role != DiagnosticsRole {
		return Credentials{}, fmt.Errorf("%q is not a login role of clerksync", role)
	}
	var found []loginRow
	if err := run(ctx, loginsSQL(role), &found); err != nil {
		return Credentials{}, fmt.Errorf("looking at %s: %w", role, err)
	}
	l, err := judgeLogins(role, found)
	if err != nil {
		return Credentials{}, err
	}
	if l.current.connections != "" {
		return Credentials{}, fmt.Errorf("%w: %s; a new password would lock out the next that connects", ErrLoginInUse, l.current.connections)
	}
	given, change, comment, err := newPassword(l.current.role, l.now)
	if err != nil {
		return Credentials{}, err
	}
	if err := run(ctx, "begin;\n"+lockSQL+";\n"+alterSQL(given.Role, change, comment)+";\ncommit;\n", nil); err != nil {
		return Credentials{}, fmt.Errorf("changing %s: %w", given.Role, err)
	}
	return given, nil
}
