package probe_test

import (
	"slices"
	"strings"
	"testing"

	"clerksync/shared/rls/probe"
)

func TestRun_ExplainFlagsWhatRunsPerRow(t *testing.T) {
	t.Parallel()
	helper := `create schema app; grant usage on schema app to authenticated;
		create function app.belongs(org text) returns boolean language sql stable security definer set search_path = '' as $$
			select exists (select from public.organization_memberships as m where m.clerk_org_id = org and m.clerk_user_id = clerk.user_id()) $$;
		grant execute on function app.belongs(text) to authenticated;`
	tests := []struct {
		name, table, sql string
		findings         []string
		says             string
	}{
		{"owner", "notes", notes + policies("public.notes", ownerRule), nil, ""},
		{"active organization", "papers", papers + policies("public.papers", activeRule), nil, ""},
		{"member", "papers", papers + policies("public.papers", memberRule), nil, ""},
		{"role", "papers", papers + policies("public.papers", adminRule), nil, ""},
		{"member or owner, both indexed", "papers", papers + policies("public.papers", memberRule+" or "+ownerRule), nil, ""},
		{"restrictive", "notes", notes + policies("public.notes", ownerRule) + `create policy r on public.notes as restrictive for all to authenticated using ((select clerk.session_is_active()));`, nil, ""},
		{"everything", "notes", notes + policies("public.notes", "true"), nil, ""},
		{"bare clerk.user_id()", "notes", notes + policies("public.notes", `owner_id = clerk.user_id() or title = 'open'`), []string{"warn rls.probe.no_index", "warn rls.probe.per_row"}, "clerk.user_id stands in the filter"},
		// A call that is not wrapped can still be an index condition, which runs it once.
		{"bare call, indexed", "notes", notes + policies("public.notes", `owner_id = clerk.user_id()`), nil, ""},
		{"bare auth.jwt()", "notes", notes + policies("public.notes", `(auth.jwt() ->> 'sub') || '' = owner_id || ''`), []string{"warn rls.probe.no_index", "warn rls.probe.per_row"}, "current_setting"},
		{"security definer per row", "papers", papers + helper + policies("public.papers", `app.belongs(org_id)`), []string{"warn rls.probe.no_index", "warn rls.probe.per_row"}, "app.belongs stands in the filter"},
		{"exists", "papers", papers + policies("public.papers", `exists (select from public.organization_memberships as m where m.clerk_org_id = papers.org_id and m.clerk_user_id = (select clerk.user_id()))`), []string{"warn rls.probe.no_index"}, "= any (array(select …))"},
		{"correlated count", "papers", papers + policies("public.papers", `(select count(*) from public.organization_memberships as m where m.clerk_org_id = papers.org_id and m.clerk_user_id = (select clerk.user_id())) > 0`), []string{"warn rls.probe.per_row"}, "correlated subquery"},
		{"hashed in", "papers", papers + policies("public.papers", `org_id in (select clerk.my_org_ids())`), []string{"warn rls.probe.no_index"}, "= any (array(select …))"},
		{"no index", "notes", notes + `drop index public.notes_owner_id_idx;` + policies("public.notes", ownerRule), []string{"warn rls.probe.no_index"}, "create index on public.notes (owner_id);"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, test.sql)
			table := b.runWith(probe.Options{Explain: true}, test.table).Tables[0]
			var got []string
			text := ""
			for _, f := range table.Findings {
				if f.ID == "rls.probe.per_row" || f.ID == "rls.probe.no_index" {
					got = append(got, string(f.Status)+" "+f.ID)
					text += f.Detail + f.Remedy
				}
			}
			slices.Sort(got)
			got = slices.Compact(got)
			if !slices.Equal(got, test.findings) || !strings.Contains(text, test.says) {
				t.Errorf("findings %v, want %v that say %q\n%s\n%+v", got, test.findings, test.says, text, table.Plans)
			}
			if len(table.Plans) < 3 || !strings.Contains(table.Plans[0].Text, "cost=") {
				t.Errorf("%d plans, want at least one for each command", len(table.Plans))
			}
		})
	}
}

func TestRun_ExplainIsOffByItself(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+`drop index public.notes_owner_id_idx;`+policies("public.notes", ownerRule))
	table := b.run("notes").Tables[0]
	if len(table.Plans) != 0 || len(table.Findings) != 0 {
		t.Errorf("plans %v and findings %v, want none", table.Plans, table.Findings)
	}
}
