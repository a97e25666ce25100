package jwtdiag_test

import (
	"strings"
	"testing"

	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
)

// What people paste: codes, messages, bodies, and words.
func TestExplain_KnowsWhatPeoplePaste(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"22P02": "uuid.auth_uid",
		`{"code":"22P02","details":null,"hint":null,"message":"invalid input syntax for type uuid: \"user_2abc\""}`:                             "uuid.auth_uid",
		`{"code":"PGRST301","details":"None of the keys was able to decode the JWT","hint":null,"message":"No suitable key or wrong key type"}`: "provider.missing",
		`{"code":"PGRST303","details":null,"hint":null,"message":"JWT expired"}`:                                                                "token.cached",
		`{"code":"42501","message":"permission denied for table notes","hint":"Grant the required privileges"}`:                                 "role.missing",
		`{"code":"42501","message":"new row violates row-level security policy for table \"notes\""}`:                                           "rls.check",
		`{"code":"22023","message":"role \"org:admin\" does not exist"}`:                                                                        "role.unknown",
		`{"code":"42501","message":"permission denied to set role \"postgres\""}`:                                                               "role.not_granted",
		`{"code":"42P17","message":"infinite recursion detected in policy for relation \"members\""}`:                                           "rls.recursion",
		`{"error":{"code":"57014","message":"canceling statement due to statement timeout"}}`:                                                   "rls.slow",
		`{"code":"PGRST205","message":"Could not find the table 'public.notes' in the schema cache"}`:                                           "api.cache",
		`{"code":"PGRST106","message":"The schema must be one of the following: public"}`:                                                       "api.schema",
		`{"statusCode":"401","error":"Unauthorized","message":"Invalid JWT"}`:                                                                   "edge.verify_jwt",
		`{"message":"No API key found in request"}`:                                                                                             "api.key",
		"[]":                                   "empty.role",
		" [] ":                                 "empty.role",
		`{"data":[],"error":null}`:             "empty.role",
		"the result is empty":                  "empty.role",
		"PGRST116":                             "empty.role",
		"CHANNEL_ERROR":                        "realtime.claims",
		"token-expired":                        "token.cached",
		"jwk-kid-mismatch":                     "provider.missing",
		"JWT issued at future":                 "clock",
		"Expected 3 parts in JWT; got 1":       "token.not_jwt",
		"operator does not exist: uuid = text": "uuid.operator",
		"insert or update violates foreign key constraint 23503": "mirror.absent",
		"works in the SQL editor, not in the app":                "sql_editor",
		"everything is visible":                                  "open.service_role",
		"token-invalid-authorized-parties":                       "token.party",
	}
	for symptom, want := range tests {
		causes := jwtdiag.Explain(symptom)
		if len(causes) == 0 || causes[0].ID != want || causes[0].Likelihood != jwtdiag.Likely {
			t.Errorf("Explain(%q) = %+v, want %s first", symptom, causes, want)
		}
		for _, c := range causes {
			if c.Title == "" || c.Remedy == "" || c.Likelihood == "" {
				t.Errorf("Explain(%q): %+v says too little", symptom, c)
			}
		}
	}
	for _, unknown := range []string{"", "hello", "{}", `{"code":null}`, strings.Repeat("x", 100_000)} {
		if causes := jwtdiag.Explain(unknown); len(causes) != 0 {
			t.Errorf("Explain(%.40q) = %+v", unknown, causes)
		}
	}
}

// What a token says confirms causes and rules others out.
func TestDiagnose_OrdersCausesByTheToken(t *testing.T) {
	t.Parallel()
	cases := map[string]jwttest.Case{}
	for _, c := range jwttest.Corpus() {
		cases[c.Name] = c
	}
	tests := []struct {
		token, symptom string
		first          string
		likelihood     jwtdiag.Likelihood
		finding        string
		ruledOut       []string
	}{
		{"no role", "permission denied for table notes", "role.missing", jwtdiag.Confirmed, "claim.role", []string{"token.missing"}},
		{"session token of version 2", "permission denied for table notes", "grant.missing", jwtdiag.Likely, "", []string{"role.missing", "token.missing"}},
		{"session token without an organization", "[]", "empty.org", jwtdiag.Confirmed, "claim.org", []string{"empty.role"}},
		{"pending session", "[]", "empty.pending", jwtdiag.Confirmed, "claim.sts", []string{"empty.role", "empty.org"}},
		{"expired a minute ago", "JWT expired", "token.cached", jwtdiag.Confirmed, "claim.exp", nil},
		{"project without providers", "No suitable key or wrong key type", "provider.missing", jwtdiag.Confirmed, "supabase.provider", []string{"token.legacy"}},
		{"project that missed a rotation", "PGRST301", "provider.rotation", jwtdiag.Confirmed, "supabase.provider", nil},
		{"development token in production", "PGRST301", "instance.mixed", jwtdiag.Confirmed, "claim.iss", nil},
		{"legacy template for Supabase", "PGRST301", "token.legacy", jwtdiag.Confirmed, "token.kind", nil},
		{"role of the application", "22023", "role.unknown", jwtdiag.Confirmed, "claim.role", nil},
		{"role service_role", "everything is visible", "open.service_role", jwtdiag.Confirmed, "claim.role", nil},
		{"azp of a preview", "authorized parties", "token.party", jwtdiag.Confirmed, "claim.azp", nil},
		{"made in the future", "JWT issued at future", "clock", jwtdiag.Confirmed, "claim.iat", nil},
		{"the word undefined", "Expected 3 parts in JWT; got 1", "token.not_jwt", jwtdiag.Confirmed, "token.kind", nil},
	}
	for _, test := range tests {
		c, ok := cases[test.token]
		if !ok {
			t.Fatalf("the corpus has no %q", test.token)
		}
		report := jwtdiag.New(c.Options).Diagnose(t.Context(), jwtdiag.Request{Token: c.Token, Symptom: test.symptom})
		if len(report.Causes) == 0 {
			t.Errorf("%s, %s: no causes", test.token, test.symptom)
			continue
		}
		first := report.Causes[0]
		if first.ID != test.first || first.Likelihood != test.likelihood || first.Finding != test.finding {
			t.Errorf("%s, %s: first is %s, %s by %q, want %s, %s by %q\n%+v", test.token, test.symptom, first.ID, first.Likelihood, first.Finding, test.first, test.likelihood, test.finding, report.Causes)
		}
		for _, id := range test.ruledOut {
			for _, cause := range report.Causes {
				if cause.ID == id && cause.Likelihood != jwtdiag.RuledOut {
					t.Errorf("%s, %s: %s is %s, want ruled out", test.token, test.symptom, id, cause.Likelihood)
				}
			}
		}
	}
}
