package keyset

import (
	"fmt"
	"net/http"
)

// Reason is why keys could not be fetched. The texts are stable.
type Reason string

// The reasons.
const (
	// ReasonUnreachable: no connection, no such host, or the connection broke.
	ReasonUnreachable Reason = "unreachable"
	// ReasonTimeout: the answer was not complete in time, or the caller did not wait for it.
	ReasonTimeout Reason = "timeout"
	// ReasonTLS: the connection is not encrypted, or the certificate is not to be trusted.
	ReasonTLS Reason = "tls"
	// ReasonStatus: an HTTP status other than 200.
	ReasonStatus Reason = "status"
	// ReasonRedirect: more redirects than are followed, or one that is not followed.
	ReasonRedirect Reason = "redirect"
	// ReasonPrivateAddress: the host, or one that it redirects to, is at an address that is not of the public internet.
	ReasonPrivateAddress Reason = "private_address"
	// ReasonTooLarge: more bytes or more keys than are read.
	ReasonTooLarge Reason = "too_large"
	ReasonNotJSON  Reason = "not_json"
	// ReasonNotJWKS: JSON, and no key set.
	ReasonNotJWKS Reason = "not_jwks"
	// ReasonNoKeys: a key set without a usable key.
	ReasonNoKeys Reason = "no_keys"
)

// FetchError is why keys could not be fetched. Its text names the host, the status and what can be done, and nothing
// of what was received but the names of unusable keys.
type FetchError struct {
	Reason Reason
	// Host is the configured one, Status the HTTP status, or 0 where none came.
	Host   string
	Status int
	// Unusable and Exposed are those of a set without a usable key, as in [Set].
	Unusable []string
	Exposed  bool

	detail string
	cause  error
	// transient: another attempt may succeed.
	transient bool
}

// Error returns the text.
func (e *FetchError) Error() string {
	return fmt.Sprintf("fetching the keys of %s: %s", e.Host, e.detail)
}

// Unwrap returns the error behind it, if one may be shown: that of [Parse], or the caller's own when it stopped
// waiting.
func (e *FetchError) Unwrap() error { return e.cause }

func statusFailure(status int) *FetchError {
	e := &FetchError{Reason: ReasonStatus, Status: status, transient: status >= 500}
	e.detail = fmt.Sprintf("HTTP status %d", status)
	if text := http.StatusText(status); text != "" {
		e.detail += " (" + text + ")"
	}
	switch {
	case status == http.StatusNotFound:
		e.detail += "; no key set is there: Clerk's is at /.well-known/jwks.json of the instance's Frontend API"
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		e.detail += "; the address wants credentials, and a public key set needs none: use that of the Frontend API"
	}
	return e
}
