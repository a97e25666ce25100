package jwtdiag

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/catalog"
)

var update = flag.Bool("update", false, "write docs/troubleshooting.md anew")

func TestSymptoms_AndCausesBelongTogether(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, s := range symptoms {
		for _, id := range s.causes {
			used[id] = true
			if _, ok := causesByID[id]; !ok {
				t.Errorf("%s leads to %s, which there is not", s.shows, id)
			}
		}
	}
	for id := range causesByID {
		if !used[id] {
			t.Errorf("no symptom leads to %s", id)
		}
	}
}

// What a symptom looks like is recognised as that symptom and no other.
func TestSymptoms_AreFoundByWhatTheyLookLike(t *testing.T) {
	t.Parallel()
	for _, s := range symptoms {
		for _, other := range symptoms {
			if other.shows.MatchString(s.seen) {
				if other.seen != s.seen {
					t.Errorf("%q is taken for %q", s.seen, other.seen)
				}
				break
			}
		}
	}
}

const troubleshooting = "../../docs/troubleshooting.md"

var code = regexp.MustCompile(`\b(PGRST[0-9]{3}|[0-9]{2}[0-9A-Z]{3}|(?:token|jwk)-[a-z-]+|CHANNEL_ERROR)\b`)

// The page is written by what "test-jwt --symptom" says, so that the two agree.
// Run with -update to write it anew.
func TestSymptoms_AreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`# When a request is refused, or comes back empty

What people see, and what can be behind it, the likeliest first. ` + "`clerksync test-jwt --symptom '…'`" + ` looks an error up here, and with the token of the request that failed it says which of the
causes it was: see [jwt-diagnostics.md](jwt-diagnostics.md). This page is written by the program itself.
`)
	for _, s := range symptoms {
		fmt.Fprintf(&b, "\n## %s\n\n", code.ReplaceAllString(s.seen, "`$1`"))
		for i, id := range s.causes {
			c := causesByID[id]
			fmt.Fprintf(&b, "%d. **%s.**", i+1, c.title)
			for _, text := range []string{sentence(c.detail), catalog.DefaultHelpers.Fill(c.remedy)} {
				if text != "" {
					b.WriteString(" " + text)
				}
			}
			b.WriteString("\n")
		}
	}
	want := b.String()
	text, err := os.ReadFile(troubleshooting)
	if err != nil {
		t.Fatal(err)
	}
	// Package doctor writes the rest.
	got, rest, found := strings.Cut(string(text), "\n# What doctor finds\n")
	if *update {
		if found {
			rest = "\n# What doctor finds\n" + rest
		}
		if err := os.WriteFile(troubleshooting, []byte(want+rest), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/troubleshooting.md is not what the program says; run go test ./shared/jwtdiag -update (-want +got):\n%s", diff)
	}
}
