package jwtdiag_test

import (
	"fmt"
	"strconv"
	"strings"

	"clerksync/shared/jwtdiag"
)

func itoa(n int) string { return strconv.Itoa(n) }

// described is a report for the eyes of who reads a failed test.
func described(r jwtdiag.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nclerk: %+v\nsupabase: %+v\n", r.Sentence, r.Verdicts.Clerk, r.Verdicts.Supabase)
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-4s %-18s %s | %s | %s\n", f.Status, f.ID, f.Title, f.Detail, f.Remedy)
	}
	return b.String()
}
