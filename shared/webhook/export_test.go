package webhook

import (
	"time"

	"clerksync/shared/httpapi"
)

// Limit shortens the time limits of a Handler; zero keeps one as it is.
func (h *Handler) Limit(request, body, store time.Duration) {
	for _, limit := range []struct {
		at *time.Duration
		to time.Duration
	}{{&h.requestLimit, request}, {&h.bodyLimit, body}, {&h.storeLimit, store}} {
		if limit.to != 0 {
			*limit.at = limit.to
		}
	}
}

// Answers returns the body of every answer other than 200, by its code.
func Answers() map[string]string {
	all := map[string]string{}
	for _, r := range []refusal{
		notFound, methodNotAllowed, mediaType, httpapi.UnsupportedEncoding, bodyTooLarge, httpapi.UnreadableBody, httpapi.RequestTimeout,
		missingHeader, duplicateHeader, malformedHeader, invalidSignature, timestampTooOld, timestampTooNew,
		notConfigured, unavailable,
	} {
		all[r.Code] = string(refuse(r, nil).body())
	}
	return all
}
