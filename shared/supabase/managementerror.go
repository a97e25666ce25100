package supabase

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// What a question to the Management API ends in. Each error's text names the fix.
var (
	// ErrManagementToken says that the access token is not, or no longer, valid: status 401.
	ErrManagementToken = errors.New("the access token was refused")
	// ErrManagementForbidden says that the token is valid and may not read this: status 403.
	ErrManagementForbidden = errors.New("the access token may not read this of the project")
	// ErrProjectNotFound says that there is no such project: status 404.
	ErrProjectNotFound = errors.New("there is no such project")
	// ErrManagementLimited says that the requests of this minute are used up: status 429.
	ErrManagementLimited = errors.New("the Management API's rate limit is used up")
	// ErrManagementUnavailable says that no usable answer came: 5xx, no answer in time, a broken connection, something that
	// is not the API's.
	ErrManagementUnavailable = errors.New("no usable answer from Supabase's Management API")
)

// managementHint says what to do about one of the errors above.
func managementHint(kind error) string {
	switch {
	case errors.Is(kind, ErrManagementToken):
		return "make a new one on the account's page of access tokens, and set SUPABASE_ACCESS_TOKEN"
	case errors.Is(kind, ErrManagementForbidden):
		return "it needs the permission auth_config_read (OAuth apps: the scope auth:read), of an account that belongs to the project's organization; " +
			"check SUPABASE_PROJECT_REF too"
	case errors.Is(kind, ErrProjectNotFound):
		return "check SUPABASE_PROJECT_REF, and that the token's account belongs to the project's organization"
	case errors.Is(kind, ErrManagementLimited):
		return "others use the token too; try again in a minute"
	}
	return "try again later; if it stays, check SUPABASE_API_URL and status.supabase.com"
}

// managementError is a question that failed. Its text holds no part of the token or a body.
type managementError struct {
	// kind is one of the errors above.
	kind error
	// status is that of the answer, or 0 if none came.
	status int
	// reason is what was wrong about an answer, or the lack of one, where the status does not say it.
	reason string
	// retryAfter is how long the API wants to be left alone, or 0.
	retryAfter time.Duration
	// transient errors may be gone the next time.
	transient bool
}

func (e *managementError) Error() string {
	text := e.reason
	switch {
	case e.status != 0 && text == "":
		text = fmt.Sprintf("Supabase answered %d", e.status)
	case e.status != 0:
		text = fmt.Sprintf("Supabase answered %d with %s", e.status, text)
	}
	return fmt.Sprintf("asking Supabase's Management API: %s: %v; %s", text, e.kind, managementHint(e.kind))
}

// Unwrap returns the kind and, for who tries again, when to.
func (e *managementError) Unwrap() []error {
	if e.retryAfter > 0 {
		return []error{e.kind, &backoff.RetryAfterError{Duration: e.retryAfter}}
	}
	return []error{e.kind}
}

// statusError reads an answer whose status is no success. That something on the way has written it, and not the API, shows
// in its body.
func statusError(status int, header http.Header, body []byte) *managementError {
	var said struct {
		Message json.RawMessage `json:"message"`
	}
	ours := json.Unmarshal(body, &said) == nil && said.Message != nil
	e := &managementError{kind: ErrManagementUnavailable, status: status, retryAfter: retryAfter(header)}
	switch {
	case status == http.StatusTooManyRequests:
		e.kind = ErrManagementLimited
		// Without a word about when, trying again makes it worse.
		e.transient = e.retryAfter > 0
	case status >= 500 || status == http.StatusRequestTimeout:
		e.transient = true
	case status < 400:
		e.reason = "a redirect, which is not followed"
	case status == http.StatusUnauthorized:
		e.kind = ErrManagementToken
	case !ours:
		e.reason = "a body that is not the API's"
	case status == http.StatusForbidden:
		e.kind = ErrManagementForbidden
	case status == http.StatusNotFound:
		e.kind = ErrProjectNotFound
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
