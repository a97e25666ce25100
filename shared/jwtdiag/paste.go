package jwtdiag

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// paste is what was given, and the token in it.
type paste struct {
	token string
	// around is what stood around the token and was taken off, in words.
	around []string
	// broken is what stood inside the token and was taken out, in words: sent like
	// that, the token is refused.
	broken []string
	// several: there was more than one token, and the first was taken.
	several bool
}

var (
	scheme     = regexp.MustCompile(`(?i)^(authorization|proxy-authorization|x-[a-z-]+|apikey)\s*[:=]\s*`)
	bearer     = regexp.MustCompile(`(?i)^bearer\s+`)
	cookieName = regexp.MustCompile(`(?:^|;\s*)(__session(?:_[A-Za-z0-9_-]{1,32})?)=([^;]*)`)
	cookieHead = regexp.MustCompile(`(?i)^(set-)?cookie\s*:\s*`)
	// jwtShape finds tokens in other text: three parts, the first of a JSON object.
	jwtShape   = regexp.MustCompile(`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
	assignment = regexp.MustCompile(`^(?:export\s+|const\s+|let\s+)?[A-Za-z_][A-Za-z0-9_.-]{0,40}\s*=\s*`)
)

const bearerScheme = `the scheme "Bearer"`

// quotes are the marks that shells, editors and letters put around a value.
var quotes = []string{`""`, "''", "``", "“”", "‘’", "„“", "«»", "<>"}

// unwrap finds the token in what was pasted. It never fails: what it does not
// recognise stays as it is.
func unwrap(text string) paste {
	p := paste{token: text}
	p.token = strings.Map(func(r rune) rune {
		// Byte order marks and characters without width come with copying.
		switch r {
		case '\ufeff', '\u200b', '\u200c', '\u200d', '\u2060', '\u00ad':
			return -1
		}
		return r
	}, p.token)
	if p.token != text {
		p.broken = append(p.broken, "characters without width")
	}
	p.trim()
	for range 6 { // a value in quotes behind a scheme in a header in quotes
		before := p.token
		p.peel()
		if p.token == before {
			break
		}
	}
	if joined := strings.Map(dropSpace, p.token); joined != p.token && looksLikeToken(joined) {
		p.token = joined
		p.broken = append(p.broken, "line breaks or spaces")
	}
	return p
}

func (p *paste) trim() {
	trimmed := strings.TrimFunc(p.token, unicode.IsSpace)
	trimmed = strings.TrimRight(trimmed, ",;")
	p.token = strings.TrimFunc(trimmed, unicode.IsSpace)
}

// peel takes one layer off.
func (p *paste) peel() {
	take := func(rest, what string) {
		p.token = rest
		p.trim()
		p.around = append(p.around, what)
	}
	switch text := p.token; {
	case cookieHead.MatchString(text) || cookieName.MatchString(text):
		text = cookieHead.ReplaceAllString(text, "")
		if found := cookieName.FindAllStringSubmatch(text, -1); len(found) > 0 {
			value := found[0][2]
			p.several = p.several || slices.ContainsFunc(found, func(f []string) bool { return f[2] != value })
			if unescaped, err := url.QueryUnescape(value); err == nil {
				value = unescaped
			}
			take(value, "a cookie string ("+found[0][1]+")")
		}
	case scheme.MatchString(text):
		take(scheme.ReplaceAllString(text, ""), "the name of a header")
	case bearer.MatchString(text):
		take(bearer.ReplaceAllString(text, ""), bearerScheme)
	case strings.HasPrefix(text, "{"):
		if inner, name := inJSON(text); inner != "" {
			take(inner, "a JSON object ("+name+")")
		}
	case isAssignment(text):
		take(assignment.ReplaceAllString(text, ""), "an assignment")
	default:
		for _, pair := range quotes {
			marks := []rune(pair)
			opening, closing := string(marks[0]), string(marks[1])
			if len(text) > len(opening)+len(closing) && strings.HasPrefix(text, opening) && strings.HasSuffix(text, closing) {
				take(text[len(opening):len(text)-len(closing)], "quotation marks")
				return
			}
		}
		// A command line or a log line with a token somewhere in it.
		if strings.ContainsFunc(text, unicode.IsSpace) && !looksLikeToken(strings.Map(dropSpace, text)) {
			if found := jwtShape.FindAllString(text, -1); len(found) > 0 {
				p.several = p.several || len(found) > 1
				take(found[0], "other text")
			}
		}
	}
}

// isAssignment tells NAME=value from a value that ends in the padding of base64.
func isAssignment(text string) bool {
	name := assignment.FindString(text)
	return name != "" && strings.Trim(text[len(name):], "= ") != "" && opaqueKind(text) == "" && !strings.HasPrefix(text, "eyJ")
}

// inJSON finds the token in the answer of an API that hands them out.
func inJSON(text string) (token, name string) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &members) != nil {
		return "", ""
	}
	for _, name := range []string{"jwt", "token", "access_token", "id_token", "session_token"} {
		if value, ok := asText(members[name]); ok && value != "" {
			return value, name
		}
	}
	return "", ""
}

func dropSpace(r rune) rune {
	if unicode.IsSpace(r) {
		return -1
	}
	return r
}

// looksLikeToken reports whether text could be nothing but a token.
func looksLikeToken(text string) bool {
	if !strings.HasPrefix(text, "eyJ") || strings.Count(text, ".") != 2 {
		return false
	}
	for _, c := range []byte(text) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("-_.=+/", c) >= 0:
		default:
			return false
		}
	}
	return true
}
