package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
	"clerksync/sql/platform"
)

// Options says what to probe.
type Options struct {
	// Tables are probed in this order, each once; views can be, too.
	Tables []catalog.Name
	// Exposed are the schemas that the Data API serves; empty: as the database says.
	Exposed []string
	// Columns overrides, for a table, which columns say whom a row belongs to.
	Columns map[catalog.Name]Columns
	// Explain adds the plans of select, update and delete.
	Explain bool
}

// Beginner begins transactions: a *pgx.Conn or a pool.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Errors for cases that a caller decides on; a table that is not there matches
// [catalog.ErrNotFound].
var (
	// ErrPrivileges: the connected role cannot play the personas.
	ErrPrivileges = errors.New("the connected role cannot probe")
	// ErrColumn: Options.Columns names a column that is not there.
	ErrColumn = errors.New("there is no such column")
)

// prober is one run.
type prober struct {
	session
	options  Options
	limit    time.Duration
	database catalog.Database
	cast     cast
	hints    hints
	maker    maker
	personas []Persona
	scrubber *strings.Replacer

	// Those of the table that is being probed.
	plans   map[catalog.Name]*plan
	parents map[string]map[string]string
	count   int
	// borrowed: rows that were there before serve as models or parents, so the
	// database's words could be about them.
	borrowed bool
}

// Run probes every table with every persona. The error matches
// [catalog.ErrNotFound], [ErrPrivileges] or [ErrColumn], or says why the
// connection gave up; what is wrong with a table is a finding in the report.
// Nothing is left of the run in any case.
func Run(ctx context.Context, db Beginner, o Options) (Report, error) {
	return run(ctx, db, o, statementLimit)
}

func run(ctx context.Context, db Beginner, o Options, limit time.Duration) (report Report, err error) {
	s, rollback, err := begin(ctx, db, limit)
	if err != nil {
		return Report{}, fmt.Errorf("probing: %w", err)
	}
	defer func() {
		if undone := rollback(); undone != nil {
			report, err = Report{}, errors.Join(err, fmt.Errorf("probing: %w", undone))
		}
	}()
	p := &prober{session: s, options: o, limit: limit}
	if err := p.prepare(ctx); err != nil {
		return Report{}, fmt.Errorf("probing: %w", err)
	}
	for i, name := range o.Tables {
		if slices.Contains(o.Tables[:i], name) {
			continue
		}
		t, err := p.table(ctx, name)
		if err != nil {
			return Report{}, fmt.Errorf("probing %s: %w", name, err)
		}
		report.Tables = append(report.Tables, t)
	}
	report.Personas = p.personas
	return report, nil
}

// prepare checks what can be checked before anything is written, and then makes
// the personas.
func (p *prober) prepare(ctx context.Context) error {
	var err error
	p.database, err = catalog.ReadDatabase(ctx, p.session, p.options.Exposed)
	if request.Code(err) == "42501" {
		return fmt.Errorf("%w: %w; %s", ErrPrivileges, err, connectAs)
	}
	if err != nil {
		return err
	}
	if err := p.privileges(); err != nil {
		return err
	}
	var missing []error
	var policies []catalog.Policy
	for _, name := range p.options.Tables {
		t, err := catalog.ReadTable(ctx, p.session, name)
		if err != nil {
			if !errors.Is(err, catalog.ErrNotFound) {
				return err
			}
			missing = append(missing, err)
		}
		policies = append(policies, t.Policies...)
	}
	if len(missing) > 0 {
		return errors.Join(missing...)
	}
	p.hints = readHints(policies)
	if err := p.makeCast(); err != nil {
		return err
	}
	p.personas = personas(p.cast, p.hints)
	return p.populate(ctx)
}

const connectAs = "connect as the role that owns the project (postgres on Supabase)"

func (p *prober) privileges() error {
	var problems []string
	if !p.database.Bypasses {
		problems = append(problems, fmt.Sprintf("%s does not bypass row level security, so it could not make rows for others", catalog.QuoteIdentifier(p.database.User)))
	}
	for _, role := range []string{platform.Anon, platform.Authenticated, platform.ServiceRole} {
		if !slices.Contains(p.database.Roles, role) {
			problems = append(problems, fmt.Sprintf("%s may not become %s", catalog.QuoteIdentifier(p.database.User), role))
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("%w: %s; %s", ErrPrivileges, strings.Join(problems, ", "), connectAs)
	}
	return nil
}

// table probes one relation, inside a savepoint.
func (p *prober) table(ctx context.Context, name catalog.Name) (TableReport, error) {
	if err := p.must(ctx, "starting", "savepoint clerksync_table", request.Set("search_path", request.SearchPath(name.Schema)), "savepoint clerksync_step"); err != nil {
		return TableReport{}, err
	}
	p.plans, p.parents, p.count = map[catalog.Name]*plan{}, map[string]map[string]string{}, 100
	p.borrowed = false
	t, err := p.plan(ctx, name)
	if err != nil {
		return TableReport{}, err
	}
	report := TableReport{Name: name.String(), Kind: t.Kind, RowSecurity: t.RowSecurity, Forced: t.Forced, Cells: []Cell{}, Findings: []finding.Finding{}}
	// Storage and Realtime reach their tables by themselves.
	if !p.database.IsExposed(name.Schema) && name.Schema != "storage" && name.Schema != "realtime" {
		report.Findings = append(report.Findings, finding.Finding{
			ID: "rls.probe.exposed", Status: finding.Warn, Object: name.String(), Title: "The Data API does not serve this schema",
			Detail: "What follows holds for SQL that runs as these roles; requests never get so far.",
			Remedy: "Add the schema to the exposed ones (Project Settings, Data API), if that is meant.",
		})
	}
	switch t.Kind {
	case catalog.Ordinary, catalog.Partitioned:
		err = p.probeTable(ctx, t, &report)
	case catalog.View:
		err = p.probeView(ctx, t, &report)
	default:
		report.Findings = append(report.Findings, finding.Finding{
			ID: "rls.probe.kind", Status: finding.Skip, Object: name.String(), Title: "A " + string(t.Kind) + " cannot be probed",
			Detail: "Row level security does not exist for it; only grants hold anybody back.",
			Remedy: fmt.Sprintf("revoke all on %s from anon, authenticated;\nThen offer a function or a view instead.", name),
		})
	}
	if err != nil {
		return TableReport{}, err
	}
	return report, p.must(ctx, "finishing", "rollback to savepoint clerksync_table", "release savepoint clerksync_table")
}

// finding adds a finding about the table.
func (t *TableReport) finding(f finding.Finding) {
	if f.Object == "" {
		f.Object = t.Name
	}
	t.Findings = append(t.Findings, f)
}
