package probe

import (
	"fmt"
	"slices"
	"strings"

	"clerksync/shared/finding"
	"clerksync/shared/rls/catalog"
	"clerksync/sql/platform"
)

// judge adds findings for what is wrong whatever the table is for, as far as the
// cells show it.
func (p *prober) judge(s *scene, report *TableReport) {
	cell := func(persona PersonaID, command CommandID) Cell {
		c, _ := report.Cell(persona, command)
		return c
	}
	allowed := func(persona PersonaID, commands ...CommandID) []string {
		var list []string
		for _, c := range commands {
			if cell(persona, c).Outcome == Allow {
				list = append(list, string(c))
			}
		}
		return list
	}
	writes := []CommandID{Insert, ForgeOwner, ForgeOrganization, UpdateOwn, UpdateOther, GiveOwner, GiveOrganization, DeleteOwn, DeleteOther, UpsertOwn, UpsertOther}

	if !s.RowSecurity {
		report.finding(finding.Finding{
			ID: "rls.probe.rls_off", Status: offStatus(s), Title: "Row level security is off",
			Detail: "Grants are all that holds anybody back from any row.",
			Remedy: fmt.Sprintf("alter table %s enable row level security;", s.Name),
		})
	}
	if list := allowed(Anonymous, writes...); len(list) > 0 {
		report.finding(finding.Finding{
			ID: "rls.probe.anonymous_write", Status: finding.Fail, Title: "Anybody can write without signing in",
			Detail: "An anonymous request may do: " + strings.Join(list, ", ") + ".",
			Remedy: fmt.Sprintf("revoke insert, update, delete on %s from anon;\nThen write \"to authenticated\" into its policies.", s.Name),
		})
	}
	if c := cell(Anonymous, Select); c.Own > 0 && (report.Columns.Published == "" || c.Own == report.Own) {
		report.finding(finding.Finding{
			ID: "rls.probe.anonymous_read", Status: finding.Warn, Title: "Anybody can read every row without signing in",
			Detail: fmt.Sprintf("An anonymous request saw %s.", c.Text),
			Remedy: fmt.Sprintf("If that is not meant: revoke select on %s from anon;\nThen write \"to authenticated\" into its policies.", s.Name),
		})
	}
	if list := allowed(OtherUser, UpdateOwn, DeleteOwn, GiveOwner, GiveOrganization, UpsertOwn); len(list) > 0 {
		report.finding(finding.Finding{
			ID: "rls.probe.stranger_write", Status: finding.Fail, Title: "Every signed-in user can change other people's rows",
			Detail: "A user who is related to none of the rows may do: " + strings.Join(list, ", ") + ".",
			Remedy: "Compare the row's owner or organization with the caller's in the policies' using clauses; " + regenerate(s),
		})
	}
	if c := cell(OtherUser, Select); c.Own > 0 && (report.Columns.Published == "" || c.Own == report.Own) {
		report.finding(finding.Finding{
			ID: "rls.probe.stranger_read", Status: finding.Warn, Title: "Every signed-in user can read other people's rows",
			Detail: fmt.Sprintf("A user who is related to none of the rows saw %s.", c.Text),
			Remedy: "If that is not meant, compare the row's owner or organization with the caller's; " + regenerate(s),
		})
	}
	judgeForgeries(s, report, allowed)
	judgeClaims(s, report, cell)
	judgeErrors(s, report)
	p.judgePolicies(s, report)
}

func regenerate(s *scene) string {
	return fmt.Sprintf("\"clerksync configure-rls %s\" writes such policies.", s.Name)
}

// offStatus: without any grant to those who sign in or do not, nothing is open.
func offStatus(s *scene) finding.Status {
	for _, role := range []string{platform.Anon, platform.Authenticated} {
		rights := s.Roles[role]
		if rights.Usage && (len(rights.Table) > 0 || len(rights.Columns["select"])+len(rights.Columns["insert"])+len(rights.Columns["update"]) > 0) {
			return finding.Fail
		}
	}
	return finding.Warn
}

