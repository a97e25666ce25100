package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// Errors that a caller may want to tell apart.
var (
	// ErrPending: migrations of this program are not applied to the database.
	ErrPending = errors.New("migrations are pending")
	// ErrChanged: an applied migration differs from the one of this program.
	ErrChanged = errors.New("an applied migration was changed")
	// ErrUnknown: the database has migrations that this program does not know.
	ErrUnknown = errors.New("the database is newer than this program")
	// ErrSchema: the database was migrated with another exposed schema.
	ErrSchema = errors.New("another exposed schema is in use")
	// ErrTaken: a table of the copy's name exists and is not ours.
	ErrTaken = errors.New("a table of that name exists already")
)

// lockID keeps two migrators apart: an advisory lock of the session.
const lockID = 0x636c65726b // "clerk"

// State is what the database says about one migration.
type State struct {
	Migration
	// AppliedAt is zero for a migration that is pending.
	AppliedAt time.Time
}

// Plan lists every migration with its state and writes nothing. It fails, as
// [Up] would, with [ErrChanged], [ErrUnknown], [ErrSchema] or [ErrTaken].
func Plan(ctx context.Context, config *pgx.ConnConfig, opts Options) ([]State, error) {
	db := open(config)
	defer db.Close()
	return plan(ctx, db, opts)
}

// Verify returns nil when the database has exactly the migrations of this
// program, unchanged.
func Verify(ctx context.Context, config *pgx.ConnConfig, opts Options) error {
	states, err := Plan(ctx, config, opts)
	if err != nil {
		return err
	}
	var pending []string
	for _, s := range states {
		if s.AppliedAt.IsZero() {
			pending = append(pending, s.String())
		}
	}
	if len(pending) > 0 {
		return fmt.Errorf("%w: %s", ErrPending, strings.Join(pending, ", "))
	}
	return nil
}

// Up applies what is pending, in order, and returns what it applied, also when a
// later one failed. It is safe to call again and from several places at once.
func Up(ctx context.Context, config *pgx.ConnConfig, opts Options) ([]Migration, error) {
	db := open(config)
	defer db.Close()

	states, err := plan(ctx, db, opts)
	if err != nil {
		return nil, err
	}
	if !pending(states) {
		return nil, nil
	}
	schema, err := chosenSchema(ctx, db, opts)
	if err != nil {
		return nil, err
	}

	rendered := fstest.MapFS{}
	for _, m := range all {
		// The runner would cut a file at every semicolon; ours are sent whole.
		rendered[m.String()+".sql"] = &fstest.MapFile{Data: []byte(
			"-- +goose Up\n-- +goose StatementBegin\n" + m.SQL(schema) + "\n-- +goose StatementEnd\n")}
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 60))
	if err != nil {
		return nil, fmt.Errorf("preparing the migration lock: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectCustom, db, rendered,
		goose.WithStore(history{}), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, fmt.Errorf("preparing migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		results, err = partial.Applied, explain(partial.Failed.Source.Version, partial.Err)
	}
	var applied []Migration
	for _, r := range results {
		applied = append(applied, all[r.Source.Version-1])
	}
	if err != nil {
		return applied, fmt.Errorf("migrating: %w", err)
	}
	return applied, nil
}

func open(config *pgx.ConnConfig) *sql.DB {
	config = config.Copy()
	// Multi-statement files; and nothing is left prepared on a pooled session.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		// Rather fail and be run again than queue up behind a long transaction
		// with every reader of the tables queueing behind us.
		_, err := conn.Exec(ctx, `set lock_timeout = '10s'; set statement_timeout = '5min'`)
		return err
	}))
}

