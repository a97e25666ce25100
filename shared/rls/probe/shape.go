package probe

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"clerksync/shared/rls/catalog"
)

// shape is what making rows of a relation, and reading refusals, needs to know.
type shape struct {
	Attributes []struct {
		Name string `json:"name"`
		Type int64  `json:"type"`
		// Identity is "a" where a value can never be given, "d" where it is a default.
		Identity  string  `json:"identity"`
		Sequences []int64 `json:"sequences"`
	} `json:"attributes"`
	Types map[string]sqlType `json:"types"`
	Keys  []struct {
		Columns []string `json:"columns"`
		Partial bool     `json:"partial"`
	} `json:"keys"`
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
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Definer  bool   `json:"definer"`
	Volatile bool   `json:"volatile"`
}

//go:embed shape.sql
var shapeSQL string

func readShape(ctx context.Context, s session, t catalog.Table) (shape, error) {
	var text string
	if err := s.QueryRow(ctx, shapeSQL, strconv.FormatUint(uint64(t.OID), 10)).Scan(&text); err != nil {
		return shape{}, fmt.Errorf("reading what %s is made of: %w", t.Name, err)
	}
	x := shape{domains: map[int64][]string{}}
	if err := json.Unmarshal([]byte(text), &x); err != nil {
		return shape{}, fmt.Errorf("reading what %s is made of: %w", t.Name, err)
	}
	return x, nil
}

// typeOf is the type of a column, unwrapped from domains: base is what values are
// of, outer what the column was declared as.
func (x shape) typeOf(column string) (base, outer sqlType) {
	for _, c := range x.Attributes {
		if c.Name == column {
			outer = x.Types[strconv.FormatInt(c.Type, 10)]
			return x.unwrap(outer), outer
		}
	}
	return sqlType{}, sqlType{}
}

func (x shape) below(t sqlType) sqlType { return x.Types[strconv.FormatInt(t.Below, 10)] }

func (x shape) unwrap(t sqlType) sqlType {
	for t.Kind == "d" {
		t = x.below(t)
	}
	return t
}

// alwaysGenerated reports whether a value for an identity column would be refused.
func (x shape) alwaysGenerated(column string) bool {
	for _, c := range x.Attributes {
		if c.Name == column {
			return c.Identity == "a"
		}
	}
	return false
}

func (x shape) sequences(column string) []int64 {
	for _, c := range x.Attributes {
		if c.Name == column {
			return c.Sequences
		}
	}
	return nil
}

// unique reports whether a key of these columns alone, in any order, is enforced.
func (x shape) unique(columns ...string) bool {
	for _, k := range x.Keys {
		if k.Partial || len(k.Columns) == 0 {
			continue
		}
		outside := func(c string) bool { return !slices.Contains(columns, c) }
		if !slices.ContainsFunc(k.Columns, outside) {
			return true
		}
	}
	return false
}

// inKey reports whether a column is part of any unique key.
func (x shape) inKey(column string) bool {
	for _, k := range x.Keys {
		if slices.Contains(k.Columns, column) {
			return true
		}
	}
	return false
}

// may reports whether a role has a privilege on one column, by itself or through
// the whole table.
func (r roleRights) may(privilege, column string) bool {
	return slices.Contains(r.Columns[privilege], column)
}

// mayAll reports whether a role has a privilege on the whole table.
func (r roleRights) mayAll(privilege string) bool { return slices.Contains(r.Table, privilege) }
