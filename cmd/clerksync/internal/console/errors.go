package console

import (
	"errors"
	"fmt"
)

// HintedError is an error with what to do about it, which is said in a line of
// its own.
type HintedError struct {
	err  error
	Hint string
}

// Hint adds to an error what to do about it.
func Hint(err error, hint string) error { return &HintedError{err, hint} }

// ErrInterrupted is Ctrl-C where the terminal makes no signal of it.
var ErrInterrupted = errors.New("interrupted")

// UsageError is a request that cannot be meant, found out only while it runs.
type UsageError struct{ err error }

func (e *UsageError) Error() string { return e.err.Error() }

func (e *UsageError) Unwrap() error { return e.err }

// Usage makes a usage error of one.
func Usage(err error) error { return &UsageError{err} }

// Refuse is an error where what is asked for cannot be meant.
func Refuse(is bool, format string, args ...any) error {
	if !is {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// UnknownError says that nothing failed, and that something which was asked for could not
// be found out.
type UnknownError struct{ err error }

// Unknown makes an error that one.
func Unknown(err error) error { return &UnknownError{err} }

func (e *UnknownError) Error() string { return e.err.Error() }

func (e *UnknownError) Unwrap() error { return e.err }
