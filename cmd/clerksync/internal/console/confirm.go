package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// errDeclined ends a command that was not confirmed.
var errDeclined = errors.New("not confirmed; nothing was changed")

// Confirm asks the person at the terminal. Where there is none it refuses.
func Confirm(ctx context.Context, c Console) error {
	file, isFile := c.Stdin.(*os.File)
	if !c.StderrTTY || isFile && !term.IsTerminal(int(file.Fd())) {
		return Hint(
			Usage(errors.New("something would be removed, and there is no terminal to ask at; nothing was changed")),
			"look at what is marked with − and give --yes",
		)
	}
	fmt.Fprint(c.Stderr, "Lines marked with − are removed. Go on? [y/N] ")
	answers := make(chan string, 1)
	// It may go on waiting when the answer does not matter any more: the program ends then.
	go func() {
		line, _ := bufio.NewReader(c.Stdin).ReadString('\n')
		answers <- line
	}()
	select {
	case <-ctx.Done():
		c.Say("")
		return ctx.Err()
	case answer := <-answers:
		if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
			return errDeclined
		}
		return nil
	}
}
