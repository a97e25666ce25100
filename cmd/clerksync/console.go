package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// console is where a command reads and writes. Data goes to Stdout, talk to
// Stderr, so that a command's output can be piped.
type console struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// StdoutTTY and StderrTTY say whether a person is looking.
	StdoutTTY, StderrTTY bool
	// Lookup reads the environment, and the file of --env-file where one is given.
	Lookup func(key string) (string, bool)
	// JSON asks for machine-readable data on Stdout.
	JSON bool
	// Now is the clock that tokens are judged by; nil means the system's.
	Now func() time.Time
}

func processConsole() console {
	return console{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdoutTTY: term.IsTerminal(int(os.Stdout.Fd())), StderrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		Lookup: os.LookupEnv,
	}
}

// say talks to the person, on stderr. Whatever a text holds, a terminal obeys nothing of it.
func (c console) say(format string, args ...any) {
	fmt.Fprintln(c.Stderr, harmless(fmt.Sprintf(format, args...)))
}

// print writes data: value as JSON if that is asked for, else what rows makes
// of it, one row a line with its cells in columns.
func (c console) print(value any, rows func(row func(cells ...any))) error {
	if c.JSON {
		return encode(c.Stdout, value)
	}
	var lines [][]string
	rows(func(cells ...any) {
		line := make([]string, len(cells))
		for i, cell := range cells {
			line[i] = printable(fmt.Sprint(cell))
		}
		lines = append(lines, line)
	})
	_, err := io.WriteString(c.Stdout, columns(lines))
	return err
}

// hintedError is an error with what to do about it, which is said in a line of
// its own.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// withHint adds to an error what to do about it.
func withHint(err error, hint string) error { return &hintedError{err, hint} }
