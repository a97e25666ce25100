package migrate

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Errors that a caller may want to tell apart.
var (
	// ErrPending: steps of this program are not applied to the database.
	ErrPending = errors.New("migrations are pending")
	// ErrChanged: an applied schema file differs from the one of this program.
	ErrChanged = errors.New("an applied migration was changed")
	// ErrUnknown: the database has what this program does not know.
	ErrUnknown = errors.New("the database is newer than this program")
	// ErrUnreleased: the database was migrated before the first release.
	ErrUnreleased = errors.New("the database was migrated by a version from before the first release")
	// ErrSchema: the database was migrated with other schemas.
	ErrSchema = errors.New("another schema is in use")
	// ErrTaken: something of a name that is needed exists and is not ours.
	ErrTaken = errors.New("a name that is needed is taken")
	// ErrUsed: a function that has to be dropped is used by something of the team's.
	ErrUsed = errors.New("a function that has to be dropped is in use")
	// ErrRole: a login role has rights that it must not have.
	ErrRole = errors.New("a login role has other rights than it should")
	// ErrSuperuser: a superuser would own everything.
	ErrSuperuser = errors.New("a superuser would own what is made")
)

// The limits of a migration. Rather fail and be run again than queue up behind a long
// transaction with every reader of the tables queueing behind us.
const limits = `set local lock_timeout = '10s'; set local statement_timeout = '5min'; set local search_path = pg_catalog, pg_temp`

// lockSQL keeps two migrators apart until the transaction ends. The lock is a table that
// no login of ours reaches; an advisory one, which anybody can take, serves only while
// there is no table.
const lockSQL = `do $$
begin
  if to_regclass('clerk_sync.rules') is null then
    perform pg_catalog.pg_advisory_xact_lock(426771281515); -- "clerk"
  end if;
  if to_regclass('clerk_sync.rules') is not null then
    lock table clerk_sync.rules in share row exclusive mode;
  end if;
end
$$`

// Plan lists every step with its state and keeps nothing. It fails as [Up] would,
// before Up has begun: for a name that is taken, a role with other rights, a function
// that cannot be replaced. To find out, an empty database is migrated, and the rules of
// another one are applied, in a transaction that is taken back; pending schema files
// of a database in use are not tried, since they may lock its tables.
func Plan(ctx context.Context, config *pgx.ConnConfig, opts Options) ([]Step, error) {
	return this.plan(ctx, config, opts)
}

func (r release) plan(ctx context.Context, config *pgx.ConnConfig, opts Options) ([]Step, error) {
	var states []Step
	err := within(ctx, config, func(tx pgx.Tx) error {
		d, err := r.inspect(ctx, tx, opts)
		if err != nil {
			return err
		}
		states = d.steps
		if err := d.refuse(ctx, tx, opts); err != nil {
			return err
		}
		if err := d.rehearse(ctx, tx); err != nil {
			return err
		}
		return errTakeBack
	})
	if errors.Is(err, errTakeBack) {
		return states, nil
	}
	return nil, err
}

var errTakeBack = errors.New("taken back")

// Verify returns nil when the database has exactly the steps of this program,
// unchanged, and the login roles have no other rights than they should.
func Verify(ctx context.Context, config *pgx.ConnConfig, opts Options) error {
	return this.verify(ctx, config, opts)
}

func (r release) verify(ctx context.Context, config *pgx.ConnConfig, opts Options) error {
	return within(ctx, config, func(tx pgx.Tx) error {
		d, err := r.inspect(ctx, tx, opts)
		if err != nil {
			return err
		}
		if pending := d.pending(); len(pending) > 0 {
			return fmt.Errorf("%w: %s", ErrPending, join(pending))
		}
		return errors.Join(d.missingFunctions(ctx, tx), checkRoles(ctx, tx, true))
	})
}

// Up applies what is pending, in one transaction, and returns what it applied. It is
// safe to call again and from several places at once.
func Up(ctx context.Context, config *pgx.ConnConfig, opts Options) ([]Step, error) {
	return this.up(ctx, config, opts)
}

