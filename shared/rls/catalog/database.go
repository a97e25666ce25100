package catalog

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
)

// Database is what the whole database says about row level security.
type Database struct {
	// Version is the server's major version.
	Version int `json:"version"`
	// User is the connected role.
	User string `json:"user"`
	// Bypasses: the connected role sees every row, whatever policies say.
	Bypasses bool `json:"bypasses"`
	// Roles are those of anon, authenticated and service_role that the connected role may become.
	Roles []string `json:"roles"`
	// Helpers is the schema of clerksync's functions for policies, or where they would be.
	Helpers Helpers `json:"-"`
	// HasHelpers: they are there, in the state this program needs.
	HasHelpers bool `json:"-"`
	// Copy is the schema of clerksync's copy; empty before its migrations.
	Copy string `json:"copy"`
	// Exposed are the schemas that the Data API serves.
	Exposed []string `json:"exposed"`
	// Usage are the schemas that each of the API's roles may enter.
	Usage map[string][]string `json:"usage"`
}

//go:embed database.sql
var databaseSQL string

// ReadDatabase reads it. Which schemas the Data API exposes is known to the
// database only where somebody set pgrst.db_schemas on the role authenticator;
// otherwise exposed says so, and where that is empty too it is public and the
// schema of the copy.
func ReadDatabase(ctx context.Context, q Querier, exposed []string) (Database, error) {
	var read struct {
		Database
		HelpersIn []string `json:"helpers_in"`
		Schemas   bool     `json:"schemas"`
	}
	if err := ReadJSON(ctx, q, &read, databaseSQL); err != nil {
		return Database{}, fmt.Errorf("reading the database's settings: %w", err)
	}
	d := read.Database
	d.Helpers = DefaultHelpers
	switch {
	case read.Schemas:
		if err := q.QueryRow(ctx, "select helpers from clerk_sync.schemas()").Scan(&d.Helpers); err != nil {
			return Database{}, fmt.Errorf("reading the database's settings: %w", err)
		}
	case len(read.HelpersIn) == 1: // and the connected role may not ask
		d.Helpers = Helpers(read.HelpersIn[0])
	}
	d.HasHelpers = slices.Contains(read.HelpersIn, string(d.Helpers))
	switch {
	case len(exposed) > 0:
		d.Exposed = exposed
	case len(d.Exposed) == 0:
		d.Exposed = []string{DefaultSchema}
		if d.Copy != "" && d.Copy != DefaultSchema {
			d.Exposed = append(d.Exposed, d.Copy)
		}
	}
	return d, nil
}

// IsExposed reports whether the Data API serves a schema.
func (d Database) IsExposed(schema string) bool { return slices.Contains(d.Exposed, schema) }

// MayUse reports whether a role may enter a schema.
func (d Database) MayUse(role, schema string) bool { return slices.Contains(d.Usage[role], schema) }
