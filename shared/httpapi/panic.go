package httpapi

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// panicError is a panic as the cause of an answer.
type panicError struct {
	text  string
	stack []byte
}

func (e *panicError) Error() string { return e.text }

// Panicked is what was recovered as the cause of an answer; call it in the
// deferred function, for the stack. It keeps the text of the runtime's own panics
// only: any other value may have been made of the request.
func Panicked(value any) error {
	text := fmt.Sprintf("panic of type %T", value)
	if err, ok := value.(runtime.Error); ok {
		text = "panic: " + err.Error()
	}
	return &panicError{text: text, stack: debug.Stack()}
}
