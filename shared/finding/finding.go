// Package finding is what everything that diagnoses answers: the token, the
// policies, the database, the set-up.
//
// A check yields a [Finding] with an id that never changes, what was seen and
// what to do about it; the command line, the function and the page only render
// it. Texts are for the person who reads them and hold no tokens, connection
// strings or personal data.
package finding

import "slices"

// Status is how a check ended.
type Status string

// The four ways.
const (
	// Pass: checked, and as it should be.
	Pass Status = "pass"
	// Warn: works, and should be otherwise.
	Warn Status = "warn"
	// Fail: does not work, or is not safe.
	Fail Status = "fail"
	// Skip: could not be checked; the detail says why.
	Skip Status = "skip"
)

// Finding is the outcome of one check.
type Finding struct {
	// ID is stable and dotted, such as "claim.exp" or "rls.column.type".
	ID     string `json:"id"`
	Status Status `json:"status"`
	// Object is what the check was about where one id can be found in several
	// places: a table, a policy, a column. Empty where there is only one.
	Object string `json:"object,omitempty"`
	// Title is one short sentence without a full stop.
	Title string `json:"title"`
	// Detail is what was seen.
	Detail string `json:"detail,omitempty"`
	// Remedy is what to do next, often a statement or a command; empty when
	// nothing has to be done.
	Remedy string `json:"remedy,omitempty"`
}

// Failed reports whether one of the findings is a failure.
func Failed(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Status == Fail })
}

// Count is the number of findings with a status.
func Count(findings []Finding, status Status) int {
	n := 0
	for _, f := range findings {
		if f.Status == status {
			n++
		}
	}
	return n
}
