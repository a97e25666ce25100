// Package httpapi is what the HTTP handlers of clerksync have in common: how
// they refuse, how they read a body within limits, and what they log.
//
// Use it first where a handler answers anything but what it is for:
//
//	body, err := httpapi.ReadBody(w, r, 64<<10, 3*time.Second)
//	if err != nil {
//		httpapi.BodyRefusal(err, tooLarge).Write(w)
//	}
//
// Every refusal is {"error": {"code": "…", "message": "…"}}. Codes are stable;
// messages are for people, and hold nothing of the request or of the cause,
// which is for the log alone: see [Line].
//
// What a request is for, and in what order it is checked, stays with each
// handler.
package httpapi
