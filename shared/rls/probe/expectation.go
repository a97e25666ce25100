package probe

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrExpectation is matched when a file of expectations cannot be read.
var ErrExpectation = errors.New("not a file of expectations")

const expectationHead = "# clerksync: who can do what, version 1. Every cell is checked; see the report for what decided.\n"

// Change is a cell that is not as expected.
type Change struct {
	Table   string    `json:"table"`
	Persona PersonaID `json:"persona"`
	Command CommandID `json:"command"`
	// Was is empty for a cell that nobody expected, Is for one that is gone.
	Was string `json:"was"`
	Is  string `json:"is"`
}

// String is the change in a line.
func (c Change) String() string {
	or := func(text string) string { return cmp.Or(text, "absent") }
	return fmt.Sprintf("%s: %s as %s was %s, is %s", escape(c.Table), c.Command, c.Persona, or(c.Was), or(c.Is))
}

// Expectation writes down what the report found, for [Compare] and for reviews:
// the matrices alone, without what decided.
func (r Report) Expectation() []byte {
	var b strings.Builder
	b.WriteString(expectationHead)
	for _, t := range r.Tables {
		b.WriteString("\ntable " + escape(t.Name) + "\n")
		if len(t.Cells) > 0 {
			b.WriteString(grid(t, " | ", false))
		}
	}
	return []byte(b.String())
}

// cellOf is what an expectation is about.
type cellOf struct {
	table   string
	persona PersonaID
	command CommandID
}

// Compare says which cells differ from a file that [Report.Expectation] wrote, in
// the file's order, then those that are new. The error matches ErrExpectation and
// names the line.
func Compare(expected []byte, got Report) ([]Change, error) {
	order, was, err := parseExpectation(expected)
	if err != nil {
		return nil, err
	}
	var changes []Change
	is := map[cellOf]string{}
	var fresh []cellOf
	for _, t := range got.Tables {
		for _, c := range t.Cells {
			key := cellOf{t.Name, c.Persona, c.Command}
			is[key] = c.Text
			if _, known := was[key]; !known {
				fresh = append(fresh, key)
			}
		}
	}
	for _, key := range slices.Concat(order, fresh) {
		if was[key] != is[key] {
			changes = append(changes, Change{key.table, key.persona, key.command, was[key], is[key]})
		}
	}
	return changes, nil
}

// parseExpectation reads the cells of a file, and their order.
func parseExpectation(file []byte) ([]cellOf, map[cellOf]string, error) {
	bad := func(line int, format string, args ...any) error {
		return fmt.Errorf("%w: line %d: %s", ErrExpectation, line, fmt.Sprintf(format, args...))
	}
	if !utf8.Valid(file) {
		return nil, nil, fmt.Errorf("%w: it is not UTF-8 text", ErrExpectation)
	}
	var order []cellOf
	cells := map[cellOf]string{}
	tables := map[string]bool{}
	table := ""
	var commands []CommandID
	number := 0
	for raw := range bytes.Lines(file) {
		number++
		line := strings.TrimSpace(string(raw))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, ok := strings.CutPrefix(line, "table "); ok {
			table, commands = unescaper.Replace(strings.TrimSpace(name)), nil
			if table == "" || tables[table] {
				return nil, nil, bad(number, "table %s is empty or there twice", name)
			}
			tables[table] = true
			continue
		}
		fields := strings.Split(line, "|")
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		switch {
		case table == "":
			return nil, nil, bad(number, "a matrix without a line \"table …\" before it")
		case fields[0] == "persona" && commands == nil:
			for _, f := range fields[1:] {
				if !slices.Contains(Commands(), CommandID(f)) || slices.Contains(commands, CommandID(f)) {
					return nil, nil, bad(number, "%q is no command, or there twice", f)
				}
				commands = append(commands, CommandID(f))
			}
			if commands == nil {
				return nil, nil, bad(number, "no commands")
			}
			continue
		case commands == nil:
			return nil, nil, bad(number, "a row without the heading \"persona | select | …\"")
		case len(fields) != len(commands)+1:
			return nil, nil, bad(number, "%d cells under %d commands", len(fields)-1, len(commands))
		}
		for i, command := range commands {
			key := cellOf{table, PersonaID(fields[0]), command}
			if _, twice := cells[key]; twice {
				return nil, nil, bad(number, "persona %q is there twice", fields[0])
			}
			if fields[i+1] == "" || fields[0] == "" {
				return nil, nil, bad(number, "an empty cell")
			}
			cells[key] = fields[i+1]
			order = append(order, key)
		}
	}
	if len(tables) == 0 {
		return nil, nil, fmt.Errorf("%w: it names no table", ErrExpectation)
	}
	return order, cells, nil
}
