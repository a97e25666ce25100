package clitest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/console"
)

// Answer is what is typed when the terminal shows a question.
type Answer struct{ Asks, Typed string }

// AtTerminal runs a command line at a pseudo terminal, which answers what it is asked. now is
// the clock; nil means the system's.
func AtTerminal[C any](t *testing.T, settings map[string]string, now func() time.Time, answers []Answer, args ...string) (code int, stdout, shown string) {
	t.Helper()
	tty, keys := NewKeyboard(t)
	var out bytes.Buffer
	done := make(chan error, 1)
	go func() {
		got := On[C](t.Context(), console.Console{Stdin: tty, Stdout: &out, Stderr: tty, StderrTTY: true, Now: now}, settings, args...)
		code = got.Code
		done <- fmt.Errorf("exit code %d", got.Code)
		close(done)
	}()
	seen := 0
	for _, a := range answers {
		// Behind what was answered before: a question may come twice.
		keys.Screen.Await(t, a.Asks, done, func() bool { return strings.Contains(keys.Screen.Stdout()[seen:], a.Asks) })
		text := keys.Screen.Stdout()
		seen += strings.Index(text[seen:], a.Asks) + len(a.Asks)
		if _, err := keys.WriteString(a.Typed + "\r"); err != nil {
			t.Fatal(err)
		}
	}
	for range done {
		// How it ended is in code.
	}
	if _, err := tty.WriteString("the end"); err != nil {
		t.Fatal(err)
	}
	keys.Screen.Await(t, "the end", nil, func() bool { return strings.Contains(keys.Screen.Stdout(), "the end") })
	return code, out.String(), keys.Screen.Stdout()
}
