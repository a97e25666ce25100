package configurerls

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/rls/catalog"
)

// stampLayout is how Supabase's tool numbers migrations.
const stampLayout = "20060102150405"

// writeMigration writes a script as the folder's last migration, and reports
// whether it did: not where the table's latest one says the same. now stamps the
// file, moved behind whatever is there, since Supabase applies migrations in the
// order of their numbers and wants those to be unique.
func writeMigration(dir string, table catalog.Name, text string, now time.Time) (path string, wrote bool, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // part of a repository, which others read
		return "", false, fmt.Errorf("writing a migration: %w", err)
	}
	entries, err := os.ReadDir(dir) // in the order of their names
	if err != nil {
		return "", false, fmt.Errorf("writing a migration: %w", err)
	}
	suffix := "_clerksync_rls_" + fileWord(table.Schema) + "_" + fileWord(table.Table) + ".sql"
	stamp, latest := now.UTC(), ""
	for _, entry := range entries {
		number, rest, _ := strings.Cut(entry.Name(), "_")
		taken, err := time.Parse(stampLayout, number)
		if err != nil {
			continue
		}
		if !stamp.After(taken) || stamp.Format(stampLayout) == number {
			stamp = taken.Add(time.Second)
		}
		if "_"+rest == suffix {
			latest = filepath.Join(dir, entry.Name())
		}
	}
	if latest != "" {
		have, err := os.ReadFile(latest) //nolint:gosec // in the folder that the person named
		if err != nil {
			return "", false, fmt.Errorf("reading the table's latest migration: %w", err)
		}
		if string(have) == text {
			return latest, false, nil
		}
	}
	path = filepath.Join(dir, stamp.Format(stampLayout)+suffix)
	switch err := console.WriteNewFile(path, text); {
	case errors.Is(err, fs.ErrExist):
		return "", false, fmt.Errorf("writing a migration: another process made %s just now; run the same command again", path)
	case err != nil:
		return "", false, fmt.Errorf("writing a migration: %w", err)
	}
	return path, true, nil
}

// fileWord is a name as part of a file's: lower case, with "_" for whatever
// could mean something to a shell or a file system.
func fileWord(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '_'
		}
	}, name)
}
