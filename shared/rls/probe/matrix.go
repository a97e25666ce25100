package probe

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"clerksync/shared/finding"
)

// Text renders the report for people: for each table the matrix, what decided,
// and what was found.
func (r Report) Text() string {
	var b strings.Builder
	for i, t := range r.Tables {
		if i > 0 {
			b.WriteByte('\n')
		}
		r.table(&b, t)
	}
	if slices.ContainsFunc(r.Tables, func(t TableReport) bool { return len(t.Cells) > 0 }) {
		b.WriteString("\nPersonas\n")
		for _, p := range r.Personas {
			fmt.Fprintf(&b, "  %-18s %s\n", p.ID, p.Is)
		}
	}
	return b.String()
}

func (r Report) table(b *strings.Builder, t TableReport) {
	fmt.Fprintf(b, "%s: %s, row level security %s\n", escape(t.Name), t.Kind, security(t))
	if len(t.Cells) > 0 {
		fmt.Fprintf(b, "own: %d of the owner, in the owner's organization; other: %d of a stranger, in another\n\n", t.Own, t.Other)
		b.WriteString(grid(t, "  ", true))
		b.WriteString("\nWhat decided\n")
		for _, command := range t.commands() {
			for _, line := range reasons(t, command) {
				b.WriteString("  " + line + "\n")
			}
		}
	}
	if len(t.Findings) > 0 {
		b.WriteString("\nFindings\n")
		for _, f := range t.Findings {
			writeFinding(b, f)
		}
	}
	for _, p := range t.Plans {
		fmt.Fprintf(b, "\nPlan of %s as %s%s\n", p.Command, p.Persona, withoutScans(p))
		for line := range strings.Lines(p.Text) {
			b.WriteString("  " + line)
		}
	}
}

func withoutScans(p Plan) string {
	if p.SeqScanOff {
		return ", sequential scans avoided"
	}
	return ""
}

func security(t TableReport) string {
	switch {
	case t.RowSecurity && t.Forced:
		return "on, for its owner too"
	case t.RowSecurity:
		return "on"
	default:
		return "off"
	}
}

func writeFinding(b *strings.Builder, f finding.Finding) {
	fmt.Fprintf(b, "  %s  %s: %s\n", f.Status, f.ID, escape(f.Title))
	if f.Object != "" {
		fmt.Fprintf(b, "        at      %s\n", escape(f.Object))
	}
	if f.Detail != "" {
		fmt.Fprintf(b, "        seen    %s\n", escape(f.Detail))
	}
	label := "remedy"
	for line := range strings.Lines(f.Remedy) {
		fmt.Fprintf(b, "        %-6s  %s\n", label, escape(strings.TrimSuffix(line, "\n")))
		label = ""
	}
}

// commands are those that were tried, in order.
func (t *TableReport) commands() []CommandID {
	var list []CommandID
	for _, command := range Commands() {
		if slices.ContainsFunc(t.Cells, func(c Cell) bool { return c.Command == command }) {
			list = append(list, command)
		}
	}
	return list
}

func (t *TableReport) personas() []PersonaID {
	var list []PersonaID
	for _, c := range t.Cells {
		if !slices.Contains(list, c.Persona) {
			list = append(list, c.Persona)
		}
	}
	return list
}

// grid is the matrix itself. Cells are two spaces or " | " apart; the alarm marks
// the callers whom no policy holds back.
func grid(t TableReport, separator string, alarm bool) string {
	commands := t.commands()
	heading := []string{"persona"}
	for _, command := range commands {
		heading = append(heading, string(command))
	}
	rows := [][]string{heading}
	for _, persona := range t.personas() {
		name := string(persona)
		if alarm && persona == ServiceRole {
			name = "! " + name
		}
		row := []string{name}
		for _, command := range commands {
			cell, _ := t.Cell(persona, command)
			row = append(row, cell.Text)
		}
		rows = append(rows, row)
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			if i > 0 {
				line.WriteString(separator)
			}
			line.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// reasons are the lines that say what decided a command, each with the personas
// that it decided for.
func reasons(t TableReport, command CommandID) []string {
	type group struct {
		text     string
		personas []string
	}
	var groups []*group
	for _, c := range t.Cells {
		if c.Command != command {
			continue
		}
		texts := make([]string, len(c.Decisions))
		for i, d := range c.Decisions {
			texts[i] = d.String()
		}
		text := c.Text + ": " + strings.Join(texts, "; ")
		i := slices.IndexFunc(groups, func(g *group) bool { return g.text == text })
		if i < 0 {
			groups = append(groups, &group{text: text})
			i = len(groups) - 1
		}
		groups[i].personas = append(groups[i].personas, string(c.Persona))
	}
	lines := make([]string, len(groups))
	heading := string(command)
	for i, g := range groups {
		lines[i] = fmt.Sprintf("%-16s %s [%s]", heading, escape(g.text), strings.Join(g.personas, ", "))
		heading = ""
	}
	return lines
}

var (
	escaper   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
	unescaper = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
)

// escape keeps a text on one line.
func escape(text string) string { return escaper.Replace(text) }
