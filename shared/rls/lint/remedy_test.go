package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/finding"
	"clerksync/shared/rls/lint"
	"clerksync/shared/testkit/testdb"
)

// statements is the part of a remedy that can be run: all up to its last
// semicolon, where it begins with a statement.
func statements(remedy string) string {
	verb, _, _ := strings.Cut(remedy, " ")
	if !slices.Contains([]string{"alter", "create", "drop", "grant", "revoke"}, verb) {
		return ""
	}
	end := strings.LastIndex(remedy, ";")
	// Together they run in one transaction.
	return strings.ReplaceAll(remedy[:end+1], " concurrently ", " ")
}

// mend runs remedies. One may wait for another: a column changes its type only
// after its policies are gone.
func mend(t *testing.T, conn *pgx.Conn, findings []finding.Finding) (run int) {
	t.Helper()
	var waiting []string
	for _, f := range findings {
		if sql := statements(f.Remedy); sql != "" && !slices.Contains(waiting, sql) {
			waiting = append(waiting, sql)
		}
	}
	for len(waiting) > 0 {
		var failed []string
		var last error
		for _, sql := range waiting {
			if _, err := conn.Exec(t.Context(), sql); err != nil {
				failed, last = append(failed, sql), err
			} else {
				run++
			}
		}
		if len(failed) == len(waiting) {
			t.Fatalf("%v\n%s", last, strings.Join(failed, "\n"))
		}
		waiting = failed
	}
	return run
}

func open(findings []finding.Finding, id string) []finding.Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool {
		return f.ID != id || f.Status == finding.Pass || f.Status == finding.Skip
	})
}

// advice are the checks whose remedies only say what to do.
var advice = []string{
	"auth_email", "auth_role", "claim_absent", "claim_path_dotted", "claim_setting", "claim_version_one", "internal_schema_exposed", "org_role_prefix",
	"policies_only_restrictive", "trigger_on_auth_users", "policy_null_passes", "policy_recursive", "unsafe_metadata", "user_id_as_uuid", "write_without_select",
}

func TestRemedies_EndWhatWasFound(t *testing.T) {
	t.Parallel()
	for _, c := range ownCases {
		if slices.Contains(advice, c.id) {
			continue
		}
		t.Run(c.id, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t)
			admin := db.Conn(t, db.Superuser())
			exec(t, admin, services)
			exec(t, admin, c.sql)
			owner := db.Conn(t, db.Owner())
			found := open(run(t, owner, lint.Options{Exposed: c.exposed}), "lint."+c.id)
			// Where only some of them can be a statement, the others stay.
			want := slices.DeleteFunc(slices.Clone(found), func(f finding.Finding) bool { return statements(f.Remedy) != "" })
			if mend(t, admin, found) == 0 && len(found) > 0 {
				t.Fatalf("no remedy is a statement:\n%s", statuses(found))
			}
			left := open(run(t, owner, lint.Options{Exposed: c.exposed}), "lint."+c.id)
			if len(left) != len(want) {
				t.Errorf("after the remedies\n%sthere are still\n%s", statuses(found), statuses(left))
			}
		})
	}
}

// In the corpus every name that can be is hostile, and all remedies meet.
func TestRemedies_QuoteNames(t *testing.T) {
	t.Parallel()
	db := testdb.New(t)
	admin := db.Conn(t, db.Superuser())
	exec(t, admin, services+others)
	exec(t, admin, corpus)
	if first, second := statuses(run(t, admin, lint.Options{})), statuses(run(t, admin, lint.Options{})); first != second {
		t.Errorf("two runs differ:\n%s\n%s", first, second)
	}
	// Twice: what is switched on in the first round is looked at in the second.
	for range 2 {
		mend(t, admin, slices.DeleteFunc(run(t, admin, lint.Options{}), func(f finding.Finding) bool {
			return !slices.Contains(supabaseLints, strings.TrimPrefix(f.ID, "lint."))
		}))
	}
	after := run(t, admin, lint.Options{})
	for _, id := range supabaseLints {
		for _, f := range open(after, "lint."+id) {
			// What was closed may be without a policy now, which is another matter.
			if statements(f.Remedy) != "" && f.ID != "lint.rls_enabled_no_policy" {
				t.Errorf("still there: %s", statuses([]finding.Finding{f}))
			}
		}
	}
}
