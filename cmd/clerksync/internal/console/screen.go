package console

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

// Screen writes a stream of data to stdout and talk to stderr and keeps a status
// at the bottom, where both are one terminal. It is safe for concurrent use.
type Screen struct {
	Json bool
	// animated: there is a status at the bottom.
	Animated bool
	colour   bool
	terminal *os.File

	// Gone is closed when nobody reads stdout any more.
	Gone chan struct{}

	mu             sync.Mutex
	stdout, stderr io.Writer
	block          []string
	failed         bool
}

func NewScreen(c Console) *Screen {
	get := func(key string) string {
		value, _ := c.Lookup(key)
		return value
	}
	s := &Screen{Json: c.JSON, stdout: c.Stdout, stderr: c.Stderr, Gone: make(chan struct{})}
	capable := c.StdoutTTY && get("TERM") != "dumb"
	s.Animated = capable && c.StderrTTY && !c.JSON
	s.colour = s.Animated && get("NO_COLOR") == ""
	if file, ok := c.Stdout.(*os.File); ok && capable {
		s.terminal = file
	}
	return s
}

// Width is the terminal's, 0 without one.
func (s *Screen) Width() int {
	if s.terminal == nil {
		return 0
	}
	width, _, err := term.GetSize(int(s.terminal.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Data writes one line to stdout, on a terminal no longer than that is wide.
func (s *Screen) Data(line string) {
	if s.Animated {
		line = cut(line, s.Width())
	}
	s.print(s.stdout, strings.TrimRight(line, " "))
}

// Object writes a JSON object as one line to stdout.
func (s *Screen) Object(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		s.Talk("clerksync: writing JSON: %v", err)
		return
	}
	s.print(s.stdout, string(text))
}

// Talk writes one line to stderr.
func (s *Screen) Talk(format string, args ...any) {
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
func (s *Screen) print(to io.Writer, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.block) > 0 {
		// Both are the same terminal.
		s.write(s.stdout, s.top()+line+clearLine+"\n"+s.bottom())
		return
	}
	s.write(to, line+"\n")
}

// Status replaces the lines at the bottom; none takes them away.
func (s *Screen) Status(block []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Animated {
		return
	}
	top := s.top()
	s.block = block
	s.write(s.stdout, top+s.bottom()+clearRest)
}

// Close leaves the terminal as a program without a status would.
func (s *Screen) Close() { s.Status(nil) }

// top moves to where the status begins.
func (s *Screen) top() string {
	if len(s.block) == 0 {
		return ""
	}
	if up := len(s.block) - 1; up > 0 {
		return fmt.Sprintf("%s\x1b[%dA", lineStart, up)
	}
	return lineStart
}

// bottom is the status, each line cut to the terminal's width.
func (s *Screen) bottom() string {
	width := s.Width()
	lines := make([]string, len(s.block))
	for i, line := range s.block {
		lines[i] = cut(line, width) + clearLine
	}
	return strings.Join(lines, "\n")
}

func (s *Screen) write(to io.Writer, text string) {
	if _, err := io.WriteString(to, text); err != nil && to == s.stdout && !s.failed {
		s.failed = true
		close(s.Gone)
	}
}

// cut shortens a line to a width in cells, not counting what colours it.
func cut(line string, width int) string {
	if width <= 0 {
		return line
	}
	return ansi.Truncate(line, width, "")
}

func (s *Screen) Paint(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *Screen) Bold(text string) string { return s.Paint("1", text) }

func (s *Screen) Dim(text string) string { return s.Paint("2", text) }

func (s *Screen) Green(text string) string { return s.Paint("32", text) }
