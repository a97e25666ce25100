package lint

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
)

// pgTemp is what a search path calls the caller's temporary schema.
const pgTemp = "pg_temp"

// shownFunctions is how many functions a detail names; the remedy names them all.
const shownFunctions = 20

// temporarySchema finds functions with their owner's rights that look into the
// caller's temporary schema first. It is one finding for all of them: Supabase's own
// linter asks for an empty path, which is such a one, so there may be many.
func (l *linter) temporarySchema() {
	var names, pathless, statements []string
	for f := range l.ownFunctions {
		path := searchPath(f.SearchPath)
		// The first mention counts.
		last := len(path) > 0 && slices.Index(path, pgTemp) == len(path)-1
		if !f.Definer || last || l.ours(f) || len(l.schemas) > 0 && !slices.Contains(l.schemas, f.Schema) {
			continue
		}
		names = append(names, f.String())
		if !f.Path {
			pathless = append(pathless, f.String())
		}
		statements = append(statements, fmt.Sprintf("alter %s %s set search_path = %s;", f.ddl(), f, temporaryLast(path)))
	}
	if len(names) == 0 {
		return
	}
	remedy := strings.Join(statements, "\n")
	if len(pathless) > 0 {
		remedy += fmt.Sprintf("\nUntil now the caller's path held in %s: first write every name in the body with its schema.", list(pathless))
	}
	l.add("", finding.Finding{
		ID: "definer_temporary_schema", Status: finding.Warn,
		Title: "Functions with their owner's rights look into the caller's temporary schema first",
		Detail: fmt.Sprintf("%s: under a search path that does not end in pg_temp, the empty one that Supabase recommends among them, PostgreSQL looks for types and tables in the caller's temporary schema before others. "+
			"A caller makes a temporary domain with the name of a type that the body casts to, such as pg_temp.jsonb, or a temporary table with the name of one that it reads, and code of the caller's runs as the function's owner. "+
			"That takes a connection that can run SQL: a request to the Data API alone cannot make a temporary domain.", shortened(names)),
		Remedy: remedy,
	})
}

// ours reports whether clerksync made a function: what is wrong with it a migration
// mends, and not its user.
func (l *linter) ours(f *function) bool {
	switch {
	case f.Schema == "clerk_sync" || l.Helpers.Is(f.Schema):
		return true
	case f.Schema == l.Copy:
		return slices.Contains([]string{"apply_clerk_event", "apply_clerk_event_text", "ensure_user"}, f.Name)
	default:
		return false
	}
}

// temporaryLast is a path as it is, with the temporary schema moved to its end. Where
// it names no schema it is PostgreSQL's own.
func temporaryLast(path []string) string {
	var quoted []string
	for _, schema := range path {
		if schema != pgTemp && schema != "" {
			quoted = append(quoted, catalog.QuoteIdentifier(schema))
		}
	}
	if len(quoted) == 0 {
		quoted = []string{"pg_catalog"}
	}
	return list(append(quoted, pgTemp))
}

// searchPath reads a search path as PostgreSQL stores it: names apart by commas, in
// quotes or without regard to case.
func searchPath(setting string) []string {
	var path []string
	for rest := strings.TrimSpace(setting); rest != ""; {
		var name string
		if rest[0] == '"' {
			for rest = rest[1:]; ; {
				before, after, found := strings.Cut(rest, `"`)
				name += before
				rest = after
				if !found || !strings.HasPrefix(rest, `"`) {
					break
				}
				name, rest = name+`"`, rest[1:]
			}
			_, rest, _ = strings.Cut(rest, ",")
		} else {
			name, rest, _ = strings.Cut(rest, ",")
			name = strings.ToLower(strings.TrimSpace(name))
		}
		path = append(path, name)
		rest = strings.TrimSpace(rest)
	}
	return path
}

// shortened lists names, the first of them where there are many.
func shortened(names []string) string {
	if more := len(names) - shownFunctions; more > 0 {
		return fmt.Sprintf("%s and %d more", list(names[:shownFunctions]), more)
	}
	return list(names)
}
