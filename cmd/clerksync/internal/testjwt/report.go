package testjwt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"clerksync/cmd/clerksync/internal/console"
	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/rls/access"
)

// writeReport writes a report for people. With all, also the checks that passed;
// with claims, also header and claims.
func writeReport(p console.Paper, r jwtdiag.Report, all, claims bool) error {
	sections := []string{p.Bold(console.Printable(r.Sentence)) + "\n", verdictLines(p, r), findingLines(p, r.Findings, all)}
	if len(r.Tables) > 0 {
		sections = append(sections, tableLines(p, r.Tables))
	}
	if len(r.Causes) > 0 {
		sections = append(sections, causeLines(p, r.Causes))
	}
	if claims {
		sections = append(sections, partLines("Header", r.Token.Header), partLines("Claims", r.Token.Claims))
	}
	_, err := io.WriteString(p, strings.Join(sections, "\n"))
	return err
}

// outcomeColours are those of the words of verdicts.
var outcomeColours = map[jwtdiag.Outcome]string{jwtdiag.Accepted: "32", jwtdiag.Refused: "31", jwtdiag.Unknown: "36"}

// verdictLines are the verdicts, what was given, and the surfaces.
func verdictLines(p console.Paper, r jwtdiag.Report) string {
	outcome := func(o jwtdiag.Outcome) string { return p.Paint(outcomeColours[o], string(o)) }
	clerk, api := r.Verdicts.Clerk, r.Verdicts.Supabase
	said := outcome(clerk.Outcome)
	if clerk.Code != "" {
		said += " " + console.Printable(clerk.Code)
	}
	answer := outcome(api.Outcome)
	switch {
	case api.Outcome == jwtdiag.Refused:
		answer += fmt.Sprintf(" %d %s %q", api.Status, console.Printable(api.Code), console.Printable(api.Message))
	case api.Role != "":
		answer += " as " + console.Printable(api.Role)
	}
	text := console.Columns([][]string{
		{"Clerk's verifier", said + ": " + console.Printable(clerk.Because)},
		{"Data API", answer + ": " + console.Printable(api.Because)},
		{"this is", console.Printable(r.Token.Name) + lifetime(r.Token)},
	})
	var rows [][]string
	for _, s := range r.Surfaces {
		if s.Name != "data_api" { // which is the verdict
			rows = append(rows, []string{console.Printable(s.Title), outcome(s.Outcome), p.Dim(console.Printable(s.Detail))})
		}
	}
	if len(rows) > 0 {
		text += "\n" + console.Columns(rows)
	}
	return text
}

