package rls_test

import (
	"fmt"
	"testing"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/testkit/supabasecli"
	"clerksync/shared/testkit/testdb"
)

// Supabase's own linter finds nothing of level WARN or ERROR in what the
// generator emits: every pattern on a table of its own, and buckets beside them.
func TestPatterns_PassSupabasesOwnLinter(t *testing.T) {
	t.Parallel()
	supabasecli.Need(t)
	for name, regime := range regimes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, testdb.WithRegime(regime))
			conn := db.Conn(t, db.Owner())
			exec(t, conn, tablesSQL)
			for i, test := range patternCases() {
				if copied := test.spec.Table.Table; copied != "users" && copied != "users_public" {
					// Keys that refer elsewhere have their own indexes, as in any application.
					test.spec.Table.Table = fmt.Sprintf("%s_%d", copied, i)
					exec(t, conn, fmt.Sprintf(`create table public.%s (like public.%s including all)`, test.spec.Table.Table, copied))
				}
				apply(t, conn, test.spec)
			}
			exec(t, conn, `drop table public.notes, public.profiles, public.invoices, public.posts, public.articles, public.countries cascade`)
			for _, advice := range supabasecli.Advisors(t, db.Owner(), "warn") {
				t.Errorf("%s %s: %s", advice.Level, advice.Name, advice.Detail)
			}
			// It does look: one policy as guides write it is found.
			exec(t, conn, fmt.Sprintf(`create policy taught on %s for select to authenticated using (auth.uid()::text = owner_id)`, catalog.Name{Schema: "public", Table: "notes_0"}))
			if len(supabasecli.Advisors(t, db.Owner(), "warn")) == 0 {
				t.Error("the linter finds nothing even in a policy that calls auth.uid() a row, beside another")
			}
		})
	}
}