func judgeForgeries(s *scene, report *TableReport, allowed func(PersonaID, ...CommandID) []string) {
	if len(allowed(OtherUser, ForgeOwner)) > 0 || report.Columns.Organization == "" && len(allowed(Owner, ForgeOwner)) > 0 {
		report.finding(finding.Finding{
			ID: "rls.probe.forged_owner", Status: finding.Fail, Title: "Rows can be added in somebody else's name",
			Detail: "An insert whose " + catalog.QuoteIdentifier(report.Columns.Owner) + " is a stranger's id was accepted.",
			Remedy: s.helpers.Fill("Give the insert policy a with check that compares the owner's column with (select {{helpers}}.user_id()); ") + regenerate(s),
		})
	}
	if len(allowed(OtherUser, ForgeOrganization)) > 0 || len(allowed(Member, ForgeOrganization)) > 0 {
		status := finding.Fail
		if report.Columns.Owner != "" && !colleagues(report) {
			status = finding.Warn // rows are their owners', and the organization is a mere label
		}
		report.finding(finding.Finding{
			ID: "rls.probe.forged_org", Status: status, Title: "Rows can be added to an organization by who is not in it",
			Detail: "An insert whose " + catalog.QuoteIdentifier(report.Columns.Organization) + " is another organization's id was accepted.",
			Remedy: "Let the insert policy's with check compare the organization's column with the caller's organizations, too; " + regenerate(s),
		})
	}
	var given []string
	if report.Columns.Organization == "" {
		given = allowed(Owner, GiveOwner)
	}
	if list := allowed(Member, GiveOrganization); len(list) > 0 {
		given = append(given, list...)
	}
	if len(given) > 0 {
		report.finding(finding.Finding{
			ID: "rls.probe.given_away", Status: finding.Fail, Title: "A row can be made somebody else's",
			Detail: "These were accepted: " + strings.Join(given, ", ") + ".",
			Remedy: "Give the update policy a with check that the changed row has to pass, too; " + regenerate(s),
		})
	}
}

// colleagues reports whether belonging to the organization opens a row to anybody
// but its owner.
func colleagues(report *TableReport) bool {
	for _, persona := range []PersonaID{Member, Admin} {
		for _, command := range []CommandID{Select, UpdateOwn, DeleteOwn} {
			if c, _ := report.Cell(persona, command); c.Outcome == Allow && (command != Select || c.Own == report.Own) {
				return true
			}
		}
	}
	return false
}

// judgeClaims compares personas that must fare alike: claims that users write
// themselves must open nothing (Clerk docs, user metadata: unsafe).
func judgeClaims(s *scene, report *TableReport, cell func(PersonaID, CommandID) Cell) {
	var better []string
	for _, command := range report.commands() {
		if cell(SelfMadeClaims, command).Text != cell(OtherUser, command).Text {
			better = append(better, string(command))
		}
	}
	if len(better) > 0 {
		report.finding(finding.Finding{
			ID: "rls.probe.self_made_claims", Status: finding.Fail, Title: "A policy trusts claims that users edit themselves",
			Detail: "With the owner's ids in unsafe_metadata or user_metadata, an unrelated user fared differently at: " + strings.Join(better, ", ") + ".",
			Remedy: s.helpers.Fill("Read identity from sub and o, through {{helpers}}.user_id() and {{helpers}}.org_id(), and roles from public metadata only."),
		})
	}
}

