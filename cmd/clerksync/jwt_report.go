package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"clerksync/shared/finding"
	"clerksync/shared/jwtdiag"
	"clerksync/shared/rls/access"
)

// jwtReport writes a report for people. With all, also the checks that passed;
// with claims, also header and claims.
func jwtReport(p paper, r jwtdiag.Report, all, claims bool) error {
	sections := []string{p.paint("1", printable(r.Sentence)) + "\n", jwtVerdicts(p, r), jwtFindings(p, r.Findings, all)}
	if len(r.Tables) > 0 {
		sections = append(sections, jwtTables(p, r.Tables))
	}
	if len(r.Causes) > 0 {
		sections = append(sections, jwtCauses(p, r.Causes))
	}
	if claims {
		sections = append(sections, jwtPart("Header", r.Token.Header), jwtPart("Claims", r.Token.Claims))
	}
	_, err := io.WriteString(p, strings.Join(sections, "\n"))
	return err
}

// outcomeColours are those of the words of verdicts.
var outcomeColours = map[jwtdiag.Outcome]string{jwtdiag.Accepted: "32", jwtdiag.Refused: "31", jwtdiag.Unknown: "36"}

// jwtVerdicts are the verdicts, what was given, and the surfaces.
func jwtVerdicts(p paper, r jwtdiag.Report) string {
	outcome := func(o jwtdiag.Outcome) string { return p.paint(outcomeColours[o], string(o)) }
	clerk, api := r.Verdicts.Clerk, r.Verdicts.Supabase
	said := outcome(clerk.Outcome)
	if clerk.Code != "" {
		said += " " + printable(clerk.Code)
	}
	answer := outcome(api.Outcome)
	switch {
	case api.Outcome == jwtdiag.Refused:
		answer += fmt.Sprintf(" %d %s %q", api.Status, printable(api.Code), printable(api.Message))
	case api.Role != "":
		answer += " as " + printable(api.Role)
	}
	text := columns([][]string{
		{"Clerk's verifier", said + ": " + printable(clerk.Because)},
		{"Data API", answer + ": " + printable(api.Because)},
		{"this is", printable(r.Token.Name) + lifetime(r.Token)},
	})
	var rows [][]string
	for _, s := range r.Surfaces {
		if s.Name != "data_api" { // which is the verdict
			rows = append(rows, []string{printable(s.Title), outcome(s.Outcome), p.paint("2", printable(s.Detail))})
		}
	}
	if len(rows) > 0 {
		text += "\n" + columns(rows)
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

// jwtFindings are problems in full, and of what passed or was skipped, unless all
// is wanted, only which and why.
func jwtFindings(p paper, list []finding.Finding, all bool) string {
	var b strings.Builder
	shown := list
	if !all {
		shown = slices.DeleteFunc(slices.Clone(list), func(f finding.Finding) bool { return f.Status == finding.Pass || f.Status == finding.Skip })
	}
	_ = paper{&b, p.colour}.findings(shown) // a Builder takes everything
	if all {
		return b.String()
	}
	word := func(s finding.Status) string { return p.paint(statusColours[s], string(s)) }
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
		fmt.Fprintf(&b, "%s  %s  %s\n", word(finding.Skip), p.paint("1", printable(which)), printable(first))
		b.WriteString(indent("      ", rest))
	}
	if n := finding.Count(list, finding.Pass); n > 0 {
		fmt.Fprintf(&b, "%s  %s\n", word(finding.Pass), p.paint("2", count(n, "check; --all shows it", "checks; --all shows them")))
	}
	return b.String()
}

// decisions are what decides about rows, in words.
var decisions = map[access.Decision]string{
	access.ByPolicy: "policies", access.ByNoPolicy: "no policy applies", access.ByRLSOff: "row level security is off", access.ByView: "what the view reads",
	access.ByGrant: "a grant is missing", access.ByNotFound: "there is no such table", access.ByError: "an error", access.ByTimeout: "it took too long",
}

// jwtTables are the rows that the token's user sees.
func jwtTables(p paper, tables []access.Table) string {
	rows := [][]string{{p.paint("2", "table"), p.paint("2", "visible"), p.paint("2", "of"), p.paint("2", "decided by"), p.paint("2", "policies")}}
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
		rows = append(rows, []string{printable(t.Name), counted(t.Visible, t.More), of, printable(decision), printable(strings.Join(policies, "; "))})
	}
	return columns(rows)
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

// jwtCauses are the causes of a symptom, those that were ruled out without what
// to do about them.
func jwtCauses(p paper, list []jwtdiag.Cause) string {
	var b strings.Builder
	for _, c := range list {
		title := p.paint("1", printable(c.Title))
		if c.Likelihood == jwtdiag.RuledOut {
			title = p.paint("2", printable(c.Title))
		}
		fmt.Fprintf(&b, "%s  %s\n", p.paint(likelihoodColours[c.Likelihood], strings.ReplaceAll(string(c.Likelihood), "_", " ")), title)
		where := c.ID
		if c.Finding != "" {
			where += ", by " + c.Finding
		}
		fmt.Fprintln(&b, p.paint("2", "      "+printable(where)))
		if c.Likelihood != jwtdiag.RuledOut {
			b.WriteString(indent("      ", c.Detail) + indent("        ", c.Remedy))
		}
	}
	return b.String()
}

// jwtPart is a part of the token, as it stands there but for white space.
func jwtPart(title string, part json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, part, "", "  ") != nil {
		return title + ": cannot be shown\n"
	}
	return title + ":\n" + escaped(b.String()) + "\n"
}

// columns writes rows with their cells below each other. A row without cells begins
// columns anew; what stands last in a row takes no room in its column.
func columns(rows [][]string) string {
	var b strings.Builder
	for len(rows) > 0 {
		end := slices.IndexFunc(rows, func(row []string) bool { return len(row) == 0 })
		if end < 0 {
			end = len(rows)
		}
		var widths []int
		for _, row := range rows[:end] {
			for i := range len(row) - 1 {
				if i == len(widths) {
					widths = append(widths, 0)
				}
				widths[i] = max(widths[i], ansi.StringWidth(row[i]))
			}
		}
		for _, row := range rows[:end] {
			line := ""
			for i, cell := range row {
				line += cell
				if i < len(row)-1 {
					line += strings.Repeat(" ", widths[i]-ansi.StringWidth(cell)+2)
				}
			}
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
		if end < len(rows) {
			b.WriteString("\n")
			end++
		}
		rows = rows[end:]
	}
	return b.String()
}
