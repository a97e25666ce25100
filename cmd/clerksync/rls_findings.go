package main

import (
	"fmt"
	"io"
	"strings"

	"clerksync/shared/finding"
)

// paper writes text for people to one of the console's streams. Whatever comes
// from the database goes through it or through encode.
type paper struct {
	io.Writer
	colour bool
}

// onStdout and onStderr are coloured where that is a terminal, and is wanted.
func (c console) onStdout() paper { return c.paper(c.Stdout, c.StdoutTTY && !c.JSON) }
func (c console) onStderr() paper { return c.paper(c.Stderr, c.StderrTTY) }

func (c console) paper(w io.Writer, terminal bool) paper {
	for key, off := range map[string]func(string) bool{
		"NO_COLOR": func(value string) bool { return value != "" },
		"TERM":     func(value string) bool { return value == "dumb" },
	} {
		if value, _ := c.Lookup(key); off(value) {
			terminal = false
		}
	}
	return paper{w, terminal}
}

func (p paper) paint(code, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// statusColours are those of the status words.
var statusColours = map[finding.Status]string{finding.Pass: "32", finding.Warn: "33", finding.Fail: "31", finding.Skip: "36"}

// findings writes findings for people: the status and what is the matter, below
// it where and what was seen, and further in what to do, each line as it can be
// copied.
func (p paper) findings(list []finding.Finding) error {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s  %s\n", p.paint(statusColours[f.Status], string(f.Status)), p.paint("1", printable(f.Title)))
		where := f.ID
		if f.Object != "" {
			where = f.Object + ", " + f.ID
		}
		fmt.Fprintln(&b, p.paint("2", "      "+printable(where)))
		b.WriteString(indent("      ", f.Detail) + indent("        ", f.Remedy))
	}
	_, err := io.WriteString(p, b.String())
	return err
}

// indent puts a margin before each line of a text.
func indent(margin, text string) string {
	var b strings.Builder
	for line := range strings.Lines(harmless(text)) {
		b.WriteString(strings.TrimRight(margin+line, " \n") + "\n")
	}
	return b.String()
}

// sum counts findings in words.
func sum(list []finding.Finding) string {
	var parts []string
	for _, kind := range []struct {
		status   finding.Status
		one, all string
	}{
		{finding.Fail, "failure", "failures"},
		{finding.Warn, "warning", "warnings"},
		{finding.Skip, "check skipped", "checks skipped"},
	} {
		if n := finding.Count(list, kind.status); n > 0 {
			parts = append(parts, count(n, kind.one, kind.all))
		}
	}
	if len(parts) == 0 {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}