// judgeErrors tells once of every kind of error.
func judgeErrors(s *scene, report *TableReport) {
	told := map[string]bool{}
	tell := func(key string, f finding.Finding) {
		if !told[key] {
			told[key] = true
			report.finding(f)
		}
	}
	for _, c := range report.Cells {
		for _, d := range c.Decisions {
			names := catalog.QuoteIdentifier(s.Name.Table)
			if len(d.Policies) > 0 {
				names = catalog.QuoteIdentifiers(d.Policies)
			}
			switch {
			case d.By == ByTimeout:
				tell("timeout", finding.Finding{
					ID: "rls.probe.timeout", Status: finding.Warn, Title: "A statement ran into a limit",
					Detail: fmt.Sprintf("%s as %s: %s.", c.Command, c.Persona, d.Detail),
					Remedy: "Look at the plan with --explain; or try again when nobody holds a lock on the table.",
				})
			case d.By == ByPolicyError && c.SQLState == "42P17":
				tell("recursion", finding.Finding{
					ID: "rls.probe.recursion", Status: finding.Fail, Title: "A policy leads back to itself",
					Detail: "Every request fails with 42P17: " + names + ".",
					Remedy: s.helpers.Fill("Read the other table in a security definer function with set search_path = pg_catalog, pg_temp, in a schema that is not exposed; {{helpers}}.my_org_ids() is one."),
				})
			case d.By == ByPolicyError && c.SQLState == "22P02" && c.Persona != SupabaseUser:
				tell("cast "+names, finding.Finding{
					ID: "rls.probe.clerk_id_cast", Status: finding.Fail, Title: "A policy fails for every Clerk user",
					Detail: names + ": " + d.Detail + ".",
					Remedy: s.helpers.Fill("Use (select {{helpers}}.user_id()) in place of auth.uid(), over a text column; ") + regenerate(s),
				})
			case d.By == ByPolicyError:
				tell("error "+names+c.SQLState, finding.Finding{
					ID: "rls.probe.policy_error", Status: finding.Fail, Title: "A policy fails when it is evaluated",
					Detail: fmt.Sprintf("%s as %s: %s: %s.", c.Command, c.Persona, names, d.Detail),
					Remedy: "Run the policy's expression as that role; a helper that may not be executed needs a grant.",
				})
			case d.By == ByUnknown:
				tell("unknown", finding.Finding{
					ID: "rls.probe.unknown", Status: finding.Warn, Title: "Something besides policies and grants decided",
					Detail: fmt.Sprintf("%s as %s: %s.", c.Command, c.Persona, d.Detail),
					Remedy: "Look at the table's triggers and rules.",
				})
			}
		}
	}
}

// judgePolicies finds policies that had no effect on anybody.
func (p *prober) judgePolicies(s *scene, report *TableReport) {
	for i, policy := range s.Policies {
		if !policy.Permissive {
			continue
		}
		asked, ever := false, false
		for _, persona := range p.personas {
			rights := s.Roles[persona.Role]
			if !s.watched(persona) || !slices.ContainsFunc(catalog.Commands(), func(c catalog.Command) bool { return applies(policy, c, rights) }) {
				continue
			}
			for key, truths := range s.truths {
				if strings.HasPrefix(key, string(persona.ID)+"\x00") {
					asked = true
					ever = ever || truths[i].using.value == "true" || truths[i].check.value == "true"
				}
			}
		}
		if asked && !ever {
			report.finding(finding.Finding{
				ID: "rls.probe.never_true", Status: finding.Warn, Object: s.Name.String() + "." + catalog.QuoteIdentifier(policy.Name),
				Title:  "The policy lets nobody through",
				Detail: "It was true for no persona and no row.",
				Remedy: "Check what it reads of the token: the organization of version 2 is at o → id, which \"->> 'o.id'\" does not reach; " + s.helpers.String() + ".org_id() does.",
			})
		}
		if missing := s.uncovered(policy); len(missing) > 0 {
			report.finding(finding.Finding{
				ID: "rls.probe.missing_grant", Status: finding.Warn, Object: s.Name.String() + "." + catalog.QuoteIdentifier(policy.Name),
				Title:  "The policy opens what no grant allows",
				Detail: "Requests fail with 42501 before it is asked.",
				Remedy: fmt.Sprintf("grant %s on %s to authenticated;", strings.Join(missing, ", "), s.Name),
			})
		}
	}
}

// uncovered are the commands that a policy opens to authenticated, which has no
// such privilege.
func (s *scene) uncovered(policy catalog.Policy) []string {
	rights := s.Roles[platform.Authenticated]
	var list []string
	for _, command := range catalog.Commands() {
		may := rights.mayAll(string(command)) || len(rights.Columns[string(command)]) > 0
		if policy.Command == command && applies(policy, command, rights) && !may {
			list = append(list, string(command))
		}
	}
	return list
}

func judgeView(v *plan, report *TableReport) {
	if v.SecurityInvoker {
		return
	}
	c, _ := report.Cell(OtherUser, Select)
	if c.Own+c.Other == 0 {
		return
	}
	report.finding(finding.Finding{
		ID: "rls.probe.view_owner", Status: finding.Fail, Title: "The view shows rows that the tables' policies hide",
		Detail: fmt.Sprintf("It reads as its owner, and an unrelated user saw %s.", c.Text),
		Remedy: fmt.Sprintf("alter view %s set (security_invoker = true);", v.Name),
	})
}
