package lint

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// apiRoles are those that row level security holds for.
var apiRoles = []string{platform.Anon, platform.Authenticated}

// model is the schema that is linted, all of it at one moment.
type model struct {
	catalog.Database
	// exists are all schemas but those of PostgreSQL itself.
	exists []string
	// roles are those of the Data API that there are.
	roles []string

	relations []*relation
	functions []*function
	relation  map[int64]*relation
	function  map[int64]*function
	byName    map[catalog.Name]*relation
}

// relation is a table, a view or a foreign table.
type relation struct {
	OID    int64  `json:"oid"`
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Kind is as pg_class has it: r, p, v, m or f.
	Kind string `json:"kind"`
	// OwnerBypasses: no policy holds for the owner.
	OwnerBypasses bool   `json:"owner_bypasses"`
	Extension     bool   `json:"extension"`
	RowSecurity   bool   `json:"row_security"`
	Invoker       bool   `json:"invoker"`
	Definition    string `json:"definition"`
	// Reads are the relations that a view reads by itself.
	Reads       []int64      `json:"reads"`
	Columns     []column     `json:"columns"`
	Indexes     []index      `json:"indexes"`
	ForeignKeys []foreignKey `json:"foreign_keys"`
	Policies    []policy     `json:"policies"`
	Triggers    []trigger    `json:"triggers"`
	Parents     []int64      `json:"parents"`
	// Privileges are on the whole relation, ColumnPrivileges on one column at least; by role.
	Privileges       map[string][]string `json:"privileges"`
	ColumnPrivileges map[string][]string `json:"column_privileges"`
	PublicPrivileges []string            `json:"public_privileges"`
}

type column struct {
	Number    int       `json:"number"`
	Name      string    `json:"name"`
	Type      string    `json:"type"`
	Default   string    `json:"default"`
	Generated bool      `json:"generated"`
	Sequence  *sequence `json:"sequence"`
}

// sequence is what a default takes its value from.
type sequence struct {
	Schema string   `json:"schema"`
	Name   string   `json:"name"`
	Usable []string `json:"usable"`
}

type index struct {
	Name string `json:"name"`
	// Shape is its definition without its name.
	Shape   string `json:"shape"`
	Columns []int  `json:"columns"`
	// Lookup: it finds rows by the equality of its first column, whichever rows they are.
	Lookup     bool `json:"lookup"`
	Valid      bool `json:"valid"`
	Primary    bool `json:"primary"`
	Constraint bool `json:"constraint"`
}

type foreignKey struct {
	Name    string `json:"name"`
	Columns []int  `json:"columns"`
	Schema  string `json:"schema"`
	Table   string `json:"table"`
	// Inherited from the partitioned table.
	Inherited bool `json:"inherited"`
	Unique    bool `json:"unique"`
}

type policy struct {
	catalog.Policy
	// Bypassing are those of the roles that no policy holds for.
	Bypassing []string `json:"bypassing"`
	Functions []int64  `json:"functions"`

	using, check expression
}

type trigger struct {
	catalog.Trigger
	Function   int64  `json:"function"`
	Definition string `json:"definition"`
}