func (r release) up(ctx context.Context, config *pgx.ConnConfig, opts Options) ([]Step, error) {
	var applied []Step
	err := within(ctx, config, func(tx pgx.Tx) error {
		d, err := r.inspect(ctx, tx, opts)
		if err != nil {
			return err
		}
		if err := d.refuse(ctx, tx, opts); err != nil {
			return err
		}
		pending := d.pending()
		if len(pending) == 0 {
			return nil
		}
		if err := d.apply(ctx, tx, pending); err != nil {
			return fmt.Errorf("migrating: %w", err)
		}
		applied = pending
		return nil
	})
	if err != nil {
		return nil, err
	}
	return applied, nil
}

// within runs a function in the one transaction that a migration is. It begins anew,
// a few times, where the migration of another database of the cluster made or changed
// the same login roles meanwhile.
func within(ctx context.Context, config *pgx.ConnConfig, do func(pgx.Tx) error) error {
	const tries = 5
	var err error
	for try := range tries {
		if err = once(ctx, config, do); !rolesChanged(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(time.Duration(try+1) * 50 * time.Millisecond):
		}
	}
	return err
}

// rolesChanged recognises what PostgreSQL says of a role that two transactions touch:
// "tuple concurrently updated", or a duplicate name.
func rolesChanged(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "XX000" && strings.Contains(pgErr.Message, "concurrently") ||
		pgErr.Code == "23505" && strings.HasPrefix(pgErr.ConstraintName, "pg_auth") ||
		pgErr.Code == "42710" && strings.Contains(pgErr.Message, "clerksync_"))
}

func once(ctx context.Context, config *pgx.ConnConfig, do func(pgx.Tx) error) error {
	return transaction(ctx, config, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockSQL); err != nil {
			return fmt.Errorf("waiting for another migration of this database (connect as the role that migrated): %w", err)
		}
		return do(tx)
	})
}

// transaction runs a function in a transaction with the limits of a migration.
func transaction(ctx context.Context, config *pgx.ConnConfig, do func(pgx.Tx) error) error {
	config = config.Copy()
	// Files of many statements; and nothing is left prepared on a pooled session.
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connecting to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, limits); err != nil {
			return fmt.Errorf("preparing to migrate: %w", err)
		}
		return do(tx)
	})
}

// database is what was found.
type database struct {
	names names
	// steps are those of this program, with when the database got them.
	steps []Step
	// fresh is whether it has nothing of ours.
	fresh bool
}

func (d database) pending() []Step {
	var pending []Step
	for _, s := range d.steps {
		if s.AppliedAt.IsZero() {
			pending = append(pending, s)
		}
	}
	return pending
}

func join(steps []Step) string {
	all := make([]string, len(steps))
	for i, s := range steps {
		all[i] = s.String()
	}
	return strings.Join(all, ", ")
}

// inspect reads what the database has, and fails if that is not what this program
// could have left there.
func (r release) inspect(ctx context.Context, tx pgx.Tx, opts Options) (database, error) {
	d := database{steps: slices.Clone(r.steps)}
	var history, rulesTable bool
	if err := tx.QueryRow(ctx, `select to_regclass('clerk_sync.migrations') is not null, to_regclass('clerk_sync.rules') is not null`).Scan(&history, &rulesTable); err != nil {
		return d, fmt.Errorf("reading the migration state: %w", err)
	}
	d.fresh = !history
	switch {
	case d.fresh:
		d.names = chosen(opts)
		return d, checkNames(d.names)
	case !rulesTable:
		return d, fmt.Errorf("%w, and nothing leads from there to here: drop the schemas clerk_sync and clerk and the copy's four tables, and migrate anew", ErrUnreleased)
	}
	found, err := readHistory(ctx, tx)
	if err != nil {
		return d, err
	}
	if err := found.mark(d.steps, r.revision); err != nil {
		return d, err
	}
	d.names, err = usedNames(ctx, tx, opts)
	return d, err
}

func chosen(opts Options) names {
	n := names{exposed: opts.Schema, helpers: opts.Helpers}
	if n.exposed == "" {
		n.exposed = DefaultSchema
	}
	if n.helpers == "" {
		n.helpers = DefaultHelpers
	}
	return n
}

