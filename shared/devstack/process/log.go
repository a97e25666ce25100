package process

import (
	"strings"
	"sync"
)

// maxLog bounds what a Log keeps: enough for the reason of a failed start,
// little enough to keep for every server of a long run.
const maxLog = 64 << 10

// Log keeps the last 64 KiB that a child printed. It is safe for concurrent
// use; the zero value is empty.
type Log struct {
	mu   sync.Mutex
	text []byte
}

// Write appends p and forgets what no longer fits.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if extra := len(l.text) - maxLog; extra > 0 {
		l.text = append(l.text[:0], l.text[extra:]...)
	}
	return len(p), nil
}

// String is everything kept.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// Tail is the last n lines, without the final line break.
func (l *Log) Tail(n int) string {
	lines := strings.Split(strings.TrimRight(l.String(), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
