package endpoint

import (
	"time"

	"clerksync/shared/httpapi"
	"clerksync/shared/jwtdiag"
)

// Limit shortens the time limits of a Handler; zero keeps one as it is.
func (h *Handler) Limit(request, body time.Duration) {
	if request != 0 {
		h.requestLimit = request
	}
	if body != 0 {
		h.bodyLimit = body
	}
}

// Answers returns the body of every answer that is always the same, by its code.
func Answers() map[string]string {
	all := map[string]string{}
	for _, r := range []refusal{
		notFound, methodNotAllowed, crossSite, unknownHost, mediaType, httpapi.UnsupportedEncoding, bodyTooLarge, httpapi.UnreadableBody,
		httpapi.RequestTimeout, cancelled, internal, unavailable, notConfigured,
	} {
		all[r.Code] = string(refuse(r, nil).body())
	}
	return all
}

// ParseRequest reads a question; code and message are empty unless it is refused.
func ParseRequest(body []byte) (request jwtdiag.Request, code, message string) {
	request, refused := parseRequest(body)
	return request, refused.Code, refused.Message
}
