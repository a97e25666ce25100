package jwtdiag_test

import (
	"context"
	"fmt"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/jwtdiag/jwttest"
)

func ExampleDiagnoser_Diagnose() {
	// The instance's keys, and what the Supabase project trusts: here as they should be.
	diagnoser := jwtdiag.New(jwttest.Options())

	// A token whose maker has not activated the integration: it names no role.
	token := jwttest.Sign(jwttest.Header(), jwttest.Claims().Without("role"))
	report := diagnoser.Diagnose(context.Background(), jwtdiag.Request{Token: token})
	fmt.Println(report.Sentence)
	fmt.Println("Clerk:", report.Verdicts.Clerk.Outcome)
	fmt.Println("Supabase:", report.Verdicts.Supabase.Outcome, "as", report.Verdicts.Supabase.Role)
	for _, f := range report.Findings {
		if f.Status == finding.Fail || f.Status == finding.Warn {
			fmt.Println(f.ID, f.Status)
		}
	}
	// Output:
	// The token has no role: Clerk's verifier accepts it, and the Data API runs it as anon.
	// Clerk: accepted
	// Supabase: accepted as anon
	// claim.role fail
}

func ExampleExplain() {
	for _, cause := range jwtdiag.Explain(`new row violates row-level security policy for table "notes"`)[:2] {
		fmt.Println(cause.ID, cause.Likelihood)
	}
	// Output:
	// rls.check likely
	// rls.returning possible
}
