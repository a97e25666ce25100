package catalog

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Querier runs queries: a transaction, a connection or a pool.
type Querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Collect reads each row of an answer.
func Collect[T any](ctx context.Context, q Querier, read pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, read)
}

// ReadJSON reads an answer of one text, which is JSON.
func ReadJSON(ctx context.Context, q Querier, to any, sql string, args ...any) error {
	var text string
	if err := q.QueryRow(ctx, sql, args...).Scan(&text); err != nil {
		return err
	}
	return json.Unmarshal([]byte(text), to)
}

// Kind is what kind of relation a name stands for.
type Kind string

// The kinds that can be met in a schema.
const (
	Ordinary         Kind = "table"
	Partitioned      Kind = "partitioned table"
	View             Kind = "view"
	MaterializedView Kind = "materialized view"
	Foreign          Kind = "foreign table"
	Sequence         Kind = "sequence"
	Index            Kind = "index"
	Composite        Kind = "composite type"
)

// Table is a relation as the catalogue describes it. Lists are empty where there
// is nothing; columns, constraints and policies are in a fixed order.
type Table struct {
	OID  uint32 `json:"oid"`
	Name `json:"name"`
	Kind Kind `json:"kind"`
	// Temporary tables belong to one session.
	Temporary bool   `json:"temporary"`
	Owner     string `json:"owner"`
	// Owned: the connected role may do what the owner may.
	Owned bool `json:"owned"`
	// Extension is the one that the relation belongs to; empty for most.
	Extension string `json:"extension"`

	RowSecurity bool `json:"row_security"`
	// Forced: row security holds for the owner, too.
	Forced bool `json:"forced"`
	// SecurityInvoker is true for a view that reads as its caller.
	SecurityInvoker bool `json:"security_invoker"`

	// Rows is the planner's estimate, -1 where the table was never analysed.
	Rows int64 `json:"rows"`
	// Bytes is the size on disk, with indexes.
	Bytes int64 `json:"bytes"`

	Columns     []Column     `json:"columns"`
	Constraints []Constraint `json:"constraints"`
	Indexes     []TableIndex `json:"indexes"`
	Policies    []Policy     `json:"policies"`
	Grants      []Grant      `json:"grants"`
	Triggers    []Trigger    `json:"triggers"`

	// Parents is what it is a partition of, or inherits from.
	Parents []Name `json:"parents"`
	// Children are its partitions, and what inherits from it: all levels.
	Children []Child `json:"children"`
}

// Column is one column.
type Column struct {
	Name string `json:"name"`
	// Type is as SQL writes it: "text", "uuid", "character varying(20)".
	Type string `json:"type"`
	// Base is the type itself, without length, under a domain: "text", "uuid", "varchar", "int4".
	Base    string `json:"base"`
	NotNull bool   `json:"not_null"`
	// Default is the expression, empty without one. Generated columns have theirs here too.
	Default   string `json:"default"`
	Generated bool   `json:"generated"`
	// Identity columns take their values from a sequence that needs no grant.
	Identity bool `json:"identity"`
	// Serial is the sequence behind a serial column, which does need one.
	Serial *Name `json:"serial"`
	// Labels are the values of an enum.
	Labels []string `json:"labels"`
}

// Text reports whether the column can hold a Clerk id as it is, and compare it
// as it is: ids differ by case, which citext does not see, and char(n) pads.
func (c Column) Text() bool { return c.Base == "text" || c.Base == "varchar" }

// ConstraintKind is what a constraint enforces.
type ConstraintKind string

// The kinds of constraints.
const (
	PrimaryKey ConstraintKind = "primary key"
	Unique     ConstraintKind = "unique"
	ForeignKey ConstraintKind = "foreign key"
	Check      ConstraintKind = "check"
	Exclusion  ConstraintKind = "exclusion"
)

// Constraint is a named constraint of a table.
type Constraint struct {
	Name string         `json:"name"`
	Kind ConstraintKind `json:"kind"`
	// Columns are in the order of the key.
	Columns    []string `json:"columns"`
	Definition string   `json:"definition"`
	// References and Referenced are a foreign key's other side.
	References *Name    `json:"references"`
	Referenced []string `json:"referenced"`
}

