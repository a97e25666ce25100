package probe_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/devstack/postgres"
	"clerksync/shared/finding"
	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

var update = flag.Bool("update", false, "write the matrices anew")

// patterns are the forms that the generator writes.
var patterns = []struct{ name, table, sql string }{
	{"owner", "notes", notes + policies("public.notes", ownerRule)},
	{"active-org", "papers", papers + policies("public.papers", activeRule)},
	{"member", "papers", papers + policies("public.papers", memberRule)},
	{"role", "papers", papers + policies("public.papers", adminRule)},
	{"permission", "papers", papers + policies("public.papers", `org_id = any (array(select clerk.my_org_ids_with_permission('org:invoices:manage')))`)},
	{"active-permission", "papers", papers + policies("public.papers", activeRule+` and (select clerk.has_org_permission('org:invoices:manage'))`)},
	{"custom-role", "papers", papers + policies("public.papers", `org_id = any (array(select clerk.my_org_ids_with_role(array['org:editor', 'org:admin'])))`)},
	{"app-role", "notes", notes + policies("public.notes", `(select clerk.claim('{metadata,role}')) = any (array['editor']) or `+ownerRule)},
	{"app-roles", "notes", notes + policies("public.notes", `(select clerk.claim_values('{app,roles}')) && array['editor', 'boss'] or `+ownerRule)},
	{"member-and-owner", "papers", papers + policies("public.papers", memberRule+` and `+ownerRule)},
	{"restrictive", "notes", notes + policies("public.notes", ownerRule) + `
		create policy clerksync_require_session on public.notes as restrictive for all to authenticated using ((select clerk.session_is_active()));
		create policy clerksync_require_factor on public.notes as restrictive for all to authenticated using ((select clerk.has_second_factor(60)));`},
	{"published", "notes", notes + `alter table public.notes add published boolean not null default false;
		grant select on public.notes to anon;
		create policy clerksync_anon_select on public.notes for select to anon using (published);
		create policy clerksync_select on public.notes for select to authenticated using (published or ` + ownerRule + `);
		create policy clerksync_insert on public.notes for insert to authenticated with check (` + ownerRule + `);`},
}

// Every form has its matrix on record, in projects that grant everything by
// default as in those that grant nothing.
func TestRun_MatricesOfTheGeneratedForms(t *testing.T) {
	t.Parallel()
	for _, pattern := range patterns {
		for regimeName, regime := range map[string]postgres.Regime{"explicit": postgres.Explicit, "legacy": postgres.Legacy} {
			t.Run(pattern.name+"/"+regimeName, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, pattern.sql, testdb.WithRegime(regime))
				report := b.run("public." + pattern.table)
				got := report.Text()
				path := filepath.Join("testdata", "matrix", pattern.name+".txt")
				if *update {
					if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), got); diff != "" {
					t.Errorf("matrix of %s (-want +got); -update writes it anew:\n%s", pattern.name, diff)
				}
				if finding.Failed(report.Findings()) {
					t.Errorf("findings of a sound table: %+v", report.Findings())
				}
				for _, cell := range report.Tables[0].Cells {
					for _, d := range cell.Decisions {
						if d.By == probe.ByUnknown || d.By == probe.ByData {
							t.Errorf("%s as %s: %s: %s", cell.Command, cell.Persona, cell.Text, d)
						}
					}
				}
			})
		}
	}
}

func TestRun_OwnerFormShowsWhoGetsWhat(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+policies("public.notes", ownerRule))
	table := b.run("public.notes").Tables[0]
	expect(
		t, table,
		"anonymous select: deny 42501", "no-role select: deny 42501",
		"owner select: 1 own", "owner insert: ok", "owner insert-returning: ok", "owner update-own: ok", "owner delete-own: ok",
		"owner forge-owner: deny 42501", "owner give-owner: deny 42501", "owner update-other: none", "owner delete-other: none",
		"owner-v1 select: 1 own", "other-user select: none", "other-user insert: ok", "admin update-own: none",
		"service-role select: all", "service-role forge-owner: ok", "supabase-uuid select: none",
	)
	for _, test := range []struct {
		persona probe.PersonaID
		command probe.CommandID
		want    string
	}{
		{probe.Anonymous, probe.Select, "missing grant: select on public.notes"},
		{probe.Owner, probe.Select, "let through by clerksync_select (select using); clerksync_select not true (select using)"},
		{probe.Owner, probe.ForgeOwner, "clerksync_insert not true (insert with check)"},
		{probe.Owner, probe.GiveOwner, "clerksync_update not true (update with check)"},
		{probe.OtherUser, probe.DeleteOwn, "clerksync_delete not true (delete using)"},
		{probe.ServiceRole, probe.DeleteOther, "the role bypasses row level security"},
	} {
		if got := because(t, table, test.persona, test.command); got != test.want {
			t.Errorf("%s as %s: %q, want %q", test.command, test.persona, got, test.want)
		}
	}
}

// The same tables give the same bytes, whatever ids a run draws.
func TestRun_IsDeterministic(t *testing.T) {
	t.Parallel()
	b := newBench(t, papers+policies("public.papers", memberRule)+`
		create function public.touch() returns trigger language plpgsql as $$ begin
			if new.title = 'untitled' then raise exception 'no title for % of %', new.owner_id, new.org_id; end if; return new; end $$;
		create trigger touch before update on public.papers for each row execute function public.touch();`)
	first, second := b.run("public.papers"), b.run("public.papers")
	if diff := cmp.Diff(first.Text(), second.Text()); diff != "" {
		t.Errorf("two runs differ (-first +second):\n%s", diff)
	}
	if got := because(t, first.Tables[0], probe.Owner, probe.UpdateOwn); !strings.Contains(got, "no title for <owner> of <own organization>") {
		t.Errorf("a trigger's message = %q, want it without ids", got)
	}
}
