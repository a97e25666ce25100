// Package schema holds the numbered files that make clerksync's schemas, tables,
// roles, policies and triggers.
//
// Package clerksync/sql/migrate applies them; [Files] is for that package. A file
// that is released is never edited: what changes comes in a further file.
//
// A file whose first line is "-- after: rules" needs functions (a policy, a trigger)
// and is applied behind those of package clerksync/sql/rules.
package schema

import "embed"

// Files are the files of this folder, named NNNN_name.sql.
//
//go:embed *.sql
var Files embed.FS
