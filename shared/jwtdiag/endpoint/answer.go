package endpoint

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"clerksync/shared/httpapi"
	"clerksync/shared/jwtdiag"
)

// refusal is an answer other than a report or a file.
type refusal = httpapi.Refusal

var (
	notFound         = httpapi.NewRefusal(http.StatusNotFound, "not_found", "Nothing is here; questions about a token go to "+Path+".")
	methodNotAllowed = httpapi.NewRefusal(http.StatusMethodNotAllowed, "method_not_allowed", "Tokens are sent with POST, in the body.")
	crossSite        = httpapi.NewRefusal(http.StatusForbidden, "cross_site", "Pages of other sites may not ask.")
	unknownHost      = httpapi.NewRefusal(http.StatusForbidden, "unknown_host", "This server is not called by that name; open it by the address that it prints.")
	mediaType        = httpapi.NewRefusal(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send JSON in UTF-8, with Content-Type: application/json.")
	bodyTooLarge     = httpapi.BodyTooLarge("The body is larger than this endpoint takes, which is far more than a token needs.")
	// cancelled has the status that web servers log for it; nobody is left to see it.
	cancelled   = httpapi.NewRefusal(499, "cancelled", "Whoever asked has left.")
	internal    = httpapi.NewRefusal(http.StatusInternalServerError, "internal", "The diagnosis broke down; the server's log says where.")
	unavailable = httpapi.NewRefusal(http.StatusServiceUnavailable, "unavailable", "There is no diagnosis right now; the server's log says why.")
	// notConfigured is called as the webhook endpoint calls it.
	notConfigured = httpapi.NewRefusal(http.StatusServiceUnavailable, "not_configured", "The diagnostics are not configured; the server's log says what is wrong.")
)

// defaultRetryAfter is how long to wait where the cause does not know better.
const defaultRetryAfter = 5 * time.Second

// answer is what one request is answered, and why.
type answer struct {
	// One of these: a refusal, a file of the page, or a report with its text.
	refusal refusal
	asset   asset
	known   bool // the caller has the file already
	report  jwtdiag.Report
	text    []byte

	// allow is sent with a 405, retryAfter with a 503.
	allow      string
	retryAfter time.Duration
	// cause is for the log alone.
	cause error
}

func refuse(r refusal, cause error) answer { return answer{refusal: r, cause: cause} }

// retry answers that there may be an answer later. A cause that knows when says
// so by a method RetryAfter.
func retry(r refusal, cause error) answer {
	return answer{refusal: r, retryAfter: httpapi.RetryAfter(cause, defaultRetryAfter), cause: cause}
}

// reported answers with a report.
func reported(report jwtdiag.Report) answer {
	text, err := json.Marshal(report)
	if err != nil {
		// The encoder's words can quote what it could not encode.
		return refuse(internal, fmt.Errorf("encoding the report: %T", err))
	}
	return answer{report: report, text: text}
}

func (a answer) status() int {
	switch {
	case a.refusal.Status != 0:
		return a.refusal.Status
	case a.known:
		return http.StatusNotModified
	}
	return http.StatusOK
}

func (a answer) write(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, value := range common {
		header.Set(name, value)
	}
	if a.asset.name != "" {
		a.asset.describe(header)
		w.WriteHeader(a.status())
		if a.status() == http.StatusOK && r.Method != http.MethodHead {
			_, _ = w.Write(a.asset.content)
		}
		return
	}
	header.Set("Content-Security-Policy", dataPolicy)
	httpapi.Answer{Status: a.status(), Body: a.body(), Allow: a.allow, RetryAfter: a.retryAfter}.Write(w)
}

func (a answer) body() []byte {
	if a.refusal.Status != 0 {
		return a.refusal.JSON()
	}
	return a.text
}
