package console

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
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

func animatedScreen(w io.Writer, environment map[string]string) *Screen {
	return NewScreen(Console{
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
	s.Data("one")
	shows("one|")
	s.Status([]string{"", "users 1", "events 1"})
	shows("one||users 1|events 1")
	s.Data("two")
	shows("one|two||users 1|events 1")
	s.Talk("a warning that is longer than any line of the status")
	shows("one|two|a warning that is longer than any line of the status||users 1|events 1")
	s.Status([]string{"", "users 2", "e"})
	shows("one|two|a warning that is longer than any line of the status||users 2|e")
	s.Close()
	shows("one|two|a warning that is longer than any line of the status|")
}

func TestScreen_ColoursOnlyATerminalThatWantsThem(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		console Console
		env     map[string]string
		want    bool
	}{
		"a terminal":           {Console{StdoutTTY: true, StderrTTY: true}, nil, true},
		"NO_COLOR":             {Console{StdoutTTY: true, StderrTTY: true}, map[string]string{"NO_COLOR": "1"}, false},
		"an empty NO_COLOR":    {Console{StdoutTTY: true, StderrTTY: true}, map[string]string{"NO_COLOR": ""}, true},
		"a dumb terminal":      {Console{StdoutTTY: true, StderrTTY: true}, map[string]string{"TERM": "dumb"}, false},
		"stdout is a pipe":     {Console{StderrTTY: true}, nil, false},
		"stderr is a file":     {Console{StdoutTTY: true}, nil, false},
		"JSON on the terminal": {Console{StdoutTTY: true, StderrTTY: true, JSON: true}, nil, false},
	} {
		var written bytes.Buffer
		c := test.console
		c.Stdout, c.Stderr = &written, &written
		c.Lookup = func(key string) (string, bool) { value, ok := test.env[key]; return value, ok }
		s := NewScreen(c)
		s.Data(s.Bold("applied"))
		if got := strings.Contains(written.String(), "\x1b["); got != test.want {
			t.Errorf("%s: wrote %q, coloured: %t, want %t", name, written.String(), got, test.want)
		}
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

// broken is a pipe whose reader has gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestOutput_RemembersTheFirstFailure(t *testing.T) {
	t.Parallel()
	o := Check(broken{})
	if again := Check(o); again != o || o.Err() != nil {
		t.Errorf("checked twice it is %v with %v, want the same without an error", again, o.Err())
	}
	select {
	case <-o.Failed():
		t.Error("it has failed before anything was written")
	default:
	}
	s := NewScreen(Console{Stdout: o, Stderr: io.Discard, Lookup: func(string) (string, bool) { return "", false }})
	s.Data("one")
	s.Data("two")
	<-o.Failed()
	if o.Err() == nil {
		t.Error("it forgets why")
	}
}
