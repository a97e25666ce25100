package probe

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strconv"

	"clerksync/shared/rls/catalog"
)

// shape is what making rows of a relation, and reading refusals, needs to know.
type shape struct {
	Attributes []attribute        `json:"attributes"`
	Types      map[string]sqlType `json:"types"`
	Keys       []key              `json:"keys"`
	// Bounds are those of each leaf partition, from the top down.
	Bounds [][]struct {
		Bound   string   `json:"bound"`
		Columns []string `json:"columns"`
	} `json:"bounds"`
	PartitionColumns []string              `json:"partition_columns"`
	Roles            map[string]roleRights `json:"roles"`
	Functions        []function            `json:"functions"`
	Bases            []catalog.Name        `json:"bases"`
	OwnerBypasses    bool                  `json:"owner_bypasses"`

	// domains are values that the checks of domains accept, by the domain's oid.
	domains map[int64][]string
}

// key is a unique index.
type key struct {
	Columns []string `json:"columns"`
	Partial bool     `json:"partial"`
}

// whole reports whether it is of columns alone, for every row.
func (k key) whole() bool { return !k.Partial && len(k.Columns) > 0 }

// attribute is what the catalogue knows of a column beyond [catalog.Column].
type attribute struct {
	Name string `json:"name"`
	Type int64  `json:"type"`
	// Identity is "a" where a value can never be given, "d" where it is a default.
	Identity  string  `json:"identity"`
	Sequences []int64 `json:"sequences"`
}

// sqlType is a type, and what it stands on.
type sqlType struct {
	OID  int64  `json:"oid"`
	Name string `json:"name"`
	SQL  string `json:"sql"`
	// Kind is pg_type.typtype: b, c, d, e, m, p or r.
	Kind       string   `json:"kind"`
	Array      bool     `json:"array"`
	Below      int64    `json:"below"`
	Labels     []string `json:"labels"`
	Attributes int      `json:"attributes"`
	Checks     []string `json:"checks"`
}

// roleRights are what one role may do with the relation.
type roleRights struct {
	Bypasses  bool                `json:"bypasses"`
	Usage     bool                `json:"usage"`
	Owns      bool                `json:"owns"`
	Is        []string            `json:"is"`
	Table     []string            `json:"table"`
	Columns   map[string][]string `json:"columns"`
	Sequences []int64             `json:"sequences"`
}

// function is one that a policy calls.
type function struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

//go:embed shape.sql
var shapeSQL string

func readShape(ctx context.Context, s session, t catalog.Table) (shape, error) {
	x := shape{domains: map[int64][]string{}}
	if err := catalog.ReadJSON(ctx, s, &x, shapeSQL, strconv.FormatUint(uint64(t.OID), 10)); err != nil {
		return shape{}, fmt.Errorf("reading what %s is made of: %w", t.Name, err)
	}
	return x, nil
}

// attribute is one of the columns; nothing, where there is none of that name.
func (x shape) attribute(column string) attribute {
	if i := slices.IndexFunc(x.Attributes, func(a attribute) bool { return a.Name == column }); i >= 0 {
		return x.Attributes[i]
	}
	return attribute{}
}

// typeOf is the type of a column, unwrapped from domains: base is what values are
// of, outer what the column was declared as.
func (x shape) typeOf(column string) (base, outer sqlType) {
	outer = x.Types[strconv.FormatInt(x.attribute(column).Type, 10)]
	return x.unwrap(outer), outer
}

func (x shape) below(t sqlType) sqlType { return x.Types[strconv.FormatInt(t.Below, 10)] }

func (x shape) unwrap(t sqlType) sqlType {
	for t.Kind == "d" {
		t = x.below(t)
	}
	return t
}

// alwaysGenerated reports whether a value for an identity column would be refused.
func (x shape) alwaysGenerated(column string) bool { return x.attribute(column).Identity == "a" }

// unique reports whether a key of these columns alone, in any order, is enforced.
func (x shape) unique(columns ...string) bool {
	outside := func(c string) bool { return !slices.Contains(columns, c) }
	return slices.ContainsFunc(x.Keys, func(k key) bool { return k.whole() && !slices.ContainsFunc(k.Columns, outside) })
}

// inKey reports whether a column is part of any unique key.
func (x shape) inKey(column string) bool {
	return slices.ContainsFunc(x.Keys, func(k key) bool { return slices.Contains(k.Columns, column) })
}

// may reports whether a role has a privilege on one column, by itself or through
// the whole table.
func (r roleRights) may(privilege, column string) bool {
	return slices.Contains(r.Columns[privilege], column)
}

// mayAll reports whether a role has a privilege on the whole table.
func (r roleRights) mayAll(privilege string) bool { return slices.Contains(r.Table, privilege) }
