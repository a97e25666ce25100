package jwtdiag

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
)

var errNetworkLimit = fmt.Errorf("nothing came over the network within %s", networkLimit)

// The order in which each of the two looks at a token; what is refused first is
// its answer. Clerk: Clerk JavaScript, backend/src/tokens/verify.ts and
// jwt/verifyJwt.ts. Supabase: PostgREST, Auth/Jwt.hs.
var (
	clerkOrder = []string{
		"token.format", "token.kind", "header.kid", "jwks.fetch", "header.alg", "signature", "claim.sub", "claim.azp", "claim.exp", "claim.nbf", "claim.iat",
	}
	supabaseOrder = []string{
		"token.format", "token.kind", "header.alg", "header.kid", "signature", "supabase.provider", "claim.exp", "claim.nbf", "claim.iat", "claim.aud", "claim.role",
	}
)

func (x *diagnosis) verdicts() Verdicts {
	return Verdicts{Clerk: x.clerkVerdict(), Supabase: x.supabaseVerdict()}
}

func (x *diagnosis) clerkVerdict() Verdict {
	var open *check
	for _, id := range clerkOrder {
		c := x.checks[id]
		if c.clerk != nil {
			return Verdict{Outcome: Refused, Code: c.clerk.code, Because: c.Title + ".", Finding: id}
		}
		if c.clerkOpen && open == nil {
			open = c
		}
	}
	switch {
	case open != nil:
		return Verdict{Outcome: Unknown, Because: "Nothing speaks against it, but: " + because(open), Finding: open.ID}
	case x.checks["claim.sts"].Status == finding.Warn:
		return Verdict{Outcome: Accepted, Because: "The token is right; a backend that uses Clerk's request helpers treats the user as signed out while the session is pending."}
	default:
		return Verdict{Outcome: Accepted, Because: "Form, key, signature and times are right."}
	}
}

func (x *diagnosis) supabaseVerdict() Verdict {
	var open *check
	for _, id := range supabaseOrder {
		c := x.checks[id]
		if c.supabase == nil && id == "supabase.provider" {
			// Where the project's own keys are not known, the instance's stand for them.
			c = x.assume(c)
		}
		if c.supabase != nil {
			return Verdict{Outcome: Refused, Status: c.supabase.status, Code: c.supabase.code, Message: c.supabase.message, Because: c.Title + ".", Finding: c.ID}
		}
		if c.supabaseOpen && open == nil {
			open = c
		}
	}
	if x.payload == nil {
		return Verdict{Outcome: Unknown, Because: "Nothing is known about it.", Finding: "token.format"}
	}
	role, said := x.role()
	v := Verdict{Outcome: Accepted, Role: role, Because: "Requests run as " + role + "."}
	if !said {
		v.Because, v.Finding = "Requests run as anon, since the token names no role.", "claim.role"
	}
	if open != nil {
		v.Outcome, v.Because, v.Finding = Unknown, "Requests would run as "+role+", but: "+because(open), open.ID
	}
	return v
}

// assume adds what does not belong to one check alone to that of the provider:
// the answer about key and signature, named after the check that explains it, and
// the one about claims that PostgREST cannot read, which it reads last.
func (x *diagnosis) assume(provider *check) *check {
	if refused := x.unsuitable(); refused != nil {
		for _, id := range []string{"header.alg", "header.kid", "signature"} {
			if c := x.checks[id]; c.Status == finding.Fail {
				return &check{Finding: c.Finding, supabase: refused}
			}
		}
		return &check{Finding: x.checks["signature"].Finding, supabase: refused}
	}
	if refused := x.unreadableClaims(); refused != nil {
		return &check{Finding: x.checks["token.format"].Finding, supabase: refused}
	}
	return provider
}

