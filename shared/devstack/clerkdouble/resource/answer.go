package resource

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Failure is an answer of Clerk's APIs that is an error: status and code as Clerk
// publishes them (Clerk docs, Backend API errors), where it does.
type Failure struct {
	Status  int    `json:"-"`
	Message string `json:"message"`
	// Long may be left out.
	Long string `json:"long_message"`
	Code string `json:"code"`
	// Meta names what is to blame, if something is.
	Meta       *Meta         `json:"meta,omitempty"`
	RetryAfter time.Duration `json:"-"`
}

// Meta is about a failure.
type Meta struct {
	Param string `json:"param_name"`
}

// What every API answers.
var (
	NoRoute  = &Failure{Status: http.StatusNotFound, Code: "resource_not_found", Message: "not found", Long: "There is nothing at this URL."}
	NoMethod = &Failure{
		Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
		Message: "method not allowed", Long: "This double knows no such method here.",
	}
)

// Append writes the body (Clerk OpenAPI ClerkErrors).
func (f Failure) Append(b []byte) []byte {
	f.Long = cmp.Or(f.Long, f.Message)
	return Append(b, &struct {
		Errors  []Failure `json:"errors"`
		TraceID string    `json:"clerk_trace_id"`
	}{[]Failure{f}, fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())})
}

// SetHeader is for what a failure says beside its body.
func (f Failure) SetHeader(h http.Header) {
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
}

// Answer sends a body.
func Answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// A client that hung up does not need the answer.
	_, _ = w.Write(body)
}
