package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"clerksync/shared/devstack/clerkdouble/svix"
)

// emulate is as much of a terminal as the status needs: lines, a cursor, and
// the sequences that move it and clear behind it.
func emulate(written string) []string {
	lines, row, column := [][]rune{nil}, 0, 0
	for rest := []rune(written); len(rest) > 0; rest = rest[1:] {
		switch {
		case rest[0] == '\n':
			row, column = row+1, 0
			if row == len(lines) {
				lines = append(lines, nil)
			}
		case rest[0] == '\r':
			column = 0
		case rest[0] == '\x1b' && rest[1] == '[':
			end := 2
			for !strings.ContainsRune("AJKm", rest[end]) {
				end++
			}
			switch rest[end] {
			case 'A':
				row -= int(rest[2] - '0')
			case 'J':
				lines = lines[:row+1]
				fallthrough
			case 'K':
				from := column
				if rest[2] == '2' { // the whole line
					from = 0
				}
				lines[row] = lines[row][:min(from, len(lines[row]))]
			}
			rest = rest[end:]
		default:
			for len(lines[row]) <= column {
				lines[row] = append(lines[row], ' ')
			}
			lines[row][column] = rest[0]
			column++
		}
	}
	text := make([]string, len(lines))
	for i, line := range lines {
		text[i] = strings.TrimRight(string(line), " ")
	}
	return text
}

func animatedScreen(w io.Writer, environment map[string]string) *screen {
	return newScreen(console{
		Stdout: w, Stderr: w, StdoutTTY: true, StderrTTY: true,
		Lookup: func(key string) (string, bool) { value, ok := environment[key]; return value, ok },
	})
}

func TestScreen_KeepsTheStatusBelowTheStream(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	s := animatedScreen(&written, nil)
	shows := func(want string) {
		t.Helper()
		if got := strings.Join(emulate(written.String()), "|"); got != want {
			t.Errorf("the terminal shows %q, want %q", got, want)
		}
	}
	s.data("one")
	shows("one|")
	s.status([]string{"", "users 1", "events 1"})
	shows("one||users 1|events 1")
	s.data("two")
	shows("one|two||users 1|events 1")
	s.talk("a warning that is longer than any line of the status")
	shows("one|two|a warning that is longer than any line of the status||users 1|events 1")
	s.status([]string{"", "users 2", "e"})
	shows("one|two|a warning that is longer than any line of the status||users 2|e")
	s.close()
	shows("one|two|a warning that is longer than any line of the status|")
}

func TestScreen_ColoursOnlyATerminalThatWantsThem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		console console
		env     map[string]string
		want    bool
	}{
		"a terminal":           {console{StdoutTTY: true, StderrTTY: true}, nil, true},
		"NO_COLOR":             {console{StdoutTTY: true, StderrTTY: true}, map[string]string{"NO_COLOR": "1"}, false},
		"an empty NO_COLOR":    {console{StdoutTTY: true, StderrTTY: true}, map[string]string{"NO_COLOR": ""}, true},
		"a dumb terminal":      {console{StdoutTTY: true, StderrTTY: true}, map[string]string{"TERM": "dumb"}, false},
		"stdout is a pipe":     {console{StderrTTY: true}, nil, false},
		"stderr is a file":     {console{StdoutTTY: true}, nil, false},
		"JSON on the terminal": {console{StdoutTTY: true, StderrTTY: true, JSON: true}, nil, false},
	} {
		var written bytes.Buffer
		c := test.console
		c.Stdout, c.Stderr = &written, &written
		c.Lookup = func(key string) (string, bool) { value, ok := test.env[key]; return value, ok }
		s := newScreen(c)
		s.data(s.outcome("applied", "applied"))
		if got := strings.Contains(written.String(), "\x1b["); got != test.want {
			t.Errorf("%s: wrote %q, coloured: %t, want %t", name, written.String(), got, test.want)
		}
	}
}

// What a stranger put into an event must not reach the terminal as an order.
func TestDeliveryLine_IsHarmless(t *testing.T) {
	t.Parallel()
	var written bytes.Buffer
	s := newScreen(console{Stdout: &written, Stderr: &written, Lookup: func(string) (string, bool) { return "", false }})
	line := delivery{Type: "user.\x1b]0;owned\a", ObjectID: "user_\x1b[2J\n\r", Status: 200, Outcome: "applied"}.line(s)
	if strings.ContainsAny(line, "\x1b\a\n\r") {
		t.Errorf("line = %q holds control characters", line)
	}
}

func TestCut_CountsWhatIsSeen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		line  string
		width int
		want  string
	}{
		{"abcdef", 0, "abcdef"},
		{"abcdef", 6, "abcdef"},
		{"abcdef", 3, "abc"},
		// A colour takes no room, and its end is never lost.
		{"a\x1b[32mbcd\x1b[0me", 3, "a\x1b[32mbc\x1b[0m"},
		{"né…xyz", 3, "né…"},
	} {
		if got := cut(test.line, test.width); got != test.want {
			t.Errorf("cut(%q, %d) = %q, want %q", test.line, test.width, got, test.want)
		}
	}
}

func TestShorten_KeepsBothEnds(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"user_1":                           "user_1",
		"user_3PP8XHSrmWKESvyNKTaW8FqdxwO": "user_3PP8XHSr…dxwO",
	} {
		if got := shorten(id, 18); got != want {
			t.Errorf("shorten(%q, 18) = %q, want %q", id, got, want)
		}
	}
}

// broken is a pipe whose reader has gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestScreen_NoticesThatNobodyReads(t *testing.T) {
	t.Parallel()
	s := newScreen(console{Stdout: broken{}, Stderr: io.Discard, Lookup: func(string) (string, bool) { return "", false }})
	s.talk("talk does not matter")
	select {
	case <-s.gone:
		t.Error("gone before anything failed")
	default:
	}
	s.data("one")
	s.data("two")
	<-s.gone
}

func TestTally_SumsUp(t *testing.T) {
	t.Parallel()
	tally := newTally()
	for _, d := range []delivery{
		{Attempt: 1, Status: 503, Latency: 90},
		{Attempt: 2, Status: 200, Outcome: "applied", Latency: 4e6},
		{Attempt: 1, Status: 200, Outcome: "duplicate", Latency: 2e6},
		{Attempt: 8, Status: 0, GivenUp: true},
	} {
		tally.add(d)
	}
	s := tally.summary()
	if s.Outcomes["applied"] != 1 || s.Outcomes["duplicate"] != 1 || s.Failures != 2 || s.Retries != 2 {
		t.Errorf("summary = %+v", s)
	}
	if s.Latency != (latencies{P50: 2, P95: 2, P99: 2, Max: 4}) {
		t.Errorf("latencies = %+v, want those of the two answers", s.Latency)
	}
	s.Deliveries = &svix.Counts{}
	if got := tally.closing(s); !strings.HasPrefix(got, "4 deliveries in ") || !strings.Contains(got, "1 applied, 1 duplicate, 2 failed, 2 retried, 1 given up") {
		t.Errorf("closing = %q", got)
	}
}
