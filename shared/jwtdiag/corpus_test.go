package jwtdiag_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
)

func TestDiagnose_SaysOfTheCorpusWhatItShould(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, c := range jwttest.Corpus() {
		if names[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		names[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			report := jwtdiag.New(c.Options).Diagnose(t.Context(), jwtdiag.Request{Token: c.Token})
			type outcome struct {
				Kind            jwtdiag.Kind
				Cause           string
				Fail, Warn      []string
				Clerk, Supabase string
			}
			got := outcome{Kind: report.Token.Kind, Cause: report.Cause, Clerk: clerkOutcome(report), Supabase: supabaseOutcome(report)}
			for _, f := range report.Findings {
				switch f.Status {
				case finding.Fail:
					got.Fail = append(got.Fail, f.ID)
				case finding.Warn:
					got.Warn = append(got.Warn, f.ID)
				default:
				}
			}
			want := outcome{c.Kind, c.Cause, slices.Clone(c.Fail), slices.Clone(c.Warn), c.Clerk, c.Supabase}
			for _, list := range []*[]string{&got.Fail, &got.Warn, &want.Fail, &want.Warn} {
				slices.Sort(*list)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n(-want +got):\n%s\n%s", c.Token, diff, described(report))
			}
		})
	}
	if len(names) < 60 {
		t.Errorf("the corpus has %d tokens", len(names))
	}
}

func clerkOutcome(r jwtdiag.Report) string {
	v := r.Verdicts.Clerk
	return strings.TrimSpace(string(v.Outcome) + " " + v.Code)
}

func supabaseOutcome(r jwtdiag.Report) string {
	v := r.Verdicts.Supabase
	if v.Outcome == jwtdiag.Refused {
		return "refused " + strings.Join([]string{itoa(v.Status), v.Code, v.Message}, " ")
	}
	return strings.TrimSpace(string(v.Outcome) + " " + v.Role)
}
