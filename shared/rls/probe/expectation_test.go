package probe_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/rls/probe"
)

// small is a report of one table, two personas and two commands.
func small(texts ...string) probe.Report {
	table := probe.TableReport{Name: "public.notes"}
	i := 0
	for _, persona := range []probe.PersonaID{probe.Anonymous, probe.Owner} {
		for _, command := range []probe.CommandID{probe.Select, probe.Insert} {
			table.Cells = append(table.Cells, probe.Cell{Persona: persona, Command: command, Text: texts[i]})
			i++
		}
	}
	return probe.Report{Tables: []probe.TableReport{table}}
}

func TestExpectation_ReadsWell(t *testing.T) {
	t.Parallel()
	got := string(small("deny 42501", "deny 42501", "2 own", "ok").Expectation())
	want := `# clerksync: who can do what, version 1. Every cell is checked; see the report for what decided.

table public.notes
persona   | select     | insert
anonymous | deny 42501 | deny 42501
owner     | 2 own      | ok
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("expectation (-want +got):\n%s", diff)
	}
}

func TestCompare_NamesEveryChange(t *testing.T) {
	t.Parallel()
	was := small("deny 42501", "deny 42501", "2 own", "ok")
	if changes, err := probe.Compare(was.Expectation(), was); err != nil || len(changes) > 0 {
		t.Errorf("the same report: %v, %v", changes, err)
	}
	changes, err := probe.Compare(was.Expectation(), small("all", "deny 42501", "2 own", "error 22P02"))
	if err != nil {
		t.Fatal(err)
	}
	want := []probe.Change{
		{Table: "public.notes", Persona: probe.Anonymous, Command: probe.Select, Was: "deny 42501", Is: "all"},
		{Table: "public.notes", Persona: probe.Owner, Command: probe.Insert, Was: "ok", Is: "error 22P02"},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got, want := changes[0].String(), "public.notes: select as anonymous was deny 42501, is all"; got != want {
		t.Errorf("change = %q, want %q", got, want)
	}

	// What is gone and what is new are changes, too.
	other := small("all", "all", "all", "all")
	other.Tables[0].Name = `public."Others"`
	changes, err = probe.Compare(was.Expectation(), other)
	if err != nil || len(changes) != 8 || changes[0].Is != "" || changes[7].Was != "" {
		t.Errorf("another table: %v, %v, want four cells gone and four new", changes, err)
	}
	if got, want := changes[7].String(), `public."Others": insert as owner was absent, is all`; got != want {
		t.Errorf("change = %q, want %q", got, want)
	}
}

// People edit these files: spaces, comments and the order of rows do not matter.
func TestCompare_ForgivesFormatting(t *testing.T) {
	t.Parallel()
	const edited = "# mine\r\ntable   public.notes\r\n\r\npersona|insert|select\r\n  # the owner first\r\nowner|ok|2 own\r\n anonymous |  deny 42501|deny 42501\r\n"
	changes, err := probe.Compare([]byte(edited), small("deny 42501", "deny 42501", "2 own", "ok"))
	if err != nil || len(changes) > 0 {
		t.Errorf("an edited file: %v, %v", changes, err)
	}
}

func TestCompare_SaysWhatIsWrongWithAFile(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, says string }{
		{"empty", "", "names no table"},
		{"comments only", "# nothing\n", "names no table"},
		{"no table", "persona | select\n", "line 1"},
		{"no heading", "table a\nowner | ok\n", "line 2: a row without the heading"},
		{"a command that is none", "table a\npersona | selekt\n", `line 2: "selekt" is no command`},
		{"a command twice", "table a\npersona | select | select\n", "there twice"},
		{"no commands", "table a\npersona\n", "no commands"},
		{"too few cells", "table a\npersona | select | insert\nowner | ok\n", "line 3: 1 cells under 2 commands"},
		{"a persona twice", "table a\npersona | select\nowner | ok\nowner | ok\n", `line 4: persona "owner" is there twice`},
		{"an empty cell", "table a\npersona | select\nowner |\n", "line 3: an empty cell"},
		{"a table twice", "table a\ntable a\n", "line 2: table a"},
		{"something else", "{\"json\": true}\n", "line 1"},
		{"bytes", "table a\n\xff\xfe", "not UTF-8"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := probe.Compare([]byte(test.file), probe.Report{})
			if !errors.Is(err, probe.ErrExpectation) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Compare(%q): error %v, want %v that says %q", test.file, err, probe.ErrExpectation, test.says)
			}
		})
	}
}

// Whatever the bytes: an error or changes, and a file whose cells are all expected
// compares as equal to a report that holds them.
func FuzzCompare(f *testing.F) {
	f.Add([]byte("table a\npersona | select\nowner | ok\n"))
	f.Add(small("deny 42501", "deny 42501", "2 own", "ok").Expectation())
	f.Add([]byte("table \"x\\ny\"\npersona|select|insert\n\u00a0|a|b\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		gone, err := probe.Compare(file, probe.Report{})
		if err != nil {
			if !errors.Is(err, probe.ErrExpectation) {
				t.Fatalf("Compare(%q): %v", file, err)
			}
			return
		}
		var report probe.Report
		at := map[string]int{}
		for _, change := range gone {
			i, known := at[change.Table]
			if !known {
				i = len(report.Tables)
				at[change.Table] = i
				report.Tables = append(report.Tables, probe.TableReport{Name: change.Table})
			}
			report.Tables[i].Cells = append(report.Tables[i].Cells, probe.Cell{Persona: change.Persona, Command: change.Command, Text: change.Was})
		}
		if changes, err := probe.Compare(file, report); err != nil || len(changes) > 0 {
			t.Fatalf("Compare(%q) with what it expects: %v, %v", file, changes, err)
		}
	})
}

// The ids are for programs: JSON names every cell and what decided it.
func TestReport_EncodesAsJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t, notes+policies("public.notes", ownerRule))
	text, err := json.Marshal(b.run("notes"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		Personas []struct{ ID, Is, Role string }
		Tables   []struct {
			Name  string
			Cells []struct {
				Persona, Command, Outcome, SQLState, Text string
				Decisions                                 []struct {
					By       string
					Policies []string
				}
			}
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Personas) < 15 || len(report.Tables) != 1 || len(report.Tables[0].Cells) < 100 {
		t.Fatalf("%d personas, %d tables", len(report.Personas), len(report.Tables))
	}
	for _, c := range report.Tables[0].Cells {
		if c.Persona == "owner" && c.Command == "forge-owner" {
			if c.Outcome != "deny" || c.SQLState != "42501" || len(c.Decisions) != 1 || c.Decisions[0].By != "policies-false" || c.Decisions[0].Policies[0] != "clerksync_insert" {
				t.Errorf("cell %+v", c)
			}
		}
	}
	for _, secret := range []string{"user_", "org_0", "sess_"} {
		if strings.Contains(string(text), `"`+secret) {
			t.Errorf("the JSON holds ids that begin with %s", secret)
		}
	}
}
