package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// SecretShape finds what can only be a secret: tokens, which begin with a JSON
// object's start in base64url, private keys, the keys of Clerk, Svix and Supabase,
// and connection strings with a password.
var SecretShape = regexp.MustCompile(`(?i)eyJ[A-Za-z0-9_-]{8}|-----BEGIN [A-Z ]*PRIVATE KEY` +
	`|(?:sk_(?:live|test)|whsec|sbp|sb_secret)_[A-Za-z0-9]` +
	`|[a-z][a-z0-9+.-]*://[^/?#\s]*:[^/?#\s]*@|\bpassword\s*=\s*\S`)

// ReadFile reads a file that is no longer than most; no error repeats what may be a secret.
func ReadFile(ctx context.Context, path string, most int) (string, error) {
	file, err := os.Open(path) //nolint:gosec // whichever file the person at the keyboard names
	if err != nil {
		return "", fmt.Errorf("opening %s: %w", ShownPath(path), withoutPath(err))
	}
	defer func() { _ = file.Close() }() // nothing was written
	return ReadAll(ctx, file, ShownPath(path), most)
}

// withoutPath is the error below one that repeats a path.
func withoutPath(err error) error {
	if inner, ok := errors.AsType[*os.PathError](err); ok {
		return inner.Err
	}
	return err
}

// ShownPath is a path for an error text, unless something else may have been
// given in its place.
func ShownPath(path string) string {
	if len(path) > 200 || SecretShape.MatchString(path) {
		return "the file"
	}
	return Printable(path)
}

// ReadAll reads to the end, or until ctx is done, or until it is too much.
func ReadAll(ctx context.Context, r io.Reader, what string, most int) (string, error) {
	type result struct {
		text []byte
		err  error
	}
	done := make(chan result, 1)
	// It may go on waiting for input when that does not matter any more: the
	// program ends then.
	go func() {
		text, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
		done <- result{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-done:
		switch {
		case got.err != nil:
			return "", fmt.Errorf("reading %s: %w", what, withoutPath(got.err))
		case len(got.text) > most:
			return "", fmt.Errorf("reading %s: there is more than %d KiB", what, most>>10)
		}
		return string(got.text), nil
	}
}

// ReadText is [ReadFile] without the mark that editors of Windows put in front of a text.
func ReadText(ctx context.Context, path string, most int) (string, error) {
	text, err := ReadFile(ctx, path, most)
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", fmt.Errorf("reading %s: it is UTF-16; save it as UTF-8", ShownPath(path))
	}
	return strings.TrimPrefix(text, "\ufeff"), err
}

// ReadGiven is [ReadFile] of a file that a flag names, or of stdin where that is "-".
func (c Console) ReadGiven(ctx context.Context, path string, most int) (string, error) {
	if path == "-" {
		return ReadAll(ctx, c.Stdin, "stdin", most)
	}
	return ReadFile(ctx, path, most)
}
