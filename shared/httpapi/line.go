package httpapi

import (
	"errors"
	"log/slog"
	"time"
)

// maxLogged bounds a value of a line, in bytes.
const maxLogged = 128

// Line is what is logged about one request, for [slog.Logger.LogAttrs].
type Line []slog.Attr

// NewLine begins a line with the status and the time from arrival to answer.
func NewLine(status int, duration time.Duration) Line {
	return Line{slog.Int("status", status), Milliseconds("duration_ms", duration)}
}

// Add adds a value, cut where it is long, and nothing where it is empty: what
// strangers send can be of any length.
func (l *Line) Add(key, value string) {
	if value != "" {
		*l = append(*l, slog.String(key, value[:min(len(value), maxLogged)]))
	}
}

// AddCause adds why a request was answered as it was, in full: an error, and the
// stack if it was made by [Panicked]. Nil adds nothing.
func (l *Line) AddCause(cause error) {
	if cause != nil {
		*l = append(*l, slog.String("error", cause.Error()))
	}
	if p, ok := errors.AsType[*panicError](cause); ok {
		*l = append(*l, slog.String("stack", string(p.stack)))
	}
}

// Milliseconds is a time as a number of milliseconds, to the microsecond.
func Milliseconds(key string, d time.Duration) slog.Attr {
	return slog.Float64(key, float64(d.Round(time.Microsecond))/float64(time.Millisecond))
}
