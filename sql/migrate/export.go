package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Export writes the steps as files for "supabase db push" into dir, which is
// usually supabase/migrations, and returns the paths it wrote. A step that was
// exported before keeps its file and so its place in Supabase's order; one whose file
// was edited since is an error. Rules that have changed become a further file, beside
// the earlier ones. now stamps the new files.
//
// The schemas are those of the files that are there already; options that name others
// are [ErrSchema].
//
// An exported file records itself, so [Plan], [Verify] and [Up] agree with what
// Supabase's tool has applied.
func Export(dir string, opts Options, now time.Time) ([]string, error) {
	return this.export(dir, opts, now)
}

func (r release) export(dir string, opts Options, now time.Time) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("exporting migrations: %w", err)
	}
	n, err := r.exportedNames(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("exporting migrations: %w", err)
	}
	if err := checkNames(n); err != nil {
		return nil, err
	}
	var written []string
	for i, s := range r.steps {
		text := exported(s, n)
		earlier, err := filepath.Glob(filepath.Join(dir, "*"+exportedMark+s.Name+".sql"))
		if err != nil {
			return written, fmt.Errorf("exporting migrations: %w", err)
		}
		if len(earlier) > 0 {
			have, err := os.ReadFile(earlier[0])
			if err != nil {
				return written, fmt.Errorf("exporting migrations: %w", err)
			}
			if string(have) != text {
				return written, fmt.Errorf("%w: %s differs from this release; restore it, or remove it if it was never pushed", ErrChanged, earlier[0])
			}
			continue
		}
		// One second apart, since Supabase orders by this number and wants it unique.
		stamp := now.UTC().Add(time.Duration(i) * time.Second).Format("20060102150405")
		path := filepath.Join(dir, stamp+exportedMark+s.Name+".sql")
		if err := writeWhole(path, text); err != nil {
			return written, fmt.Errorf("exporting migrations: %w", err)
		}
		written = append(written, path)
	}
	return written, nil
}

// Exported reports whether a folder has files of an earlier [Export], which say for
// which schemas they are.
func Exported(dir string) (bool, error) {
	earlier, err := this.firstExported(dir)
	return earlier != "", err
}

// firstExported is the exported file of the first step, or nothing.
func (r release) firstExported(dir string) (string, error) {
	earlier, err := filepath.Glob(filepath.Join(dir, "*"+exportedMark+r.steps[0].Name+".sql"))
	if err != nil || len(earlier) == 0 {
		return "", err
	}
	return earlier[0], nil
}

const (
	// exportedMark stands in the name of every exported file.
	exportedMark = "_clerksync_"
	// exportedIn begins the line that says which schemas a file was written for.
	exportedIn = "-- schemas: "
)

func exported(s Step, n names) string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- clerksync migration %s, exported; do not edit.\n%s%q %q\n", s.Name, exportedIn, n.exposed, n.helpers)
	if s.version == 1 {
		b.WriteString("\n" + historyDDL)
	}
	b.WriteString("\n" + s.sql(n))
	return b.String()
}

// exportedNames reads the schemas from a file that was exported before.
func (r release) exportedNames(dir string, opts Options) (names, error) {
	n := chosen(opts)
	earlier, err := r.firstExported(dir)
	if err != nil || earlier == "" {
		return n, err
	}
	text, err := os.ReadFile(earlier)
	if err != nil {
		return n, err
	}
	for line := range strings.Lines(string(text)) {
		line, ok := strings.CutPrefix(line, exportedIn)
		if !ok {
			continue
		}
		var used names
		if _, err := fmt.Sscanf(line, "%q %q", &used.exposed, &used.helpers); err != nil {
			break
		}
		if cmp.Or(opts.Schema, used.exposed) != used.exposed || cmp.Or(opts.Helpers, used.helpers) != used.helpers {
			return n, fmt.Errorf("%w: %s is for the schemas %q and %q", ErrSchema, earlier, used.exposed, used.helpers)
		}
		return used, nil
	}
	return n, fmt.Errorf("%w: %s lacks its line %q", ErrChanged, earlier, exportedIn)
}

// writeWhole writes a file that is there whole or not at all: an empty migration would
// count as one that was edited. A file of that name that came meanwhile is left.
func writeWhole(path, text string) error {
	beside, err := os.CreateTemp(filepath.Dir(path), ".clerksync-*")
	if err != nil {
		return err
	}
	_, err = beside.WriteString(text)
	if err = errors.Join(err, beside.Chmod(0o644), beside.Sync(), beside.Close()); err == nil {
		if err = os.Link(beside.Name(), path); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	}
	return errors.Join(err, os.Remove(beside.Name()))
}
