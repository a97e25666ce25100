package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// errDeclined ends a command that was not confirmed.
var errDeclined = Hint(errors.New("not confirmed; nothing was changed"), "the same command asks again; with --yes it does not ask")

// Confirm asks the person at the terminal. Where there is none it refuses: unasked says why.
func (c Console) Confirm(ctx context.Context, question string, unasked error) error {
	if _, isFile := c.Stdin.(*os.File); !c.StderrTTY || isFile && c.Keyboard() == nil {
		return unasked
	}
	fmt.Fprint(c.Stderr, question+" Go on? [y/N] ")
	if in := c.Keyboard(); in != nil {
		answer, err := c.line(ctx, in)
		if err != nil {
			return err
		}
		return agreed(answer)
	}
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
		return agreed(answer)
	}
}

func agreed(answer string) error {
	if word := strings.ToLower(strings.TrimSpace(answer)); word != "y" && word != "yes" {
		return errDeclined
	}
	return nil
}
