package need_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"clerksync/shared/testkit/need"
)

// ending notes how a test would have ended.
type ending struct {
	testing.TB
	how, why string
}

func (e *ending) Helper()                         {}
func (e *ending) Skip(args ...any)                { e.end("skipped", fmt.Sprint(args...)) }
func (e *ending) Fatal(args ...any)               { e.end("failed", fmt.Sprint(args...)) }
func (e *ending) Fatalf(text string, args ...any) { e.end("failed", fmt.Sprintf(text, args...)) }

func (e *ending) end(how, why string) {
	e.how, e.why = how, why
	runtime.Goexit()
}

// ends runs a test that asks for something.
func ends(t *testing.T, ask func(*ending)) ending {
	t.Helper()
	e := ending{TB: t, how: "passed"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask(&e)
	}()
	<-done
	return e
}

// It changes the environment, and so does not run beside others.
func TestWhatIsMissingIsSkippedAndFailsInCI(t *testing.T) {
	missing := errors.New("no such server: install it")
	for ci, how := range map[string]string{"": "skipped", "false": "skipped", "true": "failed"} {
		t.Setenv("CI", ci)
		for name, ask := range map[string]func(*ending){
			"a program": func(e *ending) { need.Program(e, "clerksync-has-no-such-program", "install it") },
			"a server":  func(e *ending) { need.Success(e, fmt.Errorf("starting: %w", missing), missing) },
			"something": func(e *ending) { need.Missing(e, missing) },
		} {
			if got := ends(t, ask); got.how != how || !strings.Contains(got.why, "install it") {
				t.Errorf("CI=%s without %s: %s, %q; want it %s, with what to install", ci, name, got.how, got.why, how)
			}
		}
		if got := ends(t, func(e *ending) { need.Success(e, errors.New("it burns"), missing) }); got.how != "failed" {
			t.Errorf("CI=%s: another error: %s, want it failed", ci, got.how)
		}
		if got := ends(t, func(e *ending) { need.Success(e, nil, missing); need.Program(e, "go", "install Go") }); got.how != "passed" {
			t.Errorf("CI=%s: what is there: %s, %q", ci, got.how, got.why)
		}
	}
}