// history is what a database says of its migrations.
type history struct {
	Files []struct {
		Version   int64     `json:"version"`
		Name      string    `json:"name"`
		Checksum  string    `json:"checksum"`
		AppliedAt time.Time `json:"applied_at"`
	} `json:"history"`
	// Rules is nil in a database whose rules were never applied.
	Rules *struct {
		Checksum  string     `json:"checksum"`
		Revision  int        `json:"revision"`
		AppliedAt *time.Time `json:"applied_at"`
	} `json:"rules"`
}

const historySQL = `
	select jsonb_build_object(
	  'history', coalesce((select jsonb_agg(to_jsonb(m)) from clerk_sync.migrations as m), '[]'),
	  'rules', (select jsonb_build_object('checksum', coalesce(r.checksum, ''), 'revision', coalesce(r.revision, 0), 'applied_at', r.applied_at)
	            from clerk_sync.rules as r)) as history`

// readHistory reads it as the role that migrated.
func readHistory(ctx context.Context, tx pgx.Tx) (history, error) {
	var h history
	err := tx.QueryRow(ctx, historySQL).Scan(&h)
	if err != nil {
		return h, fmt.Errorf("reading clerk_sync.migrations and clerk_sync.rules (connect as the role that migrated): %w", err)
	}
	return h, nil
}

// mark notes in the steps when the database got them, and fails for what they are not.
func (h history) mark(steps []Step, known int) error {
	var problems []error
	for _, file := range h.Files {
		i := slices.IndexFunc(steps, func(s Step) bool { return !s.isRules() && s.version == file.Version })
		if i < 0 {
			problems = append(problems, fmt.Errorf("%w: it has migration %s; use the release that made it", ErrUnknown, file.Name))
			continue
		}
		steps[i].AppliedAt = file.AppliedAt
		if steps[i].Checksum != file.Checksum {
			problems = append(problems, fmt.Errorf("%w: %s has checksum %.12s here and %.12s in the database", ErrChanged, steps[i], steps[i].Checksum, file.Checksum))
		}
	}
	if h.Rules == nil {
		return errors.Join(problems...)
	}
	if h.Rules.Revision > known {
		problems = append(problems, fmt.Errorf("%w: it has the rules of a later release (revision %d, and %d here); use that release", ErrUnknown, h.Rules.Revision, known))
	}
	for i := range steps {
		if steps[i].isRules() && steps[i].Checksum == h.Rules.Checksum && h.Rules.AppliedAt != nil {
			steps[i].AppliedAt = *h.Rules.AppliedAt
		}
	}
	return errors.Join(problems...)
}

// usedNames are the schemas in use, which win over empty options and must equal
// given ones.
func usedNames(ctx context.Context, tx pgx.Tx, opts Options) (names, error) {
	n := chosen(opts)
	var exists bool
	if err := tx.QueryRow(ctx, `select to_regclass('clerk_sync.settings') is not null`).Scan(&exists); err != nil {
		return n, fmt.Errorf("reading the migration state: %w", err)
	}
	if !exists { // an exported file was applied, and those behind it were not
		return n, checkNames(n)
	}
	if err := tx.QueryRow(ctx, `select exposed_schema, helpers_schema from clerk_sync.settings`).Scan(&n.exposed, &n.helpers); err != nil {
		return n, fmt.Errorf("reading the schemas from clerk_sync.settings: %w", err)
	}
	if opts.Schema != "" && opts.Schema != n.exposed {
		return n, fmt.Errorf("%w: this database was migrated with schema %q, not %q", ErrSchema, n.exposed, opts.Schema)
	}
	if opts.Helpers != "" && opts.Helpers != n.helpers {
		return n, fmt.Errorf("%w: this database was migrated with the helpers in schema %q, not %q", ErrSchema, n.helpers, opts.Helpers)
	}
	return n, nil
}

