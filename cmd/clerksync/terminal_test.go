package main

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"clerksync/cmd/clerksync/internal/console"
)

// terminal is a console without a terminal: what was written can be read while
// the command runs.
type terminal struct {
	mu          sync.Mutex
	out, err    bytes.Buffer
	changed     chan struct{}
	environment map[string]string
}

func newTerminal(environment map[string]string) *terminal {
	return &terminal{changed: make(chan struct{}, 1), environment: environment}
}

type stream struct {
	term *terminal
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

func (term *terminal) console(asJSON bool) console.Console {
	return console.Console{
		Stdout: stream{term, &term.out}, Stderr: stream{term, &term.err}, JSON: asJSON,
		Lookup: func(key string) (string, bool) {
			value, ok := term.environment[key]
			return value, ok
		},
	}
}

func (term *terminal) stdout() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.out.String()
}

func (term *terminal) stderr() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.err.String()
}

// await waits until what was written fulfils a condition or the command ended.
func (term *terminal) await(t *testing.T, what string, done <-chan error, is func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for !is() {
		select {
		case <-term.changed:
		case err := <-done:
			t.Fatalf("the command ended with %v before %s; stderr:\n%s", err, what, term.stderr())
		case <-limit:
			t.Fatalf("waited a minute for %s; stderr:\n%s", what, term.stderr())
		}
	}
}
