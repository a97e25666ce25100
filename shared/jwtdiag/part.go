package jwtdiag

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// part is one of a token's three parts.
type part struct {
	name string
	raw  string
	// bytes is what the part holds, read with all the patience there is; nil where
	// that does not help.
	bytes []byte
	// problem says what is wrong with the encoding, in words; empty where nothing is.
	problem string
	// clerkReads and postgrestReads: their decoders take the encoding.
	clerkReads, postgrestReads bool
}

// readPart decodes a part. Clerk's verifier takes padding, and no bits beyond the
// last byte (Clerk JavaScript, backend/src/util/rfc4648.ts); PostgREST takes no
// padding, and does not look at such bits (memory's Base64URLUnpadded, through
// jose-jwt's Jose.Internal.Parser).
func readPart(name, raw string) part {
	p := part{name: name, raw: raw}
	if strings.ContainsAny(raw, "\r\n") {
		// Go's decoder would skip them.
		p.problem = "holds a line break"
		return p
	}
	bare := strings.TrimRight(raw, "=")
	padded := bare != raw
	text := bare
	if strings.ContainsAny(bare, "+/") {
		text = strings.NewReplacer("+", "-", "/", "_").Replace(bare)
		p.problem = `is in standard base64 ("+" and "/") in place of base64url ("-" and "_")`
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		p.problem = badBase64(err, bare)
		return p
	}
	p.bytes = decoded
	if p.problem != "" {
		return p
	}
	_, strict := base64.RawURLEncoding.Strict().DecodeString(text)
	p.clerkReads, p.postgrestReads = strict == nil, !padded
	switch {
	case padded:
		p.problem = `has padding ("=") at its end, which a token never has`
	case strict != nil:
		p.problem = "has bits beyond its last byte: its last character was changed or cut off"
	}
	return p
}

func badBase64(err error, text string) string {
	var at base64.CorruptInputError
	switch {
	case text == "":
		return "is empty"
	case len(text)%4 == 1:
		return fmt.Sprintf("has %d characters, which base64 never has: something is cut off or added", len(text))
	case errors.As(err, &at) && int(at) < len(text):
		r, _ := utf8.DecodeRuneInString(text[int(at):])
		if r == utf8.RuneError {
			return fmt.Sprintf("holds a character at position %d that base64url does not have", int(at)+1)
		}
		return fmt.Sprintf("holds the character %s at position %d, which base64url does not have", show(string(r)), int(at)+1)
	default:
		return "is no base64url"
	}
}

// MaxToken is the size of the largest token that is looked at, in bytes. Session
// tokens have about one kilobyte; a cookie holds four, and servers take headers
// of eight to sixteen.
const MaxToken = 64 << 10

// cookieSize is what browsers keep of a cookie, its name and attributes included
// (RFC 6265, 6.1). Clerk keeps session tokens in one (its docs, session tokens).
const cookieSize = 4096

// read takes the token apart.
func (x *diagnosis) read(text string) {
	if len(text) > 2*MaxToken {
		x.tooLarge = len(text)
		return
	}
	x.paste = unwrap(text)
	if len(x.paste.token) > MaxToken {
		x.tooLarge = len(x.paste.token)
		return
	}
	raw := strings.Split(x.paste.token, ".")
	if len(raw) != 3 {
		x.parts = make([]part, len(raw))
		return
	}
	for i, name := range []string{"header", "payload", "signature"} {
		x.parts = append(x.parts, readPart(name, raw[i]))
	}
	x.header, x.headerProblem = x.readJSON(x.parts[0])
	x.payload, x.payloadProblem = x.readJSON(x.parts[1])
}

// jsonProblem is what is wrong with a part's JSON.
type jsonProblem struct {
	text string
	// strict: only a patient reader gets over it. Clerk's does, PostgREST's does not.
	strict bool
}

var byteOrderMark = []byte("\xef\xbb\xbf")

func (x *diagnosis) readJSON(p part) (*object, jsonProblem) {
	if p.bytes == nil {
		return nil, jsonProblem{}
	}
	text, problem := p.bytes, jsonProblem{}
	if rest, marked := bytes.CutPrefix(text, byteOrderMark); marked {
		text, problem = rest, jsonProblem{"begins with a byte order mark", true}
	}
	if !utf8.Valid(text) {
		text, problem = bytes.ToValidUTF8(text, []byte("\ufffd")), jsonProblem{"is not UTF-8 throughout", true}
	}
	o, err := readObject(text)
	if err != nil {
		return nil, jsonProblem{text: err.Error()}
	}
	return o, problem
}

