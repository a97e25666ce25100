// Package manual is the command manual: everything that "--help" says of every command, in
// one page, for man or as Markdown. It is made of the grammar.
package manual

import (
	"go/doc/comment"
	"io"
	"strings"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/cmd/clerksync/internal/grammar"
)

// Command is manual, as kong reads it.
type Command struct {
	Markdown bool `help:"As Markdown, as in docs/cli.md."`
}

// Help is the text below the flags' list in "clerksync manual --help".
func (Command) Help() string {
	return `It has the help of every command in one page, in the form that man reads.

Examples:
  clerksync manual > clerksync.1
  clerksync manual --markdown > cli.md

Put into a folder man1 of the manpath, such as /usr/local/share/man/man1, the file is found by "man clerksync".`
}

// Run is the command.
func (cmd Command) Run(c console.Console, g *grammar.Command) error {
	text := roff(g)
	if cmd.Markdown {
		text = markdown(g)
	}
	if c.JSON {
		return c.Encode(map[string]string{"manual": text})
	}
	_, err := io.WriteString(c.Stdout, text)
	return err
}

// part is a piece of a command's text: prose, or with Code what stands as it is, below a
// title where it has one.
type part struct {
	Title, Prose, Code string
}

// parts are those of a text in the form of Go's doc comments, of which the help uses
// paragraphs and indented lines. A short line with a colon above those is their title.
func parts(text string) []part {
	var all []part
	for _, block := range new(comment.Parser).Parse(text).Content {
		switch block := block.(type) {
		case *comment.Paragraph:
			all = append(all, part{Prose: plain(block.Text)})
		case *comment.Code:
			code := part{Code: block.Text}
			if last := len(all) - 1; last >= 0 && all[last].Code == "" {
				if title, ok := strings.CutSuffix(all[last].Prose, ":"); ok && !strings.ContainsAny(title, ".,\n") {
					code.Title, all = title, all[:last]
				}
			}
			all = append(all, code)
		}
	}
	return all
}

func plain(text []comment.Text) string {
	var b strings.Builder
	for _, t := range text {
		switch t := t.(type) {
		case comment.Plain:
			b.WriteString(string(t))
		case comment.Italic:
			b.WriteString(string(t))
		case *comment.Link:
			b.WriteString(plain(t.Text))
		case *comment.DocLink:
			b.WriteString(plain(t.Text))
		}
	}
	return b.String()
}
