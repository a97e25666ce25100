package probe_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
)

func TestReport_TextHoldsFindingsAndPlans(t *testing.T) {
	t.Parallel()
	report := probe.Report{
		Personas: []probe.Persona{{ID: probe.Owner, Is: "the owner", Role: "authenticated"}},
		Tables: []probe.TableReport{
			{
				Name: "public.\"a\nb\"", Kind: catalog.Ordinary, RowSecurity: true, Forced: true, Own: 2, Other: 1,
				Cells: []probe.Cell{{Persona: probe.Owner, Command: probe.Select, Outcome: probe.Allow, Own: 2, Text: "2 own", Decisions: []probe.Decision{
					{By: probe.ByPolicy, Command: catalog.Select, Clause: "using", Policies: []string{"mine", "Ours"}},
				}}},
				Findings: []finding.Finding{{ID: "rls.probe.no_index", Status: finding.Warn, Object: "public.t", Title: "No index", Detail: "line\nbreak", Remedy: "create index"}},
				Plans:    []probe.Plan{{Persona: probe.Owner, Command: probe.Select, SeqScanOff: true, Text: "Seq Scan on t\n  Filter: x\n"}},
			},
			{Name: "public.m", Kind: catalog.MaterializedView, Findings: []finding.Finding{{ID: "rls.probe.kind", Status: finding.Skip, Title: "Not probed"}}},
		},
	}
	want := `public."a\nb": table, row level security on, for its owner too
own: 2 of the owner, in the owner's organization; other: 1 of a stranger, in another

persona  select
owner    2 own

What decided
  select           2 own: let through by mine, "Ours" (select using) [owner]

Findings
  warn  rls.probe.no_index: No index
        at      public.t
        seen    line\nbreak
        remedy  create index

Plan of select as owner, sequential scans avoided
  Seq Scan on t
    Filter: x

public.m: materialized view, row level security off

Findings
  skip  rls.probe.kind: Not probed

Personas
  owner              the owner
`
	if diff := cmp.Diff(want, report.Text()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}
