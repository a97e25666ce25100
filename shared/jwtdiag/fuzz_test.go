package jwtdiag_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
)

// ids are those that every report has, whatever was given.
var ids = []string{
	"token.format", "token.kind", "header.alg", "header.kid", "jwks.fetch", "signature",
	"claim.iss", "claim.exp", "claim.nbf", "claim.iat", "claim.azp", "claim.aud", "claim.sub", "claim.role", "claim.sts", "claim.version", "claim.org", "claim.permissions",
	"supabase.provider", "database.claims", "database.role", "database.uid", "mirror.user",
}

// sound reports what is wrong with a report of anything.
func sound(t *testing.T, given string, r jwtdiag.Report) {
	t.Helper()
	count := map[string]int{}
	for _, f := range r.Findings {
		count[f.ID]++
		if f.Title == "" || strings.HasSuffix(f.Title, ".") || f.Status == finding.Skip && f.Detail == "" {
			t.Errorf("%q: the finding %+v has no title, a full stop in it, or no reason for being skipped", given, f)
		}
		if f.Status == finding.Fail && f.Remedy == "" && f.ID != "signature" {
			t.Errorf("%q: the failure %+v says nothing to do", given, f)
		}
	}
	for _, id := range ids {
		if count[id] != 1 {
			t.Errorf("%q: %d findings are called %s", given, count[id], id)
		}
	}
	if r.Sentence == "" || !strings.HasSuffix(r.Sentence, ".") || strings.Count(r.Sentence, "\n") > 0 {
		t.Errorf("%q: the sentence is %q", given, r.Sentence)
	}
	if r.Verdicts.Clerk.Outcome == jwtdiag.Refused && r.Cause == "" || r.Verdicts.Supabase.Outcome == jwtdiag.Refused && r.Cause == "" {
		t.Errorf("%q is refused, and no cause is named: %q", given, r.Sentence)
	}
	for _, v := range []jwtdiag.Verdict{r.Verdicts.Clerk, r.Verdicts.Supabase} {
		if v.Because == "" || v.Outcome == jwtdiag.Refused && (v.Finding == "" || v.Code == "") || v.Outcome == "" {
			t.Errorf("%q: the verdict %+v says too little", given, v)
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatalf("%q: the report is no JSON: %v", given, err)
	}
	if !utf8.Valid(text) {
		t.Errorf("%q: the report is not UTF-8", given)
	}
	// The signature is what makes a token more than its claims.
	if parts := strings.Split(strings.TrimSpace(given), "."); len(parts) == 3 && len(parts[2]) > 40 && strings.Contains(string(text), parts[2][:40]) {
		t.Errorf("%q: the report repeats the signature", given)
	}
}

// Whatever is given, there is a whole report: every finding once, each with its
// words, a sentence, two verdicts; and the signature is not in it.
func FuzzDiagnose(f *testing.F) {
	for _, c := range jwttest.Corpus() {
		if len(c.Token) < 8<<10 {
			f.Add(c.Token)
		}
	}
	f.Add(strings.Repeat(".", 70_000))
	f.Add("eyJ" + strings.Repeat("A", 70_000))
	d := jwtdiag.New(jwttest.Options())
	f.Fuzz(func(t *testing.T, given string) {
		sound(t, given, d.Diagnose(t.Context(), jwtdiag.Request{Token: given}))
	})
}

// The same for claims and headers that are signed as they should be, so that what
// comes behind the signature is reached.
func FuzzDiagnose_OfSignedTokens(f *testing.F) {
	f.Add(jwttest.Header().JSON(), jwttest.Claims().JSON())
	f.Add(jwttest.Header().JSON(), jwttest.ClaimsV1().JSON())
	f.Add(jwttest.TemplateHeader().JSON(), jwttest.TemplateClaims().JSON())
	f.Add(`{"alg":"RS256","kid":null,"typ":[]}`, `{"exp":1e999999999,"nbf":-1e-999999999,"iat":0.1,"o":{"id":{}},"fea":7,"role":{"a":[]}}`)
	f.Add(`{}`, `{"sub":"\ud800","iss":"https://\u0000","azp":"`+strings.Repeat("é", 200)+`"}`)
	d := jwtdiag.New(jwttest.Options())
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := jwttest.SignText(header, payload)
		report := d.Diagnose(t.Context(), jwtdiag.Request{Token: token})
		sound(t, token, report)
		if report.Verdicts.Supabase.Outcome == jwtdiag.Accepted && !json.Valid([]byte(payload)) && utf8.ValidString(payload) {
			t.Errorf("%q is no JSON, and the Data API is said to take it", payload)
		}
	})
}
