package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"clerksync/shared/httpapi"
	"clerksync/shared/mirror"
)

// refusal is an answer other than a success. The messages are for whoever reads the
// delivery in Clerk's dashboard.
type refusal = httpapi.Refusal

var (
	notFound         = httpapi.NewRefusal(http.StatusNotFound, "not_found", "Nothing is here; webhooks go to "+Path+".")
	methodNotAllowed = httpapi.NewRefusal(http.StatusMethodNotAllowed, "method_not_allowed", "Webhooks are delivered with POST.")
	mediaType        = httpapi.NewRefusal(http.StatusUnsupportedMediaType, "unsupported_media_type", "The body must be JSON in UTF-8.")
	bodyTooLarge     = httpapi.BodyTooLarge("The body is larger than this endpoint takes.")
	missingHeader    = httpapi.NewRefusal(http.StatusBadRequest, "missing_header", "A signature header is missing: svix-id, svix-timestamp and svix-signature are needed.")
	duplicateHeader  = httpapi.NewRefusal(http.StatusBadRequest, "duplicate_header", "A signature header came more than once.")
	malformedHeader  = httpapi.NewRefusal(http.StatusBadRequest, "malformed_header", "A signature header is malformed.")
	invalidSignature = httpapi.NewRefusal(http.StatusUnauthorized, "invalid_signature", "The signature does not match; check the signing secret of this endpoint.")
	timestampTooOld  = httpapi.NewRefusal(http.StatusUnauthorized, "timestamp_too_old", "The message was signed too long ago.")
	timestampTooNew  = httpapi.NewRefusal(http.StatusUnauthorized, "timestamp_too_new", "The message was signed in the future; check the clocks.")
	notConfigured    = httpapi.NewRefusal(http.StatusServiceUnavailable, "not_configured", "The endpoint is not configured; its log says what is missing.")
	unavailable      = httpapi.NewRefusal(http.StatusServiceUnavailable, "unavailable", "The event was not stored; deliver it again.")
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
	return answer{refusal: r, retryAfter: httpapi.RetryAfter(cause, after), cause: cause}
}

func (a answer) status() int {
	switch {
	case a.refusal.Status != 0:
		return a.refusal.Status
	case a.result.Outcome == mirror.Queued:
		return http.StatusAccepted
	}
	return http.StatusOK
}

// write answers. If Svix hung up and does not hear it, it delivers again.
func (a answer) write(w http.ResponseWriter) {
	httpapi.Answer{Status: a.status(), Body: a.body(), Allow: http.MethodPost, RetryAfter: a.retryAfter}.Write(w)
}

func (a answer) body() []byte {
	if a.refusal.Status != 0 {
		return a.refusal.JSON()
	}
	// A struct of strings always encodes.
	text, _ := json.Marshal(struct {
		Outcome mirror.Outcome `json:"outcome"`
	}{a.result.Outcome})
	return text
}