// SchemasInUse are the schemas that a database was migrated with; ok is false where it
// was not. The runtime logins may ask, too.
func SchemasInUse(ctx context.Context, config *pgx.ConnConfig) (used Options, ok bool, err error) {
	err = transaction(ctx, config, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			select exists (
				select from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
				where n.nspname = 'clerk_sync' and p.proname = 'schemas' and p.pronargs = 0)`).Scan(&ok)
		if err != nil || !ok {
			return err
		}
		return tx.QueryRow(ctx, `select exposed, helpers from clerk_sync.schemas()`).Scan(&used.Schema, &used.Helpers)
	})
	if err != nil {
		return Options{}, false, fmt.Errorf("reading which schemas are in use: %w", err)
	}
	return used, ok, nil
}

// refuse fails for what would stop a migration, or make it unsafe; for login roles
// with other rights also where nothing is pending.
func (d database) refuse(ctx context.Context, tx pgx.Tx, opts Options) error {
	if len(d.pending()) == 0 {
		return checkRoles(ctx, tx, true)
	}
	problems := []error{checkSuperuser(ctx, tx, opts), d.checkTaken(ctx, tx), checkRoles(ctx, tx, false)}
	if d.fresh {
		problems = append(problems, checkAdmin(ctx, tx))
	}
	return errors.Join(problems...)
}

func checkSuperuser(ctx context.Context, tx pgx.Tx, opts Options) error {
	if opts.AsSuperuser {
		return nil
	}
	var super bool
	var user string
	if err := tx.QueryRow(ctx, `select r.rolsuper, r.rolname::text from pg_roles as r where r.rolname = current_user`).Scan(&super, &user); err != nil {
		return fmt.Errorf("looking at the migrating role: %w", err)
	}
	if super {
		return fmt.Errorf("%w: %q is one; connect as the role that owns the project (on Supabase that is postgres, which is no superuser there), or give --as-superuser if this is meant", ErrSuperuser, user)
	}
	return nil
}

var madeRelation = regexp.MustCompile(`(?m)^create (?:table|view) ({{\w+}})[.](\w+)`)

// makes are the relations that the schema files make in one of the chosen schemas.
func (d database) makes(schema string) []string {
	var names []string
	for _, step := range d.steps {
		for _, made := range madeRelation.FindAllStringSubmatch(step.text, -1) {
			if made[1] == schema {
				names = append(names, made[2])
			}
		}
	}
	return names
}

// checkTaken finds relations of the team's before a file runs into them. Functions
// are found when the rules are applied.
func (d database) checkTaken(ctx context.Context, tx Querier) error {
	if !d.fresh {
		return nil
	}
	var problems []error
	for _, place := range []struct {
		schema, flag string
		relations    []string
	}{
		{d.names.exposed, "--schema", d.makes("{{exposed}}")},
		{d.names.helpers, "--helpers-schema", d.makes("{{helpers}}")},
	} {
		var found *string
		err := tx.QueryRow(ctx, `
			select string_agg(c.relname, ', ' order by c.relname)
			from pg_class as c
			join pg_namespace as n on n.oid = c.relnamespace
			where n.nspname = $1 and c.relname = any ($2)`, place.schema, place.relations).Scan(&found)
		if err != nil {
			return fmt.Errorf("looking for names that are taken: %w", err)
		}
		if found != nil {
			problems = append(problems, fmt.Errorf("%w: schema %q has %s; choose another schema with %s", ErrTaken, place.schema, *found, place.flag))
		}
	}
	return errors.Join(problems...)
}

// rehearse applies what can be tried without locking a table that is in use.
func (d database) rehearse(ctx context.Context, tx pgx.Tx) error {
	pending := d.pending()
	if d.fresh {
		return d.apply(ctx, tx, pending)
	}
	for _, s := range pending {
		if !s.isRules() {
			continue
		}
		err := d.apply(ctx, tx, []Step{s})
		pgErr, ok := errors.AsType[*pgconn.PgError](err)
		if ok && len(pending) > 1 && (pgErr.Code == "42704" || pgErr.Code == "42P01" || pgErr.Code == "3F000") {
			return nil // a function names a type or a table that a pending file makes
		}
		return err
	}
	return nil
}

func (d database) apply(ctx context.Context, tx pgx.Tx, pending []Step) error {
	if _, err := tx.Exec(ctx, historyDDL); err != nil {
		return d.explain("preparing", err)
	}
	for _, s := range pending {
		if _, err := tx.Exec(ctx, s.sql(d.names)); err != nil {
			return d.explain(s.Name, err)
		}
	}
	return nil
}

// missingFunctions finds functions of the rules that were dropped.
func (d database) missingFunctions(ctx context.Context, tx pgx.Tx) error {
	var missing *string
	err := tx.QueryRow(ctx, `
		select string_agg(f, ', ') from clerk_sync.rules as r cross join unnest(r.functions) as f
		where to_regprocedure(f) is null`).Scan(&missing)
	if err != nil {
		return fmt.Errorf("looking for the functions of the rules: %w", err)
	}
	if missing != nil {
		return fmt.Errorf("%w: missing are the functions %s", ErrChanged, *missing)
	}
	return nil
}

// explain adds to a failed step which it was and what to do, and where the refusal of
// the rules' script belongs.
func (d database) explain(step string, err error) error {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("%s: %w", step, err)
	}
	switch pgErr.Code {
	case "CS001":
		return fmt.Errorf("%w: %s; %s", ErrTaken, pgErr.Message, d.anotherName(pgErr.Message))
	case "CS002":
		return fmt.Errorf("%w: %s. %s", ErrUsed, pgErr.Message, pgErr.Hint)
	case "CS003":
		return fmt.Errorf("%w: %s", ErrUnknown, pgErr.Message)
	}
	text := fmt.Sprintf("%s: %s (SQLSTATE %s)", step, pgErr.Message, pgErr.Code)
	switch {
	case pgErr.Hint != "":
		text += "; hint: " + pgErr.Hint
	case pgErr.Code == "42501" && d.fresh: // "must be owner of …" is another role's thing of a name that is needed
		text += "; connect as the role that owns the project, or choose schemas of your own with --schema and --helpers-schema"
	case pgErr.Code == "42501":
		text += "; connect as the role that migrated before"
	}
	return &stepError{text + "; nothing was kept", pgErr}
}

// anotherName is what to do about functions of the team's. Schemas are chosen once.
func (d database) anotherName(functions string) string {
	var flags []string
	for _, s := range []struct{ name, flag string }{{d.names.exposed, "--schema"}, {d.names.helpers, "--helpers-schema"}} {
		plain, quoted := " "+s.name+".", " "+pgx.Identifier{s.name}.Sanitize()+"."
		if d.fresh && (strings.Contains(functions, plain) || strings.Contains(functions, quoted)) {
			flags = append(flags, s.flag)
		}
	}
	if len(flags) == 0 {
		return "rename yours"
	}
	return "choose another schema with " + strings.Join(flags, " and ") + ", or rename yours"
}

// stepError says what failed in words of its own, with PostgreSQL's error behind it.
type stepError struct {
	text  string
	cause *pgconn.PgError
}

func (e *stepError) Error() string { return e.text }

func (e *stepError) Unwrap() error { return e.cause }

// historyDDL makes the tables that remember what was applied. Exported files carry
// it too.
const historyDDL = `create schema if not exists clerk_sync;
create table if not exists clerk_sync.migrations (
  version    bigint primary key,
  name       text not null,
  checksum   text not null,
  applied_at timestamptz not null default now()
);
create table if not exists clerk_sync.rules (
  only_row   boolean primary key default true check (only_row),
  checksum   text,
  revision   integer,
  -- What the rules made, and so may drop: a name with the types of its arguments.
  functions  text[] not null default '{}',
  applied_at timestamptz
);
insert into clerk_sync.rules default values on conflict do nothing;
revoke all on table clerk_sync.migrations, clerk_sync.rules from public, anon, authenticated, service_role;
`

// The quotes of the script around the rules, which must not occur within them.
const (
	scriptQuote = "$clerksync$"
	rulesQuote  = "$rules$"
)

// sql is what a database runs to get a step, with the record that it has it.
func (s Step) sql(n names) string {
	if !s.isRules() {
		return n.fill(s.text) + fmt.Sprintf("\ninsert into clerk_sync.migrations (version, name, checksum) values (%d, '%s', '%s') on conflict (version) do nothing;\n",
			s.version, s.Name, s.Checksum)
	}
	script := strings.NewReplacer(
		"{{script_quote}}", scriptQuote, "{{rules_quote}}", rulesQuote, "{{rules}}", s.text,
		"{{checksum}}", s.Checksum, "{{revision}}", strconv.Itoa(s.revision),
	).Replace(rulesScript)
	return n.fill(script)
}
