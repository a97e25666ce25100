package probe_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"clerksync/shared/rls/catalog"
	"clerksync/shared/rls/probe"
	"clerksync/shared/testkit/testdb"
)

func TestMain(m *testing.M) { os.Exit(testdb.Main(m)) }

// bench is a database with tables of a test's own.
type bench struct {
	*testing.T
	db   *testdb.DB
	conn *pgx.Conn
}

func newBench(t *testing.T, sql string, options ...testdb.Option) bench {
	t.Helper()
	db := testdb.New(t, options...)
	b := bench{t, db, db.Conn(t, db.Owner())}
	if sql != "" {
		b.exec(sql)
	}
	return b
}

func (b bench) exec(sql string) {
	b.Helper()
	if _, err := b.conn.Exec(b.Context(), sql); err != nil {
		b.Fatalf("running %s: %v", sql, err)
	}
}

// run probes tables and fails the test when that cannot be done.
func (b bench) run(tables ...string) probe.Report {
	b.Helper()
	return b.runWith(probe.Options{}, tables...)
}

func (b bench) runWith(o probe.Options, tables ...string) probe.Report {
	b.Helper()
	o.Tables = append(o.Tables, names(b.T, tables...)...)
	report, err := probe.Run(b.Context(), b.conn, o)
	if err != nil {
		b.Fatalf("probing %v: %v", tables, err)
	}
	return report
}

func names(t *testing.T, texts ...string) []catalog.Name {
	t.Helper()
	list := make([]catalog.Name, len(texts))
	for i, text := range texts {
		name, err := catalog.ParseName(text)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = name
	}
	return list
}

// cells reads a table's cells as "persona command": "text".
func cells(t probe.TableReport) map[string]string {
	list := map[string]string{}
	for _, c := range t.Cells {
		list[string(c.Persona)+" "+string(c.Command)] = c.Text
	}
	return list
}

// expect checks cells, given as "persona command: text".
func expect(t *testing.T, report probe.TableReport, wants ...string) {
	t.Helper()
	got := cells(report)
	for _, want := range wants {
		at, text, _ := strings.Cut(want, ": ")
		if got[at] != text {
			t.Errorf("%s: %s = %q, want %q", report.Name, at, got[at], text)
		}
	}
}

// found lists the ids of a table's findings with a status.
func found(t probe.TableReport) []string {
	var list []string
	for _, f := range t.Findings {
		list = append(list, string(f.Status)+" "+f.ID)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// because is what decided a cell, in words.
func because(t *testing.T, report probe.TableReport, persona probe.PersonaID, command probe.CommandID) string {
	t.Helper()
	cell, ok := report.Cell(persona, command)
	if !ok {
		t.Fatalf("%s has no cell for %s as %s", report.Name, command, persona)
	}
	var texts []string
	for _, d := range cell.Decisions {
		texts = append(texts, d.String())
	}
	return strings.Join(texts, "; ")
}

// notes is a table in the form that most tests use.
const notes = `
	create table public.notes (
		id bigint generated always as identity primary key,
		owner_id text not null default clerk.user_id(),
		title text not null default 'untitled'
	);
	create index on public.notes (owner_id);
	alter table public.notes enable row level security;
	revoke all on public.notes from public, anon, authenticated, service_role;
	grant select, insert, update, delete on public.notes to authenticated, service_role;
`

// papers belong to an organization, too.
const papers = `
	create table public.papers (
		id uuid primary key default gen_random_uuid(),
		owner_id text not null default clerk.user_id(),
		org_id text not null,
		title text not null default 'untitled'
	);
	create index on public.papers (owner_id);
	create index on public.papers (org_id);
	alter table public.papers enable row level security;
	revoke all on public.papers from public, anon, authenticated, service_role;
	grant select, insert, update, delete on public.papers to authenticated, service_role;
`

// all four commands, each with one rule, in the form of the generator.
func policies(table, rule string) string {
	return strings.NewReplacer("TABLE", table, "RULE", rule).Replace(`
	create policy clerksync_select on TABLE for select to authenticated using (RULE);
	create policy clerksync_insert on TABLE for insert to authenticated with check (RULE);
	create policy clerksync_update on TABLE for update to authenticated using (RULE) with check (RULE);
	create policy clerksync_delete on TABLE for delete to authenticated using (RULE);
`)
}

const (
	ownerRule  = `owner_id = (select clerk.user_id())`
	activeRule = `org_id = (select clerk.org_id())`
	memberRule = `org_id = any (array(select clerk.my_org_ids()))`
	adminRule  = `org_id = any (array(select clerk.my_org_ids_with_role(array['org:admin'])))`
)
