package doctor

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the part of docs/troubleshooting.md anew")

const (
	troubleshooting = "../../docs/troubleshooting.md"
	// heading begins the part of the page that is written here.
	heading = "\n# What doctor finds\n"
)

// The page is written by the checks' own list, so that each has its place there.
func TestChecks_EachHasItsPlaceInTheDocumentation(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(heading + `
` + "`clerksync doctor`" + ` looks over a whole set-up and names the first cause. Each check has an id, and a section here; the finding itself says what was seen and what to do.
`)
	for _, c := range checks {
		fmt.Fprintf(&b, "\n## <a id=\"%[1]s\"></a>`%[1]s`\n\nIt looks at %[2]s. %[3]s", c.id, c.about, c.why)
		if len(c.needs) > 0 {
			fmt.Fprintf(&b, " It is skipped where %s fails.", strings.Join(c.needs, " or "))
		}
		if c.deep {
			b.WriteString(" Only with `--deep`.")
		}
		b.WriteString("\n")
	}
	text, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	before, got, _ := strings.Cut(string(text), heading)
	got = heading + got
	want := b.String()
	if *update {
		if err := os.WriteFile(troubleshooting, []byte(before+want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/troubleshooting.md does not have the checks; run go test ./shared/doctor -update (-want +got):\n%s", diff)
	}
}

// A check hangs on what stands above it, so that the first failure of a report is a cause.
func TestChecks_HangOnWhatStandsAbove(t *testing.T) {
	t.Parallel()
	var above []string
	for _, c := range checks {
		for _, id := range slices.Concat(c.needs, c.after) {
			if !slices.Contains(above, id) {
				t.Errorf("%s hangs on %s, which does not stand above it", c.id, id)
			}
		}
		if slices.Contains(above, c.id) {
			t.Errorf("%s stands there twice", c.id)
		}
		if c.about == "" || c.why == "" || c.run == nil {
			t.Errorf("%s is not whole", c.id)
		}
		above = append(above, c.id)
	}
}

// The checklist is the page's, point by point, and what measures a point is a check.
func TestChecklist_IsThatOfTheDocumentation(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| point | here |\n|---|---|\n")
	var want, got []string
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		want = append(want, strings.TrimSpace(strings.Split(line, "|")[1]))
	}
	for _, p := range points {
		got = append(got, p.text)
		if p.always == "" && p.confirm == "" && len(p.by) == 0 {
			t.Errorf("%q is neither measured nor a person's", p.text)
		}
		for _, id := range p.by {
			if !slices.ContainsFunc(checks, func(c check) bool { return c.id == id }) {
				t.Errorf("%q is measured by %s, which there is not", p.text, id)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 20 {
		t.Errorf("points (-docs/security.md +checklist):\n%s", diff)
	}
}
