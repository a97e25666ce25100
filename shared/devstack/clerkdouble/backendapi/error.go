package backendapi

import (
	"fmt"
	"net/http"
	"time"

	"clerksync/shared/devstack/clerkdouble/resource"
)

var (
	errKey = &resource.Failure{
		Status: http.StatusUnauthorized, Code: "clerk_key_invalid",
		Message: "The secret key is not one of this instance's.",
	}
	errAuthorizationFormat = &resource.Failure{
		Status: http.StatusUnauthorized, Code: "authorization_header_format_invalid",
		Message: "The Authorization header is not of the form Bearer and a key.",
	}
	errOrganizationsDisabled = &resource.Failure{
		Status: http.StatusForbidden, Code: "organization_not_enabled_in_instance",
		Message: "access denied", Long: "Organizations are not enabled in this instance.",
	}
	errBody = &resource.Failure{
		Status: http.StatusBadRequest, Code: "request_body_invalid",
		Message: "Request body invalid", Long: "The body is to be a JSON object, or empty.",
	}
	// Clerk says that it opens no sessions there, and not by which code.
	errProduction = &resource.Failure{
		Status: http.StatusForbidden, Code: "not_available_in_production",
		Message: "access denied", Long: "Sessions are opened here in development instances alone.",
	}
	errNoMember = &resource.Failure{
		Status: http.StatusNotFound, Code: "organization_not_found_or_unauthorized",
		Message: "not found or unauthorized", Long: "There is no such organization, or the user is no member of it.",
	}
	errQuery = &resource.Failure{Status: http.StatusBadRequest, Code: "malformed_request_parameters", Message: "Malformed request parameters"}
	// Which codes Clerk has for these two is not published, only that they are
	// errors.
	errTwoVersions = &resource.Failure{
		Status: http.StatusBadRequest, Code: "api_version_invalid",
		Message: "The API version is given twice, in the header and in the query.",
	}
	errVersion = &resource.Failure{Status: http.StatusBadRequest, Code: "api_version_invalid", Message: "There is no such API version."}
)

func notThere(kind, id string) *resource.Failure {
	return &resource.Failure{Status: http.StatusNotFound, Code: "resource_not_found", Message: "not found", Long: fmt.Sprintf("No %s was found with id %s", kind, id)}
}

// broken is what Clerk has no code for, because it happens to a double alone.
func broken(err error) *resource.Failure {
	return &resource.Failure{Status: http.StatusInternalServerError, Code: "internal_clerk_error", Message: "Oops, an unexpected error occurred", Long: err.Error()}
}

// unprocessable blames a parameter.
func unprocessable(code, message, param, long string) *resource.Failure {
	return &resource.Failure{Status: http.StatusUnprocessableEntity, Code: code, Message: message, Long: param + " " + long, Meta: &resource.Meta{Param: param}}
}

// tooMany tells whole seconds, rounded up.
func tooMany(rest time.Duration) *resource.Failure {
	return &resource.Failure{
		Status: http.StatusTooManyRequests, Code: "too_many_requests",
		Message: "Too many requests", Long: "The instance has used up its requests for now.",
		RetryAfter: max(time.Second, (rest + time.Second - 1).Truncate(time.Second)),
	}
}