// subordinate puts back what only follows from the token's being of another kind:
// one cause is one failure. The verdicts were reached before.
func (x *diagnosis) subordinate() {
	switch x.kind {
	case SupabaseAnon, SupabaseService, SupabaseSession, LegacyTemplate, Foreign, Machine, OAuth:
	default:
		return
	}
	for _, id := range []string{"header.alg", "header.kid", "claim.iss", "claim.azp", "claim.sub", "claim.role", "supabase.provider"} {
		c := x.checks[id]
		if id == "claim.role" && x.kind != Foreign || c.Status != finding.Fail && c.Status != finding.Warn {
			continue
		}
		c.Status, c.Detail, c.Remedy = finding.Skip, join("This follows from its being "+x.kind.String(), c.Detail), ""
	}
}

// because says why something is open: what was not checked, and the reason.
func because(c *check) string {
	text := lower(c.Title)
	if c.Detail != "" {
		text += ": " + lower(c.Detail)
	}
	return strings.TrimSuffix(text, ".") + "."
}

// lower writes the first letter small, unless a name begins there.
func lower(text string) string {
	first, _, _ := strings.Cut(text, " ")
	if first != strings.ToUpper(first) || first == "A" {
		return strings.ToLower(text[:1]) + text[1:]
	}
	return text
}

// causes is the order in which failures are named: what explains others first.
// What is not listed follows in the order of the report.
var causes = []string{
	"token.kind", "token.format", "header.alg", "claim.iss", "header.kid", "jwks.fetch", "signature", "claim.exp", "claim.nbf", "claim.iat", "claim.sub", "claim.azp",
	"claim.aud", "supabase.provider", "claim.role",
}

// conclude names the first cause, in one sentence. What somebody asked about goes
// before other things that were found in the database.
func conclude(findings []finding.Finding, v Verdicts, asked []Cause) (cause, text string) {
	first := firstCause(findings, finding.Fail)
	if first == nil {
		first = firstCause(findings, finding.Warn)
	}
	if len(asked) > 0 && asked[0].Likelihood == Confirmed && (first == nil || !slices.Contains(order, first.ID)) {
		for i, f := range findings {
			if f.ID == asked[0].Finding {
				first = &findings[i]
			}
		}
	}
	consequence := v.consequence()
	switch {
	case first == nil && v.Clerk.Outcome != Unknown && v.Supabase.Outcome != Unknown:
		return "", "Nothing is wrong with this token: " + consequence + "."
	case first == nil:
		return "", "Nothing is known to be wrong with this token: " + consequence + "."
	case first.ID == "token.kind" && v.Clerk.Outcome == Refused && v.Supabase.Outcome == Refused:
		return first.ID, first.Title + "."
	}
	text = first.Title
	if first.Object != "" {
		text = first.Object + ": " + text
	}
	if strings.Contains(text, ": ") {
		return first.ID, text + "; " + consequence + "."
	}
	return first.ID, text + ": " + consequence + "."
}

func firstCause(findings []finding.Finding, status finding.Status) *finding.Finding {
	for _, id := range causes {
		for i, f := range findings {
			if f.ID == id && f.Status == status {
				return &findings[i]
			}
		}
	}
	for i, f := range findings {
		if f.Status == status {
			return &findings[i]
		}
	}
	return nil
}

// consequence says what the two verdicts are.
func (v Verdicts) consequence() string {
	var clerk, api string
	switch v.Clerk.Outcome {
	case Accepted:
		clerk = "Clerk's verifier accepts it"
	case Refused:
		clerk = "Clerk's verifier refuses it (" + v.Clerk.Code + ")"
	default:
		clerk = "what Clerk's verifier says was not checked"
	}
	switch v.Supabase.Outcome {
	case Accepted:
		api = "the Data API runs it as " + v.Supabase.Role
	case Refused:
		api = fmt.Sprintf("the Data API answers %d %s %q", v.Supabase.Status, v.Supabase.Code, v.Supabase.Message)
	default:
		api = "whether the Data API takes it was not checked"
		if v.Supabase.Role != "" {
			api = "the Data API runs it as " + v.Supabase.Role + " if the project trusts its key, which was not checked"
		}
	}
	if v.Clerk.Outcome == Accepted && v.Supabase.Outcome == Refused {
		return clerk + ", but " + api
	}
	return clerk + ", and " + api
}
