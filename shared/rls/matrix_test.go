package rls_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/finding"
	"clerksync/shared/rls"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

// Every pattern for every kind of caller: who can do what, and what decided. The
// golden files are for people to review; both grant regimes give the same.
func TestPatterns_LetThroughExactlyWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, test := range patternCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tables := []catalog.Name{test.spec.Table}
			if len(test.spec.PublicColumns) > 0 {
				tables = append(tables, table(test.spec.Table.Table+"_public"))
			}
			for name, regime := range regimes {
				db := testdb.New(t, testdb.WithRegime(regime))
				conn := db.Conn(t, db.Owner())
				exec(t, conn, tablesSQL)
				apply(t, conn, test.spec)
				report, err := probe.Run(t.Context(), conn, probe.Options{Tables: tables})
				if err != nil {
					t.Fatalf("%s grants: %v", name, err)
				}
				for _, f := range report.Findings() {
					if f.Status == finding.Fail {
						t.Errorf("%s grants: %+v", name, f)
					}
				}
				golden(t, filepath.Join("matrix", test.name+".txt"), report.Text())
			}
		})
	}
}

// Policies call the helpers where they are: all else stays the same, for the database
// and for every caller.
func TestPatterns_AreTheSameWhereverTheHelpersAre(t *testing.T) {
	t.Parallel()
	moved := func(path string) string {
		text, err := os.ReadFile(filepath.Join("testdata", path))
		if err != nil {
			t.Fatal(err)
		}
		return testdb.Moved(string(text))
	}
	for _, test := range patternCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			spec := test.spec
			var err error
			if spec.Table, err = catalog.ParseName(testdb.Moved(spec.Table.String())); err != nil {
				t.Fatal(err)
			}
			tables := []catalog.Name{spec.Table}
			if len(spec.PublicColumns) > 0 {
				tables = append(tables, table(spec.Table.Table+"_public"))
			}
			db := testdb.New(t, testdb.Elsewhere())
			conn := db.Conn(t, db.Owner())
			exec(t, conn, testdb.Moved(tablesSQL))
			plan := preview(t, conn, spec)
			if diff := cmp.Diff(moved("sql/"+test.name+".sql"), plan.SQL()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			apply(t, conn, spec)
			if again := preview(t, conn, spec); len(again.Statements) != 0 || again.Blocked() {
				t.Errorf("applied, it still wants\n%s%+v", again.SQL(), again.Findings)
			}
			report, err := probe.Run(t.Context(), conn, probe.Options{Tables: tables})
			if err != nil {
				t.Fatal(err)
			}
			findings := report.Findings()
			if finding.Failed(findings) {
				t.Errorf("the probe found %+v", findings)
			}
			if diff := cmp.Diff(moved("matrix/"+test.name+".txt"), report.Text()); diff != "" {
				t.Errorf("matrix (-want +got):\n%s", diff)
			}
			if plan := preview(t, conn, rls.Spec{Table: spec.Table, Drop: true}); plan.Blocked() || testdb.NamesUsualHelpers(fmt.Sprint(plan, findings)) {
				t.Errorf("to take it away: %+v", plan)
			}
			apply(t, conn, rls.Spec{Table: spec.Table, Drop: true})
			left, err := catalog.ReadTable(t.Context(), conn, spec.Table)
			if err != nil {
				t.Fatal(err)
			}
			for _, column := range left.Columns {
				if strings.Contains(column.Default, "claims.") {
					t.Errorf("dropped, %s is still filled by %s", column.Name, column.Default)
				}
			}
		})
	}
}
