package jwtdiag_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
)

// A report is for people and for a Lambda's answer: what a token makes long stays
// out of its sentences, and the whole is not many times the token.
func TestDiagnose_StaysShortWhateverTheTokenHolds(t *testing.T) {
	t.Parallel()
	const size = 40 << 10
	long := `"` + strings.Repeat("x", size) + `"`
	claims := jwttest.Claims()
	tokens := map[string]string{
		"the same name over and over": jwttest.SignText(jwttest.Header().JSON(), "{"+strings.Repeat(`"a":1,`, size/6)+`"b":2}`),
		"many names twice": jwttest.SignText(jwttest.Header().JSON(), func() string {
			var b strings.Builder
			for i := range size / 20 {
				fmt.Fprintf(&b, `"n%d":1,"n%d":2,`, i, i)
			}
			return "{" + b.String() + `"z":0}`
		}()),
		"permissions without end": jwttest.Sign(jwttest.Header(), claims.With("fea", `"`+strings.Repeat("o:f,", 2000)+`o:g"`).
			With("o", `{"id":"`+jwttest.Org+`","rol":"admin","per":"`+strings.Repeat("p,", 900)+`p","fpm":"`+strings.Repeat(strings.Repeat("9", 270)+",", 80)+`1"}`)),
		"old permissions without end": jwttest.Sign(jwttest.Header(), jwttest.ClaimsV1().With("org_permissions", "["+strings.Repeat(`"org:a:b",`, size/10)+`"org:c:d"]`)),
		"a long kid":                  jwttest.Sign(jwttest.Header().With("kid", long), claims),
		"a long alg":                  jwttest.Sign(jwttest.Header().With("alg", long), claims),
		"a long typ":                  jwttest.Sign(jwttest.Header().With("typ", long), claims),
		"words without dots":          strings.Repeat("word ", size/5),
		"dots":                        strings.Repeat(".", size),
		"many tokens":                 strings.Repeat("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyIn0.x ", size/40),
	}
	for _, name := range []string{"iss", "azp", "aud", "sub", "role", "sts", "v", "org_id", "exp", "act", "fea"} {
		tokens["a long "+name] = jwttest.Sign(jwttest.Header(), claims.With(name, long))
	}
	for _, name := range []string{"id", "rol", "per", "fpm"} {
		tokens["a long o."+name] = jwttest.Sign(jwttest.Header(), claims.With("o", `{"`+name+`":`+long+`,"id":"org_1"}`))
	}
	for _, name := range []string{"user_", "org_"} {
		id := `"` + name + strings.Repeat("a", size) + `"`
		tokens["a long id of "+name] = jwttest.Sign(jwttest.Header(), claims.With("sub", id).With("o", `{"id":`+id+`,"rol":"admin"}`))
	}
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := jwtdiag.New(jwttest.Options()).Diagnose(t.Context(), jwtdiag.Request{Token: token, Symptom: "PGRST301"})
			for _, f := range report.Findings {
				if len(f.Title) > 600 || len(f.Detail) > 4000 || len(f.Remedy) > 1000 {
					t.Errorf("%s: %d bytes of title, %d of detail, %d of remedy: %.200s", f.ID, len(f.Title), len(f.Detail), len(f.Remedy), f.Title)
				}
			}
			if len(report.Sentence) > 1500 {
				t.Errorf("a sentence of %d bytes: %.200s", len(report.Sentence), report.Sentence)
			}
			text, err := json.Marshal(report)
			if most := 2*len(token) + 160<<10; err != nil || len(text) > most {
				t.Errorf("a report of %d bytes for a token of %d, %v", len(text), len(token), err)
			}
			sound(t, name, report)
		})
	}
}
