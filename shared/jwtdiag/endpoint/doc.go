// Package endpoint answers POST /diagnostics/jwt, and serves the page on which
// people paste a token and read the report.
//
// Use it first as an [http.Handler]. The handler routes by itself, so that a
// gateway adapter, a local server and a test mount the same object at "/":
//
//	handler, err := endpoint.New(endpoint.Options{
//		Diagnose: diagnoser.Diagnose,
//		Page:     func(ctx context.Context) bool { … },
//		Logger:   logger,
//	})
//
// A server that is for its own machine sets Options.Hosts to [Loopback] and
// turns away other machines before it calls the handler.
//
// # Questions
//
// The body of a POST is a JSON object of at most 64 KiB, with Content-Type
// application/json:
//
//	token    string, required
//	tables   up to 20 names of up to 256 bytes; optional, may be null
//	symptom  an error code or an error's body, up to 16 KiB; optional, may be null
//
// Anything else is told rather than guessed: a field of another name, a field
// that comes twice, a token that is not a string, a body in UTF-16.
//
// # Answers
//
// A report is 200 whatever its verdicts, in the form of [jwtdiag.Report].
// Everything else is {"error": {"code": "…", "message": "…"}}:
//
//	400  invalid_json             no JSON object in UTF-8
//	400  missing_token            there is none, or an empty one
//	400  unknown_field, duplicate_field, invalid_field
//	400  unreadable_body          the body did not arrive in full
//	403  cross_site               a page of another site asks
//	403  unknown_host             the Host header is none of Options.Hosts
//	404  not_found
//	405  method_not_allowed       with Allow
//	408  request_timeout          the body took too long to arrive
//	413  body_too_large
//	415  unsupported_media_type, unsupported_encoding
//	499  cancelled                whoever asked has left; only the log sees it
//	500  internal                 a panic, or a report that is no JSON
//	503  not_configured           there is no usable configuration; with Retry-After
//	503  unavailable              time ran out; with Retry-After
//
// Codes are stable, messages are not. A message may repeat the name of an
// unknown field, where it is made of letters, and nothing else of the request.
//
// # The page
//
// Where Options.Page allows it, GET serves the page at [Path] and its style and
// script below. It is static and takes nothing from other origins. The token
// leaves it in the body of one request to [Path] and is kept nowhere: not in
// the address, the history, storage or a cookie. Its content security policy
// allows scripts, styles and connections of its own origin alone, no forms, no
// frames, and no HTML made from strings. Without JavaScript it says what to do
// instead. Reports are written into it as text, with characters that are
// invisible or change the direction of writing shown as escapes.
//
// # Guarantees and limits
//
// Neither token nor claims are logged: a request's line has its status, the two
// verdicts, the kind of token and the id of the finding that is the cause. Pages
// of other sites get no answer through a visitor's browser: their requests are
// refused by Sec-Fetch-Site, or by Origin in browsers without it, and must be
// preflighted, which is refused too. Programs send neither header and pass; who
// may call at all is decided in front of the handler.
package endpoint
