package jwtdiag

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"clerksync/shared/finding"
)

// check is a finding, and what it means for the two verdicts.
type check struct {
	finding.Finding
	// clerk and supabase are how each of them refuses the token for this; nil where
	// it does not.
	clerk, supabase *refusal
	// clerkOpen and supabaseOpen: whether it does could not be found out.
	clerkOpen, supabaseOpen bool
}

// refusal is the answer of one who refuses.
type refusal struct {
	status        int
	code, message string
}

func passed(id, title, detail string) *check {
	return &check{Finding: finding.Finding{ID: id, Status: finding.Pass, Title: title, Detail: sentence(detail)}}
}

func skipped(id, title, why, remedy string) *check {
	return &check{Finding: finding.Finding{ID: id, Status: finding.Skip, Title: title, Detail: sentence(why), Remedy: remedy}}
}

func warned(id, title, detail, remedy string) *check {
	return &check{Finding: finding.Finding{ID: id, Status: finding.Warn, Title: title, Detail: sentence(detail), Remedy: remedy}}
}

func failed(id, title, detail, remedy string) *check {
	return &check{Finding: finding.Finding{ID: id, Status: finding.Fail, Title: title, Detail: sentence(detail), Remedy: remedy}}
}

// fail turns a check into a failed one.
func (c *check) fail(title, detail, remedy string) {
	c.Status, c.Title, c.Detail, c.Remedy = finding.Fail, title, sentence(detail), remedy
}

// refusedBy adds how the two refuse the token; either may be nil.
func (c *check) refusedBy(clerk, supabase *refusal) *check {
	c.clerk, c.supabase = clerk, supabase
	return c
}

// Refusals of the two, in their own words.
func clerkSays(code string) *refusal { return &refusal{code: code} }

func postgrestSays(code, message string) *refusal {
	return &refusal{status: 401, code: code, message: message}
}

// Answers that several checks lead to.
var (
	badCrypto    = postgrestSays("PGRST301", "JWT cryptographic operation failed")
	noKey        = postgrestSays("PGRST301", "No suitable key or wrong key type")
	noMatch      = clerkSays("jwk-kid-mismatch")
	badAlgorithm = clerkSays("token-invalid-algorithm")
	unverifiable = clerkSays("token-verification-failed")
)

// expectedParts is what PostgREST says of a token that has not three parts.
func expectedParts(token string) string {
	if token == "" {
		return "Empty JWT is sent in Authorization header"
	}
	if n := strings.Count(token, ".") + 1; n != 3 {
		return fmt.Sprintf("Expected 3 parts in JWT; got %d", n)
	}
	return "JWT cryptographic operation failed"
}

// capital writes the first letter large.
func capital(text string) string {
	r, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[size:]
}

// claimFirst begins a sentence with the name of a claim, a header parameter or
// something else that is written as it is.
var claimFirst = regexp.MustCompile(`^(?:(?:o|o\.id|v|exp|nbf|iat|iss|aud|azp|sub|sts|act|fea|per|fpm|org_[a-z]+|alg|typ|kid|crit)\b|auth\.|default |insert\(|getToken|global\.|verify_jwt|with check|using |supabase/|user_)`)

// sentence makes one of words.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	if !claimFirst.MatchString(text) {
		text = capital(text)
	}
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "…") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// join puts sentences behind each other.
func join(sentences ...string) string {
	var list []string
	for _, s := range sentences {
		if s != "" {
			list = append(list, sentence(s))
		}
	}
	return strings.Join(list, " ")
}
