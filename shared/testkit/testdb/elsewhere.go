package testdb

import (
	"regexp"
	"strings"
)

// Elsewhere puts the copy into the schema app and what policies call into claims, where
// [Moved] makes the SQL of other tests fit.
func Elsewhere() Option {
	return func(r *recipe) { r.schema, r.helpers = "app", "claims" }
}

var (
	usualHelpers = regexp.MustCompile(`\bclerk\.(?:user_id|org_|my_|claim|has_|session_is_active|is_impersonated|role_permissions|organization_|fellows|near_fellow_ids|crowd_|first_fellow|by_key|leaving_fellow_ids)|\b(?:[Ss]chema|Add) clerk\b`)
	usualCopy    = regexp.MustCompile(`\bpublic\.((?:users|users_public|organizations|organization_memberships|ensure_user)\b)`)
)

// Moved is text about a database with the usual schemas, as it is about one made with
// [Elsewhere].
func Moved(text string) string {
	return MovedCopy(usualHelpers.ReplaceAllStringFunc(text, func(found string) string { return strings.Replace(found, "clerk", "claims", 1) }))
}

// MovedCopy is text about a database with the usual schemas, as it is about one whose
// copy alone is in app.
func MovedCopy(text string) string { return usualCopy.ReplaceAllString(text, "app.$1") }

// NamesUsualHelpers reports whether a text names the schema that helpers have usually.
func NamesUsualHelpers(text string) bool { return usualHelpers.MatchString(text) }
