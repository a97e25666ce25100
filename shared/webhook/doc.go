// Package webhook receives Clerk's webhooks: it verifies their Svix signatures
// and hands what is authentic to a store, which is all that decides about it.
//
// Use it first as an [http.Handler]. The handler routes by itself, so that a
// gateway adapter, a local server and a test mount the same object at "/":
//
//	handler, err := webhook.New(webhook.Options{
//		Store:     mirror.New(db),
//		Configure: func(ctx context.Context) (webhook.Configuration, error) { … },
//		Logger:    logger,
//	})
//
// [Verifier] verifies without the handler.
//
// # Answers
//
// Success is 200 with {"outcome": "…"}, where the outcome is applied,
// duplicate, stale, ignored or rejected; or 202 with {"outcome": "queued"} where
// the store has handed the event to a queue, which decides later. Svix takes both
// for delivered. Everything else is {"error": {"code": "…", "message": "…"}}, and
// makes Svix deliver again:
//
//	400  missing_header, duplicate_header, malformed_header, unreadable_body
//	401  invalid_signature, timestamp_too_old, timestamp_too_new
//	404  not_found
//	405  method_not_allowed
//	408  request_timeout          the body took too long to arrive
//	413  body_too_large
//	415  unsupported_media_type, unsupported_encoding
//	503  not_configured           no usable signing secret, or another setting
//	503  unavailable              the event was not stored; with Retry-After
//
// Codes are stable, messages are not, and neither tells more than the sender
// may know. The cause of a 503 is in the log.
//
// # Guarantees and limits
//
// The store never sees a byte of a body whose signature did not verify over
// exactly the bytes received. An empty body is treated as any other: without a
// valid signature it is refused, with one it is a message that is no event, and
// is stored as rejected. An authentic message is answered 200 or 202 only after
// the store answered.
//
// No payload, header or secret is logged, except the message id of the svix-id
// header. Bodies are held in memory, up to Options.MaxBody.
//
// Sources: Svix and Standard Webhooks on signatures; svix-webhooks/go v1.99.1
// does the cryptography. It is lenient about headers and does not say what was
// wrong, so headers are checked here before it sees them.
package webhook
