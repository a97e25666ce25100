// Package clerk holds what Clerk says, in Go: the webhook envelope, the
// resources it carries, their times, and publishable keys.
//
// Use it first through [ParseEvent], on a body whose signature was verified:
//
//	event, err := clerk.ParseEvent(body)
//	switch {
//	case errors.Is(err, clerk.ErrNotEvent):
//		// authentic, but nothing a mirror can apply
//	case err == nil:
//		store(event.Type, event.ObjectID, event.JSON)
//	}
//
// Decoding is lenient on purpose. Clerk's published examples carry fields that
// its own schemas forbid, leave out fields that they require and put null where
// they allow none, so nothing here refuses an unknown field, and the raw JSON
// stays the authority: Event.JSON keeps every member and every digit, while the
// resource types ([User], [Organization], …) hold what programs read.
//
// Limits: the package verifies no signature and asks no network; it decides
// nothing about order, deletion or ownership, which the SQL sync functions do.
//
// Sources: Clerk OpenAPI webhooks 2025-04-15 and Backend API 2026-05-12.
package clerk
