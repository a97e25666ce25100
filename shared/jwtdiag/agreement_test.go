package jwtdiag_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
	"clerksync/shared/jwtdiag/keyset"
	"clerksync/shared/testkit/nodepkg"
)

// ask has Clerk's own verifier, @clerk/backend, judge the tokens of the corpus.
func ask(t *testing.T, keys map[string]any, cases []jwttest.Case) []string {
	t.Helper()
	modules := nodepkg.Find(t, "@clerk/backend")
	type question struct {
		Token   string   `json:"token"`
		Parties []string `json:"parties,omitempty"`
	}
	questions := make([]question, len(cases))
	for i, c := range cases {
		questions[i] = question{sent(c), c.Options.AuthorizedParties}
	}
	script, err := os.ReadFile("testdata/verify.cjs")
	if err != nil {
		t.Fatal(err)
	}
	var answers []string
	out := modules.Run(t, string(script), map[string]any{"now": jwttest.Now.UnixMilli(), "keys": keys, "tokens": questions})
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(cases) {
		t.Fatalf("%d answers to %d tokens, %v: %.300s", len(answers), len(cases), err, out)
	}
	return answers
}

func sent(c jwttest.Case) string {
	if c.Sent != "" {
		return c.Sent
	}
	return c.Token
}

func TestDiagnose_AgreesWithClerksOwnVerifier(t *testing.T) {
	t.Parallel()
	served := jwttest.JWKS()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = bytes.NewReader(served).WriteTo(w)
	}))
	t.Cleanup(server.Close)
	given, err := keyset.FromPEM([]byte(jwttest.PEM()))
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]struct {
		keys map[string]any
		ours func(*jwtdiag.Options)
	}{
		"with the key set":    {map[string]any{"secretKey": "sk_test_any", "apiUrl": server.URL}, func(*jwtdiag.Options) {}},
		"with the public key": {map[string]any{"jwtKey": jwttest.PEM()}, func(o *jwtdiag.Options) { o.Keys = given.Static() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cases := jwttest.Corpus()
			answers := ask(t, mode.keys, cases)
			compared := 0
			for i, c := range cases {
				options := c.Options
				mode.ours(&options)
				report := jwtdiag.New(options).Diagnose(t.Context(), jwtdiag.Request{Token: c.Token})
				ours := clerkOutcome(report)
				switch {
				case ours == answers[i]:
					compared++
				case c.Differs != "":
					t.Logf("%s: the diagnosis says %q, @clerk/backend %q: %s", c.Name, ours, answers[i], c.Differs)
				default:
					t.Errorf("%s: the diagnosis says %q, @clerk/backend %q\n%s", c.Name, ours, answers[i], described(report))
				}
			}
			t.Logf("%d of %d tokens alike, with the same reasons", compared, len(cases))
			if compared < 60 {
				t.Errorf("only %d tokens were alike", compared)
			}
		})
	}
}

// Header and claims put together at random, and parts encoded in odd ways.
func TestDiagnose_AgreesWithClerksOwnVerifierOnRandomTokens(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 8))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	times := func() string {
		return pick(fmt.Sprint(jwttest.Now.Unix()+rng.Int64N(100)-50), fmt.Sprint(jwttest.Now.Unix()+rng.Int64N(13)-6), fmt.Sprint(jwttest.Now.Unix())+".25", "0", "-1", "1e3", "1e30", "1e309",
			"-1e309", "8640000000000", "8640000000001", "1e-400", `"1"`, "null", "[]", "{}", "true", "17954352.00e2")
	}
	cases := make([]jwttest.Case, 1500)
	for i := range cases {
		header, claims := jwttest.Header(), jwttest.Claims()
		for range rng.IntN(3) {
			switch rng.IntN(4) {
			case 0:
				header = header.With("alg", pick(`"RS256"`, `"RS384"`, `"rs256"`, `"HS256"`, `"none"`, "null", "7", `["RS256"]`))
			case 1:
				header = header.With("typ", pick(`"JWT"`, `"jwt"`, `"at+jwt"`, `""`, "null", "1", `["JWT"]`))
			case 2:
				header = header.With("kid", pick(`"`+jwttest.Instance+`"`, `"other"`, `""`, "null", "1", `["`+jwttest.Instance+`"]`))
			case 3:
				header = header.With("cat", pick(`"cl_B7d4PD111AAA"`, `"cl_B7d4PD222AAA"`, `"cl_B7d4PD333AAA"`, `"cl_I7d4PD111III"`, "null", "{}"))
			}
		}
		for range rng.IntN(4) {
			switch rng.IntN(6) {
			case 0, 1:
				claims = claims.With(pick("exp", "nbf", "iat"), times())
			case 2:
				claims = claims.Without(pick("exp", "nbf", "iat", "sub", "azp", "sid", "v", "o", "iss", "role"))
			case 3:
				claims = claims.Again(pick("exp", "iat", "nbf"), times())
			case 4:
				claims = claims.With(pick("sub", "azp"), pick(`""`, "null", "0", `"x"`, `["`+jwttest.Origin+`"]`, `"`+jwttest.Origin+`"`))
			case 5:
				claims = claims.With("aud", pick("null", `"a"`, `["a",1]`, "{}", "[]", "0"))
			}
		}
		token := jwttest.Sign(header, claims)
		switch rng.IntN(12) {
		case 0:
			token += pick("=", "==", "====", "A", "-", "!", ".")
		case 1:
			parts := strings.Split(token, ".")
			at := rng.IntN(3)
			parts[at] = parts[at][:max(0, len(parts[at])-1-rng.IntN(4))]
			token = strings.Join(parts, ".")
		case 2:
			at := rng.IntN(len(token))
			token = token[:at] + pick("A", "_", "/", "+", "é", "=", ".") + token[at+1:]
		}
		cases[i] = jwttest.Case{Token: token, Options: jwttest.Options()}
	}
	served := jwttest.JWKS()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(served) }))
	t.Cleanup(server.Close)
	accepted := 0
	for i, theirs := range ask(t, map[string]any{"secretKey": "sk_test_any", "apiUrl": server.URL}, cases) {
		report := jwtdiag.New(cases[i].Options).Diagnose(t.Context(), jwtdiag.Request{Token: cases[i].Token})
		if ours := clerkOutcome(report); ours != theirs {
			t.Errorf("%s: the diagnosis says %q, @clerk/backend %q\n%s\n%s", cases[i].Token, ours, theirs, report.Token.Header, described(report))
		}
		if theirs == "accepted" {
			accepted++
		}
	}
	if accepted < 100 || accepted > len(cases)-100 {
		t.Errorf("%d of %d tokens are accepted: they do not show much", accepted, len(cases))
	}
}
