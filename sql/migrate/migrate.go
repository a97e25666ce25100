// Package migrate brings the database side of clerksync up to date: the numbered
// files of package schema, and the functions of package rules.
//
// Use it first through [Up] with a session connection of the database's owner
// (never a transaction pooler: a migration is one long transaction); [Plan] says
// what Up would do and what would stop it, [Verify] whether it has been done, and
// [Export] writes the same SQL as files for "supabase db push".
//
// Up is one transaction: all of it happens, or nothing. It applies the schema files
// that the database lacks, in their order, then the rules if they differ from those
// of the database, then the schema files that need functions. A released schema file
// is never edited: the checksum of each is kept in clerk_sync.migrations, and a
// difference stops everything before it starts. Rules are edited where they stand:
// clerk_sync.rules keeps their checksum and which functions they made, so that those
// which have left the rules are dropped, and never a function of the team's own.
//
// There are no down migrations; the way back is a further migration.
package migrate

import (
	"crypto/sha256"
	_ "embed" // for the script around the rules
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"clerksync/sql/platform"
	"clerksync/sql/rules"
	"clerksync/sql/schema"
)

// Names that are used when none is chosen.
const (
	// DefaultSchema is the exposed schema.
	DefaultSchema = "public"
	// DefaultHelpers is the schema of what policies call.
	DefaultHelpers = "clerk"
)

// Options choose where things live. The zero value is valid.
type Options struct {
	// Schema is the exposed schema that holds the tables of the copy. Empty
	// means the one this database was migrated with before, or [DefaultSchema].
	// It cannot be changed later.
	Schema string
	// Helpers is the schema that holds what policies call. Empty means the one
	// this database was migrated with before, or [DefaultHelpers]. It cannot be
	// changed later.
	Helpers string
	// AsSuperuser says that a superuser is meant to own everything. Without it
	// [Up] refuses one: what a superuser owns runs with a superuser's rights.
	AsSuperuser bool
}

// Step is a part of a migration: one schema file, or all rules together.
type Step struct {
	// Name is the schema file's name without its ending, such as "0002_copy", or
	// "rules_" and the beginning of the checksum.
	Name string
	// Checksum is the SHA-256 of the text as released, in hexadecimal. The chosen
	// schemas do not change it.
	Checksum string
	// AppliedAt is when the database got it; zero if it is pending.
	AppliedAt time.Time

	// version is the schema file's number; 0 for the rules.
	version int64
	// revision is that of the rules.
	revision int
	text     string
}

// String is the step's name.
func (s Step) String() string { return s.Name }

func (s Step) isRules() bool { return s.version == 0 }

// names are the schemas that were chosen.
type names struct{ exposed, helpers string }

// fill puts the chosen schemas into the text of a file.
func (n names) fill(text string) string {
	literal := func(name string) string { return "'" + strings.ReplaceAll(name, "'", "''") + "'" }
	return strings.NewReplacer(
		"{{exposed}}", quoteSchema(n.exposed, DefaultSchema),
		"{{exposed_literal}}", literal(n.exposed),
		"{{helpers}}", quoteSchema(n.helpers, DefaultHelpers),
		"{{helpers_literal}}", literal(n.helpers),
	).Replace(text)
}

func quoteSchema(name, plain string) string {
	if name == plain {
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}

// release is what one release of this program leads a database to: every step, in the
// order in which an empty database gets them.
type release struct {
	steps []Step
	// revision orders the rules of different releases.
	revision int
}

// this is the release that this program is.
var this = load(schema.Files, rules.Files, rules.Revision)

var fileName = regexp.MustCompile(`^(\d{4})_([a-z0-9_]+)\.sql$`)

// needsRules is the first line of a schema file that is applied behind the rules.
const needsRules = "-- after: rules\n"

// load panics on a name that is not NNNN_name.sql, a number used twice or a text
// that cannot be embedded: mistakes of the program's makers, found by the first test.
func load(schemaFiles, rulesFiles fs.FS, revision int) release {
	var before, behind []Step
	for i, name := range sqlFiles(schemaFiles) {
		parts := fileName.FindStringSubmatch(name)
		if parts == nil {
			panic("schema file " + name + " is not named NNNN_name.sql")
		}
		version, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil || version != int64(i+1) {
			panic(fmt.Sprintf("schema file %s should have number %04d", name, i+1))
		}
		text := read(schemaFiles, name)
		step := Step{Name: strings.TrimSuffix(name, ".sql"), Checksum: checksum(text), version: version, text: text}
		if strings.HasPrefix(text, needsRules) {
			behind = append(behind, step)
		} else {
			before = append(before, step)
		}
	}
	return release{slices.Concat(before, []Step{loadRules(rulesFiles, revision)}, behind), revision}
}

func loadRules(files fs.FS, revision int) Step {
	var all strings.Builder
	names := slices.DeleteFunc(sqlFiles(files), func(name string) bool { return name == rules.Last })
	for _, name := range append(names, rules.Last) {
		fmt.Fprintf(&all, "-- %s\n\n%s\n", name, read(files, name))
	}
	text := all.String()
	if strings.Contains(text, rulesQuote) || strings.Contains(text, scriptQuote) {
		panic("the rules use a quote of the script that applies them")
	}
	sum := checksum(fmt.Sprintf("revision %d\n%s", revision, text))
	return Step{Name: "rules_" + sum[:12], Checksum: sum, text: text, revision: revision}
}

func sqlFiles(fsys fs.FS) []string {
	found, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		panic(err)
	}
	return found
}

func read(fsys fs.FS, name string) string {
	text, err := fs.ReadFile(fsys, name)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// plainName is the form of the helpers' schema: it stands in every policy that
// people read, so it is one that needs no quotes.
var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

func checkNames(n names) error {
	switch {
	case n.helpers == n.exposed:
		return fmt.Errorf("schema %q cannot hold both the copy and what policies call: the Data API would serve the latter", n.exposed)
	case !plainName.MatchString(n.helpers):
		return fmt.Errorf("the helpers' schema %q is not made of small letters, digits and underscores", n.helpers)
	case n.helpers == DefaultSchema:
		return fmt.Errorf("the helpers' schema cannot be %q, which the Data API serves", DefaultSchema)
	case n.exposed == DefaultHelpers:
		return fmt.Errorf("schema %q is reserved; choose one of your own, such as %q or \"app\"", n.exposed, DefaultSchema)
	}
	for _, s := range []struct{ name, example string }{{n.exposed, "app"}, {n.helpers, "clerk_claims"}} {
		switch name := s.name; {
		case len(name) > 63:
			return fmt.Errorf("schema name of %d bytes is longer than the 63 that Postgres allows", len(name))
		case strings.ContainsRune(name, 0):
			return fmt.Errorf("schema name %q holds a NUL character", name)
		case name == "clerk_sync" || platform.Owns(name):
			return fmt.Errorf("schema %q is reserved; choose one of your own, such as %q", name, s.example)
		}
	}
	return nil
}

// rulesScript applies the rules: it drops what has left them, refuses to replace what
// is not ours, and records what it made. Exported files hold the same script.
//
//go:embed rules.sql
var rulesScript string
