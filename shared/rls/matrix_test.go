package rls_test

import (
	"path/filepath"
	"testing"

	"clerksync/shared/devstack/testdb"
	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
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
