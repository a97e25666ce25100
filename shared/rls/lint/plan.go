package lint

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/internal/request"
	"clerksync/sql/platform"
)

//go:embed plan.sql
var planSQL string

// callsItself finds policies that call a function which reads their own table
// with its caller's rights, so that the policy is asked again, without an end.
// The planner does not look into functions.
func (l *linter) callsItself() {
	for r, p := range l.policies {
		// Reading asks the policies for select, whatever the command.
		if !mine(r.Schema) || !r.RowSecurity || !p.api() || !p.isFor("select") {
			continue
		}
		for _, oid := range p.Functions {
			f := l.function[oid]
			if f == nil || f.Definer || !mine(f.Schema) || !f.reads(r) {
				continue
			}
			l.add(r.Schema, finding.Finding{
				ID: "policy_calls_itself", Status: finding.Fail, Object: p.on(r),
				Title:  "A policy asks itself without an end",
				Detail: fmt.Sprintf("It calls %s, which reads %s with its caller's rights, for whom the policy holds: SQLSTATE 54001, stack depth limit exceeded.", f, r),
				Remedy: fmt.Sprintf("alter function %s security definer set search_path = pg_catalog, pg_temp;\nIts body has to name everything with its schema, and the Data API must not serve its schema.", f),
			})
		}
	}
}

// reads reports whether a function's body reads a relation: by its whole name, or
// by its own where the search path is the caller's and may well lead there.
func (f *function) reads(r *relation) bool {
	if slices.Contains(f.body.reads(), r.name()) {
		return true
	}
	if f.Path || r.Schema != catalog.DefaultSchema && r.Schema != f.Schema {
		return false
	}
	e := f.body
	for i, t := range e.Tokens {
		if t.IsIdentifier() && t.Text == r.Name && (e.At(i-1).Is("from") || e.At(i-1).Is("join")) && !e.At(i+1).Is(".") && !e.At(i+1).Is("(") {
			return true
		}
	}
	return false
}

// plansAtOnce are the statements that are planned in one, which has the limit of a
// statement for all of them.
const plansAtOnce = 400

// plans has the planner look at statements of the Data API's roles: whether policies
// read each other in a circle, and whether a sub-select runs for every row. Only it
// knows for certain: roles and the owners of views may break a circle, and a
// sub-select that depends on the row may be served from memory. Nothing is executed.
func (l *linter) plans(ctx context.Context, tx pgx.Tx) error {
	l.planOf = map[*relation]plan{}
	var statements []statement
	var owners []*relation
	var needed []string
	for r := range l.own {
		if !r.table() || !r.RowSecurity {
			continue
		}
		var own []statement
		switch {
		case l.circle(r, map[*relation]bool{}):
			own = statementsFor(r)
			for _, s := range own {
				if !slices.Contains(l.Roles, s.Role) && !slices.Contains(needed, s.Role) {
					needed = append(needed, s.Role)
				}
			}
		case slices.ContainsFunc(r.Policies, func(p policy) bool { return p.using.correlates(r) }):
			own = []statement{{platform.Authenticated, "select", "select 1 from " + r.name().SQL()}}
		}
		for _, s := range own {
			if slices.Contains(l.Roles, s.Role) {
				statements, owners = append(statements, s), append(owners, r)
			}
		}
	}
	if len(needed) > 0 {
		l.skipPlans(fmt.Sprintf("The connected role, %s, may not become %s.", l.User, list(needed)))
	}
	for from := 0; from < len(statements); from += plansAtOnce {
		batch := statements[from:min(from+plansAtOnce, len(statements))]
		plans, err := planned(ctx, tx, batch)
		if code := request.Code(err); code == "42501" || code == "57014" {
			l.skipPlans("The database refused to plan statements as a role of the Data API, or took longer than the limit of a statement.")
			return nil
		}
		if err != nil {
			return err
		}
		for _, p := range plans {
			p.command = batch[p.Statement].command
			// The first that ends in a circle is told, else the first, which selects.
			if known, seen := l.planOf[owners[from+p.Statement]]; !seen || known.Circle == "" && p.Circle != "" {
				l.planOf[owners[from+p.Statement]] = p
			}
		}
	}
	return nil
}

// hashes reports whether the planner keeps the sub-selects of a table's policies
// in memory, rather than run them for each row.
func (l *linter) hashes(r *relation) bool {
	p := l.planOf[r]
	return p.command == "select" && p.Circle == "" && p.Hashed && !p.Rows
}

