// Package console is where commands read and write. Data goes to stdout, as tables or
// JSON, and talk to stderr: what went wrong, how far something is, questions. Nothing
// that comes from elsewhere gives a terminal orders.
package console

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Console is where a command reads and writes. Data goes to Stdout, talk to
// Stderr, so that a command's output can be piped.
type Console struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// StdoutTTY and StderrTTY say whether a person is looking.
	StdoutTTY, StderrTTY bool
	// Lookup reads the environment, and the file of --env-file where one is given.
	Lookup func(key string) (string, bool)
	// Version is the program's.
	Version string
	// JSON asks for machine-readable data on Stdout.
	JSON bool
	// Now is the clock that tokens are judged by; nil means the system's.
	Now func() time.Time
}

// Process is the console of the process.
func Process() Console {
	return Console{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdoutTTY: term.IsTerminal(int(os.Stdout.Fd())), StderrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		Lookup: os.LookupEnv,
	}
}

// Say talks to the person, on stderr. Whatever a text holds, a terminal obeys nothing of it.
func (c Console) Say(format string, args ...any) {
	fmt.Fprintln(c.Stderr, Harmless(fmt.Sprintf(format, args...)))
}

// Print writes data: value as JSON if that is asked for, else what rows makes
// of it, one row a line with its cells in columns.
func (c Console) Print(value any, rows func(row func(cells ...any))) error {
	if c.JSON {
		return c.Encode(value)
	}
	var lines [][]string
	rows(func(cells ...any) {
		line := make([]string, len(cells))
		for i, cell := range cells {
			line[i] = Printable(fmt.Sprint(cell))
		}
		lines = append(lines, line)
	})
	_, err := io.WriteString(c.Stdout, Columns(lines))
	return err
}

func (e *HintedError) Error() string { return e.err.Error() }

func (e *HintedError) Unwrap() error { return e.err }

// Encode writes a value to stdout as JSON in one line.
func (c Console) Encode(value any) error { return c.encode(value, "") }

// EncodeIndented writes a value as JSON for people.
func (c Console) EncodeIndented(value any) error { return c.encode(value, "  ") }

func (c Console) encode(value any, indent string) error {
	text, err := jsonText(value, indent)
	if err != nil {
		return err
	}
	_, err = io.WriteString(c.Stdout, text+"\n")
	return err
}

// Keyboard is the terminal at stdin, nil where that is none.
func (c Console) Keyboard() *os.File {
	file, ok := c.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}

// capable reports whether a stream that is a terminal obeys more than line breaks.
func (c Console) capable(terminal bool) bool {
	kind, _ := c.Lookup("TERM")
	return terminal && kind != "dumb"
}
