package migrations

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Export writes the migrations as files for "supabase db push" into dir, which
// is usually supabase/migrations, and returns the paths it wrote. A migration
// that was exported before keeps its file and so its place in Supabase's order;
// one whose file was edited since is an error. now stamps the new files.
//
// An exported file records itself in clerk_sync.migrations, so [Plan], [Verify]
// and [Up] agree with what Supabase's tool has applied.
func Export(dir string, opts Options, now time.Time) ([]string, error) {
	schema := schemaOrDefault(opts.Schema)
	if err := checkSchema(schema); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("exporting migrations: %w", err)
	}
	var written []string
	for i, m := range all {
		text := exported(m, schema)
		earlier, err := filepath.Glob(filepath.Join(dir, "*_clerksync_"+m.String()+".sql"))
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
		path := filepath.Join(dir, stamp+"_clerksync_"+m.String()+".sql")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return written, fmt.Errorf("exporting migrations: %w", err)
		}
		written = append(written, path)
	}
	return written, nil
}

func exported(m Migration, schema string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- clerksync migration %s, exported; do not edit.\n", m)
	if m.Version == 1 {
		b.WriteString(historyDDL)
	}
	b.WriteString("\n")
	b.WriteString(m.SQL(schema))
	b.WriteString("\n")
	fmt.Fprintf(&b, recordSQL, m.Version, m.Name, m.Checksum)
	b.WriteString(";\n")
	return b.String()
}
