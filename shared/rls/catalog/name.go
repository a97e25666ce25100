package catalog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/rls/internal/sqltext"
)

// DefaultSchema holds a table that is named without a schema.
const DefaultSchema = "public"

// maxIdentifier is what Postgres keeps of a name, in bytes.
const maxIdentifier = 63

// ErrName is matched by every error of [ParseName].
var ErrName = errors.New("not the name of a table")

// Name is the name of a table or another relation, as the catalogue has it:
// unquoted, in its own case.
type Name struct {
	Schema string `json:"schema"`
	Table  string `json:"table"`
}

// ParseName reads a name as SQL does: notes, public.notes, "Notes",
// app."Weird.Name". Without quotes it is folded to lower case and may hold
// letters, digits, "_" and "$" only.
func ParseName(text string) (Name, error) {
	parts, err := splitName(text)
	if err != nil {
		return Name{}, fmt.Errorf("%w: %q: %w", ErrName, text, err)
	}
	switch len(parts) {
	case 1:
		return Name{Schema: DefaultSchema, Table: parts[0]}, nil
	case 2:
		return Name{Schema: parts[0], Table: parts[1]}, nil
	default:
		return Name{}, fmt.Errorf("%w: %q has %d parts; write schema.table", ErrName, text, len(parts))
	}
}

func splitName(text string) ([]string, error) {
	var parts []string
	rest := strings.TrimSpace(text)
	for {
		part, after, err := readIdentifier(rest)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if after == "" {
			return parts, nil
		}
		if after[0] != '.' {
			return nil, fmt.Errorf("%q cannot follow %s", after[:1], QuoteIdentifier(part))
		}
		rest = after[1:]
	}
}

// readIdentifier takes one identifier off the front of text.
func readIdentifier(text string) (name, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		name, rest, err = readQuoted(text[1:])
	} else {
		name, rest, err = readPlain(text)
	}
	switch {
	case err != nil:
		return "", "", err
	case name == "":
		return "", "", errors.New("a part of it is empty")
	case strings.ContainsRune(name, 0):
		return "", "", errors.New("a name cannot hold a NUL character")
	case len(name) > maxIdentifier:
		return "", "", fmt.Errorf("a part of it has %d bytes, and Postgres keeps %d", len(name), maxIdentifier)
	}
	return name, rest, nil
}

func readQuoted(text string) (name, rest string, err error) {
	var b strings.Builder
	for {
		before, after, closed := strings.Cut(text, `"`)
		if !closed {
			return "", "", errors.New("a double quote is not closed")
		}
		b.WriteString(before)
		if !strings.HasPrefix(after, `"`) {
			return b.String(), after, nil
		}
		b.WriteByte('"')
		text = after[1:]
	}
}

func readPlain(text string) (name, rest string, err error) {
	end := strings.IndexByte(text, '.')
	if end < 0 {
		end = len(text)
	}
	for i, r := range text[:end] {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r > 127
		if letter || i > 0 && (r >= '0' && r <= '9' || r == '$') {
			continue
		}
		return "", "", fmt.Errorf("%q needs double quotes around the name", r)
	}
	return sqltext.Fold(text[:end]), text[end:], nil
}

// SQL is the name for use in a statement, with every part in quotes.
func (n Name) SQL() string { return pgx.Identifier{n.Schema, n.Table}.Sanitize() }

// String is the name for people and for reviewable SQL: quoted only where it has to be.
// It is as safe in a statement as [Name.SQL].
func (n Name) String() string { return QuoteIdentifier(n.Schema) + "." + QuoteIdentifier(n.Table) }

// QuoteIdentifier quotes one identifier where SQL asks for it.
func QuoteIdentifier(name string) string {
	if name == "" || reserved[name] {
		return pgx.Identifier{name}.Sanitize()
	}
	for i, r := range name {
		if r >= 'a' && r <= 'z' || r == '_' || i > 0 && r >= '0' && r <= '9' {
			continue
		}
		return pgx.Identifier{name}.Sanitize()
	}
	return name
}

// QuoteIdentifiers quotes a list of identifiers likewise.
func QuoteIdentifiers(names []string) string { return List(names, QuoteIdentifier) }

// List writes a list as both people and SQL have it.
func List[T any](items []T, text func(T) string) string { return Join(items, ", ", text) }

// Join writes items behind each other.
func Join[T any](items []T, separator string, text func(T) string) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = text(item)
	}
	return strings.Join(texts, separator)
}

// QuoteLiteral writes a string constant. Backslashes keep their meaning under
// standard_conforming_strings, which every supported server has on.
func QuoteLiteral(text string) string {
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// ArrayText writes an array of texts as Postgres reads it from a text.
func ArrayText(values ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	return "{" + Join(values, ",", func(v string) string { return `"` + escape.Replace(v) + `"` }) + "}"
}
