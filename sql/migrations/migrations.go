// Package migrations holds the database side of clerksync: numbered SQL files
// and the code that applies them.
//
// Use it first through [Up] with a session connection of the database's owner
// (never a transaction pooler: it cannot hold the lock that keeps two migrators
// apart); [Plan] says what Up would do, [Verify] whether it has been done, and
// [Export] writes the same files for "supabase db push".
//
// Each migration runs in a transaction of its own together with the row that
// records it, so a failure leaves whole migrations behind and nothing half done.
// Files are never edited once released: a checksum of each is kept in
// clerk_sync.migrations, and a difference stops everything before it starts.
// There are no down migrations; the way back is a further migration.
package migrations

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed *.sql
var files embed.FS

// DefaultSchema is the exposed schema when none is chosen.
const DefaultSchema = "public"

// Options choose where the copy lives. The zero value is valid.
type Options struct {
	// Schema is the exposed schema that holds the tables of the copy. Empty
	// means the one this database was migrated with before, or [DefaultSchema].
	// It cannot be changed later.
	Schema string
}

// Migration is one numbered file.
type Migration struct {
	Version int64
	// Name is the file's name without number and ending, such as "copy".
	Name string
	// Checksum is the SHA-256 of the file as released, in hexadecimal. The
	// chosen schema does not change it.
	Checksum string

	text string
}

// String is the migration's file name without its ending: "0002_copy".
func (m Migration) String() string { return fmt.Sprintf("%04d_%s", m.Version, m.Name) }

// SQL is the migration's text with the copy in the given schema.
func (m Migration) SQL(schema string) string {
	return strings.NewReplacer(
		"{{exposed}}", quoteSchema(schema),
		"{{exposed_literal}}", "'"+strings.ReplaceAll(schema, "'", "''")+"'",
	).Replace(m.text)
}

// All lists every migration in order.
func All() []Migration { return all }

// Hash names the state that the migrations lead to: equal hashes, equal schemas.
func Hash(opts Options) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\n", schemaOrDefault(opts.Schema))
	for _, m := range all {
		fmt.Fprintf(sum, "%s %s\n", m, m.Checksum)
	}
	return hex.EncodeToString(sum.Sum(nil))[:16]
}

var all = load(files)

var fileName = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)

// load panics on a name that is not NNNN_name.sql or a number used twice: both
// are mistakes of whoever builds the program, found by the first test.
func load(fsys fs.FS) []Migration {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		panic(err)
	}
	var loaded []Migration
	for _, entry := range entries {
		parts := fileName.FindStringSubmatch(entry.Name())
		if parts == nil {
			panic("migration file " + entry.Name() + " is not named NNNN_name.sql")
		}
		version, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			panic(err)
		}
		text, err := fs.ReadFile(fsys, entry.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(text)
		loaded = append(loaded, Migration{
			Version: version, Name: parts[2], Checksum: hex.EncodeToString(sum[:]), text: string(text),
		})
	}
	slices.SortFunc(loaded, func(a, b Migration) int { return int(a.Version - b.Version) })
	for i, m := range loaded {
		if m.Version != int64(i+1) {
			panic(fmt.Sprintf("migration %s should have number %04d", m, i+1))
		}
	}
	return loaded
}

// reserved are schemas that are ours for another purpose, or Supabase's own.
var reserved = []string{
	"clerk", "clerk_sync", "auth", "storage", "realtime", "extensions", "graphql", "graphql_public", "vault",
	"pgsodium", "pgbouncer", "supabase_functions", "supabase_migrations", "information_schema", "cron", "net",
}

func checkSchema(schema string) error {
	switch {
	case len(schema) > 63:
		return fmt.Errorf("schema name of %d bytes is longer than the 63 that Postgres allows", len(schema))
	case strings.ContainsRune(schema, 0):
		return fmt.Errorf("schema name %q holds a NUL character", schema)
	case strings.HasPrefix(schema, "pg_") || slices.Contains(reserved, schema):
		return fmt.Errorf("schema %q is reserved; choose one of your own, such as %q or \"app\"", schema, DefaultSchema)
	}
	return nil
}

func schemaOrDefault(schema string) string {
	if schema == "" {
		return DefaultSchema
	}
	return schema
}

func quoteSchema(schema string) string {
	if schema == DefaultSchema {
		return schema
	}
	return pgx.Identifier{schema}.Sanitize()
}
