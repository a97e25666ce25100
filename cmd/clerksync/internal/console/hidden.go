package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// pasteGap is how long after the end of a line more of the same paste may come.
// What came later would be the shell's: part of a token in its history.
const pasteGap = 100 * time.Millisecond

// What makes a terminal mark the beginning and end of a paste.
const (
	MarkPastes   = "\x1b[?2004h"
	UnmarkPastes = "\x1b[?2004l"
)

// AskHidden asks for something that is not shown. A terminal hands over lines of
// at most 4096 bytes, 1024 on macOS, and tokens are longer: it is read key by
// key, and everything that a line would offer is done here.
func (c Console) AskHidden(ctx context.Context, prompt string, most int) (_ string, err error) {
	in, out := c.Keyboard(), c.Stderr
	if in == nil {
		return "", errors.New("there is no terminal to ask at")
	}
	fd := int(in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", fmt.Errorf("making the terminal ready for a token: %w", err)
	}
	on, off := MarkPastes, UnmarkPastes
	if !c.capable(c.StderrTTY) {
		on, off = "", ""
	}
	fmt.Fprint(out, on+prompt)
	defer func() {
		fmt.Fprint(out, off+"\r\n")
		if restored := term.Restore(fd, before); restored != nil && err == nil {
			err = fmt.Errorf("setting the terminal back: %w", restored)
		}
	}()
	r := keysOf(in)
	typed := hidden{most: most}
	var gap <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case pressed := <-r.keys:
			if gap != nil {
				typed.text, gap = append(typed.text, '\n'), nil
			}
			ended, err := typed.press(pressed)
			if err != nil {
				return "", err
			}
			if ended {
				gap = time.After(pasteGap)
			}
		case <-gap:
			return string(typed.text), nil
		case <-r.failed:
			if errors.Is(r.err, io.EOF) {
				return string(typed.text), nil
			}
			return "", fmt.Errorf("reading from the terminal: %w", r.err)
		}
	}
}

// The keys that mean something.
const (
	keyInterrupt = 0x03
	keyEnd       = 0x04
	keyBackspace = 0x08
	keyClear     = 0x15
	keyEscape    = 0x1b
	keyDelete    = 0x7f
)

// hidden is what was typed so far.
type hidden struct {
	text []byte
	most int
	// escape is the beginning of a sequence: a key such as an arrow, or a mark.
	escape []byte
	// pasting: between the two marks; line breaks there are text.
	pasting bool
}

// press takes what the terminal sent. It reports whether that ends with the end
// of a line: one in the middle is the line break of a paste.
func (h *hidden) press(keys []byte) (ended bool, err error) {
	for _, key := range keys {
		if ended {
			h.text = append(h.text, '\n')
		}
		if ended, err = h.one(key); err != nil {
			return false, err
		}
		if len(h.text) > h.most {
			return false, Usage(fmt.Errorf("there is more than %d KiB, which is no token", h.most>>10))
		}
	}
	return ended, nil
}

func (h *hidden) one(key byte) (ended bool, err error) {
	switch {
	case len(h.escape) > 0:
		h.sequence(key)
	case key == keyEscape:
		h.escape = []byte{key}
	case key >= ' ' && key != keyDelete, key == '\t':
		h.text = append(h.text, key)
	case key == '\r', key == '\n':
		if !h.pasting {
			return true, nil
		}
		h.text = append(h.text, '\n')
	case h.pasting:
	case key == keyInterrupt:
		return false, ErrInterrupted
	case key == keyEnd:
		return true, nil
	case key == keyClear:
		h.text = nil
	case key == keyBackspace, key == keyDelete:
		_, size := utf8.DecodeLastRune(h.text)
		h.text = h.text[:len(h.text)-size]
	}
	return false, nil
}

// sequence goes on with a sequence that has begun (ECMA-48, 5.4).
func (h *hidden) sequence(key byte) {
	const longest = 32
	h.escape = append(h.escape, key)
	switch n := len(h.escape); {
	case n == 2 && (key == '[' || key == 'O'):
		return
	case n > 2 && n < longest && (key < '@' || key > '~'):
		return
	}
	switch string(h.escape) {
	case "\x1b[200~":
		h.pasting = true
	case "\x1b[201~":
		h.pasting = false
	}
	h.escape = nil
}
