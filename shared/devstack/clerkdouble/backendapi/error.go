package backendapi

import (
	"fmt"
	"net/http"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

var (
	errKey                 = refusal(http.StatusUnauthorized, "clerk_key_invalid", "The secret key is not one of this instance's.", "")
	errAuthorizationFormat = refusal(http.StatusUnauthorized, "authorization_header_format_invalid",
		"The Authorization header is not of the form Bearer and a key.", "")
	errOrganizationsDisabled = refusal(http.StatusForbidden, "organization_not_enabled_in_instance",
		"access denied", "Organizations are not enabled in this instance.")
	errBody = refusal(http.StatusBadRequest, "request_body_invalid", "Request body invalid", "The body is to be a JSON object, or empty.")
	// Clerk says that it opens no sessions there, and not by which code.
	errProduction = refusal(http.StatusForbidden, "not_available_in_production",
		"access denied", "Sessions are opened here in development instances alone.")
	errNoMember = refusal(http.StatusNotFound, "organization_not_found_or_unauthorized",
		"not found or unauthorized", "There is no such organization, or the user is no member of it.")
	// That these are 400 is published; their codes are not.
	errSvixApp   = refusal(http.StatusBadRequest, "svix_app_exists", "svix app already exists", "The instance has a Svix app already.")
	errNoSvixApp = refusal(http.StatusBadRequest, "svix_app_missing", "svix app missing", "The instance has no Svix app yet.")
	errQuery     = refusal(http.StatusBadRequest, "malformed_request_parameters", "Malformed request parameters", "")
	// Which codes Clerk has for these two is not published, only that they are
	// errors.
	errTwoVersions = refusal(http.StatusBadRequest, "api_version_invalid", "The API version is given twice, in the header and in the query.", "")
	errVersion     = refusal(http.StatusBadRequest, "api_version_invalid", "There is no such API version.", "")
)

func refusal(status int, code, message, long string) *resource.Failure {
	return &resource.Failure{Status: status, Code: code, Message: message, Long: long}
}

func notThere(kind, id string) *resource.Failure {
	return refusal(http.StatusNotFound, "resource_not_found", "not found", fmt.Sprintf("No %s was found with id %s", kind, id))
}

// broken is what Clerk has no code for, because it happens to a double alone.
func broken(err error) *resource.Failure {
	return refusal(http.StatusInternalServerError, "internal_clerk_error", "Oops, an unexpected error occurred", err.Error())
}

// unprocessable blames a parameter.
func unprocessable(code, message, param, long string) *resource.Failure {
	f := refusal(http.StatusUnprocessableEntity, code, message, param+" "+long)
	f.Meta = &resource.Meta{Param: param}
	return f
}

// tooMany tells whole seconds, rounded up.
func tooMany(rest time.Duration) *resource.Failure {
	f := refusal(http.StatusTooManyRequests, "too_many_requests", "Too many requests", "The instance has used up its requests for now.")
	f.RetryAfter = max(time.Second, (rest + time.Second - 1).Truncate(time.Second))
	return f
}