// TableIndex is an index of a table.
type TableIndex struct {
	Name string `json:"name"`
	// Columns are the key columns; an expression is "".
	Columns []string `json:"columns"`
	Method  string   `json:"method"`
	Unique  bool     `json:"unique"`
	// Partial indexes hold some rows only.
	Partial bool `json:"partial"`
	// Valid is false while, or after a failure, of being built concurrently.
	Valid   bool   `json:"valid"`
	Comment string `json:"comment"`
}

// Command is what a policy is for.
type Command string

// The commands, in the order in which policies are written.
const (
	All    Command = "all"
	Select Command = "select"
	Insert Command = "insert"
	Update Command = "update"
	Delete Command = "delete"
)

// Commands are the four that a policy can be for, without [All].
func Commands() []Command { return []Command{Select, Insert, Update, Delete} }

// Writes are those that change rows.
func Writes() []Command { return Commands()[1:] }

// Policy is a policy, its expressions as the database writes them.
type Policy struct {
	Name       string  `json:"name"`
	Command    Command `json:"command"`
	Permissive bool    `json:"permissive"`
	// Roles holds "public" where the policy names none.
	Roles []string `json:"roles"`
	// Using and Check are empty where the policy has no such clause.
	Using   string `json:"using"`
	Check   string `json:"check"`
	Comment string `json:"comment"`
}

// Applies reports whether the policy is for a command run by who has these roles,
// and public as everybody has it.
func (p Policy) Applies(command Command, roles ...string) bool {
	return (p.Command == All || p.Command == command) &&
		slices.ContainsFunc(p.Roles, func(role string) bool { return role == "public" || slices.Contains(roles, role) })
}

// Grant is one privilege of one role.
type Grant struct {
	// Role is "public" for everybody.
	Role string `json:"role"`
	// Privilege is in lower case: "select", "insert", "truncate" and so on.
	Privilege string `json:"privilege"`
	// Column is empty where the privilege is for the whole table.
	Column string `json:"column"`
}

// Trigger is a trigger that somebody made; those of foreign keys are left out.
type Trigger struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
}

// Child is a partition or an inheriting table.
type Child struct {
	Name        `json:"name"`
	Kind        Kind    `json:"kind"`
	RowSecurity bool    `json:"row_security"`
	Grants      []Grant `json:"grants"`
}

// ErrNotFound is matched when there is no relation of a name.
var ErrNotFound = errors.New("there is no such table")

//go:embed table.sql
var tableSQL string

// ReadTable reads one relation of any kind. The error matches [ErrNotFound] if
// there is none, and says what it could have been.
func ReadTable(ctx context.Context, q Querier, name Name) (Table, error) {
	var t Table
	err := ReadJSON(ctx, q, &t, tableSQL, name.Schema, name.Table)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Table{}, notFound(ctx, q, name)
	case err != nil:
		return Table{}, fmt.Errorf("reading table %s: %w", name, err)
	}
	return t, nil
}

//go:embed similar.sql
var similarSQL string

func notFound(ctx context.Context, q Querier, name Name) error {
	similar, err := Collect(ctx, q, pgx.RowToStructByPos[Name], similarSQL, name.Schema, name.Table)
	switch {
	case err != nil:
		return fmt.Errorf("looking for table %s: %w", name, err)
	case len(similar) == 0:
		return fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return fmt.Errorf("%w: %s; did you mean %s?", ErrNotFound, name, Join(similar, " or ", Name.String))
}

// Column returns a column by its name.
func (t Table) Column(name string) (Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return t.Columns[i], true
}

// PrimaryKey returns the columns of the primary key, none where there is no key.
func (t Table) PrimaryKey() []string {
	for _, c := range t.Constraints {
		if c.Kind == PrimaryKey {
			return c.Columns
		}
	}
	return nil
}

// Leads returns the first valid, whole index whose leading column this is.
func (t Table) Leads(column string) (TableIndex, bool) {
	i := slices.IndexFunc(t.Indexes, func(x TableIndex) bool {
		return x.Valid && !x.Partial && len(x.Columns) > 0 && x.Columns[0] == column && (x.Method == "btree" || x.Method == "hash")
	})
	if i < 0 {
		return TableIndex{}, false
	}
	return t.Indexes[i], true
}

// Granted reports whether a privilege on the whole table was granted to the role
// by its name. What public has is public's own.
func (t Table) Granted(role, privilege string) bool {
	return slices.Contains(t.Grants, Grant{Role: role, Privilege: privilege})
}
