package clerk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// What callers of a Backend can decide on, for errors.Is. Other errors are to
// be shown.
var (
	// ErrNotFound says that Clerk has no such object: status 404 in Clerk's own
	// words. A 404 that something on the way has written is
	// ErrClerkUnavailable, since it proves nothing.
	ErrNotFound = errors.New("there is no such object")
	// ErrKeyRefused says that the secret key is not, or no longer, valid.
	ErrKeyRefused = errors.New("the secret key was refused")
	// ErrNotEnabled says that the instance does not have the feature: it is
	// switched off, or not in the plan.
	ErrNotEnabled = errors.New("the instance does not have this feature")
	// ErrUnprocessable says that Clerk does not take a parameter, or its value.
	ErrUnprocessable = errors.New("the parameters were not accepted")
	// ErrRateLimited says that the last attempt, too, was one request too many.
	ErrRateLimited = errors.New("the rate limit is used up")
	// ErrClerkUnavailable says that no usable answer came: 5xx, no answer in
	// time, a broken connection, a page from something on the way.
	ErrClerkUnavailable = errors.New("no usable answer from Clerk")
)

// hints say what to do about the errors above.
var hints = map[error]string{
	ErrKeyRefused:       "set CLERK_SECRET_KEY to a secret key of the instance that is still active",
	ErrNotEnabled:       "enable it in the Clerk dashboard, or do without",
	ErrRateLimited:      "others use the instance's limit up; lower SYNC_RATE_SHARE or try again later",
	ErrClerkUnavailable: "try again later; if it stays, check CLERK_API_URL and status.clerk.com",
}

// BackendError is a request to the Backend API that failed, for good. Its text
// holds no part of a body, a query or the key.
type BackendError struct {
	// Method is the request's, "GET" for all that a Backend sends.
	Method string
	// Path is the request's, ids included.
	Path string
	// Status is the last answer's, or 0 if none came.
	Status int
	// Codes are those of Clerk's error body, such as "resource_not_found".
	Codes []string
	// TraceID is what Clerk's support asks for, or "".
	TraceID string
	// RetryAfter is how long Clerk wanted to be left alone, at most
	// MaxRetryAfter; ten seconds for a 429 that does not say, and otherwise 0.
	RetryAfter time.Duration
	// Attempts is how many requests were sent.
	Attempts int

	// kind is one of the errors above, or nil.
	kind error
	// reason is what was wrong about an answer, or the lack of one, where the
	// status does not say it.
	reason string
	// code is for Exchange.Err.
	code string
	// transient errors may be gone the next time.
	transient bool
	// unclear says that Clerk may have carried out what is not to be done twice.
	unclear bool
}

// Error names the request, the status, Clerk's codes and trace id, and what can be
// done.
func (e *BackendError) Error() string { return e.Method + " " + e.Path + ": " + e.what() }

// what is the error without the path.
func (e *BackendError) what() string {
	var s strings.Builder
	switch {
	case e.Status == 0:
		s.WriteString(e.reason)
	case e.reason == "":
		fmt.Fprintf(&s, "Clerk answered %d", e.Status)
	default:
		fmt.Fprintf(&s, "Clerk answered %d with %s", e.Status, e.reason)
	}
	if len(e.Codes) > 0 {
		fmt.Fprintf(&s, " (%s)", strings.Join(e.Codes, ", "))
	}
	if e.TraceID != "" {
		s.WriteString(", trace " + e.TraceID)
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&s, ", the last of %d attempts", e.Attempts)
	}
	if e.kind != nil {
		s.WriteString(": " + e.kind.Error())
	}
	if e.unclear {
		s.WriteString("; it was sent once and may have been carried out")
	}
	if hint := hints[e.kind]; hint != "" {
		s.WriteString("; " + hint)
	}
	return s.String()
}

// Unwrap returns the ErrNotFound, ErrKeyRefused … that the error is, or nil.
func (e *BackendError) Unwrap() error { return e.kind }

// mayHaveHappened reports whether Clerk can have carried out the request: there is no answer, one of trouble, or a success
// that cannot be read.
func (e *BackendError) mayHaveHappened() bool {
	return e.Status/100 == 2 || e.transient && e.Status != http.StatusTooManyRequests
}

// endedError is a call that its context has ended, or is about to.
type endedError struct {
	text  string
	wraps []error
}

func (e *endedError) Error() string   { return e.text }
func (e *endedError) Unwrap() []error { return e.wraps }

var (
	codePattern  = regexp.MustCompile(`^[a-z0-9_]{1,80}$`)
	tracePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// statusError reads an answer whose status is no success.
func statusError(status int, header http.Header, body []byte) *BackendError {
	e := &BackendError{Status: status, TraceID: header.Get("Cf-Ray"), code: "status"}
	fromClerk := e.readBody(body)
	if !tracePattern.MatchString(e.TraceID) {
		e.TraceID = ""
	}
	pause, stated := retryAfter(header)
	if !stated && status == http.StatusTooManyRequests {
		pause = defaultRetryAfter
	}
	e.RetryAfter = pause

	switch {
	case status == http.StatusTooManyRequests:
		e.kind, e.code, e.transient = ErrRateLimited, "rate_limited", true
	case status >= 500 || status == http.StatusRequestTimeout:
		e.kind, e.transient = ErrClerkUnavailable, true
	case status == http.StatusUnauthorized || slices.Contains(e.Codes, "clerk_key_invalid"):
		e.kind = ErrKeyRefused
	// Whatever the status: a 404 of this kind is no proof that an organization is gone.
	case slices.Contains(e.Codes, "organization_not_enabled_in_instance"):
		e.kind = ErrNotEnabled
	case status == http.StatusUnprocessableEntity:
		e.kind = ErrUnprocessable
	case status < 400:
		e.reason = "a redirect, which is not followed; check CLERK_API_URL"
	case !fromClerk:
		e.kind, e.reason = ErrClerkUnavailable, "a body that is not Clerk's"
	case status == http.StatusNotFound:
		e.kind = ErrNotFound
	case status == http.StatusPaymentRequired || status == http.StatusForbidden:
		e.kind = ErrNotEnabled
	case status == http.StatusBadRequest:
		e.kind = ErrUnprocessable
	}
	return e
}

// readBody takes codes and trace id from {"errors":[{"code":…}],
// "clerk_trace_id":…}, and reports whether the body is that.
func (e *BackendError) readBody(body []byte) bool {
	if !utf8.Valid(body) || !json.Valid(body) {
		return false
	}
	found := false
	members(body, func(name []byte, value json.RawMessage) {
		switch string(name) {
		case "clerk_trace_id":
			if id := text(value); id != "" {
				e.TraceID = id
			}
		case "errors":
			elements(value, func(element json.RawMessage) {
				found = true
				if code := memberText(element, "code"); codePattern.MatchString(code) && !slices.Contains(e.Codes, code) {
					e.Codes = append(e.Codes, code)
				}
			})
		}
	})
	return found
}
