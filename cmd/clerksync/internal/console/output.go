package console

import (
	"io"
	"sync"
)

// Output is a stream of data that remembers the first write that failed, so that what
// was not written is an error also where its writer did not look.
type Output struct {
	io.Writer

	mu     sync.Mutex
	err    error
	failed chan struct{}
}

// Check makes an output of a writer that is none yet.
func Check(w io.Writer) *Output {
	if o, ok := w.(*Output); ok {
		return o
	}
	return &Output{Writer: w, failed: make(chan struct{})}
}

// Write writes, and remembers.
func (o *Output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil && o.err == nil {
		o.err = err
		close(o.failed)
	}
	return n, err
}

// Failed is closed when a write has failed.
func (o *Output) Failed() <-chan struct{} { return o.failed }

// Err is what the first write failed at that did.
func (o *Output) Err() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}