// circles finds policies that read each other in a circle.
func (l *linter) circles() {
	for r, p := range l.planOf {
		if p.Circle == "" {
			continue
		}
		l.add(r.Schema, finding.Finding{
			ID: "policy_recursive", Status: finding.Fail, Object: r.String(),
			Title:  "Policies read each other in a circle",
			Detail: fmt.Sprintf("Every %s fails with SQLSTATE 42P17: %s. Its policies read %s.", p.command, p.Circle, catalog.List(l.readBy(r), (*relation).String)),
			Remedy: "Move the look-up into a function that no policy holds for, security definer with a search path that names no schema of yours, in a schema that the Data API does not serve: " +
				"create function … returns setof text language sql stable security definer set search_path = pg_catalog, pg_temp; then column = any (array(select …)). " +
				"For organizations of Clerk there is " + l.Helpers.String() + ".my_org_ids().",
		})
	}
}

func (l *linter) skipPlans(why string) {
	l.add("", finding.Finding{
		ID: "policy_recursive", Status: finding.Skip,
		Title:  "Whether policies read each other in a circle was not looked at",
		Detail: why,
		Remedy: "Connect as the role that owns the tables: in a Supabase project that is postgres. On another server: grant anon, authenticated to " + catalog.QuoteIdentifier(l.User) + ";",
	})
}

// circle reports whether what policies and views read leads from a relation into
// a circle. Path holds true for what is on the way, false for what leads to none.
func (l *linter) circle(r *relation, path map[*relation]bool) bool {
	if on, seen := path[r]; seen {
		return on
	}
	path[r] = true
	next := l.readBy(r)
	for _, oid := range r.Reads {
		if below := l.relation[oid]; below != nil {
			next = append(next, below)
		}
	}
	if slices.ContainsFunc(next, func(n *relation) bool { return l.circle(n, path) }) {
		return true
	}
	path[r] = false
	return false
}

// readBy are the relations that the policies of a table read.
func (l *linter) readBy(r *relation) []*relation {
	if !r.RowSecurity {
		return nil
	}
	var found []*relation
	for i := range r.Policies {
		for _, e := range r.Policies[i].clauses() {
			for _, name := range e.reads() {
				if read := l.byName[name]; read != nil && !slices.Contains(found, read) {
					found = append(found, read)
				}
			}
		}
	}
	return found
}

// statement is one to plan.
type statement struct {
	Role    string `json:"role"`
	command string
	SQL     string `json:"sql"`
}

// statementsFor has one statement for each command that a policy is for, and for
// each role that has policies of its own.
func statementsFor(r *relation) []statement {
	var statements []statement
	for _, role := range apiRoles {
		// What is for everybody is for authenticated, too.
		if role == platform.Anon && !slices.ContainsFunc(r.Policies, func(p policy) bool { return slices.Contains(p.Roles, platform.Anon) }) {
			continue
		}
		for _, c := range commands {
			if !slices.ContainsFunc(r.Policies, func(p policy) bool { return p.holds(c, role) }) {
				continue
			}
			switch c {
			case "select":
				statements = append(statements, statement{role, c, "select 1 from " + r.name().SQL()})
			case "insert":
				statements = append(statements, statement{role, c, "insert into " + r.name().SQL() + " default values"})
			case "update":
				if i := slices.IndexFunc(r.Columns, func(c column) bool { return !c.Generated }); i >= 0 {
					name := pgx.Identifier{r.Columns[i].Name}.Sanitize()
					statements = append(statements, statement{role, c, "update " + r.name().SQL() + " set " + name + " = default"})
				}
			case "delete":
				statements = append(statements, statement{role, c, "delete from " + r.name().SQL()})
			}
		}
	}
	return statements
}

// plan is what the planner says of a statement.
type plan struct {
	Statement int
	// Circle is its message where policies read each other in one.
	Circle string
	// Rows: a sub-select runs for each row. Hashed: one is kept in memory.
	Rows, Hashed bool

	command string
}

// planned plans statements in a savepoint, which also takes the role back.
func planned(ctx context.Context, tx pgx.Tx, statements []statement) (plans []plan, err error) {
	wanted, err := json.Marshal(statements)
	if err != nil {
		return nil, err
	}
	sub, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	// Rolling back gives back the role and the settings, whatever happened.
	defer func() {
		if rollbackErr := sub.Rollback(ctx); err == nil {
			err = rollbackErr
		}
	}()
	if _, err := sub.Exec(ctx, "select set_config('clerksync.lint_statements', $1, true)", pgx.QueryExecModeExec, string(wanted)); err != nil {
		return nil, err
	}
	if _, err := sub.Exec(ctx, planSQL); err != nil {
		return nil, err
	}
	return plans, catalog.ReadJSON(ctx, request.Session{Tx: sub}, &plans, "select current_setting('clerksync.lint_plans')")
}
