package jwtdiag

import (
	"fmt"
	"time"

	"clerksync/shared/clerk"
	"clerksync/shared/jsonkind"
)

// What a clock is forgiven.
const (
	// clerkSkew: Clerk JavaScript, backend/src/jwt/verifyJwt.ts, for exp, nbf and iat.
	clerkSkew = clerk.ClockSkew * time.Second
	// postgrestSkew: PostgREST, Auth/Jwt.hs.
	postgrestSkew = 30 * time.Second
)

// odd says of a claim that is no usable time what the two make of it; nil where
// the time is usable by both. PostgREST takes a null for missing, and what is no
// 64-bit integer for 0 (Auth/Jwt.hs and aeson); Clerk's verifier wants a number of
// each that is there.
func (m moment) odd(id, name string, missing *refusal) *check {
	notNumber := postgrestSays("PGRST303", fmt.Sprintf("The JWT '%s' claim must be a number", name))
	switch {
	case !m.there:
		return nil
	case !m.number:
		c := failed(id, fmt.Sprintf("The claim %s is %s, and has to be a number of seconds", name, jsonkind.Of(m.raw)), "Times in tokens are seconds since 1970, as numbers.", useSessionToken).
			refusedBy(unverifiable, notNumber)
		if jsonkind.Of(m.raw) == "null" {
			c.supabase = nil // read as missing
		}
		return c
	case !m.exact:
		return failed(id, fmt.Sprintf("The claim %s is no whole number of seconds", name), "PostgREST reads a fraction, or a number beyond 64 bits, as 0; Clerk's verifier takes it as it is.", useSessionToken).
			refusedBy(nil, missing)
	default:
		return nil
	}
}

// checkExpiry is about exp.
func (x *diagnosis) checkExpiry(id string) *check {
	m, issued := readMoment(x.payload, "exp"), readMoment(x.payload, "iat")
	expired := postgrestSays("PGRST303", "JWT expired")
	byClerk, byPostgREST := m.jsBefore(x.now.Add(-clerkSkew)), m.whole < x.now.Add(-postgrestSkew).Unix()
	if c := m.odd(id, "exp", expired); c != nil {
		if byClerk {
			c.clerk = clerkSays("token-expired")
		}
		return c
	}
	if !m.there {
		return failed(id, "The token never expires: it has no exp", "Clerk's verifier and Realtime refuse it; the Data API takes it.", useSessionToken).
			refusedBy(unverifiable, nil)
	}
	left := time.Duration(m.whole-x.now.Unix()) * time.Second
	if far(m.whole, x.now) {
		return warned(id, "The token expires in a time that no calendar has", m.milliseconds("exp"), useSessionToken).
			refusedBy(pick(byClerk, clerkSays("token-expired")), pick(byPostgREST, expired))
	}
	switch {
	case left <= 0:
		detail := "exp is " + m.time().Format(time.RFC3339) + ", and now it is " + x.now.UTC().Format(time.RFC3339) + "."
		if issued.usable() && issued.exact {
			detail += " It was made for " + span(m.time().Sub(issued.time())) + "."
		}
		detail += fmt.Sprintf(" Clerk forgives a clock %s, the Data API %s.", seconds(clerkSkew), seconds(postgrestSkew))
		remedy := "Ask getToken() for each request, not once for all: supabase-js has the option accessToken for it. On a server that works longer than a minute, make a token when it is needed."
		title := "The token expired " + ago(-left)
		if !byClerk && !byPostgREST {
			return warned(id, title, detail, remedy)
		}
		return failed(id, title, detail, remedy).
			refusedBy(pick(byClerk, clerkSays("token-expired")), pick(byPostgREST, expired))
	case issued.usable() && issued.exact && x.kind == Session && m.whole-issued.whole > 2*clerk.SessionTokenLifetime:
		return warned(id, "The session token lives "+span(m.time().Sub(issued.time()))+", far longer than the minute of Clerk's own",
			"Whoever gets hold of it can use it for so long, and what it says of roles and organizations is as old.", "Compare the lifetime in the Clerk dashboard.")
	case left > 24*time.Hour:
		return warned(id, "The token is valid for another "+span(left), "Whoever gets hold of it can use it for so long.", "Shorten the lifetime in the template, or use session tokens.")
	default:
		return passed(id, "Valid for another "+span(left), "exp is "+m.time().Format(time.RFC3339)+".")
	}
}

// milliseconds says of a time that no calendar has where such times come from.
func (m moment) milliseconds(name string) string {
	return name + " is " + show(string(m.raw)) + "; milliseconds in place of seconds look like this."
}

func pick(is bool, r *refusal) *refusal {
	if is {
		return r
	}
	return nil
}

// seconds writes by how much a clock is off: to the second, to be set right.
func seconds(d time.Duration) string { return fmt.Sprintf("%d s", int64(d.Seconds())) }

// far reports whether a time is beyond anything that can be meant.
func far(seconds int64, now time.Time) bool {
	const century = 100 * 365 * 24 * 3600
	return seconds > now.Unix()+century || seconds < -century
}

// checkNotBefore is about nbf, checkIssuedAt about iat.
func (x *diagnosis) checkNotBefore(id string) *check {
	return x.checkStart(id, "nbf", "The token is not valid yet, for another %s", "token-not-active-yet", "JWT not yet valid")
}

func (x *diagnosis) checkIssuedAt(id string) *check {
	return x.checkStart(id, "iat", "The token was made %s in the future", "token-iat-in-the-future", "JWT issued at future")
}

func (x *diagnosis) checkStart(id, name, title, code, message string) *check {
	m := readMoment(x.payload, name)
	byClerk := m.jsAfter(x.now.Add(clerkSkew))
	if c := m.odd(id, name, nil); c != nil {
		if byClerk {
			c.clerk = clerkSays(code)
		}
		return c
	}
	if !m.there {
		if name == "nbf" {
			return passed(id, "Valid from the start: there is no nbf", "")
		}
		return warned(id, "The token does not say when it was made: it has no iat", "Clerk always says so.", "")
	}
	ahead := time.Duration(0)
	if !far(m.whole, x.now) {
		ahead = time.Duration(m.whole-x.now.Unix()) * time.Second
	}
	byPostgREST := m.whole > x.now.Add(postgrestSkew).Unix()
	switch {
	case byClerk || byPostgREST:
		c := failed(id, fmt.Sprintf(title, seconds(ahead)),
			fmt.Sprintf("The clock here is %s behind the one that made the token, or more. Clerk forgives %s, the Data API %s.", seconds(ahead), seconds(clerkSkew), seconds(postgrestSkew)),
			"Set the clock of the machine that verifies, as with NTP; in a container, that of its host.")
		if ahead == 0 {
			c = failed(id, "The claim "+name+" is a time that no calendar has", m.milliseconds(name), useSessionToken)
		}
		return c.refusedBy(pick(byClerk, clerkSays(code)), pick(byPostgREST, postgrestSays("PGRST303", message)))
	case ahead > time.Second:
		return warned(id, "The clock here is at least "+seconds(ahead)+" behind the one that made the token", fmt.Sprintf("Clerk forgives %s, the Data API %s.", seconds(clerkSkew), seconds(postgrestSkew)),
			"Set the clock of this machine, as with NTP.")
	case name == "iat":
		return passed(id, "Made "+ago(-ahead), "")
	default:
		return passed(id, "Valid since "+m.time().Format(time.RFC3339), "")
	}
}
