package clitest

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/console"
)

// Terminal is a console without a terminal: what was written can be read while
// the command runs.
type Terminal struct {
	mu          sync.Mutex
	out, err    bytes.Buffer
	changed     chan struct{}
	environment map[string]string
}

// NewTerminal is one with an environment.
func NewTerminal(environment map[string]string) *Terminal {
	return &Terminal{changed: make(chan struct{}, 1), environment: environment}
}

type stream struct {
	term *Terminal
	b    *bytes.Buffer
}

func (s stream) Write(p []byte) (int, error) {
	s.term.mu.Lock()
	defer s.term.mu.Unlock()
	select {
	case s.term.changed <- struct{}{}:
	default:
	}
	return s.b.Write(p)
}

// Console is what a command is given.
func (term *Terminal) Console(asJSON bool) console.Console {
	return console.Console{
		Stdout: stream{term, &term.out}, Stderr: stream{term, &term.err}, JSON: asJSON,
		Lookup: func(key string) (string, bool) {
			value, ok := term.environment[key]
			return value, ok
		},
	}
}

// Stdout is what was written there so far.
func (term *Terminal) Stdout() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.out.String()
}

// Stderr is what was written there so far.
func (term *Terminal) Stderr() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.err.String()
}

// awaitLimit is longer than anything takes that a test waits for, on a loaded machine too.
const awaitLimit = 10 * time.Minute

// Await waits until what was written fulfils a condition or the command ended.
func (term *Terminal) Await(t *testing.T, what string, done <-chan error, is func() bool) {
	t.Helper()
	limit := time.After(awaitLimit)
	for !is() {
		select {
		case <-term.changed:
		case err := <-done:
			t.Fatalf("the command ended with %v before %s; stderr:\n%s", err, what, term.Stderr())
		case <-limit:
			t.Fatalf("waited %s for %s; stderr:\n%s", awaitLimit, what, term.Stderr())
		}
	}
}
