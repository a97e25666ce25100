package manual

import (
	"fmt"
	"strings"

	"clerksync/cmd/clerksync/internal/grammar"
)

// roff is the page for man, in the macros that every man knows. It has no date, so that
// the same program prints the same page.
func roff(g *grammar.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"%s\" \"User Commands\"\n.nh\n.ad l\n", strings.ToUpper(g.Name), g.Name)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roffWords(g.Name), roffWords(strings.TrimSuffix(g.Help, ".")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n%s.SH DESCRIPTION\n", roffUsage(g))
	var titled []part
	first := true
	for _, p := range parts(g.Text) {
		if p.Title != "" {
			titled = append(titled, p)
			continue
		}
		roffPart(&b, p, first)
		first = false
	}
	b.WriteString(".SH OPTIONS\nThese go with every command.\n")
	roffValues(&b, g.Flags)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range g.All()[1:] {
		fmt.Fprintf(&b, ".SS %s\n%s\n.PP\n%s", roffWords(c.String()), roffLines(c.Help), roffUsage(c))
		for _, p := range parts(c.Text) {
			roffPart(&b, p, false)
		}
		roffValues(&b, c.Arguments)
		roffValues(&b, c.Flags)
	}
	for _, p := range titled {
		title := strings.ToUpper(p.Title)
		if title == "EXIT CODES" {
			title = "EXIT STATUS" // as man calls them
		}
		fmt.Fprintf(&b, ".SH %s\n%s", title, roffCode(p.Code))
	}
	return b.String()
}

// roffUsage has what is typed as it is in bold.
func roffUsage(c *grammar.Command) string {
	return fmt.Sprintf(".B %s\n%s\n", roffWords(c.String()), roffWords(strings.TrimPrefix(c.Usage, c.String()+" ")))
}

func roffPart(b *strings.Builder, p part, first bool) {
	if !first {
		b.WriteString(".PP\n")
	}
	if p.Title != "" {
		fmt.Fprintf(b, "%s:\n.PP\n", roffLines(p.Title))
	}
	if p.Prose != "" {
		b.WriteString(roffLines(p.Prose) + "\n")
	}
	if p.Code != "" {
		b.WriteString(roffCode(p.Code))
	}
}

func roffCode(code string) string {
	return ".nf\n" + roffLines(strings.TrimSuffix(code, "\n")) + "\n.fi\n"
}

func roffValues(b *strings.Builder, values []grammar.Value) {
	for _, v := range values {
		usage := v.Usage
		if v.Short != 0 {
			usage = "-" + string(v.Short) + ", " + usage
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roffWords(usage), roffLines(v.Help))
	}
}

// roffWords keeps what roff would read as its own, within a line. What is typed has to be
// what can be copied.
func roffWords(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(text)
}

// roffLines does so for lines, of which none is an order.
func roffLines(text string) string {
	var lines []string
	for line := range strings.SplitSeq(roffWords(text), "\n") {
		if strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
