package console

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Screen writes a stream of data to stdout and talk to stderr, line by line, and keeps
// a status below them where a terminal can. It is safe for concurrent use.
type Screen struct {
	Paper
	console Console
	// animated: there may be a status at the bottom.
	animated bool

	mu    sync.Mutex
	block []string
}

// NewScreen is a screen for a stream of data: the status is shown where that and the
// talk are one terminal.
func NewScreen(c Console) *Screen { return newScreen(c, c.StdoutTTY && !c.JSON) }

func newScreen(c Console, animated bool) *Screen {
	s := &Screen{console: c, animated: animated && c.capable(c.StderrTTY)}
	s.Paper = c.paper(c.Stdout, s.animated)
	return s
}

// Animated reports whether there may be a status.
func (s *Screen) Animated() bool { return s.animated }

// JSON reports whether data is wanted as JSON.
func (s *Screen) JSON() bool { return s.console.JSON }

// Width is that of the terminal that shows the data, 0 without one.
func (s *Screen) Width() int {
	if !s.console.StdoutTTY {
		return 0
	}
	return width(s.console.Stdout)
}

// width is a terminal's, 0 for anything else.
func width(w io.Writer) int {
	if checked, ok := w.(*Output); ok {
		w = checked.Writer
	}
	file, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// Data writes lines to stdout, on a terminal with a status no longer than that is wide.
func (s *Screen) Data(line string) {
	if s.animated {
		line = cut(line, s.Width())
	}
	s.print(true, strings.TrimRight(line, " "))
}

// Object writes a JSON object as one line to stdout.
func (s *Screen) Object(value any) {
	text, err := JSONText(value)
	if err != nil {
		s.Talk("clerksync: %v", err)
		return
	}
	s.print(true, text)
}

// Talk writes lines to stderr.
func (s *Screen) Talk(format string, args ...any) {
	s.print(false, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// What moves the cursor to the start of the line, up, and clears what follows.
const (
	lineStart = "\r"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
)

// print puts lines above the status. On one terminal everything goes out in one
// write, so that nothing flickers.
func (s *Screen) print(data bool, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.console.Stderr
	if data {
		to = s.console.Stdout
	}
	switch {
	case len(s.block) == 0:
		fmt.Fprint(to, text+"\n")
	case data && !s.console.StdoutTTY:
		fmt.Fprint(s.console.Stderr, s.top()+clearRest)
		fmt.Fprint(to, text+"\n")
		fmt.Fprint(s.console.Stderr, s.bottom())
	default:
		fmt.Fprint(to, s.top()+strings.ReplaceAll(text, "\n", clearLine+"\n")+clearLine+"\n"+s.bottom())
	}
}

// Status replaces the lines at the bottom; none takes them away.
func (s *Screen) Status(block []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.animated {
		return
	}
	top := s.top()
	s.block = block
	fmt.Fprint(s.console.Stderr, top+s.bottom()+clearRest)
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
	width := width(s.console.Stderr)
	lines := make([]string, len(s.block))
	for i, line := range s.block {
		lines[i] = cut(line, width) + clearLine
	}
	return strings.Join(lines, "\n")
}

// cut shortens a line to a width in cells, not counting what colours it.
func cut(line string, width int) string {
	if width <= 0 {
		return line
	}
	return ansi.Truncate(line, width, "")
}
