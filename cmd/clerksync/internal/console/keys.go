package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// keyReader reads a terminal for as long as the program runs: nothing can take a
// terminal's reader away, and a second one would take the keys of a next question.
type keyReader struct {
	keys chan []byte
	// failed is closed when no more keys come, for the reason err.
	failed chan struct{}
	err    error
}

var keyReaders sync.Map // of *os.File

func keysOf(in *os.File) *keyReader {
	made := &keyReader{keys: make(chan []byte), failed: make(chan struct{})}
	found, there := keyReaders.LoadOrStore(in, made)
	r, _ := found.(*keyReader)
	if !there {
		go r.read(in)
	}
	return r
}

func (r *keyReader) read(in *os.File) {
	for {
		buffer := make([]byte, 4<<10)
		n, err := in.Read(buffer)
		if n > 0 {
			r.keys <- buffer[:n]
		}
		if err != nil {
			r.err = err
			close(r.failed)
			return
		}
	}
}

// Ask asks for a line that is shown, such as a choice.
func (c Console) Ask(ctx context.Context, prompt string) (string, error) {
	in := c.Keyboard()
	if in == nil {
		return "", errors.New("there is no terminal to ask at")
	}
	fmt.Fprint(c.Stderr, prompt)
	return c.line(ctx, in)
}

// line is what a terminal hands over as one.
func (c Console) line(ctx context.Context, in *os.File) (string, error) {
	r := keysOf(in)
	var typed strings.Builder
	for {
		select {
		case <-ctx.Done():
			c.Say("")
			return "", ctx.Err()
		case keys := <-r.keys:
			typed.Write(keys)
			if line, _, ended := strings.Cut(typed.String(), "\n"); ended {
				return strings.TrimSpace(line), nil
			}
		case <-r.failed:
			if errors.Is(r.err, io.EOF) {
				return strings.TrimSpace(typed.String()), nil
			}
			return "", fmt.Errorf("reading from the terminal: %w", r.err)
		}
	}
}
