package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"clerksync/shared/mirror"
)

// refusal is an answer other than 200. The messages are for whoever reads the
// delivery in Clerk's dashboard: they hold nothing of the request or the cause.
type refusal struct {
	status  int
	code    string
	message string
}

var (
	notFound         = refusal{http.StatusNotFound, "not_found", "Nothing is here; webhooks go to " + Path + "."}
	methodNotAllowed = refusal{http.StatusMethodNotAllowed, "method_not_allowed", "Webhooks are delivered with POST."}
	mediaType        = refusal{http.StatusUnsupportedMediaType, "unsupported_media_type", "The body must be JSON in UTF-8."}
	contentEncoding  = refusal{http.StatusUnsupportedMediaType, "unsupported_encoding", "The body must not be compressed."}
	bodyTooLarge     = refusal{http.StatusRequestEntityTooLarge, "body_too_large", "The body is larger than this endpoint takes."}
	unreadableBody   = refusal{http.StatusBadRequest, "unreadable_body", "The body did not arrive in full."}
	requestTimeout   = refusal{http.StatusRequestTimeout, "request_timeout", "The body took too long to arrive."}
	missingHeader    = refusal{http.StatusBadRequest, "missing_header", "A signature header is missing: svix-id, svix-timestamp and svix-signature are needed."}
	duplicateHeader  = refusal{http.StatusBadRequest, "duplicate_header", "A signature header came more than once."}
	malformedHeader  = refusal{http.StatusBadRequest, "malformed_header", "A signature header is malformed."}
	invalidSignature = refusal{http.StatusUnauthorized, "invalid_signature", "The signature does not match; check the signing secret of this endpoint."}
	timestampTooOld  = refusal{http.StatusUnauthorized, "timestamp_too_old", "The message was signed too long ago."}
	timestampTooNew  = refusal{http.StatusUnauthorized, "timestamp_too_new", "The message was signed in the future; check the clocks."}
	notConfigured    = refusal{http.StatusServiceUnavailable, "not_configured", "The endpoint is not configured; its log says what is missing."}
	unavailable      = refusal{http.StatusServiceUnavailable, "unavailable", "The event was not stored; deliver it again."}
)

// refusalFor is the one place where errors of verification become answers.
func refusalFor(err error) refusal {
	for _, known := range []struct {
		err     error
		refusal refusal
	}{
		{ErrMissingHeader, missingHeader},
		{ErrDuplicateHeader, duplicateHeader},
		{ErrMalformedHeader, malformedHeader},
		{ErrSignature, invalidSignature},
		{ErrTooOld, timestampTooOld},
		{ErrTooNew, timestampTooNew},
	} {
		if errors.Is(err, known.err) {
			return known.refusal
		}
	}
	return unavailable
}

const (
	// storeRetryAfter is Svix's own wait before its first retry.
	storeRetryAfter = 5 * time.Second
	// configRetryAfter is as long as configuration stays cached at least.
	configRetryAfter = time.Minute
	// maxRetryAfter is the longest wait that is passed on from an error.
	maxRetryAfter = time.Hour
)

// answer is what one request is answered, and why.
type answer struct {
	result  mirror.Result // if refusal is zero
	refusal refusal
	// retryAfter is sent with a 503.
	retryAfter time.Duration
	// cause is for the log alone.
	cause error
}

func refuse(r refusal, cause error) answer { return answer{refusal: r, cause: cause} }

// retry answers 503. A cause that knows when to come again says so by a method
// RetryAfter.
func retry(r refusal, after time.Duration, cause error) answer {
	var known interface{ RetryAfter() time.Duration }
	if errors.As(cause, &known) && known.RetryAfter() > 0 {
		after = min(known.RetryAfter(), maxRetryAfter)
	}
	return answer{refusal: r, retryAfter: after, cause: cause}
}

func (a answer) status() int {
	if a.refusal.status != 0 {
		return a.refusal.status
	}
	return http.StatusOK
}

func (a answer) write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	if a.status() == http.StatusMethodNotAllowed {
		header.Set("Allow", http.MethodPost)
	}
	if a.status() == http.StatusServiceUnavailable {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(a.retryAfter.Seconds()))))
	}
	w.WriteHeader(a.status())
	// Whoever hung up does not hear the answer; Svix delivers again.
	_, _ = io.WriteString(w, a.body()) //nolint:gosec // G705: JSON of fixed texts, no page
}

func (a answer) body() string {
	var content any = struct {
		Outcome mirror.Outcome `json:"outcome"`
	}{a.result.Outcome}
	if a.refusal.status != 0 {
		type problem struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		}
		content = struct {
			Error problem `json:"error"`
		}{problem{a.refusal.code, a.refusal.message}}
	}
	// Structs of strings always encode.
	text, _ := json.Marshal(content)
	return string(text)
}
