// Package clerk holds what Clerk says, in Go: the webhook envelope, the kinds of
// objects it speaks of, their times, publishable keys, and the Backend API.
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
// stays the authority: Event.JSON keeps every member and every digit, for the
// database to read.
//
// [Backend] reads the same objects from the Backend API, page by page, for as
// many goroutines as like under one rate budget, and repeats what fails:
//
//	backend, err := clerk.NewBackend(clerk.BackendOptions{SecretKey: key})
//	page, err := backend.Users(ctx, clerk.UserQuery{OrderBy: "+created_at"})
//	for _, user := range page.Items {
//		note(user.ID, user.UpdatedAt)
//	}
//
// [Provisioner] is for the few things that set-up writes there, each of which a
// person has agreed to.
//
// A list is walked by whoever reads it: Backend reports each page as Clerk sent
// it, and only its caller knows what a short or a repeated one means.
//
// Limits: the package verifies no signature; only Backend and Provisioner ask the
// network, and only the latter changes anything there; nothing here decides about order, deletion or
// ownership, which the SQL sync functions do.
//
// Sources: Clerk OpenAPI webhooks 2025-04-15 and Backend API 2026-05-12.
package clerk
