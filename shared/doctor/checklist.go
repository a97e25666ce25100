package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"clerksync/shared/finding"
)

// Point is one of the checklist of docs/security.md.
type Point struct {
	// Text is the page's.
	Text string `json:"text"`
	// Met is true where it was measured and is so, false where it was measured and is
	// not, and nil where a person has to confirm it.
	Met *bool `json:"met"`
	// Evidence is what was seen; for a person's, what to look at.
	Evidence string `json:"evidence"`
}

// point says which findings measure a point of the checklist. Without any it is a person's.
type point struct {
	text string
	// always is why nothing has to be measured: the product has no other way.
	always string
	by     []string
	// confirm is what a person looks at.
	confirm string
}

// points are those of docs/security.md, in its words and its order.
var points = []point{
	{text: "Webhook signatures are verified, over the raw body, with a time limit", always: "There is no switch."},
	{text: "Secrets are in a secret manager, not in code, not in the template, not in the shell's history", confirm: "Search the repository and its history for whsec_, sk_live_, sk_test_ and sbp_."},
	{text: "Secrets can be rotated, and are", confirm: "When was each rotated last?"},
	{text: "Row level security is on for every exposed table, with a policy for every command that is meant to work", by: []string{"database.rights", "rls.lint"}},
	{text: "Policies are tested as every kind of caller, also as nobody and as a stranger", confirm: "clerksync configure-rls test, with --expect in CI."},
	{text: "Policies use the Clerk id as text, never `auth.uid()`", by: []string{"rls.lint"}},
	{text: "`role` in the session token is the literal `authenticated`", by: []string{"token.role"}},
	{text: "The `service_role` key is on servers only", confirm: "Search the client bundle for service_role and sb_secret_."},
	{text: "Only Clerk's issuer is trusted as a third party", by: []string{"supabase.provider"}},
	{text: "Functions that run as their owner look into the caller's temporary schema last", by: []string{"rls.lint"}},
	{text: "Connections are encrypted and the server is verified", by: []string{"database.tls"}, confirm: "Is \"Enforce SSL\" switched on in Supabase's database settings?"},
	{text: "The database role has no more rights than it needs", by: []string{"database.login", "database.rights"}},
	{text: "Personal data is minimised, and deleted on request", confirm: "What do your own tables hold, and who empties them when a user is deleted?"},
	{text: "Sensitive metadata is not readable by clients", confirm: "What does public metadata hold? Its user can read it, and so can co-members where users_public shows it."},
	{text: "Inputs are validated and limited", always: "Of what clerksync receives; your own forms are yours."},
	{text: "Rates are limited", confirm: "The throttle of the webhook's route (ThrottlingRate), and Supabase's own for the Data API."},
	{text: "There is an audit log, and it cannot be edited", by: []string{"database.rights"}},
	{text: "Evidence outlives an attack", confirm: "The API's access log is kept when the stack is deleted; is its retention long enough?"},
	{text: "There are alarms, and somebody gets them", by: []string{"aws.alarms"}, confirm: "Did AlarmEmail confirm its subscription?"},
	{text: "Sensitive actions need a second factor", confirm: "Which actions are sensitive? clerk.has_second_factor() in a restrictive policy."},
	{text: "Impersonation by staff is visible", confirm: "Does the application show it? clerk.is_impersonated(), and impersonator in the audit log."},
	{text: "Tokens are short-lived and not stored", confirm: "Is accessToken given as a function, never as a fixed header?"},
	{text: "Development and production are apart", by: []string{"clerk.keys", "clerk.publishable_key", "clerk.instance", "database.instance"}},
	{text: "Backups exist, and restoring was tried", confirm: "When was a backup restored last?"},
}

// Checklist is the checklist of docs/security.md, as far as the report has measured it.
func (r Report) Checklist() []Point {
	list := make([]Point, len(points))
	for i, p := range points {
		list[i] = p.measured(r)
	}
	return list
}

func (p point) measured(r Report) Point {
	yes, no := true, false
	measured := Point{Text: p.text, Evidence: p.confirm}
	if p.always != "" {
		return Point{p.text, &yes, p.always}
	}
	var seen []string
	passed := 0
	for _, f := range r.Findings {
		if !slices.Contains(p.by, f.ID) {
			continue
		}
		seen = append(seen, strings.TrimSpace(f.ID+": "+f.Title+". "+f.Detail))
		switch f.Status {
		case finding.Fail, finding.Warn:
			measured.Met = &no
		case finding.Pass:
			passed++
		case finding.Skip:
		}
	}
	if len(p.by) > 0 && passed == len(p.by) {
		measured.Met = &yes
	}
	if p.confirm != "" {
		seen = append(seen, p.confirm)
	}
	measured.Evidence = strings.Join(seen, " ")
	return measured
}

// Markdown writes a checklist with the moment at which it was measured.
func Markdown(list []Point, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Security checklist\n\nMeasured by `clerksync doctor` on %s. Points without a mark are for a person to confirm.\n\n| | point | evidence |\n|---|---|---|\n", now.UTC().Format("2006-01-02 15:04 UTC"))
	for _, p := range list {
		mark := " "
		if p.Met != nil {
			mark = "no"
			if *p.Met {
				mark = "yes"
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", mark, cell(p.Text), cell(p.Evidence))
	}
	return b.String()
}

// cell is a text for a table of Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}