type function struct {
	OID       int64  `json:"oid"`
	Schema    string `json:"schema"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
	// Kind is as pg_proc has it: f, p, a or w.
	Kind      string `json:"kind"`
	Language  string `json:"language"`
	Definer   bool   `json:"definer"`
	Trigger   bool   `json:"trigger"`
	Immutable bool   `json:"immutable"`
	// Path: its search path is set, to SearchPath, as PostgreSQL stores it.
	Path       bool   `json:"path"`
	SearchPath string `json:"search_path"`
	// Body is empty where the language is neither SQL nor PL/pgSQL.
	Body       string   `json:"body"`
	Extension  bool     `json:"extension"`
	Executable []string `json:"executable"`

	body expression
}

//go:embed schemas.sql
var schemasSQL string

//go:embed relations.sql
var relationsSQL string

//go:embed functions.sql
var functionsSQL string

func readModel(ctx context.Context, q catalog.Querier, exposed []string) (*model, error) {
	d, err := catalog.ReadDatabase(ctx, q, exposed)
	if err != nil {
		return nil, err
	}
	m := &model{
		Database: d,
		relation: map[int64]*relation{},
		function: map[int64]*function{},
		byName:   map[catalog.Name]*relation{},
	}
	var known struct{ Schemas, Roles []string }
	if err := catalog.ReadJSON(ctx, q, &known, schemasSQL); err != nil {
		return nil, fmt.Errorf("listing schemas: %w", err)
	}
	m.exists, m.roles = known.Schemas, known.Roles

	// All of them, whatever is asked about: a policy's tables and a view's may be anywhere.
	if m.relations, err = readObjects[relation](ctx, q, relationsSQL, m.exists); err != nil {
		return nil, fmt.Errorf("reading tables: %w", err)
	}
	if m.functions, err = readObjects[function](ctx, q, functionsSQL, m.exists); err != nil {
		return nil, fmt.Errorf("reading functions: %w", err)
	}
	for _, r := range m.relations {
		m.relation[r.OID], m.byName[r.name()] = r, r
		for i := range r.Policies {
			p := &r.Policies[i]
			p.using, p.check = parse(p.Using, m.Helpers), parse(p.Check, m.Helpers)
		}
	}
	for _, f := range m.functions {
		m.function[f.OID] = f
		f.body = parse(f.Body, m.Helpers)
	}
	return m, nil
}

// readObjects reads one JSON object a row.
func readObjects[T any](ctx context.Context, q catalog.Querier, sql string, schemas []string) ([]*T, error) {
	return catalog.Collect(ctx, q, func(row pgx.CollectableRow) (*T, error) {
		var text string
		if err := row.Scan(&text); err != nil {
			return nil, err
		}
		object := new(T)
		return object, json.Unmarshal([]byte(text), object)
	}, sql, schemas)
}

func (r *relation) name() catalog.Name { return catalog.Name{Schema: r.Schema, Table: r.Name} }

func (r *relation) String() string { return r.name().String() }

// table reports whether it holds rows of its own that policies can be about.
func (r *relation) table() bool { return r.Kind == "r" || r.Kind == "p" }

func (r *relation) column(name string) *column {
	i := slices.IndexFunc(r.Columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Columns[i]
}

// columnNames are the names of columns, for people and for SQL.
func (r *relation) columnNames(numbers []int) string {
	var names []string
	for _, n := range numbers {
		for _, c := range r.Columns {
			if c.Number == n {
				names = append(names, catalog.QuoteIdentifier(c.Name))
			}
		}
	}
	return strings.Join(names, ", ")
}

// leads reports whether rows are found by the equality of a column.
func (r *relation) leads(c *column) bool {
	return slices.ContainsFunc(r.Indexes, func(x index) bool {
		return x.Lookup && x.Valid && len(x.Columns) > 0 && x.Columns[0] == c.Number
	})
}

// may reports whether a role holds a privilege on the whole relation.
func (r *relation) may(role, privilege string) bool {
	return slices.Contains(r.Privileges[role], privilege)
}

// reaches reports whether a role holds a privilege on some of it.
func (r *relation) reaches(role, privilege string) bool {
	return r.may(role, privilege) || slices.Contains(r.ColumnPrivileges[role], privilege)
}

// reachedBy are the roles of the API that hold one of the privileges on some of it.
func (r *relation) reachedBy(privileges ...string) []string {
	return only(apiRoles, func(role string) bool {
		return slices.ContainsFunc(privileges, func(p string) bool { return r.reaches(role, p) })
	})
}

// readers are the roles of the API that may select from it.
func (r *relation) readers() []string {
	return only(apiRoles, func(role string) bool { return r.may(role, "select") })
}

// holders are the grantees to revoke a privilege from: public where everybody has it.
func (r *relation) holders(privileges ...string) []string {
	holders := r.reachedBy(privileges...)
	if slices.ContainsFunc(privileges, func(p string) bool { return slices.Contains(r.PublicPrivileges, p) }) {
		holders = append(holders, "public")
	}
	return holders
}

// holds reports whether a policy is for a command that a role runs.
func (p *policy) holds(command, role string) bool {
	return p.Applies(catalog.Command(command), role)
}

// isFor reports whether a policy is for a command.
func (p *policy) isFor(command string) bool { return slices.Contains(p.commands(), command) }

// commands are those that a policy is for.
func (p *policy) commands() []string {
	if p.Command == catalog.All {
		return commands
	}
	return []string{string(p.Command)}
}

var commands = []string{"select", "insert", "update", "delete"}

// clauses are the policy's expressions, those that there are.
func (p *policy) clauses() []expression {
	return slices.DeleteFunc([]expression{p.using, p.check}, func(e expression) bool { return len(e.Tokens) == 0 })
}

// api reports whether the policy is for a role of the API.
func (p *policy) api() bool {
	return slices.ContainsFunc(p.Roles, func(role string) bool { return role == "public" || slices.Contains(apiRoles, role) })
}

func (p *policy) on(r *relation) string {
	return "policy " + catalog.QuoteIdentifier(p.Name) + " on " + r.String()
}

// nameOf is a column as findings call it.
func (r *relation) nameOf(column string) string {
	return "column " + catalog.QuoteIdentifier(column) + " of " + r.String()
}

func policyNames(policies []policy) string {
	return catalog.List(policies, func(p policy) string { return catalog.QuoteIdentifier(p.Name) })
}

func (f *function) String() string {
	return catalog.Name{Schema: f.Schema, Table: f.Name}.String() + "(" + f.Arguments + ")"
}

// ddl is the kind of thing that statements about it name.
func (f *function) ddl() string {
	switch f.Kind {
	case "p":
		return "procedure"
	case "a":
		return "aggregate"
	default:
		return "function"
	}
}

// only are those of the names that are wanted.
func only(names []string, wanted func(string) bool) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !wanted(name) })
}

// mine reports whether a schema is the user's, or clerksync's.
func mine(schema string) bool { return !platform.Owns(schema) }