func plan(ctx context.Context, db *sql.DB, opts Options) ([]State, error) {
	if err := checkSchema(schemaOrDefault(opts.Schema)); err != nil {
		return nil, err
	}
	recorded, err := readHistory(ctx, db)
	if err != nil {
		return nil, err
	}
	var problems []error
	states := make([]State, len(all))
	for i, m := range all {
		states[i].Migration = m
		r, ok := recorded[m.Version]
		if !ok {
			continue
		}
		states[i].AppliedAt = r.appliedAt
		if r.checksum != m.Checksum {
			problems = append(problems, fmt.Errorf("%w: %s has checksum %.12s here and %.12s in the database", ErrChanged, m, m.Checksum, r.checksum))
		}
		delete(recorded, m.Version)
	}
	for version, r := range recorded {
		problems = append(problems, fmt.Errorf("%w: it has migration %04d_%s; use the release that made it", ErrUnknown, version, r.name))
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	schema, err := chosenSchema(ctx, db, opts)
	if err != nil {
		return nil, err
	}
	return states, checkTaken(ctx, db, schema, states)
}

func pending(states []State) bool {
	return len(states) > 0 && states[len(states)-1].AppliedAt.IsZero()
}

// chosenSchema is the schema in use, which wins over an empty option and must
// equal a given one.
func chosenSchema(ctx context.Context, db *sql.DB, opts Options) (string, error) {
	var exists bool
	if err := db.QueryRowContext(ctx, `select to_regclass('clerk_sync.settings') is not null`).Scan(&exists); err != nil {
		return "", fmt.Errorf("reading the migration state: %w", err)
	}
	if !exists {
		return schemaOrDefault(opts.Schema), nil
	}
	var used string
	if err := db.QueryRowContext(ctx, `select exposed_schema from clerk_sync.settings`).Scan(&used); err != nil {
		return "", fmt.Errorf("reading the exposed schema from clerk_sync.settings: %w", err)
	}
	if opts.Schema != "" && opts.Schema != used {
		return "", fmt.Errorf("%w: this database was migrated with schema %q, not %q", ErrSchema, used, opts.Schema)
	}
	return used, nil
}

// checkTaken finds an application's own tables before the migration that would
// run into them.
func checkTaken(ctx context.Context, db *sql.DB, schema string, states []State) error {
	if len(states) > 1 && !states[1].AppliedAt.IsZero() {
		return nil
	}
	var taken sql.NullString
	err := db.QueryRowContext(ctx, `
		select string_agg(relname, ', ' order by relname)
		from pg_catalog.pg_class
		where relnamespace = to_regnamespace($1)
		  and relname in ('users', 'users_public', 'organizations', 'organization_memberships')`,
		quoteSchema(schema)).Scan(&taken)
	if err != nil {
		return fmt.Errorf("looking for tables of the copy's names: %w", err)
	}
	if !taken.Valid {
		return nil
	}
	// Another migrator may have made them since the state was read.
	recorded, err := readHistory(ctx, db)
	if err != nil {
		return err
	}
	if _, ours := recorded[states[1].Version]; !ours {
		return fmt.Errorf("%w: schema %q has %s; choose another schema for the copy with --schema", ErrTaken, schema, taken.String)
	}
	return nil
}

// explain adds to a failed migration which it was, and where in it.
func explain(version int64, err error) error {
	m := all[version-1]
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("%s: %w", m, err)
	}
	text := fmt.Sprintf("%s: %s (SQLSTATE %s)", m, pgErr.Message, pgErr.Code)
	if pgErr.Hint != "" {
		text += "; hint: " + pgErr.Hint
	}
	return fmt.Errorf("%s; nothing of this migration was kept: %w", text, err)
}

// historyDDL makes the table of applied migrations. Exported files carry it too.
const historyDDL = `create schema if not exists clerk_sync;
create table if not exists clerk_sync.migrations (
  version    bigint primary key,
  name       text not null,
  checksum   text not null,
  applied_at timestamptz not null default now()
);
revoke all on table clerk_sync.migrations from public;
`

const recordSQL = `insert into clerk_sync.migrations (version, name, checksum) values (%d, '%s', '%s') on conflict (version) do nothing`

type record struct {
	name, checksum string
	appliedAt      time.Time
}

func readHistory(ctx context.Context, db *sql.DB) (map[int64]record, error) {
	recorded := map[int64]record{}
	var exists bool
	if err := db.QueryRowContext(ctx, `select to_regclass('clerk_sync.migrations') is not null`).Scan(&exists); err != nil {
		return nil, fmt.Errorf("reading the migration state: %w", err)
	}
	if !exists {
		return recorded, nil
	}
	rows, err := db.QueryContext(ctx, `select version, name, checksum, applied_at from clerk_sync.migrations`)
	if err != nil {
		return nil, fmt.Errorf("reading clerk_sync.migrations (connect as the role that migrated): %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var version int64
		var r record
		if err := rows.Scan(&version, &r.name, &r.checksum, &r.appliedAt); err != nil {
			return nil, fmt.Errorf("reading clerk_sync.migrations: %w", err)
		}
		recorded[version] = r
	}
	return recorded, rows.Err()
}

// history is the runner's memory: our table, with name and checksum, written in
// the transaction of the migration itself. Version 0, which the runner uses to
// mark an empty history, is answered without a row.
type history struct{}

var _ database.Store = history{}

func (history) Tablename() string { return "clerk_sync.migrations" }

func (history) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	_, err := db.ExecContext(ctx, historyDDL)
	return err
}

func (history) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var exists bool
	err := db.QueryRowContext(ctx, `select to_regclass('clerk_sync.migrations') is not null`).Scan(&exists)
	return exists, err
}

func (history) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	if req.Version == 0 {
		return nil
	}
	m := all[req.Version-1]
	_, err := db.ExecContext(ctx, fmt.Sprintf(recordSQL, m.Version, m.Name, m.Checksum))
	return err
}

func (history) Delete(context.Context, database.DBTxConn, int64) error {
	return errors.New("migrations are never undone; write a further one")
}

func (history) GetMigration(ctx context.Context, db database.DBTxConn, version int64) (*database.GetMigrationResult, error) {
	result := &database.GetMigrationResult{IsApplied: true}
	if version == 0 {
		return result, nil
	}
	err := db.QueryRowContext(ctx, `select applied_at from clerk_sync.migrations where version = $1`, version).Scan(&result.Timestamp)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, database.ErrVersionNotFound
	}
	return result, err
}

func (history) GetLatestVersion(ctx context.Context, db database.DBTxConn) (int64, error) {
	var latest int64
	err := db.QueryRowContext(ctx, `select coalesce(max(version), 0) from clerk_sync.migrations`).Scan(&latest)
	return latest, err
}

func (history) ListMigrations(ctx context.Context, db database.DBTxConn) ([]*database.ListMigrationsResult, error) {
	rows, err := db.QueryContext(ctx, `select version from clerk_sync.migrations order by version desc`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []*database.ListMigrationsResult
	for rows.Next() {
		r := &database.ListMigrationsResult{IsApplied: true}
		if err := rows.Scan(&r.Version); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return append(list, &database.ListMigrationsResult{Version: 0, IsApplied: true}), rows.Err()
}
