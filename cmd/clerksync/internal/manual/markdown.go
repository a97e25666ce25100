package manual

import (
	"fmt"
	"strings"

	"clerksync/cmd/clerksync/internal/grammar"
)

func markdown(g *grammar.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\n%s\n\n", g.Help)
	fmt.Fprintf(&b, "```\n%s\n```\n\n", g.Usage)
	b.WriteString("This page is `clerksync manual --markdown`, and [clerksync.1](clerksync.1) the same for `man`; both are made of what `--help` says of each command.\n")
	markdownText(&b, g, "## ")
	b.WriteString("\n## Flags of every command\n\n")
	markdownValues(&b, "flag", g.Flags)
	b.WriteString("\n## Commands\n\n")
	for _, c := range g.All()[1:] {
		fmt.Fprintf(&b, "- [%s](#%s): %s\n", c, strings.ReplaceAll(c.String(), " ", "-"), markdownProse(c.Help))
	}
	for _, c := range g.All()[1:] {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n```\n", c, markdownProse(c.Help), c.Usage)
		markdownText(&b, c, "**")
		for _, values := range []struct {
			what string
			of   []grammar.Value
		}{{"argument", c.Arguments}, {"flag", c.Flags}} {
			if len(values.of) > 0 {
				b.WriteString("\n")
				markdownValues(&b, values.what, values.of)
			}
		}
	}
	return b.String()
}

// markdownText writes what a command says, with titles behind a mark.
func markdownText(b *strings.Builder, c *grammar.Command, mark string) {
	for _, p := range parts(c.Text) {
		b.WriteString("\n")
		if p.Title != "" {
			fmt.Fprintf(b, "%s%s%s\n\n", mark, p.Title, strings.TrimRight(mark, "# "))
		}
		if p.Prose != "" {
			b.WriteString(markdownProse(p.Prose) + "\n")
		}
		if p.Code != "" {
			fmt.Fprintf(b, "```\n%s```\n", p.Code)
		}
	}
}

func markdownValues(b *strings.Builder, what string, values []grammar.Value) {
	fmt.Fprintf(b, "| %s | |\n|---|---|\n", what)
	for _, v := range values {
		usage := v.Usage
		if v.Short != 0 {
			usage = "-" + string(v.Short) + ", " + usage
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", strings.ReplaceAll(usage, "|", `\|`), strings.ReplaceAll(markdownProse(v.Help), "|", `\|`))
	}
}

// markdownProse keeps what Markdown would read as its own.
func markdownProse(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "`", "\\`").Replace(text)
}
