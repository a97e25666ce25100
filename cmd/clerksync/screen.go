package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// screen writes a stream of data to stdout and talk to stderr and keeps a status
// at the bottom, where both are one terminal. It is safe for concurrent use.
type screen struct {
	json bool
	// animated: there is a status at the bottom.
	animated bool
	colour   bool
	terminal *os.File

	// gone is closed when nobody reads stdout any more.
	gone chan struct{}

	mu             sync.Mutex
	stdout, stderr io.Writer
	block          []string
	failed         bool
}

func newScreen(c console) *screen {
	get := func(key string) string {
		value, _ := c.Lookup(key)
		return value
	}
	s := &screen{json: c.JSON, stdout: c.Stdout, stderr: c.Stderr, gone: make(chan struct{})}
	capable := c.StdoutTTY && get("TERM") != "dumb"
	s.animated = capable && c.StderrTTY && !c.JSON
	s.colour = s.animated && get("NO_COLOR") == ""
	if file, ok := c.Stdout.(*os.File); ok && capable {
		s.terminal = file
	}
	return s
}

// width is the terminal's, 0 without one.
func (s *screen) width() int {
	if s.terminal == nil {
		return 0
	}
	width, _, err := term.GetSize(int(s.terminal.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// data writes one line to stdout, on a terminal no longer than that is wide.
func (s *screen) data(line string) {
	if s.animated {
		line = cut(line, s.width())
	}
	s.print(s.stdout, strings.TrimRight(line, " "))
}

// object writes a JSON object as one line to stdout.
func (s *screen) object(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		s.talk("clerksync: writing JSON: %v", err)
		return
	}
	s.print(s.stdout, string(text))
}

// talk writes one line to stderr.
func (s *screen) talk(format string, args ...any) {
	s.print(s.stderr, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// What moves the cursor to the start of the line, up, and clears what follows.
const (
	lineStart = "\r"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
)

// print puts a line above the status. Everything goes out in one write, so that
// nothing flickers.
func (s *screen) print(to io.Writer, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.block) > 0 {
		// Both are the same terminal.
		s.write(s.stdout, s.top()+line+clearLine+"\n"+s.bottom())
		return
	}
	s.write(to, line+"\n")
}

// status replaces the lines at the bottom; none takes them away.
func (s *screen) status(block []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.animated {
		return
	}
	top := s.top()
	s.block = block
	s.write(s.stdout, top+s.bottom()+clearRest)
}

// close leaves the terminal as a program without a status would.
func (s *screen) close() { s.status(nil) }

// top moves to where the status begins.
func (s *screen) top() string {
	if len(s.block) == 0 {
		return ""
	}
	if up := len(s.block) - 1; up > 0 {
		return fmt.Sprintf("%s\x1b[%dA", lineStart, up)
	}
	return lineStart
}

// bottom is the status, each line cut to the terminal's width.
func (s *screen) bottom() string {
	width := s.width()
	lines := make([]string, len(s.block))
	for i, line := range s.block {
		lines[i] = cut(line, width) + clearLine
	}
	return strings.Join(lines, "\n")
}

func (s *screen) write(to io.Writer, text string) {
	if _, err := io.WriteString(to, text); err != nil && to == s.stdout && !s.failed {
		s.failed = true
		close(s.gone)
	}
}

// cut shortens a line to a width in cells, not counting what colours it.
func cut(line string, width int) string {
	if width <= 0 {
		return line
	}
	return ansi.Truncate(line, width, "")
}

func (s *screen) paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *screen) bold(text string) string  { return s.paint("1", text) }
func (s *screen) dim(text string) string   { return s.paint("2", text) }
func (s *screen) green(text string) string { return s.paint("32", text) }
