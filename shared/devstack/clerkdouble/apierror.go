package clerkdouble

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// failure is an answer that is an error: status and code as Clerk publishes
// them (Clerk docs, Backend API errors), where it does.
type failure struct {
	status int
	code   string
	// message is the short one.
	message, long string
	// param is the query parameter that is to blame, if one is.
	param      string
	retryAfter time.Duration
}

var (
	errKey = &failure{
		status: http.StatusUnauthorized, code: "clerk_key_invalid",
		message: "The secret key is not one of this instance's.",
	}
	errAuthorizationFormat = &failure{
		status: http.StatusUnauthorized, code: "authorization_header_format_invalid",
		message: "The Authorization header is not of the form Bearer and a key.",
	}
	errOrganizationsDisabled = &failure{
		status: http.StatusForbidden, code: "organization_not_enabled_in_instance",
		message: "access denied", long: "Organizations are not enabled in this instance.",
	}
	errNoRoute = &failure{status: http.StatusNotFound, code: "resource_not_found", message: "not found", long: "There is nothing at this URL."}
	errMethod  = &failure{
		status: http.StatusMethodNotAllowed, code: "method_not_allowed",
		message: "method not allowed", long: "This double knows no such method here.",
	}
	errBody = &failure{
		status: http.StatusBadRequest, code: "request_body_invalid",
		message: "Request body invalid", long: "The body is to be a JSON object, or empty.",
	}
	// Clerk says that it opens no sessions there, and not by which code.
	errProduction = &failure{
		status: http.StatusForbidden, code: "not_available_in_production",
		message: "access denied", long: "Sessions are opened here in development instances alone.",
	}
	errNoMember = &failure{
		status: http.StatusNotFound, code: "organization_not_found_or_unauthorized",
		message: "not found or unauthorized", long: "There is no such organization, or the user is no member of it.",
	}
	errQuery = &failure{status: http.StatusBadRequest, code: "malformed_request_parameters", message: "Malformed request parameters"}
	// Which codes Clerk has for these two is not published, only that they are
	// errors.
	errTwoVersions = &failure{
		status: http.StatusBadRequest, code: "api_version_invalid",
		message: "The API version is given twice, in the header and in the query.",
	}
	errVersion = &failure{status: http.StatusBadRequest, code: "api_version_invalid", message: "There is no such API version."}
)

func notThere(kind, id string) *failure {
	return &failure{status: http.StatusNotFound, code: "resource_not_found", message: "not found", long: fmt.Sprintf("No %s was found with id %s", kind, id)}
}

// broken is what Clerk has no code for, because it happens to a double alone.
func broken(err error) *failure {
	return &failure{status: http.StatusInternalServerError, code: "internal_clerk_error", message: "Oops, an unexpected error occurred", long: err.Error()}
}

// unprocessable blames a parameter.
func unprocessable(code, message, param, long string) *failure {
	return &failure{status: http.StatusUnprocessableEntity, code: code, message: message, long: param + " " + long, param: param}
}

// tooMany tells whole seconds, rounded up.
func tooMany(rest time.Duration) *failure {
	return &failure{
		status: http.StatusTooManyRequests, code: "too_many_requests",
		message: "Too many requests", long: "The instance has used up its requests for now.",
		retryAfter: max(time.Second, (rest + time.Second - 1).Truncate(time.Second)),
	}
}

func (f *failure) setHeader(h http.Header) {
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.retryAfter/time.Second)))
	}
}

// append writes the body (Clerk OpenAPI ClerkErrors).
func (f *failure) append(b []byte) []byte {
	long := f.long
	if long == "" {
		long = f.message
	}
	b = text(append(b, `{"errors":[{"message":`...), f.message)
	b = text(append(b, `,"long_message":`...), long)
	b = text(append(b, `,"code":`...), f.code)
	if f.param != "" {
		b = append(text(append(b, `,"meta":{"param_name":`...), f.param), '}')
	}
	return fmt.Appendf(b, `}],"clerk_trace_id":"%016x%016x"}`, rand.Uint64(), rand.Uint64())
}
