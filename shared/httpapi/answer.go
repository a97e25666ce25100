package httpapi

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Refusal is an answer that says no. The zero value is none.
type Refusal struct {
	// Status is the HTTP status, 400 and above; 0 means that nothing is refused.
	Status  int
	Code    string
	Message string
}

// NewRefusal is a refusal of its three parts.
func NewRefusal(status int, code, message string) Refusal {
	return Refusal{Status: status, Code: code, Message: message}
}

// JSON is the body of the answer.
func (r Refusal) JSON() []byte {
	type problem struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// Structs of strings always encode.
	text, _ := json.Marshal(struct {
		Error problem `json:"error"`
	}{problem{r.Code, r.Message}})
	return text
}

// Write writes the refusal as an [Answer] that says no more.
func (r Refusal) Write(w http.ResponseWriter) {
	Answer{Status: r.Status, Body: r.JSON()}.Write(w)
}

// Answer is an answer in JSON.
type Answer struct {
	Status int
	Body   []byte
	// Allow are the methods there are; it goes with status 405 alone.
	Allow string
	// RetryAfter is how long to wait, told in whole seconds, rounded up; it goes
	// with status 503 alone.
	RetryAfter time.Duration
}

// Write writes the answer, which is for nobody's cache. Headers that w has
// already go with it.
func (a Answer) Write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	if a.Status == http.StatusMethodNotAllowed {
		header.Set("Allow", a.Allow)
	}
	if a.Status == http.StatusServiceUnavailable {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(a.RetryAfter.Seconds()))))
	}
	w.WriteHeader(a.Status)
	// Whoever hung up does not hear the answer.
	_, _ = w.Write(a.Body)
}

// maxRetryAfter is the longest wait that is passed on from an error.
const maxRetryAfter = time.Hour

// RetryAfter is how long to wait after an error: as long as its method
// RetryAfter says, which one of the errors that it wraps may have, an hour at
// the most; otherwise where there is none.
func RetryAfter(cause error, otherwise time.Duration) time.Duration {
	var known interface{ RetryAfter() time.Duration }
	if errors.As(cause, &known) && known.RetryAfter() > 0 {
		return min(known.RetryAfter(), maxRetryAfter)
	}
	return otherwise
}