// checkFormat says whether the token can be read, and what had to be taken off.
func (x *diagnosis) checkFormat() *check {
	const id = "token.format"
	if x.tooLarge > 0 {
		c := failed(id, fmt.Sprintf("This has %d bytes, more than any server takes for a token", x.tooLarge),
			fmt.Sprintf("Tokens of up to %d bytes are looked at; this one was not.", MaxToken), useSessionToken)
		c.clerkOpen, c.supabaseOpen = true, true
		return c
	}
	if !x.kind.isJWT() && x.kind != Malformed {
		return skipped(id, "The form was not checked", "this is "+x.kind.String(), "")
	}
	token := x.paste.token
	clerk, postgrest := clerkSays("token-invalid"), postgrestSays("PGRST301", expectedParts(token))
	if n := len(x.parts); n != 3 {
		detail := fmt.Sprintf("It has %s, and a token has three with dots between them.", counted(n, "part", "parts"))
		remedy := "Copy the whole token."
		switch {
		case n == 2 && strings.HasPrefix(token, "eyJ"):
			detail += " The signature is missing."
		case strings.HasSuffix(token, "…") || strings.HasSuffix(token, "..."):
			detail += " It ends in dots, as where a tool shortens what it shows."
			remedy = "Copy it from where it is whole: not from a log or a table that shortens it."
		}
		return failed(id, "The token has not three parts", detail, remedy).refusedBy(clerk, postgrest)
	}

	var faults []string
	clerkReads, postgrestReads, claimsOnly := true, true, false
	for i, p := range x.parts {
		if p.problem != "" {
			faults = append(faults, "the "+p.name+" "+p.problem)
		}
		clerkReads, postgrestReads = clerkReads && p.clerkReads, postgrestReads && p.postgrestReads
		if i == 2 {
			continue
		}
		problem := []jsonProblem{x.headerProblem, x.payloadProblem}[i]
		if problem.text == "" {
			continue
		}
		faults = append(faults, fmt.Sprintf("the %s, decoded, is faulty: %s", p.name, problem.text))
		clerkReads = clerkReads && problem.strict
		// Claims that cannot be read come to light after the signature.
		claimsOnly = i == 1 && postgrestReads
		postgrestReads = false
	}
	if len(faults) > 0 {
		if claimsOnly {
			postgrest = nil // the payload has a refusal of its own, after the signature
		}
		c := failed(id, "The token is damaged", join(faults...), "Copy the token again, whole and unchanged; if it is the same, whoever made it did not keep to RFC 7515.")
		if !clerkReads {
			c.clerk = clerk
		}
		if !postgrestReads {
			c.supabase = postgrest
		}
		return c
	}
	return x.checkShape(id)
}

// checkShape is about what readers of well-formed tokens stumble over.
func (x *diagnosis) checkShape(id string) *check {
	if repeated := slices.Concat(x.header.repeated, x.payload.repeated); len(repeated) > 0 {
		for i, name := range repeated {
			repeated[i] = show(name)
		}
		return failed(id, "A name stands twice in the token: "+listed(repeated),
			"Readers differ: PostgREST takes the first value, JavaScript and Go the last. What a tool shows is not what Postgres gets.",
			"Find out who makes such tokens; Clerk does not.")
	}
	var remarks []string
	if len(x.paste.around) > 0 {
		remarks = append(remarks, "What was given has "+strings.Join(x.paste.around, ", ")+" around the token; the token alone was looked at")
	}
	if x.paste.several {
		remarks = append(remarks, "There are several different tokens in it; the first was looked at")
	}
	with := func(first string) string { return join(slices.Concat([]string{first}, remarks)...) }
	if len(x.paste.broken) > 0 {
		return warned(id, "There were "+strings.Join(x.paste.broken, " and ")+" inside the token",
			with("They were taken out to look at it. Sent like that, it is refused"),
			"If they came with the copying, all is well. If the program sends them, read the token from its source in one piece.")
	}
	if strings.Count(strings.Join(x.paste.around, ", "), bearerScheme) > 1 {
		return warned(id, `The scheme "Bearer" stands twice in front of the token`, with("Sent like that, it is refused"),
			`Send Authorization: Bearer and the token, once.`)
	}
	size := len(x.paste.token)
	if size > cookieSize {
		return warned(id, fmt.Sprintf("The token has %d bytes, more than a cookie holds", size),
			with(fmt.Sprintf("Browsers drop cookies above %d bytes, so the session is lost there; some servers refuse such a header", cookieSize)),
			"Keep custom claims below 1.2 kilobytes together: ids in the token, the rest from the database.")
	}
	const deep = 64
	if x.payload.depth > deep {
		return warned(id, fmt.Sprintf("The claims are nested %d deep", x.payload.depth), with("Some readers give up on that"), "Keep claims flat.")
	}
	return passed(id, "Three parts that can be read", join(remarks...))
}

// unreadableClaims is what PostgREST says of claims that it cannot read; nil where it can.
func (x *diagnosis) unreadableClaims() *refusal {
	if len(x.parts) == 3 && x.parts[1].postgrestReads && x.payloadProblem.text != "" {
		return postgrestSays("PGRST303", "Parsing claims failed")
	}
	return nil
}

func counted(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, several)
}
