package console

import (
	"fmt"
	"io"
	"strings"

	"clerksync/shared/finding"
)

// Paper writes text for people to one of the console's streams. Whatever comes
// from the database goes through it, through a table or through JSON.
type Paper struct {
	io.Writer
	colour bool
}

// OnStdout is coloured where that is a terminal, and is wanted.
func (c Console) OnStdout() Paper { return c.paper(c.Stdout, c.StdoutTTY && !c.JSON) }

// OnStderr is coloured where that is a terminal, and is wanted.
func (c Console) OnStderr() Paper { return c.paper(c.Stderr, c.StderrTTY) }

func (c Console) paper(w io.Writer, terminal bool) Paper {
	plain, _ := c.Lookup("NO_COLOR")
	return Paper{w, c.capable(terminal) && plain == ""}
}

// Paint colours a text by the code of a terminal.
func (p Paper) Paint(code, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold makes a text stand out.
func (p Paper) Bold(text string) string { return p.Paint("1", text) }

// Dim makes a text recede.
func (p Paper) Dim(text string) string { return p.Paint("2", text) }

// StatusColours are those of the status words.
var StatusColours = map[finding.Status]string{finding.Pass: "32", finding.Warn: "33", finding.Fail: "31", finding.Skip: "36"}

// Findings writes findings for people: the status and what is the matter, below
// it where and what was seen, and further in what to do, each line as it can be
// copied.
func (p Paper) Findings(list []finding.Finding) error {
	_, err := io.WriteString(p, p.FindingsText(list))
	return err
}

// FindingsText is what [Paper.Findings] writes.
func (p Paper) FindingsText(list []finding.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s  %s\n", p.Paint(StatusColours[f.Status], string(f.Status)), p.Bold(Printable(f.Title)))
		where := f.ID
		if f.Object != "" {
			where = f.Object + ", " + f.ID
		}
		fmt.Fprintln(&b, p.Dim("      "+Printable(where)))
		b.WriteString(Indent("      ", f.Detail) + Indent("        ", f.Remedy))
	}
	return b.String()
}

// ToMend is an error where findings are failures.
func ToMend(list []finding.Finding) error {
	if n := finding.Count(list, finding.Fail); n > 0 {
		return Hint(fmt.Errorf("%s to mend", Count(n, "failure", "failures")), "each failure says what to do about it; then run the same command again")
	}
	return nil
}

// Sum counts findings in words.
func Sum(list []finding.Finding) string {
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
			parts = append(parts, Count(n, kind.one, kind.all))
		}
	}
	if len(parts) == 0 {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}