// lifetime says from when to when a token is.
func lifetime(t jwtdiag.Token) string {
	text := ""
	if !t.IssuedAt.IsZero() {
		text += ", made at " + t.IssuedAt.UTC().Format(time.RFC3339)
	}
	if !t.ExpiresAt.IsZero() {
		text += ", until " + t.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return text
}

// findingLines are problems in full, and of what passed or was skipped, unless all
// is wanted, only which and why.
func findingLines(p console.Paper, list []finding.Finding, all bool) string {
	var b strings.Builder
	shown := list
	if !all {
		shown = slices.DeleteFunc(slices.Clone(list), func(f finding.Finding) bool { return f.Status == finding.Pass || f.Status == finding.Skip })
	}
	b.WriteString(p.FindingsText(shown))
	if all {
		return b.String()
	}
	word := func(s finding.Status) string { return p.Paint(console.StatusColours[s], string(s)) }
	// What was skipped for one reason stands together.
	var reasons []string
	skipped := map[string][]string{}
	for _, f := range list {
		if f.Status != finding.Skip {
			continue
		}
		reason := f.Detail
		if reason == "" {
			reason = f.Title + "."
		}
		if skipped[reason] == nil {
			reasons = append(reasons, reason)
		}
		skipped[reason] = append(skipped[reason], f.ID)
	}
	for _, reason := range reasons {
		first, rest, _ := strings.Cut(reason, "\n")
		which := strings.Join(skipped[reason], ", ")
		if n := len(skipped[reason]); n > 6 {
			which = fmt.Sprintf("%d checks", n)
		}
		fmt.Fprintf(&b, "%s  %s  %s\n", word(finding.Skip), p.Bold(console.Printable(which)), console.Printable(first))
		b.WriteString(console.Indent("      ", rest))
	}
	if n := finding.Count(list, finding.Pass); n > 0 {
		fmt.Fprintf(&b, "%s  %s\n", word(finding.Pass), p.Dim(console.Count(n, "check; --all shows it", "checks; --all shows them")))
	}
	return b.String()
}

// decisions are what decides about rows, in words.
var decisions = map[access.Decision]string{
	access.ByPolicy: "policies", access.ByNoPolicy: "no policy applies", access.ByRLSOff: "row level security is off", access.ByView: "what the view reads",
	access.ByGrant: "a grant is missing", access.ByNotFound: "there is no such table", access.ByError: "an error", access.ByTimeout: "it took too long",
}

// tableLines are the rows that the token's user sees.
func tableLines(p console.Paper, tables []access.Table) string {
	rows := [][]string{{p.Dim("table"), p.Dim("visible"), p.Dim("of"), p.Dim("decided by"), p.Dim("policies")}}
	for _, t := range tables {
		of := "?"
		switch {
		case t.Total != nil:
			of = counted(*t.Total, t.TotalMore)
		case t.Estimate >= 0:
			of = fmt.Sprintf("about %d", t.Estimate)
		}
		decision := decisions[t.Decision]
		if t.Code != "" {
			decision += " (" + t.Code + ")"
		}
		var policies []string
		for _, policy := range t.Policies {
			text := policy.Name
			if policy.Passes >= 0 {
				text += fmt.Sprintf(" (%d)", policy.Passes)
			}
			if !policy.Permissive {
				text += ", restrictive"
			}
			policies = append(policies, text)
		}
		rows = append(rows, []string{console.Printable(t.Name), counted(t.Visible, t.More), of, console.Printable(decision), console.Printable(strings.Join(policies, "; "))})
	}
	return console.Columns(rows)
}

// counted is a number of rows; more: counting ended there.
func counted(n int64, more bool) string {
	if more {
		return fmt.Sprintf("%d+", n)
	}
	return fmt.Sprint(n)
}

// likelihoodColours are those of the words of causes.
var likelihoodColours = map[jwtdiag.Likelihood]string{jwtdiag.Confirmed: "31", jwtdiag.Likely: "33", jwtdiag.Possible: "36", jwtdiag.RuledOut: "2"}

// causeLines are the causes of a symptom, those that were ruled out without what
// to do about them.
func causeLines(p console.Paper, list []jwtdiag.Cause) string {
	var b strings.Builder
	for _, c := range list {
		title := p.Bold(console.Printable(c.Title))
		if c.Likelihood == jwtdiag.RuledOut {
			title = p.Dim(console.Printable(c.Title))
		}
		fmt.Fprintf(&b, "%s  %s\n", p.Paint(likelihoodColours[c.Likelihood], strings.ReplaceAll(string(c.Likelihood), "_", " ")), title)
		where := c.ID
		if c.Finding != "" {
			where += ", by " + c.Finding
		}
		fmt.Fprintln(&b, p.Dim("      "+console.Printable(where)))
		if c.Likelihood != jwtdiag.RuledOut {
			b.WriteString(console.Indent("      ", c.Detail) + console.Indent("        ", c.Remedy))
		}
	}
	return b.String()
}

// partLines is a part of the token, as it stands there but for white space.
func partLines(title string, part json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, part, "", "  ") != nil {
		return title + ": cannot be shown\n"
	}
	return title + ":\n" + console.Escaped(b.String()) + "\n"
}
