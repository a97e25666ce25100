package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
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

// say talks to the person, on stderr.
func (c console) say(format string, args ...any) {
	fmt.Fprintf(c.Stderr, format+"\n", args...)
}

// print writes data: value as JSON if that is asked for, else what rows makes
// of it, one row a line with its cells in columns.
func (c console) print(value any, rows func(row func(cells ...any))) error {
	if c.JSON {
		return json.NewEncoder(c.Stdout).Encode(value)
	}
	table := tabwriter.NewWriter(c.Stdout, 0, 0, 2, ' ', 0)
	rows(func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(table, "\t")
			}
			fmt.Fprint(table, cell)
		}
		fmt.Fprintln(table)
	})
	return table.Flush()
}

// hintedError is an error with what to do about it, which is said in a line of
// its own.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }
