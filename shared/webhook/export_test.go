package webhook

import "time"

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
		notFound, methodNotAllowed, mediaType, contentEncoding, bodyTooLarge, unreadableBody, requestTimeout,
		missingHeader, duplicateHeader, malformedHeader, invalidSignature, timestampTooOld, timestampTooNew,
		notConfigured, unavailable,
	} {
		all[r.code] = refuse(r, nil).body()
	}
	return all
}
