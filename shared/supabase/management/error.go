package management

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// What a call ends in. Each error's text names the fix.
var (
	// ErrToken says that the access token is not, or no longer, valid: status 401.
	ErrToken = errors.New("the access token was refused")
	// ErrForbidden says that the token is valid and may not do this: status 403.
	ErrForbidden = errors.New("the access token may not do this")
	// ErrNotFound says that there is no such project, or no such thing in it: status 404.
	ErrNotFound = errors.New("there is no such")
	// ErrLimited says that the requests of this minute are used up: status 429.
	ErrLimited = errors.New("the Management API's rate limit is used up")
	// ErrRefused says that the API does not take the request: another status of 4xx.
	ErrRefused = errors.New("the API does not take the request")
	// ErrUnavailable says that no usable answer came: 5xx, no answer in time, a broken connection, something that is not the
	// API's.
	ErrUnavailable = errors.New("no usable answer from Supabase's Management API")
)

// Error is a call that failed. Its text holds no part of the token or of a body.
type Error struct {
	call call
	// kind is one of the errors above.
	kind error
	// status is that of the answer, or 0 if none came.
	status int
	// reason is what was wrong about an answer, or the lack of one, where the status does not say it.
	reason string
	// sqlState is what Postgres refused a statement with.
	sqlState string
	// retryAfter is how long the API wants to be left alone, or 0.
	retryAfter time.Duration
	// transient errors may be gone the next time; unheard ones had no effect.
	transient, unheard bool
}

// SQLState is the code with which Postgres refused a statement that was to be run, or "".
func (e *Error) SQLState() string { return e.sqlState }

func (e *Error) Error() string {
	text := e.reason
	switch {
	case e.status != 0 && text == "":
		text = fmt.Sprintf("Supabase answered %d", e.status)
	case e.status != 0:
		text = fmt.Sprintf("Supabase answered %d with %s", e.status, text)
	}
	kind := e.kind.Error()
	if errors.Is(e.kind, ErrNotFound) {
		kind += " " + e.about()
	}
	return fmt.Sprintf("%s through Supabase's Management API: %s: %s; %s", e.call.doing, text, kind, e.hint())
}

func (e *Error) about() string {
	if e.call.about != "" {
		return e.call.about
	}
	return "project"
}

// hint says what to do.
func (e *Error) hint() string {
	switch {
	case errors.Is(e.kind, ErrToken):
		return "make a new one on the account's page of access tokens, and set SUPABASE_ACCESS_TOKEN"
	case errors.Is(e.kind, ErrForbidden):
		return fmt.Sprintf("it needs the permission %s (OAuth apps: the scope %s), of an account that belongs to the project's organization; "+
			"check SUPABASE_PROJECT_REF too", e.call.permission, e.call.scope)
	case errors.Is(e.kind, ErrNotFound) && e.call.about != "":
		return "it may have been removed meanwhile: look again"
	case errors.Is(e.kind, ErrNotFound):
		return "check SUPABASE_PROJECT_REF, and that the token's account belongs to the project's organization"
	case errors.Is(e.kind, ErrLimited):
		return "others use the token too; try again in a minute"
	case e.sqlState != "":
		return "the code is explained in PostgreSQL's documentation, appendix A"
	case errors.Is(e.kind, ErrRefused):
		return "a project that is paused or being restored refuses, too: look at it in Supabase's dashboard"
	case !e.call.repeats && e.transient && !e.unheard:
		return "it may have worked all the same: look before you try again"
	}
	return "try again later; if it stays, check SUPABASE_API_URL and status.supabase.com"
}

// Unwrap returns the kind and, for who tries again, when to.
func (e *Error) Unwrap() []error {
	if e.retryAfter > 0 {
		return []error{e.kind, &backoff.RetryAfterError{Duration: e.retryAfter}}
	}
	return []error{e.kind}
}

// sqlError finds the code in a message such as "Failed to run sql query: ERROR:  42P01: relation …".
var sqlError = regexp.MustCompile(`ERROR:\s+([0-9A-Z]{5}): `)

// statusError reads an answer whose status is no success. That something on the way has written it, and not the API, shows
// in its body.
func statusError(x call, status int, header http.Header, body []byte) *Error {
	var said struct {
		Message json.RawMessage `json:"message"`
	}
	ours := json.Unmarshal(body, &said) == nil && said.Message != nil
	e := &Error{call: x, kind: ErrUnavailable, status: status, retryAfter: retryAfter(header)}
	switch {
	case status == http.StatusTooManyRequests:
		e.kind, e.transient, e.unheard = ErrLimited, true, true
	case ours && x.limit == queryLimit && sqlError.Match(said.Message):
		e.kind, e.sqlState = ErrRefused, string(sqlError.FindSubmatch(said.Message)[1])
		e.reason = "what Postgres says of the statement, " + e.sqlState
	case status >= 500 || status == http.StatusRequestTimeout:
		e.transient = true
	case status < 400:
		e.reason = "a redirect, which is not followed"
	case status == http.StatusUnauthorized:
		e.kind = ErrToken
	case !ours:
		e.reason = "a body that is not the API's"
	case status == http.StatusForbidden:
		e.kind = ErrForbidden
	case status == http.StatusNotFound:
		e.kind = ErrNotFound
	default:
		e.kind = ErrRefused
	}
	return e
}

// retryAfter reads the header of this name, in seconds or as a date; 0 where it says nothing.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
