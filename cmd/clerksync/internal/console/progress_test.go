package console

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

func terminalProgress(w io.Writer) *Progress {
	return NewProgress(Console{Stdout: w, Stderr: w, StdoutTTY: true, StderrTTY: true, Lookup: func(string) (string, bool) { return "", false }})
}

// moved is what a run says after so many seconds.
type moved struct {
	after int
	at    Step
}

func play(p *Progress, steps []moved) {
	begun := time.Now()
	for _, s := range steps {
		now := begun.Add(time.Duration(s.after) * time.Second)
		p.updateAt(now, s.at)
		p.show(now)
	}
}

func TestProgress_DrawsABarOnATerminal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		steps []moved
		want  []string // parts of the last line
		not   string
	}{
		{
			"half way",
			[]moved{{0, Step{Phase: "users", Total: 1000}}, {5, Step{Phase: "users", Done: 500, Total: 1000}}},
			[]string{"50%", "(500/1000)", "users, 100/s, 5s left"},
			"429",
		},
		{
			"Clerk holds it up",
			[]moved{{0, Step{Phase: "users", Total: 1000}}, {5, Step{Phase: "users", Done: 500, Total: 1000, RateLimited: 2}}},
			[]string{"5s left, 2 × 429"},
			"",
		},
		{
			// What an earlier call has done is no rate.
			"resumed",
			[]moved{
				{0, Step{Phase: "counting"}},
				{1, Step{Phase: "users", Done: 800, Total: 1000}},
				{6, Step{Phase: "users", Done: 850, Total: 1000}},
			},
			[]string{"85%", "users, 10/s, 15s left"},
			"",
		},
		{
			"nothing known yet",
			[]moved{{0, Step{Phase: "counting"}}},
			[]string{"counting"},
			"%",
		},
		{
			"everything read",
			[]moved{{0, Step{Phase: "users", Total: 10}}, {1, Step{Phase: "deleting", Done: 10, Total: 10}}},
			[]string{"deleting, 10 of 10"},
			"%",
		},
		{
			// People who signed up meanwhile.
			"more than there were",
			[]moved{{0, Step{Phase: "users", Total: 10}}, {1, Step{Phase: "users", Done: 12, Total: 10}}},
			[]string{"users, 12 of 12"},
			"%",
		},
		{
			"the total grows",
			[]moved{
				{0, Step{Phase: "users", Done: 10, Total: 10}},
				{1, Step{Phase: "organization_memberships", Done: 10, Total: 40}},
			},
			[]string{"25%", "(10/40)", "organization memberships"},
			"",
		},
		{
			// Callbacks come from several goroutines.
			"an earlier state comes late",
			[]moved{{0, Step{Phase: "users", Done: 6, Total: 10}}, {1, Step{Phase: "users", Done: 5, Total: 10}}},
			[]string{"60%", "(6/10)"},
			"",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var written bytes.Buffer
			p := terminalProgress(&written)
			play(p, test.steps)
			lines := emulate(written.String())
			if len(lines) != 1 {
				t.Errorf("the terminal shows %q, want one line", lines)
			}
			for _, want := range test.want {
				if !strings.Contains(lines[0], want) {
					t.Errorf("the terminal shows %q, want %q in it", lines[0], want)
				}
			}
			if test.not != "" && strings.Contains(lines[0], test.not) {
				t.Errorf("the terminal shows %q, want no %q", lines[0], test.not)
			}
			p.Start()
			p.Close()
			if after := strings.Join(emulate(written.String()), "|"); after != "" {
				t.Errorf("at the end the terminal shows %q, want nothing", after)
			}
		})
	}
}

func TestProgress_KeepsTheBarBelowWhatIsPrinted(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	p := terminalProgress(&written)
	at := Step{Phase: "users", Done: 1, Total: 4}
	play(p, []moved{{0, at}})
	if _, err := p.Write([]byte("level=WARN msg=\"waiting for the database\"\n")); err != nil {
		t.Fatal(err)
	}
	play(p, []moved{{0, at}})
	p.Data("a line of data")
	play(p, []moved{{0, at}})
	lines := emulate(written.String())
	if len(lines) != 3 || lines[0] != `level=WARN msg="waiting for the database"` || lines[1] != "a line of data" || !strings.Contains(lines[2], "25%") {
		t.Errorf("the terminal shows %q, want the log, the data and the bar", lines)
	}
}

func TestProgress_WritesLinesElsewhere(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	p := NewProgress(Console{Stdout: &stdout, Stderr: &stderr, Lookup: func(string) (string, bool) { return "", false }})
	play(p, []moved{
		{0, Step{Phase: "counting"}},
		{1, Step{Phase: "users", Total: 4000}},
		{2, Step{Phase: "users", Done: 100, Total: 4000}},
		{6, Step{Phase: "organizations", Done: 1000, Total: 4000}},
		{7, Step{Phase: "users", Done: 1200, Total: 4000}}, // they are read side by side
		{17, Step{Phase: "users", Done: 2200, Total: 4000, RateLimited: 1}},
	})
	want := []string{
		"clerksync: counting",
		"clerksync: users, 0 of 4000",
		"clerksync: organizations, 1000 of 4000",
		"clerksync: users, 2200 of 4000, 100/s, 18s left, 1 × 429",
	}
	if got := strings.Split(strings.TrimSpace(stderr.String()), "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("stderr has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if stdout.Len() > 0 {
		t.Errorf("stdout has %q, want no talk there", stdout.String())
	}
}

// A terminal that cannot move its cursor gets lines.
func TestProgress_DrawsNothingOnADumbTerminal(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	p := NewProgress(Console{Stderr: &written, StderrTTY: true, Lookup: func(key string) (string, bool) { return "dumb", key == "TERM" }})
	play(p, []moved{{0, Step{Phase: "users", Done: 1, Total: 4}}})
	if got := written.String(); got != "clerksync: users, 1 of 4\n" {
		t.Errorf("written was %q, want one line", got)
	}
}

func TestProgress_TakesNewsFromManyAtOnce(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	p := terminalProgress(&written)
	p.Start()
	var tellers sync.WaitGroup
	for teller := range 8 {
		tellers.Go(func() {
			for i := range 100 {
				p.Update(Step{Phase: "users", Done: int64(100*teller + i), Total: 1000})
				p.show(time.Now())
			}
		})
	}
	tellers.Wait()
	if p.at.Done != 799 {
		t.Errorf("the furthest is %d, want 799", p.at.Done)
	}
	p.Close()
	if got := strings.Join(emulate(written.String()), "|"); got != "" {
		t.Errorf("at the end the terminal shows %q, want nothing", got)
	}
}
